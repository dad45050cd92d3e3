"""Operators over events: pipable with `|`, one noun each.

The serial ones run on asyncio and trio; `share` is for several consumers of one session. This is
the only module that imports aiostream, which is under GPL-3.0-or-later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec
from aiostream import pipable_operator, streamcontext
from msgspec.structs import replace

from .errors import InvalidRequest, RealtimeException
from .events import (
    AgentTranscript,
    AudioOutput,
    Interrupted,
    Kind,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    Status,
    ToolCall,
    UserTranscript,
)
from .signals import Signal

__all__ = ("Share", "Turn", "audio", "paced", "settle", "share", "transcripts", "turns")


@pipable_operator
async def audio(source: AsyncIterable[RealtimeEvent]) -> AsyncIterator[AudioOutput]:
    """Give the sound of the answers alone."""
    async with streamcontext(source) as events:
        async for event in events:
            if isinstance(event, AudioOutput):
                yield event


@pipable_operator
async def transcripts(
    source: AsyncIterable[RealtimeEvent],
) -> AsyncIterator[UserTranscript | AgentTranscript | ResponseText]:
    """Give the words of both sides, partial and final."""
    async with streamcontext(source) as events:
        async for event in events:
            if isinstance(event, UserTranscript | AgentTranscript | ResponseText):
                yield event


@pipable_operator
async def settle(source: AsyncIterable[RealtimeEvent]) -> AsyncIterator[RealtimeEvent]:
    """Leave out what can still become stale or be revised: partial words and media."""
    async with streamcontext(source) as events:
        async for event in events:
            partial = isinstance(event, UserTranscript) and not event.final
            if event.kind is not Kind.PERISHABLE and not partial:
                yield event


@pipable_operator
async def paced(source: AsyncIterable[RealtimeEvent]) -> AsyncIterator[RealtimeEvent]:
    """Hold audio back to the pace at which it is spoken; an interruption starts a new clock."""
    ends = 0.0
    async with streamcontext(source) as events:
        async for event in events:
            if isinstance(event, AudioOutput):
                now = anyio.current_time()
                await anyio.sleep(max(0.0, ends - now))
                starts = max(ends, now)
                ends = starts + event.format.milliseconds(len(event.pcm)) / 1000
            elif isinstance(event, Interrupted):
                ends = 0.0
            yield event


class Turn(msgspec.Struct, frozen=True):
    """One answer as a whole, with the words that led to it."""

    user: str = ""
    agent: str = ""
    pcm: bytes = b""
    rate: int = 24_000
    calls: tuple[ToolCall, ...] = ()
    status: Status = "completed"
    interrupted: bool = False


@pipable_operator
async def turns(source: AsyncIterable[RealtimeEvent]) -> AsyncIterator[Turn]:
    """Give each answer when it has ended; of an interrupted one, the words that were heard."""
    turn, user = Turn(), ""
    async with streamcontext(source) as events:
        async for event in events:
            match event:
                case UserTranscript(final=True):
                    user = event.text
                case ResponseStarted():
                    turn = Turn(user=user)
                case AudioOutput():
                    turn = replace(turn, pcm=turn.pcm + event.pcm, rate=event.format.rate)
                case AgentTranscript(final=False) | ResponseText(is_complete=False):
                    turn = replace(turn, agent=turn.agent + event.text)
                case ToolCall():
                    turn = replace(turn, calls=(*turn.calls, event))
                case Interrupted():
                    heard = " ".join(part.text for part in event.heard if part.text)
                    turn = replace(turn, agent=heard, interrupted=True)
                case ResponseDone():
                    yield replace(turn, status=event.status)
                    turn, user = Turn(), ""
                case _:
                    pass


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

    Cancelling a pending `__anext__` loses no event.
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
    async with anyio.create_task_group() as tasks:
        hub = Share(buffer)
        tasks.start_soon(hub.run, source)
        yield hub
        tasks.cancel_scope.cancel()
