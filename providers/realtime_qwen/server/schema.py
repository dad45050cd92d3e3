"""The schema of a session object, in both of its forms, and what it means to the mirror.

Models up to 3.5 have their settings side by side, with formats of sound in two ways; from 3.8 on
what concerns sound is nested by direction.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, UnsetType

from realtime_openai.server.schema import Complaint, Fields, refusal_of

from ..models import Model, is_known, model_of

__all__ = ("meaning", "read", "row", "shown")

_Rate = Literal[8_000, 16_000, 24_000, 48_000]
_Name = Literal["pcm", "pcm16", "pcm24"]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Format(_Strict, frozen=True, kw_only=True):
    type: Literal["pcm"] = "pcm"
    sample_rate: _Rate | UnsetType = UNSET


class _Sound(_Strict, frozen=True, kw_only=True):
    format: _Format | UnsetType = UNSET


class _Voiced(_Sound, frozen=True, kw_only=True):
    voice: str | UnsetType | None = UNSET


class _Audio(_Strict, frozen=True, kw_only=True):
    input: _Sound | UnsetType = UNSET
    output: _Sound | UnsetType = UNSET


class _Nested(_Strict, frozen=True, kw_only=True):
    input: _Sound | UnsetType = UNSET
    output: _Voiced | UnsetType = UNSET


class _Turns(_Strict, frozen=True, kw_only=True):
    type: Literal["server_vad", "semantic_vad"]
    threshold: Annotated[float, msgspec.Meta(ge=-1, le=1)] | UnsetType = UNSET
    prefix_padding_ms: Annotated[int, msgspec.Meta(ge=0)] | UnsetType = UNSET
    silence_duration_ms: Annotated[int, msgspec.Meta(ge=200, le=6_000)] | UnsetType = UNSET
    idle_timeout_ms: Annotated[int, msgspec.Meta(ge=5_000, le=30_000)] | UnsetType | None = UNSET
    create_response: Literal[True] | UnsetType = UNSET
    interrupt_response: bool | UnsetType = UNSET


class _Transcription(_Strict, frozen=True, kw_only=True):
    model: str | UnsetType | None = UNSET
    language: str | UnsetType | None = UNSET


class _Function(_Strict, frozen=True, kw_only=True):
    name: str
    description: str = ""
    parameters: Fields | UnsetType = UNSET


class _Tool(_Strict, frozen=True, kw_only=True):
    type: Literal["function"]
    function: _Function


class _Search(_Strict, frozen=True, kw_only=True):
    enable_source: bool = False


class _Seen(_Strict, frozen=True, kw_only=True):
    representation_compact: Literal["none", "normal"]


class _Video(_Strict, frozen=True, kw_only=True):
    input: _Seen


class _Common(_Strict, frozen=True, kw_only=True):
    modalities: tuple[Literal["text", "audio"], ...] | UnsetType = UNSET
    instructions: str | UnsetType | None = UNSET
    input_audio_transcription: _Transcription | UnsetType | None = UNSET
    turn_detection: _Turns | UnsetType | None = UNSET
    tools: tuple[_Tool, ...] | UnsetType = UNSET
    enable_search: bool | UnsetType = UNSET
    search_options: _Search | UnsetType = UNSET
    temperature: Annotated[float, msgspec.Meta(ge=0, lt=2)] | UnsetType = UNSET
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | UnsetType = UNSET
    top_k: Annotated[int, msgspec.Meta(ge=0)] | UnsetType = UNSET
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | UnsetType = UNSET
    repetition_penalty: Annotated[float, msgspec.Meta(gt=0)] | UnsetType = UNSET
    presence_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | UnsetType = UNSET
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | UnsetType = UNSET


class _Flat(_Common, frozen=True, kw_only=True):
    voice: str | UnsetType | None = UNSET
    input_audio_format: _Name | UnsetType = UNSET
    output_audio_format: _Name | UnsetType = UNSET
    audio: _Audio | UnsetType = UNSET
    smooth_output: bool | UnsetType | None = UNSET


class _Newest(_Common, frozen=True, kw_only=True):
    audio: _Nested | UnsetType = UNSET
    video: _Video | UnsetType = UNSET


_FORMS: dict[str, tuple[type[_Common], ...]] = {"flat": (_Flat,), "nested": (_Newest,)}
_MODES = ({"text"}, {"text", "audio"})
_ANY = Model(voice="Tina", idle=True, smooth=True, compact=True)


def row(model: str) -> Model:
    """Find what a model can do; one that is none of the service's can all."""
    return model_of(model) if is_known(model) else _ANY


def read(model: str, session: Fields) -> Complaint | None:
    """Check what a client sets, all of it so far; says what is wrong with it.

    A model that is none of the service's may be spoken to in either form.
    """
    forms = _FORMS[row(model).form] if is_known(model) else (_Flat, _Newest)
    why: Complaint | None = None
    for form in forms:
        try:
            wished = msgspec.convert(session, form)
        except msgspec.ValidationError as problem:
            why = why or refusal_of(problem, "session")
        else:
            return _unfit(row(model), session, wished)
    return why


