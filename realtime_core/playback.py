"""Playback: answers leave through a sink that says what it has played.

What is played runs inside `session.within(epoch)`: an interruption stops it in the same tick, what
the sink still holds is flushed, and the session knows to the sample what was heard.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, Protocol

import anyio

from .audio.format import AudioFormat
from .beside import beside
from .epoch import ItemId, is_stale
from .errors import RealtimeException
from .events import AudioOutput, RealtimeEvent
from .frames import Heard
from .session import RealtimeSession
from .signals import Signal

__all__ = ("ClockSink", "Player", "Sink", "play", "player")

_SLICE_MS = 20
_KEPT = 8
"""Items that may go on after a pause."""


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

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        """Play for as long as this audio lasts; what was cut short of its wait plays on before."""
        if self._ends > self._clock():
            await self.drain()
        at = self._clock()
        starts = self._ends if self._now is not None and self._ends > at - _SLICE_MS / 1000 else at
        self._finish()
        self._now = (starts, pcm, format)
        await self.drain()

    @property
    def _ends(self) -> float:
        if self._now is None or not self._pace:
            return 0.0
        starts, pcm, format = self._now
        return starts + format.samples(len(pcm)) / format.rate / self._pace

    def heard(self) -> int:
        """Give the samples played, counted by the clock."""
        return self._heard + self._played()

    async def drain(self) -> None:
        """Wait until the last piece is over."""
        while True:
            await anyio.sleep(max(0.0, self._ends - self._clock()))
            if self._ends <= self._clock():
                return

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
        if self._ends <= self._clock():
            return whole
        # The rounding keeps a sample that ends exactly now; floats lie by a hair.
        return max(0, min(whole, int((self._clock() - starts) * self._pace * format.rate + 1e-6)))

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


class _Piece(NamedTuple):
    """Audio that was handed to the sink."""

    item: ItemId | None
    samples: int
    of_item: int
    """Samples of its item up to its end."""
    of_all: int
    """What the sink will have heard at its end."""


class Player:
    """Plays the audio among the events it is given, in order, and reports what was heard."""

    def __init__(self, session: RealtimeSession[Any], sink: Sink) -> None:
        self._session = session
        self._sink = sink
        self._queue = deque[AudioOutput]()
        self._filled = Signal()
        self._idle = Signal()
        self._playing = False
        self._written = deque[_Piece]()
        self._items: dict[ItemId | None, int] = {}
        self._total = sink.heard()

    def take(self, event: RealtimeEvent) -> None:
        """Queue an event's audio; other events pass unheeded. Never waits."""
        if isinstance(event, AudioOutput):
            self._queue.append(event)
            self._filled.give()

    @property
    def busy(self) -> bool:
        """Whether something is played or waits for it."""
        return self._playing or bool(self._queue)

    async def drained(self) -> None:
        """Wait until everything taken so far was played or fenced, or the player has ended."""
        while self.busy:
            await self._idle.wait()

    async def run(self) -> None:
        """Play until cancelled; what plays at that moment is flushed. Raises what the sink raises.

        Each piece is compared with the session's epoch right before the sink gets it.
        """
        try:
            while True:
                while not self._queue:
                    await self._filled.wait()
                self._playing = True
                await self._speak()
                self._playing = False
                self._idle.give()
        finally:
            self._queue.clear()
            self._playing = False
            self._idle.give()
            self._silence()

    async def _speak(self) -> None:
        epoch = self._session.epoch
        with self._session.within(epoch) as scope:
            while self._queue:
                await self._write(self._queue.popleft())
                if not self._queue:
                    await self._wane()
        if scope.cancel_called:
            self._silence()

    async def _write(self, event: AudioOutput) -> None:
        form = event.format
        step = form.sample_size * max(1, form.rate * _SLICE_MS // 1000)
        for start in range(0, len(event.pcm), step):
            if is_stale(event.epoch, self._session.epoch):
                return
            piece = event.pcm[start : start + step]
            self._note(event.item, form.samples(len(piece)))
            await self._sink.write(piece, form)
            self._report()

    async def _wane(self) -> None:
        """Report how the last of it is heard, until that is done or more is to be played."""
        while not self._queue:
            with anyio.move_on_after(_SLICE_MS / 1000) as glance:
                await self._sink.drain()
            self._report()
            if not glance.cancelled_caught:
                return

    def _note(self, item: ItemId | None, samples: int) -> None:
        if item is not None and item not in self._items:
            self._tell(Heard(item, 0))
        self._items[item] = self._items.get(item, 0) + samples
        self._total += samples
        self._written.append(_Piece(item, samples, self._items[item], self._total))

    def _report(self) -> None:
        heard = self._sink.heard()
        news: dict[ItemId | None, int] = {}
        while self._written:
            piece = self._written[0]
            left = max(0, piece.of_all - heard)
            if left < piece.samples:
                news[piece.item] = piece.of_item - left
            if left:
                break
            self._written.popleft()
        for item, samples in news.items():
            if item is not None:
                self._tell(Heard(item, samples))
        if news and not self._written:
            self._items = dict(tuple(self._items.items())[-_KEPT:])

    def _tell(self, heard: Heard) -> None:
        with suppress(RealtimeException):  # the session has ended: nobody asks any more
            self._session.send_nowait(heard)

    def _silence(self) -> None:
        self._sink.flush()
        self._queue = deque(e for e in self._queue if not is_stale(e.epoch, self._session.epoch))
        self._written.clear()
        self._items.clear()
        self._total = self._sink.heard()


@asynccontextmanager
async def player(session: RealtimeSession[Any], sink: Sink) -> AsyncGenerator[Player]:
    """Run a `Player` beside the block; leaving it silences the sink.

    What the sink raises ends the block and comes out of it.
    """
    async with beside() as tasks:
        playing = Player(session, sink)
        tasks.start_soon(playing.run)
        yield playing


async def play(
    session: RealtimeSession[Any],
    sink: Sink,
    events: AsyncIterable[RealtimeEvent] | None = None,
) -> None:
    """Play a session's answers until its events end (default: its own `events()`)."""
    async with player(session, sink) as playing:
        async for event in session.events() if events is None else events:
            playing.take(event)
        await playing.drained()
