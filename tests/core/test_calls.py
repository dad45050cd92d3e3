"""Calls that are cut: who is stopped, when that is reported, and what becomes of late results."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core import (
    CallId,
    Close,
    CreateResponse,
    Interrupt,
    InvalidRequest,
    ResponseId,
    Spaced,
    Text,
    ToolCallCancelled,
    ToolResult,
)
from realtime_core.config import ToolPolicy
from realtime_core.state import Entered, Left, Phase, Purged, Stop, Timer
from realtime_core.testing import TICK
from realtime_core.testing.fold import Fold
from tests.core.short import (
    C1,
    C2,
    R1,
    R2,
    TOOLS,
    call,
    done,
    of,
    opened,
    say,
    sent,
    started,
    taken,
    welcome,
)

GRACE = 8 * TICK


def calling(*policies: ToolPolicy, **settings: Any) -> Fold:
    """Give a session with calls by these policies, c1, c2 ..., each with a handler that runs."""
    session = opened(tools=TOOLS, grace_timeout=GRACE, **settings)
    ids = [CallId(f"c{number}") for number, _ in enumerate(policies, 1)]
    say(session, started(R1), *(call(id, policy) for id, policy in zip(ids, policies, strict=True)))
    taken(session)
    for id in ids:
        enter(session, id)
    session.steps.clear()
    return session


def enter(session: Fold, id: CallId) -> None:
    session.give(Entered(at=session.at, call=id))


def leave(session: Fold, id: CallId) -> None:
    session.give(Left(at=session.at, call=id))


def stopped(session: Fold) -> list[CallId]:
    effects = [effect for step in session.steps for effect in step.effects]
    return [id for stop in of(Stop, effects) for id in stop.calls]


def reported(session: Fold) -> list[CallId]:
    """Give the calls that are reported cancelled and were not taken note of yet."""
    return [id for event in of(ToolCallCancelled, taken(session)) for id in event.calls]


def outcomes(session: Fold) -> list[str]:
    return [known.outcome for known in session.state.ledger.calls.values()]


# --- a handler that is stopped ----------------------------------------------------------------


def test_a_call_is_reported_when_its_handler_has_left() -> None:
    session = calling("cancel", "cancel")
    session.push(Interrupt())
    assert stopped(session) == [C1, C2]
    assert outcomes(session) == ["cancelled", "cancelled"]
    assert reported(session) == []
    leave(session, C2)
    assert reported(session) == [C2]
    assert Timer.GRACE in session.state.due
    leave(session, C1)
    assert reported(session) == [C1]
    assert Timer.GRACE not in session.state.due
    session.close()
    assert reported(session) == []


def test_a_handler_that_stays_is_waited_for_so_long_and_no_longer() -> None:
    session = calling("cancel")
    session.push(Interrupt())
    session.wait(GRACE - TICK)
    assert reported(session) == []
    session.wait(TICK)
    assert reported(session) == [C1]
    leave(session, C1)
    assert reported(session) == []


def test_a_later_interruption_gives_no_more_time_to_those_before_it() -> None:
    session = calling("cancel")
    session.push(Interrupt())
    session.wait(GRACE / 2)
    say(session, done(R1), started(R2), call(C2, response=R2))
    taken(session)
    enter(session, C2)
    session.push(Interrupt())
    session.wait(GRACE / 2)
    assert reported(session) == [C1]
    session.wait(GRACE / 2)
    assert reported(session) == [C2]
    assert Timer.GRACE not in session.state.due


def test_calls_without_a_handler_are_reported_at_once() -> None:
    session = calling("cancel")
    say(session, call(C2))
    taken(session)
    session.push(Interrupt())
    assert stopped(session) == [C1]
    assert reported(session) == [C2]


@pytest.mark.parametrize("policy", ["finish", "detach"])
def test_a_handler_that_may_end_is_not_stopped_by_an_interruption(policy: ToolPolicy) -> None:
    session = calling(policy)
    session.push(Interrupt())
    assert (stopped(session), reported(session)) == ([], [])
    assert outcomes(session) == ["open"]


@pytest.mark.parametrize("how", ["taken back", "lost"])
def test_a_call_that_is_void_is_reported_at_once_where_its_handler_may_end(how: str) -> None:
    session = calling("finish", "cancel", retry=Spaced(1.0))
    if how == "lost":
        session.lose()
    else:
        say(session, ToolCallCancelled(calls=(C1, C2)))
    assert stopped(session) == [C2]
    assert reported(session) == [C1]
    leave(session, C1)
    leave(session, C2)
    assert reported(session) == [C2]


@pytest.mark.parametrize("mute", [False, True])
def test_the_end_of_the_session_waits_for_no_handler(mute: bool) -> None:
    session = calling("cancel", close_timeout=TICK)
    session.push(Close())
    assert reported(session) == []
    if mute:
        session.wait(TICK)
    else:
        session.lose()
    assert session.state.phase is Phase.CLOSED
    assert reported(session) == [C1]


def test_grace_ends_while_the_session_closes() -> None:
    session = calling("cancel", close_timeout=2 * GRACE)
    session.push(Close())
    session.wait(GRACE)
    assert session.state.phase is Phase.CLOSING
    assert reported(session) == [C1]


def test_a_call_whose_handler_stays_is_not_forgotten() -> None:
    session = calling("cancel")
    session.push(Interrupt())
    say(session, done(R1, "cancelled"))
    for number in range(100):
        say(session, started(ResponseId(f"s{number}")), done(ResponseId(f"s{number}")))
    assert C1 in session.state.ledger.calls
    leave(session, C1)
    assert reported(session) == [C1]
    say(session, started(R2), done(R2))
    assert C1 not in session.state.ledger.calls


def test_a_handler_of_an_unknown_call_changes_nothing() -> None:
    session = opened()
    before = session.state
    enter(session, C1)
    leave(session, C1)
    assert session.state == before


# --- calls nobody will take -------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["cancel", "finish", "detach"])
def test_a_call_that_was_purged_before_it_was_taken_is_cancelled(policy: ToolPolicy) -> None:
    session = opened(tools=TOOLS)
    say(session, started(R1), call(C1, policy))
    session.push(Interrupt())
    assert outcomes(session) == ["cancelled"]
    assert reported(session) == [C1]


def test_what_was_purged_and_has_ended_or_is_unknown_is_left_alone() -> None:
    session = calling("finish")
    session.push(ToolResult(C1, "ok"))
    session.give(Purged(at=session.at, calls=(C1, C2)))
    assert outcomes(session) == ["sent"]
    assert reported(session) == []


# --- results ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("sent", "call_ended"),
        ("kept", "call_ended"),
        ("cancelled", "call_void"),
        ("lost", "call_void"),
        ("is not known", "call_ended"),
    ],
)
def test_a_call_that_has_ended_takes_no_result(outcome: str, code: str) -> None:
    session = calling("detach", retry=Spaced(TICK))
    if outcome == "kept":
        session.push(Interrupt())
    if outcome == "cancelled":
        say(session, ToolCallCancelled(calls=(C1,)))
    if outcome in {"sent", "kept"}:
        session.push(ToolResult(C1, "first"))
    if outcome == "lost":
        session.lose()
        session.wait(TICK)
        welcome(session)
    sent(session)
    refused = session.push(ToolResult(CallId("c9") if "known" in outcome else C1, "late"))
    assert isinstance(refused, InvalidRequest)
    assert outcome in refused.what
    assert refused.code == code
    assert sent(session) == []


def test_a_result_after_an_interruption_asks_for_nothing() -> None:
    """Else the model would talk over the user who has just begun to speak."""
    session = calling("finish")
    session.push(Interrupt())
    say(session, done(R1, "cancelled"))
    sent(session)
    session.push(ToolResult(C1, "ok"))
    assert sent(session) == [ToolResult(C1, "ok")]


# --- parallel calls ---------------------------------------------------------------------------


def test_parallel_calls_are_answered_together_once_their_response_has_ended() -> None:
    session = calling("cancel", "finish")
    session.push(ToolResult(C1, "one"))
    session.push(ToolResult(C2, "two"))
    assert of(CreateResponse, sent(session)) == []
    say(session, done(R1))
    assert len(of(CreateResponse, sent(session))) == 1


def test_the_last_of_parallel_calls_may_be_taken_back() -> None:
    session = calling("cancel", "finish")
    say(session, done(R1))
    session.push(ToolResult(C1, "one"))
    assert of(CreateResponse, sent(session)) == []
    say(session, ToolCallCancelled(calls=(C2,)))
    assert len(of(CreateResponse, sent(session))) == 1


def test_where_all_are_taken_back_nothing_is_continued() -> None:
    session = calling("cancel", "finish")
    say(session, done(R1), ToolCallCancelled(calls=(C1, C2)))
    assert of(CreateResponse, sent(session)) == []


def test_the_continuation_waits_for_its_turn() -> None:
    session = calling("cancel")
    session.push(Text("And now?"))
    say(session, done(R1))
    assert len(of(CreateResponse, sent(session))) == 1
    session.push(ToolResult(C1, "one"))
    assert of(CreateResponse, sent(session)) == []
    say(session, started(R2, "request-0"), done(R2))
    (create,) = of(CreateResponse, sent(session))
    assert create.request == "request-1"
