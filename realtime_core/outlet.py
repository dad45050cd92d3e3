"""The outlet: events between the machine and the one consumer.

Writing never waits. A fence purges stale events at once; control events overtake queued media;
an event is compared with the epoch in force and returned without a suspension in between, and its
place in the trace is given at that instant, so the numbers have no gap.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple

from msgspec.structs import replace

from .config import Outlet as Limits
from .epoch import CallId, Epoch, is_stale
from .events import (
    AgentTranscript,
    AudioInput,
    AudioOutput,
    Disconnected,
    Kind,
    RealtimeEvent,
    ResponseText,
    ResponseThought,
    ToolCall,
    ToolCallCancelled,
)
from .heard import Delivered, deliver
from .signals import Signal

__all__ = ("Outlet", "Tally")

_FREED = 32
"""Purged events that are let go of with each event that comes or goes."""
_MOST = 65_536
"""Events that may wait, of whatever kind: a bound on memory where a peer sends words, not sound."""


class Tally(NamedTuple):
    """What became of audio samples: `received` is the sum of the others."""

    received: int = 0
    delivered: int = 0
    fenced: int = 0
    overflowed: int = 0
    waiting: int = 0


class Outlet:
    """Holds events until the consumer takes them."""

    __slots__ = (
        "_calls",
        "_conn",
        "_control",
        "_echo",
        "_echoes",
        "_fenced",
        "_gone",
        "_last",
        "_media",
        "_returned",
        "_seq",
        "_settling",
        "_waiting",
        "delivered",
        "drained",
        "filled",
        "limits",
        "over",
        "purged",
        "tally",
        "unread",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.delivered: Delivered = ()
        """What audio the consumer has taken since the last fence."""
        self.tally = Tally()
        self.filled = Signal()
        """Given when something can be taken."""
        self.drained = Signal()
        """Given when something was taken or purged."""
        self.over = False
        """Whether the last event was taken."""
        self.purged: tuple[CallId, ...] = ()
        """Calls that a fence purged, not reported yet."""
        self.unread: tuple[int, float] = (0, 0.0)
        """Events of sent audio that found no room, and their milliseconds, not reported yet."""
        self._control = deque[RealtimeEvent]()
        self._echoes = deque[AudioInput]()
        self._media = deque[RealtimeEvent]()
        self._calls: dict[CallId, None] = {}
        self._gone = deque[deque[RealtimeEvent]]()
        self._settling = deque[RealtimeEvent]()
        self._last: Disconnected | None = None
        self._waiting = 0.0
        self._echo = 0.0
        self._fenced = Epoch(0)
        self._returned = Epoch(0)
        self._conn = 0
        self._seq = 0

    @property
    def full(self) -> bool:
        """Whether the seconds of audio that wait have reached the cap, or events are too many."""
        return self.crowded or (self.tally.waiting > 0 and self._waiting >= self.limits.seconds)

    @property
    def crowded(self) -> bool:
        """Whether so many events wait, of whatever kind, that no policy lets more be read."""
        return len(self._media) + len(self._control) >= _MOST

    def put(self, event: RealtimeEvent) -> None:
        """Queue an event; whoever puts gives `filled` when the batch is complete."""
        if isinstance(event, AudioOutput):
            samples = event.format.samples(len(event.pcm))
            self._media.append(event)
            self._waiting += samples / event.format.rate
            received, delivered, fenced, overflowed, waiting = self.tally
            self.tally = Tally(received + samples, delivered, fenced, overflowed, waiting + samples)
        elif isinstance(event, Disconnected):
            self._last = event
        elif isinstance(event, AudioInput):
            self._put_echo(event)
        elif _overtakes(event):
            if isinstance(event, ToolCallCancelled):
                self._void(event.calls)
            self._control.append(event)
        else:
            self._media.append(event)
            if isinstance(event, ToolCall):
                self._calls[event.call] = None
            elif event.kind is Kind.SETTLING:
                self._settling.append(event)
        if self._gone:
            self._free()

    def _free(self) -> None:
        """Let go of a little of what fences purged: all of it at once would take its time."""
        gone = self._gone[0]
        for _ in range(min(len(gone), _FREED)):
            gone.popleft()
        if not gone:
            self._gone.popleft()

    def _put_echo(self, event: AudioInput) -> None:
        """Queue what was sent, unless as much of it waits as of the output may."""
        ms = _milliseconds(event)
        if self._echo < self.limits.seconds * 1000:
            self._echoes.append(event)
            self._echo += ms
        else:
            count, before = self.unread
            self.unread = count + 1, before + ms

    def _void(self, calls: tuple[CallId, ...]) -> None:
        """Purge calls whose cancellation overtakes them, so that nobody runs them."""
        for call in calls:
            self._calls.pop(call, None)

    def overflow(self) -> tuple[int, float]:
        """Drop the oldest audio until the cap holds; gives the count and the milliseconds."""
        count, before = 0, self._waiting
        kept = deque[RealtimeEvent]()
        while self.tally.waiting and self._waiting > self.limits.seconds:
            event = self._media.popleft()
            if isinstance(event, AudioOutput):
                self._leave(event, "overflowed")
                count += 1
            else:
                kept.append(event)
        self._media.extendleft(reversed(kept))
        return count, (before - self._waiting) * 1000

    def fence(self, epoch: Epoch) -> None:
        """Purge what an interruption made stale, all at once; what settles stays."""
        self._fenced = epoch
        self.delivered = ()
        self.purged += tuple(self._calls)
        self._calls.clear()
        self._gone.append(self._media)
        self._media = self._settling.copy()
        self._waiting = 0.0
        tally = self.tally
        self.tally = tally._replace(fenced=tally.fenced + tally.waiting, waiting=0)
        self.drained.give()

    def take(self, at: float) -> RealtimeEvent | None:
        """Give the next event with its place in the trace, or None if nothing waits."""
        while True:
            if self._control:
                event = self._control.popleft()
            elif self._echoes:
                event = self._echoes.popleft()
                self._echo -= _milliseconds(event)
            elif self._media:
                event = self._media.popleft()
                if is_stale(event.epoch, self._fenced) and event.kind is Kind.PERISHABLE:
                    if isinstance(event, AudioOutput):
                        self._leave(event, "fenced")
                    continue
                if isinstance(event, ToolCall):
                    if event.call not in self._calls:
                        continue
                    del self._calls[event.call]
                self._taken(event, at)
            elif self._last is not None and not self.over:
                event, self.over = self._last, True
            else:
                return None
            self.drained.give()
            self._returned = max(self._returned, event.epoch)
            self._conn = max(self._conn, event.conn)
            stamped = replace(event, seq=self._seq, epoch=self._returned, conn=self._conn)
            self._seq += 1
            if self._gone:
                self._free()
            return stamped

    def stale(self, event: RealtimeEvent) -> bool:
        """Tell whether an event is output of an answer that was cut since."""
        return event.kind is Kind.PERISHABLE and is_stale(event.epoch, self._fenced)

    def _taken(self, event: RealtimeEvent, at: float) -> None:
        if isinstance(event, AudioOutput):
            samples = self._leave(event, "delivered")
            if event.item is not None:
                self.delivered = deliver(self.delivered, event.item, samples, event.format.rate, at)
        elif event.kind is Kind.SETTLING:
            self._settling.popleft()

    def _leave(self, event: AudioOutput, fate: Literal["delivered", "fenced", "overflowed"]) -> int:
        samples = event.format.samples(len(event.pcm))
        received, delivered, fenced, overflowed, waiting = self.tally
        match fate:
            case "delivered":
                delivered += samples
            case "fenced":
                fenced += samples
            case _:
                overflowed += samples
        self.tally = Tally(received, delivered, fenced, overflowed, waiting - samples)
        self._waiting -= samples / event.format.rate
        return samples


def _overtakes(event: RealtimeEvent) -> bool:
    """Tell whether an event may pass the model's output; its own late words may not."""
    return event.kind is Kind.CONTROL or (
        event.response is None
        and not isinstance(event, AgentTranscript | ResponseText | ResponseThought)
    )


def _milliseconds(event: AudioInput) -> float:
    return event.format.milliseconds(len(event.pcm))
