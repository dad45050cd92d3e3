"""A driven coroutine behaves as if it were not driven; a stalled one is late and loses nothing."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Coroutine, Generator
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.testing import TICK, Driven, Injection, run, stalled, stalls

Step = tuple[str, int]


class Watch:
    """A probe that only counts."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def suspends(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.log.append("suspends")

    async def resumes(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.log.append("resumes")


class Wish:
    """Yields one thing to whoever drives, as a future does."""

    def __init__(self, wish: object) -> None:
        self.wish = wish

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self.wish)


class OddError(Exception):
    pass


async def subject(script: list[str]) -> list[object]:
    """Wishes for numbers and takes what comes, by a script that says how it treats errors."""
    got: list[object] = []
    for number, manner in enumerate(script):
        try:
            got.append(await Wish(number))
        except OddError as error:
            got.append(error.args)
            if manner == "raises":
                raise
            if manner == "returns":
                return got
        except GeneratorExit:
            if manner == "lingers":
                await Wish("one more")
            raise
    return got


def played(coroutine: Coroutine[Any, Any, Any], steps: list[Step]) -> list[object]:
    """What an event loop would see that goes through these steps."""
    seen: list[object] = []
    try:
        seen.append(coroutine.send(None))
        for kind, number in steps:
            if kind == "send":
                seen.append(coroutine.send(number))
            elif kind == "throw":
                seen.append(coroutine.throw(OddError(number)))
            else:
                break  # the end closes it
    except BaseException as error:
        seen.append((type(error), str(error), getattr(error, "value", None)))
    finally:
        try:
            coroutine.close()
        except RuntimeError as error:
            seen.append(str(error))
    return seen


steps = st.lists(st.tuples(st.sampled_from(("send", "throw", "close")), st.integers()), max_size=8)
scripts = st.lists(st.sampled_from(("goes on", "raises", "returns", "lingers")), max_size=6)


@given(script=scripts, play=steps)
def test_driving_is_transparent(script: list[str], play: list[Step]) -> None:
    assert played(Driven(subject(script), Watch()), play) == played(subject(script), play)


def test_each_suspension_is_told_once() -> None:
    watch = Watch()
    played(Driven(subject(["goes on"] * 3), watch), [("send", 1), ("throw", 2), ("send", 3)])
    assert watch.log == ["suspends", "resumes"] * 3


def test_an_awaited_one_gives_its_result(anyio_backend: str) -> None:
    async def program() -> tuple[int, list[str]]:
        async def body() -> int:
            await anyio.sleep(1)
            return 42

        watch = Watch()
        return await Driven(body(), watch), watch.log

    assert run(program, backend=anyio_backend) == (42, ["suspends", "resumes"])


def test_closed_or_thrown_into_before_the_first_step_leaves_no_warning() -> None:
    Driven(subject(["goes on"]), Watch()).close()
    unstarted = Driven(subject(["goes on"]), Watch())
    with pytest.raises(OddError):
        unstarted.throw(OddError())


def test_closing_a_late_one_closes_the_coroutine() -> None:
    class Holds(Watch):
        async def resumes(self, coroutine: Coroutine[Any, Any, Any]) -> None:
            await Wish("held up")

    coroutine = subject(["goes on"])
    driven = Driven(coroutine, Holds())
    assert driven.send(None) == 0
    assert driven.send(1) == "held up"
    driven.close()
    with pytest.raises(RuntimeError, match="already awaited"):
        coroutine.send(None)


def test_introspection_sees_the_real_coroutine() -> None:
    coroutine = subject(["goes on"])
    driven = Driven(coroutine, Watch())
    assert driven.__qualname__ == "subject"
    driven.send(None)
    assert driven.cr_frame is getattr(coroutine, "cr_frame")  # noqa: B009 - not of every Coroutine
    driven.close()


