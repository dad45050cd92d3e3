"""Sweeps: run a scenario once per instant at which anything can happen to it.

A scenario is run once to count the instants of its tasks under test and then once per instant, on
virtual time, with its action (interrupt, cancel, close, lose the connection, deliver a frame) at
exactly that instant. What shuffling finds by luck, this finds always::

    async def barge_in(point: Injection) -> None:
        async with open_session(provider) as session:
            await point.drive(play(session), session.interrupt)
        assert ...

    every_point(barge_in, backend="trio")
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, NamedTuple

import anyio

from .clock import run
from .driven import Driven
from .injection import BESIDE, Injection, Moment

__all__ = ("Matches", "Point", "PointsFailed", "Scenario", "every_point", "points")

Matches = Callable[[str], bool]
"""Chooses tasks by the name they were started with ("package.module.function" by default)."""

Scenario = Callable[[Injection], Awaitable[object]]
"""A program with its assertions; it drives its tasks under test by the injection it is given."""


class Point(NamedTuple):
    """One run of a scenario: the instant (from 0), how many there are, and what went wrong."""

    number: int
    total: int
    moment: Moment
    place: str
    error: Exception | None

    def __str__(self) -> str:
        return f"{self.number} of {self.total} ({self.moment} at {self.place})"


class PointsFailed(AssertionError):  # noqa: N818 - it names the finding
    """A scenario does not hold at some instants; `.points` lists them."""

    def __init__(self, failed: tuple[Point, ...], backend: str) -> None:
        first = failed[0]
        numbers = ", ".join(str(point.number) for point in failed)
        super().__init__(
            f"The scenario fails at {len(failed)} of {first.total} instants on {backend}. "
            f"First at {first}: {first.error!r}. All: {numbers}."
        )
        self.points = failed


def points(
    scenario: Scenario, *, backend: str = "asyncio", seed: int = 0, tasks: Matches | None = None
) -> Iterator[Point]:
    """Run a scenario once per instant and give what became of each run.

    Besides the coroutines that the scenario drives itself, all tasks started through anyio whose
    name satisfies `tasks` are under test, once the scenario has called `arm`. The run that counts
    has no action; if it fails, its error is raised.
    """
    counting = Injection()
    failure = _attempt(scenario, counting, backend, seed, tasks)
    if failure is not None:
        raise failure
    for number in range(counting.instants):
        point = Injection(number)
        error = _attempt(scenario, point, backend, seed, tasks)
        if error is None and not point.fired:
            error = AssertionError("This instant was not reached: the scenario does not repeat.")
        yield Point(number, counting.instants, point.moment, point.place, error)


def every_point(
    scenario: Scenario, *, backend: str = "asyncio", seed: int = 0, tasks: Matches | None = None
) -> int:
    """Require that a scenario holds at every instant; give their number, or raise `PointsFailed`.

    The parameters are those of `points`. The first failure is the cause of what is raised.
    """
    done = tuple(points(scenario, backend=backend, seed=seed, tasks=tasks))
    failed = tuple(point for point in done if point.error is not None)
    if failed:
        raise PointsFailed(failed, backend) from failed[0].error
    return len(done)


def _attempt(
    scenario: Scenario, point: Injection, backend: str, seed: int, tasks: Matches | None
) -> Exception | None:
    def weave(name: str, coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        is_chosen = tasks is not None and name != BESIDE and tasks(name)
        return Driven(coroutine, point) if is_chosen else coroutine

    try:
        return run(_played, scenario, point, backend=backend, seed=seed, weave=weave)
    except Exception as error:  # a deadlock, or a fault in the tear-down
        return error


async def _played(scenario: Scenario, point: Injection) -> Exception | None:
    failure: Exception | None = None
    async with anyio.create_task_group() as beside:
        point.attend(beside)
        try:
            await scenario(point)
        except Exception as error:
            failure = error
            beside.cancel_scope.cancel()
        point.close()
    return failure or point.failure
