"""Scopes: what belongs to an epoch, an answer or a call stops when the machine says so."""

from __future__ import annotations

import pytest
from anyio import CancelScope

from realtime_core.scopes import Scopes
from realtime_core.state import Fence
from realtime_core.testing import run
from tests.core.short import C1, C2, E0, E1, E2, R1, R2


def _cancelled(*scopes: CancelScope) -> list[bool]:
    return [scope.cancel_called for scope in scopes]


def test_a_fence_stops_what_it_makes_stale_and_nothing_else(anyio_backend: str) -> None:
    async def program() -> None:
        scopes = Scopes()
        stale, answer, other, fresh = (CancelScope() for _ in range(4))
        scopes.enter(stale, E0)
        scopes.enter(answer, E1, R1)
        scopes.enter(other, E0, R2)
        scopes.enter(fresh, E1)
        scopes.fence(Fence(E1, (R1,)))
        assert _cancelled(stale, answer, other, fresh) == [True, True, False, False]
        scopes.fence(Fence(E2))
        assert _cancelled(other, fresh) == [False, True], "an answer's scope follows it alone"

    run(program, backend=anyio_backend)


def test_a_scope_that_was_left_is_forgotten(anyio_backend: str) -> None:
    async def program() -> None:
        scopes, scope = Scopes(), CancelScope()
        scopes.enter(scope, E0)
        scopes.leave(scope)
        scopes.leave(scope)
        scopes.fence(Fence(E1))
        scopes.end()
        assert not scope.cancel_called

    run(program, backend=anyio_backend)


def test_a_handler_is_stopped_by_the_name_of_its_call(anyio_backend: str) -> None:
    async def program() -> None:
        scopes, one, two = Scopes(), CancelScope(), CancelScope()
        with scopes.handling(C1, one), scopes.handling(C2, two):
            assert scopes.handles(C1)
            scopes.fence(Fence(E1))
            assert _cancelled(one, two) == [False, False], "the policy decides, not the epoch"
            scopes.stop((C1,))
            assert _cancelled(one, two) == [True, False]
        assert not scopes.handles(C1)
        scopes.stop((C1, C2))
        assert not two.cancel_called

    run(program, backend=anyio_backend)


def test_all_are_told_of_a_hold_until_they_leave() -> None:
    scopes, told = Scopes(), list[tuple[str, bool]]()
    with scopes.pausing(lambda on: told.append(("a", on))):
        with scopes.pausing(lambda on: told.append(("b", on))):
            scopes.pause(on=True)
        scopes.pause(on=False)
    scopes.pause(on=True)
    assert told == [("a", True), ("b", True), ("a", False)]


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


def test_the_end_stops_everything(anyio_backend: str) -> None:
    async def program() -> None:
        scopes, bound, handler = Scopes(), CancelScope(), CancelScope()
        scopes.enter(bound, E1)
        with scopes.handling(C1, handler):
            scopes.end()
        assert bound.cancel_called
        assert handler.cancel_called

    run(program, backend=anyio_backend)
