"""What a session yields: a closed union of frozen values, one vocabulary for every provider.

Perishable events are the model's output and die with their epoch; settling ones say how something
ended and are never lost; control events overtake queued media.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Literal

import msgspec

from .audio.format import AudioFormat
from .capability import Capabilities
from .config import Message, Secret, SessionConfig
from .epoch import CallId, Epoch, ItemId, RequestId, ResponseId
from .errors import RealtimeError

__all__ = (
    "AgentTranscript",
    "AudioInput",
    "AudioOutput",
    "AudioOutputDone",
    "Cause",
    "Confirmed",
    "Connected",
    "ConversationItem",
    "Disconnected",
    "Dropped",
    "Error",
    "Event",
    "HeardItem",
    "Held",
    "Interrupted",
    "Kind",
    "LateUsage",
    "RateLimit",
    "RateLimits",
    "RealtimeEvent",
    "Reconnected",
    "Released",
    "ResponseDone",
    "ResponseStarted",
    "ResponseText",
    "ResponseThought",
    "ResumptionHandle",
    "SessionEnding",
    "SpeechStarted",
    "SpeechStopped",
    "Status",
    "ToolCall",
    "ToolCallCancelled",
    "Unknown",
    "Usage",
    "UserTranscript",
    "Warning",
)

Cause = Literal["provider", "local", "app", "connection", "close"]
Confirmed = Literal["duration", "words", "provider", "deadline"]
"""What turned a hold into an interruption."""
Status = Literal["completed", "cancelled", "incomplete", "failed", "interrupted", "lost", "closed"]


class Kind(Enum):
    """How an event is treated by fences and queues."""

    PERISHABLE = "perishable"
    SETTLING = "settling"
    CONTROL = "control"


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag=_snake):
    """What all events share: place in the trace, interrupt fence, connection, time, origin."""

    seq: int = -1
    """Place in the trace: 0, 1, 2 ... without a gap."""
    epoch: Epoch = Epoch(0)
    """The interrupt fence at which the event was returned."""
    conn: int = 0
    """Generation of the newest provider connection the trace had told of when it was returned."""
    at: float = 0.0
    """Monotonic seconds when the session learned of it."""
    response: ResponseId | None = None
    item: ItemId | None = None

    @property
    def kind(self) -> Kind:
        """Perishable, settling or control."""
        return Kind.CONTROL


class _Perishable(Event, frozen=True, kw_only=True, tag=_snake):
    @property
    def kind(self) -> Kind:
        """Dies with its epoch."""
        return Kind.PERISHABLE


class _Settling(Event, frozen=True, kw_only=True, tag=_snake):
    @property
    def kind(self) -> Kind:
        """Never lost."""
        return Kind.SETTLING


# --- control ----------------------------------------------------------------------------------


class Connected(Event, frozen=True, kw_only=True, tag=_snake):
    """The provider has acknowledged the session; `config` is what is in force."""

    session_id: str
    config: SessionConfig
    capabilities: Capabilities


class Reconnected(Event, frozen=True, kw_only=True, tag=_snake):
    """A new connection took over."""

    restored: Literal["handle", "history", "nothing"]
    lost: tuple[str, ...] = ()
    """What the model no longer knows, in words."""
    provider: str = ""
    """Who has taken over, where it is another provider; empty: the same goes on."""


class SessionEnding(Event, frozen=True, kw_only=True, tag=_snake):
    """The provider will end this connection soon."""

    left: float | None = None
    """Seconds left, where the provider says so."""


class RateLimit(msgspec.Struct, frozen=True):
    """One limit of the provider: how much of it is left, and when it is whole again."""

    name: str
    """What is limited, in the provider's word: requests, tokens."""
    limit: float
    remaining: float
    reset_seconds: float
    """Seconds until `remaining` is `limit` again."""


class RateLimits(Event, frozen=True, kw_only=True, tag=_snake):
    """What the provider's limits leave to be used."""

    limits: tuple[RateLimit, ...]


class ResumptionHandle(Event, frozen=True, kw_only=True, tag=_snake):
    """A handle with which this conversation can be taken up again."""

    handle: Secret


class Disconnected(Event, frozen=True, kw_only=True, tag=_snake):
    """The session is over; always the last event."""

    reason: str
    clean: bool
    error: RealtimeError | None = None


class SpeechStarted(Event, frozen=True, kw_only=True, tag=_snake):
    """The user starts to speak; `audio_ms` counts the input audio sent so far.

    `item` names what is being said, where the provider does.
    """

    audio_ms: float | None = None


class SpeechStopped(Event, frozen=True, kw_only=True, tag=_snake):
    """The user's turn is taken to be over; `audio_ms` is where in the input audio speech ended."""

    audio_ms: float | None = None


class HeardItem(msgspec.Struct, frozen=True):
    """How much of one output item had reached the ear, in samples at `rate` Hz."""

    item: ItemId
    response: ResponseId
    samples: int
    received: int
    rate: int
    text: str = ""
    """The words the conversation keeps of it."""
    exact: bool = False
    """False where no sink confirmed it, or the words end inside a part of unknown timing."""


class Interrupted(Event, frozen=True, kw_only=True, tag=_snake):
    """The epoch rose: output of the listed responses is stale from here on."""

    cause: Cause
    heard: tuple[HeardItem, ...] = ()
    fenced: tuple[ResponseId, ...] = ()
    confirmed: Confirmed | None = None
    """What confirmed it, where the answer was held first and the application did not decide."""


