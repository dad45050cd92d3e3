"""The service's clock: ours, corrected where the service says that it has another time."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from time import time

__all__ = ("Clock",)

_SKEW = 240.0
"""Seconds by which a clock must be wrong for a signature to be refused; AWS grants five minutes."""


class Clock:
    """Tells the time that is signed."""

    def __init__(self, now: Callable[[], float] = time) -> None:
        self._now = now
        self._ahead = 0.0
        """Seconds by which the service's clock is ahead of ours."""

    @property
    def second(self) -> int:
        """The second that it is at the service, in Unix time."""
        return int(self._now() + self._ahead)

    def correct(self, date: str) -> bool:
        """Take over the time of a refusal's `Date`; False where that is what we had, or none."""
        try:
            ahead = parsedate_to_datetime(date).timestamp() - self._now()
        except (TypeError, ValueError, OverflowError):
            return False
        if abs(ahead - self._ahead) < _SKEW:
            return False
        self._ahead = ahead
        return True
