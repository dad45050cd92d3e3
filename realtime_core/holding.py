"""Holding: a barge-in in two phases, held at the onset of sound, then cut or released.

A hold moves no epoch and loses nothing: the answer falls silent and keeps its place. What confirms
it leads into the one transition of interruption; what releases it lets the answer go on.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from .config import TwoPhase
from .epoch import ItemId, ResponseId
from .events import Confirmed, Held, Released, UserTranscript
from .interruption import interrupt
from .moment import Moment, arm, emit, let_go, played
from .state import Holding, Pause, State, Timer
from .turn import open_responses, put_response, running

__all__ = ("confirm", "decide", "hold", "hold_cut", "release_hold", "speech_stopped", "weigh")


def hold(
    state: State, now: Moment, cause: Literal["provider", "local"], item: ItemId | None = None
) -> State:
    """Fall silent and keep the place, if something could be cut; `item` is what is being said."""
    known = state.holding or _begun(state, now, cause)
    if known is None:
        return state
    onset = known.onset if known.speaking else now.at
    known = replace(known, onset=onset, speaking=True, item=item or known.item)
    return _wait(replace(state, holding=known), now)


def hold_cut(state: State, now: Moment, named: ResponseId | None) -> State:
    """Hold what the provider has cut by itself; whether somebody still speaks it does not say."""
    known = state.holding or _begun(state, now, "provider")
    if known is None:
        return state
    ledger = state.ledger
    for id in open_responses(ledger) if named is None else (named,):
        ledger = put_response(ledger, id, replace(ledger.responses[id], cancelled=True))
    return _wait(replace(state, ledger=ledger, holding=replace(known, partial=True)), now)


def _begun(state: State, now: Moment, cause: Literal["provider", "local"]) -> Holding | None:
    asked = any(not request.doomed for request in state.ledger.requests)
    if not asked and not running(state.ledger, state.epoch, now.delivered, played(state, now.at)):
        return None
    now.effects.append(Pause(on=True))
    emit(state, now, Held(cause=cause))
    return Holding(cause, since=now.at, onset=now.at)


def _policy(state: State) -> TwoPhase:
    """Give what decides a hold; where none was agreed, the application and the deadline do."""
    agreed = state.plan.config.turn_detection.two_phase
    return agreed if agreed is not None else TwoPhase(confirm_ms=None, confirm_words=None)


def _words_needed(state: State) -> int | None:
    writes = state.plan.config.transcribe_user and state.plan.capabilities.user_transcripts
    return _policy(state).confirm_words if writes else None


def _due(state: State, holding: Holding) -> tuple[float, bool]:
    """Give when a hold is decided if nothing else decides it, and whether its length does."""
    policy = _policy(state)
    deadline = holding.since + policy.deadline_ms / 1000
    if not holding.speaking or policy.confirm_ms is None:
        return deadline, False
    confirmed = holding.onset + policy.confirm_ms / 1000
    return (confirmed, True) if confirmed <= deadline else (deadline, False)


def _wait(state: State, now: Moment) -> State:
    assert state.holding is not None  # noqa: S101 - asked of a held state
    return arm(state, now, Timer.HOLD, max(0.0, _due(state, state.holding)[0] - now.at))


def decide(state: State, now: Moment) -> State:
    """Cut or release what has been held for as long as it may be."""
    assert state.holding is not None  # noqa: S101 - the timer is disarmed with the hold
    if _due(state, state.holding)[1]:
        return confirm(state, now, "duration")
    if _policy(state).at_deadline == "confirm":
        return confirm(state, now, "deadline")
    return release_hold(state, now, "deadline")


def speech_stopped(state: State, now: Moment) -> State:
    """Release what is held, unless words may still confirm it."""
    if state.holding is None or state.plan.config.turn_detection.two_phase is None:
        return state
    if _words_needed(state) is None:
        return release_hold(state, now, "ended")
    return _wait(replace(state, holding=replace(state.holding, speaking=False)), now)


def weigh(state: State, now: Moment, event: UserTranscript) -> State:
    """Cut what is held once enough words were recognised; release it where they were too few."""
    holding, needed = state.holding, _words_needed(state)
    if holding is None or needed is None:
        return state
    if event.item is not None and holding.item is not None and event.item != holding.item:
        return state
    if len(event.text.split()) >= needed:
        return confirm(state, now, "words")
    return release_hold(state, now, "words") if event.final and not holding.speaking else state


def confirm(state: State, now: Moment, by: Confirmed) -> State:
    """Cut what is held; where it has all been heard after all, nothing is left to cut."""
    if state.holding is None:
        return state
    cut = interrupt(state, now, state.holding.cause, confirmed=by)
    return cut if cut.holding is None else release_hold(state, now, "ended")


def release_hold(
    state: State, now: Moment, reason: Literal["app", "ended", "words", "deadline"]
) -> State:
    """Let what is held go on where it was held."""
    holding = state.holding
    if holding is None:
        return state
    emit(state, now, Released(reason=reason, partial=holding.partial))
    return let_go(state, now)
