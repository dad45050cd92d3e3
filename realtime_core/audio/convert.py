"""Change of audio format (encoding, rate, channels) as a fold over chunks of bytes.

However the input is cut, also inside a sample, the same bytes come out, always whole samples, and
the length is kept to within one sample over the whole stream.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ..errors import InvalidRequest, RealtimeException
from .format import AudioFormat
from .pcm import Fine, decode, encode
from .resample import Resampler, ResamplerState

__all__ = ("Conversion", "ConversionState", "convert")

_SLICE = 1 << 20


class ConversionState(msgspec.Struct, frozen=True):
    """What a stream carries from one chunk to the next."""

    rest: bytes = b""
    """The first bytes of a sample whose end has not come yet."""
    channels: tuple[ResamplerState, ...] = ()
    """One state per channel that is resampled."""
    cleaned: int = 0
    """Values so far that were NaN or infinite and became 0."""


class Conversion(msgspec.Struct, frozen=True):
    """A change from one audio format to another.

    To mono all channels are averaged; mono is copied to every channel of the target; other
    channel counts must be equal. Samples louder than full scale are clipped, except in `f32`.
    """

    source: AudioFormat
    target: AudioFormat

    def __post_init__(self) -> None:
        """Refuse what cannot be converted."""
        source, target = self.source.channels, self.target.channels
        if source < 1 or target < 1 or (source != target and 1 not in {source, target}):
            raise RealtimeException(
                InvalidRequest(
                    what=f"{source} channels cannot be made into {target}.",
                    cause="which channel belongs to which speaker is not known",
                    fix="Choose mono, or as many channels as the source has.",
                )
            )
        _ = self._resampler

    @property
    def latency_ms(self) -> float:
        """How long a sample is held back at most; 0 where the rates are equal."""
        resampler = self._resampler
        return resampler.latency_ms if resampler else 0.0

    def start(self) -> ConversionState:
        """Give the state of a stream that has not begun."""
        resampler = self._resampler
        if resampler is None:
            return ConversionState()
        return ConversionState(channels=(resampler.start(),) * self._worked)

    def step(self, state: ConversionState, pcm: bytes) -> tuple[ConversionState, bytes]:
        """Take a chunk of any size and give what it becomes by now.

        Between equal formats the very same bytes object is given back where it holds whole
        samples and no NaN.
        """
        stream = state.rest + pcm if state.rest else pcm
        size = self.source.sample_size
        over = len(stream) % size
        whole, rest = (stream[:-over], stream[-over:]) if over else (stream, b"")
        if self.source == self.target and self.source.encoding != "f32":
            return (state if rest == state.rest else _with(state, rest)), whole
        fine, cleaned = decode(whole, self.source.encoding)
        if self.source == self.target and not cleaned:
            return (state if rest == state.rest else _with(state, rest)), whole
        channels, out = self._resampled(state.channels, self._mixed(fine))
        state = ConversionState(rest, channels, state.cleaned + cleaned)
        return state, self._encoded(out)

    def finish(self, state: ConversionState) -> bytes:
        """End the stream: what was held back. Bytes of an unfinished sample are dropped."""
        resampler = self._resampler
        if resampler is None:
            return b""
        return self._encoded(_columns([resampler.finish(one) for one in state.channels]))

    @property
    def _resampler(self) -> Resampler | None:
        source, target = self.source.rate, self.target.rate
        return None if source == target else Resampler(source, target)

    @property
    def _worked(self) -> int:
        """Channels in the middle: mono wherever one of the ends is."""
        return min(self.source.channels, self.target.channels)

    def _mixed(self, fine: Fine) -> Fine:
        """Give one row per sample, one column per channel that is worked on."""
        rows = fine.reshape(-1, self.source.channels)
        if self._worked == self.source.channels:
            return rows
        mixed: Fine = np.rint(rows.sum(axis=1, keepdims=True) / self.source.channels)
        return mixed

    def _resampled(
        self, states: tuple[ResamplerState, ...], rows: Fine
    ) -> tuple[tuple[ResamplerState, ...], Fine]:
        resampler = self._resampler
        if resampler is None:
            return states, rows
        steps = [resampler.advance(one, rows[:, at]) for at, one in enumerate(states)]
        return tuple(state for state, _ in steps), _columns([out for _, out in steps])

    def _encoded(self, rows: Fine) -> bytes:
        copies = self.target.channels // self._worked
        wide = np.repeat(rows, copies, axis=1) if copies > 1 else rows
        return encode(wide, self.target.encoding)


def convert(pcm: bytes, source: AudioFormat, target: AudioFormat) -> bytes:
    """Convert a whole recording; blocks for a millisecond or so per second of audio."""
    conversion = Conversion(source, target)
    state, parts = conversion.start(), list[bytes]()
    for at in range(0, len(pcm), _SLICE):  # the steps in between take eight bytes a sample
        state, converted = conversion.step(state, pcm[at : at + _SLICE])
        parts.append(converted)
    return b"".join([*parts, conversion.finish(state)])


def _with(state: ConversionState, rest: bytes) -> ConversionState:
    return ConversionState(rest, state.channels, state.cleaned)


def _columns(channels: list[Fine]) -> Fine:
    return channels[0][:, None] if len(channels) == 1 else np.stack(channels, axis=1)
