"""Contents: what turns of a conversation say, as frames for a session and as its history."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from realtime_core.audio.format import AudioFormat
from realtime_core.config import Message
from realtime_core.epoch import CallId
from realtime_core.frames import Audio, CommitAudio, Frame, Text, Video

from ..parts import Blob, Content, FunctionResponse, Part
from .book import Complaint, Fields

__all__ = ("frames_of", "messages_of", "output_of", "picture", "rate_of", "words_of", "wrong")

_SOUND = re.compile(
    r"audio/(?:pcm|l16)(?:;\s*(?:rate=(?P<rate>\d{4,6})|channels=1))*", re.IGNORECASE
)
_PICTURES = {"image/jpeg", "image/png", "image/webp", "image/heic", "image/heif"}
_RATE = 16_000
_ROLES: dict[str | None, Literal["user", "assistant", "system"]] = {
    None: "user",
    "user": "user",
    "model": "assistant",
    "system": "system",
}


def rate_of(blob: Blob) -> int | None:
    """Give the rate of raw sound in Hz; None where it is something else."""
    found = _SOUND.fullmatch(blob.mime_type or "")
    return int(found["rate"] or _RATE) if found is not None else None


def picture(blob: Blob) -> bool:
    """Tell whether a blob is a picture of a kind that the service takes."""
    return (blob.mime_type or "").lower() in _PICTURES and bool(blob.data)


def wrong(content: Content) -> Complaint | None:
    """Say what of a turn cannot be."""
    if content.role not in _ROLES:
        return Complaint(1007, "Please use a valid role: user, model.")
    if not content.parts:
        return Complaint(1007, "Contents need at least one part.")
    for part in content.parts:
        blob = part.inline_data
        rate = rate_of(blob) if blob is not None else None
        if rate is not None and rate != _RATE:
            return Complaint(1008, f"Sound of a history has {_RATE} Hz, not {rate}.")
        if blob is not None and rate is None and not picture(blob):
            return Complaint(1007, f"Unsupported MIME type: {(blob.mime_type or '')[:60]!r}.")
    return None


def words_of(contents: Iterable[Content]) -> str:
    """Give the written words of some turns, a line for each part."""
    parts = (part for content in contents for part in content.parts or ())
    return "\n".join(part.text for part in parts if part.text and not part.thought)


def frames_of(contents: Iterable[Content]) -> Iterator[Frame]:
    """Give turns of the user, or of the system, as frames that ask for no answer."""
    for content in contents:
        role: Literal["user", "system"] = "system" if content.role == "system" else "user"
        for part in content.parts or ():
            blob = part.inline_data
            if part.text:
                yield Text(part.text, role, "context")
            elif blob is not None and rate_of(blob):
                pcm = blob.data or b""
                yield Audio(pcm[: len(pcm) & ~1], AudioFormat(rate=_RATE))
                yield CommitAudio()
            elif blob is not None:
                yield Video(blob.data or b"", (blob.mime_type or "").lower())


def messages_of(contents: Iterable[Content]) -> tuple[Message, ...]:
    """Give turns as a history, which holds words and calls alone."""
    return tuple(
        message
        for content in contents
        for part in content.parts or ()
        for message in _messages(part, content.role)
    )


def _messages(part: Part, role: str | None) -> Iterator[Message]:
    call, result = part.function_call, part.function_response
    if call is not None:
        arguments = msgspec.json.encode(call.args or {}).decode()
        name = CallId(call.id or call.name or "")
        yield Message("tool_call", arguments, call=name, name=call.name or "")
    elif result is not None:
        name = CallId(result.id or result.name or "")
        text, _ = output_of(result)
        yield Message("tool_result", text, call=name, name=result.name or "")
    elif part.text and not part.thought:
        yield Message(_ROLES[role], part.text)


def output_of(result: FunctionResponse) -> tuple[str, bool]:
    """Give a result as text, and whether it tells of a failure."""
    fields: Fields = result.response or {}
    failed = "error" in fields
    for name in ("error", "output", "result"):
        if list(fields) == [name]:
            value = fields[name]
            return value if isinstance(value, str) else msgspec.json.encode(value).decode(), failed
    return msgspec.json.encode(fields).decode(), failed
