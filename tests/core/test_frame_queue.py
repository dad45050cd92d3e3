"""The queue in: a memory-object stream whose frames keep the order of all pushes."""

from __future__ import annotations

import anyio
import pytest
from anyio.streams.memory import MemoryObjectSendStream
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    Error,
    Frame,
    Interrupted,
    Lanes,
    RealtimeEvent,
    RealtimeSession,
    Suspend,
    Text,
    Video,
    open_session,
)
from realtime_core.codec import Outgoing
from realtime_core.frame_queue import FrameQueue, behind
from realtime_core.testing import run
from realtime_core.testing.scripted import scripted
from tests.core.pushing import context, piece, play
from tests.core.short import listening

DOORS = ("queue", "queue_nowait", "send", "send_nowait")


@given(doors=st.lists(st.sampled_from(DOORS), min_size=1))
def test_both_doors_share_one_order(anyio_backend: str, doors: list[str]) -> None:
    """29. Whichever door each frame came through, and although the wire takes none for a while."""
    frames = [context(str(place)) for place, _ in enumerate(doors)]

    async def program(session: RealtimeSession[Frame]) -> None:
        for door, frame in zip(doors, frames, strict=True):
            match door:
                case "queue":
                    await session.frames.send(frame)
                case "queue_nowait":
                    session.frames.send_nowait(frame)
                case "send":
                    await session.send(frame)
                case _:
                    session.send_nowait(frame)

    heard = play(anyio_backend, program, buffer=0, deaf_until=0.125)
    assert [frame for _, frame in heard] == frames


def test_what_was_queued_last_is_sent_before_the_end(anyio_backend: str) -> None:
    heard = list[tuple[float, Outgoing]]()

    async def program() -> None:
        async with open_session(scripted(listening(heard))) as session:
            await session.frames.send(context("the last words"))

    run(program, backend=anyio_backend)
    assert context("the last words") in [frame for _, frame in heard]


def test_a_queue_is_a_memory_object_stream(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        assert isinstance(session.frames, MemoryObjectSendStream)
        with session.frames.clone() as other:
            assert session.frames.statistics().open_send_streams == 2
            await other.send(context("a"))
        other.close()
        assert session.frames.statistics().open_send_streams == 1
        with pytest.raises(anyio.ClosedResourceError):
            other.send_nowait(context("b"))
        with pytest.raises(anyio.ClosedResourceError):
            other.clone()
        assert [repr(other), repr(session.frames)] == ["<FrameQueue closed>", "<FrameQueue open>"]
        await session.frames.send(context("c"))

    heard = play(anyio_backend, program)
    assert [frame for _, frame in heard] == [context("a"), context("c")]


def test_without_room_it_would_block(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for mark in range(2):
            session.frames.send_nowait(piece(mark))
            await anyio.sleep(1 / 64)
        with pytest.raises(anyio.WouldBlock):
            session.frames.send_nowait(piece(3))

    play(anyio_backend, program, buffer=0, deaf_until=0.1, lanes=Lanes(audio=Suspend(cap=20)))


def test_a_frame_refused_at_once_becomes_an_event_too(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        session.frames.send_nowait(Video(b"x"))
        events = session.events()
        async for event in events:
            if isinstance(event, Error):
                break

    play(anyio_backend, program, fps=0.0)


def test_a_queue_may_lead_into_another_entrance(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        other = behind(session.frames, session.ends.entrance)
        assert isinstance(other, FrameQueue)
        await other.send(context("a"))
        other.close()
        session.frames.send_nowait(context("b"))

    heard = play(anyio_backend, program)
    assert [frame for _, frame in heard] == [context("a"), context("b")]


def test_words_that_interrupt_do_so_although_they_wait(anyio_backend: str) -> None:
    """Their place among the frames stays; the answer is cut now."""
    seen = list[RealtimeEvent]()

    async def program(session: RealtimeSession[Frame]) -> None:
        for mark in range(3):
            session.send_nowait(piece(mark))
            await anyio.sleep(1 / 64)
        assert session.statistics.lanes["audio"].waiting == 2
        await session.send(Text("Stop.", turn="interrupt"))
        assert session.epoch == 1
        assert session.statistics.lanes["control"].waiting == 1
        async for event in session.events():
            seen.append(event)
            if isinstance(event, Interrupted):
                break

    heard = [frame for _, frame in play(anyio_backend, program, buffer=0, deaf_until=0.125)]
    assert [type(frame).__name__ for frame in heard[:4]] == ["Audio"] * 3 + ["Text"]
    assert heard[3] == replace(Text("Stop."), turn="queue")
    assert seen[-1].epoch == 1
