"""Pipes in memory: what stands in for sockets in virtual time, and the far end of a WebSocket."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from realtime_core.beside import beside
from realtime_core.errors import RealtimeError
from realtime_core.signals import Signal
from realtime_core.transports._messages import SILENT, WebSocket
from realtime_core.transports.verdicts import closed

__all__ = ("Far", "MemoryPipe", "opened", "pipes")


class MemoryPipe:
    """One of two ends; each send is one read of the other, which holds up to `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peer = self
        self.came = deque[bytes]()
        self.news = Signal()
        self.lost = False
        self.closed = False
        self.sends = 0
        self.rest = b""

    async def receive(self) -> bytes:
        while not self.came:
            if self.closed:
                raise anyio.ClosedResourceError
            if self.lost:
                return b""
            await self.news.wait()
        self.peer.news.give()
        return self.came.popleft()

    async def send(self, data: bytes) -> None:
        self.sends += 1
        data, self.rest = self.rest + data, b""
        for at in range(0, len(data), self.limit):
            while not self.lost and sum(map(len, self.peer.came)) >= self.limit:
                await self.news.wait()
            if self.closed:
                raise anyio.ClosedResourceError
            if self.lost:
                raise BrokenPipeError("gone")
            self.peer.came.append(data[at : at + self.limit])
            self.peer.news.give()

    def push(self, data: bytes) -> bool:
        self.sends += 1
        if self.lost:
            raise BrokenPipeError("gone")
        room = max(0, self.limit - sum(map(len, self.peer.came)))
        if data[:room]:
            self.peer.came.append(data[:room])
            self.peer.news.give()
        self.rest = data[room:]
        return not self.rest

    def shut(self) -> None:
        for end in (self, self.peer):
            end.lost = True
            end.news.give()

    def close(self, *, reset: bool = False) -> None:
        self.closed = True
        self.shut()


def pipes(limit: int = 1 << 16) -> tuple[MemoryPipe, MemoryPipe]:
    here, there = MemoryPipe(limit), MemoryPipe(limit)
    here.peer, there.peer = there, here
    return here, there


class Far:
    """The other end, frame by frame."""

    def __init__(self, pipe: MemoryPipe) -> None:
        self.pipe = pipe
        self.protocol = Protocol(SERVER, logger=SILENT)
        self.frames = list[Frame]()
        """All that was heard."""

    def framed(self, *texts: bytes) -> bytes:
        for text in texts:
            self.protocol.send_text(text)
        return b"".join(self.protocol.data_to_send())

    async def say(self, *texts: bytes, close: tuple[int, str] | None = None) -> None:
        """Send these messages, and a farewell, so that one read brings them."""
        data = self.framed(*texts)
        if close is not None:
            self.protocol.send_close(*close)
            data += b"".join(self.protocol.data_to_send())
        await self.pipe.send(data)

    async def do(self, method: str, *given: Any, **named: Any) -> None:
        """Call a method of the protocol, and send what comes of it."""
        getattr(self.protocol, method)(*given, **named)
        await self.pipe.send(b"".join(self.protocol.data_to_send()))

    async def hear(self) -> list[Frame]:
        """Read once, answer nothing, and give the frames; raises `EndOfStream`."""
        data = await self.pipe.receive()
        if not data:
            raise anyio.EndOfStream
        self.protocol.receive_data(data)
        self.protocol.data_to_send()
        heard = [frame for frame in self.protocol.events_received() if isinstance(frame, Frame)]
        self.frames += heard
        return heard

    async def until(self, opcode: Opcode) -> Frame:
        """Read until such a frame comes."""
        while True:
            for frame in await self.hear():
                if frame.opcode is opcode:
                    return frame


@asynccontextmanager
async def opened(
    *,
    limit: int = 1 << 16,
    max_size: int = 1 << 20,
    failure: Callable[[int, str], RealtimeError | None] = closed,
    **named: Any,
) -> AsyncGenerator[tuple[WebSocket, Far]]:
    """Give our end, a client, and the far one."""
    here, there = pipes(limit)
    protocol = Protocol(CLIENT, max_size=max_size, logger=SILENT)
    async with (
        beside() as tasks,
        WebSocket(here, protocol, tasks, failure=failure, **named) as ours,
    ):
        yield ours, Far(there)
