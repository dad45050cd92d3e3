"""WebSocket server: the other end of the wire, for loopback servers and fault tests.

One port answers upgrades and plain requests. What is asked is judged before anything is made for
it; no header is logged, and a connection that fails ends alone.
"""

from __future__ import annotations

import socket
import ssl as tls
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from http import HTTPStatus
from http.client import responses
from inspect import isawaitable
from typing import NamedTuple

import anyio
import msgspec
from anyio.abc import TaskGroup
from websockets.datastructures import Headers
from websockets.http11 import Request as Upgrade
from websockets.protocol import SERVER, Protocol
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from ..beside import beside
from ..errors import RealtimeError, RealtimeException
from ._http import BadHead, read_head, written_head
from ._listening import listening
from ._messages import SILENT, WebSocket
from ._sockets import Pipe, SecureSocket, Socket
from .verdicts import closed

__all__ = ("Handler", "Judge", "Request", "Response", "ServedSocket", "serve")


_DIGITS = 9
"""Of the length of a body."""
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
    """By names in small letters."""
    body: bytes = b""


class Response(NamedTuple):
    """An answer that is no upgrade; the connection ends behind it."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


Handler = Callable[["ServedSocket"], Awaitable[None]]
Judge = Callable[[Request], Response | Awaitable[Response | None] | None]


class ServedSocket(WebSocket):
    """One client's connection, as `serve` hands it over: batches of messages both ways."""

    def __init__(self, asked: _Asked, protocol: Protocol, tasks: TaskGroup, door: _Door) -> None:
        super().__init__(
            asked.pipe,
            protocol,
            tasks,
            failure=_gone,
            ping_interval=door.ping_interval,
            ping_timeout=door.ping_timeout,
            close_timeout=door.close_timeout,
        )
        self.request = asked.request
        """The upgrade that opened it."""
        self.subprotocol = asked.subprotocol

    async def raw(self, data: bytes) -> None:
        """Write these bytes as they are, behind what is being written; for fault tests."""
        await self._turn()
        await self._put(data)

    def abort(self) -> None:
        """Reset the connection, at once and without a word."""
        self._closed, self._fit = True, False
        self._pipe.close(reset=True)


class _Asked(NamedTuple):
    pipe: Pipe
    request: Request
    rest: bytes
    """What came behind the upgrade."""
    consent: bytes
    """Our answer to it."""
    subprotocol: str | None


class _Door(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all connections of a server."""

    handler: Handler
    judge: Judge | None
    ssl: tls.SSLContext | None
    subprotocols: tuple[str, ...]
    max_size: int
    max_body: int
    open_timeout: float
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float

    async def attend(self, raw: socket.socket) -> None:
        """Serve one client."""
        with closing(Socket(raw)) as plain:
            asked: _Asked | None = None
            with anyio.move_on_after(self.open_timeout):
                asked = await self._opened(plain)
            if asked is not None:
                with suppress(*_ENDS):
                    await self._serve(asked)

    async def _opened(self, plain: Socket) -> _Asked | None:
        """Read what is asked, and answer; None unless that was an upgrade."""
        pipe: Pipe = plain
        try:
            if self.ssl is not None:
                pipe = secure = SecureSocket(plain, self.ssl, server_side=True)
                await secure.handshake()
            request, rest = await _request(pipe, self.max_body)
        except BadHead as problem:
            answer: _Asked | Response = Response(problem.status)
        except (OSError, EOFError):
            return None
        else:
            answer = await self._judged(pipe, request, rest)
        if isinstance(answer, Response):
            await self._dismiss(pipe, answer)
            return None
        with suppress(OSError):  # then the handler is told
            await pipe.send(answer.consent)
        return answer

    async def _judged(self, pipe: Pipe, request: Request, rest: bytes) -> _Asked | Response:
        answer = None if self.judge is None else self.judge(request)
        answer = await answer if isawaitable(answer) else answer
        if answer is not None:
            return answer
        if request.method != "GET":
            return Response(HTTPStatus.METHOD_NOT_ALLOWED)
        names = [Subprotocol(name) for name in self.subprotocols]
        upgrade = ServerProtocol(subprotocols=names or None, logger=SILENT)
        verdict = upgrade.accept(Upgrade(request.path, Headers(request.headers)))
        if verdict.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return Response(verdict.status_code, {}, bytes(verdict.body))
        return _Asked(pipe, request, rest, verdict.serialize(), upgrade.subprotocol)

    async def _dismiss(self, pipe: Pipe, answer: Response) -> None:
        """Answer, and let the client leave first: closing on unread bytes would reset it."""
        headers = {
            **answer.headers,
            "Content-Length": str(len(answer.body)),
            "Connection": "close",
        }
        head = written_head(
            f"HTTP/1.1 {answer.status:d} {responses.get(answer.status, '')}", headers
        )
        with anyio.move_on_after(self.close_timeout), suppress(OSError):
            await pipe.send(head + answer.body)
            while await pipe.receive():
                pass

    async def _serve(self, asked: _Asked) -> None:
        protocol = Protocol(SERVER, max_size=self.max_size, logger=SILENT)
        if asked.rest:
            protocol.receive_data(asked.rest)
        async with beside() as tasks, ServedSocket(asked, protocol, tasks, self) as served:
            try:
                await self.handler(served)
            except BaseException as problem:  # a fault of ours, or the end of the server
                await served.close(1011 if isinstance(problem, Exception) else 1001)
                raise


@asynccontextmanager
async def serve(
    handler: Handler,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl: tls.SSLContext | None = None,
    process_request: Judge | None = None,
    subprotocols: tuple[str, ...] = (),
    max_size: int = 32 * 1024 * 1024,
    max_body: int = 1024 * 1024,
    open_timeout: float = 10.0,
    close_timeout: float = 1.0,
    ping_interval: float | None = 20.0,
    ping_timeout: float = 20.0,
) -> AsyncGenerator[tuple[str, int]]:
    """Serve while the block is open, and give the address; port 0 takes a free one.

    Each connection runs a `handler` of its own, and is closed when that returns. The end of a
    connection that escapes a handler (`EndOfStream`, `RealtimeException`, a broken or closed
    resource) ends that connection only; anything else ends the server, and leaves the block as it
    was raised. `process_request` may answer whatever is asked, with a body of up to `max_body`
    bytes, in place of the upgrade. Leaving the block closes what is open with code 1001, at once.
    """
    door = _Door(
        handler=handler,
        judge=process_request,
        ssl=ssl,
        subprotocols=subprotocols,
        max_size=max_size,
        max_body=max_body,
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
    )
    async with listening(host, port, door.attend) as address:
        yield address


async def _request(pipe: Pipe, limit: int) -> tuple[Request, bytes]:
    (method, path, version), headers, rest = await read_head(pipe)
    if version != "HTTP/1.1":
        raise BadHead(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if "transfer-encoding" in headers:
        raise BadHead(HTTPStatus.NOT_IMPLEMENTED)
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdecimal()):
        raise BadHead(HTTPStatus.BAD_REQUEST)
    if len(text) > _DIGITS or int(text) > limit:
        raise BadHead(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    length, body = int(text), bytearray(rest)
    while len(body) < length:
        more = await pipe.receive()
        if not more:
            raise EOFError("the connection ended before the body did")
        body += more
    return Request(method, path, headers, bytes(body[:length])), bytes(body[length:])


def _gone(code: int, reason: str) -> RealtimeError | None:
    """Read a client's farewell: leaving without a reason is its right."""
    return None if code in {1001, 1005} else closed(code, reason)
