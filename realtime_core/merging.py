"""Merging: the events of several sessions as one stream that holds none of them back.

An event is taken from its session at the instant it is returned, so it cannot become stale on the
way, and whoever stops waiting leaves everything where it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, TypeVar

from anyio.lowlevel import checkpoint

from .ends import Pollable
from .errors import InvalidRequest, RealtimeException
from .events import RealtimeEvent
from .signals import Signal

__all__ = ("Merged", "Merging", "Named", "merge")

X = TypeVar("X")

_FAIRNESS = 64
"""Events that may be taken in a row before other tasks get their turn."""


class Named(NamedTuple):
    """An event, and the name of the stream that gave it."""

    name: str
    event: RealtimeEvent


class Merged(AsyncIterator[Named]):
    """Several streams as one: each in its own order, in turn where more than one has something.

    Ends when all have ended. Cancelling a pending `__anext__` loses no event. What a stream raises
    (a subscriber that fell behind) comes out here, and the others can still be taken. Where two
    tasks ask, each event goes to one of them.
    """

    def __init__(self, **streams: Pollable) -> None:
        self._streams = deque(streams.items())
        self._in_a_row = 0

    def __or__(self, operator: Callable[[Merged], X]) -> X:
        """Pipe into an operator."""
        return operator(self)

    async def __anext__(self) -> Named:
        self._in_a_row += 1
        if self._in_a_row > _FAIRNESS:
            self._in_a_row = 0
            await checkpoint()
        while (named := self.poll()) is None:
            if all(stream.over for _, stream in self._streams):
                raise StopAsyncIteration
            self._in_a_row = 0
            await Signal.first_of(*(stream.filled for _, stream in self._streams))
        return named

    def poll(self) -> Named | None:
        """Give the next event, or None if nothing waits. Never waits itself."""
        for _ in range(len(self._streams)):
            name, stream = self._streams[0]
            self._streams.rotate(-1)
            event = stream.poll()
            if event is not None:
                return Named(name, event)
        return None


class Merging:
    """The operator; `merge` is the one there is."""

    def __call__(self, **streams: Pollable) -> Merged:
        """Merge streams under these names: `merge(alice=a.events(), bob=b.events())`.

        Takes what can be polled: a session's events, or a subscription to them.
        """
        return Merged(**streams)

    def pipe(self, name: str, **streams: Pollable) -> Callable[[Pollable], Merged]:
        """Merge the piped stream, under `name`, with others: `a.events() | merge.pipe("a", b=...)`.

        Stands first in a pipe; raises `RealtimeException` behind an operator.
        """

        def merged(source: object) -> Merged:
            if not isinstance(source, Pollable):
                raise RealtimeException(_not_first())
            return Merged(**{name: source}, **streams)

        return merged


merge = Merging()
"""Merge the events of several sessions: `async for name, event in merge(a=..., b=...)`."""


def _not_first() -> InvalidRequest:
    return InvalidRequest(
        what="`merge` cannot follow another operator.",
        cause="what an operator gives out must be waited for",
        fix='Put it first: a.events() | merge.pipe("a", b=b.events())',
    )
