"""The trio half of virtual time: its mock clock, watched and seeded."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from math import inf
from typing import Any, cast
from unittest.mock import patch

import trio
import trio.testing

from ._frames import modules
from .clock import GRACE, Stage

__all__ = ("virtual",)

_THREAD_WORKS = ("trio._threads", "trio._core._traps")
"""How a task stands that waits for a thread, and not for its turn or for a call back from it."""


class _Watch(trio.abc.Instrument):
    """Weaves into new tasks, runs what probes ask for, and sees when nothing can happen."""

    def __init__(self, stage: Stage) -> None:
        self.clock = trio.testing.MockClock(autojump_threshold=0)
        self._stage = stage
        self._idle = 0
        self._in_threads = set[trio.lowlevel.Task]()

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Let the stage replace the coroutine before its first step."""
        task.coro = cast("Any", self._stage.woven(task.name, task.coro))

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Hold the clock while threads work; tell the stage that a task has been suspended."""
        self._idle = 0
        self._stage.stepped()
        if task not in self._in_threads and not trio.testing.active_thread_count():
            return
        if _THREAD_WORKS in pairwise(modules(task.coro)):
            self._in_threads.add(task)
        else:
            self._in_threads.discard(task)
        self.clock.autojump_threshold = inf if self._in_threads else 0.0

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's signature
        """Count the rounds in which nothing ran and nothing is to come."""
        self._idle += 1
        if self._idle < 2 or self._in_threads or _has_future():
            return
        if self._idle == 2:
            time.sleep(GRACE)
            return
        self._idle = 0
        try:
            self._stage.stuck()
        except AssertionError as deadlock:
            self._stop(deadlock)

    def _stop(self, deadlock: AssertionError) -> None:
        # Only a failing clock ends a run whose last task waits for ever under a shield.
        def current_time() -> float:
            raise deadlock

        self.clock.current_time = current_time  # type: ignore[method-assign]


def _has_future() -> bool:
    now = trio.lowlevel.current_statistics()
    return now.tasks_runnable > 0 or now.seconds_to_next_deadline < inf


@contextmanager
def virtual(stage: Stage, seed: int) -> Generator[Callable[..., Any]]:
    """Give the function that runs a program on virtual time.

    trio has no public way to choose the order of tasks that are ready together; these are the two
    names through which its own hypothesis plugin makes it repeatable.
    """
    watch = _Watch(stage)
    running = trio._core._run  # pyright: ignore[reportPrivateUsage]
    try:
        with (
            patch.object(running, "_r", random.Random(seed)),  # noqa: S311 - an order, not a secret
            patch.object(running, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        ):
            yield partial(trio.run, clock=watch.clock, instruments=[watch])
    except trio.TrioInternalError:
        if stage.deadlock is None:
            raise
        raise stage.deadlock from None
