"""The dialects of the Qwen-Omni models: OpenAI's beta with changes, as values.

One per shape of the session object; which a model speaks stands in the table of models.
"""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace
from returns.result import Failure, Success

from realtime_core.config import SessionConfig, TurnDetection
from realtime_core.errors import Unsupported
from realtime_core.events import Warning
from realtime_openai.dialect import Checked, Dialect

from .client_events import Finish
from .models import KINDRED, Model, capabilities, is_known, model_of
from .options import FOREIGN, SAMPLING, Options
from .pictures import show
from .session_object import LIMITS, flat, nested, within

__all__ = ("DIALECTS", "FLAT", "NESTED", "check", "dialect_of")


def check(config: SessionConfig) -> Checked:
    """Refuse what no server of this kind does; tell what this model does not."""
    model = model_of(config.model)
    refused = _refusal(config)
    if refused is not None:
        return Failure(refused)
    told: list[Warning] = []
    if config.model and not is_known(config.model):
        why = "it is not known here, and is spoken to as the newest"
        told.append(Warning(field="model", why=why))
    why = f"{config.model or 'the model'} has no such setting"
    told += [Warning(field=name, why=why) for name in _lacking(config, model)]
    if config.tool_choice != "auto":
        told.append(Warning(field="tool_choice", why="qwen chooses tools by itself"))
    return Success((*told, *_of_turns(config.turn_detection, model)))


def _lacking(config: SessionConfig, model: Model) -> list[str]:
    """Name the settings that are asked for and that this model does not have."""
    asked = {f"options.{name}": value for name, value in config.options.items()} | {
        "temperature": config.temperature,
        "max_output_tokens": config.max_output_tokens,
        "options.search": config.options.get("search") or None,
    }
    has = {
        **dict.fromkeys(("temperature", "max_output_tokens"), model.sampling),
        "options.search": model.search,
        "options.smooth_output": model.smooth,
        "options.representation_compact": model.compact,
        **dict.fromkeys((f"options.{name}" for name in SAMPLING), model.sampling),
    }
    return [name for name, can in has.items() if not can and asked.get(name) is not None]


def _of_turns(turns: TurnDetection, model: Model) -> list[Warning]:
    told: list[Warning] = []
    semantic = turns.mode == "semantic"
    if semantic and not model.semantic:
        why = "this model tells turns by loudness alone"
        told.append(Warning(field="turn_detection.mode", why=why))
    if semantic and turns.eagerness != "auto":
        told.append(Warning(field="turn_detection.eagerness", why="qwen has no such setting"))
    if turns.mode == "server" and turns.idle_timeout_ms is not None and not model.idle:
        why = "this model does not speak up by itself"
        told.append(Warning(field="turn_detection.idle_timeout_ms", why=why))
    for name, (least, most) in LIMITS.items():
        value = cast("float | None", getattr(turns, name))
        if within(name, value) != value:
            why = f"qwen takes {least:g} to {most:g}; {within(name, value):g} is used"
            told.append(Warning(field=f"turn_detection.{name}", why=why))
    return told


def _refusal(config: SessionConfig) -> Unsupported | None:
    turns, model = config.turn_detection, config.model
    if any(part in model for part in KINDRED):
        return Unsupported(
            what=f"The model {model!r} speaks another protocol.",
            cause="it translates, transcribes or speaks, and is not of the Omni kind",
            fix="Choose a model such as qwen3.8-omni-flash-realtime.",
            field="model",
        )
    if config.options.get("search") and config.tools:
        return Unsupported(
            what="Search and tools cannot be had together.",
            cause="the provider offers one or the other in a session",
            fix="Leave out `options.search`, or the tools.",
            field="options.search",
        )
    others = turns.authority != "provider" or turns.two_phase is not None
    if turns.mode != "manual" and others:
        return Unsupported(
            what="The provider alone decides here when the user cuts in.",
            cause="where it detects turns it interrupts by itself, and cannot be told not to",
            fix='Choose `TurnDetection(mode="manual")`, or leave authority and two_phase alone.',
            field="turn_detection.authority",
        )
    return None


FLAT = Dialect(
    capabilities("qwen3.5-omni-flash-realtime"),
    flat,
    assistant_text="text",
    modalities="modalities",
    marks=False,
    purposes=("conversation",),
    lacks=("language", *FOREIGN),
    of_loudness=("idle_timeout_ms",),
    options=Options,
    check=check,
    fixed=("purpose", "representation_compact"),
    settled=("input_audio_format", "output_audio_format"),
    wishes=frozenset({"instructions", "modalities"}),
    roles=("user",),
    names_cancelled=False,
    commits_any=False,
    picture=show,
    farewell=(Finish(),),
)
"""The models up to 3.5."""

NESTED = replace(
    FLAT,
    capabilities=capabilities(),
    session=nested,
    settled=("audio.input", "audio.output.format", "video"),
)
"""3.8."""

DIALECTS = {"flat": FLAT, "nested": NESTED}
"""By the shape of the session object."""


def dialect_of(model: str) -> Dialect:
    """Give the dialect of a model."""
    return DIALECTS[model_of(model).form]
