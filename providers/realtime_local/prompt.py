"""A conversation as a chat model reads it: roles in turn, and no longer than there is room for.

Pure and stable: as a conversation grows, what was rendered before stays word for word the same,
but for the rare moment when the oldest turns go. So a model computes only what is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from realtime_core.config import Message

from .conversation import SPOKEN_STYLE

__all__ = ("ROOM", "Line", "rendered")

ROOM = 3_000
"""Characters of conversation that are kept, besides the instructions."""
_ENTRY = 16
"""Characters that an entry takes beside its words."""


class Line(msgspec.Struct, frozen=True):
    """One entry of a chat request."""

    role: str
    content: str


def rendered(messages: Sequence[Message], room: int = ROOM) -> list[Line]:
    """Give the entries of a chat request: system, then user and assistant in turn.

    Beyond `room` characters the oldest turns are left out, down to half of it at once; the newest
    is always kept, of an overlong one the end. The last entry is the user's.
    """
    first = next((at for at, one in enumerate(messages) if one.role != "system"), len(messages))
    instructions = " ".join(one.text for one in messages[:first] if one.text) or SPOKEN_STYLE
    spoken = _joined(_line(one) for one in messages[first:] if one.text or one.name)
    if not spoken or spoken[-1].role != "user":
        spoken.append(Line("user", ""))
    return [Line("system", instructions), *_kept(spoken, room)]


def _line(message: Message) -> Line:
    match message.role:
        case "assistant":
            return Line("assistant", message.text)
        case "user":
            return Line("user", message.text)
        case "system":
            return Line("user", f"(Note: {message.text})")
        case "tool_call":
            return Line("assistant", "")
        case "tool_result":
            return Line("user", _result(message))


def _result(message: Message) -> str:
    return (
        f"The tool {message.name or 'you asked'} says: {message.text}. "
        "Tell me the result in one short sentence."
    )


def _joined(lines: Iterable[Line]) -> list[Line]:
    """Put what one side said in a row into one entry; leave empty entries out."""
    joined = list[Line]()
    for line in lines:
        if not line.content:
            continue
        if joined and joined[-1].role == line.role:
            line = Line(line.role, f"{joined.pop().content}\n{line.content}")  # noqa: PLW2901
        joined.append(line)
    return joined


def _kept(lines: Sequence[Line], room: int) -> list[Line]:
    """Give the turns that there is room for; what a shorter conversation lost stays lost."""
    start = size = 0
    for at, line in enumerate(lines):
        size += len(line.content) + _ENTRY
        if size > room:
            while start <= at and (
                lines[start].role != "user" or (start < at and size > room // 2)
            ):
                size -= len(lines[start].content) + _ENTRY
                start += 1
    return [Line(line.role, line.content[-room:]) for line in lines[start:]]
