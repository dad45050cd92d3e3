"""What the codec remembers of one connection: an immutable value, bounded in size.

The wire has no ids: answers, items and what users say are numbered here, with the number of the
connection before them, so that no name comes twice in a session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from realtime_core.codec import Coded, Wire
from realtime_core.config import Message
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.events import RealtimeEvent, Usage
from realtime_core.plan import Plan

from .models import Model, Service
from .options import Options
from .parts import Blob, Content

__all__ = ("Call", "Memory", "Page", "Turn", "held", "is_busy", "known", "put")

_NAMES = 64
_HELD = 256
"""Contents that wait for a safe moment; of more, the oldest are forgotten."""

K = TypeVar("K")
V = TypeVar("V")


class Turn(msgspec.Struct, frozen=True, gc=False):
    """The answer that runs: from its first output to `turnComplete`."""

    response: ResponseId
    item: ItemId | None = None
    """What is spoken now."""
    words: str = ""
    """Of it, so far."""
    sounds: bool = False
    rest: bytes = b""
    """The beginning of a sample that was split between two messages."""
    written: ItemId | None = None
    """What is written now."""
    text: str = ""
    cut: bool = False
    """The server has interrupted it."""


class Call(msgspec.Struct, frozen=True, gc=False):
    """A call that the model made."""

    name: str
    has_id: bool = True
    """Whether the id is the server's, and not ours."""


class Memory(msgspec.Struct, frozen=True):
    """One connection, as far as later messages refer to it."""

    plan: Plan
    options: Options
    model: Model
    service: Service
    conn: int = 0
    history: tuple[Message, ...] = ()
    """What is told of earlier, once the session is open."""
    unanswered: tuple[Message, ...] = ()
    """Calls of an earlier connection that the server may still wait for."""
    is_open: bool = False
    minted: int = 0
    turn: Turn | None = None
    more: bool = False
    """The server has announced another turn of the same exchange."""
    was_cut: bool = False
    """The server has interrupted an answer of which nothing had come."""
    asked: tuple[RequestId, ...] = ()
    """Requests of ours that no answer has begun for, the oldest first."""
    marked: bool = False
    """A spoken turn was begun by hand, and not ended."""
    superseded: int = 0
    """Answers that were asked for, and cut by a turn marked by hand before anything of them came:
    the server may still tell of their end."""
    passing: bool = False
    """It tells of one just now."""
    by_voice: bool = False
    """A spoken turn was ended by hand: it is answered without being asked for."""
    usage: Usage | None = None
    """What the turn has cost, by the latest word."""
    user: ItemId | None = None
    """What the user says now."""
    words: str = ""
    guess: str = ""
    """Words of it that may still change."""
    owners: Mapping[ItemId, ResponseId] = {}
    """Whose the spoken items are."""
    kept: tuple[ResponseId, ...] = ()
    """Answers that the server has cut: it knows by itself what was heard."""
    cuts: Mapping[ResponseId, str] = {}
    """What was heard of an answer that runs and was cut here."""
    calls: Mapping[CallId, Call] = {}
    held: tuple[Content, ...] = ()
    """What waits for a moment at which nothing is being generated."""
    picture: Blob | None = None
    """The newest, as long as no answer can have seen it."""


class Page:
    """One step in progress: what is remembered now, and what is to be said and sent."""

    __slots__ = ("events", "memory", "wires")

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.events = list[RealtimeEvent]()
        self.wires = list[Wire]()

    def keep(self, **fields: object) -> None:
        """Remember something else."""
        self.memory = replace(self.memory, **fields)

    def mint(self, kind: str) -> str:
        """Give a name that no other thing of the session has."""
        name = f"{kind}{self.memory.conn}.{self.memory.minted}"
        self.keep(minted=self.memory.minted + 1)
        return name

    def coded(self) -> Coded[Memory]:
        """Give what the step came to."""
        return Coded(self.memory, tuple(self.wires), tuple(self.events))


def is_busy(memory: Memory) -> bool:
    """Tell whether an answer is being generated, or will be: whatever is said now would cut it."""
    return memory.turn is not None or bool(memory.asked) or memory.more or memory.by_voice


def known(names: tuple[K, ...], name: K) -> tuple[K, ...]:
    """Remember one more name, and forget the oldest."""
    return (*names[1 - _NAMES :], name)


def put(things: Mapping[K, V], name: K, thing: V) -> dict[K, V]:
    """Remember one more thing, and forget the oldest."""
    more = {**things, name: thing}
    while len(more) > _NAMES:
        del more[next(iter(more))]
    return more


def held(memory: Memory, *contents: Content) -> tuple[Content, ...]:
    """Let contents wait behind those that do."""
    return (*memory.held, *contents)[-_HELD:]
