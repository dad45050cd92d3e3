"""What `realtime talk` shows while it talks: the pictures of a camera, the screen or a video file.

They begin before the first turn, so that it can be about them, and end with the conversation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio

from ..beside import beside
from ..errors import InvalidRequest, RealtimeException
from ..frames import Frame
from ..session import RealtimeSession
from ..video import Limits, Shot, Source, Watched, camera, film, watch
from ..video import screen as the_screen
from .extras import install_line, missing
from .screen import Screen

__all__ = ("opened", "showing", "source_of")


def source_of(value: str, pace: float) -> Source:
    """Give the source that `--video` names: camera, camera:NAME, screen, or a video file.

    A film plays at `pace` times its speed. Raises `RealtimeException` where there is no such file,
    or the extra is not installed.
    """
    if missing("video"):
        raise RealtimeException(
            InvalidRequest(
                what="Showing video needs the extra `video`.",
                cause=f"not installed: {', '.join(missing('video'))}",
                fix=f"Type: {install_line('video')}",
            )
        )
    kind, _, name = value.partition(":")
    if kind == "camera":
        return camera(name or 0)
    return the_screen() if value == "screen" else film(value, pace)


class _Opened:
    """A source that is open already."""

    def __init__(self, shots: AsyncIterator[Shot]) -> None:
        self._shots = shots

    @asynccontextmanager
    async def open(self, limits: Limits = Limits()) -> AsyncGenerator[AsyncIterator[Shot]]:  # noqa: ARG002, B008
        """Give it, with the limits it was opened with."""
        yield self._shots


@asynccontextmanager
async def opened(source: Source | None) -> AsyncGenerator[Source | None]:
    """Open a source as long as the block is open: what is not there shows now, not later."""
    if source is None:
        yield None
        return
    async with source.open() as shots:
        yield _Opened(shots)


@asynccontextmanager
async def showing(
    session: RealtimeSession[Frame], source: Source | None, screen: Screen
) -> AsyncGenerator[None]:
    """Show a source while the block is open; enters once a picture was shown, or there is none.

    What `watch` raises ends the block. Leaving says what was shown.
    """
    if source is None:
        yield
        return
    counts, begun = Watched(), anyio.Event()

    def told(now: Watched) -> None:
        nonlocal counts
        counts = now
        begun.set()

    async def show() -> None:
        await watch(session, source, tell=told)
        begun.set()

    async with beside() as tasks:
        tasks.start_soon(show)
        await begun.wait()
        yield
    screen.say(
        f"shown: {counts.sent} picture{'s' if counts.sent != 1 else ''} "
        f"({counts.bytes // 1000} kB); {counts.unchanged} more had nothing new"
    )
