"""A desk: one client's connection, with the book that is kept of it.

What the client says and what it is told change the book one after the other and are written in
that order, so that the client sees one conversation, whatever runs beside.
"""

from __future__ import annotations

from collections import deque
from typing import cast

import msgspec

from realtime_core.codec import Wire
from realtime_core.events import RealtimeEvent
from realtime_core.serving import Outbox, Socket
from realtime_core.signals import Signal

from ..client_messages import ClientMessage
from ..encoding import encode
from ..server_messages import ServerMessage
from .book import Book, Complaint, noted
from .mirror import hear, tell
from .page import Ask, Told

__all__ = ("Desk", "Style")


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


class Desk(Outbox):
    """Reads and writes for one client; `write` runs beside."""

    def __init__(self, socket: Socket, book: Book, *, lenient: bool = False) -> None:
        """Sit down at a socket; `lenient`: mistakes have no consequences."""
        super().__init__(socket)
        self.book = book
        self.style = Style()
        self.faults: deque[Complaint] = deque(maxlen=1_000)
        """What the client did wrong."""
        self.changed = Signal()
        """Given when the book has changed."""
        self._lenient = lenient

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
            self.put(self.style.written(message))
        self.changed.give()
        return told.asks

    def say(self, message: ServerMessage) -> None:
        """Say something of one's own, and remember what it tells the client."""
        self.take(Told(noted(self.book, message), (message,)))
