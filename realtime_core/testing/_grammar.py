"""The one grammar of events, as a check over what one consumer got."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..epoch import CallId, ResponseId
from ..events import (
    Disconnected,
    Interrupted,
    Kind,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ToolCall,
    ToolCallCancelled,
)

__all__ = ("Violation", "check_trace")


class Violation(NamedTuple):
    """One place in a list of events that breaks a law."""

    law: str
    """Which one, in a word or two."""
    place: int
    """Index of the offending event; -1 for what is missing at the end."""
    what: str

    def __str__(self) -> str:
        where = "at the end" if self.place < 0 else f"event {self.place}"
        return f"{self.law}, {where}: {self.what}"


def check_trace(events: Sequence[RealtimeEvent], *, complete: bool = False) -> list[Violation]:
    """Check the events that one consumer got from a session, in the order it got them.

    With `complete` the trace must also have come to its end: the last event is `Disconnected`, and
    every response that was started has ended.
    """
    found = [*_order(events), *_responses(events), *_calls(events)]
    found += _ended(events) if complete else []
    return sorted(found, key=lambda violation: violation.place % (len(events) + 1))


def _order(events: Sequence[RealtimeEvent]) -> Iterator[Violation]:
    epoch = conn = 0
    for place, event in enumerate(events):
        if event.seq != place:
            yield Violation("contiguous", place, f"seq {event.seq} in place of {place}")
        if isinstance(event, Interrupted):
            if event.epoch != epoch + 1:
                what = f"Interrupted takes epoch {epoch} to {event.epoch}"
                yield Violation("announced epoch", place, what)
            for part in event.heard:
                if not 0 <= part.samples <= part.received:
                    yield Violation("heard is true", place, repr(part))
        elif event.epoch != epoch:
            what = f"{type(event).__name__} has epoch {event.epoch} where {epoch} was announced"
            yield Violation("announced epoch", place, what)
        if event.conn < conn:
            yield Violation("connection", place, f"conn falls from {conn} to {event.conn}")
        if place and isinstance(events[place - 1], Disconnected):
            yield Violation("last event", place, f"{type(event).__name__} follows Disconnected")
        epoch, conn = max(epoch, event.epoch), max(conn, event.conn)


def _responses(events: Sequence[RealtimeEvent]) -> Iterator[Violation]:
    started = dict[ResponseId, int]()
    ended = set[ResponseId]()
    for place, event in enumerate(events):
        id, name = event.response, type(event).__name__
        if event.kind is Kind.CONTROL:
            continue
        if id is None:
            if event.kind is Kind.PERISHABLE or isinstance(event, ResponseDone):
                yield Violation("named response", place, f"{name} names no response")
            continue
        if id in ended:
            yield Violation("one end", place, f"{name} follows the end of {id}")
        elif isinstance(event, ResponseDone):
            ended.add(id)
        if event.kind is not Kind.PERISHABLE:
            continue
        if isinstance(event, ResponseStarted):
            if id in started:
                yield Violation("one start", place, f"{id} starts again")
            started.setdefault(id, event.epoch)
        elif id not in started:
            yield Violation("start first", place, f"{name} of {id}, which has not started")
        elif started[id] != event.epoch:
            what = f"{name} of {id} (epoch {started[id]}) at epoch {event.epoch}"
            yield Violation("no stale output", place, what)


def _calls(events: Sequence[RealtimeEvent]) -> Iterator[Violation]:
    called, cancelled = set[CallId](), set[CallId]()
    for place, event in enumerate(events):
        if isinstance(event, ToolCall):
            if event.call in called:
                yield Violation("one call", place, f"{event.call} is called again")
            if event.call in cancelled:
                yield Violation("one outcome", place, f"{event.call} was cancelled before")
            called.add(event.call)
        elif isinstance(event, ToolCallCancelled):
            if again := cancelled.intersection(event.calls):
                yield Violation("one outcome", place, f"{sorted(again)} cancelled again")
            cancelled.update(event.calls)


def _ended(events: Sequence[RealtimeEvent]) -> Iterator[Violation]:
    if not events or not isinstance(events[-1], Disconnected):
        yield Violation("last event", -1, "the trace does not end with Disconnected")
    done = {event.response for event in events if isinstance(event, ResponseDone)}
    for event in events:
        if isinstance(event, ResponseStarted) and event.response not in done:
            yield Violation("settlement", -1, f"{event.response} never ended")
