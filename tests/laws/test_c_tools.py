"""C. Tools, 23 to 28: days full of errands, and one thing done at every instant of a handler."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Literal, cast

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from returns.result import Success

from realtime_core import doors, incoming, interruption, lifecycle, machine, requests
from realtime_core import tools as tooling
from realtime_core.config import ToolPolicy
from realtime_core.epoch import CallId, ResponseId
from realtime_core.errors import InvalidRequest, SessionClosed
from realtime_core.events import ConversationItem, Disconnected, Error, Interrupted, ToolCall
from realtime_core.frames import CreateResponse, ToolResult
from realtime_core.moment import Moment, arm
from realtime_core.scopes import Scopes
from realtime_core.state import State, Timer
from realtime_core.testing import TICK, Injection, PointsFailed, every_point
from realtime_core.testing.conformance import HOSTILE, check_trace
from realtime_core.testing.sweep import Matches
from realtime_core.tools import Answerer, Tool, tool
from realtime_core.turn import put_call
from tests.core.calling import answered, wanted
from tests.laws.call_model import live_by_the_model
from tests.laws.errands import HOW, POLICIES, STAYS, Day, Desk, Errand, days, number_of, worked
from tests.laws.scenarios import PUMPS
from tests.laws.stories import BACKENDS, catches

DAYS = days()
LATE = 16 * TICK
"""How late a task can be that is up to four ticks late at each suspension."""
VALID = (
    '{"count": 2, "names": ["a", "b"]}',
    '{"unit":"F","names":[],"count":-7}',
    '{"count": 0, "names": ["\\u00e4"], "unit": "C"}',
)
"""Arguments that fit; what a model writes is often nearly like them."""


def _spoilt(text: str, place: int, piece: str, length: int) -> str:
    place %= len(text) + 1
    return text[:place] + piece + text[place + length :]


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_FIELDS = st.sampled_from(("count", "names", "unit", "", "extra"))
_VALUES = st.recursive(_LEAVES, lambda some: st.lists(some) | st.dictionaries(_FIELDS, some))
ARGUMENTS = st.lists(
    st.sampled_from(VALID)
    | st.builds(
        _spoilt,
        st.sampled_from(VALID),
        st.integers(0, 60),
        st.sampled_from(("", "1", "null", '"x"', "[", "}", ",", "e9", ".0", "\x00")),
        st.integers(0, 3),
    )
    | st.dictionaries(_FIELDS, _VALUES).map(json.dumps)
    | st.text(max_size=30)
    | st.sampled_from([wire for wire in HOSTILE if isinstance(wire, str) and wire.isascii()]),
    min_size=1,
    max_size=8,
)
both = pytest.mark.parametrize("backend", BACKENDS)


# --- the laws ---------------------------------------------------------------------------------


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
    assert not any(isinstance(event, Error) for event in desk.events), "nobody made a mistake"


def policy_holds(desk: Desk) -> None:
    """25. Who is stopped, who may end, whose result is kept; reported when the handler has left."""
    grace = desk.day.grace * TICK
    for call, outcome in desk.outcomes.items():
        number = number_of(call)
        policy = desk.errand(number).policy
        asked, ended = desk.epochs[call]
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


def one_continuation(desk: Desk) -> None:
    """Parallel calls are answered together: one continuation, once all have ended."""
    assert desk.minted == len(desk.due)
    assert desk.creates <= len(desk.due)
    quiet = not any(isinstance(event, Interrupted) for event in desk.events[:-1])
    if quiet and not {"lose", "close"} & {what for what, _ in desk.day.happenings}:
        assert desk.creates == len(desk.due)


def at_once(desk: Desk) -> None:
    """25, 28, where no task is late: a handler stops in the tick, and takes no longer than told."""
    for number, at in desk.cancelled.items():
        call, over = CallId(f"c{number}"), desk.began[number] + desk.day.timeout * TICK
        session_ended = desk.outcomes[call] == "lost" or desk.scope.cancel_called
        assert at in {desk.stopped.get(call), over} or session_ended
        stays = STAYS if desk.errand(number).how == "stays" else 0
        assert desk.left[number] - at == stays


LAWS = (
    one_outcome,
    nothing_after_its_end,
    policy_holds,
    right_connection,
    whole_and_valid,
    bounded,
    one_continuation,
)


# --- how they are tested ----------------------------------------------------------------------


def breaks(law: Callable[[Desk], None]) -> None:
    """Require that a law is broken on some day: the fault that is planted now must be seen."""

    def holds(day: Day) -> None:
        law(worked(day))

    catches(holds, DAYS, tries=1_000)


def HANDLERS(name: str) -> bool:  # noqa: N802 - one of the kinds of tasks
    """Choose the tasks in which handlers run."""
    return name.endswith("._answer")


everywhere = pytest.mark.parametrize("tasks", [HANDLERS, PUMPS], ids=["handlers", "pumps"])
by_policy = pytest.mark.parametrize("policy", POLICIES)


def at_every_instant(
    action: str, policy: ToolPolicy, backend: str = "asyncio", tasks: Matches = HANDLERS
) -> int:
    """Do one thing while two handlers run side by side, one of them by this policy."""
    day = Day(
        happenings=(("ask", 1), ("wait", 2), ("end", 0), ("wait", 5)),
        errands=(Errand(policy, 3), Errand("cancel", 1)),
    )

    async def scenario(point: Injection) -> None:
        desk = Desk(day)
        await desk.play(lambda: point.arm(lambda: desk.do(action)))
        for law in (*LAWS, at_once):
            law(desk)

    return every_point(scenario, backend=backend, tasks=tasks)


def spared(unspared: Any) -> Any:
    """Give the planted fault of a function of the machine that leaves the calls as they were."""

    def lenient(state: State, *given: Any) -> State:
        ended: State = unspared(state, *given)
        return replace(ended, ledger=replace(ended.ledger, calls=state.ledger.calls))

    return lenient


class TestOneOutcome:
    """23. Each call is returned once and has one outcome; at the end none is open."""

    @both
    @given(day=DAYS)
    def test_days(self, backend: str, day: Day) -> None:
        one_outcome(worked(day, backend))

    def test_machine(self) -> None:
        live_by_the_model()

    @both
    @everywhere
    @by_policy
    @pytest.mark.parametrize("action", ["complete", "close", "cancel", "lose"])
    def test_every_instant(
        self, backend: str, tasks: Matches, policy: ToolPolicy, action: str
    ) -> None:
        assert at_every_instant(action, policy, backend, tasks) > 5

    def test_fault_forgets_what_was_purged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "_purged", lambda state, now, given: state)
        breaks(one_outcome)
        with pytest.raises(AssertionError):
            live_by_the_model(faulty=True)

    def test_fault_leaves_calls_open_when_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lifecycle, "settle_all", spared(interruption.settle_all))
        breaks(one_outcome)
        with pytest.raises(PointsFailed):
            at_every_instant("lose", "finish")
        with pytest.raises(AssertionError):
            live_by_the_model(faulty=True)

    def test_fault_answers_and_cancels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A result that does not end its call."""
        monkeypatch.setattr(machine, "_tool_result", _forgetful(machine._tool_result))
        breaks(one_outcome)
        with pytest.raises(AssertionError):
            at_every_instant("interrupt", "finish")


