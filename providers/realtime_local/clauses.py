"""Clauses: an answer that comes in pieces, cut where a voice may pause.

The first cut comes early, so that there is something to say soon; the later ones leave whole
clauses. The clauses put together are the text, but for white space at its two ends.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .wording import wants_more

__all__ = ("Clauses", "add", "rest")

_SENTENCE = re.compile(r"""[.!?\u2026]+["'\u201d\u2019)\]]*(?=\s)|\n""")
_BREATH = re.compile(r"[,;:\u2014\u2013]+(?=\s)")
_WORD = re.compile(r"\S+")
_ABBREVIATION = re.compile(r"(?:^|\s)(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|\d+)\.$")
_FIRST_WORDS = 4
_MOST_WORDS = 24


class Clauses(NamedTuple):
    """What has come and was not yet given out, and how many clauses were."""

    text: str = ""
    given: int = 0


def add(held: Clauses, piece: str) -> tuple[Clauses, tuple[str, ...]]:
    """Take in the next piece of text and give the clauses that are whole now."""
    text, given, found = held.text + piece, held.given, list[str]()
    if given == 0:
        text = text.lstrip()
    while (cut := _cut(text, first=given == 0)) is not None:
        found.append(text[:cut])
        text, given = text[cut:], given + 1
    return Clauses(text, given), tuple(found)


def rest(held: Clauses) -> tuple[str, ...]:
    """Give what is left when the text has ended."""
    text = held.text.rstrip()
    return (text,) if text.strip() else ()


def _cut(text: str, *, first: bool) -> int | None:
    ends = [match.end() for match in _WORD.finditer(text)]
    if not ends:
        return None
    sentence = _sentence_end(text)
    if sentence is not None and _count(ends, sentence) <= (8 if first else _MOST_WORDS):
        return sentence
    least, most = (3, _FIRST_WORDS) if first else (6, _MOST_WORDS)
    for match in _BREATH.finditer(text):
        if least <= _count(ends, match.end()):
            return match.end() if _count(ends, match.end()) <= most + 1 else None
    return _enough(text, ends, most, slack=1 if first else 4)


def _sentence_end(text: str) -> int | None:
    for match in _SENTENCE.finditer(text):
        if text[: match.end()].strip() and not _ABBREVIATION.search(text[: match.end()]):
            return match.end()
    return None


def _count(ends: list[int], at: int) -> int:
    return sum(1 for end in ends if end <= at)


def _enough(text: str, ends: list[int], most: int, slack: int) -> int | None:
    """Cut after `most` whole words, a little later where the last one wants another."""
    whole = [end for end in ends if end < len(text)]
    if len(whole) < most:
        return None
    for end in whole[most - 1 : most + slack]:
        if not wants_more(text[:end]):
            return end
    return whole[most + slack - 1] if len(whole) >= most + slack else None
