"""Answering that is cut: a call follows its policy, and has one outcome wherever that happens."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    CallId,
    Close,
    Error,
    Interrupt,
    Provider,
    RealtimeEvent,
    Recurs,
    ResponseDone,
    ToolCall,
    ToolCallCancelled,
    ToolResult,
    Unavailable,
    open_session,
)
from realtime_core import tools as module
from realtime_core.config import ToolPolicy
from realtime_core.faults import first_cause
from realtime_core.testing import TICK, Injection, PointsFailed, every_point, no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from realtime_core.tools import Answerer, answer, answering, tool
from tests.core.calling import config, wanted
from tests.core.short import C1, C2, done, names, started


class Handler:
    """A handler that takes four ticks, and remembers what became of it."""

    def __init__(self, policy: ToolPolicy) -> None:
        self.begun = self.ended = self.cancelled = 0
        self.left = 0.0
        self.tool = tool(self.work, name=policy, policy=policy)

    async def work(self) -> str:
        self.begun += 1
        try:
            for _ in range(4):
                await anyio.sleep(TICK)
        except BaseException:
            self.cancelled += 1
            raise
        finally:
            self.left = anyio.current_time()
        self.ended += 1
        return "done"


def asking_one(
    policy: ToolPolicy, results: list[ToolResult], *more: RealtimeEvent
) -> Provider[Any]:
    async def script(peer: Peer) -> None:
        await peer.say(started(), wanted(policy), *more)
        try:
            while True:
                result = await peer.until(ToolResult)
                assert isinstance(result, ToolResult)
                results.append(result)
        except anyio.EndOfStream:
            return

    return scripted(script)


async def cut_somewhere(point: Injection, policy: ToolPolicy, action: str) -> None:
    """Interrupt or close while a handler runs, and see what became of its call."""
    handler, results, cut_at = Handler(policy), list[ToolResult](), list[float]()

    def act() -> None:
        session.send_nowait(Interrupt() if action == "interrupt" else Close())
        cut_at.append(anyio.current_time())

    async with open_session(asking_one(policy, results), config([handler.tool])) as session:
        async with no_leaks(), module.answering(session, (handler.tool,)) as answers:
            point.arm(act)
            with anyio.move_on_after(1):
                async for event in session.events():
                    assert not isinstance(event, Error)
                    answers.take(event)
                await anyio.sleep_forever()
            point.close()
        ended = session._driver.state.ledger.calls[C1].outcome
    assert len(results) == (ended == "sent")
    assert handler.begun <= 1
    assert handler.ended + handler.cancelled == handler.begun
    if not cut_at:
        assert ended == "sent"
    elif policy == "cancel":
        assert ended in {"sent", "cancelled"}
        assert handler.left in {0.0, *cut_at} or ended == "sent", "it stops in the same tick"
    elif action == "interrupt":
        assert ended in {"sent", {"finish": "sent", "detach": "kept"}[policy]}
        assert handler.ended == 1
    else:
        assert ended in {"sent", "lost"}


def _is_handler(name: str) -> bool:
    return name.endswith("._answer")


@pytest.mark.parametrize("policy", ["cancel", "finish", "detach"])
@pytest.mark.parametrize("action", ["interrupt", "close"])
def test_a_call_has_one_outcome_wherever_it_is_cut(
    anyio_backend: str, policy: ToolPolicy, action: str
) -> None:
    async def scenario(point: Injection) -> None:
        await cut_somewhere(point, policy, action)

    assert every_point(scenario, backend=anyio_backend, tasks=_is_handler) > 5


class Stubborn(Answerer):
    """A planted fault: it lets every handler go on."""

    async def _answer(self, event: ToolCall) -> None:
        await self._send(await self._outcome(self._tools[event.name], event))


class Hasty(Answerer):
    """A planted fault: it stops every handler."""

    async def _answer(self, event: ToolCall) -> None:
        with self._session.within(event.epoch):
            await self._send(await self._outcome(self._tools[event.name], event))


@pytest.mark.parametrize(("fault", "policy"), [(Stubborn, "cancel"), (Hasty, "finish")])
def test_the_sweep_finds_an_answerer_that_keeps_to_no_policy(
    anyio_backend: str,
    fault: type[Answerer],
    policy: ToolPolicy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(point: Injection) -> None:
        await cut_somewhere(point, policy, "interrupt")

    monkeypatch.setattr(module, "Answerer", fault)
    with pytest.raises(PointsFailed):
        every_point(scenario, backend=anyio_backend, tasks=_is_handler)


@pytest.mark.parametrize(
    ("policy", "outcome", "cancelled"),
    [("cancel", "cancelled", 1), ("finish", "sent", 0), ("detach", "kept", 0)],
)
def test_an_interruption_follows_the_policy(
    anyio_backend: str, policy: ToolPolicy, outcome: str, cancelled: int
) -> None:
    async def program() -> None:
        handler, results = Handler(policy), list[ToolResult]()
        async with (
            open_session(asking_one(policy, results), config([handler.tool])) as session,
            answering(session, (handler.tool,)) as answers,
        ):
            async for event in session.events():
                answers.take(event)
                if isinstance(event, ToolCall):
                    break
            await anyio.sleep(TICK)
            await session.interrupt()
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            assert handler.cancelled == cancelled
            await anyio.sleep(1)
            assert session._driver.state.ledger.calls[C1].outcome == outcome
            assert handler.ended == 1 - cancelled
            assert len(results) == (outcome == "sent")
            told = [m for m in session.history if m.role == "tool_result"]
            assert len(told) == 1 - cancelled, "the conversation keeps what the call gave"

    run(program, backend=anyio_backend)


class Untidy(Handler):
    """It fails while it is being cancelled, in a task of its own or as a whole."""

    def __init__(self, failure: BaseException) -> None:
        super().__init__("cancel")
        self.failure = failure

    async def work(self) -> str:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.fail)
            await super().work()
        return "done"

    async def fail(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise self.failure


def failing(backend: str, handler: Untidy) -> list[ToolResult]:
    results = list[ToolResult]()

    async def program() -> None:
        async with (
            open_session(asking_one("cancel", results), config([handler.tool])) as session,
            answering(session, (handler.tool,)) as answers,
        ):
            async for event in session.events():
                answers.take(event)
                if isinstance(event, ToolCall):
                    break
            await anyio.sleep(TICK)
            await session.interrupt()
            await anyio.sleep(1)
            assert session.connected

    run(program, backend=backend)
    return results


def test_a_handler_that_fails_while_it_is_stopped_ends_no_session(anyio_backend: str) -> None:
    handler = Untidy(LookupError("untidy"))
    assert failing(anyio_backend, handler) == []
    assert handler.cancelled == 1


def test_what_is_no_mere_failure_comes_out(anyio_backend: str) -> None:
    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as raised:
        failing(anyio_backend, Untidy(KeyboardInterrupt()))
    assert isinstance(first_cause(raised.value), KeyboardInterrupt)


@pytest.mark.parametrize("policy", ["cancel", "finish"])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_call_the_provider_takes_back_is_not_answered(
    anyio_backend: str, policy: ToolPolicy, at_once: bool
) -> None:
    """Its handler is stopped unless its policy says that it shall end."""
    handler, results = Handler(policy), list[ToolResult]()
    back = ToolCallCancelled(calls=(C1, C2))

    async def script(peer: Peer) -> None:
        if at_once:
            await peer.say(started(), wanted(policy), back)
        else:
            await peer.say(started(), wanted(policy))
            await anyio.sleep(2 * TICK)
            await peer.say(back)
        await anyio.sleep(1)
        await peer.say(done())
        result = await peer.until(ToolResult, Close)
        results.extend([result] if isinstance(result, ToolResult) else [])

    async def program() -> None:
        async with (
            open_session(scripted(script), config([handler.tool])) as session,
            answering(session, (handler.tool,)) as answers,
        ):
            async for event in session.events():
                assert not isinstance(event, Error)
                answers.take(event)
                if isinstance(event, ResponseDone):
                    break

    run(program, backend=anyio_backend)
    assert results == []
    assert handler.begun == (not at_once)
    assert handler.cancelled == (not at_once and policy == "cancel")


def test_a_call_that_was_lost_with_its_connection_is_not_answered(anyio_backend: str) -> None:
    handler = Handler("finish")

    async def script(peer: Peer) -> None:
        if peer.conn == 0:
            await peer.say(started(), wanted("finish"))
            await anyio.sleep(TICK)
            raise OSError("reset")
        await anyio.sleep(1)
        await peer.say(done())
        assert not any(isinstance(frame, ToolResult) for frame in peer.sent)
        await peer.drain()
        assert not any(isinstance(frame, ToolResult) for frame in peer.sent)

    async def program() -> list[RealtimeEvent]:
        wish = replace(config([handler.tool]), retry=Recurs(1))
        seen = list[RealtimeEvent]()
        async with (
            open_session(scripted(script), wish) as session,
            answering(session, (handler.tool,)) as answers,
        ):
            with anyio.move_on_after(2):
                async for event in session.events():
                    answers.take(event)
                    seen.append(event)
        return seen

    seen = run(program, backend=anyio_backend)
    assert handler.ended == 1
    assert "Reconnected" in names(seen)
    assert "Error" not in names(seen)


def test_no_handler_outlives_the_session(anyio_backend: str) -> None:
    handler = Handler("finish")

    async def script(peer: Peer) -> None:
        await peer.say(started(), wanted("finish"))
        await anyio.sleep(TICK)
        raise OSError("reset")

    async def program() -> None:
        async with (
            open_session(scripted(script), config([handler.tool])) as session,
            answering(session, (handler.tool,)) as answers,
        ):
            async for event in session.events():
                answers.take(event)
            await anyio.sleep(1)
            error = (await session.outcome()).failure()
            assert isinstance(error, Unavailable)

    run(program, backend=anyio_backend)
    assert (handler.ended, handler.cancelled) == (0, 1)


def test_leaving_the_block_cancels_what_still_runs(anyio_backend: str) -> None:
    handler = Handler("finish")

    async def program() -> None:
        async with (
            open_session(asking_one("finish", []), config([handler.tool])) as session,
            no_leaks(),
            answering(session, (handler.tool,)) as answers,
        ):
            answers.take(wanted("finish"))
            await anyio.sleep(TICK)

    run(program, backend=anyio_backend)
    assert (handler.begun, handler.cancelled) == (1, 1)


@given(
    ticks=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    cut=st.integers(1, 6),
    policies=st.lists(st.sampled_from(("cancel", "finish", "detach")), min_size=6, max_size=6),
)
def test_every_call_ends_and_none_twice(
    anyio_backend: str, ticks: list[int], cut: int, policies: list[ToolPolicy]
) -> None:
    """Wherever an interruption comes, once the calls were taken."""

    async def work(ticks: int) -> int:
        await anyio.sleep(ticks * TICK)
        return ticks

    tools = tuple(
        tool(work, name=policy, policy=policy) for policy in ("cancel", "finish", "detach")
    )
    calls = [
        wanted(policy, msgspec.json.encode({"ticks": tick}).decode(), CallId(str(number)))
        for number, (tick, policy) in enumerate(zip(ticks, policies, strict=False))
    ]
    results = list[ToolResult]()

    async def script(peer: Peer) -> None:
        await peer.say(started(), *calls, done())
        try:
            while isinstance(result := await peer.until(ToolResult), ToolResult):
                results.append(result)
        except anyio.EndOfStream:
            return

    async def program() -> None:
        async with open_session(scripted(script), config(tools)) as session:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(answer, session, tools)
                await anyio.sleep(cut * TICK)
                await session.interrupt()
                await anyio.sleep(1)
                tasks.cancel_scope.cancel()
            outcomes = {id: call.outcome for id, call in session._driver.state.ledger.calls.items()}
        assert set(outcomes) == {call.call for call in calls}
        assert set(outcomes.values()) <= {"sent", "kept", "cancelled"}
        sent = sorted(result.call for result in results)
        assert sent == sorted(id for id, outcome in outcomes.items() if outcome == "sent")

    run(program, backend=anyio_backend)
