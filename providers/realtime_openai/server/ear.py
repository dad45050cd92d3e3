"""An ear: what a client far away has heard at the least, by the clock.

The client plays what it gets, some time later. What it says itself of what was heard is exact and
reaches the session in time; until it does, this errs low.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio

from realtime_core.epoch import ItemId
from realtime_core.errors import RealtimeException
from realtime_core.events import AudioOutput, Interrupted, RealtimeEvent
from realtime_core.frames import Heard
from realtime_core.heard import Delivered, deliver, estimate
from realtime_core.session import RealtimeSession
from realtime_core.signals import Signal

__all__ = ("Ear",)

_BEHIND = 0.2
"""Seconds from here to the client's loudspeaker, at the most that is usual."""
_GLANCE = 0.1


class Ear:
    """Reports to a session what its answers' sound has reached."""

    def __init__(self, session: RealtimeSession[Any]) -> None:
        self._session = session
        self._sent: Delivered = ()
        self._waiting: dict[ItemId, int] = {}
        """Samples of items that are not heard to their end."""
        self._filled = Signal()

    def take(self, event: RealtimeEvent) -> None:
        """Note what the client is sent. Never waits."""
        if isinstance(event, Interrupted):
            self._sent, self._waiting = (), {}
        if not isinstance(event, AudioOutput) or event.item is None:
            return
        samples = event.format.samples(len(event.pcm))
        if event.item not in self._waiting:
            self._report(event.item, 0)
        self._waiting[event.item] = self._waiting.get(event.item, 0) + samples
        starts = anyio.current_time() + _BEHIND
        self._sent = deliver(self._sent, event.item, samples, event.format.rate, starts)
        self._filled.give()

    async def room(self) -> None:
        """Wait for nothing: the client keeps what it is sent."""

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            while not self._waiting:
                await self._filled.wait()
            await anyio.sleep(_GLANCE)
            for item, samples in tuple(self._waiting.items()):
                heard = estimate(self._sent, item, anyio.current_time())
                self._report(item, heard)
                if heard >= samples:
                    self._waiting.pop(item, None)

    def _report(self, item: ItemId, samples: int) -> None:
        with suppress(RealtimeException):  # the session has ended: nobody asks any more
            self._session.send_nowait(Heard(item, samples))
