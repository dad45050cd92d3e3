"""The queue in: a memory-object stream that is the session's lanes.

It keeps nothing itself: a frame goes through, or waits in its lane, in the order of all pushes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from anyio import BrokenResourceError, ClosedResourceError, WouldBlock
from anyio.streams.memory import MemoryObjectSendStream, MemoryObjectStreamStatistics

from .ends import Entrance
from .errors import LaneFull, RealtimeError, RealtimeException, SessionClosed

__all__ = ("FrameQueue", "behind")

F_contra = TypeVar("F_contra", contravariant=True)


def behind(
    queue: MemoryObjectSendStream[F_contra], entrance: Entrance
) -> MemoryObjectSendStream[F_contra]:
    """Give a queue of its own that leads into another entrance of the same session."""
    assert isinstance(queue, FrameQueue)  # noqa: S101 - a session has no other
    return FrameQueue(entrance, queue.refuse)


class FrameQueue(MemoryObjectSendStream[F_contra]):
    """Takes frames as `session.send` does, for code that pushes into a stream.

    A refused frame becomes an `Error` event. `send` waits and `send_nowait` raises
    `anyio.WouldBlock` where the frame's lane has no room and may not drop. Closing it closes only
    it, not its clones and not the session; after the session's end it raises
    `anyio.BrokenResourceError`.
    """

    def __init__(
        self,
        entrance: Entrance,
        refuse: Callable[[RealtimeError], object],
        open: set[int] | None = None,
    ) -> None:
        self._entrance = entrance
        self.refuse = refuse
        self._open = set[int]() if open is None else open
        self._open.add(id(self))

    def __repr__(self) -> str:
        return f"<FrameQueue {'open' if id(self) in self._open else 'closed'}>"

    async def send(self, item: F_contra) -> None:
        """Push a frame behind those pushed before it."""
        self._check()
        try:
            await self._entrance.send(cast("Any", item))
        except RealtimeException as refusal:
            self._refused(refusal)

    def send_nowait(self, item: F_contra) -> None:
        """Push a frame without ever waiting."""
        self._check()
        try:
            self._entrance.send_nowait(cast("Any", item))
        except RealtimeException as refusal:
            if isinstance(refusal.error, LaneFull):
                raise WouldBlock from None
            self._refused(refusal)

    def _check(self) -> None:
        if id(self) not in self._open:
            raise ClosedResourceError

    def _refused(self, refusal: RealtimeException) -> None:
        if isinstance(refusal.error, SessionClosed):
            raise BrokenResourceError from None
        self.refuse(refusal.error)

    def clone(self) -> FrameQueue[F_contra]:
        """Give another one that is closed by itself."""
        self._check()
        return FrameQueue(self._entrance, self.refuse, self._open)

    def close(self) -> None:
        """Close this one; more often than once is no error."""
        self._open.discard(id(self))

    async def aclose(self) -> None:
        """Close this one."""
        self.close()

    def statistics(self) -> MemoryObjectStreamStatistics:
        """Give the number of open clones; what waits is in `session.statistics`."""
        return MemoryObjectStreamStatistics(0, 0, len(self._open), 1, 0, 0)

    def __del__(self) -> None:
        """Close it, should nobody have done so: it holds nothing that could be lost."""
        self._open.discard(id(self))
