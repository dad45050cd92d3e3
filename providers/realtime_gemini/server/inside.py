"""A server inside the process: clients dial it without a socket, and see how it closed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import ObjectStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from realtime_core.beside import beside
from realtime_core.errors import RealtimeException
from realtime_core.link import Dial, Link, Wires
from realtime_core.plan import Plan

from ..failures import closed
from .desk import ENDS, Socket

__all__ = ("Attend", "inside")

_ROOM = 64
"""Batches on their way, each way."""

Attend = Callable[[Socket], Awaitable[None]]
"""Serves one client until it returns."""


def inside(attend: Attend) -> Dial:
    """Give a dial whose every connection is served by `attend`."""

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
            async with beside() as tasks, _Client(at_client, to_server, socket) as ours:
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
    ) -> None:
        self._source = source
        self._sink = sink
        self._server = server

    async def receive(self) -> Wires:
        try:
            return await self._source.receive()
        except anyio.EndOfStream:
            error = closed(*(self._server.end or (1006, "")))
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
