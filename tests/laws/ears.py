"""Ears: sinks that play or say late what they have played, and the truth about each.

Every sample bears the number of its answer and its own, at a rate at which the player's slices are
ticks, so that what a sink gets, plays and drops can be told, and things meet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio

from realtime_core.audio.format import AudioFormat
from realtime_core.playback import ClockSink, MarkSink, Sink
from realtime_core.signals import Signal
from realtime_core.testing import TICK

__all__ = ("AN_ANSWER", "A_TICK", "FORM", "Ear", "FarEnd", "Room", "answer_of", "values")

FORM = AudioFormat(rate=192)
A_TICK = 3
"""Samples in a tick, and in one of the player's slices."""
AN_ANSWER = 4096
"""Samples an answer may have; its number is above."""


class Ear(Protocol):
    """A sink and the truth about it."""

    sink: Sink

    def sounded(self) -> list[int]:
        """Give the samples that have sounded by now, in order."""
        ...


def values(pcm: bytes) -> list[int]:
    return [int.from_bytes(pcm[at : at + 2], "little") for at in range(0, len(pcm), 2)]


def answer_of(value: int) -> int:
    """Tell to which answer a sample belongs."""
    return value // AN_ANSWER


class Room:
    """Hears a `ClockSink`: what it says it has heard, of what it was given and did not drop."""

    def __init__(self) -> None:
        self.sink = clock = ClockSink()
        self._given = list[int]()
        write, flush = clock.write, clock.flush

        async def writing(pcm: bytes, format: AudioFormat) -> None:
            self._given += values(pcm)
            await write(pcm, format)

        def flushing() -> None:
            flush()
            del self._given[clock.heard() :]

        clock.write, clock.flush = writing, flushing  # type: ignore[method-assign]

    def sounded(self) -> list[int]:
        return self._given[: self.sink.heard()]


class FarEnd:
    """Plays at the other end of a wire, and sends marks back late, or not at all."""

    def __init__(self, start_soon: Callable[..., object], marks_after: int | None) -> None:
        self.sink = MarkSink(self._media, self._mark, self._clear)
        self._start_soon = start_soon
        self._late = marks_after
        self._plays = list[tuple[float, list[int]]]()
        self._ends = 0.0
        self._cleared = 0
        self._clears = Signal()

    async def _media(self, pcm: bytes, format: AudioFormat) -> None:
        start = max(self._ends, anyio.current_time())
        self._plays.append((start, values(pcm)))
        self._ends = start + format.samples(len(pcm)) / format.rate

    async def _mark(self, name: str) -> None:
        if self._late is not None:
            self._start_soon(self._answer, name, self._ends + self._late * TICK, self._cleared)

    async def _answer(self, name: str, at: float, cleared: int) -> None:
        """A far end that drops sound says at once that it has passed its mark, as carriers do."""
        with anyio.move_on_after(max(0.0, at - anyio.current_time())):
            while cleared == self._cleared:
                await self._clears.wait()
        self.sink.passed(name)

    def _clear(self) -> None:
        self._plays = [(start, self._part(start, pcm)) for start, pcm in self._plays]
        self._ends = 0.0
        self._cleared += 1
        self._clears.give()

    @staticmethod
    def _part(start: float, pcm: list[int]) -> list[int]:
        return pcm[: max(0, int((anyio.current_time() - start) * FORM.rate + 1e-6))]

    def sounded(self) -> list[int]:
        return [value for start, pcm in self._plays for value in self._part(start, pcm)]
