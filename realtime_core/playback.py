"""Playback: answers leave through a sink that says what it has played.

What is played runs inside `session.within(epoch)`: an interruption stops it in the same tick, what
the sink still holds is flushed, and the session knows to the sample what was heard. What is held
by a barge-in in two phases goes on at the held sample when it is released.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import anyio

from .beside import beside
from .epoch import ItemId, is_stale
from .errors import RealtimeException
from .events import AudioOutput, RealtimeEvent
from .frames import Heard
from .session import RealtimeSession
from .signals import Signal
from .sinks import ClockSink, MarkSink, Pausable, Sink

__all__ = ("ClockSink", "MarkSink", "Pausable", "Player", "Sink", "play", "player")

_SLICE_MS = 20
_KEPT = 8
"""Items that may go on after a pause."""


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
        self._pausable = sink if isinstance(sink, Pausable) else None
        self._held = False
        self._released = Signal()
        self._epoch = session.epoch
        """Of what plays."""

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
            with self._session.pausing(self._hold):
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
            if self._held and self._pausable is not None:
                self._pausable.resume()

    def _hold(self, on: bool) -> None:
        """Hold what plays, or go on; what was cut meanwhile is gone before its sink goes on."""
        self._held = on
        if on:
            if self._pausable is not None:
                self._pausable.pause()
            self._report()
            return
        if is_stale(self._epoch, self._session.epoch):
            self._silence()
        if self._pausable is not None:
            self._pausable.resume()
        self._released.give()

    async def _speak(self) -> None:
        self._epoch = self._session.epoch
        with self._session.within(self._epoch) as scope:
            while self._queue and not scope.cancel_called:
                await self._write(self._queue.popleft())
                if not self._queue:
                    await self._wane()
        if scope.cancel_called:
            self._silence()

    async def _write(self, event: AudioOutput) -> None:
        form = event.format
        step = form.sample_size * max(1, form.rate * _SLICE_MS // 1000)
        for start in range(0, len(event.pcm), step):
            while self._held:
                await self._released.wait()
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
