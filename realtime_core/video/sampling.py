"""Which pictures of a stream to send: at most `fps` a second, the latest one, none twice.

A fold over (picture, time): it has no clock and no timer of its own. Every picture offered is at
last sent, replaced by a later one, left out as unchanged, or still waiting; the counts say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import blake2b

import msgspec

from ..errors import InvalidRequest, RealtimeException
from ..frames import Video
from .jpeg import thumbnail

__all__ = ("Sampler", "Sampling", "glimpse")

_SIDE = 32


class Sampling(msgspec.Struct, frozen=True):
    """What a stream of pictures carries from one to the next. Times are seconds of any clock."""

    waiting: Video | None = None
    due: float = -math.inf
    """When the next picture may be sent."""
    seen: bytes = b""
    """A glimpse of the last picture sent."""
    sent: int = 0
    replaced: int = 0
    unchanged: int = 0

    @property
    def wake(self) -> float | None:
        """When to call `Sampler.tick`; None where nothing waits."""
        return None if self.waiting is None else self.due


def glimpse(image: bytes) -> bytes:
    """Give a small grey picture to compare by; a digest where the image cannot be unpacked here."""
    try:
        return thumbnail(image, _SIDE)
    except RealtimeException:
        return blake2b(image).digest()


class Sampler(msgspec.Struct, frozen=True):
    """At most `fps` pictures a second, each of them at least 1 / `fps` after the one before.

    A picture counts as changed where any of 32 x 32 fields of its grey thumbnail differs by more
    than `change` levels (of 255) from the last one sent: a new word on a screen does, a blinking
    cursor or sensor noise does not. Without pillow, where any byte differs. Looking at a large
    JPEG takes some milliseconds, at a large PNG tens: call those in a worker thread (a fold has
    no thread of its own), or give another `look`.
    """

    fps: float = 1.0
    change: int = 12
    look: Callable[[bytes], bytes] = glimpse

    def __post_init__(self) -> None:
        """Refuse a rate that is none."""
        if not 0 < self.fps < math.inf:
            raise RealtimeException(
                InvalidRequest(
                    what=f"{self.fps} pictures a second cannot be.",
                    cause="`fps` is a positive number",
                    fix="Use 1.0, or 0.2 for one picture in five seconds.",
                )
            )

    def offer(self, state: Sampling, frame: Video, at: float) -> tuple[Sampling, Video | None]:
        """Take a picture; give it back where it is to be sent now. Else it waits for `tick`."""
        late = state.waiting is not None
        kept = msgspec.structs.replace(state, waiting=frame, replaced=state.replaced + late)
        return self.tick(kept, at)

    def tick(self, state: Sampling, at: float) -> tuple[Sampling, Video | None]:
        """Give the waiting picture where its time has come and it shows something new.

        An unchanged one does not use up the turn: the first changed one after it goes at once.
        """
        frame = state.waiting
        if frame is None or at < state.due:
            return state, None
        seen = self.look(frame.image)
        if state.sent and not self._differ(seen, state.seen):
            skipped = msgspec.structs.replace(state, waiting=None, unchanged=state.unchanged + 1)
            return skipped, None
        due = at + 1 / self.fps
        return Sampling(None, due, seen, state.sent + 1, state.replaced, state.unchanged), frame

    def _differ(self, one: bytes, other: bytes) -> bool:
        if one == other or len(one) != len(other) or len(one) != _SIDE * _SIDE:
            return one != other
        return max(abs(a - b) for a, b in zip(one, other, strict=True)) > self.change
