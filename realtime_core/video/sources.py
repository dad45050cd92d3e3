"""Image sources: where pictures come from, given one by one, each a JPEG with its time.

A source is asked when a picture is wanted and keeps none in store: what nobody asked for in time is
counted, not queued. Here are the pictures of this program; devices and films are in `apart`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import anyio
import msgspec
from anyio import to_thread

from ..beside import beside
from ..signals import Signal
from .jpeg import read_image, to_jpeg

if TYPE_CHECKING:
    from .jpeg import Picture

    Image: TypeAlias = Picture | str | PathLike[str]

__all__ = ("DEFAULT", "Limits", "Shot", "Source", "live", "stills")

_LEAVE = 2.0
"""Seconds that the caller's own stream has to close."""


class Shot(msgspec.Struct, frozen=True, gc=False):
    """One picture of a source."""

    image: bytes
    """A JPEG within the limits."""
    at: float
    """When it was taken: seconds of the event loop's clock."""
    missed: int = 0
    """Pictures between the one before and this that were taken in vain: nobody asked in time."""


class Limits(msgspec.Struct, frozen=True):
    """How large a picture may be: bytes of the JPEG, pixels of its longer side."""

    max_bytes: int = 250_000
    max_side: int = 1280


DEFAULT = Limits()


class Source(Protocol):
    """Something that pictures come from: a plain value until it is opened."""

    def open(self, limits: Limits = ...) -> AbstractAsyncContextManager[AsyncIterator[Shot]]:
        """Open it while the block is open; then it gives the newest picture each time it is asked.

        Leaving the block gives back what was opened, though it may hang. Raises
        `RealtimeException` where there is nothing to open, or what is read is no picture.
        """
        ...


def stills(*images: Image) -> Source:
    """Give pictures one after another, each when it is asked for: files, encoded bytes, arrays.

    An array is grey `(height, width)`, RGB or RGBA `(height, width, 3 or 4)`, of bytes.
    """
    return _Pulled(images)


def live(images: Iterable[Image] | AsyncIterable[Picture]) -> Source:
    """Give what a stream of the caller's gives: arrays, or encoded pictures.

    An asynchronous one is followed all the time, and its newest picture given; it is closed at the
    end. Any other is asked for the next one, in a worker thread, whenever a picture is wanted.
    """
    return _Followed(images) if isinstance(images, AsyncIterable) else _Pulled(images)


@dataclass(frozen=True, slots=True, eq=False)
class _Pulled:
    """Files are read, and all is encoded, in worker threads.

    Leaving waits for an encoding (milliseconds), not for a read: one that hangs is left to itself,
    in its thread.
    """

    images: Iterable[Image]

    @asynccontextmanager
    async def open(self, limits: Limits = DEFAULT) -> AsyncGenerator[AsyncIterator[Shot]]:
        yield _Stills(iter(self.images), limits)


class _Stills(AsyncIterator[Shot]):
    def __init__(self, images: Iterator[Image], limits: Limits) -> None:
        self._images = images
        self._limits = limits

    async def __anext__(self) -> Shot:
        image = await to_thread.run_sync(self._next, abandon_on_cancel=True)
        if image is None:
            raise StopAsyncIteration
        return await _shot(image, anyio.current_time(), 0, self._limits)

    def _next(self) -> Picture | None:
        for image in self._images:
            return read_image(image)[0] if isinstance(image, str | PathLike) else image
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _Followed:
    images: AsyncIterable[Picture]

    @asynccontextmanager
    async def open(self, limits: Limits = DEFAULT) -> AsyncGenerator[AsyncIterator[Shot]]:
        newest = _Newest(limits)
        async with beside() as tasks:
            tasks.start_soon(newest.follow, self.images)
            yield newest


class _Newest(AsyncIterator[Shot]):
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: tuple[Picture, float] | None = None
        self._missed = 0
        self._over = False
        self._changed = Signal()

    async def follow(self, images: AsyncIterable[Picture]) -> None:
        stream = aiter(images)
        try:
            async for image in stream:
                self._missed += self._kept is not None
                self._kept = image, anyio.current_time()
                self._changed.give()
            self._over = True
            self._changed.give()
        finally:
            await _closed(stream)

    async def __anext__(self) -> Shot:
        while self._kept is None:
            if self._over:
                raise StopAsyncIteration
            await self._changed.wait()
        (image, at), missed = self._kept, self._missed
        self._kept, self._missed = None, 0
        return await _shot(image, at, missed, self._limits)


async def _closed(stream: AsyncIterator[Any]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        with anyio.move_on_after(_LEAVE, shield=True):
            await close()


async def _shot(image: Picture, at: float, missed: int, limits: Limits) -> Shot:
    packed = await to_thread.run_sync(to_jpeg, image, limits.max_bytes, limits.max_side)
    return Shot(packed, at, missed)
