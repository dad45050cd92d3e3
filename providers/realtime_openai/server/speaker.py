"""A speaker: plays a session's answers on a call's track, and knows to the sample what was heard.

The client is told when an answer begins to sound, has sounded and is cut, each at the moment when
it does; between two answers there is silence enough that neither is taken for the other.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import anyio

from realtime_core.audio.format import AudioFormat
from realtime_core.epoch import Epoch, is_stale
from realtime_core.events import AudioOutput, RealtimeEvent, ResponseDone
from realtime_core.playback import Player
from realtime_core.session import RealtimeSession
from realtime_core.signals import Signal
from realtime_core.transports.sound import Voice

from .desk import Desk
from .mirror import played

__all__ = ("Speaker",)

_APART = 0.06
"""Seconds between a sound and what is said of its end: messages are faster than sound."""
_MOST = 120
"""Seconds of sound that may wait to be heard."""


@dataclass(slots=True)
class _Run:
    """Sound of one answer in a row that was not played yet."""

    response: str
    epoch: Epoch
    samples: int


class Speaker:
    """Plays on the voice of a call: a `Listener` to the session, a sink to its player."""

    def __init__(self, voice: Voice, session: RealtimeSession[Any], desk: Desk) -> None:
        self._voice = voice
        self._session = session
        self._desk = desk
        self._player = Player(session, self)
        self._runs = deque[_Run]()
        self._unplayed: dict[str, Epoch] = {}
        """Answers that have not sounded to their end."""
        self._made: dict[str, None] = {}
        """Of these, those of which nothing more will come."""
        self._now = ""
        """The answer that sounds."""
        self._moved = Signal()

    # --- what the session says ----------------------------------------------------------------

    def take(self, event: RealtimeEvent) -> None:
        """Queue an answer's sound. Never waits."""
        id = event.response or ""
        if isinstance(event, AudioOutput) and id and event.pcm:
            samples = event.format.samples(len(event.pcm))
            if self._runs and self._runs[-1].response == id:
                self._runs[-1].samples += samples
            else:
                self._runs.append(_Run(id, event.epoch, samples))
            self._unplayed[id] = event.epoch
            self._player.take(event)
        elif isinstance(event, ResponseDone) and id in self._unplayed:
            self._made[id] = None
            self._settle()

    async def room(self) -> None:
        """Wait while two minutes of sound wait, unless they are cut."""
        with self._session.within():
            while sum(run.samples for run in self._runs) > _MOST * self._voice.format.rate:
                await self._moved.wait()

    async def run(self) -> None:
        """Play until cancelled."""
        await self._player.run()

    # --- the sink -----------------------------------------------------------------------------

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        """Let sound wait for its time on the track."""
        run = self._runs[0]
        if run.response != self._now:
            await self._begin(run.response)
        run.samples -= format.samples(len(pcm))
        if not run.samples:
            self._runs.popleft()
        self._moved.give()
        with suppress(anyio.BrokenResourceError):  # the call is over: nobody hears it
            await self._voice.put(pcm)

    async def _begin(self, response: str) -> None:
        await self.drain()
        self._now = response
        self._desk.take(played(self._desk.book, response, "started"))
        await self._desk.said()

    def heard(self) -> int:
        """Give the samples that were sent and had the time to sound."""
        return self._voice.spoken()

    async def drain(self) -> None:
        """Wait until all has sounded, and has reached the other end if it ever does."""
        with suppress(anyio.BrokenResourceError):
            await self._voice.drained()
        while anyio.current_time() < self._over_at:  # noqa: ASYNC110 - a sleep ends a rounding early
            await anyio.sleep_until(self._over_at)
        self._settle()

    @property
    def _over_at(self) -> float:
        return self._voice.spoke_at + _APART

    def flush(self) -> None:
        """Fall silent, and say which answers were cut."""
        self._voice.clear()
        now = self._session.epoch
        self._runs = deque(run for run in self._runs if not is_stale(run.epoch, now))
        for response, epoch in tuple(self._unplayed.items()):
            if is_stale(epoch, now):
                self._end(response, "cleared")
        self._moved.give()

    def pause(self) -> None:
        """Fall silent and keep the place."""
        self._voice.held = True

    def resume(self) -> None:
        """Go on."""
        self._voice.held = False

    # --- what the client is told --------------------------------------------------------------

    def _settle(self) -> None:
        """Say that answers have sounded, once they were made and all of them was played."""
        waiting = {run.response for run in self._runs}
        if self._voice.waiting or anyio.current_time() < self._over_at:
            waiting.add(self._now)
        for id in tuple(self._made):
            if id not in waiting:
                self._end(id, "stopped")

    def _end(self, response: str, how: Literal["stopped", "cleared"]) -> None:
        self._desk.take(played(self._desk.book, response, how))
        self._unplayed.pop(response, None)
        self._made.pop(response, None)
        if self._now == response:
            self._now = ""
