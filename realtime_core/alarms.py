"""Alarms: what was put off until a time that has come."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from .changeover import cap_reached, look, mute
from .holding import decide
from .interruption import report_overdue, settle_stale
from .lifecycle import dial, finish, report
from .moment import Moment
from .requests import user_silent
from .state import Rang, State, Timer

__all__ = ("rang",)


def rang(state: State, now: Moment, given: Rang) -> State:
    """Do what was put off until now."""
    timer = given.timer
    if now.at < state.due.get(timer, float("inf")):
        return state
    state = replace(state, due={t: due for t, due in state.due.items() if t is not timer})
    match timer:
        case Timer.CONNECT:
            return mute(state, now, given.random)
        case Timer.SETTLE:
            return settle_stale(state, now)
        case Timer.HOLD:
            return decide(state, now)
        case Timer.GRACE:
            return report_overdue(state, now)
        case Timer.TURN:
            return user_silent(state, now)
        case Timer.RETRY:
            return dial(state, now)
        case Timer.CLOSE:
            return finish(state, now)
        case Timer.REPORT:
            return report(state, now)
        case Timer.ENDING:
            return cap_reached(state, now)
        case Timer.MOVE:
            return look(state, now)
        case _:
            assert_never(timer)
