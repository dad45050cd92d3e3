"""Virtual time: exact, repeatable, never hanging, the same on both backends."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.testing import TICK, Deadlock, no_leaks, run, stalls
from realtime_core.testing.clock import GRACE, stage

BOTH = ("asyncio", "trio")
Trace = list[tuple[float, object]]


async def jostle(out: Trace, delays: list[int]) -> None:
    """Tasks that meet at the same ticks, wake each other, and are cancelled together."""

    async def child(number: int, ticks: int) -> None:
        try:
            for _ in range(3):
                await anyio.sleep(ticks * TICK)
                out.append((anyio.current_time(), number))
            async with anyio.create_task_group() as inner:
                inner.start_soon(anyio.sleep_forever)
                await anyio.Event().wait()
        finally:
            out.append((anyio.current_time(), -number))

    async with anyio.create_task_group() as group:
        for number, ticks in enumerate(delays, 1):
            group.start_soon(child, number, ticks)
        await anyio.sleep(3 * max(delays) * TICK + TICK)
        group.cancel_scope.cancel()


def traced(backend: str, delays: list[int], **options: Any) -> Trace:
    out: Trace = []
    run(jostle, out, delays, backend=backend, **options)
    return out


def test_time_starts_at_zero_and_nothing_waits(anyio_backend: str) -> None:
    async def program() -> tuple[float, float]:
        start = anyio.current_time()
        await anyio.sleep(80_000)
        return start, anyio.current_time()

    began = time.monotonic()
    assert run(program, backend=anyio_backend) == (0.0, 80_000.0)
    assert time.monotonic() - began < 5


@given(ticks=st.lists(st.integers(0, 10_000), min_size=1, max_size=20))
def test_sums_of_ticks_are_exact(anyio_backend: str, ticks: list[int]) -> None:
    async def program() -> float:
        for count in ticks:
            await anyio.sleep(count * TICK)
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == sum(ticks) * TICK


@given(ticks=st.lists(st.integers(0, 8), min_size=2, max_size=12))
def test_two_timers_at_one_tick_meet(anyio_backend: str, ticks: list[int]) -> None:
    """Several short sleeps and one long one that end at the same tick see the same instant."""

    async def program() -> set[float]:
        seen: set[float] = set()

        async def by_steps(steps: list[int]) -> None:
            for count in steps:
                await anyio.sleep(count * TICK)
            seen.add(anyio.current_time())

        async with anyio.create_task_group() as group:
            group.start_soon(by_steps, ticks)
            group.start_soon(by_steps, [sum(ticks)])
            group.start_soon(by_steps, ticks[::-1])
        return seen

    assert run(program, backend=anyio_backend) == {sum(ticks) * TICK}


def test_deadlines_and_ties(anyio_backend: str) -> None:
    async def program() -> list[object]:
        with anyio.move_on_after(3 * TICK) as late:
            await anyio.sleep(4 * TICK)
        now = anyio.current_time()
        with anyio.move_on_after(3 * TICK) as early:
            await anyio.sleep(2 * TICK)
        try:
            with anyio.fail_after(TICK):
                await anyio.Event().wait()
        except TimeoutError:
            return [late.cancelled_caught, now, early.cancelled_caught, anyio.current_time()]
        return []

    assert run(program, backend=anyio_backend) == [True, 3 * TICK, False, 6 * TICK]


def test_time_stands_still_while_a_task_can_run(anyio_backend: str) -> None:
    async def program() -> float:
        passed: list[float] = []
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, TICK)
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            passed.append(anyio.current_time())
        return passed[0]

    assert run(program, backend=anyio_backend) == 0.0


def test_results_arguments_and_errors_pass(anyio_backend: str) -> None:
    async def program(number: int, word: str) -> str:
        await anyio.sleep(1)
        if number < 0:
            raise ValueError(word)
        return word * number

    assert run(program, 2, "ab", backend=anyio_backend) == "abab"
    with pytest.raises(ValueError, match="ab"):
        run(program, -1, "ab", backend=anyio_backend)


@given(delays=st.lists(st.integers(1, 4), min_size=1, max_size=6), seed=st.integers(0, 2**32))
def test_one_seed_one_trace(anyio_backend: str, delays: list[int], seed: int) -> None:
    first = traced(anyio_backend, delays, seed=seed)
    ballast = [object() for _ in range(random.randrange(500))]  # other addresses, other hashes
    assert traced(anyio_backend, delays, seed=seed) == first
    del ballast


@given(delays=st.lists(st.integers(1, 4), min_size=1, max_size=6), seed=st.integers(0, 2**32))
def test_one_seed_one_trace_with_stalls(anyio_backend: str, delays: list[int], seed: int) -> None:
    first = traced(anyio_backend, delays, weave=stalls(seed))
    assert traced(anyio_backend, delays, weave=stalls(seed)) == first


def test_the_trace_is_the_same_in_another_process(anyio_backend: str) -> None:
    code = (
        "import sys; sys.path[:0] = eval(sys.argv[1]); import random; "
        "junk = [object() for _ in range(random.randrange(9999))]; "
        "import test_clock; print(test_clock.traced(sys.argv[2], [1, 2, 2, 1, 3], seed=7))"
    )
    here = str(__import__("pathlib").Path(__file__).parent)
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, repr([here, *sys.path]), anyio_backend],
            env={"PYTHONHASHSEED": str(salt)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for salt in (1, 2)
    }
    assert len(outputs) == 1
    assert outputs == {f"{traced(anyio_backend, [1, 2, 2, 1, 3], seed=7)}\n"}


def test_tasks_that_asyncio_keeps_in_sets_keep_one_order() -> None:
    """What is left over at the end is cancelled by the loop, out of a set of tasks."""

    def ended() -> list[int]:
        order: list[int] = []

        async def left_over(number: int) -> None:
            try:
                await asyncio.sleep(9)
            finally:
                order.append(number)

        async def program() -> list[asyncio.Task[None]]:
            tasks = list[asyncio.Task[None]]()
            for number in range(12):
                tasks.append(asyncio.create_task(left_over(number)))
                ballast.append([object() for _ in range(random.randrange(100))])
            await asyncio.sleep(1)
            return tasks

        ballast: list[list[object]] = []
        run(program)
        return order

    assert len({tuple(ended()) for _ in range(5)}) == 1


def test_seeds_reach_different_orders_on_trio() -> None:
    seen = {tuple(traced("trio", [1, 1, 1], seed=seed)) for seed in range(20)}
    assert len(seen) > 3


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_deadlock_is_told_and_leaves_nothing(anyio_backend: str, is_nested: bool) -> None:
    freed: list[str] = []

    async def waits_for_ever() -> None:
        try:
            await anyio.Event().wait()
        finally:
            freed.append("freed")

    async def program() -> None:
        await anyio.sleep(2.5)
        if not is_nested:
            await waits_for_ever()
        async with anyio.create_task_group() as group:
            group.start_soon(waits_for_ever)

    began = time.monotonic()
    with no_leaks(), pytest.raises(Deadlock, match=r"2\.5 s.*Likely cause.*waits_for_ever"):
        run(program, backend=anyio_backend)
    assert freed == ["freed"]
    assert time.monotonic() - began < 5


def test_a_deadlock_that_is_swallowed_is_told_all_the_same(anyio_backend: str) -> None:
    async def program() -> str:
        with suppress(BaseException):  # wrong on purpose
            await anyio.sleep_forever()
        return "swallowed"

    with pytest.raises(Deadlock):
        run(program, backend=anyio_backend)


def test_an_error_on_the_way_out_of_a_deadlock_is_kept_as_its_cause(anyio_backend: str) -> None:
    async def program() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("in the tear-down")

    with pytest.raises(Deadlock) as caught:
        run(program, backend=anyio_backend)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_wait_for_ever_under_a_shield_does_not_hang(anyio_backend: str) -> None:
    """Such a program cannot be ended in good order; what it leaves is collected here."""

    async def program() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.Event().wait()

    try:
        with pytest.raises(Deadlock, match="in program"):
            run(program, backend=anyio_backend)
    finally:
        del program
        gc.collect()


def test_a_deadlock_is_not_called_too_soon(anyio_backend: str) -> None:
    """A thread made by hand is not waited for, but one that answers at once is heard."""

    async def program() -> str:
        answered = anyio.Event()
        async with anyio.from_thread.BlockingPortal() as portal:
            timer = threading.Timer(GRACE / 5, portal.start_task_soon, (answered.set,))
            timer.start()
            await answered.wait()
            timer.join()
        return "heard"

    assert run(program, backend=anyio_backend) == "heard"


def test_faults_of_trio_itself_pass() -> None:
    async def program() -> None:
        raise trio.TrioInternalError("not ours")

    with pytest.raises(trio.TrioInternalError, match="not ours"):
        run(program, backend="trio")


def test_time_waits_for_worker_threads(anyio_backend: str) -> None:
    async def program() -> list[float]:
        seen: list[float] = []
        limiter = anyio.CapacityLimiter(2)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 60)
            for _ in range(2):
                await anyio.to_thread.run_sync(time.sleep, 0.02)
                seen.append(anyio.current_time())
                await anyio.to_thread.run_sync(time.sleep, 0.02, limiter=limiter)
                await anyio.sleep(1)
                seen.append(anyio.current_time())
        return [*seen, anyio.current_time()]

    assert run(program, backend=anyio_backend) == [0.0, 1.0, 1.0, 2.0, 60.0]


def test_time_goes_on_while_a_thread_waits_for_the_loop(anyio_backend: str) -> None:
    async def answer() -> float:
        await anyio.sleep(3)
        return anyio.current_time()

    def in_a_thread() -> tuple[float, float, float]:
        first = anyio.from_thread.run(answer)
        time.sleep(0.02)  # work again: time stands still
        return first, anyio.from_thread.run_sync(anyio.current_time), anyio.from_thread.run(answer)

    async def program() -> tuple[float, float, float]:
        seen: list[tuple[float, float, float]] = []
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 60)
            seen.append(await anyio.to_thread.run_sync(in_a_thread))
        return seen[0]

    assert run(program, backend=anyio_backend) == (3.0, 3.0, 6.0)


def test_time_goes_on_while_a_call_waits_for_its_turn(anyio_backend: str) -> None:
    async def program() -> float:
        limiter = anyio.CapacityLimiter(1)

        async def call() -> None:
            await anyio.to_thread.run_sync(int, limiter=limiter)

        async with anyio.create_task_group() as group, limiter:
            group.start_soon(call)
            await anyio.sleep(5)
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 5.0


def test_a_cancelled_call_that_cannot_be_abandoned_is_waited_for(anyio_backend: str) -> None:
    async def program() -> float:
        with anyio.move_on_after(0) as scope:
            await anyio.to_thread.run_sync(time.sleep, 0.05)
        scope.cancel()
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 0.0


def test_new_tasks_can_be_woven(anyio_backend: str) -> None:
    names: list[str] = []

    def weave(name: str, coroutine: Any) -> Any:
        names.append(name.rpartition(".")[2])
        return coroutine

    async def child() -> None:
        await anyio.sleep(1)

    async def program() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child)
            group.start_soon(child, name="by.another_name")

    run(program, backend=anyio_backend, weave=weave)
    assert names == ["child", "another_name"]


def test_the_stage_exists_inside_only(anyio_backend: str) -> None:
    with pytest.raises(LookupError, match="virtual time"):
        stage()

    async def program() -> list[str]:
        order: list[str] = []
        stage().soon(lambda: order.append("after the step"))
        order.append("in the step")
        await anyio.lowlevel.checkpoint()
        return order

    assert run(program, backend=anyio_backend) == ["in the step", "after the step"]


def test_asyncio_scopes_outside_of_a_run_are_untouched() -> None:
    async def program() -> bool:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep(1)
        return scope.cancelled_caught

    made: list[Callable[[], bool]] = [lambda: anyio.run(program)]
    worker = threading.Thread(target=lambda: made.append(lambda: anyio.run(program)))

    async def meanwhile() -> None:
        worker.start()
        worker.join()

    run(meanwhile)
    assert [call() for call in made] == [True, True]
