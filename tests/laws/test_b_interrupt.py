"""B. Interrupt, as far as one step decides it: every step of a session against a small model."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec.structs import replace

from realtime_core import incoming, interruption, machine, moment, negotiate, requests, turn
from realtime_core.codec import CancelResponse, TruncateItem
from realtime_core.config import SessionConfig, TurnDetection
from realtime_core.epoch import Epoch, ItemId, ResponseId
from realtime_core.errors import Unsupported
from realtime_core.events import (
    AudioOutput,
    Interrupted,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
)
from realtime_core.frames import Audio, CreateResponse, Interrupt, Text
from realtime_core.moment import Moment
from realtime_core.outlet import Outlet
from realtime_core.session import open_session
from realtime_core.state import Phase, Pushed, Received, State
from realtime_core.testing import TICK, run
from realtime_core.testing._author import number_of
from realtime_core.testing.scripted import SCRIPTED, Peer, scripted
from realtime_core.testing.timeline import Pushes, Says, Takes, Waits
from tests.laws.model import Fact, Rehearsal, facts
from tests.laws.scenarios import name_of
from tests.laws.stories import BACKENDS, Story, audio, catches, many, stories

STORIES = stories()
CAUSES = {"provider", "local", "app", "connection", "close"}
R = ResponseId("r")
both = pytest.mark.parametrize("backend", BACKENDS)


def is_automatic(fact: Fact) -> bool:
    """Whether this step is an interrupt that nobody asked for by name."""
    given = fact.step.given
    if fact.step.before.phase is not Phase.OPEN:
        return False
    match fact.said:
        case SpeechStarted():
            plan = fact.step.before.plan
            return plan.config.turn_detection.authority == "provider"
        case Interrupted():
            return fact.said.response is None
        case _:
            return (
                isinstance(given, Pushed)
                and isinstance(given.frame, Interrupt)
                and given.frame.cause == "local"
            )


def is_explicit(fact: Fact) -> bool:
    given = fact.step.given
    return (
        isinstance(given, Pushed)
        and isinstance(given.frame, Interrupt)
        and given.frame.cause == "app"
        and not fact.step.before.phase.ending
    )


class TestVacuous:
    """12. With nothing to cut, an automatic interrupt changes nothing, an explicit one is told."""

    @staticmethod
    def check(fact: Fact) -> None:
        step = fact.step
        vacuous = fact.before.vacuous(step.before.epoch, step.given.at)
        if is_automatic(fact):
            assert step.after.epoch == step.before.epoch + (not vacuous)
        if is_explicit(fact):
            assert step.after.epoch == step.before.epoch + 1
            assert [event.cause for event in fact.rises] == ["app"]
        if vacuous and (is_automatic(fact) or is_explicit(fact)):
            assert step.after.history == step.before.history
            assert all(isinstance(frame, CreateResponse) for frame in fact.sent)

    @classmethod
    def law(cls, story: Story) -> None:
        for fact in facts(story):
            cls.check(fact)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_always_rises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def always(state: State, now: Moment, cause: Any) -> State:
            return interruption.interrupt(state, now, "app" if cause == "provider" else cause)

        monkeypatch.setattr(incoming, "interrupt", always)
        catches(self.law, STORIES)

    def test_fault_never_rises_for_what_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def deaf(state: State, now: Moment, cause: Any) -> State:
            if not turn.running(state.ledger, state.epoch, now.delivered, now.at):
                return state
            return interruption.interrupt(state, now, cause)

        monkeypatch.setattr(incoming, "interrupt", deaf)
        monkeypatch.setattr(machine, "interrupt", deaf)
        catches(self.law, STORIES)


class TestCoalescing:
    """13. Automatic interrupts with nothing bound in between raise the epoch at most once."""

    @staticmethod
    def check(fact: Fact) -> None:
        if is_automatic(fact) and not fact.before.bound:
            assert fact.rises == []
        assert len(fact.rises) <= 1

    @classmethod
    def law(cls, story: Story) -> None:
        for fact in facts(story):
            cls.check(fact)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_forgets_what_was_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruption, "_doom", lambda ledger: ledger)
        catches(self.law, STORIES)


class TestCancelByName:
    """14. One cancel for a response at most, by its name, never for one born after."""

    @staticmethod
    def law(story: Story) -> None:
        cancelled = list[ResponseId]()
        for fact in facts(story):
            step, able = fact.step, fact.step.before.plan.capabilities.cancel
            for id in fact.cancels:
                assert able
                assert id in fact.before.open or isinstance(fact.said, ResponseStarted)
                assert fact.after.gen[id] < step.after.epoch
            cancelled += fact.cancels
            if able and is_explicit(fact) and step.before.phase is Phase.OPEN:
                cut = fact.before.cut(step.before.epoch, step.given.at)
                assert set(fact.cancels) == cut & fact.before.open
            solicited = fact.said.request if isinstance(fact.said, ResponseStarted) else None
            if able and solicited in fact.before.sent:
                stale = fact.before.asked[solicited] < step.before.epoch
                assert fact.cancels == ([fact.said.response] if stale and fact.said else [])
        assert max(Counter(cancelled).values(), default=1) == 1

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_cancels_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put = turn.put_response

        def forgetful(ledger: Any, id: ResponseId, response: Any) -> Any:
            return put(ledger, id, replace(response, cancelled=False))

        def all_open(ledger: Any, epoch: Epoch, delivered: Any, at: float) -> Any:
            del epoch, delivered, at
            return turn.open_responses(ledger)

        monkeypatch.setattr(interruption, "put_response", forgetful)
        monkeypatch.setattr(interruption, "running", all_open)
        catches(self.law, STORIES)

    def test_fault_spares_the_unborn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tell = moment.tell

        def lenient(state: State, now: Moment, outgoing: Any) -> Any:
            kind = isinstance(outgoing, CancelResponse)
            return (state, None) if kind else tell(state, now, outgoing)

        monkeypatch.setattr(incoming, "tell", lenient)
        catches(self.law, STORIES)


class TestOneAtATime:
    """15. No create while a response is open or a barrier is pending; each sent once, settled."""

    @staticmethod
    def law(story: Story) -> None:
        creates = list[Any]()
        told = facts(story)
        for fact in told:
            step = fact.step
            sent = [frame for frame in fact.sent if isinstance(frame, CreateResponse)]
            creates += [frame.request for frame in sent]
            if sent:
                assert not step.after.barrier
                if step.before.plan.capabilities.one_response:
                    assert len(sent) == 1
                    assert not fact.after.open
                    assert fact.after.awaited == {sent[0].request}
        assert max(Counter(creates).values(), default=1) == 1
        assert told[-1].step.after.ledger.requests == ()

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_does_not_wait_for_its_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(requests, "open_responses", lambda ledger: ())
        catches(self.law, STORIES)

    def test_fault_does_not_wait_for_the_barrier(self, monkeypatch: pytest.MonkeyPatch) -> None:
        place = requests._next
        monkeypatch.setattr(requests, "_next", lambda state: place(replace(state, barrier=False)))
        catches(self.law, STORIES)

    def test_fault_sends_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        release = requests.release

        def twice(state: State, now: Moment) -> State:
            wishes = state.ledger.requests
            release(state, now)
            return release(replace(state, ledger=replace(state.ledger, requests=wishes)), now)

        monkeypatch.setattr(requests, "release", twice)
        catches(self.law, STORIES)


class TestTruncateToHeard:
    """16, 17. One truncation for an item heard in part, not beyond what was heard or received."""

    @staticmethod
    def law(story: Story) -> None:
        for fact in facts(story):
            step, known = fact.step, fact.before
            able = step.before.plan.capabilities
            for rise in fact.rises:
                for part in rise.heard:
                    assert part.received == known.received.get(part.item, 0)
                    true = known.heard(part.item, step.given.at)
                    assert 0 <= part.samples <= min(true, part.received)
                    assert not part.exact or known.confirmed or part.received == 0
                    if known.confirmed:
                        assert part.samples == true
                spoken = {i for i in known.spoken if known.owner.get(i) in rise.fenced}
                assert {part.item for part in rise.heard} == spoken
            parts = {part.item: part for rise in fact.rises for part in rise.heard}
            told = Counter(repair.item for repair in fact.repairs)
            assert max(told.values(), default=1) == 1
            for repair in fact.repairs:
                part = parts[repair.item]
                if isinstance(repair, TruncateItem):
                    assert able.truncate
                    assert repair.samples == part.samples
                    assert 0 < part.samples < part.received
                else:
                    assert able.delete
                    assert part.samples == 0
            if step.before.phase is Phase.OPEN and not step.after.phase.ending and parts:
                if step.after.phase is Phase.OPEN and able.truncate:
                    partly = {i for i, p in parts.items() if 0 < p.samples < p.received}
                    assert partly <= set(told)
                if step.after.phase is Phase.OPEN and able.delete:
                    assert {i for i, p in parts.items() if p.samples == 0} <= set(told)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_two_items_in_turn_are_heard_in_turn(self) -> None:
        """Pieces that alternate are estimated by when each piece was taken."""
        a, b = audio("r", 640), replace(audio("r", 640), item=ItemId("r-1"))
        told = Rehearsal(plain_story())
        told.happen(Says((ResponseStarted(response=R), a, b)))
        told.happen(Takes(4))
        told.happen(Waits(64))
        told.happen(Says((a,)))
        told.happen(Waits(32))
        (rise,) = [rise for fact in told.happen(Pushes(Interrupt())) for rise in fact.rises]
        assert {part.item: part.samples for part in rise.heard} == {a.item: 640, b.item: 320}

    def test_fault_counts_what_was_received(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            interruption,
            "heard_samples",
            lambda ledger, id, delivered, at: ledger.items[id].received,
        )
        catches(self.law, STORIES)

    def test_fault_believes_the_sink_beyond_what_came(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard = machine._heard

        def naive(state: State, frame: Any) -> State:
            state = heard(state, frame)
            item = state.ledger.items.get(frame.item)
            if item is None:
                return state
            more = turn.put_item(state.ledger, frame.item, replace(item, heard=frame.samples))
            return replace(state, ledger=more)

        monkeypatch.setattr(machine, "_heard", naive)
        catches(self.law, STORIES)


class TestHistoryIsWhatWasHeard:
    """18. After an interrupt the kept text is a beginning of the text received; marked."""

    @staticmethod
    def law(story: Story) -> None:
        for fact in facts(story):
            kept = {m.item: m for m in fact.step.after.history if m.role == "assistant"}
            for rise in fact.rises:
                for part in rise.heard:
                    message = kept.get(part.item)
                    if message is None:
                        assert part.text == ""
                        continue
                    assert (message.text, message.exact) == (part.text, part.exact)
                    texts = (fact.before.whole, fact.before.pieces)
                    assert any(t.get(part.item, "").startswith(part.text) for t in texts)
                    assert part.samples > 0

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_keeps_everything(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruption, "keep", lambda state, item, text, exact: state)
        catches(self.law, STORIES)


class TestNextReplyWhole:
    """19. A response of the new epoch loses no sample to the interrupt that came before it."""

    @staticmethod
    def law(story: Story) -> None:
        rehearsal = Rehearsal(story)
        said = dict[ResponseId, list[int]]()
        for happening in story.timeline:
            for fact in rehearsal.happen(happening):
                event, known = fact.said, fact.after
                if isinstance(event, AudioOutput) and known.takes(event):
                    assert event.response is not None
                    said.setdefault(event.response, []).append(number_of(event))
        rehearsal.session.drain()
        known = rehearsal.known
        for id, numbers in said.items():
            if id not in known.fenced and known.gen[id] == rehearsal.session.state.epoch:
                events = rehearsal.session.events
                mine = [e for e in events if isinstance(e, AudioOutput) and e.response == id]
                assert [number_of(event) for event in mine] == numbers

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_fences_too_far(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fence = Outlet.fence
        monkeypatch.setattr(Outlet, "fence", lambda self, epoch: fence(self, Epoch(epoch + 1)))
        catches(self.law, STORIES)


class TestInputIsNotCollateral:
    """20. An interrupt drops no input frame."""

    @staticmethod
    async def scenario() -> None:
        came: list[Any] = []

        async def script(peer: Peer) -> None:
            await anyio.sleep(1.0)
            while len(came) < 12:
                came.append(await peer.next())
            await peer.drain()

        frames = [Audio(bytes([number, 0])) for number in range(1, 10)]
        async with open_session(scripted(script)) as session:
            for number, frame in enumerate(frames):
                session.send_nowait(frame)
                if number % 3 == 1:
                    await session.interrupt()
            session.send_nowait(Text("and this", turn="context"))
            session.send_nowait(Text("and that", turn="interrupt"))
            await anyio.sleep(2.0)
            dropped = {name: lane.dropped for name, lane in session.statistics.lanes.items()}
            assert set(dropped.values()) == {0}
        assert [frame for frame in came if isinstance(frame, Audio)] == frames
        assert [frame.text for frame in came if isinstance(frame, Text)] == ["and this", "and that"]

    @both
    def test_live(self, backend: str) -> None:
        run(self.scenario, backend=backend)

    def test_fault_clears_the_lane(self, monkeypatch: pytest.MonkeyPatch) -> None:
        interrupt = interruption.interrupt

        def collateral(state: State, now: Moment, cause: Any) -> State:
            kept = [effect for effect in now.effects if not hasattr(effect, "wires")]
            now.effects[:] = kept
            return interrupt(state, now, cause)

        monkeypatch.setattr(
            Outlet, "fence", lambda self, epoch: (_ for _ in ()).throw(AssertionError(epoch))
        )
        monkeypatch.setattr(machine, "interrupt", collateral)
        with pytest.raises(AssertionError):
            run(self.scenario)


class TestAwaitable:
    """21. `interrupt()` returns at once, `settled()` at the barrier or at its deadline."""

    @staticmethod
    async def scenario(answer_after: float, deadline: float) -> float:
        async def script(peer: Peer) -> None:
            wish = await peer.until(CreateResponse)
            await peer.say(ResponseStarted(response=R, request=name_of(wish)))
            await peer.until(CancelResponse)
            await anyio.sleep(answer_after)
            await peer.say(ResponseDone(response=R, status="cancelled"))
            await peer.drain()

        config = SessionConfig(barrier_timeout=deadline)
        async with open_session(scripted(script), config) as session:
            await session.simple_response("Hello")
            async for event in session.events():
                if isinstance(event, ResponseStarted):
                    break
            asked = anyio.current_time()
            assert await session.interrupt() == 1
            assert anyio.current_time() == asked
            await session.settled()
            return anyio.current_time() - asked

    @both
    @given(st.integers(0, 64), st.integers(1, 64))
    def test_live(self, backend: str, answer: int, deadline: int) -> None:
        answer_after, at_latest = answer * TICK, deadline * TICK
        took = run(self.scenario, answer_after, at_latest, backend=backend)
        assert took == min(answer_after, at_latest)

    def test_another_interrupt_does_not_put_the_deadline_off(self) -> None:
        told = Rehearsal(plain_story(barrier_timeout=1.0))
        told.happen(Says((ResponseStarted(response=R),)))
        for _ in range(4):
            told.happen(Pushes(Interrupt()))
            told.happen(Waits(24))
        assert not told.session.state.barrier

    def test_fault_waits_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruption, "arm", lambda state, now, timer, after: state)
        with pytest.raises(AssertionError):
            assert run(self.scenario, 10.0, 1.0) == 1.0


class TestOneAuthority:
    """21a. Under the provider's authority its speech-start is not answered with a cancel."""

    @staticmethod
    def law(story: Story) -> None:
        for fact in facts(story):
            authority = fact.step.before.plan.config.turn_detection.authority
            if isinstance(fact.said, SpeechStarted):
                assert fact.cancels == []
                assert authority == "provider" or fact.rises == []

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_an_authority_that_is_not_offered_is_refused(self) -> None:
        able = replace(SCRIPTED, authorities=("provider",))
        wish = SessionConfig(turn_detection=TurnDetection(authority="local"))
        assert isinstance(negotiate(able, wish).failure(), Unsupported)

    def test_fault_answers_with_a_cancel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def local(state: State, now: Moment, cause: Any) -> State:
            del cause
            return interruption.interrupt(state, now, "local")

        monkeypatch.setattr(incoming, "interrupt", local)
        catches(self.law, STORIES)


