"""Sharing: one stream of events for several consumers, each with its own bounded buffer.

A consumer that falls behind learns so by an exception of its own; the others do not notice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from .beside import beside
from .errors import InvalidRequest, RealtimeException
from .events import Interrupted, Kind, RealtimeEvent
from .signals import Signal

__all__ = ("Share", "Subscription", "share")

X = TypeVar("X")


class Share:
    """One stream of events for several consumers, each with its own bounded buffer."""

    def __init__(self, buffer: int) -> None:
        self._buffer = buffer
        self._subscribers: list[Subscription] = []
        self._over = False

    def subscribe(self) -> Subscription:
        """Give a new stream of the events from here on."""
        subscription = Subscription(self._buffer, over=self._over)
        self._subscribers.append(subscription)
        return subscription

    async def run(self, source: AsyncIterable[RealtimeEvent]) -> None:
        """Hand every event to every subscriber until the source ends."""
        try:
            async for event in source:
                for subscription in self._subscribers:
                    subscription.put(event)
        finally:
            self._over = True
            for subscription in self._subscribers:
                subscription.end()


class Subscription(AsyncIterator[RealtimeEvent]):
    """One consumer's share. Falling behind by more than the buffer raises, in that consumer only.

    Cancelling a pending `__anext__` loses no event. What was queued here when an interruption
    began is purged one step later: compare `event.epoch` with the session's where that matters.
    """

    def __init__(self, buffer: int, *, over: bool) -> None:
        self._buffer = buffer
        self._events = deque[RealtimeEvent]()
        self._filled = Signal()
        self._over = over
        self._late = False

    def put(self, event: RealtimeEvent) -> None:
        """Queue an event; an interruption purges what it made stale here too."""
        if isinstance(event, Interrupted):
            kept = (e for e in self._events if e.kind is not Kind.PERISHABLE)
            self._events = deque(kept)
        if len(self._events) >= self._buffer:
            self._late = True
            self._events.clear()
        elif not self._late:
            self._events.append(event)
        self._filled.give()

    def end(self) -> None:
        """Let the stream end behind what is queued."""
        self._over = True
        self._filled.give()

    def __or__(self, operator: Callable[[AsyncIterable[RealtimeEvent]], X]) -> X:
        """Pipe into an operator."""
        return operator(self)

    async def __anext__(self) -> RealtimeEvent:
        while not self._events:
            if self._late:
                raise RealtimeException(_too_late(self._buffer))
            if self._over:
                raise StopAsyncIteration
            await self._filled.wait()
        return self._events.popleft()


def _too_late(buffer: int) -> InvalidRequest:
    return InvalidRequest(
        what=f"A subscriber fell behind by more than {buffer} events.",
        cause="it does slow work inside its loop",
        fix="Give `share` a larger buffer, or hand the work to another task.",
    )


@asynccontextmanager
async def share(
    source: AsyncIterable[RealtimeEvent], *, buffer: int = 4_096
) -> AsyncGenerator[Share]:
    """Share one stream among the subscribers made in the block: `async with share(s.events())`.

    Subscribe before the first suspension to miss nothing. Leaving the block ends the sharing.
    """
    async with beside() as tasks:
        hub = Share(buffer)
        tasks.start_soon(hub.run, source)
        yield hub
