"""The schema of a session object: what a client may set, and what is said of all else.

A field that is not known, or of another kind, is refused whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

__all__ = (
    "ANY_RATE",
    "Complaint",
    "Fields",
    "Function",
    "Mcp",
    "SemanticVad",
    "ServerVad",
    "Transcription",
    "Vad",
    "Voice",
    "Wished",
    "read_session",
    "refusal_of",
)

Fields = dict[str, Any]
_Open = Mapping[str, Any]
_MODALITIES = {("audio",), ("text",)}
ANY_RATE = (8_000, 16_000, 24_000, 48_000)
"""Hz of bare sound, among the servers of the family."""
_RATE = (24_000,)


class Complaint(NamedTuple):
    """What is wrong with something a client sent."""

    code: str
    message: str
    param: str | None = None


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Typed(_Strict, frozen=True, kw_only=True, tag_field="type"):
    pass


class _Pcm(_Typed, frozen=True, kw_only=True, tag="audio/pcm"):
    rate: int = 24_000


class _Pcmu(_Typed, frozen=True, kw_only=True, tag="audio/pcmu"):
    pass


class _Pcma(_Typed, frozen=True, kw_only=True, tag="audio/pcma"):
    pass


class Vad(_Typed, frozen=True, kw_only=True):
    """What a server does when the user has spoken."""

    create_response: bool | UnsetType = UNSET
    interrupt_response: bool | UnsetType = UNSET


class ServerVad(Vad, frozen=True, kw_only=True, tag="server_vad"):
    """Turns by loudness."""

    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | UnsetType | None = UNSET
    prefix_padding_ms: int | UnsetType | None = UNSET
    silence_duration_ms: int | UnsetType | None = UNSET
    idle_timeout_ms: int | UnsetType | None = UNSET


class SemanticVad(Vad, frozen=True, kw_only=True, tag="semantic_vad"):
    """Turns by meaning."""

    eagerness: Literal["low", "medium", "high", "auto"] | UnsetType = UNSET


class _Reduction(_Strict, frozen=True, kw_only=True):
    type: Literal["near_field", "far_field"]
    strength: float | UnsetType = UNSET


class Transcription(_Strict, frozen=True, kw_only=True):
    """Who writes down what the user says."""

    model: str | UnsetType = UNSET
    language: str | UnsetType | None = UNSET
    languages: tuple[str, ...] | UnsetType | None = UNSET
    prompt: str | UnsetType | None = UNSET
    keywords: tuple[str, ...] | UnsetType | None = UNSET
    delay: str | UnsetType | None = UNSET


class Voice(_Strict, frozen=True, kw_only=True):
    """A voice of one's own."""

    id: str


class _Input(_Strict, frozen=True, kw_only=True):
    format: _Pcm | _Pcmu | _Pcma | UnsetType = UNSET
    transcription: Transcription | UnsetType | None = UNSET
    noise_reduction: _Reduction | UnsetType | None = UNSET
    turn_detection: ServerVad | SemanticVad | UnsetType | None = UNSET


class _Output(_Strict, frozen=True, kw_only=True):
    format: _Pcm | _Pcmu | _Pcma | UnsetType = UNSET
    voice: str | Voice | UnsetType = UNSET
    speed: Annotated[float, msgspec.Meta(ge=0.25, le=1.5)] | UnsetType = UNSET


class _Audio(_Strict, frozen=True, kw_only=True):
    input: _Input = _Input()
    output: _Output = _Output()


class Function(_Typed, frozen=True, kw_only=True, tag="function"):
    """A function the model may call."""

    name: str
    description: str = ""
    parameters: _Open | UnsetType = UNSET


class Mcp(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp"):
    """Tools of a remote server; read no further."""

    server_label: str


class _Choice(_Strict, frozen=True, kw_only=True):
    type: Literal["function", "mcp"]
    name: str = ""
    server_label: str = ""


class Wished(_Strict, frozen=True, kw_only=True):
    """All that a client may set, checked."""

    type: Literal["realtime", "transcription"]
    model: str | UnsetType = UNSET
    output_modalities: tuple[Literal["audio", "text"], ...] | UnsetType = UNSET
    instructions: str | UnsetType = UNSET
    audio: _Audio = _Audio()
    tools: tuple[Function | Mcp, ...] | UnsetType = UNSET
    tool_choice: Literal["auto", "none", "required"] | _Choice | UnsetType = UNSET
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | Literal["inf"] | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: _Open | UnsetType = UNSET
    truncation: Literal["auto", "disabled"] | _Open | UnsetType = UNSET
    tracing: Literal["auto"] | _Open | UnsetType | None = UNSET
    prompt: _Open | UnsetType | None = UNSET
    include: tuple[str, ...] | UnsetType | None = UNSET


def read_session(session: Fields, rates: Collection[int] = _RATE) -> Wished | Complaint:
    """Check what a client sets, or say what is wrong with it."""
    try:
        wished = msgspec.convert(session, Wished)
    except msgspec.ValidationError as problem:
        return refusal_of(problem, "session")
    modes = wished.output_modalities
    if modes is not UNSET and modes not in _MODALITIES:
        what = "Sound brings its transcript along: ask for one modality."
        return Complaint("invalid_value", what, "session.output_modalities")
    for way, sound in (("input", wished.audio.input), ("output", wished.audio.output)):
        if isinstance(sound.format, _Pcm) and sound.format.rate not in rates:
            param = f"session.audio.{way}.format.rate"
            low = sound.format.rate < min(rates)
            code = "integer_below_min_value" if low else "invalid_value"
            return Complaint(code, f"Expected one of {[*rates]}.", param)
    return wished


_PLACE = re.compile(r"(?s)(.*) - at `(?:key in )?\$\.?(.*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")


def refusal_of(problem: msgspec.ValidationError, root: str = "") -> Complaint:
    """Read what msgspec complains of."""
    found = _PLACE.fullmatch(str(problem))
    what, place = found.groups() if found is not None else (str(problem), "")
    path = [part for part in (root, place) if part]
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is not None:
        param = ".".join((*path, unknown[1]))
        return Complaint("unknown_parameter", f"Unknown parameter: {param!r}.", param)
    code = "integer_below_min_value" if what.startswith("Expected `int` >=") else "invalid_value"
    return Complaint(code, f"{what}.", ".".join(path) or None)
