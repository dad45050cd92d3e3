"""Virtual time: run an async program on asyncio or trio without waiting for anything.

Time starts at 0 and stands still while any task can run; when none can, it jumps to the next timer.
A program that could only wait for ever fails with `Deadlock` instead of hanging, and the same seed
gives the same order of events every time, in any process.

What moves with this clock: everything that waits inside the event loop (`anyio.sleep`, deadlines,
events, streams, locks). While a function works in `anyio.to_thread`, time stands still and the loop
really waits for it (on trio not for one that was abandoned on cancellation); while it waits for
the loop in turn (`anyio.from_thread`), time goes on. Not supported are waits for other processes,
for sockets that lead out of this program and for threads made by hand: time may jump past their
answer. Several threads at once finish in an order that no seed decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Final, TypeVar, TypeVarTuple, cast

import anyio

from ._frames import place

__all__ = ("GRACE", "TICK", "Deadlock", "Stage", "Weave", "run", "stage")

TICK: Final = 1 / 64
"""Seconds in one tick: exact in binary, so that timers set on ticks meet at the same instant."""

GRACE: Final = 0.05
"""Real seconds without anything to run before a program is said to be deadlocked."""

Weave = Callable[[str, Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]
"""Given a new task's name and coroutine, says what shall run (often the coroutine itself)."""

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Deadlock(AssertionError):  # noqa: N818 - it names the finding, like the built-in exceptions
    """Every task waits, no timer is set and no thread works: the program would hang."""


class Stage:
    """What one run shares with its event loop; made by `run`, found by `stage()`.

    Only for those who build their own probes on `driven.Probe`: `soon` is how a probe acts from
    outside the task it watches.
    """

    def __init__(self, weave: Weave | None = None) -> None:
        self.deadlock: Deadlock | None = None
        self._weave = weave
        self._root: anyio.CancelScope | None = None
        self._soon: list[Callable[[], object]] = []

    def soon(self, act: Callable[[], object]) -> None:
        """Call `act` as soon as the task that runs now is suspended, before any other task runs."""
        self._soon.append(act)

    def stepped(self) -> None:
        """Do what was asked for by `soon`; the event loop calls this after each step of a task."""
        while self._soon:
            self._soon.pop(0)()

    def woven(self, name: str, coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Give what shall run for a new task; the event loop calls this for each task."""
        if self._root is None or self._weave is None:
            return coroutine
        return self._weave(name, coroutine)

    def stuck(self) -> None:
        """End a run in which nothing can happen: cancel it, and if that does not help, raise."""
        if self.deadlock is not None or self._root is None:
            raise self.deadlock or Deadlock("The event loop has nothing to do and no end.")
        self.deadlock = Deadlock(_who_waits())
        self._root.cancel()

    async def play(self, fn: Callable[[*Args], Awaitable[T]], args: tuple[*Args]) -> T:
        """Run the program as the main task, under a scope that `stuck` can cancel."""
        _stage.set(self)
        result: tuple[T] | None = None
        try:
            with anyio.CancelScope() as self._root:
                result = (await fn(*args),)
        except Exception as error:
            if self.deadlock is not None:
                raise self.deadlock from error
            raise
        finally:
            self._root = None
        if result is None or self.deadlock is not None:
            raise self.deadlock or Deadlock("The program was cancelled from outside.")
        return result[0]


_stage: ContextVar[Stage] = ContextVar("realtime_core.testing.stage")


def stage() -> Stage:
    """Give the stage of the running program; raises `LookupError` outside of `run`."""
    found = _stage.get(None)
    if found is None:
        raise LookupError("This works on virtual time only: call it inside testing.run(...).")
    return found


def run(
    fn: Callable[[*Args], Awaitable[T]],
    *args: *Args,
    backend: str = "asyncio",
    seed: int = 0,
    weave: Weave | None = None,
) -> T:
    """Run `fn(*args)` on virtual time, starting at 0, and give its result.

    `backend` is "asyncio" or "trio" (trio must be installed). `seed` decides the order in which
    trio runs tasks that are ready together; asyncio runs them in the order they became ready.
    `weave` may replace the coroutine of each task started through anyio (see `driven.stalls`).
    Raises what `fn` raises, or `Deadlock`.
    """
    if backend == "trio":
        from ._trio import virtual  # noqa: PLC0415 - only who asks for trio needs it
    else:
        from ._asyncio import virtual  # noqa: PLC0415 - as above
    acting = Stage(weave)
    with virtual(acting, seed) as start:
        return cast("T", start(acting.play, fn, args))


def _who_waits() -> str:
    waiting = [
        f"{'the main task' if task.name.endswith(Stage.play.__qualname__) else task.name} "
        f"at {place(task.coro)}"
        for task in anyio.get_running_tasks()
        if task.name and not task.name.startswith(("<", "trio._core."))
    ]
    return (
        f"Nothing can run and no timer is set at {anyio.current_time()} s. "
        "Likely cause: an event nobody sets, or a stream nobody closes. "
        f"Waiting: {'; '.join(waiting) or 'no task of this program'}."
    )