def _unfit(model: Model, session: Fields, wished: _Common) -> Complaint | None:
    modes, turns = wished.modalities, wished.turn_detection
    semantic = isinstance(turns, _Turns) and turns.type == "semantic_vad"
    idle = isinstance(turns, _Turns) and isinstance(turns.idle_timeout_ms, int)
    searches = wished.enable_search is True
    legacy = {"input_audio_format", "output_audio_format"} & session.keys()
    mistakes = (
        ("modalities", modes is not UNSET and set(modes) not in _MODES),
        ("turn_detection.type", semantic and not model.semantic),
        ("turn_detection.idle_timeout_ms", idle and (semantic or not model.idle)),
        ("tools", bool(wished.tools) and not model.tools),
        ("enable_search", searches and (not model.search or bool(wished.tools))),
        ("smooth_output", session.get("smooth_output") is not None and not model.smooth),
        ("audio", "audio" in session and bool(legacy)),
    )
    for param, wrong in mistakes:
        if wrong:
            what = "This cannot be, with this model or beside the other settings."
            return Complaint("invalid_value", what, f"session.{param}")
    return None


# --- what it means ----------------------------------------------------------------------------


def meaning(own: Fields) -> Fields:
    """Give what a client has set, and what holds from the start, in the mirror's words."""
    into, out = _way(own, "input"), _way(own, "output")
    heard: Fields = {"format": _pcm(into, 16_000)}
    written = own.get("input_audio_transcription", {})
    heard["transcription"] = None if written is None else _said(written, {"model": "default"})
    if "turn_detection" in own:
        heard["turn_detection"] = _turns(own["turn_detection"])
    spoken: Fields = {"format": _pcm(out, 24_000)}
    voice = own.get("voice") or out.get("voice")
    if voice:
        spoken["voice"] = voice
    given: Fields = {"type": "realtime", "audio": {"input": heard, "output": spoken}}
    if "modalities" in own:
        given["output_modalities"] = ["audio" if "audio" in own["modalities"] else "text"]
    if "tools" in own:
        given["tools"] = [{"type": "function", **tool["function"]} for tool in own["tools"]]
    if "max_tokens" in own:
        given["max_output_tokens"] = own["max_tokens"]
    return given | _said({"instructions": own.get("instructions")}, {})


def _way(own: Fields, way: str) -> Fields:
    return cast("Fields", own.get("audio", {}).get(way, {}))


def _pcm(way: Fields, rate: int) -> Fields:
    return {"type": "audio/pcm", "rate": way.get("format", {}).get("sample_rate", rate)}


def _said(given: Fields, otherwise: Fields) -> Fields:
    """Leave out what is null: it stands for the service's own."""
    return otherwise | {name: value for name, value in given.items() if value is not None}


def _turns(turns: Fields | None) -> Fields | None:
    if turns is None or turns["type"] == "semantic_vad":
        kept = ("type", "create_response", "interrupt_response")
        return turns and {name: turns[name] for name in kept if name in turns}
    loud = max(0, turns["threshold"]) if "threshold" in turns else None
    return _said({**turns, "threshold": loud}, {})


# --- what is shown ----------------------------------------------------------------------------

_VAD: Fields = {"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 800}
_ANSWERS: Fields = {"create_response": True, "interrupt_response": True}


def shown(session: Fields, own: Fields) -> Fields:
    """Give the session object as a client is told it, from the mirror's and its own words."""
    model = row(session["model"])
    voice = session["audio"]["output"]["voice"] or model.voice
    turns: Any = own.get("turn_detection", {"type": "server_vad"})
    written: Any = own.get("input_audio_transcription", {})
    object: Fields = {
        "object": "realtime.session",
        "model": session["model"],
        "modalities": ["text", "audio"],
        **own,
        "input_audio_transcription": None
        if written is None
        else _said(written, {"model": model.transcriber}),
        "turn_detection": turns and {"type": "", **_VAD, **_ANSWERS, **turns},
        "id": session["id"],
    }
    if model.form == "nested" or "voice" in _way(own, "output"):
        object["audio"] = _sounds(session, voice)
    else:
        object["voice"] = voice
        if "audio" not in own:
            into, out = ("pcm16", "pcm24") if model.smooth else ("pcm", "pcm")
            object = {"input_audio_format": into, "output_audio_format": out, **object}
    return {name: value for name, value in object.items() if value is not None}


def _sounds(session: Fields, voice: str) -> Fields:
    into, out = (
        {"type": "pcm", "sample_rate": session["audio"][way]["format"]["rate"]}
        for way in ("input", "output")
    )
    return {"input": {"format": into}, "output": {"format": out, "voice": voice}}
