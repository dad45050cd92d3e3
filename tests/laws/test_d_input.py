"""D. Input and backpressure, 29 to 36: lanes, doors and the outlet, against models and live."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from realtime_core import (
    PCM_24K,
    AgentTranscript,
    Audio,
    AudioFormat,
    AudioOutput,
    ClearAudio,
    Close,
    CommitAudio,
    Dropped,
    Epoch,
    Frame,
    Lanes,
    Latest,
    RealtimeException,
    RealtimeSession,
    ResponseStarted,
    SessionClosed,
    SessionConfig,
    Slide,
    SpeechStarted,
    Suspend,
    Text,
    TurnDetection,
    Video,
    machine,
    open_session,
)
from realtime_core import (
    Outlet as Limits,
)
from realtime_core.codec import Outgoing
from realtime_core.config import Policy
from realtime_core.doors import Doors
from realtime_core.lane import Balance, Inlet, lane_of
from realtime_core.line import Line
from realtime_core.outlet import Outlet, Tally
from realtime_core.testing import TICK, Injection, PointsFailed, every_point, no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from tests.laws.inputs import Input, inputs, mark, pushed, tapped
from tests.laws.stories import BACKENDS, Story, catches, folded, is_perishable, stories

both = pytest.mark.parametrize("backend", BACKENDS)

SLIDES = st.builds(Slide, st.sampled_from((20, 100, 500)), st.sampled_from((125, 500, 2_000)))


def audio(frames: list[Any]) -> list[int]:
    return [number for frame in frames if isinstance(frame, Audio) if (number := mark(frame))]


# --- 29 ---------------------------------------------------------------------------------------


class TestInOrder:
    """29. Frames go out in the order pushed; nothing that means "before" overtakes or is lost."""

    @staticmethod
    def law(story: Input, backend: str = "asyncio") -> None:
        came = pushed(story, backend)
        offered: list[Any] = [f for _, f in came.offered if not isinstance(f, Video)]
        handed: list[Any] = [f for _, f in came.handed if not isinstance(f, Video)]
        rest = iter(offered)
        assert all(frame in rest for frame in handed), "a subsequence of what was pushed"
        control = [frame for frame in offered if lane_of(frame) == "control"]
        assert [frame for frame in handed if lane_of(frame) == "control"] == control

    @both
    @given(inputs())
    def test_live(self, backend: str, story: Input) -> None:
        self.law(story, backend)

    def test_fault_one_lane_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        take = Inlet.take

        def control_first(self: Any, at: float) -> Frame | None:
            lanes = self._lanes
            if lanes["control"] and lanes["audio"]:
                audio, lanes["audio"] = lanes["audio"], type(lanes["audio"])()
                try:
                    return take(self, at)
                finally:
                    lanes["audio"] = audio
            return take(self, at)

        monkeypatch.setattr(Inlet, "take", control_first)
        catches(self.law, inputs())

    def test_fault_commands_wait_for_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        straight = Doors._straight

        def hasty(self: Any, frame: Frame) -> bool:
            if lane_of(frame) == "control" and self._driver.line is not None:
                return bool(self._through(frame))
            return straight(self, frame)

        monkeypatch.setattr(Doors, "_straight", hasty)
        catches(self.law, inputs())


# --- 30, 31: the lanes against a model --------------------------------------------------------


class Waits:
    """The model: what waits, as plain facts."""

    def __init__(self, number: int, frame: Frame, at: float) -> None:
        self.number, self.frame, self.at = number, frame, at
        self.lane = lane_of(frame)
        audio = isinstance(frame, Audio)
        self.size = len(frame.pcm) / 48 if isinstance(frame, Audio) and audio else 1.0


class LanesAgainstModel(RuleBasedStateMachine):
    """Pushes, takes and passing time, on the lanes and on a list."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0
        self.number = 0
        self.waiting = list[Waits]()
        self.lost = list[tuple[str, str, int]]()
        self.counts = Counter[tuple[str, str]]()

    @initialize(
        audio=st.one_of(SLIDES, st.builds(Suspend, st.sampled_from((20, 100))), st.just(Latest())),
        video=st.sampled_from((Latest(), Slide(cap=2), Suspend(cap=2))),
        control=st.builds(Suspend, st.integers(1, 4)),
    )
    def agree(self, audio: Policy, video: Policy, control: Suspend) -> None:
        self.policies: dict[str, Policy] = {"audio": audio, "video": video, "control": control}
        self.lanes = Inlet(Lanes(audio=audio, video=video, control=control))

    @rule(pieces=st.lists(st.integers(1, 6), min_size=1, max_size=6))
    def push_audio(self, pieces: list[int]) -> None:
        for ticks in pieces:
            self._push(Audio(bytes(750 * ticks)))

    @rule()
    def push_video(self) -> None:
        self._push(Video(str(self.number).encode()))

    @rule(frame=st.sampled_from((Text("x"), Text("y"), CommitAudio(), ClearAudio())))
    def push_control(self, frame: Frame) -> None:
        self._push(frame)

    @rule(ticks=st.sampled_from((1, 8, 64)))
    def wait(self, ticks: int) -> None:
        self.at += ticks * TICK

    @rule(ticks=st.integers(0, 16))
    def gate(self, ticks: int) -> None:
        self.lanes.video_at = self.at + ticks * TICK

    @rule()
    def take(self) -> None:
        for name, policy in self.policies.items():
            if isinstance(policy, Slide):
                limit = self.at - policy.max_age / 1000
                self._lose(name, "too old", lambda one, limit=limit: one.at < limit)
        ready = [
            one for one in self.waiting if one.lane != "video" or self.at >= self.lanes.video_at
        ]
        taken = self.lanes.take(self.at)
        if not ready:
            assert taken is None
            return
        assert taken is ready[0].frame, "the oldest of all that may leave"
        self.waiting.remove(ready[0])
        self.counts[ready[0].lane, "sent"] += 1

    @precondition(lambda self: self.number > 30)
    @rule()
    def end(self) -> None:
        self.lanes.abandon("closed")
        for name in self.policies:
            self._lose(name, "closed", lambda one: True)

    def _push(self, frame: Frame) -> None:
        self.number += 1
        one = Waits(self.number, frame, self.at)
        mine = [other for other in self.waiting if other.lane == one.lane]
        policy = self.policies[one.lane]
        self.counts[one.lane, "offered"] += 1
        room = self._room(one, mine)
        assert self.lanes.full(frame) is not room
        if isinstance(policy, Suspend) and not room:
            self.counts[one.lane, "refused"] += 1
            with pytest.raises(RealtimeException):
                self.lanes.put(frame, self.at)
            return
        surplus = 0
        while not self._room(one, mine[surplus:]):
            surplus += 1
        reason = "newer" if isinstance(policy, Latest) else "full"
        oldest = {other.number for other in mine[:surplus]}
        self._lose(one.lane, reason, lambda other: other.number in oldest)
        if isinstance(frame, ClearAudio):
            self._lose("audio", "cleared", lambda other: True)
        self.waiting.append(one)
        self.lanes.put(frame, self.at)

    def _room(self, one: Waits, mine: list[Waits]) -> bool:
        policy = self.policies[one.lane]
        if isinstance(policy, Latest):
            return not mine
        return not mine or sum(other.size for other in mine) + one.size <= policy.cap

    def _lose(self, name: str, reason: str, which: Any) -> None:
        lost = [one for one in self.waiting if one.lane == name and which(one)]
        self.waiting = [one for one in self.waiting if one not in lost]
        self.counts[name, "dropped"] += len(lost)
        if lost:
            self.lost.append((name, reason, len(lost)))

    @invariant()
    def nothing_is_unaccounted_for(self) -> None:
        for name in ("audio", "video", "control"):
            balance = self.lanes.balances[name]
            waiting = sum(one.lane == name for one in self.waiting)
            counted = {field: self.counts[name, field] for field in Balance._fields}
            assert balance._asdict() == {**counted, "waiting": waiting}
            others = balance.sent + balance.dropped + balance.refused + balance.waiting
            assert balance.offered == others
        assert [drop[:3] for drop in self.lanes.drops] == self.lost
        assert self.lanes.empty is not bool(self.waiting)


