"""Settings: the session object in force, and the configuration of the library that it asks for.

What a client does not name keeps its value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, cast

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from realtime_core.audio.format import PCM_24K, AudioFormat
from realtime_core.capability import Capabilities
from realtime_core.config import SessionConfig, ToolSpec, TurnDetection

from .schema import (
    ANY_RATE,
    Complaint,
    Fields,
    Function,
    Mcp,
    SemanticVad,
    ServerVad,
    Transcription,
    Vad,
    Voice,
    Wished,
    read_session,
)

__all__ = ("config_of", "default_session", "format_of", "merged", "unfit")


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Fields:
    """Lay new settings over old ones; an object of another type takes the place of the old one."""
    if old.get("type") != new.get("type") and "type" in old and "type" in new:
        return dict(new)
    result = dict(old)
    for name, value in new.items():
        before = result.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            value = merged(cast("Fields", before), cast("Fields", value))  # noqa: PLW2901
        result[name] = value
    return result


# --- the session as the server has it ---------------------------------------------------------

_FORMATS = {
    "audio/pcmu": AudioFormat(8_000, "pcmu"),
    "audio/pcma": AudioFormat(8_000, "pcma"),
}
_PCM = {"type": "audio/pcm", "rate": 24_000}
_TURNS = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}


def default_session(name: str, model: str, voice: str, given: Fields) -> Fields:
    """Give the session object in force: the server's own settings under those of the client."""
    kind = given.get("type", "realtime")
    turns: Fields = given.get("audio", {}).get("input", {}).get("turn_detection") or {}
    heard: Fields = {
        "format": _PCM,
        "transcription": None,
        "noise_reduction": None,
        "turn_detection": _TURNS[turns.get("type", "server_vad")],
    }
    common: Fields = {"type": kind, "id": f"sess_{name}", "expires_at": 0, "include": None}
    if kind == "transcription":
        object = {"object": "realtime.transcription_session", "audio": {"input": heard}}
        return merged({**common, **object}, given)
    own: Fields = {
        "object": "realtime.session",
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "audio": {"input": heard, "output": {"format": _PCM, "voice": voice, "speed": 1.0}},
    }
    return merged({**common, **own}, given)


def format_of(session: Fields, way: Literal["input", "output"]) -> AudioFormat:
    """Give the format of sound in one direction."""
    given: Fields = session.get("audio", {}).get(way, {}).get("format", _PCM)
    return _FORMATS.get(given["type"]) or AudioFormat(given.get("rate", PCM_24K.rate))


# --- the session as the library has it --------------------------------------------------------


def config_of(given: Fields, base: SessionConfig, able: Capabilities | None) -> SessionConfig:
    """Give the configuration that settings ask for; what they do not name is as in `base`."""
    wished = read_session(given or {"type": "realtime"}, ANY_RATE)
    if isinstance(wished, Complaint):  # they were checked when they came
        return base
    heard, spoken = wished.audio.input, wished.audio.output
    written = heard.transcription
    named = spoken.voice.id if isinstance(spoken.voice, Voice) else spoken.voice
    most = wished.max_output_tokens
    config = replace(
        base,
        voice=named or base.voice,
        instructions=_or(wished.instructions, base.instructions),
        modalities=_or(wished.output_modalities, base.modalities),
        turn_detection=_turns(heard.turn_detection, base.turn_detection),
        transcribe_user=isinstance(written, Transcription),
        tools=_tools(wished, base),
        tool_choice=_choice(wished, base),
        max_output_tokens=base.max_output_tokens if most is UNSET else _limit(most),
        report_input=False,
    )
    if isinstance(written, Transcription) and written.language:
        config = replace(config, language=written.language)
    if able is None:
        return config
    into, out = format_of(given, "input"), format_of(given, "output")
    return replace(
        config,
        input_format=into if into in able.audio_in else None,
        output_format=out if out in able.audio_out else None,
    )


def unfit(given: Fields, rates: Collection[int] = (PCM_24K.rate,)) -> Complaint | None:
    """Name what only the vendor's own server can do and a conversation would miss, if asked for.

    Noise reduction, speed, reasoning, truncation, tracing and `include` are passed over instead:
    they stand in the session object, and nobody heeds them.
    """
    wished = read_session(given, rates)
    if isinstance(wished, Complaint):
        return wished
    turns = wished.audio.input.turn_detection
    if wished.type == "transcription":
        what, param = "This server holds conversations only.", "type"
    elif isinstance(turns, Vad) and turns.create_response is False:
        what = "This server answers by itself when the user has spoken: use manual turns."
        param = "audio.input.turn_detection.create_response"
    elif wished.tools is not UNSET and any(isinstance(tool, Mcp) for tool in wished.tools):
        what, param = "This server has no tools of remote servers.", "tools"
    elif wished.prompt is not UNSET and wished.prompt is not None:
        what, param = "This server stores no prompts.", "prompt"
    else:
        return None
    return Complaint("invalid_value", what, f"session.{param}")


def _or(value: Any, other: Any) -> Any:  # noqa: ANN401 - of one type, whichever
    return other if value is UNSET else value


def _limit(most: int | Literal["inf"] | UnsetType) -> int | None:
    return most if isinstance(most, int) else None


def _turns(vad: ServerVad | SemanticVad | UnsetType | None, base: TurnDetection) -> TurnDetection:
    if vad is UNSET:
        return base
    if vad is None:
        return replace(base, mode="manual")
    authority = base.authority
    if vad.interrupt_response is False and authority == "provider":
        authority = "application"
    if isinstance(vad, SemanticVad):
        eagerness = _or(vad.eagerness, base.eagerness)
        return replace(base, mode="semantic", authority=authority, eagerness=eagerness)
    return replace(
        base,
        mode="server",
        authority=authority,
        threshold=_or(vad.threshold, base.threshold),
        prefix_ms=_or(vad.prefix_padding_ms, base.prefix_ms),
        silence_ms=_or(vad.silence_duration_ms, base.silence_ms),
        idle_timeout_ms=_or(vad.idle_timeout_ms, base.idle_timeout_ms),
    )


_NOTHING: Fields = {"type": "object", "properties": {}}


def _tools(wished: Wished, base: SessionConfig) -> tuple[ToolSpec, ...]:
    """Give the tools; their results are wanted though the user cuts in, as the client decides."""
    if wished.tools is UNSET:
        return base.tools
    return tuple(
        ToolSpec(tool.name, tool.description, _or(tool.parameters, _NOTHING), "finish")
        for tool in wished.tools
        if isinstance(tool, Function)
    )


def _choice(wished: Wished, base: SessionConfig) -> str:
    choice = wished.tool_choice
    if choice is UNSET:
        return base.tool_choice
    return choice if isinstance(choice, str) else choice.name or "auto"
