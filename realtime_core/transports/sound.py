"""The sound of a call: what comes is made one whole stream, what goes is sent on time.

Both are counted in samples. What the network lost becomes silence of the same length, and what is
sent keeps to the monotonic clock, whether there is anything to say or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from ..audio.format import AudioFormat
from ..signals import Signal

if TYPE_CHECKING:
    from ..audio.convert import Conversion, ConversionState

__all__ = ("Ear", "Voice")

_MOST_FILL = 1.0
"""Seconds of silence that stand for lost sound at most; a longer step is a new beginning."""
_FRAMES = 50
"""Frames of a second: 20 ms each."""
_AHEAD = 0.4
"""Seconds of sound that may wait to be sent."""
_LATEST = 1.0
"""Seconds the sending may be late and catch up; later than that it begins anew."""


class Ear:
    """Packets of sound as one stream in `target`: nothing twice, nothing missing."""

    def __init__(self, target: AudioFormat) -> None:
        from ..audio.convert import Conversion  # noqa: PLC0415 - numpy only where there is a call

        self._between = Conversion
        self._target = target
        self._conversion: tuple[Conversion, ConversionState] | None = None
        self._next = 0
        """Where the next packet should begin, in samples of its own clock."""

    def take(self, pcm: bytes, source: AudioFormat, at: int) -> bytes:
        """Give what is new in the stream by now, for sound that begins at sample `at`.

        A gap of up to a second is filled with silence, of a longer one a second is. What begins
        before the end of what is known already is late or a repeat, and left out; more than a
        second before, the far clock was set anew.
        """
        if self._conversion is None or self._conversion[0].source != source:
            conversion = self._between(source, self._target)
            self._conversion, self._next = (conversion, conversion.start()), at
        conversion, state = self._conversion
        most = int(source.rate * _MOST_FILL)
        gap = at - self._next
        if -most <= gap < 0:
            return b""
        self._next = at + source.samples(len(pcm))
        if gap > 0:
            pcm = bytes(min(gap, most) * source.sample_size) + pcm
        state, heard = conversion.step(state, pcm)
        self._conversion = conversion, state
        return heard


class Voice:
    """Sound on its way out, a frame of 20 ms at a time; silence where there is none."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self._frame = format.rate // _FRAMES
        self._most = int(format.rate * _AHEAD) * format.sample_size
        self._waiting = bytearray()
        self._taken = Signal()
        self._began = float("-inf")
        self._sent = 0
        """Samples since it began."""
        self._spoken = 0
        """Samples of what was put that are sent."""
        self._newest = 0
        """Of these, samples in the newest frame that had any."""
        self.spoke_at = float("-inf")
        """When that was sent."""
        self.held = False
        """Whether what waits has to wait on, and silence goes out."""
        self._over = False

    async def put(self, pcm: bytes) -> None:
        """Let sound wait to be sent; wait while 400 ms of it do.

        Cancelling leaves out what does not wait yet. Raises `anyio.BrokenResourceError` once the
        call is over.
        """
        rest = memoryview(pcm)
        while rest:
            room = self._most - len(self._waiting)
            if room > 0:
                self._waiting += rest[:room]
                rest = rest[room:]
            else:
                await self._wait()

    @property
    def waiting(self) -> bool:
        """Whether sound waits to be sent."""
        return bool(self._waiting)

    async def drained(self) -> None:
        """Wait until the last of the sound is on its way; raises as `put` does."""
        while self._waiting:
            await self._wait()

    async def due(self) -> bytes:
        """Wait until the next frame is due, and give it."""
        now = anyio.current_time()
        if now - self._due > _LATEST:
            self._began, self._sent = now, 0
        await anyio.sleep_until(self._due)
        self._sent += self._frame
        size = self._frame * self.format.sample_size
        frame = b"" if self.held else bytes(self._waiting[:size])
        if frame:
            del self._waiting[:size]
            self._newest = self.format.samples(len(frame))
            self._spoken += self._newest
            self.spoke_at = anyio.current_time()
        self._taken.give()
        return frame.ljust(size, b"\0")

    def spoken(self) -> int:
        """Give the samples of what was put that are sent and have had the time to sound."""
        sounds = anyio.current_time() < self.spoke_at + 1 / _FRAMES
        return self._spoken - (self._newest if sounds else 0)

    def clear(self) -> None:
        """Forget what waits; what sounds just now no longer counts as spoken."""
        self._spoken, self._newest = self.spoken(), 0
        self._waiting.clear()
        self._taken.give()

    def end(self) -> None:
        """Let nobody wait any longer."""
        self._over = True
        self._taken.give()

    @property
    def _due(self) -> float:
        return self._began + self._sent / self.format.rate

    async def _wait(self) -> None:
        if not self._over:
            await self._taken.wait()
        if self._over:
            raise anyio.BrokenResourceError
