"""The input audio that may still matter, addressed by the number of its samples since the start.

Signed 16-bit mono; what lies before `origin` is forgotten.
"""

from __future__ import annotations

__all__ = ("Tape",)


class Tape:
    """Audio in the order it came; an odd byte waits for its other half."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self.origin = 0

    @property
    def end(self) -> int:
        """Samples that ever came."""
        return self.origin + len(self._bytes) // 2

    def add(self, pcm: bytes) -> None:
        """Put audio at the end."""
        self._bytes += pcm

    def cut(self, start: int, end: int) -> bytes:
        """Give the samples from `start` to `end`, as far as they are there."""
        first, last = (max(0, at - self.origin) * 2 for at in (start, end))
        return bytes(self._bytes[first:last])

    def forget(self, before: int) -> None:
        """Let go of the samples before this one."""
        gone = min(max(0, before - self.origin), len(self._bytes) // 2)
        del self._bytes[: 2 * gone]
        self.origin += gone
