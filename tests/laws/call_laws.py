"""The laws of tools, as checks over what became of the errands at one desk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from realtime_core.epoch import CallId
from realtime_core.errors import InvalidRequest, SessionClosed
from realtime_core.events import ConversationItem, Disconnected, Error, ToolCall
from realtime_core.testing import TICK
from realtime_core.testing.conformance import check_trace
from tests.laws.desk import Desk
from tests.laws.errands import STAYS, number_of

__all__ = (
    "LAWS",
    "at_once",
    "bounded",
    "nothing_after_its_end",
    "one_continuation",
    "one_outcome",
    "policy_holds",
    "right_connection",
    "whole_and_valid",
)

LATE = 16 * TICK
"""How late a task can be that is up to four ticks late at each suspension."""


def one_outcome(desk: Desk) -> None:
    """23. Each call is returned once and has one outcome, which is all that was done about it."""
    assert check_trace(desk.events, complete=True) == []
    returned = Counter(desk.returned(ToolCall))
    kept = Counter(desk.returned(ConversationItem))
    sent = Counter(call for call, _ in desk.sent)
    for call, outcome in desk.outcomes.items():
        assert outcome in {"sent", "kept", "cancelled", "lost"}
        assert sent[call] == (outcome == "sent")
        if call in desk.asked:
            assert len(desk.reported.get(call, ())) == (outcome in {"cancelled", "lost"})
            results = kept[call] - 1  # the call itself is an entry of the conversation too
            assert results == (outcome in {"sent", "kept"})
        assert returned[call] <= (call in desk.asked)
    assert desk.unfinished <= set(returned), "what nobody will ever take has ended"


def nothing_after_its_end(desk: Desk) -> None:
    """24. A result for a call that is unknown or has ended is refused, typed, and not sent."""
    for _, outcome, refused in desk.strays:
        if outcome == "open":
            assert refused is None
        else:
            assert isinstance(refused, InvalidRequest | SessionClosed)
            assert refused.code in {"call_void", "call_ended", ""}
    taken = {call for call, _, refused in desk.strays if refused is None}
    assert {result.call for result, _ in desk.received if result.output == "stray"} <= taken
    received = Counter(result.call for result, _ in desk.received)
    assert max(received.values(), default=1) == 1
    assert set(received) <= {call for call, outcome in desk.outcomes.items() if outcome == "sent"}
    blamed = {event.error.code for event in desk.events if isinstance(event, Error)}
    assert blamed <= ({"call_ended"} if desk.strays else set()), "nobody else made a mistake"


def policy_holds(desk: Desk) -> None:
    """25. Who is stopped, who may end, whose result is kept; reported when the handler has left."""
    grace = desk.day.grace * TICK
    returned = desk.returned(ToolCall)
    for call, outcome in desk.outcomes.items():
        number = number_of(call)
        policy = desk.errand(number).policy
        asked, ended = desk.epochs[call]
        if outcome == "cancelled" and call in returned:
            assert policy == "cancel" or call in desk.taken_back
        if outcome == "kept":
            assert (policy, asked < ended) == ("detach", True)
        if outcome == "sent" and policy != "finish":
            assert asked == ended, "not after an interruption"
        assert policy != "cancel" or number not in desk.begun_late
        if call in desk.stopped:
            assert policy == "cancel"
            assert desk.left[number] <= desk.stopped[call] + STAYS + LATE
        for at, runs in desk.reported.get(call, ()):
            is_over = isinstance(desk.events[-1], Disconnected) and at >= desk.events[-1].at
            waited = call in desk.stopped and at >= desk.stopped[call] + grace
            assert policy != "cancel" or not runs or waited or is_over


def right_connection(desk: Desk) -> None:
    """26. A result goes to the connection that asked; no handler runs twice for one call."""
    for call, conn in desk.sent:
        assert conn == desk.asked[call]
    for result, conn in desk.received:
        assert conn == desk.asked[result.call]
    assert max(Counter(desk.begun).values(), default=1) == 1


def whole_and_valid(desk: Desk) -> None:
    """27. Only decoded arguments start a handler; what goes wrong is an error result, no end."""
    assert all(desk.errand(number).how != "misread" for number in desk.begun)
    for result, _ in desk.received:
        how = desk.errand(number_of(result.call)).how
        if result.output == "stray":
            continue
        if how == "misread":
            assert result.output.startswith("Bad arguments for ")
        assert result.failed or result.output == "x"
        assert result.failed or how not in {"misread", "raises", "babbles"}
        assert len(result.output) <= 50
    last = desk.events[-1]
    assert isinstance(last, Disconnected)
    assert last.clean


def bounded(desk: Desk) -> None:
    """28. No more handlers at once than the limit, and none outlives the session."""
    assert desk.most <= desk.day.limit
    assert desk.after_end == set()
    for number, at in desk.left.items():
        assert at <= desk.began[number] + desk.day.timeout * TICK + STAYS + LATE


def one_continuation(desk: Desk) -> None:
    """Parallel calls are answered together: one continuation, once all have ended."""
    assert desk.minted == len(desk.due)
    assert desk.creates <= len(desk.due)
    if not desk.day.has("interrupt", "speak", "lose", "close"):
        assert desk.creates + desk.pending + desk.superseded == len(desk.due)


def at_once(desk: Desk) -> None:
    """25, 28, where no task is late: a handler stops in the tick, and takes no longer than told."""
    for number, at in desk.cancelled.items():
        stopped, end = desk.stopped.get(CallId(f"c{number}")), desk.events[-1].at
        over = desk.began[number] + desk.day.timeout * TICK
        assert at in {stopped, over, end} or desk.scope.cancel_called
        stays = STAYS if desk.errand(number).how == "stays" else 0
        assert desk.left[number] - at == stays


LAWS: tuple[Callable[[Desk], None], ...] = (
    one_outcome,
    nothing_after_its_end,
    policy_holds,
    right_connection,
    whole_and_valid,
    bounded,
    one_continuation,
)
