"""A shelf: conversations that clients may take up again, for some minutes after they left.

A handle is as good as a key: it is long, random, and shown to its own client alone.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_urlsafe

import anyio

from realtime_core.config import Message

__all__ = ("Shelf", "answerable")

_MOST = 1_000
"""Conversations that nobody is in; of more, the oldest are forgotten."""

History = Callable[[], tuple[Message, ...]]


class Shelf:
    """Keeps the conversations of one server."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._live: dict[str, History] = {}
        self._left: dict[str, tuple[float, tuple[Message, ...]]] = {}

    def begin(self, history: History) -> str:
        """Keep a conversation that goes on; gives what its handles begin with."""
        name = token_urlsafe(24)
        self._live[name] = history
        return name

    def leave(self, name: str) -> None:
        """Keep how a conversation was when its client left, for the time that is given."""
        history = self._live.pop(name, None)
        if history is None:
            return
        now = anyio.current_time()
        kept = {key: one for key, one in self._left.items() if one[0] > now}
        kept[name] = (now + self._seconds, history())
        self._left = dict(list(kept.items())[-_MOST:])

    def find(self, handle: str) -> tuple[Message, ...] | None:
        """Give the conversation to which a handle belongs, as it is by now."""
        name = handle.rpartition(".")[0]
        if name in self._live:
            return self._live[name]()
        until, messages = self._left.get(name, (0.0, ()))
        return messages if until > anyio.current_time() else None


def answerable(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Leave out calls that were not answered: nobody will."""
    done = {message.call for message in messages if message.role == "tool_result"}
    return tuple(m for m in messages if m.role != "tool_call" or m.call in done)
