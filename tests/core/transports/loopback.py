"""Loopback: servers of bare bytes, a proxy, and certificates, for tests of the WebSocket dial."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
import trustme
from anyio.abc import SocketAttribute, SocketStream

from realtime_core import SessionConfig, negotiate
from realtime_core.beside import beside
from realtime_core.errors import RealtimeError, RealtimeException
from realtime_core.testing.scripted import SCRIPTED
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_core.transports.websocket_server import ServedSocket

__all__ = (
    "PLAN",
    "Bytes",
    "bare",
    "echo",
    "head_of",
    "proxied",
    "refusal_of",
    "reset",
    "trusted",
)

PLAN = negotiate(SCRIPTED, SessionConfig()).unwrap()
Bytes = Callable[[SocketStream], Awaitable[None]]


async def echo(served: ServedSocket) -> None:
    """Send back whatever comes, batch by batch."""
    while True:
        await served.send(await served.receive())


@asynccontextmanager
async def bare(script: Bytes) -> AsyncGenerator[int]:
    """Run a script for each connection, and give the port."""

    async def one(stream: SocketStream) -> None:
        async with stream:
            try:
                await script(stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, beside() as tasks:
        tasks.start_soon(listener.serve, one)
        yield listener.extra(SocketAttribute.local_port)


async def head_of(stream: SocketStream) -> bytes:
    """Read a head of HTTP."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    return data


def reset(stream: SocketStream) -> None:
    """Let the next close of this stream be a reset."""
    raw = stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def refusal_of(endpoint: Endpoint) -> RealtimeError:
    """Dial what cannot be dialled, and give why."""
    with pytest.raises(RealtimeException) as caught:
        async with websocket(endpoint)(PLAN):
            pytest.fail("it could be dialled")
    return caught.value.error


def trusted(host: str = "127.0.0.1") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Give the contexts of a server with a certificate and of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@asynccontextmanager
async def proxied(heads: list[bytes]) -> AsyncGenerator[int]:
    """Run an HTTP proxy, write down what it is asked, and give its port."""

    async def script(stream: SocketStream) -> None:
        heads.append(await head_of(stream))
        host, _, port = heads[-1].split(b" ")[1].decode().rpartition(":")
        async with await anyio.connect_tcp(host, int(port)) as onward:
            await stream.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with beside() as tasks:
                tasks.start_soon(_pass_on, onward, stream)
                await _pass_on(stream, onward)

    async with bare(script) as port:
        yield port


async def _pass_on(source: SocketStream, target: SocketStream) -> None:
    try:
        async for data in source:
            await target.send(data)
        await target.send_eof()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        return
