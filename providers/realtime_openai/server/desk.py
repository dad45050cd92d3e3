"""A desk: one client's connection, with the book that is kept of it.

What the client says and what it is told change the book one after the other and are written in
that order, so that the client sees one conversation, whatever runs beside.
"""

from __future__ import annotations

from collections import deque

import anyio

from realtime_core.beside import beside
from realtime_core.codec import Wire
from realtime_core.events import RealtimeEvent
from realtime_core.link import Wires
from realtime_core.serving import ENDS, Outbox, Socket

from .mirror import Ask, Book, Told, greet, tell
from .page import Page
from .schema import Complaint
from .tongue import GA, Tongue

__all__ = ("Desk",)

_FAULTS = 1_000


class Desk(Outbox):
    """Reads and writes for one client; `write` runs beside."""

    def __init__(
        self, socket: Socket, book: Book, tongue: Tongue = GA, *, silent: bool = False
    ) -> None:
        """Sit down at a socket; `silent`: the client's events are read, and not answered."""
        super().__init__(socket)
        self.book = book
        self.tongue = tongue
        self.faults: deque[Complaint] = deque(maxlen=_FAULTS)
        """What the client did wrong, lately."""
        self._silent = silent
        self.answer(greet(book))

    async def receive(self) -> Wires:
        """Wait for what the client says; where it has said all, its answers end, and then this."""
        if not self.book.finishing or self._silent:
            return await super().receive()
        try:
            async with beside() as tasks:
                tasks.start_soon(self._finish, tasks.cancel_scope)
                while True:
                    await super().receive()
        except* ENDS:  # on trio it may come together with a cancellation, which goes on
            pass
        raise anyio.EndOfStream

    async def _finish(self, listening: anyio.CancelScope) -> None:
        while self.book.active is not None:
            await self._moved.wait()
        page = Page(self.book)
        page.say("session.finished")
        self.take(page.told())
        await self.leave()
        listening.cancel()

    def hear(self, wire: Wire) -> tuple[Ask, ...]:
        """Read what the client said, and answer it; gives what it asks of the session."""
        return self.answer(self.tongue.hear(self.book, wire))

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
        self.put(self.tongue.say(self.book, told.wires))
        return told.asks
