"""Changing the connection: because it was lost, or because it will end soon.

One that will end is left before it does: the next one is made beside it, and taken once it stands
at a moment in which nothing is said, asked or called, at the latest shortly before the end. Its
messages are read once it is in use, so that at any time one connection is heard.

Where another provider stands by, it takes over when this one is lost for good: when no further try
is due, or, beside one that will end, when there is no time for another.
"""

from __future__ import annotations

from msgspec.structs import replace
from returns.maybe import Some

from .errors import (
    AuthFailed,
    InternalFault,
    RateLimited,
    RealtimeError,
    SessionExpired,
    TimedOut,
    Unavailable,
)
from .events import SessionEnding
from .holding import release_hold
from .interruption import interrupt, settle_all
from .lifecycle import dial, finish, greet, notice
from .moment import Moment, arm, disarm, emit, played
from .plan import Plan
from .schedule import Attempt
from .state import Dial, Hangup, Heir, Lost, Phase, Standby, State, Timer, reserved
from .turn import running

__all__ = ("cap_reached", "change_if_due", "ending", "look", "lost", "mute")

_STEADY = 10.0
"""Seconds after which a connection had stood: the next one need not wait, retries count anew."""
_LOOK = 1.0
"""Seconds between looks for a silent moment, where nothing else happens."""
_AGAIN = 5.0
"""Seconds after which a connection that could not be made beside another is tried again."""
_UNKNOWN = 10.0
"""Seconds that are left where the provider does not say."""
_LATELY = 2
"""Entries of the history, the user's and the answer to it, whose words are waited for."""
_MARGIN = 5.0
"""Seconds before the end at which nothing is waited for any more, or half of what is left."""


def lost(state: State, now: Moment, given: Lost) -> State:
    """Settle what the connection took with it, then go on over another or end."""
    error = given.error or Unavailable(
        what="The provider closed the connection.", cause="it ended the session by itself"
    )
    if given.conn == state.conn + 1 and state.standby is not None:
        return _not_made(state, now, error)
    if given.conn != state.conn:
        return state
    if state.phase is Phase.CLOSING:
        return finish(state, now)
    state, refused = _without_handle(state, error)
    if state.phase is Phase.OPEN:
        state = _resuming(state, now)
    standby, heir = state.standby, state.heir
    successor = None if isinstance(error, InternalFault) else state.plan.successor
    state = _part(state, now, error)
    if refused:
        return dial(state, now)
    may_go_on = error.retryable or successor is not None
    if standby in {Standby.DIALLED, Standby.STANDS} and may_go_on:
        return _take(state, now, heir, stands=standby is Standby.STANDS)
    since = state.failing_since if state.attempts else now.at
    opened = state.phase is Phase.RESUMING
    attempt = Attempt(state.attempts, now.at - since, given.random, opened=opened)
    delay = _delay(state, error, attempt)
    if delay is None and successor is not None:
        return dial(_hand_over(state, now, _left_for(state, successor, error.what)), now)
    if delay is None:
        return finish(replace(state, ending=error), now)
    state = replace(state, attempts=state.attempts + 1, failing_since=since)
    return arm(state, now, Timer.RETRY, delay)


def _resuming(state: State, now: Moment) -> State:
    steady = now.at - state.opened_at >= _STEADY
    return replace(state, phase=Phase.RESUMING, attempts=0 if steady else state.attempts)


def _delay(state: State, error: RealtimeError, attempt: Attempt) -> float | None:
    """Give the seconds until the next try: never fewer than the provider asks for."""
    if not error.retryable:
        return None
    least = _asked_for(error)
    delay = state.plan.config.retry.delay(attempt._replace(least=least))
    return max(delay.unwrap(), least) if isinstance(delay, Some) else None


def _asked_for(error: RealtimeError) -> float:
    """Give the seconds that the provider asks to wait."""
    return (error.retry_after or 0.0) if isinstance(error, RateLimited | Unavailable) else 0.0


def _without_handle(state: State, error: RealtimeError) -> tuple[State, bool]:
    """Tell whether the provider may have refused the handle; what it is not tried again with."""
    shown = state.phase is Phase.RESUMING and state.codec is not None
    passing = AuthFailed | InternalFault | RateLimited | TimedOut | Unavailable
    if not shown or state.resumed != "handle" or isinstance(error, passing):
        return state, False
    return replace(state, handle=None), True


def _part(state: State, now: Moment, error: RealtimeError) -> State:
    """Leave the connection: nothing of it goes on, and the next one has another number."""
    open_calls = tuple(id for id, c in state.ledger.calls.items() if c.outcome == "open")
    answering = any(r.open and not r.fenced for r in state.ledger.responses.values())
    asked = any(not wish.doomed for wish in state.ledger.requests)
    gone = (
        *(("the answer in progress",) if answering else ()),
        *(("an answer that was asked for",) if asked else ()),
        *((f"{len(open_calls)} open tool calls",) if open_calls else ()),
    )
    unanswered = tuple(m for m in state.history if m.role == "tool_call" and m.call in open_calls)
    state = release_hold(interrupt(state, now, "connection"), now, "ended")
    state = settle_all(state, now, "lost", error)
    for timer in (Timer.SETTLE, Timer.CONNECT, Timer.MOVE):
        state = disarm(state, now, timer)
    now.effects.append(Hangup(state.conn))
    now.pending.clear()
    return replace(
        state,
        conn=state.conn + 1,
        codec=None,
        left=state.left if state.codec is None else state.codec,
        standby=None,
        heir=None,
        leave_by=None,
        owed=False,
        gone=(*state.gone, *gone),
        unanswered=(*state.unanswered, *unanswered),
    )


