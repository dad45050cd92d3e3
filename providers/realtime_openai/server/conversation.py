"""Conversations over loopback: a session of any provider served on the protocol, or a script.

Addresses are those of the vendor's own server, `/v1/realtime`, so that any client of it can call.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from realtime_core.beside import beside
from realtime_core.config import SessionConfig
from realtime_core.frames import Frame
from realtime_core.link import Dial
from realtime_core.provider import Provider, provided
from realtime_core.serving import ENDS, Socket, inside
from realtime_core.transports import websocket_server
from realtime_core.transports.websocket_server import Judge, ServedSocket

from ..failures import closed
from .bridge import bridge
from .caller import Caller, Script
from .calls import Calls
from .desk import Desk
from .mirror import begin
from .schema import Fields
from .tongue import GA, Tongue

__all__ = ("HARMLESS", "Loopback", "Served", "listening", "loopback", "serve")

HARMLESS = frozenset({"response_cancel_not_active", "input_audio_buffer_commit_empty"})
"""Mistakes that every client makes when messages cross."""


class Served(NamedTuple):
    """Where a server is to be found; without a socket, host and port say nothing."""

    host: str
    port: int
    dial: Dial
    """Reaches it without a socket."""
    prefix: str = GA.prefix

    @property
    def base_url(self) -> str:
        """The address for clients of the vendor."""
        return f"http://{self.host}:{self.port}{self.prefix}"

    @property
    def url(self) -> str:
        """The address of the WebSocket."""
        return f"ws://{self.host}:{self.port}{self.prefix}/realtime"


@asynccontextmanager
async def serve(
    provider: str | Provider[Frame],
    config: SessionConfig | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = 0,
    process_request: Judge | None = None,
    **options: Any,  # noqa: ANN401 - the provider's own
) -> AsyncGenerator[Served]:
    """Serve a provider's sessions while the block is open, one for each client that connects.

    At the same port calls (WebRTC; extra `webrtc`, asyncio) and client secrets are asked for.
    `config` holds where a client says nothing. `process_request` may answer whatever is asked,
    before anything else does. With `port=None` there is no socket, only `dial`. Raises
    `RealtimeException` if there is no such provider.
    """
    found = provided(provider, options)
    base = config if config is not None else found.defaults

    async def attend(socket: Socket, path: str = "", given: Fields | None = None) -> None:
        asked = parse_qs(urlsplit(path).query)
        await bridge(socket, found, base, next(iter(asked.get("model", [])), ""), given)

    async with beside() as tasks:
        calls = Calls(tasks, found, base, process_request)

        async def handler(socket: ServedSocket) -> None:
            if not await calls.join(socket, socket.request):
                await attend(socket, socket.request.path, calls.bound(socket.request))

        async with listening(handler, host, port, calls.answer) as (name, number):
            yield Served(name, number, inside(attend, closed))


@asynccontextmanager
async def listening(
    handler: Callable[[ServedSocket], Awaitable[None]],
    host: str,
    port: int | None,
    judge: Judge | None,
) -> AsyncGenerator[tuple[str, int]]:
    """Serve connections while the block is open, and give the address; without a port, none."""
    if port is None:
        yield "", 0
        return
    async with websocket_server.serve(
        handler, host=host, port=port, process_request=judge
    ) as address:
        yield address


class Loopback:
    """A scripted server, and what its clients did."""

    def __init__(
        self, script: Script, *, mirrored: bool, allowed: Collection[str], tongue: Tongue = GA
    ) -> None:
        self._script = script
        self._tongue = tongue
        self._mirrored = mirrored
        self._allowed = allowed
        self.callers: list[Caller] = []
        """One for each client, in the order in which they came."""
        self.failures: list[Exception] = []
        """What the script raised."""
        self.host, self.port = "", 0
        self.dial = inside(self.attend, closed)
        """Reaches it without a socket."""

    @property
    def base_url(self) -> str:
        """The address for clients of the vendor."""
        return self._served.base_url

    @property
    def url(self) -> str:
        """The address of the WebSocket."""
        return self._served.url

    @property
    def _served(self) -> Served:
        return Served(self.host, self.port, self.dial, self._tongue.prefix)

    @property
    def violations(self) -> list[str]:
        """What clients did that breaks the protocol's rules."""
        return [
            f"connection {caller.number}: {fault.code}: {fault.message}"
            for caller in self.callers
            for fault in caller.desk.faults
            if self._mirrored and fault.code not in self._allowed
        ]

    async def attend(self, socket: Socket, path: str = "") -> None:
        """Play the script for one client."""
        number = len(self.callers)
        model = next(iter(parse_qs(urlsplit(path).query).get("model", [])), "scripted")
        tongue = self._tongue
        book = begin(f"{number}", model, tongue.voice, given=tongue.given)
        desk = Desk(socket, book, tongue, silent=not self._mirrored)
        caller = Caller(desk, number=number, path=path)
        self.callers.append(caller)
        async with beside() as tasks:
            tasks.start_soon(desk.write)
            tasks.start_soon(caller.listen)
            try:
                with suppress(*ENDS):
                    await self._script(caller)
                await desk.leave()
            except Exception as problem:
                self.failures.append(problem)
                await desk.leave(1011, "the script failed")

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
    mirrored: bool = True,
    allowed: Collection[str] = HARMLESS,
    process_request: Judge | None = None,
    tongue: Tongue = GA,
) -> AsyncGenerator[Loopback]:
    """Run a scripted server while the block is open; each client gets a run of the script.

    With `port=None` it has no socket and is reached by `dial` only. With `mirrored=False` nothing
    is said but by the script, not even that the session is there, and nothing is judged. Leaving
    the block raises what the script raised, or `AssertionError` where a client made a mistake that
    is not `allowed`.
    """
    stage = Loopback(script, mirrored=mirrored, allowed=allowed, tongue=tongue)

    async def handler(socket: ServedSocket) -> None:
        await stage.attend(socket, socket.request.path)

    async with listening(handler, host, port, process_request) as (stage.host, stage.port):
        yield stage
    stage.judge()
