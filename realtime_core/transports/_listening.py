"""Listening: a task for each client that comes, as long as a block is open."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import anyio

from ..beside import beside

__all__ = ("listening",)

_RESPITE = 0.1
"""Seconds until a server without descriptors tries again to take a client in."""


@asynccontextmanager
async def listening(
    host: str, port: int, attend: Callable[[socket.socket], Coroutine[Any, Any, None]]
) -> AsyncGenerator[tuple[str, int]]:
    """Listen, and give the address; port 0 takes a free one. Who attends closes the socket.

    What escapes from one of them ends the block; leaving the block ends them all.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.create_server((host, port), family=family)) as listener:
        listener.setblocking(False)

        async def accept() -> None:
            while True:
                await anyio.wait_readable(listener)
                try:
                    raw, _ = listener.accept()
                except (BlockingIOError, ConnectionAbortedError):  # it thought better of it
                    continue
                except OSError:  # no descriptors left: somebody may leave
                    await anyio.sleep(_RESPITE)
                    continue
                tasks.start_soon(attend, raw)

        async with beside() as tasks:
            tasks.start_soon(accept)
            yield listener.getsockname()[:2]
