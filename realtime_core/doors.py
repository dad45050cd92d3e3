"""The doors: where frames come in, by call or by queue, and how they reach the connection.

A frame goes straight through when nothing waits ahead of it; else it waits in its lane. The order
of the calls is the order on the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream
from msgspec.structs import replace

from .config import Suspend
from .errors import InvalidRequest, RealtimeException, SessionClosed
from .frames import Audio, Frame, Video
from .lane import Inlet
from .line import Line
from .plan import Plan
from .state import Phase

if TYPE_CHECKING:
    from .audio.convert import Conversion, ConversionState
    from .driver import Driver

__all__ = ("Doors",)


class Doors:
    """Takes frames from the caller and keeps them until the connection has room."""

    def __init__(self, plan: Plan, driver: Driver) -> None:
        self.inlet = Inlet(plan.config.lanes)
        self._plan = plan
        self._driver = driver
        self._conversion: tuple[Conversion, ConversionState] | None = None

    async def send(self, frame: Frame, *, patient: bool = False) -> None:
        """Push a frame; waits only where its lane's policy says so, or when `patient`.

        Raises `RealtimeException` if the frame is refused or the session is closed. Cancelling
        while it waits leaves the frame unsent.
        """
        ready = self._prepared(frame)
        if ready is None or self._straight(ready):
            return
        if patient or isinstance(self.inlet.policy(ready), Suspend):
            while self.inlet.full(ready) and self._driver.state.phase is not Phase.CLOSED:
                await self.inlet.room.wait()
        self._queue(ready)
        await checkpoint()

    def send_nowait(self, frame: Frame) -> None:
        """Push a frame without ever waiting: it is taken, dropped by policy, or refused."""
        ready = self._prepared(frame)
        if ready is not None and not self._straight(ready):
            self._queue(ready)

    async def forward(self, frames: MemoryObjectReceiveStream[Frame]) -> None:
        """Push what comes through the session's queue; a refused frame becomes an `Error` event."""
        async for frame in frames:
            try:
                await self.send(frame)
            except RealtimeException as refusal:
                self._driver.refuse(refusal.error)

    def _prepared(self, frame: Frame) -> Frame | None:
        """Give the frame in the provider's form; None if there is nothing left to send."""
        if not isinstance(frame, Audio):
            return frame
        if frame.format == self._plan.input_format:
            if len(frame.pcm) % frame.format.sample_size:
                raise RealtimeException(_ragged(frame))
            return frame
        pcm = self._converted(frame)
        return replace(frame, pcm=pcm, format=self._plan.input_format) if pcm else None

    def _converted(self, frame: Audio) -> bytes:
        from .audio.convert import Conversion  # noqa: PLC0415 - numpy only where it is needed

        if self._conversion is None or self._conversion[0].source != frame.format:
            conversion = Conversion(frame.format, self._plan.input_format)
            self._conversion = (conversion, conversion.start())
        conversion, state = self._conversion
        state, pcm = conversion.step(state, frame.pcm)
        self._conversion = (conversion, state)
        return pcm

    def _straight(self, frame: Frame) -> bool:
        driver = self._driver
        if frame.urgent or driver.state.phase.ending:
            return self._through(frame)
        line = driver.line
        if (
            driver.state.phase is not Phase.OPEN
            or line is None
            or line.bytes_waiting
            or not self.inlet.empty
            or (isinstance(frame, Video) and not self._due(frame))
        ):
            return False
        return self._through(frame)

    def _through(self, frame: Frame) -> bool:
        refused = self._driver.push(frame)
        if not frame.urgent:
            self.inlet.passed(frame, refused=refused is not None)
        if refused is not None:
            raise RealtimeException(refused)
        return True

    def _due(self, frame: Video) -> bool:  # noqa: ARG002 - only pictures are asked about
        at = self._driver.clock()
        if at < self.inlet.video_at:
            return False
        self.inlet.video_at = at + 1 / self._plan.config.fps
        return True

    def _queue(self, frame: Frame) -> None:
        if self._driver.state.phase is Phase.CLOSED:
            raise RealtimeException(SessionClosed(what="The session is closed."))
        try:
            self.inlet.put(frame, self._driver.clock())
        finally:
            self._report()
        if self._driver.line is not None:
            self._driver.line.filled.give()

    def refill(self, line: Line, batch: int) -> None:
        """Take what waits in the lanes, until one batch is full."""
        while line.bytes_waiting < batch and self._driver.state.phase is Phase.OPEN:
            frame = self.inlet.take(self._driver.clock())
            self._report()
            if frame is None:
                return
            if isinstance(frame, Video):
                self._due(frame)
            refused = self._driver.push(frame)
            if refused is not None:
                self.inlet.refuse(frame)
                self._driver.refuse(refused)

    def next_picture(self) -> float | None:
        """Give the seconds until a waiting picture may leave, if only that waits."""
        at = self.inlet.next_at()
        return None if at is None else max(0.0, at - self._driver.clock())

    def shut(self) -> None:
        """Drop everything that waits; nothing can be pushed any more."""
        self.inlet.abandon("closed")
        self.inlet.drops.clear()

    def _report(self) -> None:
        while self.inlet.drops:
            self._driver.shed(*self.inlet.drops.popleft())


def _ragged(frame: Audio) -> InvalidRequest:
    return InvalidRequest(
        what=f"{len(frame.pcm)} bytes are no whole number of samples.",
        cause=f"one sample of this format has {frame.format.sample_size} bytes",
        fix="Push whole samples, or name the true format: Audio(pcm, AudioFormat(...)).",
    )
