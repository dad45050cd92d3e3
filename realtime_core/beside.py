"""Beside: tasks that run as long as a block does, or together with it.

What the block or one of them raises comes out as it was raised,
not in an exception group, unless several failed at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

__all__ = ("beside", "together")


@asynccontextmanager
async def together() -> AsyncGenerator[TaskGroup]:
    """Open a task group; leaving the block waits for its tasks."""
    failed: BaseExceptionGroup[BaseException] | None = None
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:  # raised below, so that the group is no one's context
        failed = group
    if failed is not None:
        raise failed.exceptions[0] if len(failed.exceptions) == 1 else failed


@asynccontextmanager
async def beside() -> AsyncGenerator[TaskGroup]:
    """Open a task group whose tasks end with the block; a failure of one ends the block."""
    async with together() as tasks:
        yield tasks
        tasks.cancel_scope.cancel()
