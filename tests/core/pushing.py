"""Programs that push into a session whose provider only listens, and what it heard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from realtime_core import (
    Audio,
    Close,
    Frame,
    RealtimeSession,
    SessionConfig,
    Text,
    open_session,
)
from realtime_core.codec import Outgoing
from realtime_core.testing import run
from realtime_core.testing.scripted import SCRIPTED, scripted
from tests.core.short import listening

__all__ = ("Heard", "Program", "context", "marks", "piece", "play", "samples")

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


def samples(heard: Heard) -> int:
    return sum(len(frame.pcm) // 2 for _, frame in heard if isinstance(frame, Audio))
