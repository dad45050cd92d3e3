"""What a Live client says: one frozen value with exactly one field set.

Facts: the official SDK's `google.genai.types.LiveClientMessage`, and its frames.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .parts import Blob, Content, FunctionResponse

__all__ = (
    "ClientContent",
    "ClientMessage",
    "ContextUpdate",
    "RealtimeInput",
    "Setup",
    "ToolResponse",
    "Tools",
)

Fields = dict[str, Any]


class _Struct(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """Names are camelCase on the wire; what is not there is None."""


class Setup(_Struct, frozen=True, gc=False):
    """How the session is to be; the first message of a connection."""

    model: str = ""
    """Left out where an ephemeral token fixes it."""
    generation_config: Fields | None = None
    system_instruction: Content | None = None
    tools: tuple[Fields, ...] | None = None
    realtime_input_config: Fields | None = None
    input_audio_transcription: Fields | None = None
    output_audio_transcription: Fields | None = None
    session_resumption: Fields | None = None
    context_window_compression: Fields | None = None
    proactivity: Fields | None = None
    history_config: Fields | None = None
    safety_settings: tuple[Fields, ...] | None = None
    explicit_vad_signal: bool | None = None
    labels: dict[str, str] | None = None
    avatar_config: Fields | None = None


class ClientContent(_Struct, frozen=True, gc=False):
    """Turns of the conversation in their order; `turn_complete` asks for an answer."""

    turns: tuple[Content, ...] | None = None
    turn_complete: bool | None = None


class RealtimeInput(_Struct, frozen=True, gc=False):
    """What streams in: one of its fields is set."""

    audio: Blob | None = None
    video: Blob | None = None
    text: str | None = None
    activity_start: Fields | None = None
    activity_end: Fields | None = None
    audio_stream_end: bool | None = None
    media_chunks: tuple[Blob, ...] | None = None
    """As older clients write sound and pictures."""


class ToolResponse(_Struct, frozen=True, gc=False):
    """Results of calls."""

    function_responses: tuple[FunctionResponse, ...] | None = ()


class Tools(_Struct, frozen=True, gc=False):
    """The tools of a change."""

    tools: tuple[Fields, ...] | None = ()


class ContextUpdate(_Struct, frozen=True, gc=False):
    """Other instructions or tools while the session runs."""

    system_instruction: Content | None = None
    tools: Tools | None = None


class ClientMessage(_Struct, frozen=True, gc=False):
    """One message."""

    setup: Setup | None = None
    client_content: ClientContent | None = None
    realtime_input: RealtimeInput | None = None
    tool_response: ToolResponse | None = None
    context_update: ContextUpdate | None = None
