"""C. Tools, 23 to 28: days full of errands, and one thing done at every instant of a handler."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, Literal, cast

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from returns.result import Success

from realtime_core import (
    alarms,
    changeover,
    doors,
    incoming,
    interruption,
    lifecycle,
    machine,
    requests,
)
from realtime_core import tools as tooling
from realtime_core.epoch import CallId, ResponseId
from realtime_core.events import SpeechStarted, SpeechStopped, ToolCall
from realtime_core.frames import CreateResponse, ToolResult
from realtime_core.scopes import Scopes
from realtime_core.state import State
from realtime_core.testing import Injection, PointsFailed, every_point
from realtime_core.testing.sweep import Matches
from realtime_core.tools import Answerer, Tool, tool
from realtime_core.turn import put_call
from tests.core.calling import answered, wanted
from tests.core.short import TOOLS, call, done, of, opened, say, sent, started
from tests.laws.call_laws import (
    LAWS,
    at_once,
    bounded,
    nothing_after_its_end,
    one_continuation,
    one_outcome,
    policy_holds,
    right_connection,
    whole_and_valid,
)
from tests.laws.call_model import live_by_the_model
from tests.laws.desk import Desk, worked
from tests.laws.errands import ARGUMENTS, HOW, POLICIES, VALID, Day, Errand, days, number_of
from tests.laws.scenarios import PUMPS
from tests.laws.stories import BACKENDS, catches

DAYS = days()
DOINGS = st.sampled_from(["speak", "stop", "ask", "result", "wait"])
both = pytest.mark.parametrize("backend", BACKENDS)


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


def at_every_instant(action: str, backend: str = "asyncio", tasks: Matches = HANDLERS) -> int:
    """Do one thing while three handlers run side by side, one of each policy."""
    day = Day(
        happenings=(("ask", 2), ("wait", 2), ("end", 0), ("wait", 5)),
        errands=(Errand("cancel", 3), Errand("finish", 4), Errand("detach", 3)),
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
    @pytest.mark.parametrize("action", ["complete", "close", "cancel", "lose"])
    def test_every_instant(self, backend: str, tasks: Matches, action: str) -> None:
        assert at_every_instant(action, backend, tasks) > 10

    def test_fault_forgets_what_was_purged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "_purged", lambda state, now, given: state)
        breaks(one_outcome)
        with pytest.raises(AssertionError):
            live_by_the_model(faulty=True)

    def test_fault_leaves_calls_open_when_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (changeover, lifecycle):
            monkeypatch.setattr(module, "settle_all", spared(interruption.settle_all))
        breaks(one_outcome)
        with pytest.raises(PointsFailed):
            at_every_instant("lose")
        with pytest.raises(AssertionError):
            live_by_the_model(faulty=True)

    def test_fault_answers_and_cancels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A result that does not end its call."""
        monkeypatch.setattr(machine, "_tool_result", _forgetful(machine._tool_result))
        breaks(one_outcome)
        with pytest.raises(AssertionError):
            at_every_instant("interrupt")


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
    @pytest.mark.parametrize("action", ["interrupt", "speak", "take back"])
    def test_every_instant(self, backend: str, tasks: Matches, action: str) -> None:
        assert at_every_instant(action, backend, tasks) > 10

    def test_fault_stops_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Scopes, "stop", lambda self, calls: None)
        breaks(policy_holds)
        with pytest.raises(PointsFailed):
            at_every_instant("interrupt")

    def test_fault_stops_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruption, "_stops", lambda call: call.handled)
        breaks(policy_holds)

    def test_fault_reports_too_early(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruption, "_stops", lambda call: False)
        breaks(policy_holds)
        with pytest.raises(PointsFailed):
            at_every_instant("interrupt")

    def test_fault_begins_what_is_void(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def nothing() -> None: ...

        monkeypatch.setattr(tooling, "checkpoint_if_cancelled", nothing)
        with pytest.raises(PointsFailed):
            at_every_instant("interrupt")

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
        for module in (changeover, lifecycle):
            monkeypatch.setattr(module, "settle_all", spared(interruption.settle_all))
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
            patient = SimpleNamespace(move_on_after=lambda seconds: nullcontext())
            monkeypatch.setattr(tooling, "anyio", patient)
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


class TestFloor:
    """What continues after a tool's result never talks over the user, and is not forgotten."""

    @staticmethod
    def law(doings: list[str]) -> None:
        session = opened(tools=TOOLS)
        speaks, waiting = False, list[CallId]()
        doings = [*doings, "stop", "result", "result", "result", "wait"]
        for number, doing in enumerate(doings):
            match doing:
                case "speak" if not speaks:
                    speaks = True
                    say(session, SpeechStarted())
                case "stop" if speaks:
                    speaks = False
                    say(session, SpeechStopped())
                case "ask" if not speaks:
                    response = ResponseId(f"r{number}")
                    asked = call(CallId(f"c{number}"), response=response)
                    say(session, started(response), asked, done(response))
                    waiting.append(asked.call)
                case "result" if waiting:
                    assert session.push(ToolResult(waiting.pop(0), "12 degrees")) is None
                case "wait":
                    session.wait(60.0)
                case _:
                    pass
            while creates := of(CreateResponse, sent(session)):
                assert not speaks, "it waits until the user has spoken"
                (create,) = creates
                born = ResponseId(f"r{number} {create.request}")
                say(session, started(born, create.request), done(born))
        assert session.state.ledger.requests == ()

    @given(doings=st.lists(DOINGS, max_size=12))
    def test_sequences(self, doings: list[str]) -> None:
        self.law(doings)

    @pytest.mark.parametrize("fault", ["user_speaks", "user_silent"])
    def test_fault(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (incoming, alarms):
            if hasattr(module, fault):
                monkeypatch.setattr(module, fault, lambda state, now: state)
        catches(self.law, st.lists(DOINGS, max_size=12))
