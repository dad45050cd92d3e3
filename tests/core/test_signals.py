"""A signal: wakes all who wait at that moment, and remembers nothing."""

from __future__ import annotations

import anyio

from realtime_core.signals import Signal
from realtime_core.testing import no_leaks, run


def test_a_signal_wakes_all_who_wait_and_only_them(anyio_backend: str) -> None:
    async def program() -> list[str]:
        signal, woken = Signal(), list[str]()

        async def wait(name: str, before: float) -> None:
            await anyio.sleep(before)
            await signal.wait()
            woken.append(name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, "a", 0.0)
            tasks.start_soon(wait, "b", 0.0)
            tasks.start_soon(wait, "late", 2.0)
            await anyio.sleep(1.0)
            signal.give()
            await anyio.sleep(2.0)
            assert sorted(woken) == ["a", "b"]
            signal.give()
        return woken

    assert run(program, backend=anyio_backend)[2:] == ["late"]


def test_a_signal_given_while_nobody_waits_is_forgotten(anyio_backend: str) -> None:
    async def program() -> bool:
        signal = Signal()
        signal.give()
        with anyio.move_on_after(1.0) as patience:
            await signal.wait()
        return patience.cancelled_caught

    assert run(program, backend=anyio_backend)


def test_a_wait_that_is_cancelled_leaves_nothing_behind(anyio_backend: str) -> None:
    async def program() -> None:
        signal = Signal()
        async with no_leaks(), anyio.create_task_group() as tasks:
            tasks.start_soon(signal.wait)
            await anyio.sleep(1.0)
            tasks.cancel_scope.cancel()
        signal.give()

    run(program, backend=anyio_backend)


def test_the_first_of_several_signals_wakes_who_waits_for_any(anyio_backend: str) -> None:
    async def program() -> list[float]:
        signals, woken = [Signal() for _ in range(3)], list[float]()

        async def wait() -> None:
            for _ in range(2):
                await Signal.first_of(*signals)
                woken.append(anyio.current_time())

        async with no_leaks(), anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            for signal in reversed(signals):
                await anyio.sleep(1.0)
                signal.give()
        assert not any(signal._waiting for signal in signals)
        return woken

    assert run(program, backend=anyio_backend) == [1.0, 2.0]
