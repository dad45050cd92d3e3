"""A place beside the event loop where one job at a time runs, in a thread.

Whoever waits for a job can be cancelled at once: the job is told to stop, its result is dropped,
and the next job begins when it has. Jobs of several event loops (on asyncio or trio) take turns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

__all__ = ("Worker",)

T = TypeVar("T")


class Worker:
    """At most one job runs at any time; waiting jobs run in the order they were given."""

    def __init__(self, name: str) -> None:
        self._busy = threading.Lock()
        self._turn = RunVar[CapacityLimiter](name)

    async def run(self, job: Callable[[], T], stop: Callable[[], None]) -> T:
        """Run `job` in a thread and give its result, or raise what it raises.

        On cancellation `stop` is called (from the event loop's thread) and nothing is awaited; a
        job that has not begun by then never does. `stop` is called after a finished job as well.
        """
        wanted = True

        def take_turn() -> T | None:
            with self._busy:
                return job() if wanted else None

        try:
            result = await to_thread.run_sync(
                take_turn, abandon_on_cancel=True, limiter=self._limiter()
            )
        finally:
            wanted = False
            stop()
        return result  # type: ignore[return-value]  # None only where nobody waits

    def _limiter(self) -> CapacityLimiter:
        try:
            return self._turn.get()
        except LookupError:
            limiter = CapacityLimiter(1)
            self._turn.set(limiter)
            return limiter
