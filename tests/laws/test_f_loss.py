"""F. Loss, resume and retry, 47 to 51: one connection at a time is heard, and each is worth it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    Message,
    changeover,
    history,
    incoming,
    interruption,
    lifecycle,
    machine,
    negotiate,
)
from realtime_core.capability import HistoryLimits
from realtime_core.codec import Resume
from realtime_core.config import SessionConfig
from realtime_core.driver import Driver
from realtime_core.epoch import CallId, ResponseId
from realtime_core.errors import (
    AuthFailed,
    ContentFiltered,
    InvalidRequest,
    ProtocolViolation,
    RateLimited,
    RealtimeError,
    RealtimeException,
    SessionExpired,
    TimedOut,
    Unavailable,
    Unsupported,
)
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Connected,
    Error,
    Interrupted,
    RealtimeEvent,
    Reconnected,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    SessionEnding,
    ToolCall,
    Unknown,
)
from realtime_core.frames import CreateResponse, Text
from realtime_core.history import fitted
from realtime_core.moment import Moment, arm
from realtime_core.schedule import Attempt, Exponential, Recurs, Schedule
from realtime_core.session import open_session
from realtime_core.state import (
    Dial,
    Emit,
    Hangup,
    Linked,
    Lost,
    Phase,
    Received,
    Send,
    Standby,
    State,
    Timer,
)
from realtime_core.testing import run
from realtime_core.testing._author import number_of
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.fold import Fold, Step, fold
from realtime_core.testing.scripted import SCRIPTED, Greeting, Peer, read, scripted, written
from realtime_core.testing.timeline import Loses, Says, act, welcome
from tests.laws.lines import Life, Remembering, first_of, lives, told
from tests.laws.model import Fact, Rehearsal
from tests.laws.sessions import Law, hold, live_by
from tests.laws.stories import BACKENDS, Story, audio, catches, many, opened, stories

STORIES = stories(successors=True)
LIVES = lives()
LOST = Unavailable(what="The cable was pulled.")
R = ResponseId("late")
both = pytest.mark.parametrize("backend", BACKENDS)


# --- 47 ---------------------------------------------------------------------------------------


class SpeaksWithOneVoice(Law):
    """Between two happenings no other connection can be heard, and in a step it changes nothing."""

    SAID = written(ResponseStarted(response=R), audio("late", 10))

    def see(self, fact: Fact) -> None:
        before, given, after, effects, _ = fact.step
        conn = getattr(given, "conn", before.conn)
        if conn < before.conn:
            assert replace(after, counts={}) == replace(before, counts={})
            assert effects == ()
        elif conn > before.conn and not (isinstance(given, Linked) and after.conn == conn):
            rest = {"standby": before.standby, "heir": before.heir, "due": before.due}
            assert replace(after, **rest) == before
            assert not any(isinstance(effect, Emit | Send) for effect in effects)
        for effect in effects:
            if isinstance(effect, Dial):
                assert effect.conn - after.conn == (after.standby is Standby.DIALLED)

    def rest(self, rehearsal: Rehearsal) -> None:
        session, at = rehearsal.session, rehearsal.session.at
        for conn in (session.state.conn - 1, session.state.conn + 1):
            said = Received(at=at, conn=conn, wires=self.SAID)
            (done,) = fold(session.codec, session.state, (said,))
            assert replace(done.after, counts={}) == replace(session.state, counts={})
            assert done.effects == ()


def one_after_the_other(
    life: tuple[Life, ...], backend: str, seed: int = 0, providers: int = 1
) -> None:
    """Each is heard from its first word on, once the one before it is heard no more."""
    done = told(life, backend, seed=seed, again=False, providers=providers)
    assert check_trace(done.events, complete=True) == []
    conns = dict[int, int]()
    for event in done.events:
        if isinstance(event, Unknown):
            number = next(n for n in range(len(done.dialled)) if first_of(n) == event.name)
            assert number not in conns, "heard twice"
            conns[number] = event.conn
        elif isinstance(event, AudioOutput):
            assert event.conn == conns[number_of(event) // 100 - 1]
    assert list(conns) == sorted(conns)
    assert len(set(conns.values())) == len(conns)
    for number, heard in enumerate(done.heard):
        passed_by = number < max(conns) and (number >= len(life) or life[number].made)
        if heard or passed_by:
            assert number in conns, "its first word was lost"


class TestOneVoice:
    """47. One connection is heard at a time: nothing of an older one, nor of one that stands by."""

    @staticmethod
    def law(story: Story) -> None:
        hold(SpeaksWithOneVoice, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_machine(self) -> None:
        live_by(SpeaksWithOneVoice)

    @both
    @given(LIVES, st.integers(0, 99))
    def test_live(self, backend: str, life: tuple[Life, ...], seed: int) -> None:
        one_after_the_other(life, backend, seed)

    def test_fault_hears_whoever_speaks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        received = machine._received

        def gullible(state: State, now: Moment, given: Received) -> State:
            return received(replace(state, conn=given.conn), now, given)

        monkeypatch.setattr(machine, "_received", gullible)
        catches(self.law, STORIES)

    @both
    def test_fault_reads_before_it_is_in_use(
        self, backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was said too early is lost."""
        receive = Driver._receive

        class Hasty:
            _standby = None

            def __init__(self, driver: Driver) -> None:
                self._driver = driver

            def __getattr__(self, name: str) -> Any:
                return getattr(self._driver, name)

        async def hasty(self: Driver, line: Any, link: Any) -> None:
            await receive(cast("Driver", Hasty(self)), line, link)

        monkeypatch.setattr(Driver, "_receive", hasty)
        catches(lambda life: one_after_the_other(life, backend), LIVES, tries=200)


