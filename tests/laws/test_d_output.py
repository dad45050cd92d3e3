"""D. Input and backpressure, 35 and 36: the outlet against a model, and everything flooded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import count, islice, pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
)
from msgspec.structs import replace

from realtime_core import (
    PCM_24K,
    AgentTranscript,
    Audio,
    AudioOutput,
    Close,
    Epoch,
    Frame,
    Interrupt,
    ItemId,
    Lanes,
    Latest,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    SessionConfig,
    Slide,
    SpeechStarted,
    Suspend,
    Text,
    TurnDetection,
    UserTranscript,
    Video,
    interruption,
    open_session,
    outlet,
)
from realtime_core import (
    Outlet as Limits,
)
from realtime_core.codec import Outgoing
from realtime_core.lane import Inlet
from realtime_core.outlet import Outlet, Tally
from realtime_core.testing import TICK, no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from realtime_core.testing.timeline import Pushes, Says, Takes, Waits, act
from tests.laws.inputs import tapped
from tests.laws.lane_model import SLIDES, against_the_model, sees
from tests.laws.model import Fact, Rehearsal
from tests.laws.sessions import Law, hold
from tests.laws.stories import BACKENDS, Story, catches, is_perishable, plain, played, stories

both = pytest.mark.parametrize("backend", BACKENDS)


class OutletAgainstModel(RuleBasedStateMachine):
    """What is put, taken, fenced and dropped, on the outlet and on a list."""

    SECONDS = 8 * TICK

    def __init__(self) -> None:
        super().__init__()
        self.outlet = Outlet(Limits(seconds=self.SECONDS))
        self.queue = list[tuple[int, int]]()
        """Samples and number of the audio that waits, oldest first."""
        self.number = 0
        self.epoch = Epoch(0)
        self.tally = Counter[str]()

    @rule(ticks=st.integers(0, 6))
    def put_audio(self, ticks: int) -> None:
        self.number += 1
        samples = 375 * ticks
        self._put(AudioOutput(pcm=self.number.to_bytes(2, "big") * samples, format=PCM_24K))
        self.queue.append((samples, self.number))
        self.tally["received"] += samples

    @rule(final=st.booleans())
    def put_words(self, final: bool) -> None:
        self._put(AgentTranscript(text="x", final=final))

    @rule()
    def put_control(self) -> None:
        self._put(SpeechStarted())

    def _put(self, event: Any) -> None:
        response = None if isinstance(event, SpeechStarted) else ResponseId("r")
        self.outlet.put(replace(event, epoch=self.epoch, response=response))

    @rule()
    def fence(self) -> None:
        self.epoch = Epoch(self.epoch + 1)
        self.outlet.fence(self.epoch)
        self.tally["fenced"] += sum(samples for samples, _ in self.queue)
        self.queue.clear()

    @rule()
    def overflow(self) -> None:
        gone = 0
        while sum(samples for samples, _ in self.queue) > self.SECONDS * 24_000:
            samples, _ = self.queue.pop(0)
            self.tally["overflowed"] += samples
            gone += samples
        _, ms = self.outlet.overflow()
        assert ms == pytest.approx(gone / 24)

    @rule()
    def take(self) -> None:
        event = self.outlet.take(0.0)
        if isinstance(event, AudioOutput):
            samples, number = self.queue.pop(0)
            assert event.pcm == number.to_bytes(2, "big") * samples
            self.tally["delivered"] += samples

    @invariant()
    def every_sample_is_accounted_for(self) -> None:
        waiting = sum(samples for samples, _ in self.queue)
        counted = {field: self.tally[field] for field in Tally._fields}
        tally = self.outlet.tally
        assert tally._asdict() == {**counted, "waiting": waiting}
        assert tally.received == sum(tally[1:])
        assert self.outlet.full is (waiting >= self.SECONDS * 24_000)


def samples(events: Iterable[RealtimeEvent]) -> int:
    heard = (event for event in events if isinstance(event, AudioOutput))
    return sum(event.format.samples(len(event.pcm)) for event in heard)


class Balances(Law):
    """What was queued and what was taken are all there is."""

    def __init__(self) -> None:
        self.said = 0

    def see(self, fact: Fact) -> None:
        self.said += samples(fact.step.events)

    def rest(self, rehearsal: Rehearsal) -> None:
        session = rehearsal.session
        tally = session.outlet.tally
        assert tally.received == sum(tally[1:])
        assert min(tally) >= 0
        assert (tally.received, tally.delivered) == (self.said, samples(session.events))
        assert all(amount >= 0 for amount in session.state.counts.values())

    def end(self, rehearsal: Rehearsal) -> None:
        self.rest(rehearsal)
        assert rehearsal.session.outlet.tally.waiting == 0, "all was taken in the end"


class TestOutputBalance:
    """35. At every instant: received = delivered + fenced + overflowed + waiting, in samples."""

    def test_model(self) -> None:
        against_the_model(OutletAgainstModel)

    @staticmethod
    def law(story: Story) -> None:
        hold(Balances, story)

    @given(stories())
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @both
    @given(stories())
    def test_live(self, backend: str, story: Story) -> None:
        done = played(story, backend)
        if done.session is not None:
            tally = done.session.statistics.output
            assert tally.received == sum(tally[1:])
            assert (tally.delivered, tally.waiting) == (samples(done.events), 0)

    def test_fault_fences_uncounted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def silent(self: Any, epoch: Epoch) -> None:
            self._media = type(self._media)(e for e in self._media if not is_perishable(e))
            self._settling = self._media.copy()

        monkeypatch.setattr(Outlet, "fence", silent)
        sees(OutletAgainstModel)
        catches(self.law, stories())

    def test_fault_drops_the_newest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        overflow = Outlet.overflow

        def newest(self: Any) -> Any:
            self._media.reverse()
            done = overflow(self)
            self._media.reverse()
            return done

        monkeypatch.setattr(Outlet, "overflow", newest)
        sees(OutletAgainstModel)


# --- 36 ---------------------------------------------------------------------------------------


class Flood:
    """A provider that never stops, a caller that never stops, and a consumer that never takes."""

    SECONDS = 6.0

    def __init__(
        self, policy: str, lanes: Lanes, cap: float = 2.0, piece: float = 0.25, pace: int = 0
    ) -> None:
        self.cap, self.piece, self.pace = cap, piece, pace
        self.config = SessionConfig(
            outlet=Limits(seconds=cap, policy=policy),  # type: ignore[arg-type]
            lanes=lanes,
            turn_detection=TurnDetection(authority="application"),
            fps=8.0,
            close_timeout=1.0,
        )
        self.most = Counter[str]()

    async def speak(self, peer: Peer) -> None:
        """Speak without end, in pieces, and hear nothing."""
        response, item = ResponseId("r"), ItemId("i")
        await peer.say(ResponseStarted(response=response))
        while True:
            pcm = bytes(2 * int(self.piece * 24_000))
            await peer.say(AudioOutput(response=response, item=item, pcm=pcm, format=PCM_24K))
            await anyio.sleep(TICK)

    async def push(self, session: RealtimeSession[Frame]) -> None:
        number = 0
        while session.connected:
            number += 1
            for frame in (
                Audio(bytes(4_800)),
                Video(str(number).encode()),
                Text("x", turn="context"),
            ):
                try:
                    session.send_nowait(frame)
                except RealtimeException as refusal:
                    self.most[type(refusal.error).__name__] += 1
                self.watch(session)
            await anyio.sleep(TICK)

    async def take(self, session: RealtimeSession[Frame]) -> None:
        """Take an event in so many ticks, or none."""
        events = session.events()
        while self.pace:
            await anyio.sleep(self.pace * TICK)
            await anext(events, None)

    def watch(self, session: RealtimeSession[Frame]) -> None:
        output = session.statistics.output
        self.most["output"] = max(self.most["output"], output.waiting)
        for name, balance in session.statistics.lanes.items():
            self.most[name] = max(self.most[name], balance.waiting)
        self.most["overflowed"] = output.overflowed

    async def main(self) -> None:
        provider = scripted(self.speak, buffer=0)
        async with no_leaks(), open_session(provider, self.config) as session:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.push, session)
                tasks.start_soon(self.take, session)
                await anyio.sleep(self.SECONDS)
                tasks.cancel_scope.cancel()
            self.reason = session.connected

    @classmethod
    def law(cls, policy: str, lanes: Lanes, *more: Any, backend: str = "asyncio") -> None:
        flood = cls(policy, lanes, *more)
        run(flood.main, backend=backend)
        most = flood.most
        assert most["output"] <= 24_000 * (flood.cap + flood.piece), "the cap plus one read"
        for name, each in (("audio", 100), ("video", 1), ("control", 1)):
            bound = getattr(lanes, name)
            cap = 1 if isinstance(bound, Latest) else bound.cap / each
            assert most[name] <= max(1, cap), "the cap, or one frame"
        if policy != "drop":
            assert most["overflowed"] == 0, "only the policy `drop` loses anything"
        if not flood.pace:
            assert flood.reason is (policy != "fail"), "only the policy `fail` ends the session"
            assert (most["overflowed"] > 0) is (policy == "drop"), "silence loses nothing"


LANES = (
    Lanes(audio=Suspend(cap=500), control=Suspend(cap=8)),
    Lanes(audio=Slide(cap=500), video=Slide(cap=3), control=Suspend(cap=8)),
    Lanes(audio=Latest(), video=Suspend(cap=3), control=Suspend(cap=8)),
)


class TestBoundedMemory:
    """36. Whatever peer and consumer do, what is queued stays under the caps."""

    @both
    @pytest.mark.parametrize("policy", ["pause", "drop", "fail"])
    @pytest.mark.parametrize("lanes", LANES, ids=["suspend", "slide", "latest"])
    def test_flooded(self, backend: str, policy: str, lanes: Lanes) -> None:
        Flood.law(policy, lanes, backend=backend)

    @both
    @given(
        st.sampled_from(("pause", "drop", "fail")),
        st.builds(
            Lanes,
            audio=st.one_of(SLIDES, st.builds(Suspend, st.sampled_from((100, 500)))),
            video=st.sampled_from((Latest(), Slide(cap=2), Suspend(cap=2))),
            control=st.builds(Suspend, st.integers(1, 8)),
        ),
        st.tuples(
            st.sampled_from((0.25, 1.0, 4.0)),
            st.sampled_from((TICK, 0.125, 0.5)),
            st.sampled_from((0, 1, 4, 32)),
        ),
    )
    def test_live(self, backend: str, policy: str, lanes: Lanes, more: tuple[Any, ...]) -> None:
        Flood.law(policy, lanes, *more, backend=backend)

    def test_an_endless_session_grows_to_a_limit(self) -> None:
        """What the machine knows after a thousand answers is no more than after five hundred."""
        assert self.grown() < 1.05

    @staticmethod
    def grown() -> float:
        session, numbers, sizes = plain(), count(), list[int]()
        for _ in range(2):
            for number in islice(numbers, 500):
                id, item = ResponseId(f"r{number:06}"), ItemId(f"i{number:06}")
                user = UserTranscript(item=ItemId(f"u{number:06}"), text="And?", final=True)
                words = AgentTranscript(response=id, item=item, text="Well.", final=True)
                sound = AudioOutput(response=id, item=item, pcm=bytes(48), format=PCM_24K)
                done = ResponseDone(response=id, status="completed")
                act(session, (Says((user, ResponseStarted(response=id), words, sound)),))
                act(session, (Pushes(Interrupt()),) * (number % 3 == 0))
                act(session, (Says((done,)), Takes(64), Waits(1)))
                session.trace.clear()
                session.steps.clear()
            sizes.append(len(repr(session.state)) + len(repr(session.outlet.delivered)))
        return sizes[1] / sizes[0]

    def test_fault_remembers_every_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruption, "forget", lambda ledger: ledger)
        assert self.grown() > 1.05

    @both
    def test_words_without_end(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A peer that sends words and notices, not sound, is paused as well."""
        self.words(backend, monkeypatch)

    @staticmethod
    def words(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outlet, "_MOST", 64)
        said = 0

        async def script(peer: Peer) -> None:
            nonlocal said
            while said < 1_000:
                await peer.say(SpeechStarted())
                said += 1
            await peer.drain()

        async def program() -> None:
            turns = TurnDetection(authority="application")
            config = SessionConfig(turn_detection=turns, close_timeout=1.0)
            async with open_session(scripted(script, buffer=0), config) as session:
                await anyio.sleep(64.0)
                assert said <= 66
                events = session.events()
                for _ in range(500):
                    await anext(events)
                assert said >= 490

        run(program, backend=backend)

    @both
    def test_sent_audio_nobody_looks_at(self, backend: str) -> None:
        self.echoes(backend)

    @staticmethod
    def echoes(backend: str) -> None:
        async def program() -> int:
            config = SessionConfig(outlet=Limits(seconds=1.0))
            async with open_session(scripted(Peer.drain), config) as session:
                for _ in range(640):
                    await session.send(Audio(bytes(750)))
                    await anyio.sleep(TICK)
                await session.send(Close())
                return len([event async for event in session.events()])

        assert run(program, backend=backend) < 64 + 16

    @both
    def test_a_picture_waits_alone_and_pictures_keep_their_pace(self, backend: str) -> None:
        handed = list[tuple[float, Outgoing]]()

        async def program() -> None:
            provider = tapped(scripted(Peer.drain), handed)
            async with open_session(provider, SessionConfig(fps=4.0)) as session:
                for number in range(128):
                    session.send_nowait(Video(str(number).encode()))
                    assert session.statistics.lanes["video"].waiting <= 1
                    await anyio.sleep(TICK)

        run(program, backend=backend)
        times = [at for at, frame in handed if isinstance(frame, Video)]
        assert 8 <= len(times) <= 9
        assert all(b - a >= 0.25 for a, b in pairwise(times))

    @pytest.mark.parametrize(
        ("owner", "name", "policy"),
        [(Outlet, "full", "pause"), (Outlet, "full", "drop"), (Outlet, "full", "fail")],
    )
    def test_fault_an_outlet_without_bound(
        self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, policy: str
    ) -> None:
        monkeypatch.setattr(owner, name, property(lambda outlet: False))
        with pytest.raises(AssertionError):
            Flood.law(policy, LANES[0])

    @pytest.mark.parametrize("lanes", LANES[:2], ids=["suspend", "slide"])
    def test_fault_a_lane_without_bound(
        self, monkeypatch: pytest.MonkeyPatch, lanes: Lanes
    ) -> None:
        monkeypatch.setattr(Inlet, "full", lambda inlet, frame: False)
        with pytest.raises(AssertionError):
            Flood.law("pause", lanes)

    def test_fault_a_latest_lane_that_keeps_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        drop = Inlet._drop

        def kept(self: Any, name: Any, reason: str, unwanted: Any) -> None:
            if reason != "newer":
                drop(self, name, reason, unwanted)

        monkeypatch.setattr(Inlet, "_drop", kept)
        with pytest.raises(AssertionError):
            Flood.law("pause", LANES[2])

    def test_fault_words_are_not_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Outlet, "crowded", property(lambda outlet: False))
        with pytest.raises((AssertionError, RealtimeException)):
            self.words("asyncio", monkeypatch)

    def test_fault_sent_audio_is_kept_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def endless(self: Any, event: Any) -> None:
            self._control.append(event)

        monkeypatch.setattr(Outlet, "_put_echo", endless)
        with pytest.raises(AssertionError):
            self.echoes("asyncio")
