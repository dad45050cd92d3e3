"""A signal: many may wait for it, anyone may give it, and giving costs nothing while nobody waits.

It carries no value and remembers nothing: look at the state first, wait only if it does not suit,
then look again.
"""

from __future__ import annotations

import anyio

__all__ = ("Signal",)


class Signal:
    """Wakes every task that waits at the moment it is given."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    async def wait(self) -> None:
        """Wait until the next time the signal is given. Cancelling leaves nothing behind."""
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()

    def give(self) -> None:
        """Wake all who wait."""
        if self._event is not None:
            event, self._event = self._event, None
            event.set()
