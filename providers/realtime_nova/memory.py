"""What the codec remembers of one connection: an immutable value, bounded in size.

The wire numbers neither turns nor sentences: answers, items, what users say and our own blocks are
numbered here, with the number of the connection before them, so that no name comes twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec
from msgspec.structs import replace

from realtime_core.codec import Coded, Wire
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.events import RealtimeEvent, Usage
from realtime_core.plan import Plan

from .models import Model
from .options import Options

__all__ = ("Block", "Kind", "Line", "Memory", "Page", "Turn", "put")

_BLOCKS = 64
_CALLS = 256
_LINES = 256

Kind = Literal["user", "guess", "plan", "final", "sound", "tool", "other", "ended"]
"""What a block holds: words of the user, or guesses at them; what will be said, what was said, and
its sound; a call. Of a block that has ended nothing more is taken."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """A sentence of an answer: one item."""

    item: ItemId
    text: str = ""
    """What will be said."""
    said: str = ""
    """What was said of it, so far."""
    final: bool = False
    sounds: bool = False
    heard: bool = False
    """All its sound has come."""


class Turn(msgspec.Struct, frozen=True, gc=False):
    """An answer."""

    response: ResponseId
    lines: tuple[Line, ...] = ()
    over: bool = False
    """All of it was generated; what was said is still to be told."""
    cut: bool = False
    waits: bool = False
    """The last that came of it is a call."""


class Block(msgspec.Struct, frozen=True, gc=False):
    """A content block of the service."""

    kind: Kind
    of: ResponseId | None = None
    """The answer that it belongs to, where that had begun before it."""
    item: ItemId | None = None
    text: str = ""
    rest: bytes = b""
    """The beginning of a sample that was split between two events."""


class Memory(msgspec.Struct, frozen=True):
    """One connection, as far as later events refer to it."""

    plan: Plan
    options: Options
    model: Model
    conn: int = 0
    prompt: str = ""
    audio: str = ""
    """The name of the one audio block."""
    head: bytes = b""
    """What stands before the sound in an `audioInput`."""
    most: int = 0
    """Bytes of sound in one event."""
    is_open: bool = False
    closed: bool = False
    """All brackets are closed: nothing can be said any more."""
    minted: int = 0
    turn: Turn | None = None
    past: Turn | None = None
    """The answer before it, or the last one."""
    turned: bool = False
    """Somebody else had the word since the answer that runs: what begins next is another."""
    blocks: Mapping[str, Block] = {}
    user: ItemId | None = None
    """What the user says now."""
    words: str = ""
    asked: tuple[RequestId, ...] = ()
    """Requests of ours that no answer has begun for, the oldest first."""
    held: tuple[str, ...] = ()
    """Words that wait for the request to answer them. They outlive one that was cut before it went:
    they are part of the conversation, and go ahead of what is asked next."""
    covered: int = 0
    """Requests to come whose words went with an earlier one."""
    calls: Mapping[CallId, bool] = {}
    """Calls, and whether they wait for their result."""
    usage: Usage | None = None
    """What the session has cost so far."""
    billed: Usage | None = None
    """How much of that was told with answers."""


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

    def put_block(self, name: str, block: Block) -> None:
        """Remember a block; of more than can be open, the oldest is forgotten."""
        self.keep(blocks=put(self.memory.blocks, name, block, _BLOCKS))

    def put_call(self, id: CallId, *, waits: bool) -> None:
        """Remember a call."""
        self.keep(calls=put(self.memory.calls, id, waits, _CALLS))

    def put_turn(self, turn: Turn, *lines: Line) -> Turn:
        """Remember how far the answer that runs is, with these lines new or in place of theirs."""
        known = {line.item: line for line in (*turn.lines, *lines)}
        turn = replace(turn, lines=tuple(known.values())[-_LINES:])
        self.keep(turn=turn)
        return turn

    def coded(self) -> Coded[Memory]:
        """Give what the step came to."""
        return Coded(self.memory, tuple(self.wires), tuple(self.events))


K = TypeVar("K")
V = TypeVar("V")


def put(things: Mapping[K, V], name: K, thing: V, most: int) -> dict[K, V]:
    """Remember one more thing, and forget the oldest of too many."""
    more = {**things, name: thing}
    while len(more) > most:
        del more[next(iter(more))]
    return more
