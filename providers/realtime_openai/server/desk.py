"""A desk: one client's connection, with the book that is kept of it.

What the client says and what it is told change the book one after the other and are written in
that order, so that the client sees one conversation, whatever runs beside.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import anyio

from realtime_core.codec import Wire
from realtime_core.errors import RealtimeException
from realtime_core.events import RealtimeEvent
from realtime_core.line import Line
from realtime_core.link import Wires
from realtime_core.signals import Signal

from .mirror import Ask, Book, Told, greet, hear, tell
from .schema import Complaint

__all__ = ("ENDS", "Desk", "Socket")

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
_FAULTS = 1_000
_LEAVE = 2.0
"""Seconds that taking leave may take."""


class Socket(Protocol):
    """One client's connection: batches of messages both ways, and ways to end it."""

    async def receive(self) -> Wires:
        """Wait for what one read brings; raises one of `ENDS` at the end."""
        ...

    async def send(self, item: Wires) -> None:
        """Write a batch; waits while the client does not read."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Take leave."""
        ...

    def abort(self) -> None:
        """Break the connection off."""
        ...


class Desk:
    """Reads and writes for one client; `write` runs beside."""

    def __init__(self, socket: Socket, book: Book, *, silent: bool = False) -> None:
        """Sit down at a socket; `silent`: the client's events are read, and not answered."""
        self.socket = socket
        self.book = book
        self.faults: deque[Complaint] = deque(maxlen=_FAULTS)
        """What the client did wrong, lately."""
        self._line = Line(0)
        self._moved = Signal()
        self._gone = False
        self._silent = silent
        self.answer(greet(book))

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

    def hear(self, wire: Wire) -> tuple[Ask, ...]:
        """Read what the client said, and answer it; gives what it asks of the session."""
        return self.answer(hear(self.book, wire))

    def answer(self, told: Told) -> tuple[Ask, ...]:
        """Keep what a step gave, and say it, unless nothing is answered here."""
        return self.take(told._replace(wires=()) if self._silent else told)

    def tell(self, *events: RealtimeEvent) -> tuple[Ask, ...]:
        """Tell the client what events of the session mean; gives what that asks of the session."""
        return tuple(ask for event in events for ask in self.take(tell(self.book, event)))

    def take(self, told: Told) -> tuple[Ask, ...]:
        """Keep and say what a step gave; gives what it asks."""
        self.book = told.book
        self.faults += told.faults
        self.say(told.wires)
        return told.asks

    def say(self, wires: tuple[str | bytes, ...]) -> None:
        """Say something, behind what waits."""
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
