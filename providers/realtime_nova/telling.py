"""Telling: earlier messages as blocks of words, in the two roles and the sizes the service takes.

The first is the user's, the roles alternate, and all together stay within the limit: of more the
oldest turns are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from realtime_core.capability import HistoryLimits
from realtime_core.config import Message
from realtime_core.epoch import CallId
from realtime_core.history import fitted

from .models import HISTORY_BYTES, PIECE_BYTES

__all__ = ("clean", "pieces", "spoken_by", "told")

Role = Literal["USER", "ASSISTANT"]


def told(
    messages: Sequence[Message], limits: HistoryLimits | None = None
) -> tuple[tuple[Role, str], ...]:
    """Give what is told of a history, a block each."""
    kept, _ = fitted(messages, limits)
    said = [one for one in _said(kept) if one[1]]
    size = sum(len(text.encode()) + 1 for _, text in said)  # with what joins neighbours
    while said and (size > HISTORY_BYTES or said[0][0] != "USER"):
        size -= len(said.pop(0)[1].encode()) + 1
    return tuple(_merged(said))


def _said(messages: Iterable[Message]) -> Iterator[tuple[Role | Literal["NOTE"], str]]:
    """Give the words of each message; of a call they come with its result, as a note."""
    calls = dict[CallId | None, Message]()
    for message in messages:
        if message.role == "tool_call":
            calls[message.call] = message
        elif message.role == "tool_result":
            name = message.name or "a tool"
            given = calls.pop(message.call, Message("tool_call", "{}")).text
            yield "NOTE", clean(f"[{name}, called with {given}, gave: {message.text}]")
        elif message.role == "assistant":
            yield "ASSISTANT", clean(message.text)
        else:
            yield "USER", clean(spoken_by(message.role, message.text))


def _merged(said: Iterable[tuple[Role | Literal["NOTE"], str]]) -> list[tuple[Role, str]]:
    """Join neighbours of one role; notes are the user's."""
    blocks = list[tuple[Role, str]]()
    for by, text in said:
        role = "USER" if by == "NOTE" else by
        if blocks and blocks[-1][0] == role:
            blocks[-1] = role, f"{blocks[-1][1]}\n{text}"
        else:
            blocks.append((role, text))
    return blocks


def spoken_by(role: Literal["user", "system"], text: str) -> str:
    """Give words in the user's name; those of the system stand in brackets."""
    return text if role == "user" else f"[{text}]"


def clean(text: str) -> str:
    """Put a question mark for half a character, which no JSON can carry."""
    return text.encode(errors="replace").decode()


def pieces(text: str, most: int = PIECE_BYTES) -> Iterator[str]:
    """Cut words into pieces of so many bytes at most, behind a space where there is one."""
    data = text.encode()
    while len(data) > most:
        cut = data.rfind(b" ", most // 2, most) + 1 or most
        while data[cut] & 0xC0 == 0x80:  # not within a character
            cut -= 1
        yield data[:cut].decode()
        data = data[cut:]
    yield data.decode()
