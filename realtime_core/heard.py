"""What was heard: samples of an item that reached the ear, and the words they carried.

Heard is counted in samples, rises only and never passes what was received. Without a sink's word it
is estimated from what the consumer took and when, erring low, and marked as an estimate.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from .epoch import ItemId

__all__ = (
    "KEPT",
    "Delivered",
    "Reading",
    "Words",
    "add_words",
    "deliver",
    "estimate",
    "heard_words",
)

KEPT = 64
"""Readings of one epoch that are remembered; items that came before them are heard."""
_CHARACTERS_A_SECOND = 12
"""A slow speaker's pace: a bound on the words that can have been said in a given time."""


class Reading(NamedTuple):
    """How much of one item the consumer took in a row, and when it will have been played."""

    item: ItemId
    samples: int
    rate: int
    ends_at: float


Delivered = tuple[Reading, ...]
"""The newest items the consumer took audio of, in the order it took them."""


def deliver(before: Delivered, item: ItemId, samples: int, rate: int, at: float) -> Delivered:
    """Add a piece of audio that the consumer took at `at`, as if played in one continuous voice."""
    last = before[-1] if before else None
    starts = at if last is None else max(at, last.ends_at)
    ends = starts + samples / rate
    if last is not None and last.item == item:
        return (*before[:-1], Reading(item, last.samples + samples, rate, ends))
    return (*before[1 - KEPT :], Reading(item, samples, rate, ends))


def estimate(delivered: Delivered, item: ItemId, at: float) -> int:
    """Give the samples of an item that can have been played by `at`, never too many."""
    heard = 0
    for reading in delivered:
        if reading.item == item:
            left = ceil(max(0.0, reading.ends_at - at) * reading.rate)
            heard += max(0, reading.samples - left)
    return heard


class Words(msgspec.Struct, frozen=True):
    """The words of an item: pieces with the samples in which they are spoken, where known."""

    pieces: tuple[tuple[str, int | None], ...] = ()
    """Text, and the sample at which it has been said."""
    whole: str | None = None
    """The full text, once the provider gave it."""

    @property
    def text(self) -> str:
        """All words received so far."""
        return self.whole if self.whole is not None else "".join(text for text, _ in self.pieces)


def add_words(words: Words, text: str, span: tuple[int, int | None] | None) -> Words:
    """Add a piece; where it begins, a piece before it whose end was open has ended."""
    begin, end = span if span is not None else (None, None)
    pieces = words.pieces
    if begin is not None and pieces and pieces[-1][1] is None:
        pieces = (*pieces[:-1], (pieces[-1][0], begin))
    return replace(words, pieces=(*pieces, (text, end)))


def heard_words(
    words: Words, heard: int, received: int, rate: int, *, complete: bool
) -> tuple[str, bool]:
    """Give the words said within the first `heard` samples, and whether that is exact."""
    text = words.text
    if heard <= 0:
        return "", True
    if complete and heard >= received:
        return text, True
    said, sample, loose = "", 0, ""
    for piece, end in words.pieces:
        loose += piece
        if end is None:
            continue
        if end > heard:
            share = (heard - sample) / (end - sample)
            return said + _whole_words(loose, int(len(loose) * share)), False
        said, sample, loose = said + loose, end, ""
    if words.pieces and not loose:
        return said, True
    rest = text[len(said) :] if text.startswith(said) else ""
    fair = len(rest) * (heard - sample) // max(1, received - sample)
    slow = (heard - sample) * _CHARACTERS_A_SECOND // max(1, rate)
    return said + _whole_words(rest, fair if complete else min(fair, slow)), False


def _whole_words(text: str, characters: int) -> str:
    if characters >= len(text):
        return text
    cut = text[:characters]
    return cut if text[characters].isspace() else cut[: cut.rfind(" ") + 1].rstrip()
