"""Proxy: real sockets between a session and a server, and what can happen to bytes on their way.

It knows nothing of what it carries, so TLS passes through it as it is. What befalls a connection
is said before it is made, by a `Fate`, or while it stands; the server sees it too.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from math import inf
from typing import Literal, NamedTuple

import anyio
from anyio.abc import TaskGroup

from realtime_core.beside import beside

__all__ = ("REFUSED", "Fate", "How", "Passage", "Proxy", "proxied")

How = Literal["reset", "end", "vanish"]
"""How a connection breaks: at once, in good order, or so that nobody notices (half-open)."""

_READ = 65536
_RESET = struct.pack("ii", 1, 0)


class Fate(NamedTuple):
    """What befalls a connection: it breaks behind so many bytes, and is slow until then."""

    how: How = "reset"
    down: float = inf
    """Bytes to the client."""
    up: float = inf
    """Bytes to the server."""
    piece: int = _READ
    """Bytes that are passed on at a time."""
    pace: float = 0.0
    """Seconds before each piece."""


REFUSED = Fate(up=0)
"""Reset before the server hears of it."""


class Passage:
    """One connection through the proxy."""

    def __init__(self, number: int, fate: Fate) -> None:
        self.number = number
        self.fate = fate
        self.up = 0
        """Bytes that were passed on to the server."""
        self.down = 0
        """Bytes that were passed on to the client."""
        self.how: How | None = None
        """How it was broken, if it was."""
        self._changed = anyio.Event()

    def breaks(self, how: How) -> None:
        """Break it now."""
        self.how = self.how or how
        self._changed.set()

    async def carry(self, client: socket.socket, port: int) -> None:
        """Pass bytes both ways, until it breaks or both sides have ended."""
        with closing(client):
            self._look()
            if self.how is not None:
                await self._broken(client)
                return
            with closing(socket.socket()) as server:
                server.setblocking(False)
                with suppress(BlockingIOError):
                    server.connect(("127.0.0.1", port))
                await anyio.wait_writable(server)
                async with beside() as tasks:
                    tasks.start_soon(self._both, client, server)
                    await self._changed.wait()
                if self.how is not None:
                    await self._broken(client, server)

    async def _both(self, client: socket.socket, server: socket.socket) -> None:
        async with anyio.create_task_group() as both:
            both.start_soon(self._pass_on, client, server, "up")
            both.start_soon(self._pass_on, server, client, "down")
        self._changed.set()

    async def _pass_on(
        self, source: socket.socket, target: socket.socket, way: Literal["up", "down"]
    ) -> None:
        with suppress(OSError):
            while data := await _receive(source):
                while data:
                    await anyio.sleep(self.fate.pace)
                    room = getattr(self.fate, way) - getattr(self, way)
                    size = int(min(room, self.fate.piece, len(data)))
                    await _send(target, data[:size])
                    setattr(self, way, getattr(self, way) + size)
                    data = data[size:]
                    self._look()
                    if self.how is not None:
                        return
            target.shutdown(socket.SHUT_WR)
            return
        self.breaks("reset")  # one side is gone without a word: so is the other

    def _look(self) -> None:
        if self.up >= self.fate.up or self.down >= self.fate.down:
            self.breaks(self.fate.how)

    async def _broken(self, *ends: socket.socket) -> None:
        """Show both sides how it broke; where bytes vanish, they see nothing of it."""
        if self.how == "reset":
            for end in ends:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            return
        async with anyio.create_task_group() as tasks:
            for end in ends:
                if self.how == "end":
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_WR)
                tasks.start_soon(_swallow, end)


class Proxy:
    """Passes connections on to a server; dials meet the `fates` in their order, then none."""

    def __init__(self, to: int) -> None:
        self.to = to
        self.port = 0
        self.fates = deque[Fate]()
        self.passages = list[Passage]()
        """One for each dial."""
        self._listening = anyio.CancelScope()
        self._here, self._back = anyio.Event(), anyio.Event()

    def breaks(self, how: How) -> None:
        """Break what stands; later dials are not concerned."""
        for passage in self.passages:
            passage.breaks(how)

    async def run(self) -> None:
        """Take in one client after the other."""
        async with anyio.create_task_group() as tasks:
            while True:
                with closing(socket.create_server(("127.0.0.1", self.port))) as listener:
                    listener.setblocking(False)
                    self.port = listener.getsockname()[1]
                    self._here.set()
                    with anyio.CancelScope() as self._listening:
                        await self._accept(listener, tasks)
                await self._back.wait()

    async def _accept(self, listener: socket.socket, tasks: TaskGroup) -> None:
        while True:
            await anyio.wait_readable(listener)
            with suppress(BlockingIOError, ConnectionAbortedError):
                client, _ = listener.accept()
                client.setblocking(False)
                fate = self.fates.popleft() if self.fates else Fate()
                passage = Passage(len(self.passages), fate)
                self.passages.append(passage)
                tasks.start_soon(passage.carry, client, self.to)

    @asynccontextmanager
    async def away(self) -> AsyncGenerator[None]:
        """Reset what stands; nobody listens while the block is open."""
        self._back, self._here = anyio.Event(), anyio.Event()
        self._listening.cancel()
        self.breaks("reset")
        yield
        self._back.set()
        await self._here.wait()

    async def there(self) -> None:
        """Wait until somebody listens."""
        await self._here.wait()


@asynccontextmanager
async def proxied(to: int) -> AsyncGenerator[Proxy]:
    """Run a proxy for a server's port."""
    proxy = Proxy(to)
    async with beside() as tasks:
        tasks.start_soon(proxy.run)
        await proxy.there()
        yield proxy


async def _receive(end: socket.socket) -> bytes:
    while True:
        try:
            return end.recv(_READ)
        except BlockingIOError:
            await anyio.wait_readable(end)


async def _send(end: socket.socket, data: bytes) -> None:
    while data:
        try:
            data = data[end.send(data) :]
        except BlockingIOError:
            await anyio.wait_writable(end)


async def _swallow(end: socket.socket) -> None:
    with suppress(OSError):
        while await _receive(end):
            pass
