"""Operators over events: pipable with `|`, one noun each.

    async with (session.events() | operators.audio.pipe()).stream() as sounds:
        async for sound in sounds:
            ...

They run on asyncio and trio; `share` is for several consumers of one session, `merge` for one of
several. This is the only module that imports aiostream, which is under GPL-3.0-or-later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from inspect import isasyncgen
from math import inf

import anyio
import msgspec
from aiostream import Stream, pipable_operator, streamcontext

from .ends import Pollable
from .epoch import ItemId, ResponseId
from .errors import InvalidRequest, RealtimeException
from .events import (
    AgentTranscript,
    AudioOutput,
    ConversationItem,
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
from .merging import Merged, Named, merge
from .sharing import Share, Subscription, share

__all__ = (
    "Merged",
    "Named",
    "Share",
    "Subscription",
    "Turn",
    "audio",
    "merge",
    "paced",
    "responses",
    "settle",
    "share",
    "transcripts",
)


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
def paced(
    source: AsyncIterable[RealtimeEvent], *, ahead: float = 120.0
) -> AsyncIterator[RealtimeEvent]:
    """Hold the answers back to the pace at which they are spoken; control events overtake them.

    Reads up to `ahead` seconds of sound ahead, so that an interruption comes through at once, and
    what it made stale never follows it; of a session's own events, none that is stale is given at
    all. Stands first in a pipe: its source must survive that a pending read is cancelled, as a
    session's events do.
    """
    if isinstance(source, Stream) or isasyncgen(source):
        raise RealtimeException(_not_first())
    return _paced(source, ahead)


async def _paced(
    source: AsyncIterable[RealtimeEvent], ahead: float
) -> AsyncIterator[RealtimeEvent]:
    held, over = _Held(), False
    async with streamcontext(source) as events:
        while held.events or not over:
            event = None
            with anyio.move_on_after(held.left(anyio.current_time())) as wait:
                if over or (held.events and held.seconds >= ahead):
                    await anyio.sleep_forever()
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    over = True
            if wait.cancelled_caught:
                due = held.give(anyio.current_time())
                if not (isinstance(source, Pollable) and source.stale(due)):
                    yield due
            elif event is not None and held.put(event):
                yield event


class _Held:
    """The part of an answer whose time has not come."""

    def __init__(self) -> None:
        self.events = deque[RealtimeEvent]()
        self.seconds = 0.0
        self._ends = 0.0

    def put(self, event: RealtimeEvent) -> bool:
        """Hold an event, or tell that it overtakes what is held."""
        if isinstance(event, Interrupted):
            self.events = deque(e for e in self.events if e.kind is not Kind.PERISHABLE)
            self.seconds = self._ends = 0.0
        if event.response is None or event.kind is Kind.CONTROL:
            return True
        self.events.append(event)
        self.seconds += _seconds(event)
        return False

    def left(self, now: float) -> float:
        """Give the seconds until the next event's time comes."""
        if not self.events:
            return inf
        return max(0.0, self._ends - now) if isinstance(self.events[0], AudioOutput) else 0.0

    def give(self, now: float) -> RealtimeEvent:
        """Give the next event; its sound begins now, or where the one before it ends."""
        event = self.events.popleft()
        self.seconds -= _seconds(event)
        self._ends = max(self._ends, now) + _seconds(event)
        return event


def _seconds(event: RealtimeEvent) -> float:
    if not isinstance(event, AudioOutput):
        return 0.0
    return event.format.milliseconds(len(event.pcm)) / 1000


def _not_first() -> InvalidRequest:
    return InvalidRequest(
        what="`paced` cannot follow another operator.",
        cause="a generator ends when its pending read is cancelled",
        fix="Put it first: session.events() | paced.pipe() | ...",
    )


class Turn(msgspec.Struct, frozen=True):
    """One answer as a whole, with the words that led to it."""

    user: str = ""
    agent: str = ""
    pcm: bytes = b""
    """The sound that came, heard or not."""
    rate: int = 24_000
    calls: tuple[ToolCall, ...] = ()
    status: Status = "completed"
    interrupted: bool = False


@pipable_operator
async def responses(source: AsyncIterable[RealtimeEvent]) -> AsyncIterator[Turn]:
    """Give each answer when it has ended; of an interrupted one, the words that were heard."""
    answers, asked = dict[ResponseId | None, _Answer](), list[str]()
    async with streamcontext(source) as events:
        async for event in events:
            match event:
                case ConversationItem() if event.message.role == "user":
                    _listening(event, answers, asked).append(event.message.text)
                case ResponseStarted():
                    answers[event.response], asked = _Answer(asked), []
                case Interrupted():
                    for id in set(event.fenced) & answers.keys():
                        answers[id].cut(event)
                case ResponseDone():
                    yield answers.pop(event.response, _Answer([])).turn(event)
                case _ if event.response in answers:
                    answers[event.response].add(event)
                case _:
                    pass


def _listening(
    event: ConversationItem, answers: dict[ResponseId | None, _Answer], asked: list[str]
) -> list[str]:
    """Tell whose user words these are; of spoken ones, transcripts may come after the answer."""
    spoken = event.item is not None
    late = (a.user for a in answers.values() if spoken and not a.user and not a.interrupted)
    return next(late, asked)


class _Answer:
    """An answer that has not ended."""

    def __init__(self, user: list[str]) -> None:
        self.user = user
        self.interrupted = False
        self._words = dict[ItemId | None, str]()
        self._pcm = list[bytes]()
        self._rate = 24_000
        self._calls = list[ToolCall]()

    def add(self, event: RealtimeEvent) -> None:
        """Take over what belongs to it."""
        match event:
            case AudioOutput():
                self._pcm.append(event.pcm)
                self._rate = event.format.rate
            case AgentTranscript() | ResponseText() if not self.interrupted:
                known = "" if event.kind is Kind.SETTLING else self._words.get(event.item, "")
                self._words[event.item] = known + event.text
            case ToolCall():
                self._calls.append(event)
            case _:
                pass

    def cut(self, event: Interrupted) -> None:
        """Keep of its spoken words those that were heard."""
        self.interrupted = True
        self._words |= {p.item: p.text for p in event.heard if p.item in self._words}

    def turn(self, end: ResponseDone) -> Turn:
        """Give it as a whole."""
        return Turn(
            " ".join(self.user),
            " ".join(text for text in self._words.values() if text),
            b"".join(self._pcm),
            self._rate,
            tuple(self._calls),
            end.status,
            self.interrupted,
        )
