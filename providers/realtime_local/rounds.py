"""Tool calls whose results are awaited, by the response that made them.

A round is complete when each of its calls has a result; a stale one is never.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ("Rounds",)


class Rounds:
    """The open rounds of one session."""

    def __init__(self) -> None:
        self._open = dict[str, set[str]]()

    def begin(self, response: str, calls: Iterable[str]) -> None:
        """Await the results of these calls."""
        self._open[response] = set(calls)

    def stale(self, response: str | None = None) -> None:
        """Await the results of this response no more, or of none there is."""
        if response is None:
            self._open.clear()
        else:
            self._open.pop(response, None)

    def answered(self, call: str) -> bool:
        """Take in that a call has a result; True when that completes its round."""
        for response, calls in self._open.items():
            if call in calls:
                calls.remove(call)
                if not calls:
                    del self._open[response]
                return not calls
        return False
