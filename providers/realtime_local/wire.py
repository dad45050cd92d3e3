"""The messages between the local codec and the engine behind it: JSON objects tagged by `type`.

Audio towards the engine is 16 kHz, from it at the rate that `ready` names; both signed 16-bit
little-endian mono, base64 in JSON.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = (
    "AudioDelta",
    "AudioDone",
    "Cancel",
    "Clear",
    "Commit",
    "Create",
    "Delete",
    "EngineMessage",
    "Fault",
    "Image",
    "InputAudio",
    "Ready",
    "Requested",
    "ResponseCreated",
    "ResponseFinished",
    "Said",
    "SessionMessage",
    "Settings",
    "Speech",
    "SpeechEnd",
    "Spoken",
    "Start",
    "Tool",
    "ToolOutput",
    "Transcript",
    "Truncate",
    "Typed",
    "Update",
)


class _Tagged(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    pass


# --- session to engine ------------------------------------------------------------------------


class Said(msgspec.Struct, frozen=True):
    """One entry of the conversation, for a session that begins with a history."""

    role: Literal["user", "assistant", "system", "tool_call", "tool_result"]
    text: str
    name: str = ""
    call: str = ""


class Tool(msgspec.Struct, frozen=True):
    """A tool the model may call, with the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What of a session's configuration the engine heeds."""

    instructions: str = ""
    voice: str = ""
    modalities: tuple[str, ...] = ("audio",)
    manual: bool = False
    """Turns are ended by `commit` and `create`, not by the ears."""
    barge_in: bool = True
    """The engine itself cuts its answer when the user starts to speak."""
    threshold: float = 0.5
    prefix_ms: int = 320
    silence_ms: int | None = None
    """Silence after which a turn is over in any case; None: decided by the end-of-turn model."""
    transcribe: bool = True
    temperature: float | None = None
    max_tokens: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"


class Start(_Tagged, frozen=True, tag="start"):
    """First message of a connection."""

    settings: Settings
    history: tuple[Said, ...] = ()


class Update(_Tagged, frozen=True, tag="update"):
    """New settings, for the turns to come."""

    settings: Settings


class InputAudio(_Tagged, frozen=True, tag="audio"):
    """Microphone audio, 16 kHz."""

    pcm: bytes


class Image(_Tagged, frozen=True, tag="image"):
    """One picture; the newest is what the model knows of."""

    data: bytes
    mime: str


class Typed(_Tagged, frozen=True, tag="text"):
    """A typed message; asks for nothing by itself."""

    text: str
    role: Literal["user", "system"] = "user"


class ToolOutput(_Tagged, frozen=True, tag="tool_output"):
    """The outcome of a call; when all calls of a response have one, the engine goes on."""

    call: str
    output: str
    failed: bool = False


class Commit(_Tagged, frozen=True, tag="commit"):
    """The audio so far is a user's message (manual turns)."""


class Clear(_Tagged, frozen=True, tag="clear"):
    """Forget the audio since the last turn; a turn that goes on ends, with an empty text."""


class Create(_Tagged, frozen=True, tag="create"):
    """Answer now."""

    request: str
    instructions: str = ""
    modalities: tuple[str, ...] = ()
    """Empty: as the settings say."""


class Cancel(_Tagged, frozen=True, tag="cancel"):
    """Stop this response if it still runs; one that has ended, or is not known, is passed over."""

    response: str


class Truncate(_Tagged, frozen=True, tag="truncate"):
    """Of this item only `samples` samples were heard, and `text` is what they said."""

    item: str
    samples: int
    text: str


class Delete(_Tagged, frozen=True, tag="delete"):
    """Nothing of this item was heard: forget it."""

    item: str


SessionMessage = (
    Start
    | Update
    | InputAudio
    | Image
    | Typed
    | ToolOutput
    | Commit
    | Clear
    | Create
    | Cancel
    | Truncate
    | Delete
)


# --- engine to session ------------------------------------------------------------------------


class Ready(_Tagged, frozen=True, tag="ready"):
    """The models are loaded; audio comes at `rate` Hz."""

    rate: int
    models: tuple[str, ...] = ()


class Speech(_Tagged, frozen=True, tag="speech_started"):
    """The user speaks; `audio_ms` is where in the input audio that began."""

    audio_ms: float
    item: str = ""
    """What is being said: the item of its transcript."""


class SpeechEnd(_Tagged, frozen=True, tag="speech_stopped"):
    """The user's turn is over; `audio_ms` is where in the input audio the speech ended."""

    audio_ms: float
    item: str = ""


class Transcript(_Tagged, frozen=True, tag="user_transcript"):
    """What the user said; a later one of the same item replaces it until `final`.

    Each turn, and each `commit`, has one final text; where it is empty nothing was understood, and
    no answer follows.
    """

    item: str
    text: str
    final: bool


class ResponseCreated(_Tagged, frozen=True, tag="response_created"):
    """An answer begins; `request` where it answers a `create`."""

    response: str
    request: str | None = None


class Spoken(_Tagged, frozen=True, tag="spoken"):
    """Words of the answer.

    With `audio`, they come just before their sound, which begins at the sample `start` of the item
    and ends where the next words begin; `final` repeats the whole text once.
    """

    response: str
    item: str
    text: str
    final: bool
    audio: bool = True
    start: int | None = None


class AudioDelta(_Tagged, frozen=True, tag="audio"):
    """Sound of the answer."""

    response: str
    item: str
    pcm: bytes


class AudioDone(_Tagged, frozen=True, tag="audio_done"):
    """All sound of the item was sent."""

    response: str
    item: str


class Requested(_Tagged, frozen=True, tag="tool_call"):
    """The model wants a tool run; `arguments` is JSON text that fits the tool's schema."""

    response: str
    item: str
    call: str
    name: str
    arguments: str


class ResponseFinished(_Tagged, frozen=True, tag="response_done"):
    """The answer has ended."""

    response: str
    status: Literal["completed", "cancelled", "interrupted", "incomplete", "failed"]
    """`interrupted`: the user spoke over it; `cancelled`: the session wished it."""
    input_tokens: int = 0
    output_tokens: int = 0
    error: str = ""


class Fault(_Tagged, frozen=True, tag="error"):
    """Something failed; the session goes on unless `fatal`."""

    message: str
    cause: str = ""
    fix: str = ""
    fatal: bool = False


EngineMessage = (
    Ready
    | Speech
    | SpeechEnd
    | Transcript
    | ResponseCreated
    | Spoken
    | AudioDelta
    | AudioDone
    | Requested
    | ResponseFinished
    | Fault
)
