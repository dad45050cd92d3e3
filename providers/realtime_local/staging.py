"""The room beside the cache where one installation at a time puts together what it fetches.

Whoever holds it holds a lock of the operating system, which a process that dies gives back; what
it left lying there is gone before the next one starts.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

__all__ = ("staging",)

_PAUSE = 0.1
"""Seconds between two tries for the lock."""

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def staging(cache: Path, *, waiting: Callable[[], None]) -> Generator[Path]:
    """Give an empty directory on the cache's file system, to this installation alone.

    Blocks while another process or thread has it, and calls `waiting` now and then meanwhile.
    """
    cache.mkdir(parents=True, exist_ok=True)
    room = cache / "unfinished"
    with (cache / "lock").open("ab") as lock:
        _acquire(lock.fileno(), waiting)
        try:
            shutil.rmtree(room, ignore_errors=True)
            room.mkdir(exist_ok=True)
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)


def _acquire(descriptor: int, waiting: Callable[[], None]) -> None:
    while True:
        with contextlib.suppress(BlockingIOError, PermissionError):
            _try_lock(descriptor)
            return
        waiting()
        time.sleep(_PAUSE)
