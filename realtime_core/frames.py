"""What a caller pushes in: a closed union of frozen values.

Ordinary frames keep the order of the pushes and may wait in a lane; urgent ones (`Heard`, `Hold`,
`Release`, `Interrupt`, `Close`) take effect at once when they are sent by a call, whatever waits in
a lane.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import msgspec

from .audio.format import PCM_24K, AudioFormat
from .config import Message, SessionConfig
from .epoch import CallId, ItemId, RequestId

__all__ = (
    "ActivityEnd",
    "ActivityStart",
    "Audio",
    "ClearAudio",
    "Close",
    "CommitAudio",
    "CreateResponse",
    "Frame",
    "Heard",
    "Hold",
    "Interrupt",
    "Release",
    "Text",
    "ToolResult",
    "UpdateSession",
    "Video",
    "VoiceFrame",
)


class _Frame(msgspec.Struct, frozen=True, tag_field="type", tag=True):
    urgent: ClassVar[bool] = False


class Audio(_Frame, frozen=True, gc=False):
    """Microphone audio: interleaved samples, any rate and channel count; converted on the way."""

    pcm: bytes
    format: AudioFormat = PCM_24K


class Video(_Frame, frozen=True, gc=False):
    """One picture of the camera or the screen, encoded (JPEG, PNG)."""

    image: bytes
    mime: str = "image/jpeg"


class Text(_Frame, frozen=True):
    """Typed words.

    `queue` asks for an answer after what is being said, `interrupt` cuts that short first, and
    `context` only adds to the conversation.
    """

    text: str
    role: Literal["user", "system"] = "user"
    turn: Literal["queue", "interrupt", "context"] = "queue"
    participant: str | None = None


class ToolResult(_Frame, frozen=True):
    """The outcome of a tool call: text or JSON, or an error message for the model."""

    call: CallId
    output: str
    failed: bool = False


class Heard(_Frame, frozen=True, gc=False):
    """A sink's word that it has played the first `samples` samples of an output item."""

    urgent: ClassVar[bool] = True

    item: ItemId
    samples: int


class ActivityStart(_Frame, frozen=True, gc=False):
    """The user's turn begins (manual turns)."""


class ActivityEnd(_Frame, frozen=True, gc=False):
    """The user's turn ends and wants an answer (manual turns)."""


class CommitAudio(_Frame, frozen=True, gc=False):
    """Make a user message of the audio pushed so far, without asking for an answer."""


class ClearAudio(_Frame, frozen=True, gc=False):
    """Forget the audio pushed since the last turn, here and at the provider."""


class CreateResponse(_Frame, frozen=True):
    """Ask for an answer now; waits its turn where the provider allows one at a time.

    One outside the `conversation` waits for no other (capability `side_responses`): it reads the
    conversation, or `input` in its place, and leaves no trace in it.
    """

    instructions: str = ""
    request: RequestId = RequestId("")
    """Names the request; the session mints one where it is empty."""
    modalities: tuple[Literal["audio", "text"], ...] = ()
    """In what the answer is given; empty: as the session says."""
    conversation: Literal["auto", "none"] = "auto"
    input: tuple[Message, ...] = ()
    """What is read instead of the conversation; only with conversation "none"."""
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    """Kept with the answer by a provider that keeps such labels."""


class UpdateSession(_Frame, frozen=True):
    """Change the configuration of a running session, as far as the provider can."""

    config: SessionConfig


class Hold(_Frame, frozen=True, gc=False):
    """Somebody may have begun to speak: hold the answer until it is cut or released.

    Changes nothing where nothing is audible. `TurnDetection.two_phase` says what decides the hold
    besides `Interrupt` and `Release`; without it an answer of the provider's own or the default
    deadline does.
    """

    urgent: ClassVar[bool] = True


class Release(_Frame, frozen=True, gc=False):
    """It was nothing: let a held answer go on where it was held."""

    urgent: ClassVar[bool] = True


class Interrupt(_Frame, frozen=True, gc=False):
    """Fall silent now: everything said so far and not yet heard is stale.

    From a `local` voice detector it changes nothing where nothing can be cut.
    """

    urgent: ClassVar[bool] = True
    cause: Literal["app", "local"] = "app"


class Close(_Frame, frozen=True, gc=False):
    """End the session."""

    urgent: ClassVar[bool] = True


VoiceFrame = (
    Audio
    | Text
    | ToolResult
    | Heard
    | ActivityStart
    | ActivityEnd
    | CommitAudio
    | ClearAudio
    | CreateResponse
    | UpdateSession
    | Hold
    | Release
    | Interrupt
    | Close
)
"""What a provider takes that understands no pictures."""

Frame = VoiceFrame | Video
