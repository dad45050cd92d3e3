"""An open microphone that hears what it is given: recordings in real time, silence in between.

The silence matters: a provider that listens for the end of a turn hears nothing else of it.
"""

from __future__ import annotations

from typing import Any

import anyio

from ..errors import RealtimeException, SessionClosed
from ..frames import Audio
from ..session import RealtimeSession
from ..signals import Signal

__all__ = ("Feed",)

_CHUNK_MS = 20
_LATE = 1.0
"""Seconds behind its schedule from which on the feed starts a new one (a machine that slept)."""
_SOON = 0.1
"""Seconds a provider has to notice speech that came as fast as it goes."""


class Feed:
    """Feeds one session. `pace` 1 is real time, 2 twice as fast, 0 as fast as it goes.

    At pace 0 there is no silence in between: each recording is followed by as much of it as the
    provider needs to notice the end.
    """

    def __init__(self, session: RealtimeSession[Any], pace: float) -> None:
        self._session = session
        self._pace = pace
        self.format = session.input_format
        """What is spoken, also to another provider that takes over."""
        self._step = self.format.sample_size * (self.format.rate * _CHUNK_MS // 1000)
        self._pcm = b""
        self._at = 0
        self._known = 0.0
        self._over = False
        self._filled = Signal()
        self._empty = Signal()

    @property
    def busy(self) -> bool:
        """Whether some of what was given is not spoken yet."""
        return self._at < len(self._pcm)

    @property
    def rest(self) -> float:
        """Seconds until the provider must have noticed that the speaker is silent."""
        return max(0.0, self._known - anyio.current_time())

    def speak(self, pcm: bytes) -> None:
        """Speak this behind what is being spoken: samples in the feed's format."""
        if self._over:
            return
        if not self._pace:
            silence = self._session.capabilities.closing_silence_ms // _CHUNK_MS
            pcm += bytes(silence * self._step)
        self._pcm, self._at = self._pcm[self._at :] + pcm, 0
        self._filled.give()

    async def spoken(self) -> None:
        """Wait until everything given was spoken."""
        while self.busy:
            await self._empty.wait()

    async def run(self) -> None:
        """Speak until cancelled, or until the session is closed."""
        try:
            await (self._paced() if self._pace else self._unpaced())
        except RealtimeException as refusal:
            if not isinstance(refusal.error, SessionClosed):
                raise
        finally:
            self._pcm, self._at, self._over = b"", 0, True
            self._empty.give()

    async def _paced(self) -> None:
        frame = _CHUNK_MS / 1000 / self._pace
        due = anyio.current_time()
        while True:
            await self._session.send(Audio(self._next(), self.format))
            due += frame
            now = anyio.current_time()
            if now - due > _LATE:
                due = now
            await anyio.sleep(max(0.0, due - now))

    async def _unpaced(self) -> None:
        while True:
            while not self.busy:
                await self._filled.wait()
            await self._session.send(Audio(self._next(), self.format))
            await anyio.lowlevel.checkpoint()

    def _next(self) -> bytes:
        piece = self._pcm[self._at : self._at + self._step]
        self._at += len(piece)
        if piece and not self.busy:
            silence = self._session.capabilities.closing_silence_ms / 1000
            self._known = anyio.current_time() + (silence / self._pace if self._pace else _SOON)
            self._empty.give()
        return piece + bytes(self._step - len(piece))
