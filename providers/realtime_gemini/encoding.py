"""The bytes of the Live API: messages as JSON, and back.

What is written is canonical: camelCase names, standard base64. What is read may be any JSON that
protobuf's rules allow: snake_case names at every level, null for what is not there, the URL-safe
alphabet, base64 without padding. Canonical messages are read in one pass.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar, cast

import msgspec

from .client_messages import ClientMessage
from .server_messages import ServerMessage

__all__ = ("BROKEN", "client_message", "encode", "plain", "server_message")

BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError)
"""What reading raises for bytes that are no message."""

M = TypeVar("M")

_ENCODER = msgspec.json.Encoder()
_SERVER = msgspec.json.Decoder(ServerMessage)
_CLIENT = msgspec.json.Decoder(ClientMessage)
_LOOSE_SERVER = msgspec.json.Decoder(ServerMessage, strict=False)
_LOOSE_CLIENT = msgspec.json.Decoder(ClientMessage, strict=False)

_SNAKE = re.compile(r'"[a-z][a-zA-Z0-9]*_\w*"\s*:')
_SNAKE_BYTES = re.compile(_SNAKE.pattern.encode())
_STANDARD = str.maketrans("-_", "+/")
_KEPT = frozenset(
    {
        "args",
        "response",
        "labels",
        "default",
        "example",
        "enum",
        "required",
        "parametersJsonSchema",
        "responseJsonSchema",
    }
)
"""Below these stand names of the user's own."""
_NAMED = frozenset({"properties", "defs", "$defs"})
"""The keys of these are names of the user's own; what they name is not."""


def encode(message: ClientMessage | ServerMessage) -> bytes:
    """Write one message."""
    return _ENCODER.encode(message)


def server_message(wire: str | bytes) -> ServerMessage:
    """Read what a server says; raises one of `BROKEN` for what is no message."""
    return _read(wire, _SERVER, _LOOSE_SERVER)


def client_message(wire: str | bytes) -> ClientMessage:
    """Read what a client says; raises one of `BROKEN` for what is no message."""
    return _read(wire, _CLIENT, _LOOSE_CLIENT)


def _read(wire: str | bytes, decoder: msgspec.json.Decoder[M], loose: msgspec.json.Decoder[M]) -> M:
    try:
        message = decoder.decode(wire)
    except msgspec.ValidationError:
        return loose.decode(_ENCODER.encode(plain(msgspec.json.decode(wire))))
    if _has_snake(wire):
        return loose.decode(_ENCODER.encode(plain(msgspec.json.decode(wire))))
    return message


def _has_snake(wire: str | bytes) -> bool:
    """Tell whether names may be in snake_case: the underscore is rare, and quickly looked for."""
    if isinstance(wire, str):
        return "_" in wire and _SNAKE.search(wire) is not None
    return b"_" in wire and _SNAKE_BYTES.search(wire) is not None


def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Give JSON in its canonical form: camelCase names, standard base64."""
    if isinstance(value, list):
        return [plain(one) for one in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    return {
        (key := _camel(name)): _under(key, one)
        for name, one in cast("dict[str, object]", value).items()
    }


def _under(name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
    if name in _KEPT:
        return value
    if name in _NAMED and isinstance(value, dict):
        return {key: plain(one) for key, one in cast("dict[str, object]", value).items()}
    if name == "data" and isinstance(value, str):
        text = value.translate(_STANDARD).rstrip("=")
        return text + "=" * (-len(text) % 4)
    return plain(value)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    if not first or not others:
        return name
    return first + "".join(part[:1].upper() + part[1:] for part in others)
