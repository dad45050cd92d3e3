"""Where answers are played, device or clock, and the file that keeps what was heard of them.

The file never holds a sample that did not sound.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from ..audio.convert import Conversion
from ..audio.files import WavWriter
from ..audio.format import AudioFormat
from ..audio.speaker import SpeakerSink, speaker
from ..errors import RealtimeException
from ..playback import ClockSink, Sink

__all__ = ("Keep", "keeping", "sink")


class Keep:
    """Takes each piece of an answer once it was heard; writes it to a file, if there is one."""

    def __init__(self, file: WavWriter | None) -> None:
        self._file = file
        self._conversion: Conversion | None = None

    def __call__(self, pcm: bytes, format: AudioFormat) -> None:
        """Write it through to the disk; raises `RealtimeException` where that fails."""
        if self._file is None:
            return
        if self._conversion is None or self._conversion.source != format:
            self._conversion = Conversion(format, self._file.format)
            self._state = self._conversion.start()
        self._state, fitting = self._conversion.step(self._state, pcm)
        self._file.write(fitting)


@contextmanager
def keeping(path: Path | None, format: AudioFormat) -> Generator[Keep]:
    """Open the file for what is heard. It is whole after every piece, whatever happens then."""
    if path is None:
        yield Keep(None)
        return
    with WavWriter(path, format) as file:
        yield Keep(file)


class Kept:
    """A loudspeaker that hands on what it has played."""

    def __init__(self, sink: SpeakerSink, keep: Keep) -> None:
        self._sink = sink
        self._keep = keep
        self._written = bytearray()
        self._format = sink.format
        self._given = 0

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        """Play; keeps what was heard meanwhile."""
        self._written += pcm
        self._format = format
        await self._sink.write(pcm, format)
        self._hand_on()

    def heard(self) -> int:
        """Give the samples played."""
        return self._sink.heard()

    async def drain(self) -> None:
        """Wait until all is played, and keep it."""
        await self._sink.drain()
        self._hand_on()

    def flush(self) -> None:
        """Fall silent, and keep what was heard until now."""
        self._sink.flush()
        self._hand_on()
        self._written.clear()

    def _hand_on(self) -> None:
        heard = self._sink.heard()
        size = (heard - self._given) * self._format.sample_size
        piece = bytes(self._written[:size])
        del self._written[:size]
        self._given = heard
        if piece:
            self._keep(piece, self._format)


@asynccontextmanager
async def sink(
    wish: bool | None, rate: int, keep: Keep, pace: float
) -> AsyncGenerator[tuple[Sink, str]]:
    """Give the loudspeaker where it is wished for (or not refused) and works, else the clock.

    With the clock comes a remark that says why, where that is not the wish.
    """
    if wish is False or (wish is None and pace != 1.0):
        yield ClockSink(keep, pace=pace), ""
        return
    async with AsyncExitStack() as stack:
        try:
            loud = await stack.enter_async_context(speaker(rate))
        except RealtimeException as refusal:
            error = refusal.error
            why = f"{error.what} {error.fix} The answer plays on the clock, unheard."
            yield ClockSink(keep, pace=pace), why
            return
        yield Kept(loud, keep), ""
