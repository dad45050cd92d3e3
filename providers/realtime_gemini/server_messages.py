"""What a Live server says: one frozen value of optional fields, several of which may be set.

Only fields that are read or needed are named; others pass unread. Facts: the official SDK's
`google.genai.types.LiveServerMessage`, and recorded sessions.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from .parts import Content

__all__ = (
    "FunctionCall",
    "GoAway",
    "ModalityTokens",
    "ResumptionUpdate",
    "ServerContent",
    "ServerMessage",
    "SetupComplete",
    "ToolCall",
    "ToolCallCancellation",
    "Transcription",
    "UsageMetadata",
    "VadSignal",
    "VoiceActivity",
    "text_of",
)


class _Struct(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", gc=False):
    """Names are camelCase on the wire; what is not there is None, or `UNSET` where it is raw."""


class SetupComplete(_Struct, frozen=True, gc=False):
    """The session is open."""

    session_id: str | None = None


class Transcription(_Struct, frozen=True, gc=False):
    """More words of what somebody says."""

    text: str | None = None
    finished: bool | None = None
    language_code: str | None = None


class ServerContent(_Struct, frozen=True, gc=False):
    """Output of the model, and what becomes of its turn."""

    model_turn: Content | None = None
    input_transcription: Transcription | None = None
    interim_input_transcription: Transcription | None = None
    """Words that may still change."""
    output_transcription: Transcription | None = None
    interrupted: bool | None = None
    generation_complete: bool | None = None
    turn_complete: bool | None = None
    turn_complete_reason: str | None = None
    """Why a turn ended that did not end well."""
    interaction_status: str | None = None
    """`IN_PROGRESS`: more turns of the same exchange follow; `IDLE`: none."""
    waiting_for_input: bool | None = None
    grounding_metadata: msgspec.Raw | UnsetType = UNSET
    url_context_metadata: msgspec.Raw | UnsetType = UNSET


class FunctionCall(_Struct, frozen=True, gc=False):
    """A function that the model wants called; `args` is a JSON object."""

    name: str | None = None
    args: msgspec.Raw | UnsetType = UNSET
    id: str | None = None


class ToolCall(_Struct, frozen=True, gc=False):
    """Calls that the model makes together."""

    function_calls: tuple[FunctionCall, ...] | None = ()


class ToolCallCancellation(_Struct, frozen=True, gc=False):
    """Calls that are void."""

    ids: tuple[str, ...] | None = ()


class ModalityTokens(_Struct, frozen=True, gc=False):
    """Tokens of one kind: `TEXT`, `AUDIO`, `IMAGE`, `VIDEO`, `DOCUMENT`."""

    modality: str | None = None
    token_count: int | None = None


class UsageMetadata(_Struct, frozen=True, gc=False):
    """What a turn cost; Vertex names the answer's tokens `candidates...`."""

    prompt_token_count: int | None = None
    response_token_count: int | None = None
    candidates_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    thoughts_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: tuple[ModalityTokens, ...] | None = None
    response_tokens_details: tuple[ModalityTokens, ...] | None = None
    candidates_tokens_details: tuple[ModalityTokens, ...] | None = None
    cache_tokens_details: tuple[ModalityTokens, ...] | None = None


class GoAway(_Struct, frozen=True, gc=False):
    """The server will end this connection; `time_left` is a duration such as `50s`."""

    time_left: str | None = None


class ResumptionUpdate(_Struct, frozen=True, gc=False):
    """A handle with which the session can be taken up, where it is `resumable`."""

    new_handle: str | None = None
    resumable: bool | None = None
    last_consumed_client_message_index: str | int | None = None


class VoiceActivity(_Struct, frozen=True, gc=False):
    """`ACTIVITY_START` or `ACTIVITY_END`; the SDK's name of the field is taken too."""

    type: str | None = None
    voice_activity_type: str | None = None
    audio_offset: str | None = None
    """Into the sound sent on this connection, a duration such as `1.880s`."""


class VadSignal(_Struct, frozen=True, gc=False):
    """The same on Vertex: `VAD_SIGNAL_TYPE_SOS` or `VAD_SIGNAL_TYPE_EOS`."""

    vad_signal_type: str | None = None


class ServerMessage(_Struct, frozen=True, gc=False):
    """One message; empty ones are usual."""

    setup_complete: SetupComplete | None = None
    server_content: ServerContent | None = None
    tool_call: ToolCall | None = None
    tool_call_cancellation: ToolCallCancellation | None = None
    usage_metadata: UsageMetadata | None = None
    go_away: GoAway | None = None
    session_resumption_update: ResumptionUpdate | None = None
    voice_activity: VoiceActivity | None = None
    voice_activity_detection_signal: VadSignal | None = None
    interaction_status: str | None = None
    """As in `server_content`, where one page of the documentation shows it."""


def text_of(raw: msgspec.Raw | UnsetType) -> str:
    """Give the JSON of a raw field; empty where it is null, or not there."""
    text = "" if isinstance(raw, UnsetType) else bytes(raw).decode(errors="replace")
    return "" if text == "null" else text
