"""Conversations over loopback: a session of any provider served on the Live wire, or a script.

Addresses are those of the vendor's own servers, so that any client of them can call.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec.structs import replace
from websockets.frames import Frame as Piece
from websockets.frames import Opcode

from realtime_core.beside import beside
from realtime_core.codec import as_message
from realtime_core.config import SessionConfig
from realtime_core.frames import Frame
from realtime_core.link import Dial, Wires
from realtime_core.provider import Provider, provided
from realtime_core.serving import ENDS, Socket, inside
from realtime_core.transports import websocket_server
from realtime_core.transports.websocket_server import Judge, Request, ServedSocket

from ..failures import closed
from .address import DEVELOPER_PATH, Address, address_of
from .book import Book, Lock
from .bridge import Bridge
from .caller import Caller, Script
from .desk import Desk
from .shelf import Shelf
from .tokens import Tokens

__all__ = ("Loopback", "Served", "loopback", "serve")


class Served(NamedTuple):
    """Where a server is to be found; without a socket, host and port say nothing."""

    host: str
    port: int
    dial: Dial
    """Reaches it without a socket."""
    secure: bool = False

    @property
    def base_url(self) -> str:
        """The address for clients of the vendor."""
        return f"http{'s' if self.secure else ''}://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address of the WebSocket, at the Developer API's path."""
        return f"ws{'s' if self.secure else ''}://{self.host}:{self.port}{DEVELOPER_PATH}"


class _Framed:
    """A client's connection, to which bytes are written as binary messages."""

    def __init__(self, socket: ServedSocket) -> None:
        self._socket = socket
        self.receive = socket.receive
        self.close = socket.close
        self.abort = socket.abort

    async def send(self, item: Wires) -> None:
        await self._socket.raw(b"".join(_piece(as_message(wire)) for wire in item))


def _piece(wire: str | bytes) -> bytes:
    kind, data = (Opcode.TEXT, wire.encode()) if isinstance(wire, str) else (Opcode.BINARY, wire)
    return Piece(kind, data).serialize(mask=False)


def _address(request: Request) -> Address:
    return address_of(urlsplit(request.path).path) or Address()


@asynccontextmanager
async def serve(
    provider: str | Provider[Frame],
    config: SessionConfig | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = 0,
    ssl: tls.SSLContext | None = None,
    process_request: Judge | None = None,
    resumable_for: float = 600.0,
    **options: Any,  # noqa: ANN401 - the provider's own
) -> AsyncGenerator[Served]:
    """Serve a provider's sessions while the block is open, one for each client that connects.

    At the same port ephemeral tokens are asked for. The vendor's own client dials TLS, whatever it
    is told: it needs `ssl`, of a server. `config` holds where a client says nothing.
    `process_request` may answer whatever is asked, before anything else does: without it every
    client is let in. A client that asks for handles can take its conversation up again, while its
    connection stands and `resumable_for` seconds after. With `port=None` there is no socket, only
    `dial`. Raises `RealtimeException` if there is no such provider.
    """
    found = provided(provider, options)
    book = Book(base=config if config is not None else found.defaults)
    shelf, tokens = Shelf(resumable_for), Tokens(process_request)

    async def attend(socket: Socket) -> None:
        await Bridge(socket, found, book, shelf, lambda: True).serve()

    async def handler(socket: ServedSocket) -> None:
        asked = socket.request
        own = replace(book, address=_address(asked), lock=tokens.lock(asked))
        await Bridge(_Framed(socket), found, own, shelf, lambda: tokens.begin(asked)).serve()

    async with _listening(handler, host, port, ssl, tokens) as (name, number):
        yield Served(name, number, inside(attend, closed), ssl is not None)


@asynccontextmanager
async def _listening(
    handler: Callable[[ServedSocket], Awaitable[None]],
    host: str,
    port: int | None,
    ssl: tls.SSLContext | None,
    tokens: Tokens,
) -> AsyncGenerator[tuple[str, int]]:
    if port is None:
        yield "", 0
        return
    async with websocket_server.serve(
        handler, host=host, port=port, ssl=ssl, process_request=tokens.answer
    ) as address:
        yield address


class Loopback:
    """A scripted server, and what its clients did."""

    def __init__(self, script: Script, *, welcome: bool, mirrored: bool) -> None:
        self._script = script
        self._welcome = welcome
        self._mirrored = mirrored
        self.callers: list[Caller] = []
        """One for each client, in the order in which they came."""
        self.failures: list[Exception] = []
        """What the script raised."""
        self.served = Served("", 0, inside(self.attend, closed))
        """Where it is to be found."""

    @property
    def dial(self) -> Dial:
        """Reaches it without a socket."""
        return self.served.dial

    @property
    def base_url(self) -> str:
        """The address for clients of the vendor."""
        return self.served.base_url

    @property
    def url(self) -> str:
        """The address of the WebSocket, at the Developer API's path."""
        return self.served.url

    @property
    def violations(self) -> list[str]:
        """What clients did that the service does not take."""
        return [
            f"connection {caller.number}: {fault.code}: {fault.reason}"
            for caller in self.callers
            for fault in caller.desk.faults
            if self._mirrored
        ]

    async def attend(
        self, socket: Socket, request: Request | None = None, lock: Lock | None = None
    ) -> None:
        """Play the script for one client."""
        asked = request or Request("GET", DEVELOPER_PATH, {})
        number = len(self.callers)
        book = Book(_address(asked), judged=self._mirrored, lock=lock)
        desk = Desk(socket, book, lenient=not self._mirrored)
        caller = Caller(desk, number, asked, self.callers)
        self.callers.append(caller)
        async with beside() as tasks:
            tasks.start_soon(desk.write)
            tasks.start_soon(caller.listen)
            try:
                with suppress(*ENDS):
                    await self._play(caller)
                await desk.leave()
            except Exception as problem:
                self.failures.append(problem)
                await desk.leave(1011, "the script failed")

    async def _play(self, caller: Caller) -> None:
        if self._welcome:
            await caller.welcome()
        await self._script(caller)

    def judge(self) -> None:
        """Raise what went wrong: in the script, or `AssertionError` for what clients did."""
        if self.failures:
            raise self.failures[0]
        if self.violations:
            raise AssertionError("The client broke the protocol: " + "; ".join(self.violations))


@asynccontextmanager
async def loopback(
    script: Script,
    *,
    host: str = "127.0.0.1",
    port: int | None = 0,
    ssl: tls.SSLContext | None = None,
    welcome: bool = True,
    mirrored: bool = True,
    process_request: Judge | None = None,
) -> AsyncGenerator[Loopback]:
    """Run a scripted server while the block is open; each client gets a run of the script.

    With `port=None` it has no socket and is reached by `dial` only. With `welcome=False` the script
    says that a setup is complete, or refuses it. With `mirrored=False` nothing is judged, and no
    mistake closes a connection. Leaving the block raises what the script raised, or
    `AssertionError` where a client made a mistake.
    """
    stage = Loopback(script, welcome=welcome, mirrored=mirrored)
    tokens = Tokens(process_request)

    async def handler(socket: ServedSocket) -> None:
        asked = socket.request
        if tokens.begin(asked):
            await stage.attend(_Framed(socket), asked, tokens.lock(asked))

    async with _listening(handler, host, port, ssl, tokens) as (name, number):
        stage.served = Served(name, number, stage.dial, ssl is not None)
        yield stage
    stage.judge()