def test_context_variables_belong_to_the_task(anyio_backend: str) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

    async def child(number: int) -> None:
        variable.set(number)
        await anyio.sleep(1)
        assert variable.get() == number

    async def program() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child, 1)
            group.start_soon(child, 2)

    run(program, backend=anyio_backend, weave=stalls(1))


def test_stalls_are_exact_and_end(anyio_backend: str) -> None:
    async def body() -> list[float]:
        seen: list[float] = []
        for _ in range(4):
            await anyio.lowlevel.checkpoint()
            seen.append(anyio.current_time())
        return seen

    async def program() -> list[float]:
        return await stalled(body(), iter((2, 0, 3)))

    assert run(program, backend=anyio_backend) == [2 * TICK, 2 * TICK, 5 * TICK, 5 * TICK]


def test_a_stalled_task_keeps_what_it_was_given(anyio_backend: str) -> None:
    """An item handed over before a cancellation arrives is not lost to a late receiver."""

    async def program() -> tuple[list[str], bool, float]:
        send, receive = anyio.create_memory_object_stream[str](0)
        got: list[str] = []

        async def consume(scope: anyio.CancelScope) -> None:
            with scope:
                got.append(await receive.receive())
                await anyio.sleep_forever()

        async def late(scope: anyio.CancelScope) -> None:
            await stalled(consume(scope), iter((0, 4)))

        scope = anyio.CancelScope()
        with send, receive:
            async with anyio.create_task_group() as group:
                group.start_soon(late, scope)
                await anyio.sleep(TICK)
                send.send_nowait("item")
                await anyio.sleep(TICK)
                scope.cancel()
        return got, scope.cancelled_caught, anyio.current_time()

    assert run(program, backend=anyio_backend) == (["item"], True, 5 * TICK)


def test_a_deadline_that_passes_in_a_stall_is_met_at_the_next_wait(anyio_backend: str) -> None:
    async def body() -> tuple[bool, float]:
        with anyio.move_on_after(2 * TICK) as scope:
            await anyio.sleep(TICK)
            await anyio.sleep(TICK)
        return scope.cancelled_caught, anyio.current_time()

    async def program() -> tuple[bool, float]:
        return await stalled(body(), iter((3,)))

    assert run(program, backend=anyio_backend) == (True, 4 * TICK)


def test_what_is_thrown_into_a_stall_goes_into_the_coroutine() -> None:
    """A native cancellation, which heeds no shield, reaches the coroutine's own handlers."""

    async def body(caught: list[str]) -> None:
        try:
            with anyio.CancelScope():
                await anyio.sleep(TICK)
        except asyncio.CancelledError:
            caught.append("inside")
            raise

    async def program() -> tuple[list[str], bool]:
        caught: list[str] = []
        task = asyncio.create_task(stalled(body(caught), iter((4,))))
        await asyncio.sleep(2 * TICK)
        task.cancel()
        await asyncio.wait([task])
        return caught, task.cancelled()

    assert run(program) == (["inside"], True)


def test_only_the_chosen_tasks_are_stalled(anyio_backend: str) -> None:
    async def napper(out: dict[str, float], name: str) -> None:
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        out[name] = anyio.current_time()

    async def program() -> dict[str, float]:
        out: dict[str, float] = {}
        async with anyio.create_task_group() as group:
            group.start_soon(napper, out, "slow", name="slow")
            group.start_soon(napper, out, "quick", name="quick")
        return out

    out = run(program, backend=anyio_backend, weave=stalls(3, lambda name: name == "slow"))
    assert out["quick"] == 0.0
    assert 0.0 < out["slow"] <= 40 * TICK


def test_time_waits_for_the_threads_of_what_is_driven(anyio_backend: str) -> None:
    async def work() -> float:
        await anyio.to_thread.run_sync(time.sleep, 0.02)
        return anyio.current_time()

    async def program() -> float | None:
        with anyio.move_on_after(60):
            return await Injection().drive(work(), lambda: None)
        return None

    assert run(program, backend=anyio_backend) == 0.0
