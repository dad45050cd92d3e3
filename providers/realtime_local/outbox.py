"""The way out of the engine: messages in their order, handed to the link in batches.

Saying never waits. What was not handed over yet can be taken back; whoever makes sound faster
than the link takes it waits for `room`.
"""

from __future__ import annotations

from collections import deque

import anyio
import msgspec

from realtime_core.link import Link

from .wire import AudioDelta, EngineMessage, Spoken

__all__ = ("Outbox",)

_encode = msgspec.json.Encoder().encode
_BATCH = 64
_ROOM = 1 << 20


class Outbox:
    """One engine's outgoing messages; used from one event loop."""

    def __init__(self) -> None:
        self._waiting = deque[EngineMessage]()
        self._bytes = 0
        self._handing = False
        self._filled = anyio.Event()
        self._drained = anyio.Event()

    def say(self, *messages: EngineMessage) -> None:
        """Put messages at the end."""
        for message in messages:
            self._waiting.append(message)
            self._bytes += _size(message)
        self._filled.set()

    def take_back(self, response: str) -> tuple[str, ...]:
        """Remove sound and words of a response not yet handed over; give those words."""
        kept, words = deque[EngineMessage](), list[str]()
        for message in self._waiting:
            if isinstance(message, AudioDelta | Spoken) and message.response == response:
                self._bytes -= _size(message)
                if isinstance(message, Spoken):
                    words.append(message.text)
            else:
                kept.append(message)
        self._waiting = kept
        self._wake()
        return tuple(words)

    async def room(self) -> None:
        """Wait until less than a megabyte of sound and words waits for the link."""
        while self._bytes >= _ROOM:
            await self._drained.wait()

    async def empty(self) -> None:
        """Wait until everything was handed over."""
        while self._waiting or self._handing:
            await self._drained.wait()

    async def pump(self, link: Link) -> None:
        """Hand messages to the link as they come; ends only by an error of the link."""
        while True:
            while not self._waiting:
                self._filled = anyio.Event()
                await self._filled.wait()
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            self._bytes -= sum(map(_size, batch))
            self._handing = True
            await link.send(tuple(map(_encode, batch)))
            self._handing = False
            self._wake()

    def _wake(self) -> None:
        self._drained.set()
        self._drained = anyio.Event()


def _size(message: EngineMessage) -> int:
    match message:
        case AudioDelta():
            return len(message.pcm)
        case Spoken():
            return len(message.text)
        case _:
            return 0
