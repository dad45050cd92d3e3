"""What comes from another thread, piece by piece, to one task of an event loop.

The loop is woken by its own thread-safe call, on asyncio and trio alike, so that the thread never
waits for a loop and no loop for the thread.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import anyio

__all__ = ("Answer",)

T = TypeVar("T")


class Answer(Generic[T]):
    """Pieces in the order they were given, then an end or a failure.

    Made in the task that takes. `stop` may be called from any thread and any number of times; it
    calls `stopping` once unless the answer is over.
    """

    def __init__(self, stopping: Callable[[], object]) -> None:
        self._post = _poster()
        self._stopping = stopping
        self._pieces: deque[T] = deque()
        self._failure: Exception | None = None
        self._over = False
        self._woken: anyio.Event | None = None

    def give(self, piece: T) -> None:
        """Hand over a piece; from one thread at a time."""
        self._pieces.append(piece)
        self._wake()

    def finish(self, failure: Exception | None = None) -> None:
        """Say that nothing more comes; `failure` is raised where the pieces are taken."""
        if not self._over:
            self._failure = failure
            self._over = True
            self._wake()

    def stop(self) -> None:
        """Have whoever gives told that nobody takes any more."""
        if not self._over:
            self._over = True
            self._stopping()

    async def take(self) -> tuple[T, ...]:
        """Wait for a piece and give all that are there; none after the last."""
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._over:
                return ()
            self._woken = anyio.Event()
            await self._woken.wait()
        return tuple(self._pieces.popleft() for _ in range(len(self._pieces)))

    def _wake(self) -> None:
        try:
            self._post(self._set)
        except RuntimeError:  # the loop has ended, and with it whoever took
            self.stop()

    def _set(self) -> None:
        if self._woken is not None:
            self._woken.set()


_Post = Callable[[Callable[[], object]], object]


def _poster() -> _Post:
    """Give the running loop's own way to have something called from another thread."""
    trio: Any = sys.modules.get("trio")
    if trio is not None:
        try:
            return cast("_Post", trio.lowlevel.current_trio_token().run_sync_soon)
        except RuntimeError:
            pass
    return asyncio.get_running_loop().call_soon_threadsafe
