"""Conversations over loopback: a script that plays the service, with real signatures and HTTP/2.

The address is that of the service's own path, so that any client of it can call that can be told
another host.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import time

import anyio
import msgspec
from returns.result import Failure

from realtime_core.beside import beside
from realtime_core.config import Secret
from realtime_core.errors import RealtimeError
from realtime_core.link import Dial
from realtime_core.serving import ENDS, Socket, inside
from realtime_core.transports import http2_server
from realtime_core.transports.http2 import stopped
from realtime_core.transports.http2_server import Request, Served

from ..failures import exception, refused
from ..signing import Credentials, Scope
from .book import Book
from .caller import Caller, Script
from .desk import STREAMED, Desk
from .lock import Farewell, admitted, farewell
from .stream import SignedStream, refuse

__all__ = ("KEYS", "REGION", "Loopback", "closed", "loopback")

KEYS = Credentials(Secret("AKIDLOOPBACK"), Secret("loopback"))
"""Credentials that let a client in, where the test gives no others."""
REGION = "us-east-1"
_INSIDE = Request("POST", "", {})
_LOST = 2
_FAREWELL = 1.0
"""Seconds for which a client is heard after the script, to see how it leaves."""


class _House(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all clients of a server."""

    script: Script
    scope: Scope
    now: Callable[[], float]
    welcome: bool
    mirrored: bool
    pause_ms: int | None


class Loopback:
    """A scripted server, and what its clients did."""

    def __init__(self, house: _House, *, secure: bool) -> None:
        self._house = house
        self._secure = secure
        self.callers: list[Caller] = []
        """One for each client that was let in, in the order in which they came."""
        self.failures: list[Exception] = []
        """What the script raised."""
        self.refused: list[Farewell] = []
        """How clients were turned away at the door, whose requests were not signed well."""
        self.host, self.port = "", 0
        self.dial: Dial = inside(self.attend, closed)
        """Reaches it without a socket: nothing is signed or framed."""

    @property
    def base_url(self) -> str:
        """The address, as clients are given one in place of the service's own."""
        return f"http{'s' if self._secure else ''}://{self.host}:{self.port}"

    @property
    def credentials(self) -> Credentials:
        """Those that let a client in."""
        return self._house.scope.credentials

    @property
    def region(self) -> str:
        """The region for which a client signs."""
        return self._house.scope.region

    @property
    def violations(self) -> list[str]:
        """What clients did that the service does not take; a wrong clock is not their fault."""
        if not self._house.mirrored:
            return []
        turned_away = [f"{why.name}: {why.message}" for why in self.refused if not _is_late(why)]
        return turned_away + [
            f"connection {caller.number}: {fault}"
            for caller in self.callers
            for fault in caller.desk.faults
        ]

    async def handle(self, served: Served) -> None:
        """Serve one request."""
        house = self._house
        let_in = admitted(house.scope, served.request, house.now())
        if isinstance(let_in, Failure):
            self.refused.append(let_in.failure())
            await refuse(served, let_in.failure())
            return
        await self.attend(SignedStream(served, let_in.unwrap(), house.now), served.request)

    async def attend(self, socket: Socket, request: Request = _INSIDE) -> None:
        """Play the script for one client."""
        house, number = self._house, len(self.callers)
        desk = Desk(socket, Book(pause_ms=house.pause_ms), number, lenient=not house.mirrored)
        caller = Caller(desk, number, request)
        self.callers.append(caller)
        try:
            async with beside() as tasks:
                tasks.start_soon(desk.write)
                tasks.start_soon(caller.listen)
                await self._play(caller)
                with suppress(*ENDS):
                    await desk.leave()
                with anyio.move_on_after(_FAREWELL if request is not _INSIDE else 0):
                    await caller.gone()
        finally:
            caller.over(anyio.ClosedResourceError())

    async def _play(self, caller: Caller) -> None:
        try:
            with suppress(*ENDS):
                if self._house.welcome:
                    await caller.accept()
                await self._house.script(caller)
        except Exception as problem:
            self.failures.append(problem)
            await caller.fail("internalServerException", "The script failed.")

    def judge(self) -> None:
        """Raise what went wrong: in the script, or `AssertionError` for what clients did."""
        if self.failures:
            raise self.failures[0]
        if self.violations:
            raise AssertionError("The client broke the protocol: " + "; ".join(self.violations))


def _is_late(why: Farewell) -> bool:
    return why.message.startswith("Signature ")


def closed(code: int, reason: str) -> RealtimeError | None:
    """Read how a stream without a socket was ended; None where it was in good order."""
    if code == 1000:
        return None
    if code != STREAMED:
        return stopped(_LOST, reason)
    why = farewell(reason)
    if why.status:
        return refused(why.status, why.head, why.body)
    return exception(why.name, why.message)


@asynccontextmanager
async def loopback(
    script: Script,
    *,
    host: str = "127.0.0.1",
    port: int | None = 0,
    ssl: tls.SSLContext | None = None,
    credentials: Credentials = KEYS,
    region: str = REGION,
    now: Callable[[], float] = time,
    welcome: bool = True,
    mirrored: bool = True,
    pause_ms: int | None = None,
    judge: Callable[[Served], Awaitable[bool]] | None = None,
) -> AsyncGenerator[Loopback]:
    """Run a scripted server while the block is open; each client gets a run of the script.

    Only requests that are signed with these `credentials` for this `region` are let in, at the time
    that `now` tells. `judge` may answer a request before anything else does; it tells whether it
    did. With `welcome=False` the script accepts each request, or refuses it. `pause_ms` is the
    silence that ends a user's turn. With `port=None` there is no socket, only `dial`. With
    `mirrored=False` what is inside of signed events is not judged. Leaving the block raises what
    the script raised, or `AssertionError` where a client made a mistake.
    """
    house = _House(
        script=script,
        scope=Scope(credentials, region),
        now=now,
        welcome=welcome,
        mirrored=mirrored,
        pause_ms=pause_ms,
    )
    stage = Loopback(house, secure=ssl is not None)

    async def handler(served: Served) -> None:
        if judge is None or not await judge(served):
            await stage.handle(served)

    if port is None:
        yield stage
    else:
        async with http2_server.serve(handler, host=host, port=port, ssl=ssl) as address:
            stage.host, stage.port = address
            yield stage
    stage.judge()
