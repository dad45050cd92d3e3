"""The far end of HTTP/2: h2's own server connection, frame by frame, over a socket or a pipe."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import anyio
from anyio.abc import SocketStream
from h2 import events as ev
from h2.config import H2Configuration
from h2.connection import H2Connection

from realtime_core.beside import beside
from realtime_core.codec import Wire, as_message
from realtime_core.errors import RealtimeError, RealtimeException
from realtime_core.link import Link
from realtime_core.transports._http2 import Connection
from realtime_core.transports._http2_stream import Stream
from realtime_core.transports.verdicts import refused

from .loopback import bare
from .pipes import pipes

__all__ = ("HEAD", "Carried", "Early", "Far", "Judge", "body_of", "end_of", "judged", "opened")

HEAD = {":method": "POST", ":scheme": "http", ":authority": "h", ":path": "/"}
E = TypeVar("E", bound=ev.Event)


class Early(AssertionError):  # noqa: N818 - it names the finding
    """The connection ended before what was waited for."""


class Carrier(Protocol):
    async def receive(self) -> bytes: ...
    async def send(self, data: bytes) -> None: ...


class Carried:
    """A socket, as `Far` wants it."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream

    async def receive(self) -> bytes:
        try:
            return await self._stream.receive()
        except anyio.EndOfStream:
            return b""

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)


class Far:
    """h2's own connection: an independent judge, which raises where its peer breaks the protocol.

    It grants room only as it is told to, and answers what HTTP/2 answers by itself.
    """

    def __init__(self, carrier: Carrier, *, client: bool = False) -> None:
        self.carrier = carrier
        self.h2 = H2Connection(H2Configuration(client_side=client))
        self.h2.initiate_connection()
        self.events = list[ev.Event]()
        self.bodies = dict[int, bytes]()

    async def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            await self.carrier.send(data)

    async def hear(self, *, answer: bool = True) -> list[ev.Event]:
        """Read once, and give what that means; raises `EndOfStream`."""
        data = await self.carrier.receive()
        if not data:
            raise anyio.EndOfStream
        heard = self.h2.receive_data(data)
        for event in heard:
            if isinstance(event, ev.DataReceived):
                body = self.bodies.get(event.stream_id, b"")
                self.bodies[event.stream_id] = body + event.data
        self.events += heard
        if answer:
            await self.flush()
        return heard

    async def until(self, kind: type[E]) -> E:
        """Read until such an event comes, and give it; one that came before counts once."""
        while True:
            for event in self.events:
                if isinstance(event, kind):
                    self.events.remove(event)
                    return event
            try:
                await self.hear()
            except anyio.EndOfStream:
                raise Early(kind.__name__) from None

    async def do(self, method: str, *given: Any, **named: Any) -> None:
        """Call a method of the connection, and send what comes of it."""
        getattr(self.h2, method)(*given, **named)
        await self.flush()

    async def accept(self, status: int = 200, number: int = 1, **headers: str) -> None:
        """Answer a request, whose body may follow."""
        head = [(":status", str(status)), *headers.items()]
        await self.do("send_headers", number, head)

    async def grant(self, number: int = 1) -> None:
        """Grant room for all that came of a stream."""
        size = len(self.bodies.get(number, b""))
        self.bodies[number] = b""
        await self.do("acknowledge_received_data", size, number)


Judge = Callable[[Far], Awaitable[None]]


@asynccontextmanager
async def judged(judge: Judge) -> AsyncGenerator[int]:
    """Run a far end for each connection over real sockets, and give the port."""

    async def script(stream: SocketStream) -> None:
        far = Far(Carried(stream))
        await far.flush()
        await judge(far)

    async with bare(script) as port:
        yield port


@asynccontextmanager
async def opened(
    *, limit: int = 1 << 16, window: int = 1 << 16, **named: Any
) -> AsyncGenerator[tuple[Connection, Stream, Far]]:
    """Give our end, a client with one request, and the far one, over pipes in memory."""
    here, there = pipes(limit)
    async with beside() as tasks:
        connection = Connection(here, tasks, client=True, window=window, **named)
        far = Far(there)
        await far.flush()
        stream = connection.ask(HEAD, refused)
        try:
            async with stream:
                yield connection, stream, far
        finally:
            connection.leave()
            here.close()


async def end_of(link: Link, seconds: float = 5) -> RealtimeError | None:
    """Receive until nothing comes any more, and give why; None for an end in good order."""
    try:
        with anyio.fail_after(seconds):
            while True:
                await link.receive()
    except anyio.EndOfStream:
        return None
    except RealtimeException as caught:
        return caught.error


async def body_of(link: Link, size: int) -> bytes:
    """Receive so many bytes."""
    got = b""
    while len(got) < size:
        got += b"".join(map(_plain, await link.receive()))
    return got


def _plain(wire: Wire) -> bytes:
    message = as_message(wire)
    return message.encode() if isinstance(message, str) else message