# --- 48 ---------------------------------------------------------------------------------------


class LosesLoudly(Law):
    """A lost connection cuts what there is to cut; one that is changed only at the last moment."""

    def see(self, fact: Fact) -> None:
        before, given, after, _, _ = fact.step
        rises = [rise for rise in fact.rises if rise.cause == "connection"]
        if after.conn == before.conn:
            assert rises == []
        elif _is_planned(fact):
            if rises:
                assert given.at >= _latest(fact)
            else:
                assert fact.after.vacuous(after.epoch, given.at)
            assert len(rises) <= 1
        else:
            cut = fact.before.cut(before.epoch, given.at)
            vacuous = fact.before.vacuous(before.epoch, given.at)
            assert [set(rise.fenced) for rise in rises] == ([] if vacuous else [cut])
            assert after.epoch == before.epoch + len(rises)


def _latest(fact: Fact) -> float:
    """When a connection that will end is left at the latest: halfway, or five seconds ahead."""
    known = fact.step.before.leave_by
    assert known is not None
    if not isinstance(fact.said, SessionEnding) or fact.said.left is None:
        return known
    return min(known, fact.step.given.at + max(fact.said.left / 2, fact.said.left - 5.0))


def _is_planned(fact: Fact) -> bool:
    gone = isinstance(fact.step.given, Lost) or isinstance(fact.said, Error)
    return fact.step.before.phase is Phase.OPEN and not gone