class Held(Event, frozen=True, kw_only=True, tag=_snake):
    """Somebody may have begun to speak: the answer is held until it is cut or released."""

    cause: Literal["provider", "local"]


class Released(Event, frozen=True, kw_only=True, tag=_snake):
    """It was nothing: the held answer goes on where it was held."""

    reason: Literal["app", "ended", "words", "deadline"]
    """Who or what said so: the speech ended, or held no words, before it was confirmed."""
    partial: bool = False
    """The provider had cancelled the answer by itself: only what had arrived of it goes on."""


class ToolCallCancelled(Event, frozen=True, kw_only=True, tag=_snake):
    """These calls are void; their results are no longer wanted."""

    calls: tuple[CallId, ...]


class Dropped(Event, frozen=True, kw_only=True, tag=_snake):
    """Frames or events that were not passed on, since the last such report."""

    lane: str
    reason: str
    count: int
    ms: float = 0.0


class Warning(Event, frozen=True, kw_only=True, tag=_snake):
    """A wish that this provider does not fulfil; the session goes on without it."""

    field: str
    why: str


class Error(Event, frozen=True, kw_only=True, tag=_snake):
    """Something failed; unless `recoverable`, the session ends."""

    error: RealtimeError
    recoverable: bool
    request: RequestId | None = None
    """Our own `CreateResponse` that the provider refused, if it was one."""


class Unknown(Event, frozen=True, kw_only=True, tag=_snake):
    """A message of the provider that this version does not know; passed on and counted."""

    name: str
    data: str = ""


# --- settling ---------------------------------------------------------------------------------


class Usage(msgspec.Struct, frozen=True):
    """What a response or a transcript cost: tokens, with the part that was audio, or seconds."""

    input_tokens: int = 0
    output_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    cached_tokens: int = 0
    input_image_tokens: int = 0
    seconds: float = 0.0
    """Audio that is billed by its length."""


class UserTranscript(_Settling, frozen=True, kw_only=True, tag=_snake):
    """What the user said so far (replaces the earlier partial of the item), or finally.

    The first of an item, even without text, says where in the conversation its words belong.
    """

    text: str
    final: bool
    participant: str | None = None
    usage: Usage | None = None
    """What writing it down cost, with the final."""


class AudioInput(_Settling, frozen=True, kw_only=True, tag=_snake):
    """Audio that was handed to the connection, in the format that was sent."""

    pcm: bytes
    format: AudioFormat
    participant: str | None = None


class ConversationItem(_Settling, frozen=True, kw_only=True, tag=_snake):
    """An entry of the conversation: message, tool call or tool result."""

    message: Message


class ResponseDone(_Settling, frozen=True, kw_only=True, tag=_snake):
    """A response has ended, once."""

    status: Status
    usage: Usage | None = None
    error: RealtimeError | None = None
    by_provider: bool = True
    """False where the library had to close it: fenced and unanswered, lost, or closed."""


class LateUsage(_Settling, frozen=True, kw_only=True, tag=_snake):
    """What a response cost that was closed here, before the provider said so: nothing else came."""

    of: ResponseId
    usage: Usage


# --- perishable -------------------------------------------------------------------------------


class ResponseStarted(_Perishable, frozen=True, kw_only=True, tag=_snake):
    """The model begins an answer; `request` names our own `CreateResponse`, if it was one."""

    request: RequestId | None = None


class AudioOutput(_Perishable, frozen=True, kw_only=True, tag=_snake):
    """A piece of the answer's sound."""

    pcm: bytes
    format: AudioFormat


class AudioOutputDone(_Perishable, frozen=True, kw_only=True, tag=_snake):
    """All sound of this item has arrived; not that it was heard."""


class ToolCall(_Perishable, frozen=True, kw_only=True, tag=_snake):
    """The model wants a tool run; `arguments` is complete JSON text."""

    call: CallId
    name: str
    arguments: str


class ResponseText(_Perishable, frozen=True, kw_only=True, tag=_snake):
    """Written words of the answer: pieces, then once the whole text with `is_complete`."""

    text: str
    is_complete: bool

    @property
    def kind(self) -> Kind:
        """Perishable piece by piece; the whole settles."""
        return Kind.SETTLING if self.is_complete else Kind.PERISHABLE


class ResponseThought(_Perishable, frozen=True, kw_only=True, tag=_snake):
    """A piece of what the model tells of its reasoning: neither spoken nor part of the answer."""

    text: str


class AgentTranscript(_Perishable, frozen=True, kw_only=True, tag=_snake):
    """Spoken words of the answer: pieces, then once the whole text with `final`."""

    text: str
    final: bool
    span: tuple[int, int | None] | None = None
    """Samples of the item in which a piece is spoken, where the provider knows; an open end is
    where the next piece begins, or the item ends."""
    participant: str | None = None

    @property
    def kind(self) -> Kind:
        """Perishable piece by piece; the whole settles."""
        return Kind.SETTLING if self.final else Kind.PERISHABLE


RealtimeEvent = (
    Connected
    | Reconnected
    | SessionEnding
    | RateLimits
    | ResumptionHandle
    | Disconnected
    | SpeechStarted
    | SpeechStopped
    | Interrupted
    | Held
    | Released
    | ToolCallCancelled
    | Dropped
    | Warning
    | Error
    | Unknown
    | UserTranscript
    | AudioInput
    | ConversationItem
    | ResponseDone
    | LateUsage
    | ResponseStarted
    | AudioOutput
    | AudioOutputDone
    | ToolCall
    | ResponseText
    | ResponseThought
    | AgentTranscript
)
