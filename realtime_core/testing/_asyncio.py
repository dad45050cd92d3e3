"""The asyncio half of virtual time: an event loop whose time jumps, and whose sets keep order."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, cast
from unittest.mock import patch

import anyio
from anyio._backends import _asyncio as backend

from ._frames import modules
from .clock import GRACE, Stage

__all__ = ("Loop", "virtual", "working")

_POLL = 0.001
"""Real seconds between two looks whether a thread still works."""

_NEVER = 1e10
"""Seconds after which a timer is not worth setting: three hundred years."""

_WORKER = "AnyIO worker thread"

T = TypeVar("T")
Args = TypeVarTuple("Args")

if TYPE_CHECKING:
    _Task = asyncio.Task[Any]
else:
    _Task = asyncio.Task


def working(thread: threading.Thread) -> bool:
    """Tell whether a pooled worker thread of anyio on asyncio has a call in hand."""
    queue = getattr(thread, "queue", None)
    return thread.name == _WORKER and bool(getattr(queue, "unfinished_tasks", 0))


class _Selector(selectors.DefaultSelector):
    """Polls the sockets; where the loop would really wait, it moves the loop's time instead."""

    loop: Loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Give what is ready now; with nothing ready, jump by `timeout` seconds."""
        working = self.loop.has_working_threads()  # asked first: one may end while we look
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if working:
            return super().select(_POLL)
        if timeout is not None:
            self.loop.jump(timeout)
            return []
        ready = super().select(GRACE)
        if not ready:
            self.loop.stage.stuck()
        return ready


class Loop(asyncio.SelectorEventLoop):
    """An event loop on virtual time."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.numbers = count(1)
        self._virtual = 0.0
        self._caller: threading.Thread | None = None
        self._calling: dict[object, threading.Thread] = {}
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self.set_task_factory(cast("Any", _Numbered))

    def time(self) -> float:
        """Give the virtual seconds since the loop was made."""
        return self._virtual

    def jump(self, seconds: float) -> None:
        """Move time forward."""
        self._virtual += seconds

    def has_working_threads(self) -> bool:
        """Tell whether a function of this loop runs in a thread and does not itself wait for us."""
        return threading.active_count() > 1 and any(
            working(thread)
            and getattr(thread, "loop", None) is self
            and thread not in self._calling.values()
            for thread in threading.enumerate()
        )

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        **options: Any,  # noqa: ANN401 - asyncio's own; they grow with its versions
    ) -> asyncio.Task[T]:
        """Start a task; the stage may weave something into it."""
        coroutine = cast("Coroutine[Any, Any, T]", coro)
        coro = self.stage.woven(str(name or _own_name(coroutine)), coroutine)
        task = super().create_task(coro, name=cast("str | None", name), **options)
        if self._caller is not None:
            self._calling[task] = self._caller
            task.add_done_callback(self._calling.pop)
        return task

    def call_at(
        self,
        when: float,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer; one for the end of time is not set at all (`anyio.sleep_forever`)."""
        if when > _NEVER:
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def call_soon(
        self, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back in the next round, and tell the stage when that is done."""
        return super().call_soon(self._step, callback, args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back from a thread; a thread that waits for a task it started does not work."""
        caller = threading.current_thread()
        return super().call_soon_threadsafe(
            self._called_back, caller, callback, args, context=context
        )

    def _called_back(
        self, caller: threading.Thread, callback: Callable[[*Args], object], args: tuple[*Args]
    ) -> None:
        self._caller = caller
        try:
            self._step(callback, args)
        finally:
            self._caller = None

    def _step(self, callback: Callable[[*Args], object], args: tuple[*Args]) -> None:
        try:
            callback(*args)
        finally:
            self.stage.stepped()


class _Numbered(_Task):
    """A task that is hashed by its number in its loop, so that sets of tasks keep one order."""

    def __init__(self, loop: Loop, coro: Coroutine[Any, Any, Any], **options: Any) -> None:  # noqa: ANN401
        self._number = next(loop.numbers)
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number


class _Scope(backend.CancelScope):
    """A cancel scope that is hashed by its number in its loop, for the same reason."""

    __slots__ = ("_number",)

    def __init__(self, *, deadline: float = inf, shield: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self._number = next(loop.numbers) if isinstance(loop, Loop) else id(self)
        super().__init__(deadline=deadline, shield=shield)

    def __hash__(self) -> int:
        return self._number


def _own_name(coroutine: Coroutine[Any, Any, Any]) -> str:
    # Before 3.13 `asyncio.create_task` names a task after it was made; older anyio relies on that.
    return ".".join([*modules(coroutine)[:1], getattr(coroutine, "__qualname__", "")])


@contextmanager
def virtual(stage: Stage, seed: int) -> Generator[Callable[..., Any]]:  # noqa: ARG001 - asyncio keeps FIFO
    """Give the function that runs a program on virtual time.

    anyio keeps the scopes inside a scope in a set and cancels them in its order, which would be
    that of their addresses; there is no public way to choose it.
    """
    with patch.object(backend, "CancelScope", _Scope):
        yield partial(anyio.run, backend_options={"loop_factory": lambda: Loop(stage)})
