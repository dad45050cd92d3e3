"""What a client of Nova Sonic says: one frozen value with exactly one field set.

Facts: Amazon's user guides, and frames of clients that Amazon contributes to.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = (
    "AudioFormat",
    "AudioInput",
    "ClientEvent",
    "ContentEnd",
    "ContentStart",
    "Inference",
    "MediaType",
    "PromptEnd",
    "PromptStart",
    "SessionEnd",
    "SessionStart",
    "TextInput",
    "ToolResult",
    "ToolResultFormat",
    "Tools",
    "TurnDetection",
)

Fields = dict[str, Any]


class _Struct(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """Names are camelCase on the wire; what is not there is None."""


class Inference(_Struct, frozen=True, gc=False):
    """How answers are drawn."""

    max_tokens: int | None = None
    top_p: float | None = None
    temperature: float | None = None


class TurnDetection(_Struct, frozen=True, gc=False):
    """`HIGH` answers soonest, `LOW` waits longest."""

    endpointing_sensitivity: str | None = None


class SessionStart(_Struct, frozen=True, gc=False):
    """The first event of a connection."""

    inference_configuration: Inference
    turn_detection_configuration: TurnDetection | None = None
    endpointing_sensitivity: str | None = None
    """Where Nova 1 takes it."""


class MediaType(_Struct, frozen=True, gc=False):
    """`text/plain` or `application/json`."""

    media_type: str


class AudioFormat(_Struct, frozen=True, gc=False):
    """The form of sound: 8000, 16000 or 24000 samples a second, 16 bits, one channel."""

    media_type: str
    sample_rate_hertz: int
    sample_size_bits: int
    channel_count: int
    audio_type: str
    encoding: str
    voice_id: str | None = None
    """Of what is spoken."""


class Tools(_Struct, frozen=True, gc=False):
    """The tools, each a `toolSpec` whose schema is a string, and which of them must be called."""

    tools: tuple[Fields, ...]
    tool_choice: Fields | None = None


class PromptStart(_Struct, frozen=True, gc=False):
    """Opens the one prompt of a session."""

    prompt_name: str
    text_output_configuration: MediaType
    audio_output_configuration: AudioFormat
    tool_use_output_configuration: MediaType | None = None
    tool_configuration: Tools | None = None


class ToolResultFormat(_Struct, frozen=True, gc=False):
    """Which call is answered, and that the answer is text."""

    tool_use_id: str
    type: str
    text_input_configuration: MediaType


class ContentStart(_Struct, frozen=True, gc=False):
    """Opens a block: TEXT, AUDIO or TOOL."""

    prompt_name: str
    content_name: str
    type: str
    interactive: bool
    role: str
    """SYSTEM, SYSTEM_SPEECH, USER, ASSISTANT or TOOL."""
    text_input_configuration: MediaType | None = None
    audio_input_configuration: AudioFormat | None = None
    tool_result_input_configuration: ToolResultFormat | None = None


class TextInput(_Struct, frozen=True, gc=False):
    """Words of a block."""

    prompt_name: str
    content_name: str
    content: str


class AudioInput(_Struct, frozen=True, gc=False):
    """Sound, in base64."""

    prompt_name: str
    content_name: str
    content: bytes


class ToolResult(_Struct, frozen=True, gc=False):
    """What a tool gave, as JSON text."""

    prompt_name: str
    content_name: str
    content: str


class ContentEnd(_Struct, frozen=True, gc=False):
    """Closes a block."""

    prompt_name: str
    content_name: str


class PromptEnd(_Struct, frozen=True, gc=False):
    """Closes the prompt."""

    prompt_name: str


class SessionEnd(_Struct, frozen=True, gc=False):
    """The last event of a connection."""


class ClientEvent(_Struct, frozen=True, gc=False):
    """One event, as it stands under the key `event`."""

    session_start: SessionStart | None = None
    prompt_start: PromptStart | None = None
    content_start: ContentStart | None = None
    text_input: TextInput | None = None
    audio_input: AudioInput | None = None
    tool_result: ToolResult | None = None
    content_end: ContentEnd | None = None
    prompt_end: PromptEnd | None = None
    session_end: SessionEnd | None = None
