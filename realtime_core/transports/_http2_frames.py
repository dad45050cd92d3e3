"""HTTP/2 frames: what was read, cut into whole ones.

A frame's length is judged before room is made for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ("Cutter", "Farewell", "TooLong", "farewell")

_HEAD = 9
_LONGEST = 16_384
"""Bytes of a frame's payload; we never ask for more than the standard's least."""
_PREFACE = 24
_GOAWAY = 7


class TooLong(Exception):  # noqa: N818 - it names the finding
    """A frame beyond the limit, or no HTTP/2 at all."""


class Farewell(NamedTuple):
    """What a GOAWAY says."""

    last: int
    """The last of our streams that the peer cares for; later ones can be tried again."""
    code: int
    said: str


class Cutter:
    """Cuts bytes into frames; a server's first "frame" is the client's preface, in pieces."""

    def __init__(self, *, preface: bool) -> None:
        self._data = bytearray()
        self._preface = _PREFACE if preface else 0

    def cut(self, data: bytes) -> Iterator[bytes]:
        """Give the frames that are whole now; raises `TooLong` behind what was sound."""
        if self._preface:
            greeting, data = data[: self._preface], data[self._preface :]
            self._preface -= len(greeting)
            yield greeting
        self._data += data
        while len(self._data) >= _HEAD:
            length = int.from_bytes(self._data[:3], "big")
            if length > _LONGEST:
                raise TooLong(f"a frame of {length} bytes")
            if len(self._data) < _HEAD + length:
                return
            frame = bytes(memoryview(self._data)[: _HEAD + length])
            del self._data[: len(frame)]
            yield frame


def farewell(frame: bytes) -> Farewell | None:
    """Read a GOAWAY; None for any other frame, and for one that is malformed.

    It is kept from h2, which would take no frame of a stream after it, although a peer that takes
    its leave in good order goes on with those that it has begun.
    """
    if len(frame) < _HEAD + 8 or frame[3] != _GOAWAY or frame[5:_HEAD] != bytes(4):
        return None
    last = int.from_bytes(frame[9:13], "big") & 0x7FFF_FFFF
    code = int.from_bytes(frame[13:17], "big")
    return Farewell(last, code, frame[17:].decode("utf-8", "replace"))
