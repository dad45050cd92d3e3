"""Audio as bytes: formats, conversion and files."""

from __future__ import annotations

from .format import PCM_16K, PCM_24K, AudioFormat, Encoding

__all__ = ("PCM_16K", "PCM_24K", "AudioFormat", "Encoding")
