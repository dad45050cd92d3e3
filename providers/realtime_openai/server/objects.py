"""Objects inside server events: items, responses, usage and errors, with every field they need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from realtime_core.errors import (
    AuthFailed,
    ContentFiltered,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    SessionExpired,
    Unavailable,
    Unsupported,
)
from realtime_core.events import ResponseDone, Usage

from .schema import Fields

if TYPE_CHECKING:
    from .book import Book, Part, Reply

__all__ = (
    "called",
    "error_of",
    "message",
    "part_of",
    "response",
    "said",
    "transcript_usage",
    "usage_of",
)

_ERRORS: tuple[tuple[type[RealtimeError], str, str], ...] = (
    (AuthFailed, "authentication_error", "invalid_api_key"),
    (RateLimited, "rate_limit_error", "rate_limit_exceeded"),
    (SessionExpired, "invalid_request_error", "session_expired"),
    (ContentFiltered, "invalid_request_error", "content_filter"),
)


def message(id: str, role: str, content: list[Fields], status: str = "completed") -> Fields:
    """Give something said."""
    return {
        "id": id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": content,
    }


def said(id: str, parts: Iterable[Part], status: str) -> Fields:
    """Give what the assistant says."""
    content: list[Fields] = []
    for part in parts:
        if part.kind == "text":
            content.append({"type": "output_text", "text": part.words})
        else:
            words = None if part.cut else part.words
            content.append({"type": "output_audio", "transcript": words})
    return message(id, "assistant", content, status)


def part_of(part: Part) -> Fields:
    """Give a part as events about parts have it."""
    key = "text" if part.kind == "text" else "transcript"
    return {"type": part.kind, key: part.words}


def called(id: str, call: str, name: str, arguments: str, status: str) -> Fields:
    """Give a function call."""
    return {
        "id": id,
        "object": "realtime.item",
        "type": "function_call",
        "status": status,
        "call_id": call,
        "name": name,
        "arguments": arguments,
    }


def response(book: Book, id: str, reply: Reply, done: ResponseDone | None = None) -> Fields:
    """Give an answer that has begun, or with `done` has ended."""
    session, wish = book.session, reply.wish
    spoken = session.get("audio", {}).get("output", {})
    status, details = _ending(reply, done) if done is not None else ("in_progress", None)
    usage = done.usage if done is not None else None
    return {
        "object": "realtime.response",
        "id": id,
        "status": status,
        "status_details": details,
        "output": [reply.output[place] for place in sorted(reply.output)],
        "conversation_id": None if wish.side else book.conversation,
        "output_modalities": list(wish.modalities) or session.get("output_modalities"),
        "max_output_tokens": session.get("max_output_tokens"),
        "audio": {"output": {name: spoken.get(name) for name in ("format", "voice")}},
        "usage": usage_of(usage) if usage is not None else None,
        "metadata": wish.metadata,
    }


def _ending(reply: Reply, done: ResponseDone) -> tuple[str, Fields | None]:
    match done.status:
        case "completed":
            return "completed", None
        case "cancelled" | "interrupted":
            reason = reply.cut or "client_cancelled"
            return "cancelled", {"type": "cancelled", "reason": reason}
        case "incomplete":
            filtered = isinstance(done.error, ContentFiltered)
            why = "content_filter" if filtered else "max_output_tokens"
            return "incomplete", {"type": "incomplete", "reason": why}
        case _:
            error = error_of(done.error or Unavailable(what="The answer was lost."))
            kept = {name: error[name] for name in ("type", "code", "message")}
            return "failed", {"type": "failed", "error": kept}


def usage_of(usage: Usage) -> Fields:
    """Give what an answer cost."""
    heard, seen, spoken = (
        usage.input_audio_tokens,
        usage.input_image_tokens,
        usage.output_audio_tokens,
    )
    return {
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "input_token_details": {
            "text_tokens": max(0, usage.input_tokens - heard - seen),
            "audio_tokens": heard,
            "image_tokens": seen,
            "cached_tokens": usage.cached_tokens,
        },
        "output_token_details": {
            "text_tokens": max(0, usage.output_tokens - spoken),
            "audio_tokens": spoken,
        },
    }


def transcript_usage(usage: Usage | None) -> Fields:
    """Give what writing down the user's words cost."""
    if usage is None or not usage.input_tokens + usage.output_tokens:
        return {"type": "duration", "seconds": usage.seconds if usage is not None else 0}
    counted = usage_of(usage)
    kept = ("total_tokens", "input_tokens", "output_tokens", "input_token_details")
    return {"type": "tokens", **{name: counted[name] for name in kept}}


def error_of(error: RealtimeError) -> Fields:
    """Give an error of the library in the protocol's words."""
    kind, code = "server_error", "internal_error"
    if isinstance(error, InvalidRequest | Unsupported):
        kind, code = "invalid_request_error", error.code or "invalid_value"
    for known, its_type, its_code in _ERRORS:
        if isinstance(error, known):
            kind, code = its_type, its_code
    param = error.field or None if isinstance(error, Unsupported) else None
    return {"type": kind, "code": code, "message": str(error), "param": param}
