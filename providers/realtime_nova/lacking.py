"""What a model lacks of a wish: one `Warning` each, for what the first events cannot carry."""

from __future__ import annotations

from collections.abc import Iterator

from realtime_core.config import SessionConfig
from realtime_core.events import Warning

from .models import Model, voice_for

__all__ = ("unmet",)


def unmet(name: str, model: Model, wish: SessionConfig) -> tuple[Warning, ...]:
    """List the wishes that a session with this model cannot fulfil."""
    found = (*_turns(wish), *_words(model, wish))
    return tuple(Warning(field=f, why=f"{name} {why}") for lacking, f, why in found if lacking)


def _turns(wish: SessionConfig) -> Iterator[tuple[bool, str, str]]:
    turns = wish.turn_detection
    one = "has one way to detect turns, its own; `eagerness` sets how soon it answers"
    yield turns.mode == "semantic", "turn_detection.mode", one
    for field in ("threshold", "prefix_ms", "silence_ms"):
        yield getattr(turns, field) is not None, f"turn_detection.{field}", one
    idle = turns.idle_timeout_ms is not None
    yield idle, "turn_detection.idle_timeout_ms", "waits for ever"


def _words(model: Model, wish: SessionConfig) -> Iterator[tuple[bool, str, str]]:
    names = {"auto", "none", "required", *(tool.name for tool in wish.tools)}
    choice = wish.tool_choice not in names
    yield choice, "tool_choice", "is given no tool of this name, and calls tools as it sees fit"
    writes = "always writes down what the user says; the next connection is told of it"
    yield not wish.transcribe_user, "transcribe_user", writes
    voice = voice_for(model, wish.voice, wish.language)
    tag = wish.language.replace("_", "-").casefold()
    spoken = model.voices.get(voice, "").casefold()
    others = tag[:2] in model.languages and (voice in model.polyglot or voice not in model.voices)
    foreign = bool(tag) and not others and spoken[:2] != tag[:2]
    yield foreign, "language", f"has no such language for the voice {voice!r}"
