"""The loudspeaker: a sink that knows to the sample what has sounded.

Its device's own thread takes what is queued here; nothing here waits for that thread without a
bound. Needs the extra `audio`, loaded only when the loudspeaker is opened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from threading import Lock
from typing import Any, Protocol

import anyio

from ..errors import RealtimeException
from .convert import Conversion
from .device import GLANCE, PATIENCE, Stream, agreed, running, stuck
from .format import AudioFormat

__all__ = ("SpeakerSink", "Times", "speaker")

_AHEAD_MS = 80.0
"""Milliseconds of sound that wait for the loudspeaker at most when `write` returns."""

_PRIMED = 0.05
"""Seconds of the device's clock after which its first buffer was filled and begun."""


class Times(Protocol):
    """What the device tells at each call, in seconds of its own clock."""

    currentTime: float  # noqa: N815 - its name there
    outputBufferDacTime: float  # noqa: N815 - its name there


class SpeakerSink:
    """Plays on the loudspeaker; a `realtime_core.playback.Sink`.

    A sample counts as heard when the device says that it leaves the loudspeaker; what the device
    still holds at a `flush` may sound, but does not count.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        """What the device plays; audio in other formats is converted."""
        self.calls = 0
        """How often the device has called."""
        self.steady = False
        """Whether the device plays; at first it only fills its buffer, and some then pause."""
        self._began: float | None = None
        self._stream: Stream | None = None
        self._lock = Lock()
        self._queue = bytearray()
        self._given = deque[tuple[float, int]]()
        """When each piece begins to sound, and its samples."""
        self._ends = 0.0
        self._played = 0
        self._source: AudioFormat = format
        self._conversion = Conversion(format, format)
        self._state = self._conversion.start()
        self._written = 0
        self._before = 0
        self._paused = False

    def attach(self, stream: Stream) -> None:
        """Take the device's clock; called once, when it runs."""
        self._stream = stream

    def play(self, out: Any, frames: int, times: Times, *_: object) -> None:  # noqa: ANN401 - the library's buffer
        """Fill the device's buffer; called in its own thread."""
        size = frames * self.format.sample_size
        with self._lock:
            self.calls += 1
            self._began = times.currentTime if self._began is None else self._began
            self.steady = times.currentTime - self._began > _PRIMED
            data = b"" if self._paused else bytes(self._queue[:size])
            del self._queue[: len(data)]
            samples = self.format.samples(len(data))
            if samples:
                starts = max(self._ends, times.outputBufferDacTime or times.currentTime)
                self._ends = starts + samples / self.format.rate
                self._given.append((starts, samples))
        out[:] = data + bytes(size - len(data))

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        """Take some audio; returns when little waits in front of the device."""
        if format != self._source:
            await self.drain()
            self._source = format
            self._conversion = Conversion(format, self.format)
            self._state = self._conversion.start()
        self._state, fitting = self._conversion.step(self._state, pcm)
        with self._lock:
            self._queue += fitting
        self._written += format.samples(len(pcm))
        await self._until(lambda: self.format.milliseconds(len(self._queue)) <= _AHEAD_MS)

    def heard(self) -> int:
        """Give the samples heard, at the rate at which they were written."""
        with self._lock:
            played = self._counted() * self._source.rate // self.format.rate
        return self._before + min(played, self._written)

    async def drain(self) -> None:
        """Wait until everything written has sounded."""
        rest = self._conversion.finish(self._state)
        self._state = self._conversion.start()
        with self._lock:
            self._queue += rest
        await self._until(self._silent)
        self._restart(self._written)

    def flush(self) -> None:
        """Forget what the device does not have yet; never waits."""
        self._restart(self.heard() - self._before)

    def pause(self) -> None:
        """Fall silent and keep what the device does not have yet; never waits."""
        with self._lock:
            self._paused = True

    def resume(self) -> None:
        """Go on where it was paused."""
        with self._lock:
            self._paused = False

    def _restart(self, heard: int) -> None:
        with self._lock:
            self._queue.clear()
            self._given.clear()
            self._played = 0
        self._before += heard
        self._written = 0
        self._state = self._conversion.start()

    def _silent(self) -> bool:
        with self._lock:
            self._counted()
            return not self._queue and not self._given

    def _counted(self) -> int:
        """Count what has left the loudspeaker since the last start; the lock is held."""
        now = self._stream.time if self._stream is not None else 0.0
        rate = self.format.rate
        while self._given and self._given[0][0] + self._given[0][1] / rate <= now:
            self._played += self._given.popleft()[1]
        if not self._given:
            return self._played
        return self._played + max(0, int((now - self._given[0][0]) * rate))

    async def _until(self, true: Callable[[], bool]) -> None:
        """Wait for the device; raises when its calls have ceased."""
        calls, since = self.calls, anyio.current_time()
        while not true():
            await anyio.sleep(GLANCE)
            now = anyio.current_time()
            if self.calls != calls:
                calls, since = self.calls, now
            elif now - since > PATIENCE:
                raise RealtimeException(stuck("the loudspeaker takes no more sound"))


@asynccontextmanager
async def speaker(rate: int) -> AsyncGenerator[SpeakerSink]:
    """Open the default loudspeaker at this rate in Hz, or else at the device's own.

    Raises `RealtimeException` where there is none, it does not start, or the extra is missing.
    Leaving the block silences it.
    """
    agreement = await agreed("output", rate)
    sink = SpeakerSink(agreement.format)
    async with running(agreement, sink.play, lambda: sink.steady) as stream:
        sink.attach(stream)
        yield sink
