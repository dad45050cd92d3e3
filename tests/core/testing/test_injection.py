"""Exhaustive injection: it reaches every instant, changes nothing else, finds what is planted."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest

from realtime_core.testing import (
    TICK,
    Deadlock,
    Injection,
    Point,
    PointsFailed,
    every_point,
    inject_at,
    no_leaks,
    points,
    run,
    stalls,
    suspensions,
)
from realtime_core.testing.sweep import Scenario


async def three_naps(seen: list[float] | None = None) -> str:
    for _ in range(3):
        await anyio.sleep(1)
        if seen is not None:
            seen.append(anyio.current_time())
    return "rested"


# --- the instants -----------------------------------------------------------------------------


def test_suspensions_are_counted(anyio_backend: str) -> None:
    async def nothing() -> None:
        pass

    assert suspensions(three_naps, backend=anyio_backend) == 3
    assert suspensions(three_naps, [0.0], backend=anyio_backend) == 3
    assert suspensions(nothing, backend=anyio_backend) == 0


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_inject_at_acts_at_its_suspension(anyio_backend: str, number: int) -> None:
    async def program() -> tuple[list[float], list[float], str]:
        at: list[float] = []
        seen: list[float] = []
        result = await inject_at(number, three_naps(seen), lambda: at.append(anyio.current_time()))
        after: list[float] = []
        await inject_at(number, three_naps(), lambda: after.append(anyio.current_time()), "resume")
        return at, after, result

    at, after, result = run(program, backend=anyio_backend)
    assert result == "rested"
    assert at == ([] if number == 3 else [float(number)])
    assert after == ([] if number == 3 else [3.0 + number + 1])


def test_the_action_happens_outside_of_the_task_once_it_is_suspended(anyio_backend: str) -> None:
    """To wake and cancel the very task that is suspending is safe: it is parked by then."""

    async def program() -> tuple[bool, bool]:
        event = anyio.Event()
        scope = anyio.CancelScope()

        def wake_and_cancel() -> None:
            event.set()
            scope.cancel()

        async def waiter() -> None:
            with scope:
                await event.wait()
                await anyio.sleep(1)

        await inject_at(0, waiter(), wake_and_cancel)
        return scope.cancelled_caught, event.is_set()

    assert run(program, backend=anyio_backend) == (True, True)


def test_what_the_action_raises_is_raised_in_the_end(anyio_backend: str) -> None:
    seen: list[float] = []

    async def program() -> None:
        await inject_at(1, three_naps(seen), lambda: seen.remove(7.0))

    with pytest.raises(ValueError, match="not in list"):
        run(program, backend=anyio_backend)
    assert seen == [1.0, 2.0, 3.0]


def test_every_instant_is_visited_once(anyio_backend: str) -> None:
    visited: list[tuple[float, int]] = []

    async def scenario(point: Injection) -> None:
        seen: list[float] = []
        await point.drive(
            three_naps(seen), lambda: visited.append((anyio.current_time(), len(seen)))
        )

    assert every_point(scenario, backend=anyio_backend) == 6
    assert visited == [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2)]
    told = list(points(scenario, backend=anyio_backend))
    assert [(point.number, point.total, point.moment) for point in told] == [
        (number, 6, "resume" if number % 2 else "suspend") for number in range(6)
    ]
    assert all(point.place.startswith("test_injection.py:") for point in told)
    assert str(told[1]).startswith("1 of 6 (resume at test_injection.py:")
    assert told[0].place.endswith(" in three_naps")


def test_instants_of_several_tasks_count_together_once_armed(anyio_backend: str) -> None:
    async def scenario(point: Injection) -> None:
        await point.drive(three_naps())  # before the action is known: not counted
        point.arm(lambda: None)
        async with anyio.create_task_group() as group:
            group.start_soon(point.drive, three_naps())
            group.start_soon(point.drive, three_naps())

    assert every_point(scenario, backend=anyio_backend) == 12


def test_tasks_inside_of_a_library_are_chosen_by_name(anyio_backend: str) -> None:
    async def scenario(point: Injection) -> None:
        point.arm(lambda: None)
        async with anyio.create_task_group() as group:
            group.start_soon(three_naps, name="their.pump")
            group.start_soon(three_naps, name="their.clock")

    chosen = every_point(scenario, backend=anyio_backend, tasks=lambda name: "pump" in name)
    assert chosen == 6
    assert every_point(scenario, backend=anyio_backend) == 0


# --- what a scenario may be -------------------------------------------------------------------


def test_an_action_may_be_awaited_beside_the_scenario(anyio_backend: str) -> None:
    ended: list[float] = []

    async def scenario(point: Injection) -> None:
        async def act() -> None:
            await anyio.sleep(10)
            ended.append(anyio.current_time())

        await point.drive(three_naps(), act)

    assert every_point(scenario, backend=anyio_backend) == 6
    assert ended == [10, 11, 11, 12, 12, 13]


def test_the_first_step_of_an_async_action_is_as_exact_as_a_plain_one(anyio_backend: str) -> None:
    visited: list[tuple[float, int]] = []

    async def scenario(point: Injection) -> None:
        seen: list[float] = []

        async def act() -> None:
            visited.append((anyio.current_time(), len(seen)))
            await anyio.sleep(1)

        await point.drive(three_naps(seen), act)

    assert every_point(scenario, backend=anyio_backend, tasks=lambda _: True) == 6
    assert visited == [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2)]


class Awaitable:
    def __await__(self) -> Iterator[None]:
        return iter(())


@pytest.mark.parametrize("action", [three_naps, Awaitable])
def test_an_async_action_needs_somebody_to_await_it(
    anyio_backend: str, action: Callable[[], object]
) -> None:
    async def program() -> None:
        await inject_at(0, three_naps(), action)

    with pytest.raises(TypeError, match="use every_point"):
        run(program, backend=anyio_backend)


@pytest.mark.parametrize("is_async", [False, True])
def test_an_action_that_fails_is_a_failure(anyio_backend: str, is_async: bool) -> None:
    async def scenario(point: Injection) -> None:
        async def later() -> None:
            await anyio.sleep(TICK)
            raise ValueError("the action")

        def now() -> None:
            raise ValueError("the action")

        await point.drive(three_naps(), later if is_async else now)

    with pytest.raises(PointsFailed, match="fails at 6 of 6 instants") as caught:
        every_point(scenario, backend=anyio_backend)
    assert isinstance(caught.value.__cause__, ValueError)
    assert len(caught.value.points) == 6


def test_a_scenario_that_fails_by_itself_says_so(anyio_backend: str) -> None:
    async def scenario(point: Injection) -> None:
        await point.drive(three_naps(), lambda: None)
        raise ValueError("by itself")

    with pytest.raises(ValueError, match="by itself"):
        every_point(scenario, backend=anyio_backend)


def test_a_scenario_that_hangs_at_an_instant_fails_there(anyio_backend: str) -> None:
    async def scenario(point: Injection) -> None:
        heard, answered = anyio.Event(), anyio.Event()
        scope = anyio.CancelScope()

        async def listener() -> None:
            with scope:
                await heard.wait()
                answered.set()

        async with anyio.create_task_group() as group:
            group.start_soon(point.drive, listener(), scope.cancel)
            await anyio.sleep(1)
            heard.set()
            await answered.wait()  # for ever, if the listener is cancelled before it answers

    told = list(points(scenario, backend=anyio_backend))
    assert [type(point.error) for point in told] == [Deadlock, type(None)]


def test_a_scenario_that_does_not_repeat_is_told(anyio_backend: str) -> None:
    runs = itertools.count()

    async def scenario(point: Injection) -> None:
        point.arm(lambda: None)
        for _ in range(3 if next(runs) == 0 else 1):
            await point.drive(anyio.sleep(1))

    with pytest.raises(PointsFailed, match="does not repeat") as caught:
        every_point(scenario, backend=anyio_backend)
    assert [point.number for point in caught.value.points] == [2, 3, 4, 5]


# --- what it finds ----------------------------------------------------------------------------


class Outlet:
    """A queue with an epoch; `fault` says which law it breaks, or nothing."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.epoch = 0
        self.items: deque[int] = deque()
        self.wakeup = anyio.Event()
        self.handed: deque[int] = deque()

    def put(self) -> None:
        if self.fault == "hands over" and not self.items:
            self.handed.append(self.epoch)
        else:
            self.items.append(self.epoch)
        self.wakeup.set()

    def interrupt(self) -> None:
        self.epoch += 1
        self.items.clear()

    async def get(self) -> int:
        while True:
            if not self.items and not self.handed:
                self.wakeup = anyio.Event()
                await self.wakeup.wait()
            if self.handed:
                return self.handed.popleft()
            while self.items:
                item = self.items.popleft()
                if item < self.epoch:
                    continue
                if self.fault == "checks, suspends, delivers":
                    await anyio.lowlevel.checkpoint()
                return item


