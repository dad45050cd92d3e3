"""What a piece of a program leaves behind: tasks, threads, open files and sockets.

Idle worker threads of the backends' pools do not count; a worker that still runs something does.
"""

from __future__ import annotations

import os
import re
import threading
import time
from itertools import repeat
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Final

import anyio
import msgspec

from ._asyncio import working
from .clock import TICK

__all__ = ("Census", "Leaked", "census", "no_leaks")

STEPS: Final = 8
"""Scheduling steps granted in any case: event loops close sockets one step after they are asked."""

_MOMENT = 0.001
"""Real seconds: a worker that has given its result needs a moment until it is idle."""

_DESCRIPTORS = next(
    (path for path in map(Path, ("/proc/self/fd", "/dev/fd")) if path.exists()), None
)
_IDLE = re.compile(r"Trio thread \d+|asyncio_\d+|ThreadPoolExecutor-\d+_\d+")


class Leaked(AssertionError):  # noqa: N818 - it names the finding
    """Something outlived the block it was made in; `.what` says what."""

    def __init__(self, what: Census) -> None:
        super().__init__(f"Left behind: {what}.")
        self.what = what


class Census(msgspec.Struct, frozen=True):
    """What was alive at one moment, by identity and name."""

    tasks: frozenset[tuple[int, str]] = frozenset()
    threads: frozenset[tuple[int, str]] = frozenset()
    descriptors: frozenset[tuple[int, str]] = frozenset()

    def since(self, earlier: Census) -> Census:
        """Give what is here and was not there."""
        return Census(
            self.tasks - earlier.tasks,
            self.threads - earlier.threads,
            self.descriptors - earlier.descriptors,
        )

    def __bool__(self) -> bool:
        return bool(self.tasks or self.threads or self.descriptors)

    def __str__(self) -> str:
        groups = (("task", self.tasks), ("thread", self.threads), ("file", self.descriptors))
        return ", ".join(f"{kind} {name!r}" for kind, group in groups for _, name in sorted(group))


def census() -> Census:
    """Take stock; outside of an event loop there are no tasks."""
    return Census(_tasks(), _threads(), _descriptors())


class no_leaks:  # noqa: N801 - used like a function
    """Require that a block leaves no task, thread or open file behind, however it is left.

    `async with no_leaks(within=2.0)` grants what is closing up to that many seconds (virtual ones
    inside `run`); a plain `with` grants nothing. Raises `Leaked`, with whatever ended the block as
    its context. Cancelling does not cut the check short.
    """

    def __init__(self, within: float = 0.0) -> None:
        self._within = within
        self._before = Census()

    def __enter__(self) -> None:
        self._before = census()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        left = self._left()
        if left:
            raise Leaked(left)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._settled()
        self.__exit__(kind, error, at)

    async def _settled(self) -> None:
        for pause in (*repeat(0.0, STEPS), *repeat(TICK, ceil(self._within / TICK))):
            if not self._left():
                return
            await anyio.sleep(pause)

    def _left(self) -> Census:
        left = census().since(self._before)
        for _ in range(STEPS):
            if not left.threads:
                break
            time.sleep(_MOMENT)
            left = census().since(self._before)
        return left


def _tasks() -> frozenset[tuple[int, str]]:
    try:
        return frozenset((task.id, task.name or "?") for task in anyio.get_running_tasks())
    except Exception:  # no event loop here; its type differs between versions of anyio
        return frozenset()


def _threads() -> frozenset[tuple[int, str]]:
    return frozenset(
        (thread.ident or 0, thread.name) for thread in threading.enumerate() if not _is_idle(thread)
    )


def _is_idle(thread: threading.Thread) -> bool:
    if thread.name.startswith("AnyIO worker thread"):
        return not working(thread)
    return _IDLE.fullmatch(thread.name) is not None


def _descriptors() -> frozenset[tuple[int, str]]:
    if _DESCRIPTORS is None:
        return frozenset()
    found = set[tuple[int, str]]()
    for number in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - a Path per descriptor is not needed
        try:
            found.add((int(number), os.readlink(_DESCRIPTORS / number)))  # noqa: PTH115 - as above
        except OSError:  # the descriptor of the listing itself, or /dev/fd without links
            continue
    return frozenset(found)
