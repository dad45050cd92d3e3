"""A desk: one client's connection, with the book that is kept of it.

What the client says and what it is told change the book one after the other and are written in
that order, so that the client sees one conversation, whatever runs beside.
"""

from __future__ import annotations

from collections import deque

from realtime_core.codec import Wire
from realtime_core.events import RealtimeEvent
from realtime_core.serving import Outbox, Socket

from .mirror import Ask, Book, Told, greet, hear, tell
from .schema import Complaint

__all__ = ("Desk",)

_FAULTS = 1_000


class Desk(Outbox):
    """Reads and writes for one client; `write` runs beside."""

    def __init__(self, socket: Socket, book: Book, *, silent: bool = False) -> None:
        """Sit down at a socket; `silent`: the client's events are read, and not answered."""
        super().__init__(socket)
        self.book = book
        self.faults: deque[Complaint] = deque(maxlen=_FAULTS)
        """What the client did wrong, lately."""
        self._silent = silent
        self.answer(greet(book))

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
        self.put(told.wires)
        return told.asks