def stale_after(fault: str, is_async: bool = False) -> Scenario:
    """The law: what is delivered belongs to the epoch of that very instant."""

    async def scenario(point: Injection) -> None:
        outlet = Outlet(fault)

        async def consume() -> None:
            for _ in range(6):
                with anyio.move_on_after(20 * TICK):
                    item = await outlet.get()
                    assert item == outlet.epoch, f"{item} delivered at {outlet.epoch}"
                    await anyio.sleep(TICK)

        async def interrupt() -> None:
            outlet.interrupt()

        async def provide() -> None:
            for _ in range(8):
                await anyio.sleep(TICK)
                outlet.put()

        async with anyio.create_task_group() as group:
            group.start_soon(provide)
            await point.drive(consume(), interrupt if is_async else outlet.interrupt)

    return scenario


def failures(fault: str, backend: str, is_async: bool = False) -> list[Point]:
    told = points(stale_after(fault, is_async), backend=backend)
    return [point for point in told if point.error]


def test_the_sound_outlet_holds_everywhere(anyio_backend: str) -> None:
    assert every_point(stale_after(""), backend=anyio_backend) >= 14


@pytest.mark.parametrize("is_async", [False, True])
def test_check_suspend_deliver_is_always_found(anyio_backend: str, is_async: bool) -> None:
    found = failures("checks, suspends, delivers", anyio_backend, is_async)
    assert len(found) >= 6
    assert all(" in get" in point.place for point in found)
    assert {point.moment for point in found} == {"suspend", "resume"}
    again = failures("checks, suspends, delivers", anyio_backend, is_async)
    assert [point[:4] for point in again] == [point[:4] for point in found]


