"""HTTP/2 server: the other end of the wire, for loopback servers and fault tests.

Each request runs a handler of its own; many may run on one connection. Nothing is logged, and a
connection that fails ends alone.
"""

from __future__ import annotations

import socket
import ssl as tls
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from typing import NamedTuple

import anyio
import msgspec
from anyio.abc import TaskGroup
from h2.exceptions import ProtocolError
from hyperframe.frame import GoAwayFrame

from ..beside import beside
from ..errors import RealtimeException
from ..link import Wires
from ._http2 import Connection
from ._http2_stream import Stream
from ._listening import listening
from ._sockets import Pipe, SecureSocket, Socket

__all__ = ("Handler", "Request", "Served", "serve")

_INTERNAL = 2
_ENDS = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    RealtimeException,
)


class Request(NamedTuple):
    """What a client asked."""

    method: str
    path: str
    """With the query, as it was sent."""
    headers: Mapping[str, str]
    """By names in small letters; `host` is what the client takes us for."""


class Served:
    """One request, as `serve` hands it over, and what a test may do to it."""

    def __init__(self, request: Request, stream: Stream, here: _Here) -> None:
        self.request = request
        self.stream = stream
        self.responded = False
        """Whether the head of the answer was said."""
        self._here = here

    def respond(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Say the head of the answer, at once. Raises `BrokenResourceError` if nobody waits."""
        try:
            self._here.connection.say(
                self.stream.number, {":status": str(status), **(headers or {})}
            )
        except ProtocolError:
            raise anyio.BrokenResourceError from None
        self.responded = True

    async def receive(self) -> Wires:
        """Wait for pieces of the body of the request."""
        return await self.stream.receive()

    async def send(self, *pieces: bytes) -> None:
        """Send these pieces of the body of the answer."""
        await self.stream.send(pieces)

    async def end(self, trailers: Mapping[str, str] | None = None) -> None:
        """End the answer, with headers behind it perhaps."""
        await self.stream.send_eof(trailers)

    def reset(self, code: int) -> None:
        """Break the exchange off with this code."""
        self.stream.reset(code)

    def farewell(self, code: int = 0, last: int | None = None, said: bytes = b"") -> None:
        """Say GOAWAY, and go on; `last` is the last stream that we care for, by default this."""
        number = self.stream.number if last is None else last
        frame = GoAwayFrame(0, last_stream_id=number, error_code=code, additional_data=said)
        self.raw(frame.serialize())

    def raw(self, data: bytes) -> None:
        """Write these bytes as they are, behind what is being written; for fault tests."""
        self._here.connection.write(data)

    def abort(self, *, reset: bool = True) -> None:
        """End the connection, at once and without a word: by a reset, or in peace."""
        if reset:
            self._here.pipe.close(reset=True)
        else:
            self._here.pipe.shut()


Handler = Callable[[Served], Awaitable[None]]


class _Here:
    """One client's connection."""

    def __init__(self, pipe: Pipe, door: _Door, tasks: TaskGroup) -> None:
        self.pipe = pipe
        self._door = door
        self._tasks = tasks
        self.connection = Connection(
            pipe,
            tasks,
            client=False,
            window=door.window,
            ping_interval=door.ping_interval,
            ping_timeout=door.ping_timeout,
            close_timeout=door.close_timeout,
            asked=self._asked,
        )

    def _asked(self, stream: Stream, headers: dict[str, str]) -> None:
        method, path = headers.pop(":method", ""), headers.pop(":path", "")
        host = headers.pop(":authority", "") or headers.get("host", "")
        headers.pop(":scheme", None)
        request = Request(method, path, {**headers, "host": host})
        self._tasks.start_soon(self._serve, Served(request, stream, self))

    async def _serve(self, served: Served) -> None:
        async with served.stream:
            try:
                with suppress(*_ENDS):
                    await self._door.handler(served)
            finally:
                if not served.responded:
                    served.reset(_INTERNAL)


class _Door(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all connections of a server."""

    handler: Handler
    ssl: tls.SSLContext | None
    window: int
    open_timeout: float
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float

    async def attend(self, raw: socket.socket) -> None:
        """Serve one client."""
        with closing(Socket(raw)) as plain:
            pipe: Pipe | None = None
            with anyio.move_on_after(self.open_timeout), suppress(OSError, EOFError):
                pipe = await self._opened(plain)
            if pipe is None:
                return
            async with beside() as tasks:
                here = _Here(pipe, self, tasks)
                try:
                    await here.connection.ended()
                finally:
                    here.connection.leave()

    async def _opened(self, plain: Socket) -> Pipe:
        if self.ssl is None:
            return plain
        secure = SecureSocket(plain, self.ssl, server_side=True)
        await secure.handshake()
        return secure


@asynccontextmanager
async def serve(
    handler: Handler,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl: tls.SSLContext | None = None,
    window: int = 1024 * 1024,
    open_timeout: float = 10.0,
    close_timeout: float = 1.0,
    ping_interval: float | None = 20.0,
    ping_timeout: float = 20.0,
) -> AsyncGenerator[tuple[str, int]]:
    """Serve while the block is open, and give the address; port 0 takes a free one.

    Each request runs a `handler`, and its answer is ended when that returns, or broken off with
    INTERNAL_ERROR if there is none. The end of an exchange
    that escapes a handler (`EndOfStream`, `RealtimeException`, a broken or closed resource) ends
    that exchange only; anything else ends the server, and leaves the block as it was raised.
    Leaving the block closes what is open, at once. The context is told to agree on `h2`.
    """
    if ssl is not None:
        ssl.set_alpn_protocols(["h2"])
    door = _Door(
        handler=handler,
        ssl=ssl,
        window=max(window, 65_535),  # what a client may use before it hears of less
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
    )
    async with listening(host, port, door.attend) as address:
        yield address
