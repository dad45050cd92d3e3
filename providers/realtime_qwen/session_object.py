"""The session object: an agreed session in the words of the Qwen-Omni models.

Two shapes are in use: `flat` (up to 3.5, the beta's) and `nested` (3.8). A setting that was not
asked for is left out, so that the server's own default stays.
"""

from __future__ import annotations

from typing import Any, cast

from realtime_core.audio.format import AudioFormat
from realtime_core.config import SessionConfig, TurnDetection
from realtime_core.plan import Plan
from realtime_openai import options as family
from realtime_openai.session_object import given, merged

from .models import Model, model_of
from .options import SAMPLING, Options

__all__ = ("LIMITS", "flat", "nested", "within")

Fields = dict[str, Any]

LIMITS: dict[str, tuple[float, float]] = {
    "threshold": (-1.0, 1.0),
    "silence_ms": (200, 6_000),
    "idle_timeout_ms": (5_000, 30_000),
}
"""Least and most of what `TurnDetection` may say; what lies outside is taken to the limit."""


def flat(plan: Plan, options: family.Options) -> Fields:
    """Give the session object of the models up to 3.5: all settings side by side."""
    fields = {
        "input_audio_format": "pcm",
        "output_audio_format": "pcm",
        **given(voice=plan.config.voice),
        **_common(plan.config, cast("Options", options)),
    }
    return merged(fields, options.session)


def nested(plan: Plan, options: family.Options) -> Fields:
    """Give the session object of 3.8: sound by direction, everything else as before."""
    fields = {
        "audio": {
            "input": {"format": _format(plan.input_format)},
            "output": {"format": _format(plan.output_format), **given(voice=plan.config.voice)},
        },
        **_common(plan.config, cast("Options", options)),
    }
    return merged(fields, options.session)


def within(name: str, value: float | None) -> float | None:
    """Take a setting of turns to its limits."""
    if value is None or name not in LIMITS:
        return value
    least, most = LIMITS[name]
    return min(max(value, least), most)


def _format(format: AudioFormat) -> Fields:
    return {"type": "pcm", "sample_rate": format.rate}


def _common(config: SessionConfig, options: Options) -> Fields:
    model = model_of(config.model)
    search = options.search if model.search else False
    compact = options.representation_compact if model.compact else None
    tools = tuple(
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
            },
        }
        for tool in config.tools
    )
    written = {"model": model.transcriber, **(options.transcription or {})}
    return {
        "modalities": ["text", "audio"] if "audio" in config.modalities else ["text"],
        "input_audio_transcription": written if config.transcribe_user else None,
        "turn_detection": _turns(config.turn_detection, model),
        **given(
            instructions=config.instructions,
            tools=tools,
            enable_search=True if search else None,
            search_options=search if isinstance(search, dict) else None,
            video=compact and {"input": {"representation_compact": compact}},
            **(_sampling(config, options) if model.sampling else {}),
            smooth_output=options.smooth_output if model.smooth else None,
        ),
    }


def _sampling(config: SessionConfig, options: Options) -> Fields:
    return {
        "temperature": config.temperature,
        "max_tokens": config.max_output_tokens,
        **{name: getattr(options, name) for name in SAMPLING},
    }


def _turns(turns: TurnDetection, model: Model) -> Fields | None:
    if turns.mode == "manual":
        return None
    semantic = turns.mode == "semantic" and model.semantic
    idle = turns.idle_timeout_ms if model.idle and not semantic else None
    return {
        "type": "semantic_vad" if semantic else "server_vad",
        **given(
            threshold=within("threshold", turns.threshold),
            prefix_padding_ms=turns.prefix_ms,
            silence_duration_ms=within("silence_ms", turns.silence_ms),
            idle_timeout_ms=within("idle_timeout_ms", idle),
        ),
    }
