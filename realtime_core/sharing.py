"""Sharing: one stream of events for several consumers, each with its own bounded buffer.

A consumer that falls behind learns so by an exception of its own; the others do not notice. What
an interruption made stale is never given out, however long it has waited here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TypeVar

from .beside import beside
from .ends import Pollable
from .errors import InvalidRequest, RealtimeException
from .events import Interrupted, Kind, RealtimeEvent
from .signals import Signal

__all__ = ("Share", "Sharing", "Subscription", "share")

X = TypeVar("X")


class Share:
    """One stream of events for several consumers, each with its own bounded buffer."""

    def __init__(self, source: AsyncIterable[RealtimeEvent], buffer: int) -> None:
        self._source = source
        self._buffer = buffer
        self._stale = source.stale if isinstance(source, Pollable) else _never
        self._subscribers: list[Subscription] = []
        self._over = False

    def subscribe(self) -> Subscription:
        """Give a new stream of the events from here on."""
        subscription = Subscription(self._buffer, self._stale, over=self._over)
        self._subscribers.append(subscription)
        return subscription

    async def run(self) -> None:
        """Hand every event to every subscriber until the source ends."""
        events = aiter(self._source)
        try:
            async with _open(events) if events is not self._source else nullcontext():
                async for event in events:
                    for subscription in self._subscribers:
                        subscription.put(event)
        finally:
            self._over = True
            for subscription in self._subscribers:
                subscription.end()


class Subscription(AsyncIterator[RealtimeEvent]):
    """One consumer's share. Falling behind by more than the buffer raises, in that consumer only.

    Cancelling a pending `__anext__` loses no event. Each event is compared with the session's epoch
    again right before it is returned, so what became stale here leaves a gap in `seq`. Behind an
    operator there is no epoch to compare with: there only `Interrupted` purges, once it comes.
    """

    def __init__(self, buffer: int, stale: Callable[[RealtimeEvent], bool], *, over: bool) -> None:
        self.filled = Signal()
        """Given when something can be taken, or it is over."""
        self._buffer = buffer
        self._stale = stale
        self._events = deque[RealtimeEvent]()
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
        self.filled.give()

    def end(self) -> None:
        """Let the stream end behind what is queued."""
        self._over = True
        self.filled.give()

    def __or__(self, operator: Callable[[Subscription], X]) -> X:
        """Pipe into an operator."""
        return operator(self)

    @property
    def over(self) -> bool:
        """Whether there is nothing to take any more, for ever."""
        return self._over and not self._events

    def poll(self) -> RealtimeEvent | None:
        """Give the next event, or None if nothing waits. Never waits itself."""
        while self._events:
            event = self._events.popleft()
            if not self._stale(event):
                return event
        if self._late:
            raise RealtimeException(_too_late(self._buffer))
        return None

    def stale(self, event: RealtimeEvent) -> bool:
        """Tell whether an event that was taken has become stale since."""
        return self._stale(event)

    async def __anext__(self) -> RealtimeEvent:
        while (event := self.poll()) is None:
            if self.over:
                raise StopAsyncIteration
            await self.filled.wait()
        return event


def _open(events: AsyncIterator[RealtimeEvent]) -> AbstractAsyncContextManager[object]:
    """Give the block in which an operator's output must be read."""
    return events if isinstance(events, AbstractAsyncContextManager) else nullcontext()


def _never(event: RealtimeEvent) -> bool:  # noqa: ARG001 - stands in for `Pollable.stale`
    return False


def _too_late(buffer: int) -> InvalidRequest:
    return InvalidRequest(
        what=f"A subscriber fell behind by more than {buffer} events.",
        cause="it does slow work inside its loop",
        fix="Give `share` a larger buffer, or hand the work to another task.",
    )


class Sharing:
    """The operator; `share` is the one there is."""

    def __call__(
        self, source: AsyncIterable[RealtimeEvent], *, buffer: int = 4_096
    ) -> AbstractAsyncContextManager[Share]:
        """Share a stream among the subscribers made in the block: `async with share(s.events())`.

        `buffer` is how many events may wait for one of them. Subscribe before the first suspension
        to miss nothing. Leaving the block ends the sharing; what the source raises comes out of it.
        """
        return _shared(source, buffer)

    def pipe(
        self, *, buffer: int = 4_096
    ) -> Callable[[AsyncIterable[RealtimeEvent]], AbstractAsyncContextManager[Share]]:
        """Share the piped stream: `async with session.events() | share.pipe() as shared`."""
        return lambda source: _shared(source, buffer)


share = Sharing()
"""Share one stream among several consumers, for as long as a block runs."""


@asynccontextmanager
async def _shared(source: AsyncIterable[RealtimeEvent], buffer: int) -> AsyncGenerator[Share]:
    async with beside() as tasks:
        hub = Share(source, buffer)
        tasks.start_soon(hub.run)
        yield hub
