"""The life of a session: connecting, open, (resuming, open)*, closing, closed.

Nothing happens after closed; `Disconnected` is the last event. Frames of an older connection never
change anything.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace
from returns.maybe import Some

from .codec import Resume
from .errors import RealtimeError, TimedOut, Unavailable
from .events import Connected, Disconnected, Dropped, Reconnected, SessionEnding
from .frames import Close
from .holding import decide, release_hold
from .interruption import interrupt, report_left, report_overdue, settle_all, settle_stale
from .moment import Moment, absorb, arm, disarm, emit, tell
from .requests import release, user_silent
from .schedule import Attempt
from .state import Begun, Dial, Disarm, Hangup, Linked, Lost, Phase, Rang, Shed, State, Timer

__all__ = ("begin", "close", "connected", "linked", "lost", "rang", "shed")

_REPORT_EVERY = 1.0
"""Seconds between reports of the same kind of drop."""
_NOTICE = 60.0
"""Seconds ahead of a provider's own limit, or half of a limit that is short."""


def begin(state: State, now: Moment, given: Begun) -> State:  # noqa: ARG001 - one form for all
    """Dial for the first time."""
    return _dial(state, now)


def _dial(state: State, now: Moment) -> State:
    now.effects.append(Dial(state.conn))
    return arm(state, now, Timer.CONNECT, state.plan.config.connect_timeout)


def linked(state: State, now: Moment, given: Linked) -> State:
    """Greet the provider, with what a lost connection left behind."""
    if given.conn != state.conn or not state.phase.waiting:
        return state
    resume = None
    if state.phase is Phase.RESUMING:
        resume = Resume(state.conn, state.handle, state.conversation)
    return absorb(state, now, now.codec.greet(state.plan, resume))


def connected(state: State, now: Moment, event: Connected) -> State:
    """Open: the provider has acknowledged the session."""
    if not state.phase.waiting:
        return state
    resumed = state.phase is Phase.RESUMING
    state = disarm(replace(state, phase=Phase.OPEN, attempts=0), now, Timer.CONNECT)
    if resumed:
        emit(state, now, _reconnected(state))
    else:
        emit(state, now, replace(event, session_id=state.session_id))
        for warning in state.plan.warnings:
            emit(state, now, warning)
    limit = state.plan.capabilities.session_seconds
    if limit is not None:
        state = arm(state, now, Timer.ENDING, limit - _notice(limit))
    return release(state, now)


def _notice(limit: float) -> float:
    """Give how many seconds ahead of a provider's own limit the end is told."""
    return min(_NOTICE, limit / 2)


def _reconnected(state: State) -> Reconnected:
    able = state.plan.capabilities
    if state.handle is not None and able.resumption == "handle":
        return Reconnected(restored="handle")
    if able.history:
        return Reconnected(restored="history", lost=("sound of earlier turns",))
    return Reconnected(restored="nothing", lost=("the conversation",))


def lost(state: State, now: Moment, given: Lost) -> State:
    """Settle what the connection took with it, then try again or end."""
    if given.conn != state.conn:
        return state
    if state.phase is Phase.CLOSING:
        return _finish(state, now)
    error = given.error or Unavailable(
        what="The provider closed the connection.", cause="it ended the session by itself"
    )
    if state.phase is Phase.OPEN:
        state = replace(state, phase=Phase.RESUMING)
    state = release_hold(interrupt(state, now, "connection"), now, "ended")
    state = settle_all(state, now, "lost", error)
    state = disarm(disarm(state, now, Timer.SETTLE), now, Timer.CONNECT)
    now.effects.append(Hangup(state.conn))
    now.pending.clear()
    since = state.failing_since if state.attempts else now.at
    attempt = Attempt(state.attempts, now.at - since, given.random)
    delay = state.plan.config.retry.delay(attempt) if error.retryable else None
    if not isinstance(delay, Some):
        return _finish(replace(state, ending=error), now)
    state = replace(
        state,
        conn=state.conn + 1,
        codec=None,
        attempts=state.attempts + 1,
        failing_since=since,
    )
    return arm(state, now, Timer.RETRY, delay.unwrap())


def close(state: State, now: Moment) -> State:
    """End by the owner's wish: fall silent, take leave of the provider, wait for it briefly."""
    was = state.phase
    state = replace(state, phase=Phase.CLOSING)
    state = release_hold(interrupt(state, now, "close"), now, "ended")
    state = settle_all(state, now, "closed", None)
    if was is Phase.OPEN:
        state, _ = tell(state, now, Close())
    now.effects.append(Hangup(state.conn))
    if Timer.RETRY in state.due:
        return _finish(state, now)
    state = disarm(disarm(state, now, Timer.SETTLE), now, Timer.CONNECT)
    return arm(state, now, Timer.CLOSE, state.plan.config.close_timeout)


def _finish(state: State, now: Moment) -> State:
    state = report_left(state, now, tuple(state.ledger.calls))
    for timer in state.due:
        now.effects.append(Disarm(timer))
    state = _report(state, now)
    ending = state.ending
    reason = "closed" if ending is None else ending.what
    emit(state, now, Disconnected(reason=reason, clean=ending is None, error=ending))
    return replace(state, phase=Phase.CLOSED, due={})


def rang(state: State, now: Moment, given: Rang) -> State:
    """Do what was put off until now."""
    timer = given.timer
    if now.at < state.due.get(timer, float("inf")):
        return state
    state = replace(state, due={t: due for t, due in state.due.items() if t is not timer})
    match timer:
        case Timer.CONNECT:
            mute = Lost(at=now.at, conn=state.conn, error=_mute(state), random=given.random)
            return lost(state, now, mute)
        case Timer.SETTLE:
            return settle_stale(state, now)
        case Timer.HOLD:
            return decide(state, now)
        case Timer.GRACE:
            return report_overdue(state, now)
        case Timer.TURN:
            return user_silent(state, now)
        case Timer.RETRY:
            return _dial(state, now)
        case Timer.CLOSE:
            return _finish(state, now)
        case Timer.REPORT:
            return _report(state, now)
        case Timer.ENDING:
            return _ending(state, now)
        case _:
            assert_never(timer)


def _ending(state: State, now: Moment) -> State:
    limit = state.plan.capabilities.session_seconds
    assert limit is not None  # noqa: S101 - the timer is armed where there is one
    emit(state, now, SessionEnding(left=_notice(limit)))
    return state


def _mute(state: State) -> RealtimeError:
    return TimedOut(
        what=f"{state.plan.capabilities.provider} did not acknowledge the session within"
        f" {state.plan.config.connect_timeout:g} s.",
        cause="the network or the provider is slow, or the address is wrong",
        fix="Try again, or raise `connect_timeout`.",
    )


def shed(state: State, now: Moment, given: Shed) -> State:
    """Count drops, and report them at a bounded rate."""
    key = (given.lane, given.reason)
    items, ms = state.shed.get(key, (0, 0.0))
    state = replace(state, shed={**state.shed, key: (items + given.count, ms + given.ms)})
    if Timer.REPORT in state.due:
        return state
    wait = state.last_report + _REPORT_EVERY - now.at
    return _report(state, now) if wait <= 0 else arm(state, now, Timer.REPORT, wait)


def _report(state: State, now: Moment) -> State:
    for (lane, reason), (items, ms) in state.shed.items():
        emit(state, now, Dropped(lane=lane, reason=reason, count=items, ms=ms))
    return replace(state, shed={}, last_report=now.at)
