"""The doors: frames come in by call or by queue and reach the wire in the order they came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    Audio,
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
    Video,
    open_session,
)
from realtime_core.lane import Balance
from realtime_core.testing import run
from realtime_core.testing.scripted import SCRIPTED, Peer, scripted
from tests.core.pushing import Heard, context, marks, piece, play
from tests.core.short import listening, of

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


def test_words_that_interrupt_come_too_late_for_a_closed_session(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.drain()

    async def program() -> None:
        async with open_session(scripted(script)) as session:
            await session.send(Close())
            with pytest.raises(RealtimeException) as caught:
                await session.send(Text("Stop", turn="interrupt"))
            assert isinstance(caught.value.error, SessionClosed)

    run(program, backend=anyio_backend)
