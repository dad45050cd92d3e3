"""Sinks: what plays sound and can say, in samples, what it has played.

The loudspeaker is in `realtime_core.audio.speaker`; a WAV file is a `ClockSink` that hands on what
was heard.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

import anyio

from .audio.format import AudioFormat
from .signals import Signal

__all__ = ("ClockSink", "MarkSink", "Pausable", "Sink")

_SLACK = 0.02
"""Seconds by which the next piece may be late and still sound without a gap."""
_PATIENCE = 0.5
"""Seconds by which a mark may be late: it has a way to go."""
_HAIR = 1e-6
"""Seconds by which floats may lie: less than a sample."""


class Sink(Protocol):
    """Anything that plays and can say what it played."""

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        """Take some audio; returns when there is room for more, at the latest once it is played."""
        ...

    def heard(self) -> int:
        """Give the samples played since the sink was made; flushed ones do not count."""
        ...

    async def drain(self) -> None:
        """Wait until everything written is played. Cancelling it changes nothing."""
        ...

    def flush(self) -> None:
        """Fall silent now and forget what was not played. Never waits."""
        ...


@runtime_checkable
class Pausable(Protocol):
    """A sink that can hold its sound and go on: what a barge-in in two phases needs."""

    def pause(self) -> None:
        """Fall silent now and keep the place. Never waits."""
        ...

    def resume(self) -> None:
        """Go on where it was paused. Never waits."""
        ...


class ClockSink:
    """Plays on the clock: no device, exact to the sample; hands on what was heard.

    `pace` 1 is real time, 2 twice as fast, 0 as fast as it comes. `keep` gets each piece of PCM
    once it was heard, never more.
    """

    def __init__(
        self,
        keep: Callable[[bytes, AudioFormat], object] | None = None,
        *,
        pace: float = 1.0,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._keep = keep
        self._pace = pace
        self._clock = clock
        self._heard = 0
        self._now: tuple[float, bytes, AudioFormat] | None = None
        self._paused_at: float | None = None
        self._lag = 0.0
        self._resumed = Signal()

    def _time(self) -> float:
        """Give the seconds on a clock that stands still during a pause."""
        return (self._clock() if self._paused_at is None else self._paused_at) - self._lag

    @property
    def paused(self) -> bool:
        """Whether the clock stands still."""
        return self._paused_at is not None

    def pause(self) -> None:
        """Stop the clock."""
        if self._paused_at is None:
            self._paused_at = self._clock()

    def resume(self) -> None:
        """Let the clock go on."""
        if self._paused_at is not None:
            self._lag += self._clock() - self._paused_at
            self._paused_at = None
            self._resumed.give()

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        """Play for as long as this audio lasts; what was cut short of its wait plays on before."""
        if self._left:
            await self.drain()
        while self.paused:
            await self._resumed.wait()
        at = self._time()
        starts = self._ends if self._now is not None and self._ends > at - _SLACK else at
        self._finish()
        self._now = (starts, pcm, format)
        await self.drain()

    @property
    def _ends(self) -> float:
        if self._now is None or not self._pace:
            return 0.0
        starts, pcm, format = self._now
        return starts + format.samples(len(pcm)) / format.rate / self._pace

    @property
    def _left(self) -> float:
        left = self._ends - self._time()
        return left if left > _HAIR else 0.0

    def heard(self) -> int:
        """Give the samples played, counted by the clock."""
        return self._heard + self._played()

    async def drain(self) -> None:
        """Wait until the last piece is over."""
        while True:
            await anyio.sleep(self._left)
            if not self._left:
                return
            if self.paused:
                await self._resumed.wait()

    def flush(self) -> None:
        """Stop where the clock stands."""
        if self._now is not None:
            starts, pcm, format = self._now
            self._now = (starts, pcm[: self._played() * format.sample_size], format)
            self._finish()

    def _played(self) -> int:
        if self._now is None:
            return 0
        starts, pcm, format = self._now
        whole = format.samples(len(pcm))
        if not self._left:
            return whole
        # The rounding keeps a sample that ends exactly now; floats lie by a hair.
        return max(0, min(whole, int((self._time() - starts) * self._pace * format.rate + 1e-6)))

    def _finish(self) -> None:
        if self._now is None:
            return
        _, pcm, format = self._now
        self._heard += format.samples(len(pcm))
        self._now = None
        if pcm and self._keep is not None:
            self._keep(pcm, format)

    def close(self) -> None:
        """Hand on the last piece as far as it was heard."""
        self.flush()


class MarkSink:
    """Plays at the far end of a wire that says which marks it has passed: a browser, a carrier.

    `media` sends a piece of sound and `mark` a name behind it; `clear` makes the far end drop what
    it has not played, and must not wait. Every name that comes back is given to `passed`: heard is
    what lies before the newest of them, never more. `write` keeps about `ahead` seconds at the far
    end, by its marks or, where they stay away, by the clock.
    """

    def __init__(
        self,
        media: Callable[[bytes, AudioFormat], Awaitable[object]],
        mark: Callable[[str], Awaitable[object]],
        clear: Callable[[], object],
        *,
        ahead: float = 0.2,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._media = media
        self._mark = mark
        self._clear = clear
        self._ahead = ahead
        self._clock = clock
        self._waiting = deque[tuple[str, int, float]]()
        self._heard = 0
        self._marks = 0
        self._ends = 0.0
        self._moved = Signal()

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        """Send, then wait until the far end has played most of what it got."""
        await self._media(pcm, format)
        samples = format.samples(len(pcm))
        self._ends = max(self._ends, self._clock()) + samples / format.rate
        self._marks += 1
        name = f"mark-{self._marks}"
        self._waiting.append((name, samples, self._ends))
        await self._mark(name)
        await self._until(self._ahead)

    def passed(self, mark: str) -> None:
        """Learn that the far end has played everything before this mark; others are ignored."""
        if any(name == mark for name, _, _ in self._waiting):
            name = ""
            while name != mark:
                name, samples, _ = self._waiting.popleft()
                self._heard += samples
            self._moved.give()

    def heard(self) -> int:
        """Give the samples before the newest mark that came back."""
        return self._heard

    async def drain(self) -> None:
        """Wait for the last mark, at the latest until half a second after its time."""
        await self._until(-_PATIENCE)

    def flush(self) -> None:
        """Make the far end fall silent; marks that it still sends back count for nothing."""
        self._waiting.clear()
        self._ends = 0.0
        self._clear()
        self._moved.give()

    async def _until(self, ahead: float) -> None:
        while self._waiting:
            left = self._waiting[-1][2] - self._clock() - ahead
            if left <= _HAIR:
                return
            with anyio.move_on_after(left):
                await self._moved.wait()
