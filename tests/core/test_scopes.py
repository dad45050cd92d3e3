"""Scopes: each is cancelled by what voids it, and by nothing else."""

from __future__ import annotations

import anyio
import pytest
from anyio import CancelScope

from realtime_core import Hold, Interrupt, Release
from realtime_core.scopes import Scopes
from realtime_core.state import Fence
from realtime_core.testing import TICK, run
from tests.core.listening import speaking
from tests.core.short import C1, C2, E0, E1, R1, R2, sound, started


def test_a_fence_cancels_what_is_of_older_epochs_or_of_the_answers_it_cut(
    anyio_backend: str,
) -> None:
    async def program() -> None:
        scopes = Scopes()
        named = {
            name: CancelScope()
            for name in (
                "epoch 0",
                "epoch 1",
                "answer 1",
                "answer 2",
                "another of answer 1",
                "left",
            )
        }
        scopes.enter(named["epoch 0"], E0)
        scopes.enter(named["epoch 1"], E1)
        scopes.enter(named["answer 1"], E0, R1)
        scopes.enter(named["answer 2"], E0, R2)
        scopes.enter(named["another of answer 1"], E0, R1)
        scopes.enter(named["left"], E0)
        scopes.leave(named["left"])
        scopes.leave(named["left"])
        scopes.fence(Fence(E1, (R1,)))
        cancelled = {name for name, scope in named.items() if scope.cancel_called}
        assert cancelled == {"epoch 0", "answer 1", "another of answer 1"}
        scopes.end()
        cancelled = {name for name, scope in named.items() if scope.cancel_called}
        assert cancelled == set(named) - {"left"}

    run(program, backend=anyio_backend)


def test_a_handler_is_stopped_by_the_name_of_its_call_or_at_the_end(anyio_backend: str) -> None:
    async def program() -> None:
        scopes = Scopes()
        one, other = CancelScope(), CancelScope()
        with scopes.handling(C1, one):
            with scopes.handling(C2, other):
                assert scopes.handles(C1)
                assert scopes.handles(C2)
                scopes.fence(Fence(E1, (R1,)))
                states = [(one.cancel_called, other.cancel_called)]
                scopes.stop((C1,))
                states.append((one.cancel_called, other.cancel_called))
                scopes.end()
                states.append((one.cancel_called, other.cancel_called))
                assert states == [(False, False), (True, False), (True, True)]
            assert not scopes.handles(C2)
        scopes.stop((C1, C2))

    run(program, backend=anyio_backend)


def test_all_who_ask_are_told_of_holds_even_if_they_stop_asking() -> None:
    scopes, told = Scopes(), list[tuple[str, bool]]()
    with scopes.pausing(lambda on: told.append(("one", on))):
        with scopes.pausing(lambda on: told.append(("other", on))):
            scopes.pause(True)
        scopes.pause(False)
    scopes.pause(True)
    assert told == [("one", True), ("other", True), ("one", False)]


def test_who_stops_asking_while_being_told_disturbs_nobody() -> None:
    scopes, told = Scopes(), list[str]()

    def leave(on: bool) -> None:
        first.__exit__(None, None, None)
        told.append("first")

    first = scopes.pausing(leave)
    with scopes.pausing(lambda _: told.append("second")):
        first.__enter__()
        with scopes.pausing(lambda _: told.append("third")):
            scopes.pause(True)
            scopes.pause(False)
    assert told == ["second", "first", "third", "second", "third"]


def test_a_session_tells_of_its_holds_in_their_tick(anyio_backend: str) -> None:
    async def program() -> list[tuple[float, bool]]:
        told = list[tuple[float, bool]]()
        async with speaking(started(), sound()) as session:
            await anyio.sleep(TICK)
            with session.pausing(lambda on: told.append((anyio.current_time() / TICK, on))):
                session.send_nowait(Hold())
                await anyio.sleep(TICK)
                session.send_nowait(Hold())
                session.send_nowait(Release())
            session.send_nowait(Hold())
            with session.pausing(lambda on: told.append((anyio.current_time() / TICK, on))):
                await anyio.sleep(TICK)
                session.send_nowait(Interrupt())
        return told

    told = [(1, True), (2, False), (2, True), (3, False)]
    assert run(program, backend=anyio_backend) == told


def test_what_fails_leaves_nothing_behind(anyio_backend: str) -> None:
    async def program() -> None:
        scopes, told = Scopes(), list[bool]()
        with pytest.raises(LookupError), scopes.pausing(told.append):
            raise LookupError
        with pytest.raises(LookupError), scopes.handling(C1, CancelScope()):
            raise LookupError
        scopes.pause(on=True)
        assert not scopes.handles(C1)
        assert told == []

    run(program, backend=anyio_backend)
