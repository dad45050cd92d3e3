"""What a realtime server of the OpenAI family says: one frozen value per event.

Only fields that are read or needed are named; others pass unread. Names that older or kindred
servers use for the same event are aliases. Facts: the official SDK's `openai.types.realtime`, and
recorded sessions.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType

__all__ = (
    "KNOWN",
    "MEANT",
    "AudioDelta",
    "AudioDone",
    "BufferCleared",
    "BufferStarted",
    "BufferStopped",
    "Committed",
    "ErrorDetails",
    "Fault",
    "InputCleared",
    "ItemAdded",
    "ItemDeleted",
    "ItemDone",
    "ItemObject",
    "ItemTruncated",
    "OutputItemAdded",
    "OutputItemDone",
    "Part",
    "PartAdded",
    "PartDone",
    "Quiet",
    "RateLimit",
    "RateLimitsUpdated",
    "ResponseCreated",
    "ResponseFinished",
    "ResponseObject",
    "ServerEvent",
    "SessionCreated",
    "SessionUpdated",
    "SpeechBegan",
    "SpeechEnded",
    "StatusDetails",
    "TextDelta",
    "TextDone",
    "TokenDetails",
    "Tokens",
    "ToolArguments",
    "TranscriptDelta",
    "TranscriptDone",
    "UserDelta",
    "UserDone",
    "UserFailed",
    "UserSnapshot",
    "decode",
    "encode",
)


# --- objects inside events --------------------------------------------------------------------


class ErrorDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong; `event_id` is the client's event that caused it."""

    type: str | None = ""
    code: str | int | None = None
    message: str | None = ""
    param: str | None = None
    event_id: str | None = None


class StatusDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a response ended as it did."""

    type: str | None = ""
    reason: str | None = None
    error: ErrorDetails | None = None


class TokenDetails(msgspec.Struct, frozen=True):
    """Tokens by kind."""

    text_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0
    cached_tokens: int | None = 0


class Tokens(msgspec.Struct, frozen=True):
    """What something cost: tokens, or seconds of audio."""

    type: str = "tokens"
    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: TokenDetails | None = None
    output_token_details: TokenDetails | None = None
    input_tokens_details: TokenDetails | UnsetType | None = UNSET
    """As Qwen names it."""
    output_tokens_details: TokenDetails | UnsetType | None = UNSET
    seconds: float = 0.0


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of an item's content."""

    type: str = ""
    text: str | None = None
    transcript: str | None = None


class ItemObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """An item of the conversation."""

    id: str = ""
    type: str = ""
    object: str | None = ""
    status: str | None = ""
    role: str | None = ""
    content: tuple[Part, ...] | None = ()
    name: str | None = ""
    call_id: str | None = ""
    arguments: str | None = None
    output: str | None = None


class ResponseObject(msgspec.Struct, frozen=True):
    """A response; `metadata` is what its request carried, and unset where nobody keeps it."""

    id: str
    status: str = ""
    status_details: StatusDetails | str | None = None
    metadata: dict[str, Any] | UnsetType | None = UNSET
    usage: Tokens | None = None
    output: tuple[ItemObject, ...] = ()
    object: str = "realtime.response"
    output_modalities: tuple[str, ...] | None = None
    conversation_id: str | None = None


class RateLimit(msgspec.Struct, frozen=True):
    """One limit and what is left of it."""

    name: str = ""
    limit: float = 0
    remaining: float = 0
    reset_seconds: float = 0.0


# --- events -----------------------------------------------------------------------------------


class ServerEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all events share."""

    event_id: str = ""


class _OfPart(ServerEvent, frozen=True, kw_only=True):
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0


class SessionCreated(ServerEvent, frozen=True, kw_only=True, tag="session.created"):
    """The connection stands; the session has the server's own settings."""

    session: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class SessionUpdated(ServerEvent, frozen=True, kw_only=True, tag="session.updated"):
    """The settings in force."""

    session: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class Fault(ServerEvent, frozen=True, kw_only=True, tag="error"):
    """Something failed; the connection may go on."""

    error: ErrorDetails


