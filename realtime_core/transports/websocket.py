"""WebSocket: a dial to a provider's address, over TCP or TLS, directly or through a proxy.

It reads no environment and logs nothing. No header value, and no proxy password, is in any error:
where a server sends one back, it is blotted out.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, closing
from functools import cache
from inspect import isawaitable

import msgspec
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from ..beside import beside
from ..config import Secret
from ..errors import (
    InvalidRequest,
    ProtocolViolation,
    RealtimeError,
    RealtimeException,
    Unavailable,
)
from ..link import Dial, Link
from ..plan import Plan
from ._http import sendable
from ._messages import SILENT, WebSocket
from ._opening import Way, blotted, reached, within
from ._proxy import proxy_at
from ._sockets import Pipe
from .verdicts import closed, excerpt, refused

__all__ = ("Endpoint", "EndpointFor", "websocket")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect and how; times in seconds."""

    url: str
    """`ws://` or `wss://`; it is shown in errors, so it never holds a secret."""
    headers: Mapping[str, str | Secret] = msgspec.field(default_factory=dict[str, str | Secret])
    """Sent with the upgrade; what must not be shown is a `Secret`, revealed at each connect."""
    subprotocols: tuple[str, ...] = ()
    ssl: tls.SSLContext | None = None
    """For `wss`; None: the system's authorities are trusted and the host's name is checked."""
    proxy: str | Secret | None = None
    """`http://[user:password@]host[:port]` of a proxy that takes CONNECT."""
    max_size: int = 32 * 1024 * 1024
    """Bytes of a message; a longer one is refused before room is made for it."""
    open_timeout: float = 10.0
    """Until the server must have accepted the upgrade."""
    close_timeout: float = 1.0
    """Until the server must have answered our farewell."""
    ping_interval: float | None = 20.0
    """The silence at whose end the server is pinged at the latest; None: never."""
    ping_timeout: float = 20.0
    """The silence after a ping that means that the connection is lost."""
    failure: Callable[[int, str], RealtimeError | None] = closed
    """Reads a close code and its reason: 1006 where there was none; None: in good order."""
    refusal: Callable[[int, Mapping[str, str], bytes], RealtimeError] = refused
    """Reads status, headers (by names in small letters) and body of a refused upgrade."""


EndpointFor = Callable[[Plan], Endpoint | Awaitable[Endpoint]]


def websocket(endpoint: Endpoint | EndpointFor) -> Dial:
    """Dial this endpoint, or the one that a function gives for the plan, asked at each connect.

    Messages are sent as text and given as bytes, all that one read of the socket brought at a time.
    Leaving the block takes leave with code 1000 and waits for the answer until `close_timeout`, not
    at all while being cancelled. Nothing runs on after it.
    """

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        made = endpoint if isinstance(endpoint, Endpoint) else endpoint(plan)
        where = await made if isawaitable(made) else made
        call = _Call(where)
        pipe, protocol = await call.opened()
        with closing(pipe):
            async with (
                beside() as tasks,
                WebSocket(
                    pipe,
                    protocol,
                    tasks,
                    failure=call.failure,
                    ping_interval=where.ping_interval,
                    ping_timeout=where.ping_timeout,
                    close_timeout=where.close_timeout,
                ) as link,
            ):
                yield link

    return dial


class _Call:
    """One attempt to connect, and the secrets that it tells the server and nobody else."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._uri = _address(endpoint.url)
        self._headers = {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in endpoint.headers.items()
        }
        self._proxy = None if endpoint.proxy is None else proxy_at(endpoint.proxy)
        self._secrets = tuple(self._told())
        for name, value in self._headers.items():
            if not sendable(name, value):
                raise RealtimeException(_unsendable(name))

    def _told(self) -> Iterable[str]:
        for value in self._headers.values():
            yield from (value, value.rpartition(" ")[2])
        if self._proxy is not None:
            yield from (self._proxy.password, self._proxy.basic)

    def blotted(self, text: str) -> str:
        """Give a text of the server without what must not be shown."""
        return blotted(text, self._secrets)

    def failure(self, code: int, reason: str) -> RealtimeError | None:
        """Read the end of the connection."""
        return self._endpoint.failure(code, self.blotted(reason))

    async def opened(self) -> tuple[Pipe, ClientProtocol]:
        """Connect, agree on keys, and upgrade; raises `RealtimeException` and nothing else."""
        uri, endpoint = self._uri, self._endpoint
        context = (endpoint.ssl or _trust()) if uri.secure else None
        way = Way(uri.host, uri.port, context, proxy=self._proxy)
        with within(endpoint.open_timeout, uri.host, self._secrets):
            pipe = await reached(way)
            try:
                return pipe, await self._upgraded(pipe)
            except BaseException:
                pipe.close()
                raise

    async def _upgraded(self, pipe: Pipe) -> ClientProtocol:
        names = [Subprotocol(name) for name in self._endpoint.subprotocols]
        protocol = ClientProtocol(
            self._uri,
            subprotocols=names or None,
            max_size=self._endpoint.max_size,
            logger=SILENT,
        )
        request = protocol.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        protocol.send_request(request)
        await pipe.send(b"".join(protocol.data_to_send()))
        while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
            data = await pipe.receive()
            if data:
                protocol.receive_data(data)
            else:
                protocol.receive_eof()
        if protocol.handshake_exc is not None:
            raise RealtimeException(self._refusal(protocol.handshake_exc))
        return protocol

    def _refusal(self, problem: Exception) -> RealtimeError:
        if isinstance(problem, InvalidStatus):
            answer = problem.response
            fields = {name.lower(): self.blotted(text) for name, text in answer.headers.raw_items()}
            body = self.blotted(answer.body.decode("latin-1")).encode("latin-1")
            return self._endpoint.refusal(answer.status_code, fields, body)
        if isinstance(problem.__cause__, EOFError):
            return Unavailable(
                what=f"{self._uri.host} ended the connection before it had accepted it.",
                cause="an overloaded server, or a proxy in between",
            )
        return ProtocolViolation(
            what=f"The answer of {self._uri.host} is not that of a WebSocket server.",
            cause=excerpt(self.blotted(str(problem))),
            fix="Check the address.",
        )


def _address(url: str) -> WebSocketURI:
    try:
        uri = parse_uri(url)
    except (InvalidURI, ValueError):
        uri = None
    if uri is None or uri.user_info is not None:
        raise RealtimeException(
            InvalidRequest(
                what="The URL of the endpoint is not one that can be dialled.",
                cause="it is not `ws://host/path` or `wss://host/path`, or it holds a password",
                fix="Put credentials into a header, as a `Secret`.",
            )
        )
    return uri


def _unsendable(name: str) -> InvalidRequest:
    return InvalidRequest(
        what=f"The header {name!r} cannot be sent.",
        cause="a line break or a letter beyond Latin-1 in its value, often behind a pasted key",
        fix="Check the key.",
    )


@cache
def _trust() -> tls.SSLContext:
    """Read the system's authorities, once."""
    context = tls.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
