"""Change of sample rate: a windowed sinc in polyphase form, as a fold whose state is a value.

However the input is cut into chunks, the same bytes come out. That is so by construction: samples
and filter taps are whole numbers small enough for every sum of products to be exact in float64, so
neither the order of a summation nor the shape of a matrix product can be seen in the result.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple, TypeAlias, overload

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import InvalidRequest, RealtimeException
from .pcm import Fine, fine_from_float, fine_from_int16, float32_from_fine, int16_from_fine

__all__ = ("HIGHEST_RATE", "LOWEST_RATE", "Resampler", "ResamplerState")

LOWEST_RATE = 2_000
HIGHEST_RATE = 768_000

_Int16: TypeAlias = npt.NDArray[np.int16]
_Float32: TypeAlias = npt.NDArray[np.float32]

_REACH = 48  # half the filter's length, in samples of the lower rate
_STOP_DB = 80.0
_UNIT = float(1 << 22)  # a tap of 1.0; products stay below 2^26 * 2^22 and their sums below 2^53
_BLOCK = 64  # outputs of one row of a matrix product, at least
_MOST_CELLS = 1 << 20  # of one matrix: 8 MB
_MOST_TAPS = 1 << 19  # of one bank of phases: 4 MB
_SLICE = 1 << 18  # cells worked on at once: they stay in the cache


class ResamplerState(msgspec.Struct, frozen=True):
    """What a stream carries from one chunk to the next."""

    tail: bytes
    """The source samples the next output still needs, as float64."""
    phase: int = 0
    """How far the next output lies behind a source sample, in steps of the polyphase filter."""


class Resampler(msgspec.Struct, frozen=True):
    """A change from one sample rate (Hz) to another, mono.

    Up to 0.89 of the lower rate's half the response is flat to 0.001 dB; from that half on it is
    at least 79 dB down. Output n stands for the moment n / target_rate of the input, so nothing is
    shifted; it appears once the input reaches `lookahead` samples beyond its moment.
    """

    source_rate: int
    target_rate: int

    def __post_init__(self) -> None:
        """Refuse rates no audio has."""
        for rate in (self.source_rate, self.target_rate):
            if not LOWEST_RATE <= rate <= HIGHEST_RATE:
                raise RealtimeException(
                    InvalidRequest(
                        what=f"A sample rate of {rate} Hz cannot be converted.",
                        cause="the file's header or the format given is wrong",
                        fix=f"Use a rate from {LOWEST_RATE} to {HIGHEST_RATE} Hz.",
                    )
                )

    @property
    def lookahead(self) -> int:
        """Source samples an output waits for beyond its own moment."""
        return _kernel(self.source_rate, self.target_rate).half

    @property
    def latency_ms(self) -> float:
        """The same in milliseconds: 48 samples of the lower rate (3 ms at 16 kHz)."""
        return self.lookahead * 1000 / self.source_rate

    def length(self, samples: int) -> int:
        """Give the samples a whole stream of `samples` source samples becomes, flushed."""
        return -(-samples * self.target_rate // self.source_rate)

    def start(self) -> ResamplerState:
        """Give the state of a stream that has not begun: silence before the first sample."""
        return ResamplerState(bytes(8 * (self.lookahead - 1)))

    @overload
    def step(self, state: ResamplerState, samples: _Int16) -> tuple[ResamplerState, _Int16]: ...
    @overload
    def step(self, state: ResamplerState, samples: _Float32) -> tuple[ResamplerState, _Float32]: ...
    def step(
        self, state: ResamplerState, samples: _Int16 | _Float32
    ) -> tuple[ResamplerState, _Int16 | _Float32]:
        """Take a chunk of any length and give what can be said by now, in the same type.

        int16 is rounded once and clipped; float32 is not clipped, and NaN and infinities count
        as 0.
        """
        whole = samples.dtype == np.int16
        fine = fine_from_int16(samples) if whole else fine_from_float(samples)[0]
        state, out = self.advance(state, fine)
        return state, int16_from_fine(out) if whole else float32_from_fine(out)

    @overload
    def flush(self, state: ResamplerState, dtype: type[np.int16]) -> _Int16: ...
    @overload
    def flush(self, state: ResamplerState, dtype: type[np.float32]) -> _Float32: ...
    def flush(
        self, state: ResamplerState, dtype: type[np.int16] | type[np.float32]
    ) -> _Int16 | _Float32:
        """End the stream: the last samples, with silence behind them. The state is used up."""
        out = self.finish(state)
        return int16_from_fine(out) if dtype is np.int16 else float32_from_fine(out)

    def advance(self, state: ResamplerState, fine: Fine) -> tuple[ResamplerState, Fine]:
        """Take and give samples in the form of `realtime_core.audio.pcm`."""
        kernel = _kernel(self.source_rate, self.target_rate)
        source = np.concatenate((np.frombuffer(state.tail, np.float64), fine))
        count = kernel.ready(source.size, state.phase)
        if not count:
            return ResamplerState(source.tobytes(), state.phase), source[:0]
        filtered = _in_blocks if kernel.matrix.size else _one_by_one
        out = filtered(kernel, source, state.phase, count)
        start, phase = divmod(state.phase + count * kernel.down, kernel.up)
        return ResamplerState(source[start:].tobytes(), phase), out

    def finish(self, state: ResamplerState) -> Fine:
        """`flush`, in the form of `realtime_core.audio.pcm`."""
        return self.advance(state, np.zeros(self.lookahead))[1]


class _Kernel(NamedTuple):
    """The filter of one ratio: `up` outputs for `down` inputs."""

    up: int
    down: int
    half: int
    bank: Fine
    """One row of taps for each place an output can have between two inputs."""
    matrix: Fine
    """`bank` for a whole block of outputs, `(inputs, outputs)`; empty where it would be too big."""

    def ready(self, available: int, phase: int) -> int:
        """How many outputs have their whole window among the `available` samples."""
        windows = available - 2 * self.half + 1
        return (windows * self.up - 1 - phase) // self.down + 1 if windows > 0 else 0


@lru_cache(maxsize=16)
def _kernel(source_rate: int, target_rate: int) -> _Kernel:
    common = math.gcd(source_rate, target_rate)
    up, down = target_rate // common, source_rate // common
    half = math.ceil(_REACH * max(1.0, down / up))
    # A ratio with more phases than this takes the nearest below: noise at -75 dB, less further
    # down. Every usual pair of rates is exact.
    bank = _taps(up, down, half, phases=min(up, _MOST_TAPS // (2 * half)))
    return _Kernel(up, down, half, bank, _matrix(up, down, bank))


def _taps(up: int, down: int, half: int, phases: int) -> Fine:
    """Kaiser-windowed sinc, each row rounded to whole numbers that sum to exactly `_UNIT`."""
    stretch = max(1.0, down / up)
    beta = 0.1102 * (_STOP_DB - 8.7)
    transition = (_STOP_DB - 8) / (2.285 * math.pi * 2 * _REACH)
    cutoff = (1 - transition / 2) / stretch
    row = np.arange(1 - half, half + 1) - np.arange(phases)[:, None] / phases
    inside = np.maximum(1 - (row / (_REACH * stretch)) ** 2, 0)
    taps: Fine = np.sinc(row * cutoff) * np.i0(beta * np.sqrt(inside)) * (inside > 0)
    taps = np.rint(taps * (_UNIT / taps.sum(axis=1, keepdims=True)))
    taps[np.arange(phases), taps.argmax(axis=1)] += _UNIT - taps.sum(axis=1)
    return taps


def _matrix(up: int, down: int, bank: Fine) -> Fine:
    block = up * max(1, round(_BLOCK / up))
    starts, phases = np.divmod(np.arange(block) * down, up)
    inputs, taps = int(starts[-1]) + bank.shape[1], bank.shape[1]
    if len(bank) < up or inputs * block > _MOST_CELLS:
        return np.empty((0, 0))
    matrix = np.zeros((inputs, block))
    matrix[starts[:, None] + np.arange(taps), np.arange(block)[:, None]] = bank[phases]
    return matrix


def _in_blocks(kernel: _Kernel, source: Fine, phase: int, count: int) -> Fine:
    """Whole blocks, from the one in which the phase lies; what is before and behind is cut off."""
    inputs, block = kernel.matrix.shape
    skip = phase * pow(kernel.down, -1, kernel.up) % kernel.up if phase else 0
    shift, lead = block * kernel.down // kernel.up, skip * kernel.down // kernel.up
    rows = -(-(skip + count) // block)
    padded = np.zeros(max((rows - 1) * shift + inputs, lead + source.size))
    padded[lead : lead + source.size] = source
    windows = np.ndarray((rows, inputs), np.float64, padded.data, 0, (8 * shift, 8))
    out = np.empty((rows, block))
    height = max(1, _SLICE // inputs)
    for row in range(0, rows, height):
        np.matmul(windows[row : row + height], kernel.matrix, out=out[row : row + height])
    return out.reshape(-1)[skip : skip + count] / _UNIT


def _one_by_one(kernel: _Kernel, source: Fine, phase: int, count: int) -> Fine:
    """Each output with its own row of taps, for ratios of odd numbers."""
    phases, taps = kernel.bank.shape
    windows = np.ndarray((source.size - taps + 1, taps), np.float64, source.data, 0, (8, 8))
    out = np.empty(count)
    height = max(1, _SLICE // taps)
    for first in range(0, count, height):
        numbers = np.arange(first, min(first + height, count))
        starts, places = np.divmod(phase + numbers * kernel.down, kernel.up)
        rows = kernel.bank[places * phases // kernel.up]
        np.einsum("nk,nk->n", windows[starts], rows, out=out[first : first + height])
    return out / _UNIT
