"""Turn taking: from the probability of speech in each 32 ms frame to what a listener does about it.

A pure fold. Time is counted in samples of input audio at 16 kHz, never on a clock; nothing is
heard, recognised or sent here.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from .wording import wants_more

__all__ = (
    "FRAME",
    "Began",
    "Decision",
    "Ended",
    "Growing",
    "Paused",
    "Resumed",
    "Rules",
    "Turn",
    "finish",
    "finished",
    "hear",
    "judge",
)

FRAME = 512
"""Samples of one frame at 16 kHz: 32 ms."""


class Rules(msgspec.Struct, frozen=True, gc=False):
    """How a listener takes turns; durations in samples at 16 kHz."""

    threshold: float = 0.5
    """Probability above which a frame is speech."""
    frames: int = 2
    """Frames of speech in a row that begin a turn, or take it up again after a pause."""
    prefix: int = 5_120
    """Audio kept from before the first frame of speech: 320 ms."""
    early: int = 3_072
    """Silence that ends a turn of which the words say that it is over: 192 ms."""
    late: int | None = 12_800
    """Silence that ends a turn in any case: 800 ms; None: silence ends none."""
    least: int = 3_200
    """Speech shorter than this, 200 ms, is a noise."""
    growth: int = 5_120
    """Speech after which it is worth to write down what was said so far: 320 ms."""
    longest: int = 960_000
    """A turn is over after a minute in any case."""


class Turn(msgspec.Struct, frozen=True, gc=False):
    """Where a listener stands; the value it begins with is `Turn()`."""

    at: int = 0
    """Samples heard."""
    run: int = 0
    """Frames of speech in a row up to here."""
    start: int | None = None
    """Where the turn's audio begins; None while nobody speaks."""
    voiced: int = 0
    """Samples of speech in this turn."""
    end: int = 0
    """Where the last frame of speech ended."""
    paused: bool = False
    pause: int = 0
    """Number of the latest pause, over all turns."""
    over: bool = False
    """Whether the words before this pause were judged to end the turn."""
    written: int = 0
    """Speech in this turn when growth was last announced."""


class Began(NamedTuple):
    """Somebody began to speak at `onset`; the audio worth keeping begins at `start`."""

    start: int
    onset: int


class Growing(NamedTuple):
    """There is more speech than at the last such decision: from `start` to `end`."""

    start: int
    end: int


class Paused(NamedTuple):
    """The speaker fell silent; the audio from `start` to `end` may be all of the turn."""

    pause: int
    start: int
    end: int


class Resumed(NamedTuple):
    """The speaker went on: what was concluded from this pause is void."""

    pause: int


class Ended(NamedTuple):
    """The turn is over: its audio, where its speech ended, and whether it was speech at all.

    `pause` names the pause it ended in, None where it was cut short while somebody spoke.
    """

    start: int
    end: int
    speech_end: int
    enough: bool
    pause: int | None


Decision = Began | Growing | Paused | Resumed | Ended
Step = tuple[Turn, tuple[Decision, ...]]


def hear(turn: Turn, rules: Rules, probability: float) -> Step:
    """Take in one frame."""
    at = turn.at + FRAME
    if probability > rules.threshold:
        return _loud(replace(turn, at=at, run=turn.run + 1), rules)
    if turn.start is None:
        return replace(turn, at=at, run=0), ()
    return _quiet(replace(turn, at=at, run=0), turn.start, rules)


def judge(turn: Turn, rules: Rules, pause: int, over: bool) -> Step:
    """Take in whether the words before a pause end the turn; void when the speaker went on."""
    if turn.start is None or not turn.paused or turn.pause != pause:
        return turn, ()
    return _settle(replace(turn, over=over), turn.start, rules)


def finish(turn: Turn, rules: Rules) -> Step:
    """End the turn now, whatever the speaker does; nothing where nobody speaks."""
    return (turn, ()) if turn.start is None else _end(turn, turn.start, rules)


def _loud(turn: Turn, rules: Rules) -> Step:
    if turn.start is None:
        return _begin(turn, rules) if turn.run >= rules.frames else (turn, ())
    turn = replace(turn, voiced=turn.voiced + FRAME, end=turn.at)
    decisions = list[Decision]()
    if turn.paused and turn.run >= rules.frames:
        turn = replace(turn, paused=False, over=False)
        decisions.append(Resumed(turn.pause))
    start = turn.start or 0
    if turn.at - start >= rules.longest:
        turn, ended = _end(turn, start, rules)
        return turn, (*decisions, *ended)
    if not turn.paused and turn.voiced - turn.written >= rules.growth:
        turn = replace(turn, written=turn.voiced)
        decisions.append(Growing(start, turn.at))
    return turn, tuple(decisions)


def _begin(turn: Turn, rules: Rules) -> Step:
    voiced = rules.frames * FRAME
    onset = turn.at - voiced
    start = max(turn.end, onset - rules.prefix, 0)
    begun = replace(
        turn, start=start, voiced=voiced, end=turn.at, paused=False, over=False, written=0
    )
    return begun, (Began(start, onset),)


def _quiet(turn: Turn, start: int, rules: Rules) -> Step:
    if turn.paused:
        return _settle(turn, start, rules)
    paused = replace(turn, paused=True, pause=turn.pause + 1, over=False)
    settled, decisions = _settle(paused, start, rules)
    return settled, (Paused(paused.pause, start, turn.at), *decisions)


def _settle(turn: Turn, start: int, rules: Rules) -> Step:
    silence = turn.at - turn.end
    late = rules.late is not None and silence >= rules.late
    early = turn.over and silence >= rules.early and rules.late is not None
    whole = turn.at - start >= rules.longest
    return _end(turn, start, rules) if early or late or whole else (turn, ())


def _end(turn: Turn, start: int, rules: Rules) -> Step:
    ended = Ended(
        start=start,
        end=turn.at,
        speech_end=turn.end,
        enough=turn.voiced >= rules.least,
        pause=turn.pause if turn.paused else None,
    )
    return replace(turn, start=None, run=0, voiced=0, paused=False, over=False), (ended,)


def finished(text: str, probability: float) -> bool:
    """Tell from the words before a pause, and the sound of them, whether the turn is over.

    A question mark or a probability above one half says yes, except after a word that wants
    another; at the end of a question, said as such, only few words do.
    """
    likely, asked = probability > 0.5, text.rstrip().endswith("?")
    return (likely or asked) and not wants_more(text, question=likely and asked)
