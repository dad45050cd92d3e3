"""What audio bytes mean: encoding, rate in Hz, interleaved channels.

Audio is counted in samples, never in wall time; one sample here is one moment in all channels.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ("PCM_16K", "PCM_24K", "AudioFormat", "Encoding")

Encoding = Literal["pcm16", "f32", "pcmu", "pcma"]
_WIDTH: dict[str, int] = {"pcm16": 2, "f32": 4, "pcmu": 1, "pcma": 1}


class AudioFormat(msgspec.Struct, frozen=True, gc=False):
    """Encoding (little-endian), sample rate in Hz and number of interleaved channels."""

    rate: int = 24_000
    encoding: Encoding = "pcm16"
    channels: int = 1

    @property
    def sample_size(self) -> int:
        """Bytes of one sample over all channels."""
        return _WIDTH[self.encoding] * self.channels

    def samples(self, size: int) -> int:
        """Whole samples in `size` bytes."""
        return size // self.sample_size

    def milliseconds(self, size: int) -> float:
        """Duration of `size` bytes in milliseconds."""
        return self.samples(size) * 1000 / self.rate


PCM_16K = AudioFormat(rate=16_000)
PCM_24K = AudioFormat(rate=24_000)
