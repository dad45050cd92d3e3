"""Pieces: a spoken answer as the service gives it, sentence by sentence. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from .telling import Reason, Said, Voice, planned, sounded, sounding

__all__ = ("Piece", "sentences", "spoken")

_HUSH_MS = 100
"""How long something sounds of which no sound is given: it is always spoken."""
Step = Callable[[Voice], Said]


class Piece(NamedTuple):
    """What is said at once."""

    words: str
    """Those that sound with it."""
    steps: tuple[Step, ...]


def sentences(text: str) -> list[str]:
    """Cut words behind what ends a sentence."""
    return [one for one in re.split(r"(?<=[.!?])\s+", text.strip()) if one]


def spoken(text: str, pcm: bytes, pieces: int, rate: int, end: Reason) -> list[Piece]:
    """Give an answer in about so many pieces, each sentence in one of its own at least."""
    said = sentences(text) or ([""] if pcm else [])
    pcm = pcm or bytes(2 * rate * _HUSH_MS // 1_000 * len(said))
    made = list[Piece]()
    each = max(1, pieces // max(1, len(said)))
    for place, sentence in enumerate(said):
        sound = _part(pcm, place, len(said))
        last: Reason = end if place == len(said) - 1 else "PARTIAL_TURN"
        for at in range(each):
            words = sentence[len(sentence) * at // each : len(sentence) * (at + 1) // each]
            steps: list[Step] = [partial(sounding, pcm=_part(sound, at, each))]
            if sentence and at == 0:
                steps.insert(0, partial(planned, text=sentence))
            if at == each - 1:
                steps.append(partial(sounded, reason=last))
            made.append(Piece(words + " " * (at == each - 1), tuple(steps)))
    return made


def _part(pcm: bytes, place: int, count: int) -> bytes:
    """Give one of so many parts of a sound, in whole samples."""
    samples = len(pcm) // 2
    begin, end = (2 * (samples * at // count) for at in (place, place + 1))
    return pcm[begin:end]
