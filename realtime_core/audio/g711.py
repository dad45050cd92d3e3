"""G.711 mu-law and A-law, between 8-bit codes and 16-bit samples, by table.

`encode(decode(code)) == code` for every code, but for mu-law's negative zero (0x7F), which comes
back as positive zero (0xFF): both mean silence.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ("decode_alaw", "decode_ulaw", "encode_alaw", "encode_ulaw")

Samples = npt.NDArray[np.int16]
Codes = npt.NDArray[np.uint8]

_ULAW_BIAS = 33
_ULAW_LOUDEST = 8158
"""In G.711's 14-bit scale: the greatest magnitude that still has a segment, without the bias."""


def decode_ulaw(codes: bytes) -> Samples:
    """Give one 16-bit sample for each byte of mu-law."""
    return _ulaw_samples()[np.frombuffer(codes, np.uint8)]


def decode_alaw(codes: bytes) -> Samples:
    """Give one 16-bit sample for each byte of A-law."""
    return _alaw_samples()[np.frombuffer(codes, np.uint8)]


def encode_ulaw(samples: Samples) -> bytes:
    """Give one byte of mu-law for each 16-bit sample."""
    return _ulaw_codes()[samples.astype(np.uint16)].tobytes()


def encode_alaw(samples: Samples) -> bytes:
    """Give one byte of A-law for each 16-bit sample."""
    return _alaw_codes()[samples.astype(np.uint16)].tobytes()


@cache
def _ulaw_samples() -> Samples:
    # Recommendation G.711, table 2: all bits inverted; sign, 3 bits segment, 4 bits step.
    code = ~np.arange(256, dtype=np.uint8)
    segment, step = (code >> 4) & 7, (code & 15).astype(np.int32)
    magnitude = (((step << 1) + _ULAW_BIAS) << segment) - _ULAW_BIAS
    return _signed(magnitude << 2, negative=code >= 128)


@cache
def _alaw_samples() -> Samples:
    # Recommendation G.711, table 1: even bits inverted; segments 0 and 1 have the same step.
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    segment, step = ((code >> 4) & 7).astype(np.int32), (code & 15).astype(np.int32)
    first = segment == 0
    magnitude = ((step << 1) + np.where(first, 1, 33)) << np.where(first, 0, segment - 1)
    return _signed(magnitude << 3, negative=code < 128)


@cache
def _ulaw_codes() -> Codes:
    sample = _every_sample() >> 2
    magnitude = np.minimum(np.abs(sample), _ULAW_LOUDEST) + _ULAW_BIAS
    segment = _segment(magnitude >> 6)
    code = (segment << 4) | ((magnitude >> (segment + 1)) & 15)
    codes: Codes = (code ^ np.where(sample < 0, 0x7F, 0xFF)).astype(np.uint8)
    return codes


@cache
def _alaw_codes() -> Codes:
    sample = _every_sample() >> 3
    magnitude = np.where(sample < 0, -sample - 1, sample)
    segment = _segment(magnitude >> 5)
    code = (segment << 4) | ((magnitude >> np.maximum(segment, 1)) & 15)
    codes: Codes = (code ^ np.where(sample < 0, 0x55, 0xD5)).astype(np.uint8)
    return codes


def _every_sample() -> npt.NDArray[np.int32]:
    """Every 16-bit sample, at the place of its bits read without a sign."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int32)


def _segment(magnitude: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Give how many bits the magnitude has: each further one is the next, coarser segment."""
    return np.frexp(magnitude.astype(np.float64))[1].astype(np.int32)


def _signed(magnitude: npt.NDArray[np.int32], *, negative: npt.NDArray[np.bool_]) -> Samples:
    return np.where(negative, -magnitude, magnitude).astype(np.int16)
