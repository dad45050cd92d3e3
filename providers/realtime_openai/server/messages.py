"""Messages: items that a client adds, as frames, as history, and as the objects it gets back."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from typing import Literal

import msgspec

from realtime_core.audio.format import AudioFormat
from realtime_core.config import Message
from realtime_core.epoch import CallId
from realtime_core.frames import Audio, CommitAudio, Frame, Text, Video

from .. import client_events as client
from .book import Book
from .schema import Complaint, Fields

__all__ = ("frames_of", "history_of", "messages_of", "object_of", "weight", "wrong")

_PARTS: dict[str, tuple[type[client.Content], ...]] = {
    "system": (client.InputText,),
    "user": (client.InputText, client.AudioContent, client.ImageContent),
    "assistant": (client.OutputText, client.OutputAudio),
}
_LONGEST = 16 * 1024 * 1024
_PICTURES = ("image/jpeg", "image/png")


def weight(item: client.Item) -> int:
    """Give about how many bytes an item takes."""
    match item:
        case client.MessageItem():
            return sum(len(_payload(part)) + len(_words(part)) for part in item.content)
        case client.FunctionCall():
            return len(item.arguments)
        case client.FunctionCallOutput():
            return len(item.output)
        case _:
            return 0


def _payload(part: client.Content) -> str:
    if isinstance(part, client.ImageContent):
        return part.image_url
    return part.audio or "" if isinstance(part, client.AudioContent | client.OutputAudio) else ""


def wrong(item: client.Item) -> Complaint | None:
    """Say what of an item cannot be."""
    if weight(item) > _LONGEST:
        return Complaint("string_above_max_length", "This item is too long.", "item")
    match item:
        case client.MessageItem():
            if item.role not in _PARTS:
                return Complaint("invalid_value", f"No role: {item.role[:50]!r}.", "item.role")
            for place, part in enumerate(item.content):
                if not isinstance(part, _PARTS[item.role]):
                    what = f"No part of a message of the {item.role}."
                    return Complaint("invalid_value", what, f"item.content[{place}].type")
                if _unreadable(part):
                    named = "image_url" if isinstance(part, client.ImageContent) else "audio"
                    where = f"item.content[{place}].{named}"
                    return Complaint("invalid_value", "Base64 of what it says is wanted.", where)
            return None
        case client.Reference():
            return Complaint("invalid_value", "Only a response refers to items.", "item.type")
        case client.McpApprovalResponse():
            what = "Nobody asked for an approval."
            return Complaint("invalid_value", what, "item.approval_request_id")
        case _:
            return None


def _unreadable(part: client.Content) -> bool:
    match part:
        case client.ImageContent():
            return picture(part.image_url) is None
        case client.AudioContent() | client.OutputAudio():
            return bool(part.audio) and _bytes(part.audio or "") is None
        case _:
            return False


def _bytes(text: str) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        return None


def picture(uri: str) -> Video | None:
    """Read a data URI; addresses are not fetched."""
    head, found, data = uri.partition(";base64,")
    mime = head.removeprefix("data:")
    image = _bytes(data) if found and head != mime and mime in _PICTURES else None
    return Video(image, mime) if image else None


def frames_of(item: client.Item, form: AudioFormat) -> tuple[Frame, ...]:
    """Give what tells a session of an item; nothing does of what the assistant said before."""
    if not isinstance(item, client.MessageItem) or item.role == "assistant":
        return ()
    role: Literal["user", "system"] = "system" if item.role == "system" else "user"
    frames: list[Frame] = []
    for part in item.content:
        match part:
            case client.ImageContent():
                seen = picture(part.image_url)
                frames += [seen] if seen is not None else []
            case client.AudioContent(audio=str() as sound) if sound:
                pcm = _bytes(sound) or b""
                whole = form.samples(len(pcm)) * form.sample_size
                frames += [Audio(pcm[:whole], form), CommitAudio()]
            case _:
                words = _words(part)
                frames += [Text(words, role, "context")] if words else []
    return tuple(frames)


def _words(part: client.Content) -> str:
    if isinstance(part, client.AudioContent | client.OutputAudio):
        return part.transcript or ""
    return "" if isinstance(part, client.ImageContent) else part.text


def messages_of(items: tuple[client.Item, ...], book: Book) -> tuple[Message, ...] | Complaint:
    """Give items that a response reads in place of the conversation."""
    messages: list[Message] = []
    for place, item in enumerate(items):
        object: Fields | None = object_of(item, item.id or "")
        if isinstance(item, client.Reference):
            entry = book.find(item.id or "")
            object = entry.object if entry is not None else None
        elif (complaint := wrong(item)) is not None:
            param = (complaint.param or "").replace("item", f"response.input[{place}]", 1)
            return complaint._replace(param=param)
        if object is None:
            what, param = f"There is no item {item.id!r}.", f"response.input[{place}].id"
            return Complaint("invalid_value", what, param)
        messages += _message(object)
    return tuple(messages)


def history_of(book: Book) -> tuple[tuple[Message, ...], tuple[Frame, ...]]:
    """Give the conversation so far: up to the assistant's last share as history, then as frames."""
    entries = [entry for entry in book.items.values() if entry.source is not None]
    ends = [place for place, entry in enumerate(entries) if not _is_users(entry.object)]
    split = ends[-1] + 1 if ends else 0
    history = tuple(message for entry in entries[:split] for message in _message(entry.object))
    frames = [
        frame
        for place, entry in enumerate(entries)
        if entry.source is not None
        for frame in frames_of(entry.source, book.input_format)
        if place >= split or isinstance(frame, Video)
    ]
    return history, tuple(frames)


def _is_users(object: Fields) -> bool:
    return object["type"] == "message" and object.get("role") in {"user", "system"}


def _message(object: Fields) -> list[Message]:
    match object["type"]:
        case "function_call":
            call = CallId(object.get("call_id", ""))
            return [Message("tool_call", object["arguments"], call=call, name=object["name"])]
        case "function_call_output":
            return [Message("tool_result", object["output"], call=CallId(object["call_id"]))]
        case _:
            words = [part.get("text") or part.get("transcript") or "" for part in object["content"]]
            text = " ".join(word for word in words if word)
            return [Message(object["role"], text)] if text else []


def object_of(item: client.Item, id: str) -> Fields:
    """Give an item as the server keeps it."""
    fields: Fields = msgspec.to_builtins(item)
    if isinstance(item, client.MessageItem):
        fields["content"] = [_light(part) for part in fields["content"]]
    return {**fields, "id": id, "object": "realtime.item", "status": "completed"}


def _light(part: Fields) -> Fields:
    """Leave out sound and pictures: they are large, and the client has them."""
    return {name: value for name, value in part.items() if name not in {"audio", "image_url"}}
