"""Ctrl-C: the first one ends the work in good order, a second one at once.

Good order means: what was heard is saved, the session closed, devices and threads given back.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable

import anyio

__all__ = ("stoppable",)


async def stoppable(work: Callable[[], Awaitable[int]]) -> int:
    """Do the work and give its exit code, or 128 plus the number of the signal that ended it."""
    if sys.platform == "win32":
        return await work()
    stopped = code = 0
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            scope = anyio.CancelScope()

            async def watch() -> None:
                nonlocal stopped
                async for number in signals:
                    if stopped:
                        os._exit(128 + number)
                    stopped = 128 + number
                    scope.cancel()

            tasks.start_soon(watch)
            with scope:
                code = await work()
            tasks.cancel_scope.cancel()
    return stopped or code
