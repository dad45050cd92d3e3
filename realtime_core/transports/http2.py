"""HTTP/2: a dial to one exchange at a provider's address, bytes both ways at once.

Over TLS (ALPN `h2`) or plain with prior knowledge, directly or through a proxy. It reads no
environment and logs nothing. No secret among the headers is in any error.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from functools import cache
from inspect import isawaitable
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from ..beside import beside
from ..config import Secret
from ..errors import InvalidRequest, RealtimeError, RealtimeException
from ..link import Dial, Link
from ..plan import Plan
from ._http import sendable
from ._http2 import Connection
from ._http2_stream import Answer, Refusal, Stream
from ._http2_words import stopped
from ._opening import Way, opened
from ._proxy import proxy_at
from .verdicts import refused

__all__ = ("Answer", "Caller", "Endpoint", "EndpointFor", "Stream", "connected", "http2", "stopped")

Headers = Mapping[str, str | Secret]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect, what to ask for, and how; times in seconds."""

    url: str
    """`https://` or `http://` (prior knowledge); it is shown in errors, so it holds no secret."""
    method: str = "POST"
    headers: Headers = msgspec.field(default_factory=dict[str, str | Secret])
    """Sent with the request; what must not be shown is a `Secret`, revealed at each connect."""
    ssl: tls.SSLContext | None = None
    """For `https`; None: the system's authorities are trusted and the host's name is checked.

    It is told to offer `h2`, and nothing else afterwards: give one that no other transport uses.
    """
    proxy: str | Secret | None = None
    """`http://[user:password@]host[:port]` of a proxy that takes CONNECT."""
    window: int = 1024 * 1024
    """Bytes of an answer that may come before they are received; then the server must wait."""
    open_timeout: float = 10.0
    """Until the connection must stand; the answer may come whenever the server likes."""
    close_timeout: float = 1.0
    """Until the server must have ended its side of the exchange, once we have ended ours."""
    ping_interval: float | None = 20.0
    """The silence at whose end the server is pinged at the latest; None: never."""
    ping_timeout: float = 20.0
    """The silence after a ping that means that the connection is lost."""
    failure: Callable[[int, str], RealtimeError | None] = stopped
    """Reads the code of a RST_STREAM or GOAWAY, and what it says; None: in good order."""
    refusal: Refusal = refused
    """Reads status, headers (by names in small letters) and body of an answer that is no 2xx."""


EndpointFor = Callable[[Plan], Endpoint | Awaitable[Endpoint]]


class Target(NamedTuple):
    """An address, in its parts."""

    secure: bool
    host: str
    port: int
    authority: str
    """Host and port as requests name them."""
    path: str
    """With the query."""


class Caller:
    """An open connection, on which requests are made."""

    def __init__(self, connection: Connection, endpoint: Endpoint, target: Target) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self.target = target

    def request(self, headers: Headers, refusal: Refusal | None = None) -> Stream:
        """Ask for what the endpoint names; the exchange ends with the stream's own block.

        `refusal` stands in for the endpoint's. Raises `RealtimeException` for a header that cannot
        be sent, or where no request is taken.
        """
        target, endpoint = self.target, self._endpoint
        head: dict[str, str | Secret] = {
            ":method": endpoint.method,
            ":scheme": "https" if target.secure else "http",
            ":authority": target.authority,
            ":path": target.path,
        }
        for name, value in headers.items():
            if not sendable(name, value.reveal() if isinstance(value, Secret) else value):
                raise RealtimeException(_unsendable(name))
            head[name.lower()] = value
        return self._connection.ask(head, refusal or endpoint.refusal)


def http2(endpoint: Endpoint | EndpointFor) -> Dial:
    """Dial this endpoint, or the one that a function gives for the plan, asked at each connect.

    What is sent is the body of one request, and what is received that of its answer, in pieces as
    they come: wires are bytes, not messages. The link stands once the request is written; a refusal
    is told by whoever sends or receives. Leaving the block ends the request and waits for the end
    of the answer until `close_timeout`, not at all while being cancelled. Nothing runs on after it.
    """

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        made = endpoint if isinstance(endpoint, Endpoint) else endpoint(plan)
        where = await made if isawaitable(made) else made
        async with connected(where) as caller, caller.request(where.headers) as stream:
            yield stream

    return dial


@asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncGenerator[Caller]:
    """Connect, and give what makes requests; raises `RealtimeException`.

    Leaving the block takes leave and closes, at once. Cancelling leaves nothing.
    """
    target = located(endpoint.url)
    proxy = None if endpoint.proxy is None else proxy_at(endpoint.proxy)
    context = (endpoint.ssl or _trust()) if target.secure else None
    way = Way(target.host, target.port, context, "h2", proxy)
    pipe = await opened(way, endpoint.open_timeout)
    with closing(pipe):
        async with beside() as tasks:
            connection = Connection(
                pipe,
                tasks,
                client=True,
                window=endpoint.window,
                failure=endpoint.failure,
                ping_interval=endpoint.ping_interval,
                ping_timeout=endpoint.ping_timeout,
                close_timeout=endpoint.close_timeout,
            )
            try:
                yield Caller(connection, endpoint, target)
            finally:
                connection.leave()


def located(url: str) -> Target:
    """Take an address apart; raises `RealtimeException` for one that cannot be dialled."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    usable = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        usable = False
    if not usable:
        raise RealtimeException(
            InvalidRequest(
                what="The URL of the endpoint is not one that can be dialled.",
                cause="it is not `https://host/path` or `http://host/path`, or holds a password",
                fix="Put credentials into a header, as a `Secret`.",
            )
        )
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    assert parts.hostname is not None  # noqa: S101 - it was looked at
    return Target(
        secure, parts.hostname, port or (443 if secure else 80), parts.netloc.lower(), path
    )


def _unsendable(name: str) -> RealtimeError:
    return InvalidRequest(
        what=f"The header {name!r} cannot be sent.",
        cause="a line break or a letter beyond Latin-1 in its value, often behind a pasted key",
        fix="Check the key.",
    )


@cache
def _trust() -> tls.SSLContext:
    """Read the system's authorities, once."""
    return tls.create_default_context()
