"""What the engine's eyes are turned to: the newest picture, looked at when there is time.

At most one look a second, only at a picture that changed, and none while an answer is due. Each
note replaces the one before.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from .complaint import PartFailed, blamed
from .parts import Eyes

__all__ = ("Gaze",)

_EVERY = 1.0
"""Seconds from one look to the next."""


class Gaze:
    """The eyes of one session, used from one event loop.

    `noted` takes the note on a picture, `failed` what the eyes raised; neither may wait or raise.
    `busy` tells whether looking would delay something more urgent: call `nudge` when that is over.
    Cancelling the task group ends everything.
    """

    def __init__(
        self,
        eyes: Eyes,
        tasks: TaskGroup,
        *,
        busy: Callable[[], bool],
        noted: Callable[[str], None],
        failed: Callable[[PartFailed], None],
    ) -> None:
        self._eyes = eyes
        self._tasks = tasks
        self._busy = busy
        self._noted = noted
        self._failed = failed
        self._new: bytes | None = None
        self._seen: bytes | None = None
        self._shown = self._looked = 0
        self._looking = False
        self._awaited = 0
        self._due = -_EVERY
        self._hurry = anyio.Event()
        self._settled = anyio.Event()
        self.knows = False
        """Whether a picture was ever looked at."""

    def show(self, image: bytes) -> None:
        """Turn the eyes to this picture; the same one again changes nothing."""
        self._shown += 1
        self._new = None if image == self._seen else image
        if self._new is None and not self._looking:
            self._looked = self._shown
        self.nudge()

    def nudge(self) -> None:
        """Look now, if there is something to look at and time for it."""
        if self._wanted() and not self._looking:
            self._looking = True
            self._tasks.start_soon(self._look)

    async def settle(self) -> None:
        """Wait until the newest picture was looked at, though it be early and a bad moment."""
        goal = self._shown
        self._awaited += 1
        self._hurry.set()
        try:
            while self._looked < goal:
                self.nudge()
                await self._settled.wait()
        finally:
            self._awaited -= 1

    @property
    def _waiting(self) -> bool:
        return self._new is not None

    def _wanted(self) -> bool:
        return self._waiting and (self._awaited > 0 or not self._busy())

    async def _look(self) -> None:
        try:
            await self._wait()
            image = self._new
            if image is not None and self._wanted():
                await self._look_at(image)
        finally:
            self._looking = False
            self._settled.set()
            self._settled = anyio.Event()
        self.nudge()

    async def _wait(self) -> None:
        """Wait until a second has passed since the last look, or somebody waits for this one."""
        if self._awaited == 0:
            self._hurry = anyio.Event()
            with anyio.move_on_after(self._due - anyio.current_time()):
                await self._hurry.wait()

    async def _look_at(self, image: bytes) -> None:
        number, self._seen, self._new = self._shown, image, None
        self._due = anyio.current_time() + _EVERY
        try:
            with blamed("eyes"):
                note = await self._eyes.look(image)
            self._noted(note)
        except PartFailed as problem:
            self._failed(problem)
        self.knows = True
        self._looked = number if self._waiting else self._shown