def against_the_model(machine: type[RuleBasedStateMachine]) -> None:
    limits = settings(max_examples=2 * settings().max_examples)
    run_state_machine_as_test(machine, settings=limits)


def sees(machine: type[RuleBasedStateMachine]) -> None:
    """Require that the model notices the fault that is planted now."""
    looking = settings(max_examples=300, phases=(Phase.generate,), database=None, derandomize=True)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it breaks first
        run_state_machine_as_test(machine, settings=looking)


class TestOldestFirst:
    """30. What is dropped is the oldest, as few as make room, counted and reported slowly."""

    def test_model(self) -> None:
        against_the_model(LanesAgainstModel)

    @staticmethod
    def law(story: Input, backend: str = "asyncio") -> None:
        came = pushed(story, backend)
        for name, balance in came.before.items():
            reports = [e for e in came.events if isinstance(e, Dropped) and e.lane == name]
            assert sum(report.count for report in reports) == balance.dropped
            for reason in {report.reason for report in reports}:
                times = [report.at for report in reports if report.reason == reason]
                gaps = [b - a for a, b in pairwise(times)]
                assert all(gap >= 1.0 for gap in gaps), "reported at a bounded rate"
        offered = {number for _, frame in came.offered if (number := mark(frame))}
        handed = {number for _, frame in came.handed if (number := mark(frame))}
        pushed_audio = {n for _, f in came.offered if isinstance(f, Audio) and (n := mark(f))}
        pictures = {n for _, f in came.offered if isinstance(f, Video) and (n := mark(f))}
        assert handed <= offered
        lost = came.before["audio"].dropped, came.before["video"].dropped
        assert (len(pushed_audio - handed), len(pictures - handed)) == lost
        assert came.before["control"].dropped == 0

    @both
    @given(inputs())
    def test_live(self, backend: str, story: Input) -> None:
        self.law(story, backend)

    def test_fault_drops_the_newest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        drop = Inlet._drop

        def newest(self: Any, name: Any, reason: str, unwanted: Any) -> None:
            self._lanes[name].reverse()
            drop(self, name, reason, unwanted)
            self._lanes[name].reverse()

        monkeypatch.setattr(Inlet, "_drop", newest)
        sees(LanesAgainstModel)

    def test_fault_drops_more_than_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put = Inlet.put

        def greedy(self: Any, frame: Frame, at: float) -> None:
            if isinstance(self.policy(frame), Slide) and self.full(frame):
                lane = self._lanes[lane_of(frame)]
                self._drop(lane_of(frame), "full", lambda: bool(lane))
            put(self, frame, at)

        monkeypatch.setattr(Inlet, "put", greedy)
        sees(LanesAgainstModel)

    def test_fault_reports_each_drop_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from realtime_core import lifecycle

        monkeypatch.setattr(lifecycle, "_REPORT_EVERY", 0.0)
        catches(self.law, inputs())

    def test_fault_drops_text_for_audio(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put = Inlet.put

        def careless(self: Any, frame: Frame, at: float) -> None:
            if isinstance(frame, Audio) and self.full(frame):
                lane = self._lanes["control"]
                self._drop("control", "full", lambda: bool(lane))
            put(self, frame, at)

        monkeypatch.setattr(Inlet, "put", careless)
        catches(self.law, inputs())


class TestInputBalance:
    """31. At every instant: frames offered = sent + dropped + refused + waiting."""

    @staticmethod
    def law(story: Input, backend: str = "asyncio") -> None:
        def check(session: RealtimeSession[Frame]) -> None:
            for balance in session.statistics.lanes.values():
                parts = balance.sent + balance.dropped + balance.refused + balance.waiting
                assert balance.offered == parts
                assert min(balance) >= 0

        came = pushed(story, backend, check=check)
        offered = sum(balance.offered for balance in came.before.values())
        assert offered == len(story.pushes)
        assert sum(balance.refused for balance in came.before.values()) == came.refused
        assert sum(balance.sent for balance in came.before.values()) == len(came.handed)
        assert all(balance.waiting == 0 for balance in came.before.values())

    @both
    @given(inputs())
    def test_live(self, backend: str, story: Input) -> None:
        self.law(story, backend)

    def test_fault_forgets_a_drop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        count = Inlet._count

        def forgetful(self: Any, name: Any, **change: int) -> None:
            count(self, name, **{k: v for k, v in change.items() if k != "dropped"})

        monkeypatch.setattr(Inlet, "_count", forgetful)
        sees(LanesAgainstModel)
        catches(self.law, inputs())

    def test_fault_counts_a_refused_push_as_never_made(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        count = Inlet._count

        def forgetful(self: Any, name: Any, **change: int) -> None:
            count(self, name, **{k: v for k, v in change.items() if k != "refused"})

        monkeypatch.setattr(Inlet, "_count", forgetful)
        sees(LanesAgainstModel)


# --- 32 ---------------------------------------------------------------------------------------


class TestDeclaredPush:
    """32. A push does what its policy says at once; suspending drops nothing; closed is closed."""

    SUSPENDING = inputs(audio=st.builds(Suspend, st.sampled_from((20, 100))))

    @staticmethod
    def law(story: Input, backend: str = "asyncio") -> None:
        came = pushed(story, backend)
        assert came.before["control"].dropped == 0
        if not any(isinstance(frame, ClearAudio) for _, frame in came.offered):
            assert came.before["audio"].dropped == 0
        if story.door != "nowait":
            assert came.refused == 0

    @both
    @given(SUSPENDING)
    def test_live(self, backend: str, story: Input) -> None:
        self.law(story, backend)

    def test_fault_suspending_drops(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put = Inlet.put

        def sliding(self: Any, frame: Frame, at: float) -> None:
            self._drop(lane_of(frame), "full", lambda: self.full(frame))
            put(self, frame, at)

        monkeypatch.setattr(Inlet, "put", sliding)
        catches(self.law, self.SUSPENDING)

    @staticmethod
    async def closing(point: Injection) -> None:
        """Pushes under way; at one instant the session is closed."""
        errors = list[Any]()

        async def script(peer: Peer) -> None:
            await anyio.sleep(4 * TICK)
            await peer.drain()

        async def push(session: RealtimeSession[Frame]) -> None:
            try:
                for _ in range(16):
                    await session.send(Text("x", turn="context"))
                    await session.send(Audio(bytes(960)))
                    await anyio.sleep(TICK / 2)
            except RealtimeException as refusal:
                errors.append(refusal.error)

        config = SessionConfig(
            lanes=Lanes(audio=Suspend(cap=20), control=Suspend(cap=1)), close_timeout=4 * TICK
        )
        provider = scripted(script, buffer=0)
        async with no_leaks(), open_session(provider, config) as session:
            await point.drive(push(session), lambda: session.send_nowait(Close()))
            if not point.fired:
                return
            for frame in (Audio(b""), Text("x"), Video(b""), CommitAudio()):
                for again in (session.send_nowait, session.send):
                    try:
                        waiting = again(frame)
                        if waiting is not None:
                            await waiting
                    except RealtimeException as refusal:
                        errors.append(refusal.error)
        assert len(errors) in {8, 9}
        assert {type(error) for error in errors} == {SessionClosed}
        assert len(set(errors)) == 1, "the same error, word for word"

    @both
    def test_closed_at_every_instant(self, backend: str) -> None:
        assert every_point(self.closing, backend=backend) > 10

    def test_fault_another_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        numbers = iter(range(10**6))

        def other() -> SessionClosed:
            return SessionClosed(what=f"Closed {next(numbers)}.")

        monkeypatch.setattr(machine, "_closed", other)
        with pytest.raises(PointsFailed):
            every_point(self.closing)

    def test_fault_swallows_what_comes_too_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        straight = Doors._straight

        def mute(self: Any, frame: Frame) -> bool:
            return self._driver.state.phase.ending or straight(self, frame)

        monkeypatch.setattr(Doors, "_straight", mute)
        with pytest.raises(PointsFailed):
            every_point(self.closing)


# --- 33 ---------------------------------------------------------------------------------------


class TestNoOldSpeech:
    """33. No audio older than max_age is handed to a provider, after stall or reconnect either."""

    STORIES = inputs(doors=("nowait", "send"), audio=SLIDES, losses=True)

    @staticmethod
    def law(story: Input, backend: str = "asyncio") -> None:
        came = pushed(story, backend)
        assert isinstance(story.audio, Slide)
        since = {mark(frame): at for at, frame in came.offered if isinstance(frame, Audio)}
        for at, frame in came.handed:
            if isinstance(frame, Audio):
                assert at - since[mark(frame)] <= story.audio.max_age / 1000

    @both
    @given(STORIES)
    def test_live(self, backend: str, story: Input) -> None:
        self.law(story, backend)

    def test_fault_never_too_old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Inlet, "_age", lambda inlet, at: None)
        catches(self.law, self.STORIES)

    def test_fault_hands_over_while_the_connection_is_stuck(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Line, "backed_up", property(lambda line: line.waiting))
        catches(self.law, self.STORIES)


# --- 34 ---------------------------------------------------------------------------------------

FORMATS = st.builds(
    AudioFormat,
    st.sampled_from((8_000, 11_025, 16_000, 24_000, 44_100, 48_000)),
    st.sampled_from(("pcm16", "f32", "pcmu", "pcma")),
    st.sampled_from((1, 2)),
)


class TestWholeSamples:
    """34. Whole samples go out, and conversion keeps a stream's duration to within one sample."""

    STREAMS = st.lists(st.tuples(FORMATS, st.lists(st.integers(0, 700), max_size=12)), max_size=4)

    @staticmethod
    def law(streams: list[tuple[AudioFormat, list[int]]], backend: str = "asyncio") -> None:
        handed = list[tuple[float, Outgoing]]()

        async def program() -> None:
            provider = tapped(scripted(Peer.drain), handed)
            lanes = Lanes(audio=Suspend(cap=10**6))
            async with open_session(provider, SessionConfig(lanes=lanes)) as session:
                for form, pieces in streams:
                    for samples in pieces:
                        await session.send(Audio(bytes(samples * form.sample_size), form))
                    await session.send(CommitAudio())

        run(program, backend=backend)
        sent, stream = list[int](), 0
        for _, frame in handed:
            if isinstance(frame, Audio):
                assert frame.format == PCM_24K
                assert len(frame.pcm) % 2 == 0
                stream += len(frame.pcm) // 2
            elif isinstance(frame, CommitAudio):
                sent, stream = [*sent, stream], 0
        due = [sum(pieces) * 24_000 / form.rate for form, pieces in streams]
        assert len(sent) == len(due)
        assert all(abs(a - b) <= 1 for a, b in zip(sent, due, strict=True))

    @both
    @given(STREAMS)
    def test_live(self, backend: str, streams: list[tuple[AudioFormat, list[int]]]) -> None:
        self.law(streams, backend)

    def test_fault_forgets_what_was_held_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Doors, "_held_back", lambda doors: b"")
        catches(self.law, self.STREAMS)

    def test_fault_begins_anew_with_each_frame(self, monkeypatch: pytest.MonkeyPatch) -> None:
        converted = Doors._converted

        def each(self: Any, frame: Audio) -> bytes:
            self._conversion = None
            return converted(self, frame)

        monkeypatch.setattr(Doors, "_converted", each)
        catches(self.law, self.STREAMS)


# --- 35: the outlet against a model -----------------------------------------------------------


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
        from msgspec.structs import replace

        from realtime_core import ResponseId

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


class TestOutputBalance:
    """35. At every instant: received = delivered + fenced + overflowed + waiting, in samples."""

    def test_model(self) -> None:
        against_the_model(OutletAgainstModel)

    @staticmethod
    def law(story: Story) -> None:
        session = folded(story)
        tally, dropped = session.outlet.tally, session.state.counts
        assert tally.received == sum(tally[1:])
        assert tally.waiting == 0, "all was taken in the end"
        said = sum(
            event.format.samples(len(event.pcm))
            for one in session.steps
            for event in one.events
            if isinstance(event, AudioOutput)
        )
        taken = sum(
            event.format.samples(len(event.pcm))
            for event in session.events
            if isinstance(event, AudioOutput)
        )
        assert (tally.received, tally.delivered) == (said, taken)
        assert all(amount >= 0 for amount in dropped.values())

    @given(stories())
    def test_folded(self, story: Story) -> None:
        self.law(story)

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

    CAP = 2.0
    PIECE = 0.25

    def __init__(self, policy: str = "pause", lanes: Lanes | None = None) -> None:
        self.config = SessionConfig(
            outlet=Limits(seconds=self.CAP, policy=policy),  # type: ignore[arg-type]
            lanes=lanes or Lanes(),
            turn_detection=TurnDetection(authority="application"),
            fps=8.0,
            close_timeout=1.0,
        )
        self.most = Counter[str]()

    async def speak(self, peer: Peer) -> None:
        """Speak without end, in pieces, and hear nothing."""
        from realtime_core import ItemId, ResponseId

        response, item = ResponseId("r"), ItemId("i")
        await peer.say(ResponseStarted(response=response))
        while True:
            pcm = bytes(int(self.PIECE * 48_000))
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
                await anyio.sleep(6.0)
                tasks.cancel_scope.cancel()
            self.reason = session.connected

    @classmethod
    def law(cls, policy: str, lanes: Lanes, backend: str = "asyncio") -> Counter[str]:
        flood = cls(policy, lanes)
        run(flood.main, backend=backend)
        most = flood.most
        assert most["output"] <= 24_000 * (cls.CAP + cls.PIECE), "the cap plus one read"
        for name, each in (("audio", 100), ("video", 1), ("control", 1)):
            bound = getattr(lanes, name)
            cap = 1 if isinstance(bound, Latest) else bound.cap / each
            assert most[name] <= max(1, cap), "the cap, or one frame"
        assert flood.reason is (policy != "fail"), "only the policy `fail` ends the session"
        assert (most["overflowed"] > 0) is (policy == "drop"), "silence loses nothing"
        return most


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
        Flood.law(policy, lanes, backend)

    @both
    def test_words_without_end(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A peer that sends words and notices, not sound, is paused as well."""
        self.words(backend, monkeypatch)

    @staticmethod
    def words(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        from realtime_core import outlet

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
