"""Audio as bytes: formats, conversion and files; importing it loads no numpy.

`convert`, `files`, `g711`, `levels` and `resample` do load it: import them by their own names.
"""

from __future__ import annotations

from .format import PCM_16K, PCM_24K, AudioFormat, Encoding
from .rechunk import Rechunk, RechunkState

__all__ = ("PCM_16K", "PCM_24K", "AudioFormat", "Encoding", "Rechunk", "RechunkState")
