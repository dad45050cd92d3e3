"""Contents: what the fields of the service's events say, whatever JSON stands in them."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from realtime_core.events import Usage

from .encoding import BROKEN
from .memory import Kind
from .server_events import ContentStart, Tokens, UsageEvent

__all__ = ("arguments_of", "kind_of", "object_in", "usage_of")

_DEEP = 4
"""How often an object may be JSON in a string."""


def kind_of(start: ContentStart) -> Kind:
    """Tell what a block will hold."""
    type, role, stage = start.type, start.role, _stage(start.additional_model_fields)
    if type == "TOOL":
        return "tool"
    if type == "AUDIO":
        return "sound" if role != "USER" else "other"
    if type != "TEXT":
        return "other"
    if role == "USER":
        return "guess" if stage == "SPECULATIVE" else "user"
    return "final" if stage == "FINAL" else "plan"


def _stage(fields: object) -> str:
    told = object_in(fields)
    stage = told.get("generationStage") if told is not None else None
    return stage if isinstance(stage, str) else ""


def object_in(value: object) -> dict[str, Any] | None:
    """Find the JSON object in a string, or in a string in that string."""
    for _ in range(_DEEP):
        if not isinstance(value, str):
            break
        try:
            value = msgspec.json.decode(value)
        except BROKEN:
            return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def arguments_of(content: object) -> str:
    """Give arguments as the text of one object; what is none is passed on as it is."""
    found = object_in(content)
    if found is not None:
        return msgspec.json.encode(found).decode()
    if content is None or content == "":
        return "{}"
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()


def usage_of(told: UsageEvent) -> Usage:
    """Give what the session has cost so far."""
    total = told.details.total if told.details is not None else None
    taken = (total.input if total is not None else None) or Tokens()
    given = (total.output if total is not None else None) or Tokens()
    return Usage(
        input_tokens=told.total_input_tokens or _sum(taken),
        output_tokens=told.total_output_tokens or _sum(given),
        input_audio_tokens=taken.speech_tokens or 0,
        output_audio_tokens=given.speech_tokens or 0,
    )


def _sum(tokens: Tokens) -> int:
    return (tokens.speech_tokens or 0) + (tokens.text_tokens or 0)
