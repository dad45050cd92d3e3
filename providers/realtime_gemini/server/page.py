"""A page: one step in progress, what it tells the client and what it asks of the session.

It is born and dropped within one step; nothing outside ever sees it change.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from realtime_core.config import Message
from realtime_core.frames import Frame

from ..server_messages import ServerMessage
from .book import Book, Complaint, noted

__all__ = ("Ask", "Muted", "Page", "Recall", "Told")


class Recall(msgspec.Struct, frozen=True):
    """Turns of earlier, with words of the model: only a new session can be told of them."""

    messages: tuple[Message, ...]


class Muted(msgspec.Struct, frozen=True):
    """The microphone is muted: nothing follows behind what was said."""


Ask = Frame | Recall | Muted
"""What a client wants of the session."""


class Told(NamedTuple):
    """The next state, what to say to the client, what to ask of the session, and what was wrong."""

    book: Book
    messages: tuple[ServerMessage, ...] = ()
    asks: tuple[Ask, ...] = ()
    fault: Complaint | None = None
    """The connection is to be closed with it."""


class Page:
    """Gathers what one step says."""

    __slots__ = ("_asks", "_fault", "_messages", "book")

    def __init__(self, book: Book) -> None:
        self.book: Book = book
        self._messages: list[ServerMessage] = []
        self._asks: list[Ask] = []
        self._fault: Complaint | None = None

    def keep(self, **changes: Any) -> None:  # noqa: ANN401 - fields of the book
        """Change the book."""
        self.book = replace(self.book, **changes)

    def say(self, **fields: Any) -> None:  # noqa: ANN401 - fields of a message
        """Write a message, and remember what it says of calls."""
        message = ServerMessage(**fields)
        self.book = noted(self.book, message)
        self._messages.append(message)

    def ask(self, *asks: Ask) -> None:
        """Ask something of the session."""
        self._asks += asks

    def fail(self, code: int, reason: str) -> None:
        """Find fault with what the client said."""
        self._fault = self._fault or Complaint(code, reason)

    def told(self) -> Told:
        """Give all that was gathered; who made a mistake is not listened to."""
        if self._fault is not None:
            return Told(self.book, tuple(self._messages), (), self._fault)
        return Told(self.book, tuple(self._messages), tuple(self._asks))
