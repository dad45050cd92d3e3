"""The life of a session: connecting, open, (resuming, open)*, closing, closed.

Nothing happens after closed; `Disconnected` is the last event. Frames of an older connection never
change anything.
"""

from __future__ import annotations

from msgspec.structs import replace

from .codec import Resume
from .events import Connected, Disconnected, Dropped, Reconnected, Warning
from .frames import Close
from .history import fitted
from .holding import release_hold
from .interruption import interrupt, report_left, settle_all
from .moment import Moment, absorb, arm, disarm, emit, tell
from .requests import release
from .state import Begun, Dial, Disarm, Hangup, Linked, Phase, Shed, Standby, State, Timer

__all__ = (
    "begin",
    "close",
    "connected",
    "dial",
    "finish",
    "greet",
    "linked",
    "notice",
    "report",
    "shed",
)

_REPORT_EVERY = 1.0
"""Seconds between reports of the same kind of drop."""
_NOTICE = 60.0
"""Seconds ahead of a provider's own limit, or half of a limit that is short."""


def begin(state: State, now: Moment, given: Begun) -> State:  # noqa: ARG001 - one form for all
    """Dial for the first time."""
    return dial(state, now)


def dial(state: State, now: Moment) -> State:
    """Make a connection, and wait for it no longer than may be."""
    now.effects.append(Dial(state.conn))
    return _await_welcome(state, now)


def _await_welcome(state: State, now: Moment) -> State:
    return arm(state, now, Timer.CONNECT, state.plan.config.connect_timeout)


def linked(state: State, now: Moment, given: Linked) -> State:
    """Greet the provider over a connection that stands, or keep that one for later."""
    if state.standby is Standby.DIALLED and given.conn == state.conn + 1:
        return replace(state, standby=Standby.STANDS)
    if given.conn != state.conn or not state.phase.waiting:
        return state
    return greet(state, now)


def greet(state: State, now: Moment) -> State:
    """Say what is wanted, and what an earlier connection left behind."""
    if state.phase is not Phase.RESUMING:
        return absorb(state, now, now.codec.greet(state.plan, None))
    able = state.plan.capabilities
    whole, _ = fitted(state.conversation)
    kept, left_out = fitted(whole, able.history_limits)
    handle = state.handle if able.resumption == "handle" else None
    resume = Resume(state.conn, handle, kept, state.unanswered, state.left)
    state = replace(state, resumed="handle" if handle is not None else "history")
    words = f"the oldest {left_out} of {left_out + len(kept)} entries"
    if handle is None and left_out and words not in state.gone:
        state = replace(state, gone=(*state.gone, words))
    return absorb(state, now, now.codec.greet(state.plan, resume))


def connected(state: State, now: Moment, event: Connected) -> State:
    """Open: the provider has acknowledged the session."""
    if not state.phase.waiting:
        return state
    resumed = state.phase is Phase.RESUMING
    state = disarm(replace(state, phase=Phase.OPEN, opened_at=now.at), now, Timer.CONNECT)
    if resumed:
        emit(state, now, _reconnected(state))
    else:
        emit(state, now, replace(event, session_id=state.session_id))
    if state.moved:
        emit(state, now, Warning(field="provider", why=state.moved))
    for warning in () if resumed and not state.moved else state.plan.warnings:
        emit(state, now, warning)
    state = replace(state, gone=(), unanswered=(), left=None, moved="")
    limit = state.plan.capabilities.session_seconds
    if limit is not None:
        state = arm(state, now, Timer.ENDING, limit - notice(limit))
    return release(state, now)


def notice(limit: float) -> float:
    """Give how many seconds ahead of a provider's own limit the end is told."""
    return min(_NOTICE, limit / 2)


def _reconnected(state: State) -> Reconnected:
    able = state.plan.capabilities
    who = able.provider if state.moved else ""
    if state.resumed == "handle":
        return Reconnected(restored="handle", lost=state.gone, provider=who)
    if able.history:
        lost = ("sound of earlier turns", *state.gone)
        return Reconnected(restored="history", lost=lost, provider=who)
    return Reconnected(restored="nothing", lost=("the conversation",), provider=who)


def close(state: State, now: Moment) -> State:
    """End by the owner's wish: fall silent, take leave of the provider, wait for it briefly."""
    was = state.phase
    state = replace(state, phase=Phase.CLOSING, standby=None, leave_by=None)
    state = disarm(state, now, Timer.MOVE)
    state = release_hold(interrupt(state, now, "close"), now, "ended")
    state = settle_all(state, now, "closed", None)
    if was is Phase.OPEN:
        state, _ = tell(state, now, Close())
    now.effects.append(Hangup(state.conn))
    if Timer.RETRY in state.due:
        return finish(state, now)
    state = disarm(disarm(state, now, Timer.SETTLE), now, Timer.CONNECT)
    return arm(state, now, Timer.CLOSE, state.plan.config.close_timeout)


def finish(state: State, now: Moment) -> State:
    """Close: report what is left to report, and say so last."""
    state = report_left(state, now, tuple(state.ledger.calls))
    for timer in state.due:
        now.effects.append(Disarm(timer))
    state = report(state, now)
    ending = state.ending
    reason = "closed" if ending is None else ending.what
    emit(state, now, Disconnected(reason=reason, clean=ending is None, error=ending))
    return replace(state, phase=Phase.CLOSED, due={})


def shed(state: State, now: Moment, given: Shed) -> State:
    """Count drops, and report them at a bounded rate."""
    key = (given.lane, given.reason)
    items, ms = state.shed.get(key, (0, 0.0))
    state = replace(state, shed={**state.shed, key: (items + given.count, ms + given.ms)})
    if Timer.REPORT in state.due:
        return state
    wait = state.last_report + _REPORT_EVERY - now.at
    return report(state, now) if wait <= 0 else arm(state, now, Timer.REPORT, wait)


def report(state: State, now: Moment) -> State:
    """Tell of the drops since the last report."""
    for (lane, reason), (items, ms) in state.shed.items():
        emit(state, now, Dropped(lane=lane, reason=reason, count=items, ms=ms))
    return replace(state, shed={}, last_report=now.at)
