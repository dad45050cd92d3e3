"""D. Input and backpressure, 29 to 34: lanes and doors, against a model and live."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import (
    PCM_24K,
    Audio,
    AudioFormat,
    AuthFailed,
    ClearAudio,
    Close,
    CommitAudio,
    Dropped,
    Frame,
    Lanes,
    RealtimeError,
    RealtimeException,
    RealtimeSession,
    SessionClosed,
    SessionConfig,
    Slide,
    Spaced,
    Suspend,
    Text,
    Video,
    lifecycle,
    machine,
    open_session,
)
from realtime_core.codec import Outgoing
from realtime_core.doors import Doors
from realtime_core.lane import Inlet, lane_of
from realtime_core.line import Line
from realtime_core.testing import TICK, Injection, PointsFailed, every_point, no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from tests.laws.inputs import Input, inputs, mark, pushed, tapped
from tests.laws.lane_model import SLIDES, LanesAgainstModel, against_the_model, sees
from tests.laws.scenarios import PUMPS, cut
from tests.laws.stories import BACKENDS, catches

both = pytest.mark.parametrize("backend", BACKENDS)


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

    @both
    @given(st.lists(st.booleans(), max_size=12))
    def test_close_comes_last(self, backend: str, kinds: list[bool]) -> None:
        """The provider is deaf while they are pushed, and hears all of it before the good-bye."""
        handed = list[tuple[float, Outgoing]]()
        frames: list[Frame] = [
            Text(str(number), turn="context") if text else Audio(number.to_bytes(2, "little"))
            for number, text in enumerate(kinds, 1)
        ]

        async def deaf(peer: Peer) -> None:
            await anyio.sleep(TICK)
            await peer.drain()

        async def program() -> None:
            provider = tapped(scripted(deaf, buffer=0), handed)
            async with open_session(provider) as session:
                for frame in frames:
                    session.send_nowait(frame)

        run(program, backend=backend)
        assert [frame for _, frame in handed] == [*frames, Close()]

    @staticmethod
    async def overtaking(point: Injection) -> None:
        """Frames wait for a connection that was lost; at one instant a last one is pushed."""
        handed = list[tuple[float, Outgoing]]()
        *frames, last = (Text(str(number), turn="context") for number in range(8))
        taken = list[Text]()

        async def breaks(peer: Peer) -> None:
            if peer.conn:
                await peer.drain()
            await peer.welcome()
            cut(peer)

        config = SessionConfig(retry=Spaced(2 * TICK))
        async with open_session(tapped(scripted(breaks, buffer=0), handed), config) as session:
            await anyio.sleep(TICK)
            for frame in frames:
                session.send_nowait(frame)

            def push() -> None:
                with suppress(RealtimeException):
                    session.send_nowait(last)
                    taken.append(last)

            point.arm(push)
            await anyio.sleep(8 * TICK)
        assert [frame for _, frame in handed] == [*frames, *taken, Close()]

    @both
    def test_every_instant(self, backend: str) -> None:
        assert every_point(self.overtaking, backend=backend, tasks=PUMPS) > 10

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


# --- 30, 31 -----------------------------------------------------------------------------------


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

    def test_model(self) -> None:
        against_the_model(LanesAgainstModel)

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

    @both
    def test_a_push_that_waits_is_told_of_the_end(self, backend: str) -> None:
        async def breaks(peer: Peer) -> None:
            await anyio.sleep(4 * TICK)
            raise RealtimeException(AuthFailed(what="The key was withdrawn."))

        async def program() -> list[RealtimeError]:
            refused = list[RealtimeError]()

            async def push(session: RealtimeSession[Frame]) -> None:
                try:
                    for _ in range(64):
                        await session.send(Text("x" * 65_536, turn="context"))
                except RealtimeException as raised:
                    refused.append(raised.error)

            config = SessionConfig(lanes=Lanes(control=Suspend(cap=1)))
            with suppress(RealtimeException):
                async with open_session(scripted(breaks, buffer=0), config) as session:
                    with anyio.move_on_after(64 * TICK):
                        await push(session)
            return refused

        refused = run(program, backend=backend)
        assert [type(error) for error in refused] == [SessionClosed]

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
