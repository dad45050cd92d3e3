"""What the types promise, read by mypy and basedpyright; running it only checks that it imports."""

from __future__ import annotations

from typing import assert_type

from aiostream import Stream

from realtime_core import (
    PCM_16K,
    Audio,
    Epoch,
    Frame,
    Message,
    Provider,
    RealtimeEvent,
    RealtimeSession,
    Video,
    VoiceFrame,
    mapped,
    open_session,
    operators,
    resampled,
)
from realtime_core.operators import Merged, Subscription, merge, share


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


async def composed(session: RealtimeSession[VoiceFrame]) -> None:
    made = mapped(resampled(session, PCM_16K), events=lambda event: (event,))
    assert_type(made, RealtimeSession[VoiceFrame])
    await made.frames.send(Video(b""))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(made.events() | operators.responses.pipe(), Stream[operators.Turn])
    async for name, event in merge(a=session.events(), b=made.events()):
        assert_type((name, event), tuple[str, RealtimeEvent])
    async with made.events() | share.pipe(buffer=9) as shared:
        assert_type(shared.subscribe(), Subscription)
        assert_type(shared.subscribe() | merge.pipe("a", b=session.events()), Merged)
        merge(a=shared.subscribe() | operators.audio.pipe())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_the_promises_are_checked_by_the_type_checkers() -> None:
    assert callable(named)
    assert callable(without_pictures)
    assert callable(narrower)
    assert callable(composed)
