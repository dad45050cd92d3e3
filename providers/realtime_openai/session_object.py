"""The session object: an agreed session in the words of a server of the OpenAI family.

Three shapes are in use: `nested` (GA), `flat` (the beta, Voice Live) and `mixed` (xAI). A setting
that was not asked for is left out, so that the server's own default stays.
"""

from __future__ import annotations

from typing import Any, cast

from realtime_core.audio.format import AudioFormat
from realtime_core.config import SessionConfig, TurnDetection
from realtime_core.plan import Plan

from .options import Options

__all__ = (
    "flat",
    "format_of",
    "given",
    "merged",
    "mixed",
    "nested",
    "replacing",
    "voice_live",
    "without",
)

Fields = dict[str, Any]

_UNSET: Fields = {
    "enable_search": False,
    "idle_timeout_ms": None,
    "include": [],
    "input_audio_noise_reduction": None,
    "instructions": "",
    "max_output_tokens": "inf",
    "max_response_output_tokens": "inf",
    "noise_reduction": None,
    "prompt": None,
    "search_options": {"enable_source": False},
    "speed": 1.0,
    "tools": [],
    "truncation": "auto",
}
"""What takes a setting back; others stay as they are."""
_GROUPS = frozenset({"audio", "input", "output", "turn_detection"})
_FLAT_NAMES = {"pcm16": "pcm16", "pcmu": "g711_ulaw", "pcma": "g711_alaw"}
_GA_NAMES = {"pcm16": "audio/pcm", "pcmu": "audio/pcmu", "pcma": "audio/pcma"}


def nested(plan: Plan, options: Options) -> Fields:
    """Give the session object of GA: audio settings by direction."""
    config = plan.config
    if options.purpose == "transcription":
        only = {"type": "transcription", "audio": {"input": _input(plan, options)}}
        return merged({**only, **given(include=options.include)}, options.session)
    fields = {
        "type": "realtime",
        "output_modalities": [_modality(config)],
        "audio": {
            "input": _input(plan, options),
            "output": {
                "format": format_of(plan.output_format),
                **given(voice=config.voice, speed=options.speed),
            },
        },
        **_common(config, options),
        **given(
            max_output_tokens=config.max_output_tokens,
            parallel_tool_calls=options.parallel_tool_calls,
            reasoning=options.reasoning_effort and {"effort": options.reasoning_effort},
            truncation=options.truncation,
            tracing=options.tracing,
            prompt=options.prompt,
            include=options.include,
        ),
    }
    return merged(fields, options.session)


def flat(plan: Plan, options: Options) -> Fields:
    """Give the session object of the beta: all settings side by side."""
    config = plan.config
    reduction = options.noise_reduction
    fields = {
        "modalities": ["text"] if _modality(config) == "text" else ["text", "audio"],
        "input_audio_format": _FLAT_NAMES[plan.input_format.encoding],
        "output_audio_format": _FLAT_NAMES[plan.output_format.encoding],
        "input_audio_transcription": _transcription(config, options),
        "turn_detection": _turns(config.turn_detection, options),
        **_common(config, options),
        **given(
            voice=config.voice,
            speed=options.speed,
            temperature=config.temperature,
            max_response_output_tokens=config.max_output_tokens,
            input_audio_noise_reduction=reduction and {"type": reduction},
            tracing=options.tracing,
        ),
    }
    return merged(fields, options.session)


def voice_live(plan: Plan, options: Options) -> Fields:
    """Give the session object of Azure Voice Live: flat, with the voice as an object."""
    voice = plan.config.voice
    made = "azure-standard" if "Neural" in voice else "openai"
    fields = {
        **flat(plan, options),
        "input_audio_sampling_rate": plan.input_format.rate,
        **given(voice=voice and {"type": made, "name": voice}),
    }
    return merged(fields, options.session)


def mixed(plan: Plan, options: Options) -> Fields:
    """Give the session object of xAI: audio formats nested, voice and turns beside them."""
    config = plan.config
    fields = {
        "turn_detection": _turns(config.turn_detection, options) or {"type": None},
        "audio": {
            "input": {
                "format": format_of(plan.input_format),
                **given(transcription=_transcription(config, options, "grok-transcribe")),
            },
            "output": {"format": format_of(plan.output_format)},
        },
        **_common(config, options),
        **given(voice=config.voice),
    }
    return merged(fields, options.session)


