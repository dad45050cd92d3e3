"""The guard: invariants cheap enough to be watched in production, over each transition.

A broken one is a defect of this library: the session is fenced and goes on, the violation is
counted, and the last transitions are kept as evidence.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from .epoch import Epoch
from .events import AudioOutput, Interrupted
from .state import Emit, Fence, Input, Phase, State, Transition

__all__ = ("Guard", "Passed", "broken")

_KEPT = 200


class Passed(NamedTuple):
    """One transition without what it carried: enough to see how a session came to where it is."""

    at: float
    given: str
    phase: Phase
    epoch: Epoch
    conn: int
    effects: tuple[str, ...]
    broken: str = ""
    """The invariant that this transition broke."""


class Guard:
    """Watches the transitions of one session, and keeps the last 200."""

    __slots__ = ("_passed", "violations")

    def __init__(self) -> None:
        self._passed = deque[tuple[float, type, Phase, Epoch, int, list[type], str]](maxlen=_KEPT)
        self.violations = 0

    def watch(self, before: State, given: Input, transition: Transition) -> bool:
        """Take note of a transition; tell whether it is sound."""
        after, found = transition.state, broken(before, transition)
        kinds = [type(effect) for effect in transition.effects]
        self._passed.append(
            (given.at, type(given), after.phase, after.epoch, after.conn, kinds, found)
        )
        self.violations += bool(found)
        return not found

    @property
    def passed(self) -> tuple[Passed, ...]:
        """The last transitions, oldest first."""
        return tuple(
            Passed(at, given.__name__, phase, epoch, conn, tuple(k.__name__ for k in kinds), found)
            for at, given, phase, epoch, conn, kinds, found in self._passed
        )


def broken(before: State, transition: Transition) -> str:
    """Name the invariant that a transition breaks, by number and in words; empty if none."""
    after, epoch, announced = transition.state, before.epoch, before.epoch
    for effect in transition.effects:
        if type(effect) is Fence:
            if effect.epoch != epoch + 1:
                return "2: the epoch rises by one"
            epoch = effect.epoch
        elif type(effect) is Emit:
            event = effect.event
            if event.epoch != epoch:
                return "2: an event bears the epoch in force"
            if type(event) is AudioOutput:
                if _stale(after, event):
                    return "4: no stale output"
            elif type(event) is Interrupted:
                announced = event.epoch
                if any(part.samples > part.received for part in event.heard):
                    return "17: heard never passes received"
            elif announced != epoch:
                return "2: a rise is announced before anything else"
    if after.epoch != epoch or announced != epoch:
        return "2: each rise is fenced and announced"
    return _life(before, after)


def _stale(after: State, event: AudioOutput) -> bool:
    known = after.ledger.responses.get(event.response) if event.response is not None else None
    return known is not None and known.epoch != event.epoch


def _life(before: State, after: State) -> str:
    if after.conn < before.conn:
        return "2: the connection's number never falls"
    if after.phase is before.phase:
        return ""
    gone = before.phase is Phase.CLOSED or after.phase is Phase.CONNECTING
    if gone or (before.phase is Phase.CLOSING and after.phase is not Phase.CLOSED):
        return "37: connecting, open, (resuming, open)*, closing, closed"
    return ""
