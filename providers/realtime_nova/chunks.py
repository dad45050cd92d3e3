"""Chunks: what stands in the messages of the stream, an event's JSON or an exception's words.

Pure. An event of a kind that is not known passes as JSON like any other.
"""

from __future__ import annotations

from base64 import b64encode

import msgspec

from realtime_core.errors import ProtocolViolation

from .framing import Message, encode, encode_headers

__all__ = ("chunk", "event", "malformed", "said")

_EVENT = encode_headers(
    {":event-type": "chunk", ":message-type": "event", ":content-type": "application/json"}
)
_BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Part(msgspec.Struct):
    data: bytes = msgspec.field(name="bytes")


class _Said(msgspec.Struct):
    message: str = ""
    capital: str = msgspec.field(name="Message", default="")


def chunk(event: bytes) -> bytes:
    """Frame an event, as it is signed."""
    return encode(_EVENT, b'{"bytes":"' + b64encode(event) + b'"}')


def event(message: Message) -> bytes | None:
    """Give the JSON of an event; None where there is none in it."""
    kind = message.text(":event-type")
    try:
        if kind == "chunk":
            return msgspec.json.decode(message.payload, type=_Part).data
        inner = msgspec.json.decode(message.payload or b"{}", type=msgspec.Raw)
        return msgspec.json.encode({"event": {kind: inner}})
    except _BROKEN:
        return None


def said(message: Message) -> tuple[str, str]:
    """Give name and words of an exception, modelled or not."""
    name = message.text(":exception-type") or message.text(":error-code")
    words = message.text(":error-message")
    try:
        payload = msgspec.json.decode(message.payload, type=_Said)
    except _BROKEN:
        payload = _Said()
    return name, words or payload.message or payload.capital


def malformed() -> ProtocolViolation:
    """Give the error of an event in which there is none."""
    return ProtocolViolation(
        what="The service sent an event that cannot be read.",
        cause="a payload that is not the JSON it should be",
        fix="Check the address.",
        code="event-stream",
    )
