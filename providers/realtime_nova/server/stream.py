"""A stream: one request of a client over HTTP/2, whose every event is checked as it comes."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate

from anyio import EndOfStream

from realtime_core.codec import Wire, as_message
from realtime_core.link import Wires
from realtime_core.transports.http2_server import Served

from ..chunks import chunk
from ..framing import Header, encode
from ..link import ACCEPTED
from ..signing import Chain
from .desk import STREAMED
from .lock import Farewell, Unsealed, farewell

__all__ = ("SignedStream", "refuse")

_STREAM = "application/vnd.amazon.eventstream"
_INTERNAL = 2
_STATUS = {
    "validationException": 400,
    "modelTimeoutException": 408,
    "modelStreamErrorException": 424,
    "throttlingException": 429,
    "serviceUnavailableException": 503,
}
"""What an exception is as an answer, where the stream has not begun."""


async def refuse(served: Served, why: Farewell) -> None:
    """Answer a request with a refusal."""
    served.respond(why.status or _STATUS.get(why.name, 500), why.head)
    await served.send(why.body)
    await served.end()


class SignedStream:
    """Events both ways, as JSON: those that come are signed, those that go are framed.

    `receive` raises `Mistake` for what is not signed well and in order.
    """

    def __init__(self, served: Served, chain: Chain, now: Callable[[], float]) -> None:
        self._served = served
        self._unsealed = Unsealed(chain)
        self._now = now

    async def receive(self) -> Wires:
        """Wait for events."""
        wires: Wires = ()
        while not wires:
            try:
                pieces = await self._served.receive()
            except EndOfStream:
                self._unsealed.end()
                raise
            data = b"".join(one for one in pieces if isinstance(one, bytes))
            wires = self._unsealed.feed(data, self._now())
        return wires

    async def send(self, item: Wires) -> None:
        """Write events; an empty one accepts the request."""
        if ACCEPTED in item:
            date = formatdate(self._now(), usegmt=True)
            self._served.respond(200, {"content-type": _STREAM, "date": date})
        await self._served.send(*[chunk(_bytes(wire)) for wire in item if wire != ACCEPTED])

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the stream: in good order, or with what the reason says."""
        if code == STREAMED:
            why = farewell(reason)
            if not self._served.responded:
                await refuse(self._served, why)
                return
            await self._served.send(_exception(why))
        if self._served.responded:
            await self._served.end()
        else:
            self._served.reset(_INTERNAL)

    async def half(self, wire: Wire) -> None:
        """Write the beginning of an event, and end the stream."""
        framed = chunk(_bytes(wire))
        await self._served.send(framed[: len(framed) // 2])
        await self._served.end()

    def reset(self, code: int) -> None:
        """Break the exchange off with a code of HTTP/2."""
        self._served.reset(code)

    def go_away(self, code: int, said: bytes, last: int | None) -> None:
        """Say GOAWAY, and go on."""
        self._served.farewell(code, last, said)

    def abort(self) -> None:
        """Break the connection off."""
        self._served.abort()


def _bytes(wire: Wire) -> bytes:
    message = as_message(wire)
    return message.encode() if isinstance(message, str) else message


def _exception(why: Farewell) -> bytes:
    headers: dict[str, Header] = {
        ":exception-type": why.name,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode(headers, why.body)
