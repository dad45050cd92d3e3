"""A byte stream cut into frames of a fixed length in milliseconds; a fold, nothing is dropped.

Frames hold whole samples and never drift: where the rate does not divide evenly (20 ms at
11,025 Hz) they differ by one sample, and after k frames k * ms milliseconds have been cut.
"""

from __future__ import annotations

import msgspec

from ..errors import InvalidRequest, RealtimeException
from .format import AudioFormat

__all__ = ("Rechunk", "RechunkState")


class RechunkState(msgspec.Struct, frozen=True, gc=False):
    """What a stream carries from one chunk to the next."""

    rest: bytes = b""
    """Bytes not cut yet; fewer than a frame."""
    owed: int = 0
    """The part of a sample the frames so far are short of, in 1/1000."""


class Rechunk(msgspec.Struct, frozen=True, gc=False):
    """Frames of `ms` milliseconds out of chunks of any size in `format`."""

    format: AudioFormat
    ms: int = 20

    def __post_init__(self) -> None:
        """Refuse frames that would hold no sample."""
        if self.format.rate * self.ms < 1000:
            raise RealtimeException(
                InvalidRequest(
                    what=f"A frame of {self.ms} ms at {self.format.rate} Hz holds no sample.",
                    cause="the frame length or the rate is too small",
                    fix="Use a frame of 10 ms or more.",
                )
            )

    def start(self) -> RechunkState:
        """Give the state of a stream that has not begun."""
        return RechunkState()

    def step(self, state: RechunkState, pcm: bytes) -> tuple[RechunkState, tuple[bytes, ...]]:
        """Take a chunk and give the frames that are whole by now, oldest first."""
        stream = state.rest + pcm if state.rest else pcm
        frames, at, owed = list[bytes](), 0, state.owed
        while True:
            samples, left = divmod(owed + self.format.rate * self.ms, 1000)
            end = at + samples * self.format.sample_size
            if end > len(stream):
                return RechunkState(stream[at:], owed), tuple(frames)
            frames.append(stream[at:end])
            at, owed = end, left

    def finish(self, state: RechunkState) -> bytes:
        """End the stream: the whole samples left, as one shorter frame; empty where none is."""
        return state.rest[: len(state.rest) // self.format.sample_size * self.format.sample_size]
