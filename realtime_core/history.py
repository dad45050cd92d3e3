"""A kept history, as another connection can take it: whole turns, within a provider's limits."""

from __future__ import annotations

from collections.abc import Sequence

from .capability import HistoryLimits
from .config import Message
from .epoch import CallId

__all__ = ("fitted",)


def fitted(
    history: Sequence[Message], limits: HistoryLimits | None = None
) -> tuple[tuple[Message, ...], int]:
    """Give what can be replayed of a history, and how many of its entries were left out.

    It is the newest whole turns that fit; a turn begins with words of the user, or of the system
    before them. Calls without a result and results without a call are left out, and so is a turn of
    which one entry is too long.
    """
    limits = limits or HistoryLimits()
    kept, size = list[Message](), 0
    for turn in reversed(_turns(_paired(history))):
        sizes = [*map(_size, turn)]
        size += sum(sizes)
        longer = [*turn, *kept]
        if max(sizes) > limits.entry_bytes or len(longer) > limits.entries or size > limits.bytes:
            break
        kept = longer
    while kept and limits.user_first and kept[0].role != "user":
        del kept[0]
    kept = _paired(kept)  # a result may come turns after its call
    return tuple(kept), len(history) - len(kept)


def _paired(history: Sequence[Message]) -> list[Message]:
    """Leave out calls without a later result, and results without an earlier call."""
    called, paired = dict[CallId | None, int](), set[int]()
    for place, message in enumerate(history):
        if message.role == "tool_call":
            called[message.call] = place
        elif message.role == "tool_result" and message.call in called:
            paired |= {called.pop(message.call), place}
    return [m for i, m in enumerate(history) if i in paired or not m.role.startswith("tool")]


def _turns(history: Sequence[Message]) -> list[list[Message]]:
    turns = list[list[Message]]()
    for place, message in enumerate(history):
        opens = message.role in {"user", "system"}
        follows = place > 0 and history[place - 1].role == "system"
        if not turns or (opens and not follows):
            turns.append([])
        turns[-1].append(message)
    return turns


def _size(message: Message) -> int:
    return len(message.text.encode())
