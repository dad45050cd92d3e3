"""What Nova Sonic says: one frozen value, of which one field is set.

Only fields that are read or needed are named; others pass unread. Facts: Amazon's user guides, and
printed events.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = (
    "AudioOutput",
    "Completion",
    "ContentEnd",
    "ContentStart",
    "ServerEvent",
    "TextOutput",
    "Tokens",
    "ToolUse",
    "UsageDetails",
    "UsageEvent",
    "UsageSide",
)


class _Struct(
    msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False, kw_only=True
):
    """Names are camelCase on the wire; what is not there is None."""


class _Event(_Struct, frozen=True, gc=False, kw_only=True):
    session_id: str | None = None
    prompt_name: str | None = None
    completion_id: str | None = None


class Completion(_Event, frozen=True, gc=False, kw_only=True):
    """The output of a prompt begins or ends; that is once a session, and not once a turn."""

    stop_reason: str | None = None


class ContentStart(_Event, frozen=True, gc=False, kw_only=True):
    """A block opens: TEXT, AUDIO or TOOL, of the USER, the ASSISTANT or a TOOL."""

    content_id: str | None = None
    type: str | None = None
    role: str | None = None
    additional_model_fields: Any = None
    """JSON in a string: `generationStage` is SPECULATIVE or FINAL."""
    text_output_configuration: Any = None
    audio_output_configuration: Any = None
    tool_use_output_configuration: Any = None


class TextOutput(_Event, frozen=True, gc=False, kw_only=True):
    """Words; `{ "interrupted" : true }` in their place tells of a barge-in."""

    content_id: str | None = None
    role: str | None = None
    content: str | None = None


class AudioOutput(_Event, frozen=True, gc=False, kw_only=True):
    """Sound."""

    content_id: str | None = None
    role: str | None = None
    content: bytes | None = None


class ToolUse(_Event, frozen=True, gc=False, kw_only=True):
    """A call; its arguments are JSON in a string, at times in a string in that string."""

    content_id: str | None = None
    role: str | None = None
    tool_name: str | None = None
    tool_use_id: str | None = None
    content: Any = None


class ContentEnd(_Event, frozen=True, gc=False, kw_only=True):
    """A block closes: PARTIAL_TURN, END_TURN, INTERRUPTED or TOOL_USE."""

    content_id: str | None = None
    type: str | None = None
    stop_reason: str | None = None


class Tokens(_Struct, frozen=True, gc=False, kw_only=True):
    """Tokens by kind."""

    speech_tokens: int | None = None
    text_tokens: int | None = None


class UsageSide(_Struct, frozen=True, gc=False, kw_only=True):
    """Tokens by direction."""

    input: Tokens | None = None
    output: Tokens | None = None


class UsageDetails(_Struct, frozen=True, gc=False, kw_only=True):
    """What is new, and what there was in the session so far."""

    delta: UsageSide | None = None
    total: UsageSide | None = None


class UsageEvent(_Event, frozen=True, gc=False, kw_only=True):
    """What the session has cost so far; comes at any time."""

    details: UsageDetails | None = None
    total_input_tokens: int | None = None
    total_output_tokens: int | None = None
    total_tokens: int | None = None


class ServerEvent(_Struct, frozen=True, gc=False, kw_only=True):
    """One event, as it stands under the key `event`."""

    audio_output: AudioOutput | None = None
    completion_start: Completion | None = None
    content_start: ContentStart | None = None
    text_output: TextOutput | None = None
    tool_use: ToolUse | None = None
    content_end: ContentEnd | None = None
    usage_event: UsageEvent | None = None
    completion_end: Completion | None = None
