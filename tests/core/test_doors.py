"""The doors: frames come in by call or by queue and reach the wire in the order they came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    PCM_16K,
    PCM_24K,
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioFormat,
    ClearAudio,
    Close,
    CommitAudio,
    Disconnected,
    Dropped,
    Error,
    Frame,
    Interrupt,
    InvalidRequest,
    LaneFull,
    Lanes,
    Latest,
    RealtimeException,
    RealtimeSession,
    Reconnected,
    SessionClosed,
    SessionConfig,
    Slide,
    Spaced,
    Suspend,
    Text,
    Unsupported,
    UpdateSession,
    Video,
    open_session,
)
from realtime_core.codec import Outgoing
from realtime_core.lane import Balance
from realtime_core.testing import TICK, run
from realtime_core.testing.scripted import SCRIPTED, Peer, scripted
from tests.core.short import listening, names, of

Heard = list[tuple[float, Outgoing]]
Program = Callable[[RealtimeSession[Frame]], Awaitable[None]]


def context(text: str) -> Text:
    return Text(text, turn="context")


def piece(mark: int, ms: int = 20) -> Audio:
    return Audio(bytes([mark, 0]) * (ms * 24))


def marks(heard: Heard) -> list[int]:
    return [frame.pcm[0] for _, frame in heard if isinstance(frame, Audio) and frame.pcm]


def play(
    backend: str,
    program: Program,
    *,
    buffer: float = 64,
    deaf_until: float = 0.0,
    able: Any = SCRIPTED,
    **settings: Any,
) -> Heard:
    """Run a program on a session whose provider only listens; give what it heard, and when."""
    heard: Heard = []

    async def main() -> None:
        provider = scripted(listening(heard, deaf_until=deaf_until), able, buffer=buffer)
        async with open_session(provider, SessionConfig(**settings)) as session:
            await program(session)
            await anyio.sleep(0.25)

    run(main, backend=backend)
    return [(at, frame) for at, frame in heard if not isinstance(frame, Close)]


# --- order ------------------------------------------------------------------------------------


@pytest.mark.parametrize("buffer", [0, 64])
def test_frames_reach_the_provider_in_the_order_of_the_pushes(
    anyio_backend: str, buffer: int
) -> None:
    pushed: list[Frame] = [
        piece(1),
        context("a"),
        piece(2),
        piece(3),
        CommitAudio(),
        piece(4),
        context("b"),
    ]

    async def nowait(session: RealtimeSession[Frame]) -> None:
        for frame in pushed:
            session.send_nowait(frame)

    async def waiting(session: RealtimeSession[Frame]) -> None:
        for frame in pushed:
            await session.send(frame)

    async def queued(session: RealtimeSession[Frame]) -> None:
        for frame in pushed:
            await session.frames.send(frame)

    for program in (nowait, waiting, queued):
        assert [frame for _, frame in play(anyio_backend, program, buffer=buffer)] == pushed


def test_a_frame_goes_straight_through_when_nothing_waits_ahead_of_it(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(piece(1))
        assert session.statistics.lanes["audio"] == Balance(offered=1, sent=1)
        session.send_nowait(piece(2))
        assert session.statistics.lanes["audio"] == Balance(offered=2, sent=1, waiting=1)

    assert marks(play(anyio_backend, program)) == [1, 2]


def test_a_frame_waits_in_its_lane_while_the_connection_does_not_accept(
    anyio_backend: str,
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for mark in range(1, 5):
            session.send_nowait(piece(mark))
            await anyio.sleep(0.5)
        assert session.statistics.lanes["audio"] == Balance(offered=4, sent=1, waiting=3)

    lanes = Lanes(audio=Slide(max_age=60_000))
    heard = play(anyio_backend, program, buffer=0, deaf_until=2.0, lanes=lanes)
    assert marks(heard) == [1, 2, 3, 4]


def test_what_waits_goes_ahead_of_the_leave_taking(anyio_backend: str) -> None:
    heard: Heard = []

    async def main() -> None:
        async with open_session(scripted(listening(heard))) as session:
            for text in ("a", "b", "c"):
                session.send_nowait(context(text))

    run(main, backend=anyio_backend)
    assert [frame for _, frame in heard] == [context("a"), context("b"), context("c"), Close()]


def test_what_waits_goes_ahead_of_a_close_that_was_pushed(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(context("a"))
        session.send_nowait(context("b"))
        await session.send(Close())

    assert [frame for _, frame in play(anyio_backend, program)] == [context("a"), context("b")]


def test_an_urgent_frame_waits_for_nothing(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for _ in range(3):
            session.send_nowait(context("x"))
        session.send_nowait(Interrupt())
        assert session.epoch == 1
        await session.send(Interrupt())
        assert session.epoch == 2

    play(anyio_backend, program, buffer=0, deaf_until=9.0)


def test_an_urgent_frame_is_taken_even_from_a_cancelled_task(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await session.send(Interrupt())
        assert session.epoch == 1

    play(anyio_backend, program)


def test_an_ordinary_frame_is_not_taken_from_a_cancelled_task(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await session.send(context("x"))
        assert session.statistics.lanes["control"].offered == 0

    assert play(anyio_backend, program) == []


# --- waiting for room -------------------------------------------------------------------------

TIGHT = Lanes(audio=Suspend(cap=20), control=Suspend(cap=1))


def test_under_the_suspending_policy_a_push_waits_for_room_and_nothing_is_dropped(
    anyio_backend: str,
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for mark in range(1, 6):
            await session.send(piece(mark))
        assert anyio.current_time() == 3.0

    heard = play(anyio_backend, program, buffer=0, deaf_until=3.0, lanes=TIGHT)
    assert marks(heard) == [1, 2, 3, 4, 5]


def test_under_the_suspending_policy_a_push_that_may_not_wait_is_refused(
    anyio_backend: str,
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for mark in range(1, 3):
            session.send_nowait(piece(mark))
            await anyio.sleep(0.5)
        with pytest.raises(RealtimeException) as refusal:
            session.send_nowait(piece(3))
        assert isinstance(refusal.value.error, LaneFull)

    heard = play(anyio_backend, program, buffer=0, deaf_until=3.0, lanes=TIGHT)
    assert marks(heard) == [1, 2]


def test_a_push_that_is_cancelled_while_it_waits_leaves_its_frame_unsent(
    anyio_backend: str,
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for text in ("a", "b"):
            await session.send(context(text))
            await anyio.sleep(0.5)
        with anyio.move_on_after(1.0) as patience:
            await session.send(context("never"))
        assert patience.cancelled_caught
        await session.send(context("c"))

    heard = play(anyio_backend, program, buffer=0, deaf_until=3.0, lanes=TIGHT)
    assert [frame.text for _, frame in heard if isinstance(frame, Text)] == ["a", "b", "c"]


def test_who_waits_for_room_gets_it_in_turn(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(session.send, context(str(number)))
                await anyio.sleep(0.25)

    heard = play(anyio_backend, program, buffer=0, deaf_until=3.0, lanes=TIGHT)
    texts = [frame.text for _, frame in heard if isinstance(frame, Text)]
    assert texts == [str(number) for number in range(8)]


def test_who_waits_for_room_when_the_session_closes_is_told_so(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        told = list[BaseException]()

        async def push() -> None:
            try:
                await session.send(context("x"))
            except RealtimeException as refusal:
                told.append(refusal)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(push)
                await anyio.sleep(0.125)
            session.send_nowait(Close())
        errors = [refusal.error for refusal in told if isinstance(refusal, RealtimeException)]
        assert [type(error) for error in errors] == [SessionClosed] * 3
        with pytest.raises(RealtimeException) as refusal:
            session.send_nowait(piece(1))
        assert {refusal.value.error, *errors} == {errors[0]}

    play(anyio_backend, program, buffer=0, deaf_until=9.0, lanes=TIGHT, close_timeout=1.0)


@pytest.mark.parametrize("policy", [Latest(), Slide(cap=20), Suspend(cap=20)], ids=str)
def test_a_spoken_turn_waits_for_room_whatever_the_policy(anyio_backend: str, policy: Any) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        await session.simple_audio_response(b"".join(piece(mark).pcm for mark in range(1, 6)))

    able = replace(SCRIPTED, closing_silence_ms=0)
    heard = play(
        anyio_backend, program, buffer=0, deaf_until=1.0, able=able, lanes=Lanes(audio=policy)
    )
    assert marks(heard) == [1, 2, 3, 4, 5]


def test_drops_of_a_sliding_lane_are_reported(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for mark in range(1, 8):
            session.send_nowait(piece(mark))
            await anyio.sleep(0.25)
        await anyio.sleep(1.0)
        await session.send(Close())
        drops = of(Dropped, [event async for event in session.events()])
        assert {(drop.lane, drop.reason) for drop in drops} == {("audio", "full")}
        assert sum(drop.count for drop in drops) == 4

    lanes = Lanes(audio=Slide(cap=40, max_age=60_000))
    heard = play(anyio_backend, program, buffer=0, deaf_until=1.875, lanes=lanes)
    assert marks(heard) == [1, 6, 7]


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [PCM_24K, PCM_16K], ids=["native", "converted"])
def test_audio_that_is_no_whole_number_of_samples_is_refused(
    anyio_backend: str, form: AudioFormat
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        with pytest.raises(RealtimeException) as refusal:
            session.send_nowait(Audio(bytes(3), form))
        assert isinstance(refusal.value.error, InvalidRequest)
        assert session.statistics.lanes["audio"].offered == 0

    assert play(anyio_backend, program) == []


def test_audio_that_cannot_be_converted_is_refused_before_it_waits(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        with pytest.raises(RealtimeException) as refusal:
            await session.send(Audio(bytes(12), AudioFormat(channels=3)))
        assert isinstance(refusal.value.error, InvalidRequest)

    able = replace(SCRIPTED, audio_in=(AudioFormat(channels=2),))
    assert play(anyio_backend, program, able=able) == []


def test_a_frame_the_provider_lacks_is_refused_to_the_caller_or_reported(
    anyio_backend: str,
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        with pytest.raises(RealtimeException) as refusal:
            session.send_nowait(Video(b"1"))
        session.send_nowait(context("a"))
        session.send_nowait(Video(b"2"))
        await anyio.sleep(2.0)
        assert session.statistics.lanes["video"] == Balance(offered=2, refused=2)
        await session.send(Close())
        (error,) = of(Error, [event async for event in session.events()])
        assert isinstance(error.error, Unsupported)
        assert error.error == refusal.value.error

    play(anyio_backend, program, able=replace(SCRIPTED, images=False))


# --- conversion -------------------------------------------------------------------------------


def samples(heard: Heard) -> int:
    return sum(len(frame.pcm) // 2 for _, frame in heard if isinstance(frame, Audio))


def test_audio_is_converted_to_the_format_of_the_provider(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        stereo = AudioFormat(rate=48_000, encoding="f32", channels=2)
        for _ in range(50):
            await session.send(Audio(bytes(8 * 960), stereo))
        await session.send(CommitAudio())

    heard = play(anyio_backend, program)
    assert {frame.format for _, frame in heard if isinstance(frame, Audio)} == {PCM_24K}
    assert samples(heard) == 24_000
    assert names(frame for _, frame in heard)[-2:] == ["Audio", "CommitAudio"]


@pytest.mark.parametrize("end", [ActivityEnd(), CommitAudio()], ids=["activity", "commit"])
def test_what_conversion_held_back_goes_ahead_of_the_end_of_the_turn(
    anyio_backend: str, end: Frame
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for _ in range(2):
            session.send_nowait(ActivityStart())
            session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
            session.send_nowait(end)

    heard = play(anyio_backend, program)
    assert samples(heard) == 960
    kinds = [type(frame) for _, frame in heard if isinstance(frame, Audio | ActivityStart)]
    assert kinds == [ActivityStart, Audio, Audio] * 2


def test_what_conversion_held_back_goes_ahead_of_audio_in_another_format(
    anyio_backend: str,
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(Audio(bytes(2 * 160), AudioFormat(rate=8_000)))
        session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
        session.send_nowait(piece(7))

    assert samples(play(anyio_backend, program)) == 3 * 480


def test_clearing_forgets_what_conversion_held_back(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
        await anyio.sleep(0.5)
        session.send_nowait(ClearAudio())
        await anyio.sleep(0.5)
        session.send_nowait(CommitAudio())

    heard = play(anyio_backend, program)
    assert samples(heard) < 480
    assert names(frame for _, frame in heard) == ["Audio", "ClearAudio", "CommitAudio"]


def test_audio_that_is_dropped_or_refused_leaves_no_trace_in_the_conversion(
    anyio_backend: str,
) -> None:
    loud = b"\x00\x40" * 320

    async def program(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
        session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
        with pytest.raises(RealtimeException):
            session.send_nowait(Audio(loud, PCM_16K))
        await anyio.sleep(1.0)
        session.send_nowait(Audio(bytes(2 * 320), PCM_16K))
        session.send_nowait(CommitAudio())

    heard = play(anyio_backend, program, lanes=Lanes(audio=Suspend(cap=20)))
    assert samples(heard) == 3 * 480
    assert not any(any(frame.pcm) for _, frame in heard if isinstance(frame, Audio))


def test_audio_without_a_sample_is_not_sent(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(Audio(b""))
        session.send_nowait(Audio(bytes(4), PCM_16K))

    assert play(anyio_backend, program) == []


# --- pictures ---------------------------------------------------------------------------------


def test_pictures_are_sent_at_the_agreed_rate_the_latest_one_each_time(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for number in range(16):
            session.send_nowait(Video(str(number).encode()))
            await anyio.sleep(10 * TICK)
        await anyio.sleep(1.0)

    heard = play(anyio_backend, program, fps=2.0)
    assert [(at, frame.image) for at, frame in heard if isinstance(frame, Video)] == [
        (0.0, b"0"),
        (0.5, b"3"),
        (1.0, b"6"),
        (1.5, b"9"),
        (2.0, b"12"),
        (2.5, b"15"),
    ]


def test_the_rate_of_pictures_changes_with_the_configuration(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        await session.send(UpdateSession(replace(session.config, fps=4.0)))
        assert session.fps == 4.0
        await anyio.sleep(0.5)
        for number in range(3):
            session.send_nowait(Video(str(number).encode()))
            await anyio.sleep(0.25)

    heard = play(anyio_backend, program, fps=0.5)
    assert [at for at, frame in heard if isinstance(frame, Video)] == [0.5, 0.75, 1.0]


@pytest.mark.parametrize("fps", [0.0, -1.0])
def test_a_session_that_sends_no_pictures_says_so(anyio_backend: str, fps: float) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        with pytest.raises(RealtimeException) as refusal:
            await session.send(Video(b"1"))
        assert "fps" in str(refusal.value)

    assert play(anyio_backend, program, fps=fps) == []


def test_a_picture_that_waits_when_pictures_are_switched_off_is_the_last(
    anyio_backend: str,
) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for number in range(2):
            session.send_nowait(Video(str(number).encode()))
        session.send_nowait(UpdateSession(replace(session.config, fps=0.0)))
        await anyio.sleep(2.0)
        assert session.connected

    heard = play(anyio_backend, program)
    assert [frame.image for _, frame in heard if isinstance(frame, Video)] == [b"0", b"1"]


# --- the queue --------------------------------------------------------------------------------


def test_a_frame_refused_on_its_way_from_the_queue_becomes_an_event(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        await session.frames.send(Audio(b"x"))
        await session.frames.send(context("a"))
        await anyio.sleep(1.0)
        await session.send(Close())
        (error,) = of(Error, [event async for event in session.events()])
        assert isinstance(error.error, InvalidRequest)

    assert [frame for _, frame in play(anyio_backend, program)] == [context("a")]


def test_closing_the_queue_closes_only_it(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        await session.frames.aclose()
        await anyio.sleep(1.0)
        assert session.connected
        await session.send(context("a"))

    assert [frame for _, frame in play(anyio_backend, program)] == [context("a")]


def test_once_the_session_is_over_its_queue_takes_nothing(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        await session.frames.send(context("a"))
        await anyio.sleep(1.0)
        await session.send(Close())
        await session.outcome()
        with pytest.raises(anyio.BrokenResourceError):
            await session.frames.send(context("b"))
        events = [event async for event in session.events()]
        assert isinstance(events[-1], Disconnected)
        assert of(Error, events) == []
        await anyio.sleep(1.0)
        assert [event async for event in session.events()] == []

    play(anyio_backend, program)


# --- across a loss ----------------------------------------------------------------------------


def resuming(
    backend: str,
    push: Callable[[RealtimeSession[Frame]], None],
    slow: float = 0.0,
    **settings: Any,
) -> Heard:
    """Push while the session has no connection, and give what the next one hears."""
    heard: Heard = []

    async def script(peer: Peer) -> None:
        await peer.next()
        if peer.conn == 0:
            await peer.welcome()
            return
        await anyio.sleep(slow)
        await peer.welcome()
        await listening(heard)(peer)

    async def main() -> None:
        config = SessionConfig(retry=Spaced(1.0), **settings)
        async with open_session(scripted(script, welcome=False), config) as session:
            await anyio.sleep(0.5)
            assert not session.connected
            push(session)
            async for event in session.events():
                if isinstance(event, Reconnected):
                    await anyio.sleep(0.5)
                    return

    run(main, backend=backend)
    return [(at, frame) for at, frame in heard if not isinstance(frame, Close)]


def test_what_was_pushed_without_a_connection_goes_out_over_the_next(anyio_backend: str) -> None:
    def push(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(context("a"))

    assert resuming(anyio_backend, push) == [(1.0, context("a"))]


def test_a_picture_that_waits_for_a_connection_does_not_keep_the_loop_busy(
    anyio_backend: str,
) -> None:
    def push(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(Video(b"1"))

    assert resuming(anyio_backend, push, slow=4.0) == [(5.0, Video(b"1"))]


def test_audio_that_grew_too_old_without_a_connection_is_not_sent(anyio_backend: str) -> None:
    def push(session: RealtimeSession[Frame]) -> None:
        session.send_nowait(piece(1))

    lanes = Lanes(audio=Slide(max_age=2_000))
    assert resuming(anyio_backend, push, slow=4.0, lanes=lanes) == []
    assert marks(resuming(anyio_backend, push, slow=1.0, lanes=lanes)) == [1]
