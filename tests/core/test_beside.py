"""Beside: tasks that end with a block or that it waits for, and failures as they were raised."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest
from anyio.abc import TaskGroup

from realtime_core.beside import beside, together
from realtime_core.testing import TICK, no_leaks, run

Opened = Callable[[], AbstractAsyncContextManager[TaskGroup]]


async def fail(after: int, problem: Exception) -> None:
    await anyio.sleep(after * TICK)
    raise problem


def test_together_waits_for_its_tasks_and_beside_ends_them(anyio_backend: str) -> None:
    async def program() -> list[float]:
        times = list[float]()
        async with no_leaks():
            for opened in (together, beside):
                async with opened() as tasks:
                    tasks.start_soon(anyio.sleep, 4 * TICK)
                times.append(anyio.current_time() / TICK)
        return times

    assert run(program, backend=anyio_backend) == [4, 4]


@pytest.mark.parametrize("opened", [together, beside])
@pytest.mark.parametrize("where", ["block", "task"])
def test_what_one_raises_comes_out_as_it_was_raised(
    anyio_backend: str, opened: Opened, where: str
) -> None:
    problem = LookupError("mine")

    async def program() -> None:
        async with no_leaks():
            with pytest.raises(LookupError) as raised:  # noqa: PT012 - the block is what is tested
                async with opened() as tasks:
                    if where == "block":
                        tasks.start_soon(anyio.sleep_forever)
                        await fail(1, problem)
                    tasks.start_soon(fail, 1, problem)
                    await anyio.sleep_forever()
            assert raised.value is problem
            assert not isinstance(raised.value.__context__, BaseExceptionGroup)
            assert anyio.current_time() == TICK

    run(program, backend=anyio_backend)


def test_several_failures_come_out_together(anyio_backend: str) -> None:
    async def fail_too() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise OSError("another")

    async def program() -> None:
        with pytest.raises(ExceptionGroup) as raised:  # noqa: PT012 - the block is what is tested
            async with together() as tasks:
                tasks.start_soon(fail, 1, LookupError("one"))
                tasks.start_soon(fail_too)
        assert {type(one) for one in raised.value.exceptions} == {LookupError, OSError}

    run(program, backend=anyio_backend)


def test_a_cancellation_passes_through(anyio_backend: str) -> None:
    async def program() -> None:
        with anyio.move_on_after(TICK) as scope:
            async with together() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                await anyio.sleep_forever()
        assert scope.cancelled_caught

    run(program, backend=anyio_backend)
