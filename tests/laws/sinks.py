"""Sinks that a witness looks at: what each is given, and what was truly heard of it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import anyio
from anyio.lowlevel import checkpoint

from realtime_core.audio.format import AudioFormat
from realtime_core.epoch import ItemId
from realtime_core.playback import ClockSink, MarkSink
from realtime_core.testing import TICK
from tests.laws.far import Items, item_of
from tests.laws.witness import Witness

__all__ = ("Handset", "Loudspeaker")


class Loudspeaker(ClockSink):
    """A clock sink that knows what it plays."""

    def __init__(self, witness: Witness, items: Items) -> None:
        super().__init__(self._keeps)
        self._witness = witness
        self._items = items
        self.kept: Counter[ItemId] = Counter()
        witness.ears = self.heard_of

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        self._witness.wrote(pcm)
        await super().write(pcm, format)

    def _keeps(self, pcm: bytes, format: AudioFormat) -> None:
        self.kept[item_of(self._items, pcm)[1]] += format.samples(len(pcm))

    def heard_of(self, item: ItemId) -> int:
        """Give how much of an item was heard."""
        now = self._now
        plays = now is not None and bool(now[1]) and item_of(self._items, now[1])[1] == item
        return self.kept[item] + (self.heard() - self.kept.total() if plays else 0)


class _Playing(NamedTuple):
    item: ItemId
    samples: int
    starts: float
    rate: int

    def heard(self, now: float) -> int:
        # The hair is for floats.
        return max(0, min(self.samples, int((now - self.starts) * self.rate + 1e-6)))


class Handset:
    """A telephone at the far end of a wire: its marks come late, and every third never."""

    def __init__(self, witness: Witness, items: Items) -> None:
        self.sink = MarkSink(self._media, self._mark, self._clear, ahead=2 * TICK)
        self._witness = witness
        self._items = items
        self._pieces: list[_Playing] = []
        self._marks: list[tuple[float, str]] = []
        self._ends = 0.0
        self._count = 0
        witness.ears = self.heard_of

    async def _media(self, pcm: bytes, format: AudioFormat) -> None:
        self._witness.wrote(pcm)
        starts = max(self._ends, anyio.current_time())
        samples = format.samples(len(pcm))
        self._pieces.append(_Playing(item_of(self._items, pcm)[1], samples, starts, format.rate))
        self._ends = starts + samples / format.rate
        await checkpoint()

    async def _mark(self, name: str) -> None:
        self._count += 1
        if self._count % 3:
            self._marks.append((self._ends + 1.5 * TICK, name))
        await checkpoint()

    def _clear(self) -> None:
        now = anyio.current_time()
        self._pieces = [piece._replace(samples=piece.heard(now)) for piece in self._pieces]
        self._ends = now

    def heard_of(self, item: ItemId) -> int:
        """Give how much of an item was heard."""
        now = anyio.current_time()
        return sum(piece.heard(now) for piece in self._pieces if piece.item == item)

    async def run(self) -> None:
        """Tell the marks, each when it is its time."""
        while True:
            await anyio.sleep(TICK / 2)
            while self._marks and self._marks[0][0] <= anyio.current_time():
                self.sink.passed(self._marks.pop(0)[1])
