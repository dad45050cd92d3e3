"""The doors: where frames come in, by call or by queue, and how they reach the connection.

A frame goes straight through when nothing waits ahead of it; else it waits in its lane. Frames
reach the wire in the order in which they were taken in, converted only when they leave.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from anyio import Lock
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint_if_cancelled
from msgspec.structs import replace

from .audio.format import AudioFormat
from .config import Suspend
from .errors import InvalidRequest, RealtimeError, RealtimeException
from .frames import (
    ActivityEnd,
    Audio,
    ClearAudio,
    Close,
    CommitAudio,
    Frame,
    Interrupt,
    Text,
    ToolResult,
    Video,
)
from .lane import Inlet, LaneName, lane_of
from .line import Line
from .machine import takes_no_result
from .plan import Plan
from .state import Phase

if TYPE_CHECKING:
    from .audio.convert import Conversion, ConversionState
    from .driver import Driver

__all__ = ("Doors", "whole")


class Doors:
    """Takes frames from the caller and keeps them until the connection has room."""

    def __init__(self, plan: Plan, driver: Driver) -> None:
        self.inlet = Inlet(plan.config.lanes)
        self._driver = driver
        self._formats = {plan.input_format}
        """Formats of which is known that they can be sent."""
        self._conversion: tuple[Conversion, ConversionState] | None = None
        self._turns = {name: Lock(fast_acquire=True) for name in self.inlet.balances}

    @property
    def _target(self) -> AudioFormat:
        """What the provider of now takes."""
        return self._driver.state.plan.input_format

    async def send(self, frame: Frame, *, patient: bool = False) -> None:
        """Push a frame; waits only where its lane's policy says so, or when `patient`.

        Raises `RealtimeException` if the frame is refused or the session is closed. Cancelling
        while it waits leaves the frame unsent; an urgent frame is taken even when cancelled.
        """
        self.check(frame)
        if frame.urgent:
            self._through(frame)
            return
        await checkpoint_if_cancelled()
        frame = self._cut(frame)
        if patient or isinstance(self.inlet.policy(frame), Suspend):
            await self._room(frame)
        if not self._straight(frame):
            self._queue(frame)
            await cancel_shielded_checkpoint()

    async def _room(self, frame: Frame) -> None:
        """Wait until the lane has room, behind those who wait already."""
        turn = self._turns[lane_of(frame)]
        if not turn.locked() and not self.inlet.full(frame):
            return
        async with turn:
            while self.inlet.full(frame) and self._driver.state.phase is not Phase.CLOSED:
                await self.inlet.room.wait()

    def send_nowait(self, frame: Frame) -> None:
        """Push a frame without ever waiting: it is taken, dropped by policy, or refused."""
        self.check(frame)
        frame = self._cut(frame)
        if not self._straight(frame):
            self._queue(frame)

    def _cut(self, frame: Frame) -> Frame:
        """Let words that interrupt do so now, although they themselves have to wait."""
        able = self._driver.state.plan.capabilities
        if not isinstance(frame, Text) or frame.turn != "interrupt" or not able.text_in:
            return frame
        if self._driver.state.phase.ending or self._clear:
            return frame
        self._driver.push(Interrupt())
        return replace(frame, turn="queue")

    # --- in the caller's form -----------------------------------------------------------------

    def check(self, frame: Frame) -> None:
        """Refuse audio and pictures that cannot be sent, and results nobody wants, at once."""
        state = self._driver.state
        if isinstance(frame, Video) and state.plan.config.fps <= 0:
            raise RealtimeException(_switched_off())
        if isinstance(frame, ToolResult) and not state.phase.ending:
            unwanted = takes_no_result(state, frame.call)
            if unwanted is not None:
                raise RealtimeException(unwanted)
        if not isinstance(frame, Audio):
            return
        whole(frame)
        if frame.format not in self._formats:
            self._converter(frame.format)
            self._formats.add(frame.format)

    def _straight(self, frame: Frame) -> bool:
        driver = self._driver
        if frame.urgent or driver.state.phase.ending:
            return self._through(frame)
        if not self._clear or (isinstance(frame, Video) and not self._due()):
            return False
        return self._through(frame)

    @property
    def _clear(self) -> bool:
        """Whether the connection has room and nothing waits ahead."""
        line = self._driver.line
        return (
            self._driver.state.phase is Phase.OPEN
            and line is not None
            and not line.backed_up
            and self.inlet.empty
        )

    def _through(self, frame: Frame) -> bool:
        refused = self.pass_on(frame)
        if not frame.urgent:
            self.inlet.passed(frame, refused=refused is not None)
        if refused is not None:
            raise RealtimeException(refused)
        return True

    def _due(self) -> bool:
        """Tell whether a picture may be sent now; if so, it is the one."""
        at, fps = self._driver.clock(), self._driver.state.plan.config.fps
        if at < self.inlet.video_at:
            return False
        self.inlet.video_at = at + 1 / fps if fps > 0 else at
        return True

    def _queue(self, frame: Frame) -> None:
        try:
            self.inlet.put(frame, self._driver.clock())
        finally:
            self._report()
        if self._driver.line is not None:
            self._driver.line.filled.give()

    # --- in the provider's form ---------------------------------------------------------------

    def refill(self, line: Line, batch: float) -> None:
        """Take what waits in the lanes, until one batch is full."""
        while line.bytes_waiting < batch and self._driver.state.phase is Phase.OPEN:
            frame = self.inlet.take(self._driver.clock())
            self._report()
            if frame is None:
                return
            if isinstance(frame, Video):
                self._due()
            refused = self.pass_on(frame)
            if refused is not None:
                self.inlet.refuse(frame)
                if refused.code != "call_void":  # wanted when it was pushed: nobody's mistake
                    self._driver.refuse(refused)

    def pass_on(self, frame: Frame) -> RealtimeError | None:
        """Hand a frame to the machine, behind what must go first; gives why it was refused.

        Ahead of the end of a turn goes what conversion held back, ahead of `Close` what waits.
        """
        match frame:
            case Audio() if self._driver.state.phase is Phase.OPEN:
                pcm = self._converted(frame)
                if not pcm:
                    return None
                if pcm is not frame.pcm or frame.format != self._target:
                    frame = replace(frame, pcm=pcm, format=self._target)
            case ActivityEnd() | CommitAudio():
                held = self._held_back()
                if held:
                    self._driver.push(Audio(held, self._target))
            case ClearAudio():
                self._conversion = None
            case Close() if self._driver.line is not None:
                self.refill(self._driver.line, inf)
            case _:
                pass
        return self._driver.push(frame)

    def _converted(self, frame: Audio) -> bytes:
        if frame.format == self._target:
            held = self._held_back()
            return held + frame.pcm if held else frame.pcm
        held, known = b"", self._conversion
        if known is None or (known[0].source, known[0].target) != (frame.format, self._target):
            held, conversion = self._held_back(), self._converter(frame.format)
            known = conversion, conversion.start()
        conversion, state = known
        state, pcm = conversion.step(state, frame.pcm)
        self._conversion = conversion, state
        return held + pcm

    def _held_back(self) -> bytes:
        """End the stream in the caller's format: give the samples that conversion kept.

        What it kept for a provider that is gone goes with it: under a millisecond.
        """
        if self._conversion is None:
            return b""
        (conversion, state), self._conversion = self._conversion, None
        return conversion.finish(state) if conversion.target == self._target else b""

    def _converter(self, source: AudioFormat) -> Conversion:
        from .audio.convert import Conversion  # noqa: PLC0415 - numpy only where it is needed

        return Conversion(source, self._target)

    # --- time and end -------------------------------------------------------------------------

    def next_picture(self) -> float | None:
        """Give the seconds until a waiting picture may leave, if only that waits."""
        at = self.inlet.next_at()
        if at is None or self._driver.state.phase is not Phase.OPEN:
            return None
        return max(0.0, at - self._driver.clock())

    def withdraw(self, name: LaneName) -> None:
        """Drop the frames that wait in a lane, counted and reported."""
        self.inlet.withdraw(name)
        self._report()

    def shut(self) -> None:
        """Drop everything that waits; nothing can be pushed any more."""
        self.inlet.abandon("closed")
        self.inlet.drops.clear()

    def _report(self) -> None:
        while self.inlet.drops:
            self._driver.shed(*self.inlet.drops.popleft())


def whole(frame: Frame) -> None:
    """Refuse audio that ends inside a sample."""
    if isinstance(frame, Audio) and len(frame.pcm) % frame.format.sample_size:
        raise RealtimeException(_ragged(frame))


def _ragged(frame: Audio) -> InvalidRequest:
    return InvalidRequest(
        what=f"{len(frame.pcm)} bytes are no whole number of samples.",
        cause=f"one sample of this format has {frame.format.sample_size} bytes",
        fix="Push whole samples, or name the true format: Audio(pcm, AudioFormat(...)).",
    )


def _switched_off() -> InvalidRequest:
    return InvalidRequest(
        what="No pictures are sent in this session.",
        cause="`fps` of its configuration is not above zero",
        fix="Give `SessionConfig.fps` a value such as 1.0.",
    )
