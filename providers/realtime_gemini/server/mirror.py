"""The mirror: the codec of the other side, client messages to frames and events to server messages.

Pure: what it knows of a client is the `Book`. It reads strictly and raises nothing: what cannot be
understood or done is a `Complaint`, with which the service closes the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import fields

from realtime_core.codec import Wire, as_message
from realtime_core.events import RealtimeEvent

from ..client_messages import ClientMessage
from ..encoding import BROKEN, client_message
from ..server_messages import ServerContent, SetupComplete, ToolCallCancellation
from . import hearing
from .book import Book, camel, open_calls
from .page import Page, Told
from .telling import TOLD, end_turn, give_handle

__all__ = ("cut_short", "ended", "hear", "tell", "welcome")

_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_HEARD: dict[str, Callable[[Page, Any], None]] = {
    "client_content": hearing.client_content,
    "realtime_input": hearing.realtime_input,
    "tool_response": hearing.tool_response,
    "context_update": hearing.context_update,
}
_KINDS = {field.encode_name: field.name for field in fields(ClientMessage)}


def hear(book: Book, wire: Wire) -> tuple[ClientMessage | None, Told]:
    """Read what a client sent; None where it cannot be read."""
    page = Page(book)
    try:
        message = client_message(as_message(wire))
        strange = _strange(as_message(wire), message)
    except BROKEN as problem:
        page.fail(1007, f"Invalid JSON payload received. {problem}")
        return None, page.told()
    kinds = [name for name in _KINDS.values() if getattr(message, name) is not None]
    if strange:
        what = f'Invalid JSON payload received. Unknown name "{strange[:40]}": Cannot find field.'
        page.fail(1007, what)
    elif len(kinds) != 1:
        page.fail(1007, f"A message has one field, not {len(kinds)}.")
    elif kinds == ["setup"]:
        _first(page, message)
    elif book.setup is None:
        page.fail(1007, "setup must be the first message.")
    elif not book.ready:
        page.fail(1008, "Nothing may be sent before setup is complete.")
    else:
        _HEARD[kinds[0]](page, getattr(message, kinds[0]))
    return message, page.told()


def _first(page: Page, message: ClientMessage) -> None:
    assert message.setup is not None  # noqa: S101 - it was looked at
    if page.book.setup is not None:
        page.fail(1007, "setup must be the first message and only the first.")
    else:
        hearing.set_up(page, message.setup)


def _strange(wire: str | bytes, message: ClientMessage) -> str:
    """Name a field that no message of its kind has; below these two levels nothing is looked at."""
    for name, raw in _RAW.decode(wire).items():
        kind = _KINDS.get(camel(name))
        if kind is None:
            return name
        inner: msgspec.Struct | None = getattr(message, kind)
        if inner is None:
            continue
        known = _names(type(inner))
        for one in _RAW.decode(raw):
            if camel(one) not in known:
                return one
    return ""


@cache
def _names(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in fields(kind))


# --- what the client is told ------------------------------------------------------------------


def welcome(book: Book, session_id: str = "") -> Told:
    """Say that the setup is complete, and give the first handle where one is wanted."""
    page = Page(book)
    page.say(setup_complete=SetupComplete(session_id or None))
    give_handle(page)
    return page.told()


def tell(book: Book, event: RealtimeEvent) -> Told:
    """Write what an event of the session means to the client; many mean nothing."""
    write = TOLD.get(type(event))
    page = Page(book)
    if write is not None:
        write(page, event)
    return page.told()


def ended(book: Book) -> Told:
    """Tell the end of the turn, now that its sound is over."""
    page = Page(book)
    end_turn(page)
    return page.told()


def cut_short(book: Book) -> Told:
    """Tell that the turn is interrupted, and its end: nothing more of it will come."""
    page = Page(book)
    void = open_calls(book)
    if void:
        page.say(tool_call_cancellation=ToolCallCancellation(void))
    if book.turn is not None:
        if not book.turn.cut:
            page.say(server_content=ServerContent(interrupted=True))
        end_turn(page)
    return page.told()
