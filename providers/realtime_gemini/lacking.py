"""What a model lacks of a wish: one `Warning` each, for what a setup cannot carry."""

from __future__ import annotations

from collections.abc import Iterator

from realtime_core.capability import Capabilities
from realtime_core.config import SessionConfig
from realtime_core.events import Warning

from .models import Model, Service, model_of
from .options import Options
from .setup import HOSTED, behaviour, name_of, service_of

__all__ = ("unmet",)


def unmet(capabilities: Capabilities, wish: SessionConfig, options: Options) -> tuple[Warning, ...]:
    """List the wishes that a setup for this model cannot carry."""
    name, service = name_of(wish, capabilities).rpartition("/")[2], service_of(capabilities)
    known = model_of(name)
    found = (*_unmet(known, wish), *_unmet_options(known, service, options))
    lacks = (Warning(field=field, why=f"{name} {why}") for lacking, field, why in found if lacking)
    return (*lacks, *_unmet_calls(name, known, wish, options))


def _unmet(known: Model, wish: SessionConfig) -> Iterator[tuple[bool, str, str]]:
    turns = wish.turn_detection
    automatic = turns.mode != "manual"
    yield (
        bool(wish.instructions) and not known.converses,
        "instructions",
        "only translates, and takes no instructions",
    )
    yield (
        bool(wish.language) and not known.language,
        "language",
        "chooses the language of its speech by itself",
    )
    yield wish.tool_choice not in {"auto", "none"}, "tool_choice", "calls tools as it sees fit"
    yield turns.mode == "semantic", "turn_detection.mode", "has one way to detect turns, its own"
    yield turns.idle_timeout_ms is not None, "turn_detection.idle_timeout_ms", "waits for ever"
    yield (
        automatic and turns.eagerness == "medium",
        "turn_detection.eagerness",
        "knows only low and high",
    )


def _unmet_options(
    known: Model, service: Service, options: Options
) -> Iterator[tuple[bool, str, str]]:
    levels = known.thinks in {"level", "required"}
    told = options.thinking_level
    yield told is not None and not levels, "options.thinking_level", "takes no level of thinking"
    yield (
        told == "minimal" and known.thinks == "required",
        "options.thinking_level",
        "thinks at least at level low",
    )
    yield (
        options.thinking_budget is not None and known.thinks != "budget",
        "options.thinking_budget",
        "takes no budget for thinking",
    )
    yield (
        options.include_thoughts is not None and known.thinks == "none",
        "options.include_thoughts",
        "takes no settings for thinking",
    )
    yield (
        options.affective_dialog is True and not known.affective,
        "options.affective_dialog",
        "has no affective dialog",
    )
    yield (
        options.proactive_audio is True and known.proactive == "no",
        "options.proactive_audio",
        "always answers",
    )
    yield (
        options.proactive_audio is False and known.proactive == "always",
        "options.proactive_audio",
        "always decides by itself whether to answer",
    )
    translation = options.target_language is not None or options.echo_target_language is not None
    yield translation and not known.translates, "options.target_language", "does not translate"
    for name, option in HOSTED.items():
        wished = getattr(options, option) is not False
        yield wished and name not in known.hosts, f"options.{option}", "does not offer it"
    vertex = service == "vertex"
    yield options.labels is not None and vertex, "options.labels", "takes no labels on Vertex"
    for option in ("explicit_vad_signal", "transparent"):
        given = getattr(options, option) is not None
        yield given and not vertex, f"options.{option}", "has it on Vertex alone"


def _unmet_calls(
    name: str, known: Model, wish: SessionConfig, options: Options
) -> Iterator[Warning]:
    names = {tool.name for tool in wish.tools}
    for tool, wished in options.behaviour.items():
        if tool in names and behaviour(tool, options, known) != wished:
            why = f"{name} calls every tool {behaviour(tool, options, known)}"
            yield Warning(field=f"options.behaviour.{tool}", why=why)
    for tool in options.scheduling:
        if tool not in names:
            continue
        if not known.schedules:
            why = f"{name} decides by itself when it speaks of a result"
            yield Warning(field=f"options.scheduling.{tool}", why=why)
        elif behaviour(tool, options, known) == "BLOCKING":
            why = "only results of calls that do not block are scheduled"
            yield Warning(field=f"options.scheduling.{tool}", why=why)