class SpeechBegan(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_started"):
    """The user begins to speak; the item is the one that this will be."""

    audio_start_ms: float | None = None
    item_id: str | None = None


class SpeechEnded(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_stopped"):
    """The user has stopped."""

    audio_end_ms: float | None = None
    item_id: str | None = None


class Committed(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.committed"):
    """What was heard is an item now."""

    item_id: str
    previous_item_id: str | None = None


class InputCleared(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.cleared"):
    """What was heard is forgotten."""


class ItemAdded(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.added"):
    """An item entered the conversation."""

    item: ItemObject
    previous_item_id: str | None = None


class ItemDone(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.done"):
    """An item is whole."""

    item: ItemObject
    previous_item_id: str | None = None


class ItemDeleted(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.deleted"):
    """An item is gone."""

    item_id: str


class ItemTruncated(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.truncated"):
    """An item ends earlier now."""

    item_id: str
    content_index: int = 0
    audio_end_ms: int = 0


class UserDelta(
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.delta",
):
    """More of what the user said; with a `text`, all so far and a guess (`stash`) of what follows
    (Qwen)."""

    item_id: str
    delta: str = ""
    text: str | UnsetType | None = UNSET
    stash: str | UnsetType | None = UNSET
    content_index: int = 0


class UserSnapshot(
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.updated",
):
    """What the user said so far (xAI)."""

    item_id: str
    transcript: str = ""


class UserDone(
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.completed",
):
    """What the user said; with a `status` in progress only so far (xAI)."""

    item_id: str
    transcript: str = ""
    content_index: int = 0
    usage: Tokens | None = None
    status: str | None = "completed"


class UserFailed(
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.failed",
):
    """What the user said could not be written down; the turn goes on."""

    item_id: str
    error: ErrorDetails = ErrorDetails()
    content_index: int = 0


class ResponseCreated(ServerEvent, frozen=True, kw_only=True, tag="response.created"):
    """An answer begins."""

    response: ResponseObject


class ResponseFinished(ServerEvent, frozen=True, kw_only=True, tag="response.done"):
    """An answer has ended, in whatever way."""

    response: ResponseObject
    usage: Tokens | None = None
    """Where xAI tells the cost."""


class OutputItemAdded(ServerEvent, frozen=True, kw_only=True, tag="response.output_item.added"):
    """An item of an answer begins."""

    response_id: str
    item: ItemObject
    output_index: int = 0


class OutputItemDone(ServerEvent, frozen=True, kw_only=True, tag="response.output_item.done"):
    """An item of an answer is whole."""

    response_id: str
    item: ItemObject
    output_index: int = 0


class PartAdded(_OfPart, frozen=True, kw_only=True, tag="response.content_part.added"):
    """A part of an item begins."""

    part: Part = Part()


class PartDone(_OfPart, frozen=True, kw_only=True, tag="response.content_part.done"):
    """A part of an item is whole."""

    part: Part = Part()


class AudioDelta(_OfPart, frozen=True, kw_only=True, gc=False, tag="response.output_audio.delta"):
    """More sound."""

    delta: bytes


class AudioDone(_OfPart, frozen=True, kw_only=True, tag="response.output_audio.done"):
    """All sound of a part was sent."""


class TranscriptDelta(
    _OfPart, frozen=True, kw_only=True, gc=False, tag="response.output_audio_transcript.delta"
):
    """More of the words that sound."""

    delta: str


class TranscriptDone(
    _OfPart, frozen=True, kw_only=True, tag="response.output_audio_transcript.done"
):
    """All words that sound."""

    transcript: str = ""


class TextDelta(_OfPart, frozen=True, kw_only=True, gc=False, tag="response.output_text.delta"):
    """More of a written answer."""

    delta: str


class TextDone(_OfPart, frozen=True, kw_only=True, tag="response.output_text.done"):
    """A written answer, whole."""

    text: str = ""


class ToolArguments(
    ServerEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.done"
):
    """The arguments of a call are whole."""

    response_id: str
    item_id: str
    call_id: str = ""
    arguments: str = ""
    name: str | None = ""
    output_index: int = 0


class RateLimitsUpdated(ServerEvent, frozen=True, kw_only=True, tag="rate_limits.updated"):
    """What may still be asked for."""

    rate_limits: tuple[RateLimit, ...] = ()


class BufferStarted(ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.started"):
    """The server begins to play an answer (WebRTC, SIP, sideband)."""

    response_id: str | None = None


class BufferStopped(ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.stopped"):
    """The server has played an answer to its end."""

    response_id: str | None = None


class BufferCleared(ServerEvent, frozen=True, kw_only=True, tag="output_audio_buffer.cleared"):
    """The server stopped playing an answer."""

    response_id: str | None = None


class Quiet(ServerEvent, frozen=True, kw_only=True, tag="ping"):
    """Nothing that a session wants to know."""


_ALIASES: dict[str, type[ServerEvent]] = {
    "conversation.item.created": ItemAdded,
    "response.audio.delta": AudioDelta,
    "response.audio.done": AudioDone,
    "response.audio_transcript.delta": TranscriptDelta,
    "response.audio_transcript.done": TranscriptDone,
    "response.text.delta": TextDelta,
    "response.text.done": TextDone,
    "conversation.created": Quiet,
    "session.finished": Quiet,
    "response.function_call_arguments.delta": Quiet,
    "response.mcp_call_arguments.delta": Quiet,
}
"""Names that the beta, Voice Live, Qwen and xAI give to an event, and events without news."""


def _alias(name: str, meant: type[ServerEvent]) -> type[ServerEvent]:
    made = msgspec.defstruct(
        meant.__name__, [], bases=(meant,), tag=name, frozen=True, kw_only=True, module=__name__
    )
    return cast("type[ServerEvent]", made)


_OWN = tuple(
    kind
    for base in (ServerEvent, _OfPart)
    for kind in cast("list[type[ServerEvent]]", base.__subclasses__())
    if kind is not _OfPart
)
_OTHER = {_alias(name, meant): meant for name, meant in _ALIASES.items()}

MEANT: dict[type[ServerEvent], type[ServerEvent]] = {**{kind: kind for kind in _OWN}, **_OTHER}
"""Every type that `decode` gives, with the one that says what it means."""

KNOWN = frozenset(str(kind.__struct_config__.tag) for kind in MEANT)
"""Every name that `decode` knows."""

_union: Any = _OWN[0]
for _kind in (*_OWN[1:], *_OTHER):
    _union |= _kind
_DECODER: msgspec.json.Decoder[ServerEvent] = msgspec.json.Decoder(_union)
_ENCODER = msgspec.json.Encoder()


class _Sound(msgspec.Struct):
    type: str
    delta: str


_SOUNDS = frozenset(name for name, kind in _ALIASES.items() if kind is AudioDelta) | {
    str(AudioDelta.__struct_config__.tag)
}
_STANDARD = str.maketrans("-_", "+/")


def decode(wire: str | bytes) -> ServerEvent:
    """Read one event; raises what msgspec raises for broken bytes and for names not in `KNOWN`."""
    try:
        return _DECODER.decode(wire)
    except msgspec.ValidationError:
        plain = _standard(wire)
        if plain is None:
            raise
        return _DECODER.decode(plain)


def _standard(wire: str | bytes) -> bytes | None:
    """Rewrite sound in the URL-safe alphabet, or without padding, if that is what it is."""
    try:
        sound = msgspec.json.decode(wire, type=_Sound)
    except msgspec.ValidationError:
        return None
    delta = sound.delta.translate(_STANDARD)
    delta += "=" * (-len(delta) % 4)
    if sound.type not in _SOUNDS or delta == sound.delta:
        return None
    fields = msgspec.json.decode(wire, type=dict[str, Any])
    return _ENCODER.encode({**fields, "delta": delta})


def encode(event: ServerEvent) -> bytes:
    """Write one event under its own name."""
    return _ENCODER.encode(event)
