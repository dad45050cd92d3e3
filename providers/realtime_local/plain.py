"""Answers in plain words, made without a model, for a mind too small to read what it is given.

A tool's result is read out as it is; a question about what is in view is answered with the newest
note on a picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import msgspec

from realtime_core.config import Message

__all__ = ("plain_answer",)

_LOOKING = re.compile(
    r"\b(see|seeing|look|looking|read|reading|written|shown?|picture|image|photo|camera|screen"
    r"|sign|text)\b",
    re.IGNORECASE,
)
_IN_VIEW = re.compile(r"text in view: (.+)", re.IGNORECASE | re.DOTALL)


def plain_answer(messages: Sequence[Message]) -> str | None:
    """Give the answer that needs no model, None where one is needed."""
    if messages and messages[-1].role == "tool_result":
        results = _latest_results(messages)
        return " ".join(_sentence(_said(result)) for result in results)
    asked = next((one.text for one in reversed(messages) if one.role == "user"), "")
    notes = (_IN_VIEW.search(one.text) for one in reversed(messages) if one.role == "system")
    seen = next((note for note in notes if note), None)
    if seen is not None and _LOOKING.search(asked):
        return _sentence(f"I can read: {seen[1].strip()}")
    return None


def _latest_results(messages: Sequence[Message]) -> list[str]:
    results = list[str]()
    for one in reversed(messages):
        if one.role == "tool_result":
            results.append(one.text)
        elif one.role != "tool_call":
            break
    return results[::-1]


def _said(result: str) -> str:
    try:
        return _words(msgspec.json.decode(result))
    except (msgspec.DecodeError, RecursionError):
        return result.strip()


def _words(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "nothing"
        case dict():
            entries = cast("dict[str, object]", value).items()
            return ", ".join(f"{_name(key)} is {_words(item)}" for key, item in entries)
        case list():
            return ", ".join(_words(item) for item in cast("list[object]", value)) or "nothing"
        case _:
            return str(value)


def _name(key: str) -> str:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\W]+", " ", key)
    return spaced.strip().lower()


def _sentence(words: str) -> str:
    words = words.strip() or "It gave nothing"
    ended = words if words.endswith((".", "!", "?")) else words + "."
    return ended[:1].upper() + ended[1:]
