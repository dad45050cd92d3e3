"""Fixtures: recorded runs as tests; the machine has to decide again what it decided then."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ..events import RealtimeEvent
from ..provider import Provider
from ..replaying import events, load, replayed
from ..state import Effect, Input, State, Transition
from ..trace import Trace

__all__ = ("Replayed", "replay")


class Replayed(NamedTuple):
    """A recorded run, as it went again."""

    trace: Trace
    events: tuple[RealtimeEvent, ...]
    """What a consumer gets that takes each event at once."""
    inputs: tuple[Input, ...]
    """What happened."""
    transitions: tuple[Transition, ...]
    """What followed of each."""

    @property
    def effects(self) -> tuple[Effect, ...]:
        """All that was done."""
        return tuple(effect for one in self.transitions for effect in one.effects)

    @property
    def states(self) -> tuple[State, ...]:
        """What was known before the first input, and after each."""
        return (self.trace.start, *(transition.state for transition in self.transitions))


def replay(path: str | Path, provider: Provider[Any] | None = None) -> Replayed:
    """Run a trace through the machine.

    The codec is that of `provider`, or of the provider of the recorded name. Raises
    `replaying.Diverged` at the first step that differs, `RealtimeException` for what is no trace.
    """
    trace = load(path)
    steps = tuple(replayed(trace, None if provider is None else provider.codec))
    return Replayed(
        trace,
        tuple(events(trace, steps)),
        tuple(given for given, _ in steps),
        tuple(transition for _, transition in steps),
    )
