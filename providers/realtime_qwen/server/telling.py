"""Telling: what the mirror writes, in the words of this service."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec

from realtime_openai.server.book import Book
from realtime_openai.server.schema import Fields

from .schema import row, shown

__all__ = ("say",)

_NAMES = {
    f"response.output_{kind}.{end}": f"response.{kind}.{end}"
    for kind in ("audio", "audio_transcript", "text")
    for end in ("delta", "done")
}
_UNSAID = frozenset({"conversation.item.done", "rate_limits.updated"})
_PARTS = {"output_text": "text", "output_audio": "audio"}


class _Head(msgspec.Struct):
    type: str


def say(book: Book, wires: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Give the mirror's messages as a client is told them."""
    return tuple(said for wire in wires if (said := _said(book, wire)) is not None)


def _said(book: Book, wire: bytes) -> bytes | None:
    name = msgspec.json.decode(wire, type=_Head).type
    if name in _UNSAID:
        return None
    if name in _NAMES:
        return wire.replace(name.encode(), _NAMES[name].encode(), 1)
    shape = _SHAPED.get(name)
    if shape is None:
        return wire
    fields = shape(book, msgspec.json.decode(wire, type=Fields))
    return None if fields is None else msgspec.json.encode(fields)


_UNCODED = {
    "conversation_already_has_active_response": "Conversation already has an active response",
    "response_cancel_not_active": "Conversation has none active response",
}
"""What is told in words alone."""


def _error(book: Book, fields: Fields) -> Fields:
    """Name no event of the client, as the service does not."""
    del book
    error = fields["error"]
    if error.get("code") in _UNCODED:
        error = {**error, "code": "", "message": _UNCODED[error["code"]], "param": ""}
    return {**fields, "error": {**error, "event_id": ""}}


def _session(book: Book, fields: Fields) -> Fields:
    return {**fields, "session": shown(book.session, book.own)}


def _finished(book: Book, fields: Fields) -> Fields | None:
    """Leave out a word that the newest models do not say."""
    return None if row(book.model).form == "nested" else fields


def _added(book: Book, fields: Fields) -> Fields:
    return {**_with_item(book, fields), "type": "conversation.item.created"}


def _with_item(book: Book, fields: Fields) -> Fields:
    del book
    return {**fields, "item": _item(fields["item"])}


def _item(item: Fields) -> Fields:
    if "content" not in item:
        return item
    parts = cast("list[Fields]", item["content"] or [])
    content = [{**part, "type": _PARTS.get(part["type"], part["type"])} for part in parts]
    return {**item, "content": content}


def _response(book: Book, fields: Fields) -> Fields:
    """Give a response with the voice of the session, and its cost spelled as here."""
    response = cast("Fields", fields["response"])
    voice = book.session.get("audio", {}).get("output", {}).get("voice")
    modes = response.get("output_modalities") or ["audio"]
    told: Fields = {
        "id": response["id"],
        "object": "realtime.response",
        "conversation_id": response.get("conversation_id"),
        "status": response["status"],
        "status_details": response.get("status_details"),
        "modalities": ["text", "audio"] if "audio" in modes else ["text"],
        "voice": voice or row(book.model).voice,
        "output_audio_format": "pcm",
        "output": [_item(item) for item in response.get("output") or ()],
    }
    usage = response.get("usage")
    return {**fields, "response": {**told, **({"usage": _usage(usage)} if usage else {})}}


def _usage(usage: Fields) -> Fields:
    renamed = {"input_token_details", "output_token_details"}
    return {
        name.replace("_token_", "_tokens_") if name in renamed else name: value
        for name, value in usage.items()
    }


def _piece(book: Book, fields: Fields) -> Fields | None:
    """Leave out the pieces of all calls of an answer but the first: those come whole."""
    id = fields["response_id"]
    calls = [name for name, call in book.calls.items() if call.response == id]
    return fields if calls[:1] in ([], [fields["call_id"]]) else None


def _written(book: Book, fields: Fields) -> Fields:
    del book
    return {name: value for name, value in fields.items() if name != "usage"}


_SHAPED: dict[str, Callable[[Book, Fields], Fields | None]] = {
    "error": _error,
    "session.created": _session,
    "session.updated": _session,
    "session.finished": _finished,
    "conversation.item.added": _added,
    "response.output_item.added": _with_item,
    "response.output_item.done": _with_item,
    "response.created": _response,
    "response.done": _response,
    "response.function_call_arguments.delta": _piece,
    "conversation.item.input_audio_transcription.completed": _written,
}
