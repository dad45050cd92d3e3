"""Leaks: what outlives a block is named; what the backends keep for later is not counted."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskGroup

from realtime_core.testing import TICK, Leaked, census, no_leaks, run


def test_a_task_left_running_is_named(anyio_backend: str) -> None:
    async def straggler() -> None:
        await anyio.sleep(50)

    async def careless(group: TaskGroup) -> None:
        async with no_leaks(within=2):
            group.start_soon(straggler)

    async def program() -> None:
        async with anyio.create_task_group() as group:
            with pytest.raises(Leaked, match=r"Left behind: task '.*straggler'"):
                await careless(group)
            assert anyio.current_time() == 2.0
            async with no_leaks():  # it was there before
                pass
            group.cancel_scope.cancel()

    run(program, backend=anyio_backend)


def test_a_task_that_is_closing_is_granted_time(anyio_backend: str) -> None:
    async def program() -> float:
        async with anyio.create_task_group() as group, no_leaks(within=2):
            group.start_soon(anyio.sleep, 10 * TICK)
        return anyio.current_time()

    assert run(program, backend=anyio_backend) in {10 * TICK, 11 * TICK}


def test_a_task_of_the_event_loop_itself_counts() -> None:
    async def program() -> None:
        with pytest.raises(Leaked, match="task"):
            async with no_leaks():
                task = asyncio.create_task(asyncio.sleep(5))
        await task

    run(program)


def test_a_thread_is_named() -> None:
    event = threading.Event()
    thread = threading.Thread(target=event.wait, name="forgotten")
    try:
        with pytest.raises(Leaked, match="thread 'forgotten'"), no_leaks():
            thread.start()
    finally:
        event.set()
        thread.join()
    with no_leaks():
        pass


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system lists no descriptors")
def test_an_open_socket_is_named() -> None:
    left, right = socket.socketpair()
    with left, right:
        pass
    with pytest.raises(Leaked, match="file 'socket"), no_leaks():
        left, right = socket.socketpair()
    with left, right:
        pass


def test_where_the_system_lists_no_descriptors_none_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime_core.testing.leaks._DESCRIPTORS", None)
    assert not census().descriptors


def test_idle_workers_do_not_count_and_busy_ones_do(anyio_backend: str) -> None:
    gate = threading.Event()

    async def careless() -> None:
        async with no_leaks():
            with anyio.move_on_after(0.05):
                await anyio.to_thread.run_sync(gate.wait, 10, abandon_on_cancel=True)

    async def program() -> None:
        async with no_leaks():
            await anyio.to_thread.run_sync(int)
        with pytest.raises(Leaked, match="thread"):
            await careless()
        gate.set()

    anyio.run(program, backend=anyio_backend)


def test_the_block_may_end_by_an_error(anyio_backend: str) -> None:
    async def fails(group: TaskGroup | None = None) -> None:
        async with no_leaks():
            if group is not None:
                group.start_soon(anyio.sleep, 1)
            raise ValueError("unchanged")

    async def program() -> None:
        async with anyio.create_task_group() as group:
            with pytest.raises(Leaked) as caught:
                await fails(group)
            assert isinstance(caught.value.__context__, ValueError)
        with pytest.raises(ValueError, match="unchanged"):
            await fails()

    run(program, backend=anyio_backend)


@pytest.mark.parametrize("is_careless", [False, True])
def test_the_block_may_end_by_a_cancellation(anyio_backend: str, is_careless: bool) -> None:
    async def program() -> tuple[bool, bool]:
        has_leaked = False
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                try:
                    async with no_leaks():
                        if is_careless:
                            group.start_soon(anyio.sleep, 5)
                        scope.cancel()
                        await anyio.sleep(1)
                except Leaked:
                    has_leaked = True
        return scope.cancelled_caught, has_leaked

    assert run(program, backend=anyio_backend) == (not is_careless, is_careless)


def test_outside_of_an_event_loop_there_are_no_tasks() -> None:
    now = census()
    assert not now.tasks
    assert any(name == "MainThread" for _, name in now.threads)
    assert not now.since(now)
    assert str(now.since(now)) == ""
