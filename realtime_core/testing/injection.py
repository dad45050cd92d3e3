"""Injection: do one thing to a program at exactly one instant of the tasks under test.

Under cooperative scheduling other code runs only where a task is suspended. Each suspension has two
instants: when the task has just been suspended, and when what it waited for has happened but the
task has not gone on yet. `sweep.every_point` visits them all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from inspect import isawaitable
from typing import Any, Literal, TypeVar, TypeVarTuple

import anyio
from anyio.abc import TaskGroup

from ._frames import place
from .clock import run, stage
from .driven import Driven

__all__ = ("Action", "Injection", "Moment", "inject_at", "suspensions")

Moment = Literal["suspend", "resume"]
Action = Callable[[], object]
"""What to do at the instant.

It is called at the instant itself: when the task has been suspended and before any other runs, or
when the task is about to go on. An awaitable that it returns is awaited in a task beside the
scenario, whose first step the driven tasks wait for: so an `async def` that never waits is as exact
as a plain function.
"""

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Injection:
    """One action, done at one instant of the tasks that are driven by it; single use.

    `instants` counts both kinds, over all driven tasks together and only while there is an action.
    """

    def __init__(
        self, at: int | None = None, moments: Iterable[Moment] = ("suspend", "resume")
    ) -> None:
        self._at = at
        self._moments = frozenset(moments)
        self._action: Action | None = None
        self._pending: Awaitable[object] | None = None
        self._has_aftermath = False
        self._decided = anyio.Event()
        self._begun = anyio.Event()
        self.instants = 0
        """How many instants have been passed."""
        self.fired = False
        self.moment: Moment = "suspend"
        """The kind of the instant of the action."""
        self.place = ""
        """Where the driven coroutine stood at that instant: file, line, function."""
        self.failure: Exception | None = None
        """What the action raised."""

    def arm(self, action: Action) -> None:
        """Say what to do; instants count from here on. A second call replaces the action."""
        self._action = action

    async def drive(self, coroutine: Coroutine[Any, Any, T], action: Action | None = None) -> T:
        """Run a coroutine as a task under test and give its result."""
        if action is not None:
            self.arm(action)
        return await Driven(coroutine, self)

    def suspends(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Count an instant; act once the task is really suspended."""
        action = self._due("suspend", coroutine)
        if action is not None:
            stage().soon(lambda: self._act(action))

    async def resumes(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Count an instant, act before the task goes on, and let an async action begin."""
        action = self._due("resume", coroutine)
        if action is not None:
            self._act(action)
        if self._pending is not None and not self._begun.is_set():
            with anyio.CancelScope(shield=True):
                await self._begun.wait()

    def attend(self, beside: TaskGroup) -> None:
        """Start a task that will await what the action returns; `close` ends it otherwise."""
        self._has_aftermath = True
        beside.start_soon(self._aftermath)

    async def _aftermath(self) -> None:
        try:
            await self._decided.wait()
            if self._pending is not None:
                await Driven(_awaited(self._pending), _Begins(self._begun))
        except Exception as error:
            self.failure = error
        finally:
            self._begun.set()

    def close(self) -> None:
        """End the injection: an action that has not happened will not happen."""
        self._action = None
        self._decided.set()

    def _due(self, moment: Moment, coroutine: Coroutine[Any, Any, Any]) -> Action | None:
        if self._action is None or moment not in self._moments:
            return None
        self.instants += 1
        if self.fired or self._at != self.instants - 1:
            return None
        self.fired, self.moment, self.place = True, moment, place(coroutine)
        return self._action

    def _act(self, action: Action) -> None:
        try:
            self._take(action())
        except Exception as error:  # it must not end the task it happens to run in
            self.failure = error
        self._decided.set()

    def _take(self, result: object) -> None:
        if not isawaitable(result):
            return
        if self._has_aftermath:
            self._pending = result
            return
        if isinstance(result, Coroutine):
            result.close()
        raise TypeError("An async action needs a task to run in; use every_point.")


BESIDE = f"{__name__}.Injection._aftermath"
"""The name of the task that `attend` starts."""


class _Begins:
    def __init__(self, begun: anyio.Event) -> None:
        self._begun = begun

    def suspends(self, coroutine: Coroutine[Any, Any, Any]) -> None:  # noqa: ARG002 - a Probe's
        """Tell that the first step is done."""
        self._begun.set()

    async def resumes(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Let it be."""


async def _awaited(thing: Awaitable[object]) -> None:
    await thing


def suspensions(
    fn: Callable[[*Args], Coroutine[Any, Any, object]],
    *args: *Args,
    backend: str = "asyncio",
    seed: int = 0,
) -> int:
    """Count how often `fn(*args)`, run alone on virtual time, is suspended."""
    counting = Injection(moments=("suspend",))
    run(lambda: counting.drive(fn(*args), lambda: None), backend=backend, seed=seed)
    return counting.instants


async def inject_at(
    number: int,
    coroutine: Coroutine[Any, Any, T],
    action: Callable[[], object],
    moment: Moment = "suspend",
) -> T:
    """Run a coroutine and call `action` at its suspension `number` (from 0); virtual time only.

    The action is a plain function. What it raises is raised once the coroutine has ended well.
    """
    point = Injection(number, (moment,))
    result = await point.drive(coroutine, action)
    if point.failure is not None:
        raise point.failure
    return result