def replacing(before: Fields, after: Fields) -> Fields:
    """Add what takes back the settings that were asked for before and no longer are.

    A server keeps what an update does not name.
    """
    back = {name: _UNSET[name] for name in before if name not in after and name in _UNSET}
    within = {name: _within(name, before.get(name), value) for name, value in after.items()}
    return {**within, **back}


def _within(name: str, before: Any, after: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    if name not in _GROUPS or not (isinstance(before, dict) and isinstance(after, dict)):
        return after
    old, new = cast("Fields", before), cast("Fields", after)
    return replacing(old, new) if old.get("type") == new.get("type") else new


def without(fields: Fields, names: tuple[str, ...]) -> Fields:
    """Leave fields out; dots in a name lead into groups, and a group left empty goes too."""
    for name in names:
        group, _, rest = name.partition(".")
        inner = fields.get(group)
        if rest and isinstance(inner, dict):
            inner = without(cast("Fields", inner), (rest,))
        kept = {group: inner} if rest and inner else {}
        fields = {**{one: value for one, value in fields.items() if one != group}, **kept}
    return fields


def merged(fields: Fields, raw: Fields) -> Fields:
    """Add raw fields, at whatever depth."""
    return {**fields, **{name: _deep(fields.get(name), value) for name, value in raw.items()}}


def _deep(value: Any, raw: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    if not (isinstance(value, dict) and isinstance(raw, dict)):
        return raw
    return merged(cast("Fields", value), cast("Fields", raw))


def format_of(format: AudioFormat) -> Fields:
    """Give a format in the words of GA; G.711 has no rate to choose."""
    name = _GA_NAMES[format.encoding]
    return {"type": name, "rate": format.rate} if name == "audio/pcm" else {"type": name}


def _modality(config: SessionConfig) -> str:
    """Sound brings its transcript along; both by name are not accepted."""
    return "audio" if "audio" in config.modalities else "text"


def _common(config: SessionConfig, options: Options) -> Fields:
    tools = [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
        }
        for tool in config.tools
    ]
    tools += [{"type": "mcp", **tool} for tool in options.mcp]
    return {
        "tools": tools,
        "tool_choice": _choice(config.tool_choice),
        **given(instructions=config.instructions),
    }


def _choice(choice: str) -> str | Fields:
    """Give the mode, or the one function that is to be called."""
    if choice in {"auto", "none", "required"}:
        return choice
    return {"type": "function", "name": choice}


def _input(plan: Plan, options: Options) -> Fields:
    reduction = options.noise_reduction
    return {
        "format": format_of(plan.input_format),
        "transcription": _transcription(plan.config, options),
        "turn_detection": _turns(plan.config.turn_detection, options),
        **given(noise_reduction=reduction and {"type": reduction}),
    }


def _transcription(
    config: SessionConfig, options: Options, model: str = "gpt-4o-mini-transcribe"
) -> Fields | None:
    if not config.transcribe_user and options.purpose == "conversation":
        return None
    language = given(language=config.language)
    return {"model": model, **language, **(options.transcription or {})}


def _turns(turns: TurnDetection, options: Options) -> Fields | None:
    if turns.mode == "manual":
        return None
    answers: Fields = {}
    if options.purpose == "conversation":
        cuts = turns.authority == "provider" and turns.two_phase is None
        answers = {"create_response": options.create_response, "interrupt_response": cuts}
    if turns.mode == "semantic":
        return {"type": "semantic_vad", "eagerness": turns.eagerness, **answers}
    return {
        "type": "server_vad",
        **answers,
        **given(
            threshold=turns.threshold,
            prefix_padding_ms=turns.prefix_ms,
            silence_duration_ms=turns.silence_ms,
            idle_timeout_ms=turns.idle_timeout_ms,
        ),
    }


def given(**fields: Any) -> Fields:  # noqa: ANN401 - whatever JSON holds
    """Leave out what was not asked for."""
    return {name: value for name, value in fields.items() if value not in (None, "", ())}
