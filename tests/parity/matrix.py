"""The matrix: each conversation with each provider, played, and compared with its reference.

`python -m tests.parity` prints it as it stands in the README.
"""

from __future__ import annotations

from functools import cache

from tests.parity.conversations import CONVERSATIONS, Conversation
from tests.parity.expected import Verdict, judge, references
from tests.parity.far import Side
from tests.parity.sides import SIDES
from tests.parity.stage import Played, played
from tests.parity.steps import steps

__all__ = ("judged", "matrix", "verdict")


def judged(conversation: Conversation, told: Played) -> Verdict:
    """Compare what came of a conversation with its reference."""
    trace, able = told
    return judge(steps(trace), references()[conversation.name], able)


def verdict(side: Side, conversation: Conversation, backend: str = "asyncio") -> Verdict:
    """Play a conversation on virtual time, and compare it."""
    return judged(conversation, played(side, conversation, backend))


@cache
def matrix() -> str:
    """Give the table: what is the same, and which capability explains what is not."""
    head = ("| conversation |", *(f" `{name}` |" for name in SIDES))
    rows = [
        (f"| {one.name} |", *(f" {verdict(side, one)} |" for side in SIDES.values()))
        for one in CONVERSATIONS
    ]
    line = "|---" * len(head) + "|"
    return "\n".join(("".join(head), line, *map("".join, rows)))