def _forgetful(answer: Any) -> Any:
    def forget(state: State, now: Any, frame: ToolResult) -> Any:
        after, refused = answer(state, now, frame)
        return replace(after, ledger=replace(after.ledger, calls=state.ledger.calls)), refused

    return forget


class TestNoResultAfterCancel:
    """24. A result for a cancelled, unknown or answered call is never sent; a typed error."""

    @both
    @given(day=DAYS)
    def test_days(self, backend: str, day: Day) -> None:
        nothing_after_its_end(worked(day, backend))

    def test_fault_takes_any(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = machine.takes_no_result

        def lenient(state: State, call: CallId) -> Any:
            return None if call in state.ledger.calls else ended(state, call)

        monkeypatch.setattr(machine, "takes_no_result", lenient)
        monkeypatch.setattr(doors, "takes_no_result", lenient)
        breaks(nothing_after_its_end)
        with pytest.raises(AssertionError):
            live_by_the_model(faulty=True)

    def test_fault_blames_who_could_not_know(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A handler that ends while the connection is being made anew."""
        monkeypatch.setattr(doors, "takes_no_result", lambda state, call: None)
        monkeypatch.setattr(machine, "takes_no_result", _blaming(machine.takes_no_result))
        breaks(nothing_after_its_end)


def _blaming(unwanted: Any) -> Any:
    def blame(state: State, call: CallId) -> Any:
        refused = unwanted(state, call)
        return refused and replace(refused, code="call_ended")

    return blame


class TestPolicy:
    """25. A call follows its policy; it is reported when its handler has left, or in time."""

    @both
    @given(day=DAYS)
    def test_days(self, backend: str, day: Day) -> None:
        policy_holds(worked(day, backend))

    @both
    @given(day=DAYS)
    def test_punctual_days(self, backend: str, day: Day) -> None:
        at_once(worked(day, backend, late=0))

    @both
    @everywhere
    @by_policy
    @pytest.mark.parametrize("action", ["interrupt", "speak", "take back"])
    def test_every_instant(
        self, backend: str, tasks: Matches, policy: ToolPolicy, action: str
    ) -> None:
        assert at_every_instant(action, policy, backend, tasks) > 5

    def test_fault_stops_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Scopes, "stop", lambda self, calls: None)
        breaks(policy_holds)
        with pytest.raises(PointsFailed):
            at_every_instant("interrupt", "cancel")

    def test_fault_stops_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruption, "_stops", lambda call: call.handled)
        breaks(policy_holds)

    def test_fault_reports_too_early(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruption, "_stops", lambda call: False)
        breaks(policy_holds)
        with pytest.raises(PointsFailed):
            at_every_instant("interrupt", "cancel")

    def test_fault_begins_what_is_void(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def nothing() -> None: ...

        monkeypatch.setattr(tooling, "checkpoint_if_cancelled", nothing)
        with pytest.raises(PointsFailed):
            at_every_instant("interrupt", "cancel")

    def test_fault_prolongs_the_grace_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each interruption gives those before it more time."""

        def anew(state: State, now: Moment) -> State:
            return arm(state, now, Timer.GRACE, state.plan.config.grace_timeout)

        monkeypatch.setattr(interruption, "_await_leaving", anew)
        with pytest.raises(AssertionError):
            live_by_the_model(faulty=True)

    def test_fault_tells_what_was_detached(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def attached(ledger: Any, id: CallId, call: Any) -> Any:
            policy = "finish" if call.policy == "detach" else call.policy
            return put_call(ledger, id, replace(call, policy=policy))

        monkeypatch.setattr(incoming, "put_call", attached)
        breaks(policy_holds)


class TestRightConnection:
    """26. A result goes to the connection that asked; no handler runs twice for one call id."""

    @both
    @given(day=DAYS)
    def test_days(self, backend: str, day: Day) -> None:
        right_connection(worked(day, backend))

    def test_fault_answers_the_next_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lifecycle, "settle_all", spared(interruption.settle_all))
        breaks(right_connection)

    def test_fault_runs_what_is_repeated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        take = incoming._JUDGES[ToolCall]

        def forgetful(state: State, now: Any, event: ToolCall) -> State:
            calls = {id: c for id, c in state.ledger.calls.items() if id != event.call}
            return take(replace(state, ledger=replace(state.ledger, calls=calls)), now, event)

        monkeypatch.setitem(incoming._JUDGES, ToolCall, forgetful)
        breaks(right_connection)


class TestWholeAndValid:
    """27. A handler starts only with arguments that decoded; what goes wrong ends no session."""

    @both
    @given(day=DAYS)
    def test_days(self, backend: str, day: Day) -> None:
        whole_and_valid(worked(day, backend))

    def test_fault_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        parse = tooling.parse
        monkeypatch.setattr(
            tooling, "parse", lambda tool, text: Success(parse(tool, text).unwrap())
        )
        breaks(whole_and_valid)

    @staticmethod
    def law(texts: list[str], backend: str = "asyncio") -> None:
        """Whatever arguments a model writes: typed ones start a handler, others are an answer."""
        begun = list[tuple[object, ...]]()

        async def order(count: int, names: list[str], unit: Literal["C", "F"] = "C") -> str:
            begun.append((count, names, unit))
            return "ok"

        calls = [wanted("order", text, CallId(f"c{n}")) for n, text in enumerate(texts)]
        results = answered(backend, (tool(order),), *calls)
        assert {result.call for result in results} == {call.call for call in calls}
        assert sum(not result.failed for result in results) == len(begun)
        for count, names, unit in begun:
            assert type(count) is int
            assert isinstance(names, list)
            assert all(type(name) is str for name in cast("list[object]", names))
            assert unit in {"C", "F"}
        for result in results:
            assert not result.failed or result.output.startswith("Bad arguments for order: ")
            if texts[number_of(result.call)] in VALID:
                assert not result.failed

    @both
    @given(texts=ARGUMENTS)
    def test_any_text(self, backend: str, texts: list[str]) -> None:
        self.law(texts, backend)

    def test_fault_takes_what_is_not_typed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def lenient(tool: Tool, text: str) -> Any:
            try:
                given = msgspec.json.decode(text, type=dict[str, Any])
            except Exception:
                return parse(tool, text)
            return Success({**given, "count": given.get("count"), "names": given.get("names")})

        parse = tooling.parse
        monkeypatch.setattr(tooling, "parse", lenient)
        catches(self.law, ARGUMENTS)


class TestBounded:
    """28. No more handlers at once than the limit, nor longer, nor larger results; none remains."""

    @both
    @given(day=DAYS)
    def test_days(self, backend: str, day: Day) -> None:
        bounded(worked(day, backend))

    @both
    def test_soak(self, backend: str) -> None:
        """Six hundred calls, of all kinds, cut twenty times."""
        one = (("ask", 5), ("end", 0), ("wait", 2))
        errands = tuple(Errand(p, t, how) for p in POLICIES for t, how in enumerate(HOW))
        day = Day((*one * 10, ("interrupt", 0)) * 20, errands, limit=4, timeout=6)
        desk = worked(day, backend, late=0)
        assert len(desk.outcomes) == 600
        assert desk.most == 4
        for law in (*LAWS, at_once):
            law(desk)
        assert desk.session is not None
        driver = desk.session._driver
        assert driver.scopes._handlers == {}
        assert len(driver.state.ledger.calls) <= 64 * 3

    def test_fault_has_no_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tooling, "CapacityLimiter", lambda limit: anyio.CapacityLimiter(99))
        breaks(bounded)

    def test_fault_outlives_the_session(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Scopes, "end", lambda self: None)
        breaks(bounded)

    @pytest.mark.parametrize("fault", ["time", "size"])
    def test_fault_has_no_measure(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if fault == "time":
            monkeypatch.setattr(tooling.anyio, "move_on_after", lambda seconds: nullcontext())
            breaks(bounded)
        else:
            monkeypatch.setattr(
                Answerer, "_result", lambda self, event, value: ToolResult(event.call, value)
            )
            breaks(whole_and_valid)


class TestTogether:
    """Parallel calls of one response are answered together, and never over the user."""

    @both
    @given(day=DAYS)
    def test_days(self, backend: str, day: Day) -> None:
        one_continuation(worked(day, backend))

    @pytest.mark.parametrize(
        "fault", ["each by itself", "before the end", "never at the end", "when stale"]
    )
    def test_fault(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        go_on = requests.continue_tools

        def eager(state: State, now: Any, id: ResponseId) -> State:
            response = state.ledger.responses.get(id)
            if response is None or not response.calls:
                return state
            match fault:
                case "each by itself":
                    ask = not response.open and response.epoch == state.epoch
                case "before the end":
                    ask = response.epoch == state.epoch
                case _:
                    ask = not response.open
            return requests.request(state, now, CreateResponse()) if ask else state

        at_end = fault == "never at the end"
        monkeypatch.setattr(
            interruption, "continue_tools", (lambda state, *_: state) if at_end else go_on
        )
        monkeypatch.setattr(machine, "continue_tools", go_on if at_end else eager)
        breaks(one_continuation)
        with pytest.raises(AssertionError):
            live_by_the_model(faulty=True)
