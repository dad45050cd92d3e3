"""Listening: a session whose provider speaks, and what was kept of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from msgspec.structs import replace

from realtime_core import (
    PCM_24K,
    AudioFormat,
    AudioOutput,
    ItemId,
    RealtimeEvent,
    RealtimeSession,
    open_session,
)
from realtime_core.testing.scripted import Peer, scripted
from tests.core.short import I1, SECOND, sound

SLICE = SECOND // 50
"""Samples in 20 ms."""
PER_TICK = SECOND // 64


def numbered(samples: int, number: int = 0, item: ItemId = I1) -> AudioOutput:
    """Sound whose samples count up, so that what was kept of it can be told."""
    pcm = b"".join((number + i).to_bytes(2, "little") for i in range(samples))
    return replace(sound(0, item), pcm=pcm)


class Kept:
    """What a clock sink handed on."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def __call__(self, pcm: bytes, format: AudioFormat) -> None:
        assert format == PCM_24K
        assert pcm
        self.pieces.append(pcm)

    @property
    def pcm(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def samples(self) -> int:
        return len(self.pcm) // 2


@asynccontextmanager
async def speaking(*events: RealtimeEvent) -> AsyncGenerator[RealtimeSession[Any]]:
    """Open a session whose provider says these events, listens for a minute and hangs up."""

    async def script(peer: Peer) -> None:
        await peer.say(*events)
        with anyio.move_on_after(60):
            await peer.drain()

    async with open_session(scripted(script)) as session:
        yield session


def known(session: RealtimeSession[Any]) -> dict[ItemId, int]:
    """Give what the session has learned to be heard; estimates are not kept there."""
    return {id: item.heard for id, item in session._driver.state.ledger.items.items()}
