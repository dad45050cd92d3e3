"""Watching: the pictures of a source go into a session, at most so many a second.

One picture is under way at a time and it is always the newest, so nothing queues; one that shows
nothing new is left out. After the end, however it came, nothing more is taken or sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from math import inf
from typing import Any, Protocol

import anyio
import msgspec
from anyio import CancelScope, to_thread
from anyio.lowlevel import checkpoint_if_cancelled
from msgspec.structs import replace

from ..beside import beside
from ..capability import Capabilities
from ..errors import RealtimeException, SessionClosed, Unsupported
from ..frames import Video
from .sampling import Sampler, Sampling
from .sources import DEFAULT, Limits, Shot, Source

__all__ = ("Seeing", "Watched", "watch")


class Watched(msgspec.Struct, frozen=True):
    """What became of the pictures of a source."""

    sent: int = 0
    """Handed to the session."""
    replaced: int = 0
    """Taken, but a later one was there before their turn came."""
    unchanged: int = 0
    """Left out, because the last one sent looks the same."""
    bytes: int = 0
    """Of those sent."""


class Seeing(Protocol):
    """A session, as far as it is needed here."""

    @property
    def fps(self) -> float:
        """The most pictures a second that it sends."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What its provider can do."""
        ...

    def send_nowait(self, frame: Video) -> None:
        """Take a picture without waiting."""
        ...

    def withdraw_pictures(self) -> None:
        """Drop the pictures that wait to be sent."""
        ...

    async def outcome(self) -> Any:  # noqa: ANN401 - only that it comes
        """Wait for the end."""
        ...


async def watch(
    session: Seeing,
    source: Source,
    *,
    fps: float | None = None,
    max_bytes: int = DEFAULT.max_bytes,
    max_side: int = DEFAULT.max_side,
    change: int = 12,
    tell: Callable[[Watched], object] = lambda _: None,
) -> Watched:
    """Show a session what a source gives until it is cancelled, the source or the session ends.

    `fps` pictures a second at most (default, and never more: the session's `fps`), JPEGs of at most
    `max_bytes` bytes (fewer, if the provider takes no more) and `max_side` pixels on the longer
    side; `change` is how much a field of the picture must differ to count as new (see `Sampler`).
    `tell` hears the counts whenever they change, and the last of them are the result.

    When it is cancelled or fails, a picture that still waits in the session is taken back, and the
    source is given back before this returns. Raises `RealtimeException` where the provider takes no
    pictures, or the source has none; it ends where one takes over that takes none.
    """
    if not session.capabilities.images:
        raise RealtimeException(_takes_none(session.capabilities.provider))
    watching = _Watching(session, fps, change, tell)
    limits = Limits(min(max_bytes, session.capabilities.image_bytes or max_bytes), max_side)
    async with beside() as tasks:
        tasks.start_soon(_until_the_end, session, tasks.cancel_scope)
        async with source.open(limits) as shots:
            await watching.run(shots)
    return watching.counts


async def _until_the_end(session: Seeing, scope: CancelScope) -> None:
    await session.outcome()
    scope.cancel()


class _Watching:
    def __init__(
        self,
        session: Seeing,
        fps: float | None,
        change: int,
        tell: Callable[[Watched], object],
    ) -> None:
        self.counts = Watched()
        self._session = session
        self._fps = inf if fps is None else fps
        self._change = change
        self._state = Sampling()
        self._tell = tell
        self._sampler()  # a rate that is none is refused before anything is opened

    def _sampler(self) -> Sampler:
        return Sampler(min(self._fps, self._session.fps), self._change)

    async def run(self, shots: AsyncIterator[Shot]) -> None:
        due = anyio.current_time()
        try:
            while self._session.capabilities.images:  # another provider may have taken over
                await anyio.sleep_until(due)
                due = max(due, anyio.current_time())
                shot = await anext(shots)
                await self._take(shot, due)
                due += 1 / self._sampler().fps
        except StopAsyncIteration:
            return
        except BaseException as problem:
            self._session.withdraw_pictures()
            if not _is_end(problem):
                raise

    async def _take(self, shot: Shot, at: float) -> None:
        """Send it, unless it shows nothing new. Comparing takes milliseconds, so in a thread."""
        offer, known = self._sampler().offer, replace(self._state, due=at)
        self._state, frame = await to_thread.run_sync(offer, known, Video(shot.image), at)
        await checkpoint_if_cancelled()
        if frame is not None and self._session.capabilities.images:
            self._session.send_nowait(frame)
        self._count(shot, sent=frame is not None)

    def _count(self, shot: Shot, *, sent: bool) -> None:
        before = self.counts
        self.counts = Watched(
            before.sent + sent,
            before.replaced + shot.missed,
            before.unchanged + (not sent),
            before.bytes + len(shot.image) * sent,
        )
        self._tell(self.counts)


def _is_end(problem: BaseException) -> bool:
    return isinstance(problem, RealtimeException) and isinstance(problem.error, SessionClosed)


def _takes_none(provider: str) -> Unsupported:
    return Unsupported(
        what=f"The provider {provider!r} takes no pictures.",
        cause="this provider or model lacks it, or an extra of it is not installed",
        fix="Use one with the capability `images`; `realtime providers` lists them.",
        field="images",
    )
