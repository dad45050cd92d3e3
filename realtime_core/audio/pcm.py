"""Samples between two encodings: whole numbers of 2^-23 of full scale, held in float64.

On that grid 8 to 24 bit PCM, G.711 and 16-bit output are exact, and a float moves by less than
-138 dB. It is a way station inside a conversion, not a format: frames and events carry bytes.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from . import g711
from .format import Encoding

__all__ = (
    "FULL_SCALE",
    "Fine",
    "decode",
    "encode",
    "fine_from_float",
    "fine_from_int16",
    "float32_from_fine",
    "int16_from_fine",
)

Fine: TypeAlias = npt.NDArray[np.float64]
"""Samples as whole numbers of 1 / `FULL_SCALE`; 256 of them are one step of 16-bit PCM."""

FULL_SCALE = 1 << 23
_STEP = 256.0
_LOUDEST = 8.0 * FULL_SCALE
_INT16: np.dtype[np.int16] = np.dtype("<i2")
_FLOAT32: np.dtype[np.float32] = np.dtype("<f4")


def fine_from_int16(samples: npt.NDArray[np.int16 | np.float32]) -> Fine:
    """Take samples in 16-bit steps; exact."""
    return np.multiply(samples, _STEP, dtype=np.float64)


def fine_from_float(
    samples: npt.NDArray[np.int16 | np.float32 | np.float64],
) -> tuple[Fine, int]:
    """Take floats (full scale is ±1), held within ±8.

    NaN and infinities become 0; how many there were is given back as well.
    """
    finite = np.isfinite(samples)
    cleaned = int(samples.size - np.count_nonzero(finite))
    if cleaned:
        samples = np.where(finite, samples, 0)
    scaled = np.multiply(samples, FULL_SCALE, dtype=np.float64)
    return _clipped(scaled, -_LOUDEST, _LOUDEST), cleaned


def int16_from_fine(fine: Fine) -> npt.NDArray[np.int16]:
    """Give 16-bit samples: rounded once, clipped at full scale."""
    return _clipped(fine * (1 / _STEP), -32768, 32767).astype(_INT16)


def float32_from_fine(fine: Fine) -> npt.NDArray[np.float32]:
    """Give floats, full scale ±1, not clipped."""
    return (fine * (1 / FULL_SCALE)).astype(_FLOAT32)


def decode(pcm: bytes, encoding: Encoding) -> tuple[Fine, int]:
    """Read whole samples of one encoding; also how many were NaN or infinite and became 0."""
    match encoding:
        case "pcm16":
            return fine_from_int16(np.frombuffer(pcm, _INT16)), 0
        case "f32":
            return fine_from_float(np.frombuffer(pcm, _FLOAT32))
        case "pcmu":
            return fine_from_int16(g711.decode_ulaw(pcm)), 0
        case "pcma":
            return fine_from_int16(g711.decode_alaw(pcm)), 0
        case _:
            assert_never(encoding)


def encode(fine: Fine, encoding: Encoding) -> bytes:
    """Write samples in one encoding; what is louder than an integer encoding can say is clipped."""
    match encoding:
        case "pcm16":
            return int16_from_fine(fine).tobytes()
        case "f32":
            return float32_from_fine(fine).tobytes()
        case "pcmu":
            return g711.encode_ulaw(int16_from_fine(fine))
        case "pcma":
            return g711.encode_alaw(int16_from_fine(fine))
        case _:
            assert_never(encoding)


def _clipped(scaled: Fine, lowest: float, highest: float) -> Fine:
    """Round and clip in place (`np.clip` costs more than a whole frame of these three)."""
    np.rint(scaled, out=scaled)
    np.maximum(scaled, lowest, out=scaled)
    return np.minimum(scaled, highest, out=scaled)
