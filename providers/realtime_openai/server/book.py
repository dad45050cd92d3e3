"""The book: what a server of the protocol remembers of one client, an immutable value.

Items stand in the order of the conversation; what is long past is forgotten, so that an endless
session needs bounded memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec
from msgspec.structs import replace

from realtime_core.audio.format import PCM_24K, AudioFormat
from realtime_core.config import SessionConfig
from realtime_core.frames import ToolResult

from .. import client_events as client
from .schema import Fields
from .settings import default_session, format_of

__all__ = (
    "Book",
    "Call",
    "Entry",
    "Part",
    "Reply",
    "Wish",
    "begin",
    "newest",
    "settled",
    "without",
)

_ITEMS = 1_000

K = TypeVar("K")
V = TypeVar("V")


class Part(msgspec.Struct, frozen=True):
    """A part of an answer's item: sound with its words, or words alone."""

    kind: Literal["audio", "text"]
    words: str = ""
    samples: int = 0
    """Of sound, that were sent."""
    sounded: bool = False
    """All its sound was sent."""
    worded: bool = False
    """All its words were sent."""
    cut: bool = False
    """Truncated: what its words are is no longer known."""


class Entry(msgspec.Struct, frozen=True):
    """An item, as the client sees it; what the assistant says stands in `parts`."""

    object: Fields
    response: str = ""
    index: int = 0
    """Its place among the items of its response."""
    parts: tuple[Part, ...] = ()
    source: client.Item | None = None
    """As it came, until a session was told of it."""


class Wish(msgspec.Struct, frozen=True):
    """An answer that a client asked for."""

    event_id: str = ""
    metadata: Mapping[str, str] | None = None
    modalities: tuple[str, ...] = ()
    """Empty: as in the session."""
    side: bool = False
    """Outside the conversation."""
    epoch: int = 0
    """Of the session, when it was asked for."""


class Reply(msgspec.Struct, frozen=True):
    """An answer that is being given."""

    wish: Wish = Wish()
    items: Mapping[str, Entry] = {}
    """Those that are not whole yet."""
    output: Mapping[int, Fields] = {}
    """Those that are whole, by place."""
    begun: int = 0
    """How many items it has."""
    cut: Literal["", "turn_detected", "client_cancelled"] = ""


class Call(msgspec.Struct, frozen=True):
    """A function call of an answer; its result is `held` until the client asks for an answer."""

    response: str
    outcome: Literal["open", "held", "sent", "void"] = "open"
    side: bool = False


class Book(msgspec.Struct, frozen=True):
    """Everything that later events refer to."""

    name: str = "0"
    """Makes minted ids differ from those of other conversations."""
    model: str = ""
    voice: str = ""
    """What speaks where the client asks for no other."""
    base: SessionConfig = SessionConfig()
    """What holds where the client says nothing."""
    given: Fields = {}
    """The settings that the client gave."""
    session: Fields = {}
    """The session object in force."""
    input_format: AudioFormat = PCM_24K
    """In which the client sends sound."""
    output_format: AudioFormat = PCM_24K
    """In which the client gets sound."""
    by_track: bool = False
    """Whether sound comes and goes over a track, which has a format of its own."""
    unplayed: tuple[str, ...] = ()
    """Over a track: answers of which the client has still to hear something."""
    said: int = 0
    """Events written."""
    minted: int = 0
    begun: bool = False
    """A session listens: items are told to it, and are no longer its history."""
    early: int = 0
    """Size of the items that wait for it."""
    epoch: int = 0
    """Of the session, as last seen: what was asked before it rose is void."""
    items: Mapping[str, Entry] = {}
    replies: Mapping[str, Reply] = {}
    wishes: Mapping[str, Wish] = {}
    """Answers that were asked for and have not begun."""
    continuing: Wish | None = None
    """An answer that begins by itself, on results that were handed over."""
    last: str = ""
    """The newest answer of the conversation."""
    fenced: tuple[str, ...] = ()
    """Answers that were cut."""
    calls: Mapping[str, Call] = {}
    held: tuple[ToolResult, ...] = ()
    heard: int = 0
    """Samples the client has sent."""
    buffered: int = 0
    """Of these, samples that belong to no item yet."""
    rest: bytes = b""
    """The beginning of a sample that was split between two events."""
    speech: str = ""
    """The item that the user is saying."""
    unbound: tuple[str, ...] = ()
    """Items of the user for which the session has no name yet."""
    names: Mapping[str, str] = {}
    """Items of the user by the session's name."""
    words: Mapping[str, str] = {}
    """What was sent of an item's transcript."""
    own: Fields = {}
    """The settings that the client gave, in the words of a tongue that has its own."""
    wished: Fields = {}
    """The same with what was asked for last, until it holds."""
    finishing: bool = False
    """The client has said all: what is being answered ends, then the connection does."""

    @property
    def conversation(self) -> str:
        """The conversation's id."""
        return f"conv_{self.name}"

    def find(self, item: str) -> Entry | None:
        """Give an item of the conversation."""
        reply = self.replies.get(self.items[item].response) if item in self.items else None
        if reply is not None and item in reply.items:
            return reply.items[item]
        return self.items.get(item)

    @property
    def active(self) -> str | None:
        """The answer of the conversation that is being given, or "" for one that is to come."""
        for id, reply in self.replies.items():
            if not reply.wish.side:
                return id
        waits = self.continuing is not None or any(not w.side for w in self.wishes.values())
        return "" if waits else None


def begin(
    name: str,
    model: str = "",
    voice: str = "",
    base: SessionConfig | None = None,
    given: Fields | None = None,
    *,
    by_track: bool = False,
) -> Book:
    """Open a conversation's book; its name makes ids."""
    book = Book(name, model, voice, base or SessionConfig(), by_track=by_track)
    return settled(book, given or {})


def settled(book: Book, given: Fields) -> Book:
    """Let these settings of the client hold."""
    session = default_session(book.name, book.model, book.voice, given)
    if book.by_track:
        return replace(book, given=given, session=session)
    into, out = format_of(session, "input"), format_of(session, "output")
    return replace(book, given=given, session=session, input_format=into, output_format=out)


def without(things: Mapping[K, V], name: K) -> dict[K, V]:
    """Leave one out."""
    return {key: value for key, value in things.items() if key != name}


def newest(things: Mapping[K, V], most: int = _ITEMS) -> Mapping[K, V]:
    """Keep the newest."""
    if len(things) <= most:
        return things
    return dict(list(things.items())[-most:])
