"""A desk: one client's connection, with the book that is kept of it.

What the client says and what it is told change the book one after the other and are written in
that order, so that the client sees one conversation, whatever runs beside.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol, cast

import anyio
import msgspec

from realtime_core.codec import Wire
from realtime_core.errors import RealtimeException
from realtime_core.events import RealtimeEvent
from realtime_core.line import Line
from realtime_core.link import Wires
from realtime_core.signals import Signal

from ..client_messages import ClientMessage
from ..encoding import encode
from ..server_messages import ServerMessage
from .book import Book, Complaint, noted
from .mirror import hear, tell
from .page import Ask, Told

__all__ = ("ENDS", "Desk", "Socket", "Style")

ENDS = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    RealtimeException,
)
"""How a connection ends."""
_FULL = 32 * 1024
"""Bytes that may wait for the client before its session is no longer asked for more."""
_MUCH = 1024 * 1024
"""Bytes that may wait for it before it is no longer heard."""
_LEAVE = 2.0
"""Seconds that taking leave may take."""


class Socket(Protocol):
    """One client's connection: batches of messages both ways, and ways to end it."""

    async def receive(self) -> Wires:
        """Wait for what one read brings; raises one of `ENDS` at the end."""
        ...

    async def send(self, item: Wires) -> None:
        """Write a batch, `bytes` as binary messages; waits while the client does not read."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Take leave."""
        ...

    def abort(self) -> None:
        """Break the connection off."""
        ...


class Style(msgspec.Struct, frozen=True):
    """How messages are written, in ways that all mean the same."""

    text: bool = False
    """As text messages; the service writes binary ones."""
    snake: bool = False
    """With names in snake_case."""
    empty: bool = False
    """With an empty message before each, as some models do."""

    def written(self, message: ServerMessage) -> tuple[Wire, ...]:
        """Give what stands on the wire."""
        data = encode(message)
        if self.snake:
            data = msgspec.json.encode(_snake(msgspec.json.decode(data)))
        wires = (b"{}", data) if self.empty else (data,)
        return tuple(wire.decode() for wire in wires) if self.text else wires


def _snake(value: object) -> object:
    if isinstance(value, list):
        return list(map(_snake, cast("list[object]", value)))
    if not isinstance(value, dict):
        return value
    return {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in name): (
            one if name == "args" else _snake(one)
        )
        for name, one in cast("dict[str, object]", value).items()
    }


class Desk:
    """Reads and writes for one client; `write` runs beside."""

    def __init__(self, socket: Socket, book: Book, *, lenient: bool = False) -> None:
        """Sit down at a socket; `lenient`: mistakes have no consequences."""
        self.socket = socket
        self.book = book
        self.style = Style()
        self.faults: deque[Complaint] = deque(maxlen=1_000)
        """What the client did wrong."""
        self.changed = Signal()
        """Given when the book has changed."""
        self._line = Line(0)
        self._moved = Signal()
        self._gone = False
        self._lenient = lenient

    async def write(self) -> None:
        """Write what there is to say, until cancelled or until the client is gone."""
        line = self._line
        try:
            while True:
                while not line.waiting:
                    await line.filled.wait()
                line.sending = True
                await self.socket.send(line.take())
                line.sending = False
                self._moved.give()
        except ENDS:
            pass  # whoever reads is told
        finally:
            self._gone = True
            self._moved.give()

    async def receive(self) -> Wires:
        """Wait for what the client says; raises one of `ENDS` at the end.

        A client that does not read what it is told is not heard either.
        """
        await self.room(_MUCH)
        return await self.socket.receive()

    def hear(self, wire: Wire) -> tuple[ClientMessage | None, Told]:
        """Read what the client said."""
        message, told = hear(self.book, wire)
        if self._lenient:
            told = told._replace(fault=None)
        self.take(told)
        return message, told

    def tell(self, event: RealtimeEvent) -> tuple[Ask, ...]:
        """Tell the client what an event of the session means; gives what that asks."""
        return self.take(tell(self.book, event))

    def take(self, told: Told) -> tuple[Ask, ...]:
        """Keep and say what a step gave; gives what it asks."""
        self.book = told.book
        if told.fault is not None:
            self.faults.append(told.fault)
        for message in told.messages:
            self.put(*self.style.written(message))
        self.changed.give()
        return told.asks

    def say(self, message: ServerMessage) -> None:
        """Say something of one's own, and remember what it tells the client."""
        self.take(Told(noted(self.book, message), (message,)))

    def put(self, *wires: Wire) -> None:
        """Write something, behind what waits."""
        self._line.put(wires)

    async def room(self, most: int = _FULL) -> None:
        """Wait until not more than so many bytes wait for the client."""
        while self._line.bytes_waiting > most and not self._gone:
            await self._moved.wait()

    async def said(self) -> None:
        """Wait until everything was handed to the connection."""
        while self._line.backed_up and not self._gone:
            await self._moved.wait()

    async def leave(self, code: int = 1000, reason: str = "") -> None:
        """Say what waits, then close; not longer than two seconds."""
        with anyio.move_on_after(_LEAVE):
            await self.said()
        await self.socket.close(code, reason.encode()[:120].decode(errors="ignore"))
