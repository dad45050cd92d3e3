"""Packing: several things that a Live server says, in one message, as far as their order stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import fields, replace

from realtime_core.codec import Wire
from realtime_gemini.parts import Content
from realtime_gemini.server_messages import ServerMessage

__all__ = ("Said", "packed")

Said = ServerMessage | Wire

_ORDER = (
    *("setup_complete", "session_resumption_update", "go_away", "input_transcription"),
    *("voice_activity", "interrupted", "output_transcription", "model_turn", "tool_call"),
    *("tool_call_cancellation", "usage_metadata", "generation_complete", "turn_complete"),
    *("turn_complete_reason", "interaction_status"),
)
"""In which order the things of one message are meant."""


def packed(said: Iterable[Said]) -> list[Said]:
    """Say several things in one message, as far as their order stands in it."""
    out: list[Said] = []
    for one in said:
        last = out[-1] if out else None
        if isinstance(last, ServerMessage) and isinstance(one, ServerMessage) and _fits(last, one):
            out[-1] = _joined(last, one)
        else:
            out.append(one)
    return out


def _things(message: ServerMessage) -> list[int]:
    content = message.server_content
    values = [(one.name, getattr(message, one.name)) for one in fields(message)]
    if content is not None:
        values += [(one.name, getattr(content, one.name)) for one in fields(content)]
    return [_ORDER.index(name) for name, value in values if value and name in _ORDER]


def _fits(one: ServerMessage, other: ServerMessage) -> bool:
    before, after = max(_things(one)), min(_things(other))
    return before < after or (before == after == _ORDER.index("model_turn"))


def _joined(one: ServerMessage, other: ServerMessage) -> ServerMessage:
    given = {name: value for name, value in _set(other) if name != "server_content"}
    first, second = one.server_content, other.server_content
    content = second or first
    if first is not None and second is not None:
        more: dict[str, Any] = dict(_set(second))
        if first.model_turn is not None and second.model_turn is not None:
            parts = (*(first.model_turn.parts or ()), *(second.model_turn.parts or ()))
            more["model_turn"] = Content(parts, "model")
        content = replace(first, **more)
    return replace(one, server_content=content, **given)


def _set(struct: msgspec.Struct) -> list[tuple[str, Any]]:
    values = ((one.name, getattr(struct, one.name)) for one in fields(struct))
    return [(name, value) for name, value in values if value not in (None, msgspec.UNSET)]
