"""Serving: what every loopback server needs of a client's connection, whatever they speak.

What is said waits in one line and is written in its order by one task. A server can be dialled
inside the process, without a socket, and tells its clients there too how it closed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import anyio
from anyio.abc import ObjectStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from .beside import beside
from .errors import RealtimeError, RealtimeException
from .line import Line
from .link import Dial, Link, Wires
from .plan import Plan
from .signals import Signal

__all__ = ("ENDS", "Attend", "Closed", "Outbox", "Socket", "inside")

ENDS = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    RealtimeException,
)
"""How a connection ends."""
_FULL = 32 * 1024
"""Bytes that may wait for the client before its session is no longer asked for more."""
_MUCH = 1024 * 1024
"""Bytes that may wait for it before it is no longer heard."""
_LEAVE = 2.0
"""Seconds that taking leave may take."""
_ROOM = 64
"""Batches on their way inside the process, each way."""


class Socket(Protocol):
    """One client's connection: batches of messages both ways, and ways to end it."""

    async def receive(self) -> Wires:
        """Wait for what one read brings; raises one of `ENDS` at the end."""
        ...

    async def send(self, item: Wires) -> None:
        """Write a batch, `bytes` as binary messages; waits while the client does not read."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Take leave."""
        ...

    def abort(self) -> None:
        """Break the connection off."""
        ...


Attend = Callable[[Socket], Awaitable[None]]
"""Serves one client until it returns."""

Closed = Callable[[int, str], RealtimeError | None]
"""Reads how a server closed a connection; None where it did in good order."""


class Outbox:
    """What is said to one client, in its order; `write` runs beside."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self._line = Line(0)
        self._moved = Signal()
        self._gone = False

    async def write(self) -> None:
        """Write what there is to say, until cancelled or until the client is gone."""
        line = self._line
        try:
            while True:
                while not line.waiting:
                    await line.filled.wait()
                line.sending = True
                await self.socket.send(line.take())
                line.sending = False
                self._moved.give()
        except ENDS:
            pass  # whoever reads is told
        finally:
            self._gone = True
            self._moved.give()

    async def receive(self) -> Wires:
        """Wait for what the client says; raises one of `ENDS` at the end.

        A client that does not read what it is told is not heard either.
        """
        await self.room(_MUCH)
        return await self.socket.receive()

    def put(self, wires: Wires) -> None:
        """Write something, behind what waits."""
        self._line.put(wires)

    async def room(self, most: int = _FULL) -> None:
        """Wait until not more than so many bytes wait for the client."""
        while self._line.bytes_waiting > most and not self._gone:
            await self._moved.wait()

    async def said(self) -> None:
        """Wait until everything was handed to the connection."""
        while self._line.backed_up and not self._gone:
            await self._moved.wait()

    async def leave(self, code: int = 1000, reason: str = "") -> None:
        """Say what waits, then close; not longer than two seconds."""
        with anyio.move_on_after(_LEAVE):
            await self.said()
        await self.socket.close(code, reason.encode()[:120].decode(errors="ignore"))


def inside(attend: Attend, closed: Closed) -> Dial:
    """Give a dial whose every connection is served by `attend`, without a socket."""

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:  # noqa: ARG001 - one form for all
        to_server, at_server = anyio.create_memory_object_stream[Wires](_ROOM)
        to_client, at_client = anyio.create_memory_object_stream[Wires](_ROOM)
        socket = _Server(at_server, to_client)

        async def serve() -> None:
            with suppress(*ENDS):
                await attend(socket)
            await socket.close()

        try:
            async with beside() as tasks, _Client(at_client, to_server, socket, closed) as ours:
                tasks.start_soon(serve)
                yield ours
        finally:
            socket.abort()

    return dial


class _Server:
    """The server's end; it remembers how it was closed."""

    def __init__(
        self, source: MemoryObjectReceiveStream[Wires], sink: MemoryObjectSendStream[Wires]
    ) -> None:
        self._source = source
        self._sink = sink
        self.end: tuple[int, str] | None = None

    async def receive(self) -> Wires:
        return await self._source.receive()

    async def send(self, item: Wires) -> None:
        await self._sink.send(item)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._close(code, reason)

    def abort(self) -> None:
        self._close(1006, "")

    def _close(self, code: int, reason: str) -> None:
        self.end = self.end or (code, reason)
        self._source.close()
        self._sink.close()


class _Client(ObjectStream[Wires]):
    """The client's end: an end that was no good one is an error."""

    def __init__(
        self,
        source: MemoryObjectReceiveStream[Wires],
        sink: MemoryObjectSendStream[Wires],
        server: _Server,
        closed: Closed,
    ) -> None:
        self._source = source
        self._sink = sink
        self._server = server
        self._closed = closed

    async def receive(self) -> Wires:
        try:
            return await self._source.receive()
        except anyio.EndOfStream:
            error = self._closed(*(self._server.end or (1006, "")))
            if error is None:
                raise
            raise RealtimeException(error) from None

    async def send(self, item: Wires) -> None:
        await self._sink.send(item)

    async def send_eof(self) -> None:
        self._sink.close()

    async def aclose(self) -> None:
        self._source.close()
        self._sink.close()
