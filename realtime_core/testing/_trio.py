"""The trio half of virtual time: its mock clock, watched and seeded."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Any
from unittest.mock import patch

import trio
import trio.testing

from .clock import GRACE, Stage

__all__ = ("virtual",)


class _Watch(trio.abc.Instrument):
    """Weaves into new tasks, runs what probes ask for, and sees when nothing can happen."""

    def __init__(self, stage: Stage) -> None:
        self.clock = trio.testing.MockClock(autojump_threshold=0)
        self._stage = stage
        self._idle = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Let the stage replace the coroutine before its first step."""
        task.coro = self._stage.woven(task.name, task.coro)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio's signature
        """Hold the clock while threads work; tell the stage that a task has been suspended."""
        self._idle = 0
        self._stage.stepped()
        threshold = inf if trio.to_thread.active_thread_count() else 0.0
        if threshold != self.clock.autojump_threshold:
            self.clock.autojump_threshold = threshold

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's signature
        """Count the rounds in which nothing ran and nothing is to come."""
        self._idle += 1
        if self._idle < 2 or _has_future():
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
    return bool(
        now.tasks_runnable
        or now.seconds_to_next_deadline < inf
        or trio.to_thread.active_thread_count()
    )


@contextmanager
def virtual(stage: Stage, seed: int) -> Iterator[dict[str, Any]]:
    """Give the options with which `anyio.run` runs on virtual time.

    trio has no public way to choose the order of tasks that are ready together; these are the two
    names through which its own hypothesis plugin makes it repeatable.
    """
    watch = _Watch(stage)
    running = trio._core._run  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    try:
        with (
            patch.object(running, "_r", random.Random(seed)),  # noqa: S311 - an order, not a secret
            patch.object(running, "_ALLOW_DETERMINISTIC_SCHEDULING", True),  # noqa: FBT003
        ):
            yield {"clock": watch.clock, "instruments": [watch]}
    except trio.TrioInternalError:
        if stage.deadlock is None:
            raise
        raise stage.deadlock from None
