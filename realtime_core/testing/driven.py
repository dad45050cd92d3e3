"""A coroutine watched at its every suspension; what it sends, gets and raises passes unchanged.

Also the simplest use of that: tasks that go on late, as on a busy machine (`stalled`, `stalls`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Generator, Iterator
from types import GeneratorType
from typing import Any, Protocol, TypeVar, cast

import anyio

from .clock import TICK, Weave

__all__ = ("Driven", "Probe", "stalled", "stalls")

T = TypeVar("T")


class Probe(Protocol):
    """What is told about each suspension of a driven coroutine."""

    def suspends(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Learn that the coroutine is about to be suspended.

        It runs inside the task, which is registered for its wake-up but not parked yet: whatever
        acts on tasks belongs into `Stage.soon`.
        """
        ...

    async def resumes(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Learn that it is about to go on, and hold it up by waiting (under a shield)."""
        ...


class Driven(Coroutine[Any, Any, T]):
    """Runs a coroutine and tells a probe of each suspension; awaited or given to a task.

    A late resumption is like a busy machine: the task is ready but not run. Cancel scopes do not
    shorten it and reach the coroutine at its next wait. Whatever is thrown in from outside
    meanwhile goes into the coroutine, never past it.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], probe: Probe) -> None:
        self._coroutine = coroutine
        self._driver = cast("GeneratorType[Any, Any, T]", _drive(coroutine, probe))

    def send(self, value: object) -> Any:  # noqa: ANN401 - whatever the event loop understands
        """Go on with a value."""
        return self._driver.send(value)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401 - see send
        """Go on with an exception."""
        try:
            return self._driver.throw(*error)
        finally:
            if self._driver.gi_frame is None:  # perhaps thrown in before the first step
                self._coroutine.close()

    def close(self) -> None:
        """End it where it stands."""
        try:
            self._driver.close()
        finally:
            self._coroutine.close()  # perhaps before the first step

    def __await__(self) -> Generator[Any, Any, T]:
        return self._driver

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        # cr_frame, cr_await, cr_running, __qualname__: event loops look at what is really run.
        return getattr(self._coroutine, name)


def stalled(coroutine: Coroutine[Any, Any, T], ticks: Iterator[int]) -> Coroutine[Any, Any, T]:
    """Run a coroutine that goes on late by the next number of ticks after each suspension."""
    return Driven(coroutine, _Stalls(ticks))


def stalls(seed: int, tasks: Callable[[str], bool] = lambda _: True, most: int = 4) -> Weave:
    """Stall tasks by 0 to `most` ticks at random, by a seed: `run(..., weave=stalls(7))`.

    `tasks` chooses them by name.
    """
    source = random.Random(seed)  # noqa: S311 - repeatable is the point
    ticks = iter(lambda: source.randint(0, most), None)
    return lambda name, coroutine: stalled(coroutine, ticks) if tasks(name) else coroutine


class _Stalls:
    def __init__(self, ticks: Iterator[int]) -> None:
        self._ticks = ticks

    def suspends(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Let it be."""

    async def resumes(self, coroutine: Coroutine[Any, Any, Any]) -> None:  # noqa: ARG002 - a Probe's
        """Wait for the next number of ticks; not at all when they are used up."""
        seconds = next(self._ticks, 0) * TICK
        if seconds > 0:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(seconds)


def _drive(coroutine: Coroutine[Any, Any, T], probe: Probe) -> Generator[Any, Any, T]:
    resume: Callable[[Any], Any] = coroutine.send
    value: Any = None
    try:
        while True:
            try:
                wish = resume(value)
            except StopIteration as stop:
                return cast("T", stop.value)
            probe.suspends(coroutine)
            try:
                resume, value = coroutine.send, (yield wish)
            except GeneratorExit:
                raise
            except BaseException as caught:
                resume, value = coroutine.throw, caught
            try:
                yield from probe.resumes(coroutine).__await__()
            except GeneratorExit:
                raise
            except BaseException as caught:
                resume, value = coroutine.throw, caught
    finally:
        coroutine.close()
        del resume, value  # an exception must not live on in a frame it passed through
