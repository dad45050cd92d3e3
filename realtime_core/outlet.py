"""The outlet: events between the machine and the one consumer.

Writing never waits. A fence purges stale events at once; control events overtake queued media;
an event is compared with the epoch in force and returned without a suspension in between, and its
place in the trace is given at that instant, so the numbers have no gap.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from msgspec.structs import replace

from .config import Outlet as Limits
from .epoch import Epoch, is_stale
from .events import AudioOutput, Disconnected, Kind, RealtimeEvent
from .heard import Delivered, deliver
from .signals import Signal

__all__ = ("Outlet", "Tally")


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
        "_control",
        "_fenced",
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
        "tally",
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
        self._control = deque[RealtimeEvent]()
        self._media = deque[RealtimeEvent]()
        self._settling = deque[RealtimeEvent]()
        self._last: Disconnected | None = None
        self._waiting = 0.0
        self._fenced = Epoch(0)
        self._returned = Epoch(0)
        self._seq = 0

    @property
    def full(self) -> bool:
        """Whether the seconds of audio that wait have reached the cap."""
        return self._waiting >= self.limits.seconds

    def put(self, event: RealtimeEvent) -> None:
        """Queue an event; whoever puts gives `filled` when the batch is complete."""
        if isinstance(event, AudioOutput):
            samples = event.format.samples(len(event.pcm))
            self._media.append(event)
            self._waiting += samples / event.format.rate
            tally = self.tally
            self.tally = tally._replace(
                received=tally.received + samples, waiting=tally.waiting + samples
            )
        elif isinstance(event, Disconnected):
            self._last = event
        elif event.response is None or event.kind is Kind.CONTROL:
            self._control.append(event)
        else:
            self._media.append(event)
            if event.kind is Kind.SETTLING:
                self._settling.append(event)

    def overflow(self) -> tuple[int, float]:
        """Drop the oldest audio until the cap holds; gives the count and the milliseconds."""
        count, before = 0, self._waiting
        kept = deque[RealtimeEvent]()
        while self._waiting > self.limits.seconds:
            event = self._media.popleft()
            if isinstance(event, AudioOutput):
                samples = self._leave(event)
                tally = self.tally
                self.tally = tally._replace(
                    overflowed=tally.overflowed + samples, waiting=tally.waiting - samples
                )
                count += 1
            else:
                kept.append(event)
        self._media.extendleft(reversed(kept))
        return count, (before - self._waiting) * 1000

    def fence(self, epoch: Epoch) -> None:
        """Purge what an interruption made stale, all at once; what settles stays."""
        self._fenced = epoch
        self.delivered = ()
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
            elif self._media:
                event = self._media.popleft()
                if is_stale(event.epoch, self._fenced) and event.kind is Kind.PERISHABLE:
                    continue
                self._taken(event, at)
            elif self._last is not None and not self.over:
                event, self.over = self._last, True
            else:
                return None
            self._returned = max(self._returned, event.epoch)
            stamped = replace(event, seq=self._seq, epoch=self._returned)
            self._seq += 1
            return stamped

    def _taken(self, event: RealtimeEvent, at: float) -> None:
        if isinstance(event, AudioOutput):
            samples = self._leave(event)
            tally = self.tally
            self.tally = tally._replace(
                delivered=tally.delivered + samples, waiting=tally.waiting - samples
            )
            if event.item is not None:
                self.delivered = deliver(self.delivered, event.item, samples, event.format.rate, at)
            self.drained.give()
        elif event.kind is Kind.SETTLING:
            self._settling.popleft()

    def _leave(self, event: AudioOutput) -> int:
        samples = event.format.samples(len(event.pcm))
        self._waiting -= samples / event.format.rate
        return samples
