"""A small model of a barge-in in two phases, from its own words: what must begin and end a hold.

It is kept beside the machine by other means and never looks at what the machine holds.
"""

from __future__ import annotations

from typing import NamedTuple

from realtime_core.config import TwoPhase
from realtime_core.epoch import ItemId, ResponseId
from realtime_core.events import (
    Interrupted,
    Released,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    UserTranscript,
)
from realtime_core.frames import Frame, Hold, Interrupt, Release, Text
from realtime_core.state import Pushed, Rang, State, Timer
from tests.laws.model import Fact

__all__ = (
    "Held",
    "begins",
    "due",
    "ends",
    "expected",
    "goes_on",
    "is_notice",
    "policy",
    "words_needed",
)


class Held(NamedTuple):
    """A hold that is on."""

    since: float
    onset: float
    speaking: bool = False
    item: ItemId | None = None


def policy(state: State) -> TwoPhase:
    agreed = state.plan.config.turn_detection.two_phase
    return agreed or TwoPhase(confirm_ms=None, confirm_words=None)


def words_needed(state: State) -> int | None:
    plan = state.plan
    writes = plan.config.transcribe_user and plan.capabilities.user_transcripts
    return policy(state).confirm_words if writes else None


def due(state: State, held: Held) -> tuple[float, str]:
    """Give when time decides a hold, and what does."""
    deadline = held.since + policy(state).deadline_ms / 1000
    length = policy(state).confirm_ms
    if held.speaking and length is not None and held.onset + length / 1000 <= deadline:
        return held.onset + length / 1000, "duration"
    return deadline, "deadline"


def _frame(fact: Fact) -> Frame | None:
    return fact.step.given.frame if isinstance(fact.step.given, Pushed) else None


def is_notice(fact: Fact) -> bool:
    """Tell whether the provider says that it has interrupted what is in force."""
    if not isinstance(fact.said, Interrupted):
        return False
    named, step = fact.said.response, fact.step
    return named is None or named in fact.before.cut(step.before.epoch, step.given.at)


def _is_speech(fact: Fact) -> bool:
    turns = fact.step.before.plan.config.turn_detection
    return isinstance(fact.said, SpeechStarted) and turns.authority == "provider"


def begins(fact: Fact) -> bool:
    """Tell whether something begins a hold, where there is something to hold."""
    before = fact.step.before
    agreed = before.plan.config.turn_detection.two_phase is not None
    sound = isinstance(_frame(fact), Hold) or (agreed and (_is_speech(fact) or is_notice(fact)))
    return sound and not before.phase.ending and not _is_vacuous(fact)


def goes_on(held: Held | None, fact: Fact) -> Held:
    """Give a hold after a step that does not end it."""
    at, before = fact.step.given.at, fact.step.before
    held = held or Held(at, at)
    if isinstance(_frame(fact), Hold) or _is_speech(fact):
        named = fact.said.item if fact.said is not None else None
        onset = held.onset if held.speaking else at
        return held._replace(speaking=True, onset=onset, item=named or held.item)
    if isinstance(fact.said, SpeechStopped) and before.plan.config.turn_detection.two_phase:
        return held._replace(speaking=False)
    return held


def _is_vacuous(fact: Fact) -> bool:
    return fact.before.vacuous(fact.step.before.epoch, fact.step.given.at)


def ends(fact: Fact) -> list[tuple[str, str | None]]:
    """Give how a step ended a hold: what it says, and why."""
    return [
        ("cut", event.confirmed) if isinstance(event, Interrupted) else ("released", event.reason)
        for event in fact.step.events
        if isinstance(event, Interrupted | Released)
    ]


def expected(fact: Fact, held: Held) -> tuple[str, str | None] | None:
    """Give how a step must end a hold, if it must."""
    wish = _by_frame(fact) or _by_provider(fact, held) or _by_time(fact, held)
    if wish is not None and wish[0] == "cut" and wish[1] is not None and _is_vacuous(fact):
        return "released", "ended"
    return wish


def _by_frame(fact: Fact) -> tuple[str, str | None] | None:
    if fact.step.before.phase.ending:
        return None
    match _frame(fact):
        case Release():
            return "released", "app"
        case Interrupt(cause="local") if _is_vacuous(fact):
            return None
        case Interrupt():
            return "cut", None
        case Text(turn="interrupt"):
            return "cut", None
        case _:
            return None


def _by_provider(fact: Fact, held: Held) -> tuple[str, str | None] | None:
    before, needed = fact.step.before, words_needed(fact.step.before)
    agreed = before.plan.config.turn_detection.two_phase is not None
    match fact.said:
        case UserTranscript(item=item) if needed is not None:
            if item is not None and held.item is not None and item != held.item:
                return None
            if len(fact.said.text.split()) >= needed:
                return "cut", "words"
            return ("released", "words") if fact.said.final and not held.speaking else None
        case SpeechStopped() if agreed and needed is None:
            return "released", "ended"
        case ResponseStarted(response=id) if id is not None and _is_a_turn(fact, id):
            return "cut", "provider"
        case _ if not agreed and (_is_speech(fact) or is_notice(fact)) and not _is_vacuous(fact):
            return "cut", None
        case _:
            return None


def _is_a_turn(fact: Fact, id: ResponseId) -> bool:
    """Tell whether the provider begins, by itself, an answer to a new turn of the user."""
    assert isinstance(fact.said, ResponseStarted)
    before, known = fact.step.before, fact.before
    if id in known.gen or fact.said.request in known.sent or before.barrier:
        return False
    newest = list(known.gen)[-1:]
    calls = before.ledger.calls.values()
    answered = any(call.outcome == "sent" and call.response in newest for call in calls)
    return not answered or before.plan.capabilities.tool_reply == "create"


def _by_time(fact: Fact, held: Held) -> tuple[str, str | None] | None:
    given, before = fact.step.given, fact.step.before
    if not isinstance(given, Rang) or given.timer is not Timer.HOLD:
        return None
    at, why = due(before, held)
    if given.at < at - 1e-9:
        return None
    if why == "duration":
        return "cut", "duration"
    cut = policy(before).at_deadline == "confirm"
    return ("cut", "deadline") if cut else ("released", "deadline")