class TestCause:
    """22. Every rise has one cause of a closed set, and names the responses it fenced."""

    @staticmethod
    def law(story: Story) -> None:
        for fact in facts(story):
            step = fact.step
            for rise in fact.rises:
                assert rise.cause in CAUSES
                assert set(rise.fenced) == fact.before.cut(step.before.epoch, step.given.at)
                assert len(set(rise.fenced)) == len(rise.fenced)
                if isinstance(step.given, Received) and step.after.conn == step.before.conn:
                    assert rise.cause in {"provider", "connection"}

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_names_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        emit = moment.emit

        def vague(state: State, now: Moment, event: Any) -> None:
            emit(state, now, replace(event, fenced=()) if hasattr(event, "fenced") else event)

        monkeypatch.setattr(interruption, "emit", vague)
        catches(self.law, STORIES)


def plain_story(**config: Any) -> Story:
    return Story(negotiate(SCRIPTED, SessionConfig(**config)).unwrap(), ())


class Session(RuleBasedStateMachine):
    """Laws 12, 13 and 22 as a state machine: what happens next is chosen by what has happened."""

    @initialize(story=STORIES)
    def opens(self, story: Story) -> None:
        self.rehearsal = Rehearsal(story._replace(timeline=()))

    @rule(story=STORIES)
    def goes_on(self, story: Story) -> None:
        for happening in story.timeline[:4]:
            for fact in self.rehearsal.happen(happening):
                TestVacuous.check(fact)
                TestCoalescing.check(fact)

    def teardown(self) -> None:
        if hasattr(self, "rehearsal"):
            self.rehearsal.close()


TestSession = Session.TestCase
