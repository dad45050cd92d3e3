"""Scopes: what runs for an epoch, an answer or a call, and stops in the tick in which that is void.

Nothing here decides: the machine says what is fenced, stopped or held, and these are told.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from anyio import CancelScope

from .epoch import CallId, Epoch, ResponseId, is_stale
from .state import Fence

__all__ = ("Scopes",)


class Scopes:
    """The cancel scopes that belong to one session, and who is told of a hold."""

    def __init__(self) -> None:
        self._bound: dict[CancelScope, tuple[Epoch, ResponseId | None]] = {}
        self._handlers: dict[CallId, CancelScope] = {}
        self._pausing: list[Callable[[bool], object]] = []

    def enter(self, scope: CancelScope, epoch: Epoch, response: ResponseId | None = None) -> None:
        """Cancel this scope when its epoch, or just its response where one is named, is fenced."""
        self._bound[scope] = epoch, response

    def leave(self, scope: CancelScope) -> None:
        """Forget a scope that has ended."""
        self._bound.pop(scope, None)

    def handles(self, call: CallId) -> bool:
        """Tell whether a handler runs for a call."""
        return call in self._handlers

    @contextmanager
    def handling(self, call: CallId, scope: CancelScope) -> Generator[None]:
        """Cancel this scope when its call is void, while the block is open."""
        self._handlers[call] = scope
        try:
            yield
        finally:
            del self._handlers[call]

    @contextmanager
    def pausing(self, told: Callable[[bool], object]) -> Generator[None]:
        """Tell of each hold and of its end, while the block is open."""
        self._pausing.append(told)
        try:
            yield
        finally:
            self._pausing.remove(told)

    def fence(self, fence: Fence) -> None:
        """Cancel what an interruption made stale."""
        for scope, (epoch, response) in tuple(self._bound.items()):
            if response in fence.responses if response else is_stale(epoch, fence.epoch):
                del self._bound[scope]
                scope.cancel()

    def stop(self, calls: tuple[CallId, ...]) -> None:
        """Cancel the handlers of these calls."""
        for call in calls:
            if call in self._handlers:
                self._handlers[call].cancel()

    def pause(self, on: bool) -> None:
        """Tell of a hold, or of its end."""
        for told in tuple(self._pausing):
            told(on)

    def end(self) -> None:
        """Cancel everything: the session is over."""
        for scope in (*self._bound, *self._handlers.values()):
            scope.cancel()
        self._bound.clear()
