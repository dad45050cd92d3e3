"""What the codec remembers of one connection: an immutable value, bounded in size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from realtime_core.codec import Coded
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.events import RealtimeEvent, ResponseDone, ResponseStarted
from realtime_core.plan import Plan

from .options import Options

__all__ = (
    "Item",
    "Memory",
    "Read",
    "begin",
    "end",
    "known",
    "opened",
    "put_item",
    "put_words",
    "say",
    "settled",
    "written",
)

_ITEMS = 256
_NAMES = 64
_WORDS = 16
"""Users' items that wait for words: of those before them nobody will say any more."""

K = TypeVar("K")
V = TypeVar("V")


class Item(msgspec.Struct, frozen=True):
    """An item of an answer."""

    response: ResponseId
    part: int = 0
    """Index of its part that sounds."""
    sounds: bool = False
    name: str = ""
    """Of the function, where it is a call."""
    rest: bytes = b""
    """The beginning of a sample that was split between two messages."""


class Memory(msgspec.Struct, frozen=True):
    """Answers, items and words of one connection, as far as later messages refer to them."""

    plan: Plan
    options: Options
    conn: int = 0
    by_track: bool = False
    """Whether sound comes over a track, as the server plays it."""
    marks: bool = True
    """Whether the server tells which request an answer is for."""
    is_open: bool = False
    """Whether the server has acknowledged the session."""
    has_spoken: bool = False
    primed: bool = False
    """Whether the server has sound that a picture can follow, where one has to."""
    minted: int = 0
    asked: tuple[RequestId, ...] = ()
    """Requests that are neither answered nor refused: the newest within the conversation, for
    nobody waits for older ones, and those outside it since."""
    stopped: ResponseId | None = None
    """The answer that was told last to stop, where a cancel cannot name it."""
    open: tuple[ResponseId, ...] = ()
    ended: tuple[ResponseId, ...] = ()
    items: Mapping[ItemId, Item] = {}
    words: Mapping[ItemId, str] = {}
    """What users' items say so far."""
    written: tuple[ItemId, ...] = ()
    """Users' items whose words are final."""
    calls: tuple[CallId, ...] = ()
    pictures: tuple[ItemId, ...] = ()
    sounding: tuple[ResponseId, ItemId] | None = None
    """The answer and item that the server plays."""
    unplayed: Mapping[ResponseId, ResponseDone] = {}
    """Ends of answers that the server has still to play."""


Read = Coded[Memory]


def say(memory: Memory, *events: RealtimeEvent) -> Read:
    """Give the events that a message means."""
    return Coded(memory, (), events)


def known(names: tuple[K, ...], name: K) -> tuple[K, ...]:
    """Remember one more name, and forget the oldest."""
    return (*names[1 - _NAMES :], name)


def begin(memory: Memory, id: ResponseId) -> Memory:
    """Remember that an answer is open; of very many, the oldest counts as ended."""
    forgotten, kept = memory.open[: 1 - _NAMES], memory.open[1 - _NAMES :]
    return replace(memory, open=(*kept, id), ended=(*memory.ended, *forgotten)[-_NAMES:])


def opened(memory: Memory, name: str) -> tuple[Memory, tuple[RealtimeEvent, ...]]:
    """Begin an answer whose beginning was not told, as to who joins in its middle."""
    id = ResponseId(name)
    if id in memory.open or id in memory.ended:
        return memory, ()
    return begin(memory, id), (ResponseStarted(response=id),)


def end(memory: Memory, id: ResponseId) -> Memory:
    """Remember that an answer has ended."""
    still = tuple(name for name in memory.open if name != id)
    return replace(memory, open=still, ended=known(memory.ended, id))


def settled(memory: Memory, request: RequestId) -> Memory:
    """Forget a request: it was answered, or refused."""
    return replace(memory, asked=tuple(name for name in memory.asked if name != request))


def put_item(memory: Memory, id: ItemId, item: Item) -> Memory:
    """Remember an item, and forget the oldest."""
    return replace(memory, items=_put(memory.items, id, item, _ITEMS))


def put_words(memory: Memory, id: ItemId, text: str) -> Memory:
    """Remember what a user's item says so far, and forget the oldest."""
    return replace(memory, words=_put(memory.words, id, text, _WORDS))


def written(memory: Memory, id: ItemId) -> Memory:
    """Remember that nothing more will be said of a user's item."""
    words = {name: text for name, text in memory.words.items() if name != id}
    return replace(memory, words=words, written=known(memory.written, id))


def _put(things: Mapping[K, V], name: K, thing: V, most: int) -> dict[K, V]:
    kept = {**things, name: thing}
    while len(kept) > most:
        del kept[next(iter(kept))]
    return kept