def test_shuffling_alone_hardly_finds_it(anyio_backend: str) -> None:
    """Why this module exists: an interrupt at a timer never falls between two steps."""

    async def program() -> int:
        outlet = Outlet("checks, suspends, delivers")
        stale = 0

        async def consume() -> None:
            nonlocal stale
            with anyio.move_on_after(20 * TICK):
                while True:
                    item = await outlet.get()
                    stale += item != outlet.epoch
                    await anyio.sleep(TICK)

        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            for count in range(8):
                await anyio.sleep(TICK)
                outlet.put()
                if count == 3:
                    outlet.interrupt()
        return stale

    shuffled = sum(bool(run(program, backend=anyio_backend, seed=seed)) for seed in range(50))
    late = sum(bool(run(program, backend=anyio_backend, weave=stalls(seed))) for seed in range(50))
    assert shuffled == 0
    assert late > 0


def test_an_item_handed_to_a_waiting_consumer_is_found_before_it_goes_on(
    anyio_backend: str,
) -> None:
    found = failures("hands over", anyio_backend)
    assert found
    assert {point.moment for point in found} == {"resume"}


@pytest.mark.parametrize("fault", ["", "forgets on cancel"])
def test_cancelling_nested_task_groups_anywhere_leaves_nothing(
    anyio_backend: str, fault: str
) -> None:
    async def scenario(point: Injection) -> None:
        open_doors: set[int] = set()

        @asynccontextmanager
        async def door(number: int) -> AsyncIterator[None]:
            open_doors.add(number)
            if fault:
                await anyio.lowlevel.checkpoint()  # cancelled here, the door stays open
            try:
                await anyio.lowlevel.checkpoint()
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(TICK)
                open_doors.discard(number)

        async def leaf(number: int) -> None:
            async with door(number):
                await anyio.sleep(number * TICK)

        async def branch(number: int) -> None:
            async with door(number), anyio.create_task_group() as group:
                group.start_soon(leaf, number + 1)
                await anyio.sleep(TICK)
                group.start_soon(leaf, number + 2)

        async def root() -> None:
            async with door(0), anyio.create_task_group() as group:
                group.start_soon(branch, 10)
                group.start_soon(branch, 20)

        async with no_leaks():
            with anyio.CancelScope() as scope:
                await point.drive(root(), scope.cancel)
        assert not open_doors

    def all_of(name: str) -> bool:
        return name.endswith(("branch", "leaf"))

    if not fault:
        assert every_point(scenario, backend=anyio_backend, tasks=all_of) > 20
    else:
        with pytest.raises(PointsFailed, match=r"assert not \{|fails at"):
            every_point(scenario, backend=anyio_backend, tasks=all_of)
