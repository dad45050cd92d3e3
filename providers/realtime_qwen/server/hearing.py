"""Hearing: what a client of this service says, as the mirror hears it, or why it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from realtime_core.codec import Wire, as_message
from realtime_core.frames import UpdateSession, Video
from realtime_openai.client_events import ClientEvent
from realtime_openai.server import mirror
from realtime_openai.server.book import Book
from realtime_openai.server.page import Page, Told
from realtime_openai.server.schema import Complaint, Fields, refusal_of
from realtime_openai.server.settings import config_of, merged

from ..client_events import AppendImage, Finish
from ..models import IMAGE_BYTES
from . import schema
from .events import Cancel, Create, CreateItem, Update, Wish

__all__ = ("hear",)

_BROKEN = (msgspec.DecodeError, UnicodeError, RecursionError)
_JPEG = b"\xff\xd8"
_LIKE = frozenset(f"input_audio_buffer.{verb}" for verb in ("append", "commit", "clear"))
"""What is said as in the OpenAI family."""


class _Head(msgspec.Struct):
    type: str
    event_id: str | None = None


def hear(book: Book, data: Wire) -> Told:
    """Read what a client sent."""
    wire = as_message(data)
    try:
        head = msgspec.json.decode(wire, type=_Head)
    except _BROKEN:
        return mirror.hear(book, wire)
    if head.type in _LIKE:
        return mirror.hear(book, wire)
    page, id = Page(book), head.event_id or ""
    found = _HEARD.get(head.type)
    if found is None:
        what = f"Unknown event: {head.type!r}."
        page.fail("invalid_value", what[:300], param="type", event=id)
        return page.told()
    kind, take = found
    try:
        event = msgspec.json.decode(wire, type=kind)
    except _BROKEN as problem:
        wrong = Complaint("invalid_value", f"{problem}.")
        if isinstance(problem, msgspec.ValidationError):
            wrong = refusal_of(problem)
        return _failed(page, wrong, id)
    return take(page, event, id)


def _failed(page: Page, why: Complaint, id: str) -> Told:
    page.fail(why.code, why.message, param=why.param, event=id)
    return page.told()


def _on(page: Page, id: str, **fields: Any) -> Told:  # noqa: ANN401 - whatever JSON holds
    """Have the mirror hear this in place of what was said."""
    said = {**fields, **({"event_id": id} if id else {})}
    return mirror.hear(page.book, msgspec.json.encode(said))


def _update(page: Page, event: Update, id: str) -> Told:
    """Ask for other settings; formats stay once there was sound."""
    book = page.book
    wished = merged(book.own, event.session)
    why = schema.read(book.model, event.session) or schema.read(book.model, wished)
    if why is not None:
        return _failed(page, why, id)
    given = schema.meaning(wished)
    before = schema.meaning(book.own)
    if book.heard and any(_format(given, way) != _format(before, way) for way in _WAYS):
        what = "Formats are fixed once there was sound."
        return _failed(page, Complaint("invalid_value", what, "session.audio"), id)
    page.keep(wished=wished)
    page.ask(UpdateSession(config_of(given, book.base, None)), id, given)
    return page.told()


_WAYS = ("input", "output")


def _format(given: Fields, way: str) -> Fields:
    return cast("Fields", given["audio"][way]["format"])


def _create_item(page: Page, event: CreateItem, id: str) -> Told:
    """Add words or a result, under an id of the server's own."""
    item = {name: value for name, value in event.item.items() if name != "id"}
    parts: object = item.get("content")
    if isinstance(parts, list):
        spoken = [_part(part, item.get("role")) for part in cast("list[object]", parts)]
        if None in spoken:
            place = f"item.content[{spoken.index(None)}].type"
            what = "Only words are added like this."
            return _failed(page, Complaint("invalid_value", what, place), id)
        item["content"] = spoken
    after = event.previous_item_id
    more = {"previous_item_id": after} if isinstance(after, str) else {}
    return _on(page, id, type="conversation.item.create", item=item, **more)


def _part(part: object, role: object) -> Fields | None:
    if not isinstance(part, dict):
        return None
    fields = cast("Fields", part)
    if fields.get("type") == "text" and role == "assistant":
        return {**fields, "type": "output_text"}
    return fields if fields.get("type") == "input_text" else None


def _create(page: Page, event: Create, id: str) -> Told:
    wish = event.response if isinstance(event.response, Wish) else Wish()
    asked: Fields = {}
    if wish.instructions:
        asked["instructions"] = wish.instructions
    if wish.modalities:
        asked["output_modalities"] = ["audio" if "audio" in wish.modalities else "text"]
    return _on(page, id, type="response.create", response=asked)


def _cancel(page: Page, event: Cancel, id: str) -> Told:  # noqa: ARG001 - one form for all
    return _on(page, id, type="response.cancel")


def _image(page: Page, event: AppendImage, id: str) -> Told:
    """Show a picture; the sound that it belongs to comes first."""
    if not page.book.heard:
        what = "Sound has to be appended before a picture."
    elif len(event.image) > IMAGE_BYTES:
        what = f"A picture has at most {IMAGE_BYTES * 4 // 3 // 1024} KB as base64."
    elif not event.image.startswith(_JPEG):
        what = "A picture has to be JPEG."
    else:
        page.ask(Video(event.image, "image/jpeg"), id)
        return page.told()
    return _failed(page, Complaint("invalid_value", what, "image"), id)


def _finish(page: Page, event: Finish, id: str) -> Told:  # noqa: ARG001 - one form for all
    return Told(replace(page.book, finishing=True))


_HEARD: dict[str, tuple[type[ClientEvent], Callable[[Page, Any, str], Told]]] = {
    "session.update": (Update, _update),
    "conversation.item.create": (CreateItem, _create_item),
    "response.create": (Create, _create),
    "response.cancel": (Cancel, _cancel),
    "input_image_buffer.append": (AppendImage, _image),
    "session.finish": (Finish, _finish),
}
