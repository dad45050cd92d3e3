"""A signal: many may wait for it, anyone may give it, and giving costs nothing while nobody waits.

It carries no value and remembers nothing: look at the state first, wait only if it does not suit,
then look again.
"""

from __future__ import annotations

import anyio

__all__ = ("Signal",)


class Signal:
    """Wakes every task that waits at the moment it is given."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[anyio.Event, None] = {}

    async def wait(self) -> None:
        """Wait until the next time the signal is given. Cancelling leaves nothing behind."""
        given = anyio.Event()
        self._waiting[given] = None
        try:
            await given.wait()
        finally:
            self._waiting.pop(given, None)

    def give(self) -> None:
        """Wake all who wait."""
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            for event in waiting:
                event.set()

    @staticmethod
    async def first_of(*signals: Signal) -> None:
        """Wait until the next time one of these is given. Cancelling leaves nothing behind."""
        given = anyio.Event()
        for signal in signals:
            signal._waiting[given] = None
        try:
            await given.wait()
        finally:
            for signal in signals:
                signal._waiting.pop(given, None)
