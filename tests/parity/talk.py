"""A talk: one session as a conversation uses it, and everything that comes of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar

from realtime_core import (
    Audio,
    AudioOutput,
    Close,
    Connected,
    Disconnected,
    Frame,
    Heard,
    RealtimeException,
    RealtimeSession,
    ResponseDone,
    Text,
)
from realtime_core.beside import beside
from realtime_core.events import Event
from realtime_core.signals import Signal
from tests.parity.steps import Refused

__all__ = ("Talk", "talking")

E = TypeVar("E", bound=Event)
_CHUNK_MS = 20


class Talk:
    """A session; its events are taken as they come."""

    def __init__(self, session: RealtimeSession[Frame]) -> None:
        self.session = session
        self.trace = list[Event | Refused]()
        self._seen = 0
        self._came = Signal()

    async def listen(self) -> None:
        """Take the events, to the last."""
        async for event in self.session.events():
            self.trace.append(event)
            self._came.give()

    async def until(self, kind: type[E]) -> E:
        """Wait for the next event of this kind; those before it are passed over."""
        while True:
            while self._seen < len(self.trace):
                event = self.trace[self._seen]
                self._seen += 1
                if isinstance(event, kind):
                    return event
            await self._came.wait()

    async def push(self, frame: Frame) -> None:
        """Push a frame; that it is refused is part of the trace."""
        try:
            await self.session.send(frame)
        except RealtimeException as refusal:
            self.trace.append(Refused(type(frame).__name__, refusal.error))

    async def types(self, text: str) -> None:
        """Ask something, typed."""
        await self.push(Text(text))

    async def speaks(self, ms: int = 640) -> None:
        """Say something."""
        form = self.session.input_format
        for _ in range(ms // _CHUNK_MS):
            await self.push(Audio(b"\x00\x10" * (form.rate * _CHUNK_MS // 1_000), form))

    async def falls_silent(self) -> None:
        """Say nothing, for as long as it takes to be noticed."""
        form = self.session.input_format
        for _ in range(self.session.capabilities.closing_silence_ms // _CHUNK_MS):
            await self.push(Audio(bytes(form.sample_size * form.rate * _CHUNK_MS // 1_000), form))

    async def answered(self) -> None:
        """Hear the next answer to its end."""
        piece = await self.until(AudioOutput)
        while (await self.until(ResponseDone)).response != piece.response:
            pass
        self.heard()

    def heard(self, share: float = 1.0) -> None:
        """Report how much was heard of the newest answer that came."""
        pieces = [event for event in self.trace if isinstance(event, AudioOutput)]
        item = pieces[-1].item
        assert item is not None
        samples = sum(one.format.samples(len(one.pcm)) for one in pieces if one.item == item)
        self.session.send_nowait(Heard(item, int(samples * share)))

    async def leave(self) -> None:
        """End the session, and see the end of it."""
        await self.session.send(Close())
        await self.until(Disconnected)


@asynccontextmanager
async def talking(session: RealtimeSession[Frame]) -> AsyncGenerator[Talk]:
    """Take the events of a session while the block is open."""
    talk = Talk(session)
    async with beside() as tasks:
        tasks.start_soon(talk.listen)
        await talk.until(Connected)
        yield talk