def _left_for(state: State, plan: Plan, why: str) -> Heir:
    return Heir(plan.place, f"{state.plan.capabilities.provider} was left: {why}")


def _hand_over(state: State, now: Moment, heir: Heir) -> State:
    """Let another provider take over the conversation."""
    state, plan = disarm(state, now, Timer.ENDING), state.plan.at(heir.place)
    if state.phase is Phase.CONNECTING:  # each takes of what was given what it can
        state = replace(state, history=plan.config.history)
    plan = replace(plan, former=(*state.plan.former, state.plan.config))
    return replace(state, plan=plan, handle=None, attempts=0, moved=heir.why)


def _take(state: State, now: Moment, heir: Heir | None, *, stands: bool) -> State:
    """Go on over the connection that was made beside the one that is left."""
    if heir is not None:
        state = _hand_over(state, now, heir)
    state = arm(state, now, Timer.CONNECT, state.plan.config.connect_timeout)
    return greet(state, now) if stands else state


# --- one that will end ------------------------------------------------------------------------


def cap_reached(state: State, now: Moment) -> State:
    """Tell of the end that the provider's own limit brings."""
    limit = state.plan.capabilities.session_seconds
    assert limit is not None  # noqa: S101 - the timer is armed where there is one
    return ending(state, now, SessionEnding(left=notice(limit)))


def ending(state: State, now: Moment, event: SessionEnding) -> State:
    """Tell that the connection will end; where the conversation can go on, make the next one."""
    emit(state, now, event)
    able = state.plan.capabilities
    by_handle = able.resumption == "handle" and state.handle is not None
    heir = None
    if not (by_handle or able.history):
        heir = _heir(state, "it cannot take the conversation up again")
        if heir is None:
            return state
    if state.phase is not Phase.OPEN:
        return state
    left = _UNKNOWN if event.left is None else max(0.0, event.left)
    leave_by = now.at + left - min(_MARGIN, left / 2)
    if state.leave_by is not None:
        state = replace(state, leave_by=min(leave_by, state.leave_by))
        return state if state.standby in {None, Standby.FAILED} else look(state, now)
    state = replace(state, leave_by=leave_by, heir=heir)
    early = state.opened_at + _STEADY - now.at
    if state.conn and early > 0:  # no storm: as often as it likes, a provider may not end it
        return arm(replace(state, standby=Standby.FAILED), now, Timer.MOVE, early)
    return _make_next(state, now)


def _heir(state: State, why: str) -> Heir | None:
    """Give who comes next that can take the conversation up."""
    plan = state.plan if state.heir is None else state.plan.at(state.heir.place)
    while (next := plan.successor) is not None and not next.capabilities.history:
        plan = next
    return None if next is None else _left_for(state, next, why)


def _make_next(state: State, now: Moment) -> State:
    now.effects.append(Dial(state.conn + 1))
    return look(replace(state, standby=Standby.DIALLED), now)


def _not_made(state: State, now: Moment, error: RealtimeError) -> State:
    """Try again later to make the next connection, or with another provider, or go on without."""
    assert state.leave_by is not None  # noqa: S101 - made only where one will end
    wait = max(_AGAIN, _asked_for(error))
    next = _heir(state, error.what)
    if next is not None and (not error.retryable or now.at + wait > state.leave_by):
        return _make_next(replace(state, heir=next), now)
    if not error.retryable or now.at >= state.leave_by:
        return disarm(replace(state, standby=None, heir=None), now, Timer.MOVE)
    return arm(replace(state, standby=Standby.FAILED), now, Timer.MOVE, wait)


def look(state: State, now: Moment) -> State:
    """Try again to make the next connection, or look again for the moment to take it."""
    if state.standby is Standby.FAILED:
        return _make_next(state, now)
    assert state.leave_by is not None  # noqa: S101 - looked for only where one will end
    left = state.leave_by - now.at
    return arm(state, now, Timer.MOVE, min(_LOOK, left) if left > 0 else _LOOK)


def change_if_due(state: State, now: Moment, leave_by: float) -> State:
    """Leave a connection that will end, if nobody notices now, or it is the latest moment."""
    if state.phase is not Phase.OPEN or state.standby is not Standby.STANDS:
        return state
    return _change(state, now) if now.at >= leave_by or _silent(state, now) else state


def _change(state: State, now: Moment) -> State:
    error = SessionExpired(
        what="The provider ends the connection.", cause="its limit on the length of one"
    )
    state = disarm(_resuming(state, now), now, Timer.ENDING)
    return _take(_part(state, now, error), now, state.heir, stands=True)


def _silent(state: State, now: Moment) -> bool:
    ledger = state.ledger
    return not (
        state.owed
        or state.listening
        or state.barrier
        or any(not wish.overdue for wish in ledger.requests)
        or any(map(reserved, state.history[-_LATELY:]))
        or any(response.open for response in ledger.responses.values())
        or any(call.outcome == "open" for call in ledger.calls.values())
        or running(ledger, state.epoch, now.delivered, played(state, now.at))
    )


def mute(state: State, now: Moment, random: float) -> State:
    """Give up a provider that does not acknowledge the session."""
    error = TimedOut(
        what=f"{state.plan.capabilities.provider} did not acknowledge the session within"
        f" {state.plan.config.connect_timeout:g} s.",
        cause="the network or the provider is slow, or the address is wrong",
        fix="Try again, or raise `connect_timeout`.",
    )
    return lost(state, now, Lost(at=now.at, conn=state.conn, error=error, random=random))