class TestLossIsAnInterrupt:
    """48. A loss interrupts, with cause connection, if there is something to cut, else not."""

    @staticmethod
    def law(story: Story) -> None:
        hold(LosesLoudly, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_machine(self) -> None:
        live_by(LosesLoudly)

    @both
    @pytest.mark.parametrize("way", ["lost", "changed"])
    @pytest.mark.parametrize("what", ["nothing", "asked", "begun", "ended"])
    def test_live(self, backend: str, way: str, what: str) -> None:
        assert self.cut(backend, way, what) == ([] if what in {"nothing", "ended"} else [(1, 0)])

    @staticmethod
    def cut(backend: str, way: str, what: str) -> list[tuple[int, int]]:
        """Lose a connection in some situation; give epoch and connection of each interruption."""

        async def script(peer: Peer) -> None:
            if peer.conn:
                return await peer.drain()
            if what != "nothing":
                wish = await peer.until(CreateResponse)
                assert isinstance(wish, CreateResponse)
                if what != "asked":
                    await peer.say(ResponseStarted(response=R, request=wish.request))
                if what == "ended":
                    await peer.say(ResponseDone(response=R, status="completed"))
            if way == "changed":
                await peer.say(SessionEnding(left=2.0))
                await peer.drain()
            return None

        async def program() -> list[tuple[int, int]]:
            config = SessionConfig(retry=Recurs(1))
            async with open_session(scripted(script), config) as session:
                source = session.events()
                if what != "nothing":
                    await session.send(Text("Well?"))
                cuts = list[tuple[int, int]]()
                async for event in source:
                    if isinstance(event, Interrupted):
                        assert event.cause == "connection"
                        cuts.append((event.epoch, event.conn))
                    if isinstance(event, Reconnected):
                        return cuts
            raise AssertionError("it was not made again")

        return run(program, backend=backend)

    def test_fault_loses_silently(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(changeover, "interrupt", lambda state, now, cause: state)
        catches(self.law, STORIES)

    def test_fault_loses_always_loudly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def loud(state: State, now: Moment, cause: Any) -> State:
            return interruption.interrupt(state, now, "app" if cause == "connection" else cause)

        monkeypatch.setattr(changeover, "interrupt", loud)
        catches(self.law, STORIES)

    def test_fault_changes_in_the_middle_of_a_sentence(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(changeover, "_silent", lambda state, now: True)
        catches(self.law, STORIES)


# --- 49 ---------------------------------------------------------------------------------------

_SAID = ResponseStarted | AudioOutput | AgentTranscript | ResponseText | ToolCall | ResponseDone


def said_again(story: Story) -> tuple[list[RealtimeEvent], list[RealtimeEvent]]:
    """Let the provider say all it has said once more over each new connection; give both sides."""
    session, said, conn = opened(story), list[RealtimeEvent](), 0
    for happening in story.timeline:
        welcome(session)
        if session.state.conn > conn:
            conn = session.state.conn
            act(session, (Says(tuple(said)),))
        act(session, (happening,))
        if isinstance(happening, Says):
            said += [event for event in happening.events if isinstance(event, _SAID)]
    session.close()
    return said, session.events


def deltas(events: list[RealtimeEvent]) -> Counter[object]:
    """Count each sample, delta and call by the name it has for whoever hears it."""
    return Counter(key for event in events if (key := _key(event)) is not None)


def _key(event: RealtimeEvent) -> object:
    match event:
        case AudioOutput():
            return number_of(event) if event.pcm else None
        case ToolCall():
            return event.call
        case AgentTranscript(final=False) | ResponseText(is_complete=False):
            return type(event), event.item, event.text
        case _:
            return None


class TestNoDoubles:
    """49. No sample, delta or call that was returned before a loss is returned again after it."""

    @staticmethod
    def law(story: Story) -> None:
        said, heard = said_again(story)
        assert deltas(heard) <= deltas(said)

    @staticmethod
    def live(life: tuple[Life, ...], backend: str, seed: int = 0) -> None:
        counted = deltas(told(life, backend, seed=seed).events)
        assert max(counted.values(), default=1) == 1

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @both
    @given(LIVES, st.integers(0, 99))
    def test_live(self, backend: str, life: tuple[Life, ...], seed: int) -> None:
        self.live(life, backend, seed)

    def test_fault_forgets_what_it_has_heard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        part = changeover._part

        def forgetful(*given: Any) -> State:
            state = part(*given)
            ledger = replace(state.ledger, responses={}, items={}, calls={})
            return replace(state, ledger=ledger)

        monkeypatch.setattr(changeover, "_part", forgetful)
        catches(self.law, STORIES)
        catches(lambda life: self.live(life, "asyncio"), LIVES, tries=200)

    def test_fault_goes_on_with_what_was_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def live(state: State, event: RealtimeEvent) -> Any:
            return state.ledger.responses.get(event.response) if event.response else None

        monkeypatch.setattr(changeover, "interrupt", lambda state, now, cause: state)
        monkeypatch.setattr(incoming, "_live", live)
        catches(self.law, STORIES)


# --- 50 ---------------------------------------------------------------------------------------

_ROLES = ("user", "user", "assistant", "system", "tool_call", "tool_result")
_ENTRIES = st.lists(
    st.builds(
        Message,
        st.sampled_from(_ROLES),
        st.text("aä", max_size=4),
        call=st.sampled_from((CallId("old 1"), CallId("old 2"))),
    ),
    max_size=10,
)
_LIMITS = st.builds(
    HistoryLimits,
    st.sampled_from((1_000, 8, 5, 2)),
    st.sampled_from((1_000, 12, 5)),
    st.sampled_from((1_000, 60, 20)),
    st.booleans(),
)


class Past(NamedTuple):
    """A story, what was said before it, and how much of it a provider takes."""

    story: Story
    said: list[Message]
    limits: HistoryLimits | None


PASTS = st.builds(Past, stories(lawful=True), _ENTRIES, st.none() | _LIMITS)


def remembered(past: Past) -> Iterator[tuple[Resume, State]]:
    """Play it; give what each later connection was told, and the session then."""
    plan = past.story.plan
    able = replace(plan.capabilities, history=True, history_limits=past.limits)
    config = replace(plan.config, history=tuple(past.said))
    codec = Remembering()
    session = Fold(codec, negotiate(able, config).unwrap())
    welcome(session)
    act(session, (*past.story.timeline, Loses(LOST)))
    session.wait(1.0)
    welcome(session)
    session.close()
    greeted = [one for one in session.steps if _greets(one)]
    assert len(greeted) == len(codec.resumes)
    assert len({one.after.conn for one in greeted}) == len(greeted), "once for each connection"
    for one, resume in zip(greeted, codec.resumes, strict=True):
        assert (resume is None) is (one.after.conn == 0 or one.before.phase is Phase.CONNECTING)
        if resume is not None:
            yield resume, one.after


def _greets(one: Step) -> bool:
    said = list[bool]()
    for effect in one.effects:
        if isinstance(effect, Hangup):
            assert True not in said, "who is left is not greeted"
            said.clear()
        elif isinstance(effect, Send):
            said += [isinstance(read(wire), Greeting) for wire in effect.wires]
    assert not any(said[1:]), "it is said first, and once"
    return any(said)


def is_within(entries: list[Message], limits: HistoryLimits) -> bool:
    sizes = [len(message.text.encode()) for message in entries]
    few = len(entries) <= limits.entries and sum(sizes) <= limits.bytes
    return few and all(size <= limits.entry_bytes for size in sizes)


def _pairs(entries: list[Message]) -> list[tuple[Message, Message]]:
    pairs, waiting = list[tuple[Message, Message]](), dict[CallId | None, Message]()
    for message in entries:
        if message.role == "tool_call":
            waiting[message.call] = message
        elif message.role == "tool_result" and message.call in waiting:
            pairs.append((waiting.pop(message.call), message))
    return pairs


class TestReplayedHistory:
    """50. What is replayed is the kept history, the newest whole turns that the provider takes."""

    @classmethod
    def law(cls, past: Past) -> None:
        for resume, after in remembered(past):
            cls.fits(list(resume.history), list(after.conversation), past.limits)
            able = after.plan.capabilities
            handle = after.handle if able.resumption == "handle" else None
            assert (resume.conn, resume.handle) == (after.conn, handle)
            ended = [after.ledger.calls[m.call or CallId("")].outcome for m in resume.unanswered]
            assert {"lost", "cancelled"}.issuperset(ended)

    @staticmethod
    def fits(told: list[Message], kept: list[Message], limits: HistoryLimits | None) -> None:
        places = iter(kept)
        assert all(any(one is message for one in places) for message in told), "in order"
        assert len(_pairs(told)) * 2 == sum(m.role.startswith("tool") for m in told), "in pairs"
        whole = [m for m in kept if not m.role.startswith("tool") or _is_in(m, _pairs(kept))]
        if limits is None:
            assert told == whole
            return
        assert is_within(told, limits)
        assert not told or not limits.user_first or told[0].role == "user"
        borders = [i for i in range(len(whole) + 1) if _is_border(whole, i)]
        best = next(i for i in borders if is_within(whole[i:], limits))
        rest = whole[best:]
        while rest and limits.user_first and rest[0].role != "user":
            del rest[0]
        assert told == [m for m in rest if not m.role.startswith("tool") or _is_in(m, _pairs(rest))]

    @many
    @given(PASTS)
    def test_folded(self, past: Past) -> None:
        self.law(past)

    @both
    @given(LIVES, st.integers(0, 99))
    def test_live(self, backend: str, life: tuple[Life, ...], seed: int) -> None:
        """Once for each connection, before anything else; then the words of a lost call."""
        done = told(life, backend, seed=seed)
        for heard in done.heard:
            assert [place for place, one in enumerate(heard) if isinstance(one, Greeting)] in (
                [[0]] if heard else [[]]
            )
        assert done.resumes[0] is None
        conns = [resume.conn for resume in done.resumes if resume is not None]
        assert conns == sorted(set(conns))

    def test_fault_does_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lifecycle, "fitted", lambda said, limits=None: fitted(said))
        catches(self.law, PASTS)

    def test_fault_turns_it_round(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def turned(said: Any, limits: Any = None) -> Any:
            kept, left_out = fitted(said, limits)
            return kept[::-1], left_out

        monkeypatch.setattr(lifecycle, "fitted", turned)
        catches(self.law, PASTS)

    def test_fault_ends_on_a_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(history, "_paired", list)
        catches(self.law, PASTS)

    def test_fault_cuts_through_a_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(history, "_turns", lambda said: [[message] for message in said])
        catches(self.law, PASTS)

    def test_fault_shows_a_handle_that_nobody_takes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        greet = Remembering.greet

        def shown(self: Remembering, plan: Any, resume: Resume | None) -> Any:
            return greet(self, plan, resume and resume._replace(handle=None))

        monkeypatch.setattr(Remembering, "greet", shown)
        catches(self.law, PASTS)


def _is_in(message: Message, pairs: list[tuple[Message, Message]]) -> bool:
    return any(message is one for pair in pairs for one in pair)


def _is_border(entries: list[Message], place: int) -> bool:
    """Whether a turn begins here: with the user, or with words of the system before the user's."""
    if place in {0, len(entries)}:
        return True
    after_system = entries[place - 1].role == "system"
    return entries[place].role in {"user", "system"} and not after_system


# --- 51 ---------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """A provider that takes every connection, or none, and drops it: what it says, and when."""

    accepts: bool
    error: RealtimeError | None
    stands: float


class Retries(NamedTuple):
    """A schedule in numbers, the caller's chance, and what becomes of each connection in turn."""

    base: float
    cap: float
    low: float
    total: float
    chance: float
    trials: tuple[Trial, ...]

    @property
    def schedule(self) -> Schedule:
        return Exponential(self.base).capped(self.cap).jittered(self.low).within(self.total)

    def least(self, trial: Trial) -> float:
        return getattr(trial.error, "retry_after", None) or 0.0

    def expected(self) -> list[float]:
        """Give when each connection is made, for ever or until nothing is tried any more."""
        at, tried, since, dials = 0.0, 0, 0.0, [0.0]
        for trial in self.trials:
            at += trial.stands if trial.accepts else 0.0
            if trial.accepts and trial.stands >= 10.0:
                tried = 0
            if trial.error in _LASTING:
                return dials
            since = since if tried else at
            factor = self.low + (1.0 - self.low) * self.chance
            delay = min(self.base * 2.0**tried, self.cap) * factor
            if at - since + max(delay, self.least(trial)) > self.total:
                return dials
            at += max(delay, self.least(trial))
            tried += 1
            dials.append(at)
        return dials


_LASTING: tuple[RealtimeError, ...] = (
    AuthFailed(what="x"),
    InvalidRequest(what="x"),
    Unsupported(what="x"),
    ProtocolViolation(what="x"),
    ContentFiltered(what="x"),
)
_PASSING: tuple[RealtimeError | None, ...] = (
    None,
    LOST,
    TimedOut(what="x"),
    SessionExpired(what="x"),
    RateLimited(what="x"),
    RateLimited(what="x", retry_after=2.0),
    Unavailable(what="x", retry_after=9.0),
)


def trials() -> st.SearchStrategy[tuple[Trial, ...]]:
    """Give what becomes of forty connections: three fates, over and over."""
    errors = st.sampled_from((*_PASSING, *_PASSING, *_PASSING, *_LASTING))
    fate = st.builds(Trial, st.booleans(), errors, st.sampled_from((0.0, 1.0, 9.5, 10.0, 30.0)))
    return st.lists(fate, min_size=1, max_size=3).map(lambda fates: (tuple(fates) * 40)[:40])


RETRIES = st.builds(
    Retries,
    st.sampled_from((0.0, 0.5, 1.0)),
    st.sampled_from((2.0, 8.0)),
    st.sampled_from((0.5, 1.0)),
    st.sampled_from((4.0, 20.0, 60.0)),
    st.sampled_from((0.0, 0.25, 0.75)),
    trials(),
)


def dialled(retries: Retries) -> tuple[list[float], Fold]:
    """Live through it by hand; give when each connection is made."""
    able = replace(SCRIPTED, resumption="none")
    plan = negotiate(able, SessionConfig(retry=retries.schedule)).unwrap()
    session = Fold(Remembering(), plan)
    session.random = retries.chance
    for trial in retries.trials:
        while session.dialled is None and Timer.RETRY in session.due:
            session.wait(session.due[Timer.RETRY] - session.at)
        if session.state.phase is Phase.CLOSED:
            break
        if trial.accepts:
            welcome(session)
            session.wait(trial.stands)
        session.lose(trial.error)
    while Timer.RETRY in session.due:
        session.wait(session.due[Timer.RETRY] - session.at)
    return _dials(session), session


def _dials(session: Fold) -> list[float]:
    return [one.given.at for one in session.steps for e in one.effects if isinstance(e, Dial)]


class Storm(NamedTuple):
    """A provider that takes every connection, and lets none of them stand."""

    tries: int
    left: tuple[float | None, ...]
    """What it says that is left, of each connection in turn."""
    fails: bool
    """Whether the next one can be made beside."""
    drops: bool
    """Whether it drops them, or waits until they are left."""
    stands: float


STORMS = st.builds(
    Storm,
    st.integers(0, 4),
    st.lists(st.sampled_from((0.0, 1.0, 30.0, None)), min_size=1, max_size=3).map(tuple),
    st.booleans(),
    st.booleans(),
    st.sampled_from((0.0, 1.0, 9.0)),
)


class TestBoundedRetry:
    """51. Tries have limits in number, delay and total time; what cannot pass is never retried."""

    @staticmethod
    def law(retries: Retries) -> None:
        dials, session = dialled(retries)
        assert dials == pytest.approx(retries.expected())
        over = len(dials) <= len(retries.trials)
        assert (session.state.phase is Phase.CLOSED) is over
        losses = [one.given for one in session.steps if isinstance(one.given, Lost)]
        for loss, dial in zip(losses, dials[1:], strict=False):
            least = getattr(loss.error, "retry_after", None) or 0.0
            assert least <= dial - loss.at <= max(retries.cap, least) + 1e-9
            assert loss.error not in _LASTING

    @staticmethod
    def no_storm(storm: Storm) -> None:
        """However it ends connections, it is asked no more often than the caller allows."""
        able = replace(SCRIPTED, resumption="none")
        plan = negotiate(able, SessionConfig(retry=Recurs(storm.tries))).unwrap()
        session = Fold(Remembering(), plan)
        for number in range(60):
            if session.dialled is None and session.stands is None:
                break
            welcome(session)
            left = storm.left[number % len(storm.left)]
            session.receive(*written(SessionEnding(left=left)))
            for _ in range(8 if storm.fails else 1):
                if storm.fails and session.beside is not None:
                    session.lose(LOST, conn=session.state.conn + 1)
                session.wait(storm.stands)
            if storm.drops:
                session.lose(LOST)
                session.wait(0.0)
        slow = 0.0 if storm.drops and not storm.fails else session.at / 5
        assert len(_dials(session)) <= 2 + storm.tries + slow

    @many
    @given(RETRIES)
    def test_folded(self, retries: Retries) -> None:
        self.law(retries)

    @many
    @given(STORMS)
    def test_no_storm(self, storm: Storm) -> None:
        self.no_storm(storm)

    @pytest.mark.parametrize("error", _LASTING, ids=lambda error: type(error).__name__)
    def test_only_a_handle_is_worth_another_try(self, error: RealtimeError) -> None:
        """Where a handle was shown it may be that which was refused: once, without it."""
        plan = negotiate(SCRIPTED, SessionConfig(retry=Recurs(9))).unwrap()
        session = Fold(Remembering(), plan)
        welcome(session)
        session.receive(b'{"type": "resumption_handle", "handle": "h"}')
        session.lose(LOST)
        session.wait(0.0)
        for _ in range(5):
            session.link()
            session.lose(error)
        tried = 0 if isinstance(error, AuthFailed) else 1
        assert (len(_dials(session)), session.state.phase) == (2 + tried, Phase.CLOSED)

    @both
    @given(RETRIES)
    def test_live(self, backend: str, retries: Retries) -> None:
        self.live(retries, backend)

    @staticmethod
    def live(retries: Retries, backend: str) -> None:
        trials, made = iter(retries.trials), list[float]()

        async def script(peer: Peer) -> None:
            made.append(anyio.current_time())
            trial = next(trials, None)
            if trial is None:
                raise LookupError("It is enough.")
            if trial.accepts:
                await peer.next()
                await peer.welcome()
                await anyio.sleep(trial.stands)
            if trial.error is not None:
                raise RealtimeException(trial.error)

        async def program() -> None:
            config = SessionConfig(retry=retries.schedule)
            provider = scripted(script, replace(SCRIPTED, resumption="none"), welcome=False)
            opening = open_session(provider, config, random=lambda: retries.chance)
            with suppress(RealtimeException):
                async with opening as session:
                    async for _ in session.events():
                        pass

        run(program, backend=backend)
        assert made == pytest.approx(retries.expected())

    def test_fault_counts_anew_at_each_welcome(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connected = lifecycle.connected

        def forgetful(state: State, now: Moment, event: Any) -> State:
            return replace(connected(state, now, event), attempts=0)

        monkeypatch.setitem(incoming._JUDGES, Connected, forgetful)
        catches(self.law, RETRIES)
        catches(self.no_storm, STORMS)

    def test_fault_does_not_wait_when_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(changeover, "_asked_for", lambda error: 0.0)
        catches(self.law, RETRIES)

    def test_fault_tries_a_bad_key_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(AuthFailed, "retryable", True)
        catches(self.law, RETRIES)
        catches(lambda retries: self.live(retries, "asyncio"), RETRIES, tries=200)

    def test_fault_marches_in_step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        delay = changeover._delay

        def even(state: State, error: RealtimeError, attempt: Attempt) -> float | None:
            return delay(state, error, attempt._replace(random=0.5))

        monkeypatch.setattr(changeover, "_delay", even)
        catches(self.law, RETRIES)

    def test_fault_obeys_whoever_says_that_it_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(changeover, "_STEADY", 0.0)
        catches(self.no_storm, STORMS)

    def test_fault_makes_the_next_one_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def stubborn(state: State, now: Moment, error: RealtimeError) -> State:
            del error
            return arm(replace(state, standby=Standby.FAILED), now, Timer.MOVE, 0.0)

        monkeypatch.setattr(changeover, "_not_made", stubborn)
        catches(self.no_storm, STORMS)
