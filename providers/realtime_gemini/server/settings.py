"""Settings: a client's setup as the configuration of a session, and what a token fixes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from realtime_core.config import SessionConfig, ToolPolicy, ToolSpec, TurnDetection

from ..client_messages import Setup
from .book import Complaint, Fields, Lock
from .contents import words_of
from .wish import Function, Wish

__all__ = ("config_of", "locked", "unfit")

T = TypeVar("T")

_FREE = ("sessionResumption",)
"""What of a setup is always the client's."""
_NOTHING: Fields = {"type": "OBJECT", "properties": {}}


def config_of(setup: Setup, wish: Wish, base: SessionConfig) -> SessionConfig:
    """Give the configuration that a setup asks for; where it says nothing, the base holds.

    The model is the server's own. What a session has no word for is passed over: sampling beside
    the temperature, resolution, thinking, compression, affective dialog, proactivity, safety.
    """
    generation, told = wish.generation_config, setup.system_instruction
    voice = generation.speech_config.voice_config.prebuilt_voice_config.voice_name
    resumes = wish.session_resumption is not None
    return replace(
        base,
        voice=voice or base.voice,
        language=generation.speech_config.language_code or base.language,
        instructions=(words_of((told,)) if told is not None else "") or base.instructions,
        modalities=("text",) if wish.written else ("audio",),
        temperature=_or(generation.temperature, base.temperature),
        max_output_tokens=_or(generation.max_output_tokens, base.max_output_tokens),
        tools=base.tools if wish.tools is None else tuple(map(_tool, wish.functions)),
        turn_detection=_turns(wish, base.turn_detection),
        transcribe_user=resumes or setup.input_audio_transcription is not None,
        input_format=None,
        output_format=None,
        report_input=False,
    )


def unfit(setup: Setup) -> Complaint | None:
    """Name what only the vendor's own server can do and a conversation would miss."""
    for tool in setup.tools or ():
        other = sorted(name for name in tool if name != "functionDeclarations")
        if other:
            return Complaint(1007, f"This server has no tool {other[0]!r}: functions only.")
    return None


def _or(value: T | None, other: T | None) -> T | None:
    return other if value is None else value


def _turns(wish: Wish, base: TurnDetection) -> TurnDetection:
    detection = wish.realtime_input_config.automatic_activity_detection
    return replace(
        base,
        mode="manual" if wish.manual else base.mode,
        authority=base.authority if wish.interrupts else "application",
        prefix_ms=_or(detection.prefix_padding_ms, base.prefix_ms),
        silence_ms=_or(detection.silence_duration_ms, base.silence_ms),
    )


def _tool(one: Function) -> ToolSpec:
    """Give a function: an interruption voids its calls where a turn waits for them."""
    schema = one.parameters_json_schema or _json_schema(one.parameters or _NOTHING)
    policy: ToolPolicy = "finish" if one.behavior == "NON_BLOCKING" else "cancel"
    return ToolSpec(one.name, one.description, schema, policy)


def _json_schema(schema: Mapping[str, Any]) -> Fields:
    """Give a schema of the vendor's subset as JSON schema."""
    made: Fields = {}
    for name, value in schema.items():
        match name, value:
            case "type", str():
                made["type"] = value.lower()
            case "items", dict():
                made["items"] = _json_schema(cast("Fields", value))
            case "properties", dict():
                fields = cast("dict[str, Fields]", value)
                made["properties"] = {key: _json_schema(one) for key, one in fields.items()}
            case "anyOf", list():
                made["anyOf"] = [_json_schema(one) for one in cast("list[Fields]", value)]
            case (("nullable" | "propertyOrdering"), _):
                pass
            case _:
                made[name] = value
    if schema.get("nullable"):
        return {"anyOf": [made, {"type": "null"}]}
    return made


def locked(setup: Setup, lock: Lock) -> Setup:
    """Give a setup as a token lets it be; raises `msgspec.ValidationError` if that is none."""
    if not lock.setup and not lock.mask:
        return setup
    given: Fields = msgspec.to_builtins(setup)
    made: Fields = dict(given) if lock.mask else {}
    for name in lock.mask or tuple(lock.setup):
        _put(made, name.split("."), _at(lock.setup, name.split(".")))
    made.setdefault("model", given.get("model", ""))
    for name in _FREE:
        if name in given:
            made[name] = given[name]
    return msgspec.convert(made, Setup)


def _at(fields: Fields, path: list[str]) -> Any:  # noqa: ANN401 - JSON
    found: Any = fields
    for name in path:
        found = cast("Fields", found).get(name) if isinstance(found, dict) else None
    return found


def _put(fields: Fields, path: list[str], value: Any) -> None:  # noqa: ANN401 - JSON
    """Set a field of new objects; None takes it away."""
    *outer, last = path
    for name in outer:
        inner = fields.get(name)
        fields[name] = dict(cast("Fields", inner)) if isinstance(inner, dict) else {}
        fields = fields[name]
    if value is None:
        fields.pop(last, None)
    else:
        fields[last] = value
