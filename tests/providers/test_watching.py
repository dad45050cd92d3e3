"""The watch sees what it is there to see."""

from __future__ import annotations

import time

import anyio
import pytest

from realtime_core.beside import beside
from tests.providers.watching import idle, watched

pytestmark = pytest.mark.anyio


async def test_a_quiet_block_passes() -> None:
    async with watched():
        await idle()


async def test_a_task_that_spins() -> None:
    async def spin() -> None:
        while True:
            await anyio.lowlevel.checkpoint()

    async with beside() as tasks:
        tasks.start_soon(spin)
        with pytest.raises(AssertionError, match="something spins"):
            await idle()


async def test_a_loop_that_stands_still() -> None:
    async def stand_still() -> None:
        async with watched():
            await anyio.wait_all_tasks_blocked()
            time.sleep(2.2)  # noqa: ASYNC251 - this is the fault

    with pytest.raises(AssertionError, match="the loop stood still"):
        await stand_still()


async def test_a_block_that_hangs() -> None:
    with pytest.raises(TimeoutError):
        async with watched(deadline=0.05):
            await anyio.sleep_forever()
