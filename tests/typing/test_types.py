"""What the types promise, read by mypy and basedpyright; running it only checks that it imports."""

from __future__ import annotations

from typing import assert_type

from realtime_core import (
    Audio,
    Epoch,
    Frame,
    Message,
    Provider,
    RealtimeEvent,
    RealtimeSession,
    Video,
    VoiceFrame,
    open_session,
)


async def named() -> None:
    async with open_session("local", voice="joe") as session:
        assert_type(session, RealtimeSession[Frame])
        await session.send(Video(b""))
        assert_type(await session.interrupt(), Epoch)
        assert_type(session.history, tuple[Message, ...])
        async for event in session.events():
            assert_type(event, RealtimeEvent)


async def without_pictures(provider: Provider[VoiceFrame]) -> None:
    async with open_session(provider) as session:
        assert_type(session, RealtimeSession[VoiceFrame])
        await session.send(Audio(b""))
        await session.send(Video(b""))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await session.frames.send(Audio(b""))


def narrower(session: RealtimeSession[Frame]) -> RealtimeSession[VoiceFrame]:
    return session


def test_the_promises_are_checked_by_the_type_checkers() -> None:
    assert callable(named)
    assert callable(without_pictures)
    assert callable(narrower)
