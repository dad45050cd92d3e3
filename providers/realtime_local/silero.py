"""Voice activity: the probability that a 32 ms frame holds speech, by Silero VAD.

The network is shared; what a stream of frames leaves behind (recurrent state, last 64 samples) is
kept per detector. One frame costs about 0.1 ms, so it runs on the caller's event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .network import Array, Network, floats
from .turns import FRAME

__all__ = ("CONTEXT", "Silero")

CONTEXT = 64
"""Samples of the frame before that the network sees again; without them it fails silently."""


class Silero:
    """The loaded network; raises as `Network` does."""

    def __init__(self, path: Path) -> None:
        self._network = Network(path)
        self._rate = np.array(16_000, dtype=np.int64)

    def detector(self) -> Callable[[bytes], float]:
        """Give a detector with a state of its own: 512 samples in, probability out.

        A frame of another length raises `ValueError`. Not for use from two threads at once.
        """
        seen: Array = np.zeros((1, CONTEXT + FRAME), dtype=np.float32)
        state: Array = np.zeros((2, 1, 128), dtype=np.float32)

        def probability(frame: bytes) -> float:
            nonlocal state
            samples = floats(frame)
            if samples.size != FRAME:
                raise ValueError(f"a frame is {FRAME} samples, not {samples.size}")
            seen[0, :CONTEXT] = seen[0, -CONTEXT:]
            seen[0, CONTEXT:] = samples
            feeds: dict[str, Array] = {"input": seen, "state": state, "sr": self._rate}
            result, state = self._network.run(feeds)
            return float(result[0, 0])

        return probability
