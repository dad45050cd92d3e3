"""Handling a call: a block that the session stops in the tick in which its call is void."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    CallId,
    Close,
    Error,
    Frame,
    InvalidRequest,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    Spaced,
    Text,
    ToolCall,
    ToolCallCancelled,
    ToolResult,
    driver,
    open_session,
)
from realtime_core.config import ToolPolicy
from realtime_core.testing import TICK, run
from realtime_core.testing.scripted import Peer, scripted
from realtime_core.tools import tool
from tests.core.calling import config, wanted, weather
from tests.core.short import C1, C2, of, started

Program = Callable[[RealtimeSession[Frame], list[RealtimeEvent]], Awaitable[None]]


def with_call(
    backend: str,
    program: Program,
    policy: ToolPolicy = "cancel",
    *later: RealtimeEvent,
    lost: bool = False,
    **settings: Any,
) -> list[RealtimeEvent]:
    """Run a program once the consumer has taken a call; gives the events that came after.

    The provider says what is to be said `later` two ticks later, or is lost then.
    """
    seen = list[RealtimeEvent]()

    async def script(peer: Peer) -> None:
        if peer.conn == 0:
            await peer.say(started(), wanted(policy))
            await anyio.sleep(2 * TICK)
            await peer.say(*later)
            if lost:
                raise OSError("reset")
        await peer.drain()

    async def consume(session: RealtimeSession[Frame]) -> None:
        async for event in session.events():
            seen.append(event)

    async def play() -> None:
        wish = replace(config([tool(weather, name=policy, policy=policy)]), **settings)
        async with open_session(scripted(script), wish) as session:
            async for event in session.events():
                if isinstance(event, ToolCall):
                    break
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(consume, session)
                await program(session, seen)
                tasks.cancel_scope.cancel()

    run(play, backend=backend)
    return seen


def reported(seen: list[RealtimeEvent]) -> list[CallId]:
    return [id for event in of(ToolCallCancelled, seen) for id in event.calls]


def test_an_interruption_stops_the_block_in_the_same_tick(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        with session.handling(C1) as scope:
            await session.interrupt()
            assert scope.cancel_called
            with anyio.CancelScope(shield=True):
                await anyio.sleep(TICK)
            assert reported(seen) == [], "the handler has not left"
        await anyio.sleep(TICK)
        assert reported(seen) == [C1]

    with_call(anyio_backend, program)


def test_the_report_waits_no_longer_than_the_grace_time(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        with session.handling(C1):
            await session.interrupt()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(4 * TICK)
                assert reported(seen) == [C1]

    seen = with_call(anyio_backend, program, grace_timeout=3 * TICK)
    assert reported(seen) == [C1]


@pytest.mark.parametrize("policy", ["finish", "detach"])
def test_a_block_that_may_end_is_left_alone(anyio_backend: str, policy: ToolPolicy) -> None:
    async def program(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        with session.handling(C1) as scope:
            await session.interrupt()
            await anyio.sleep(8 * TICK)
            await session.send(ToolResult(C1, "ok"))
        assert not scope.cancel_called

    back = ToolCallCancelled(calls=(C2,))
    assert reported(with_call(anyio_backend, program, policy, back)) == []


@pytest.mark.parametrize("how", ["taken back", "lost"])
def test_what_voids_the_call_stops_the_block(anyio_backend: str, how: str) -> None:
    async def program(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        with session.handling(C1) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert anyio.current_time() == 2 * TICK
        await anyio.sleep(2 * TICK)

    lost, back = how == "lost", ToolCallCancelled(calls=(C1,))
    later = () if lost else (back,)
    seen = with_call(anyio_backend, program, "cancel", *later, lost=lost, retry=Spaced(TICK))
    assert reported(seen) == [C1]


@pytest.mark.parametrize("policy", ["cancel", "finish", "detach"])
def test_the_end_of_the_session_stops_every_block(anyio_backend: str, policy: ToolPolicy) -> None:
    async def program(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        with session.handling(C1) as scope:
            session.send_nowait(Close())
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        with session.handling(C1) as scope:
            assert scope.cancel_called

    with_call(anyio_backend, program, policy)


def test_one_handler_runs_for_a_call_and_none_for_one_that_has_ended(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        with session.handling(CallId("no such call")) as scope:
            assert scope.cancel_called
        with session.handling(C1) as first:
            with session.handling(C1) as second:
                assert second.cancel_called
            states = [first.cancel_called]
            await session.interrupt()
            assert [*states, first.cancel_called] == [False, True]
        with session.handling(C1) as late:
            assert late.cancel_called

    with_call(anyio_backend, program)


def test_a_block_that_was_left_without_a_result_may_be_entered_again(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        with pytest.raises(LookupError), session.handling(C1):
            raise LookupError
        with session.handling(C1) as scope:
            assert not scope.cancel_called
            await session.send(ToolResult(C1, "ok"))

    with_call(anyio_backend, program)


def test_no_block_begins_in_a_session_that_broke_down(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the machine itself fails, and nobody has ended the call."""

    def broken(*given: object) -> None:
        raise ZeroDivisionError

    async def program(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        monkeypatch.setattr(driver, "step", broken)
        with pytest.raises(RealtimeException):
            session.send_nowait(Text("x"))
        with session.handling(C1) as scope:
            assert scope.cancel_called

    with pytest.raises(RealtimeException):
        with_call(anyio_backend, program)


# --- results that come too late ---------------------------------------------------------------


def test_a_result_nobody_wants_is_refused_at_once_while_the_session_reconnects(
    anyio_backend: str,
) -> None:
    async def program(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        await anyio.sleep(4 * TICK)
        assert not session.connected
        with pytest.raises(RealtimeException) as refusal:
            session.send_nowait(ToolResult(C1, "late"))
        assert isinstance(refusal.value.error, InvalidRequest)
        assert refusal.value.error.code == "call_void"
        await anyio.sleep(1)
        assert session.connected

    seen = with_call(anyio_backend, program, "finish", lost=True, retry=Spaced(0.5))
    assert of(Error, seen) == []


@pytest.mark.parametrize(
    ("why", "errors"), [("void", 0), ("answered", 1)], ids=["nobody's mistake", "the caller's"]
)
def test_a_result_whose_call_ends_while_it_waits_is_refused(
    anyio_backend: str, why: str, errors: int
) -> None:
    """Without a word where the call was cut, for it was wanted when it was pushed."""

    async def program(session: RealtimeSession[Frame], seen: list[RealtimeEvent]) -> None:
        session.send_nowait(Text("x", turn="context"))  # goes straight through, and has to be sent
        session.send_nowait(ToolResult(C1, "waits behind it"))
        if why == "void":
            await session.interrupt()
        else:
            session.send_nowait(ToolResult(C1, "waits too"))
        await anyio.sleep(TICK)
        assert session.statistics.lanes["control"].refused == 1

    assert len(of(Error, with_call(anyio_backend, program))) == errors
