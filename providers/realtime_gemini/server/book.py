"""The book: what a Live server remembers of one client, an immutable value.

What is long past is forgotten, so that an endless session needs bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, cast

import msgspec
from msgspec.structs import replace

from realtime_core.config import SessionConfig
from realtime_core.events import Usage

from ..client_messages import Setup
from ..encoding import plain
from ..server_messages import ServerMessage
from .address import Address
from .wish import Wish

__all__ = (
    "Book",
    "Call",
    "Complaint",
    "Fields",
    "Lock",
    "Turn",
    "camel",
    "newest",
    "noted",
    "open_calls",
)

Fields = dict[str, Any]

_CALLS = 1_000

K = TypeVar("K")
V = TypeVar("V")


class Complaint(NamedTuple):
    """A client's mistake, as the service tells of it: it closes the connection."""

    code: int
    """1007: an argument that is none; 1008: what the service does not do."""
    reason: str


class Lock(msgspec.Struct, frozen=True):
    """What a token fixes of a setup; without a mask nothing of it is the client's to choose."""

    setup: Fields
    mask: tuple[str, ...] = ()
    """Fields, `generationConfig.temperature` those of objects."""


class Call(msgspec.Struct, frozen=True):
    """A function call that the client was told of."""

    name: str = ""
    outcome: Literal["open", "answered", "void"] = "open"
    blocking: bool = True
    """Its turn goes on with the result."""
    partial: tuple[str, ...] = ()
    """Results so far, of one that gives several."""

    @property
    def awaited(self) -> bool:
        """Whether something is still to be said of its result."""
        return self.blocking and self.outcome != "void"


class Turn(msgspec.Struct, frozen=True):
    """A turn of the model that is being told."""

    running: str = ""
    """The session's answer that goes on; empty between an answer with calls and the next."""
    cut: bool = False
    """The client was told that it is interrupted."""
    made: bool = False
    """The client was told that all of it was sent."""
    reason: str = ""
    """Why it does not end well."""
    sounds_until: float = 0.0
    """When its sound is over, if it is played as it comes, in monotonic seconds."""
    item: str = ""
    words: str = ""
    """What was told of the item's words."""
    calls: tuple[str, ...] = ()
    """Those of the newest answer whose results nothing was said of yet."""
    usage: Usage | None = None


class Book(msgspec.Struct, frozen=True):
    """Everything that later messages refer to."""

    address: Address = Address()
    base: SessionConfig = SessionConfig()
    """What holds where the client says nothing."""
    judged: bool = False
    """The rules of the vendor's own models hold."""
    lock: Lock | None = None
    setup: Setup | None = None
    wish: Wish = Wish()
    """The setup, as it is read."""
    ready: bool = False
    """The client was told that its setup is complete."""
    speaking: bool = False
    """It is inside of one that it marked."""
    rest: bytes = b""
    """The beginning of a sample that was split between two messages."""
    begun: int = 0
    """Turns that the client has begun by itself: typed, or marked."""
    calls: Mapping[str, Call] = {}
    turn: Turn | None = None
    handle: str = ""
    """What handles begin with; empty: none are given."""
    handles: int = 0

    @property
    def due(self) -> float | None:
        """When the turn's end is to be told: not before its sound is over."""
        return self.turn.sounds_until if self.turn is not None and self.turn.made else None

    @property
    def worded(self) -> bool:
        """Whether the words of what is spoken are told."""
        return self.setup is None or self.setup.output_audio_transcription is not None

    @property
    def waiting(self) -> bool:
        """Whether the turn goes on with the results of calls."""
        wanted = (self.calls.get(id) for id in (self.turn.calls if self.turn is not None else ()))
        return any(call is not None and call.awaited for call in wanted)

    def with_calls(self, calls: Mapping[str, Call]) -> Book:
        """Change some calls; only the newest are kept."""
        return replace(self, calls=newest({**self.calls, **calls}))


def open_calls(book: Book) -> tuple[str, ...]:
    """Name the calls that have no result yet."""
    return tuple(id for id, call in book.calls.items() if call.outcome == "open")


def camel(path: str) -> str:
    """Give a field's name, or a path of names with dots between, as it stands on the wire."""
    fields = cast("Iterable[str]", plain(dict.fromkeys(path.split("."))))
    return ".".join(fields)


def newest(things: Mapping[K, V], most: int = _CALLS) -> Mapping[K, V]:
    """Keep the newest."""
    if len(things) <= most:
        return things
    return dict(list(things.items())[-most:])


def noted(book: Book, message: ServerMessage) -> Book:
    """Remember what a message tells the client: that it may begin, and what calls there are."""
    if message.setup_complete is not None:
        book = replace(book, ready=True)
    if message.tool_call is not None:
        made = message.tool_call.function_calls or ()
        slow = {one.name for one in book.wish.functions if one.behavior == "NON_BLOCKING"}
        fresh = {
            call.id: Call(call.name or "", blocking=call.name not in slow)
            for call in made
            if call.id
        }
        book = book.with_calls(fresh)
    if message.tool_call_cancellation is not None:
        void = (id for id in message.tool_call_cancellation.ids or () if id in book.calls)
        book = book.with_calls({id: replace(book.calls[id], outcome="void") for id in void})
    return book
