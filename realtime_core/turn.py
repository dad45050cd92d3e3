"""The response ledger: who is speaking, for which epoch, what arrived of it and what was heard.

A pure value with pure functions. A response is bound to one epoch for life; a call has one
outcome; nothing here knows a provider, a clock or a queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
from msgspec.structs import replace

from .config import ToolPolicy
from .epoch import CallId, Epoch, ItemId, RequestId, ResponseId
from .events import HeardItem
from .frames import CreateResponse
from .heard import KEPT, Delivered, Words, estimate

__all__ = (
    "Call",
    "Item",
    "Ledger",
    "Request",
    "Response",
    "audible",
    "forget",
    "heard_samples",
    "open_responses",
    "put_call",
    "put_item",
    "put_response",
    "running",
)

_REMEMBERED = 64


class Item(msgspec.Struct, frozen=True):
    """One output item: the samples that came and were heard, and its words."""

    response: ResponseId
    rate: int = 24_000
    received: int = 0
    heard: int = 0
    spoken: bool = False
    """Words of it are (to be) heard, not read."""
    complete: bool = False
    """All its audio has arrived."""
    words: Words = Words()


class Response(msgspec.Struct, frozen=True):
    """One answer of the model."""

    epoch: Epoch
    conn: int = 0
    open: bool = True
    """Neither ended by the provider nor closed by us."""
    fenced: bool = False
    """Stale: an interruption came after it, or it was stale when it was born."""
    cancelled: bool = False
    """The provider was told to stop it, or said that it has."""
    side: bool = False
    """Outside the conversation: waits for none of it, and leaves no trace in it."""
    items: tuple[ItemId, ...] = ()
    calls: tuple[CallId, ...] = ()
    heard: tuple[HeardItem, ...] = ()
    """What had reached the ear of it when it was fenced."""
    unpaid: bool = False
    """Closed by us: the provider may still tell what it cost."""


class Call(msgspec.Struct, frozen=True):
    """One tool call and its single outcome."""

    response: ResponseId
    name: str
    epoch: Epoch
    conn: int
    policy: ToolPolicy = "cancel"
    outcome: Literal["open", "sent", "kept", "cancelled", "lost"] = "open"
    """`kept`: the result was withheld: by policy after an interruption, or no part of the
    conversation."""
    handled: bool = False
    """A handler runs for it, in a scope that the session can cancel."""
    leaving: float | None = None
    """Until when a cancelled call waits for its handler to leave before it is reported."""


class Request(msgspec.Struct, frozen=True):
    """An answer we asked for, or will ask for when it is its turn."""

    frame: CreateResponse
    epoch: Epoch
    continues: bool = False
    """After tool results, not for words of the user: it never talks over them."""
    sent: bool = False
    doomed: bool = False
    """Interrupted before it was born: to be cancelled at birth."""
    overdue: bool = False
    """Doomed, and not born by the barrier's deadline: nobody waits for it any more."""

    @property
    def id(self) -> RequestId:
        """The name under which the provider's answer is recognised."""
        return self.frame.request

    @property
    def side(self) -> bool:
        """Whether an answer outside the conversation is asked for."""
        return self.frame.conversation == "none"


class Ledger(msgspec.Struct, frozen=True):
    """All that is known of the answers of one session."""

    responses: Mapping[ResponseId, Response] = msgspec.field(
        default_factory=dict[ResponseId, Response]
    )
    items: Mapping[ItemId, Item] = msgspec.field(default_factory=dict[ItemId, Item])
    calls: Mapping[CallId, Call] = msgspec.field(default_factory=dict[CallId, Call])
    requests: tuple[Request, ...] = ()
    confirmed: bool = False
    """A sink reports what it has played, so nothing is estimated."""


def put_response(ledger: Ledger, id: ResponseId, response: Response) -> Ledger:
    """Enter or replace a response."""
    return replace(ledger, responses={**ledger.responses, id: response})


def put_item(ledger: Ledger, id: ItemId, item: Item) -> Ledger:
    """Enter or replace an item; a new one is listed with its response."""
    if id not in ledger.items:
        owner = ledger.responses[item.response]
        ledger = put_response(ledger, item.response, replace(owner, items=(*owner.items, id)))
    return replace(ledger, items={**ledger.items, id: item})


def put_call(ledger: Ledger, id: CallId, call: Call) -> Ledger:
    """Enter or replace a call; a new one is listed with its response."""
    if id not in ledger.calls:
        owner = ledger.responses[call.response]
        ledger = put_response(ledger, call.response, replace(owner, calls=(*owner.calls, id)))
    return replace(ledger, calls={**ledger.calls, id: call})


def heard_samples(ledger: Ledger, id: ItemId, delivered: Delivered, at: float) -> int:
    """Give how much of an item was heard: the sink's word, or an estimate."""
    item = ledger.items[id]
    if ledger.confirmed:
        return item.heard
    if len(delivered) == KEPT and _is_before(ledger, id, delivered):
        return item.received
    return min(item.received, max(item.heard, estimate(delivered, id, at)))


def _is_before(ledger: Ledger, id: ItemId, delivered: Delivered) -> bool:
    """Tell whether an item was taken so long ago that no reading of it is remembered."""
    remembered = {reading.item for reading in delivered}
    first = next((item for item in ledger.items if item == id or item in remembered), None)
    return first == id and id not in remembered


def audible(ledger: Ledger, response: Response, delivered: Delivered, at: float) -> bool:
    """Tell whether some of what arrived of a response is neither heard nor fenced."""
    return not response.fenced and any(
        heard_samples(ledger, id, delivered, at) < ledger.items[id].received
        for id in response.items
    )


def running(
    ledger: Ledger, epoch: Epoch, delivered: Delivered, at: float
) -> tuple[ResponseId, ...]:
    """List the responses of an epoch that an interruption would cut: open or audible."""
    return tuple(
        id
        for id, response in ledger.responses.items()
        if response.epoch == epoch
        and not response.fenced
        and (response.open or audible(ledger, response, delivered, at))
    )


def open_responses(ledger: Ledger) -> tuple[ResponseId, ...]:
    """List the responses that have not ended, stale ones included."""
    return tuple(id for id, response in ledger.responses.items() if response.open)


def forget(ledger: Ledger) -> Ledger:
    """Drop the oldest ended responses, so that an endless session needs bounded memory."""
    if len(ledger.responses) <= _REMEMBERED:
        return ledger
    spare = len(ledger.responses) - _REMEMBERED
    unsettled = (c for c in ledger.calls.values() if c.outcome == "open" or c.leaving is not None)
    busy = {call.response for call in unsettled}
    ended = [id for id, r in ledger.responses.items() if not r.open and id not in busy]
    gone = set(ended[:spare])
    return replace(
        ledger,
        responses=_without(ledger.responses, gone),
        items={i: item for i, item in ledger.items.items() if item.response not in gone},
        calls={i: call for i, call in ledger.calls.items() if call.response not in gone},
    )


def _without(
    responses: Mapping[ResponseId, Response], gone: Iterable[ResponseId]
) -> Mapping[ResponseId, Response]:
    names = frozenset(gone)
    return {id: response for id, response in responses.items() if id not in names}
