"""Pauses: how much silence stands in for the sound that a caller does not send, and when.

The service hears an end of turn in silence, and ends a session that has heard nothing for about
three minutes; a microphone that is muted, or a button let go of, sends it neither. The rule. Sound
that is sent lasts as long as it sounds, whenever it was sent. A second behind its end, shorter than
any pause that ends a turn, silence catches up with the time, and keeps level with it until it is
longer than any such pause. After that, and where there never was sound, a tenth of a second is sent
every twenty seconds. The next sound ends the pause; sound that comes as it is spoken has none, and
nobody learns of silence but the service: what interrupts an answer neither begins nor ends a pause.
Pure; times are in seconds of one clock.
"""

from __future__ import annotations

import msgspec

from .models import SILENCE_MS

__all__ = ("PIECE_MS", "Pause", "begun", "due", "hushed", "sounded", "wait")

PIECE_MS = 100
"""Milliseconds of silence in one event."""
_ENOUGH = SILENCE_MS // PIECE_MS
"""Pieces that end a turn."""
_GRACE = 1.0
_STEP = 0.5
_REST = 20.0


class Pause(msgspec.Struct, frozen=True, gc=False):
    """How far the sound of a connection is."""

    since: float
    """When the sound ends, or has ended; in the future where it came faster than it sounds."""
    pieces: int
    """Silence that was sent since then."""
    last: float
    """When the last of it was sent."""

    @property
    def over(self) -> bool:
        """Whether the turn has ended, so that the service rests."""
        return self.pieces >= _ENOUGH


def begun(now: float) -> Pause:
    """Give the pause at the beginning of a connection: nothing was said, so no turn must end."""
    return Pause(now, _ENOUGH, now)


def sounded(pause: Pause, now: float, seconds: float) -> Pause:
    """Take note of sound of so many seconds that is sent."""
    return Pause(max(pause.since, now) + seconds, 0, now)


def hushed(pause: Pause, now: float) -> Pause:
    """Take note of a piece of silence that was sent."""
    return Pause(pause.since, pause.pieces + 1, now)


def due(pause: Pause, now: float) -> int:
    """Give how many pieces of silence are to be sent now."""
    if pause.over:
        return int(now - pause.last >= _REST)
    gap = now - pause.since
    level = int(gap * 1_000 / PIECE_MS) if gap >= _GRACE else 0
    return max(0, min(level, _ENOUGH) - pause.pieces)


def wait(pause: Pause, now: float) -> float:
    """Give the seconds after which it is worth to ask again, unless there is sound before."""
    if pause.over:
        return max(_STEP, pause.last + _REST - now)
    return max(_STEP, pause.since + _GRACE - now)
