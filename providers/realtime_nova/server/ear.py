"""The ear: when a user begins to speak and has finished, by the loudness of the sound. Pure."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

__all__ = ("Ear", "listened")

_LOUD = 256
"""A sample beyond this is no silence."""
_STEP_MS = 10


class Ear(msgspec.Struct, frozen=True):
    """What was heard so far."""

    begun: int = 0
    """How often somebody began to speak."""
    ended: int = 0
    """How often it was silent for long enough after that."""
    silent: int = 0
    """Samples of silence since somebody spoke."""


def listened(ear: Ear, pcm: bytes, rate: int, pause_ms: int) -> Ear:
    """Listen to more; `pause_ms` of silence ends a turn."""
    samples, step = memoryview(pcm).cast("h"), rate * _STEP_MS // 1_000
    begun, ended, silent = ear.begun, ear.ended, ear.silent
    for start in range(0, len(samples), step):
        piece = samples[start : start + step]
        if max(piece) > _LOUD or min(piece) < -_LOUD:
            begun, silent = begun + (begun == ended), 0
        elif begun > ended:
            silent += len(piece)
            ended += silent >= rate * pause_ms // 1_000
    return replace(ear, begun=begun, ended=ended, silent=silent)
