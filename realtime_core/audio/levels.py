"""How loud 16-bit mono or interleaved PCM is, in dB of full scale.

0 dBFS is a square wave at full scale (a sine reaches -3 dB); digital silence is minus infinity.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ("is_silent", "rms_dbfs")

_INT16: np.dtype[np.int16] = np.dtype("<i2")


def rms_dbfs(pcm: bytes) -> float:
    """Root mean square of the whole; minus infinity for silence and for no samples at all."""
    return _dbfs(_power(_samples(pcm)))


def is_silent(pcm: bytes, below: float = -60.0, window: int = 320) -> bool:
    """Whether no stretch of `window` samples is as loud as `below` dBFS.

    A window, not the whole, so that one word in a minute of silence is not silence.
    """
    samples = _samples(pcm)
    whole = samples.size // window * window
    loudest = float(np.max(_powers(samples[:whole].reshape(-1, window)), initial=0.0))
    return _dbfs(max(loudest, _power(samples[whole:]))) < below


def _samples(pcm: bytes) -> npt.NDArray[np.int16]:
    return np.frombuffer(pcm, _INT16, count=len(pcm) // 2)


def _powers(rows: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    powers: npt.NDArray[np.float64] = np.square(rows, dtype=np.float64).mean(axis=1)
    return powers


def _power(samples: npt.NDArray[np.int16]) -> float:
    return float(_powers(samples.reshape(1, -1))[0]) if samples.size else 0.0


def _dbfs(power: float) -> float:
    return 10 * math.log10(power / 32768**2) if power else -math.inf
