"""A page: one step in progress, the events it has written and what it asks of the session.

It is born and dropped within one step; nothing outside ever sees it change.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from realtime_core.errors import RealtimeError
from realtime_core.frames import Frame

from .book import Book
from .objects import error_of
from .schema import Complaint, Fields

__all__ = ("Ask", "Page", "Told")

_ENCODER = msgspec.json.Encoder()


class Ask(NamedTuple):
    """What a client wants of the session: a frame, and which of its events wants it."""

    frame: Frame
    event_id: str = ""
    given: Fields | None = None
    """With `UpdateSession`: the settings given so far; they hold once they were accepted."""


class Told(NamedTuple):
    """The next state, what to send to the client, and what to ask of the session."""

    book: Book
    wires: tuple[bytes, ...] = ()
    asks: tuple[Ask, ...] = ()
    faults: tuple[Complaint, ...] = ()
    """What the client did wrong; it is told in the wires."""


class Page:
    """Gathers what one step says."""

    __slots__ = ("_asks", "_faults", "_wires", "book")

    def __init__(self, book: Book) -> None:
        self.book: Book = book
        self._wires: list[bytes] = []
        self._asks: list[Ask] = []
        self._faults: list[Complaint] = []

    def keep(self, **changes: Any) -> None:  # noqa: ANN401 - fields of the book
        """Change the book."""
        self.book = replace(self.book, **changes)

    def mint(self, kind: str) -> str:
        """Give an id that nothing else has."""
        self.keep(minted=self.book.minted + 1)
        return f"{kind}_{self.book.name}_{self.book.minted}"

    def say(self, type: str, **fields: object) -> None:
        """Write an event."""
        number = self.book.said + len(self._wires)
        event = {"type": type, "event_id": f"event_{self.book.name}_{number}", **fields}
        self._wires.append(_ENCODER.encode(event))

    def ask(self, frame: Frame, event_id: str = "", given: Fields | None = None) -> None:
        """Ask something of the session."""
        self._asks.append(Ask(frame, event_id, given))

    def fail(self, code: str, message: str, *, param: str | None = None, event: str = "") -> None:
        """Write an error that an event of the client caused."""
        self._faults.append(Complaint(code, message, param))
        details = {"type": "invalid_request_error", "code": code, "message": message}
        self.say("error", error={**details, "param": param, "event_id": event or None})

    def complain(self, error: RealtimeError, event: str = "") -> None:
        """Write an error of the library."""
        self.say("error", error={**error_of(error), "event_id": event or None})

    def told(self) -> Told:
        """Give all that was gathered."""
        if self._wires:
            self.keep(said=self.book.said + len(self._wires))
        return Told(self.book, tuple(self._wires), tuple(self._asks), tuple(self._faults))
