"""Speech recognition: the words in up to half a minute of 16 kHz audio, by Moonshine tiny.

The encoder takes raw samples, the decoder writes one token at a time, greedily. What the model is
known to invent on silence, and the loops it falls into on cut audio, are taken out by `spoken`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np

from .network import Array, Brake, Network, floats

__all__ = ("Moonshine", "spoken")

_RATE = 16_000
_LAYERS = 6
_START, _END = 1, 2
_TOKENS_A_SECOND = 6.5
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_CLAUSE = re.compile(r"[^,.;:?!]+[,.;:?!]*\s*")
_INVENTED = frozenset({"you", "so"})


class Moonshine:
    """The loaded networks and the vocabulary; raises as `Network` does."""

    def __init__(self, encoder: Path, decoder: Path, vocabulary: Path) -> None:
        self._encoder = Network(encoder)
        self._decoder = Network(decoder)
        self._pieces = _pieces(vocabulary.read_bytes())
        kinds = [
            (layer, side, half)
            for layer in range(_LAYERS)
            for side in ("decoder", "encoder")
            for half in ("key", "value")
        ]
        self._past = tuple(f"past_key_values.{a}.{b}.{c}" for a, b, c in kinds)
        self._own = tuple(f"past_key_values.{a}.{b}.{c}" for a, b, c in kinds if b == "decoder")
        self._present = tuple(f"present.{a}.{b}.{c}" for a, b, c in kinds)
        self._grown = tuple(f"present.{a}.{b}.{c}" for a, b, c in kinds if b == "decoder")

    def words(self, pcm: bytes, brake: Brake | None = None) -> str:
        """Give the words as the model writes them; `Stopped` when the brake is pulled.

        Costs about 20 ms a second of audio up to 4 s, more beyond.
        """
        samples = floats(pcm)[None]
        if samples.shape[1] < _RATE // 10:
            return ""
        mask = np.ones(samples.shape, dtype=np.int64)
        (hidden,) = self._encoder.run(
            {"input_values": samples, "attention_mask": mask}, brake=brake
        )
        limit = ceil(samples.shape[1] / _RATE * _TOKENS_A_SECOND)
        return self._text(self._tokens(hidden, mask, max(limit, 2), brake))

    def _tokens(self, hidden: Array, mask: Array, limit: int, brake: Brake | None) -> list[int]:
        empty = np.zeros((1, 8, 0, 36), dtype=np.float32)
        feeds: dict[str, Array] = dict.fromkeys(self._past, empty)
        feeds["encoder_hidden_states"] = hidden
        feeds["encoder_attention_mask"] = mask
        feeds["use_cache_branch"] = np.array([False])
        feeds["input_ids"] = np.array([[_START]], dtype=np.int64)
        logits, *present = self._decoder.run(feeds, "logits", *self._present, brake=brake)
        feeds.update(zip(self._past, present, strict=True))
        feeds["use_cache_branch"] = np.array([True])
        tokens = list[int]()
        while len(tokens) < limit:
            token = int(logits[0, -1].argmax())
            if token == _END:
                break
            tokens.append(token)
            feeds["input_ids"] = np.array([[token]], dtype=np.int64)
            logits, *grown = self._decoder.run(feeds, "logits", *self._grown, brake=brake)
            feeds.update(zip(self._own, grown, strict=True))
        return tokens

    def _text(self, tokens: Sequence[int]) -> str:
        joined = b"".join(self._pieces[token] for token in tokens)
        return joined.decode("utf-8", "replace").replace("\u2581", " ").strip()


def _pieces(data: bytes) -> tuple[bytes, ...]:
    """Read the vocabulary: for each token one length byte and that many bytes."""
    pieces, at = list[bytes](), 0
    while at < len(data):
        end = at + 1 + data[at]
        piece = data[at + 1 : end]
        match = _BYTE.fullmatch(piece.decode("utf-8", "replace"))
        special = piece.startswith(b"<") and piece.endswith(b">") and len(piece) > 2
        pieces.append(bytes([int(match[1], 16)]) if match else b"" if special else piece)
        at = end
    return tuple(pieces)


def spoken(text: str) -> str:
    """Keep of a transcript what was said: no clause repeated in a row, no invention on noise."""
    kept = list[str]()
    for clause in _CLAUSE.findall(text):
        if not kept or _plain(clause) != _plain(kept[-1]) or len(_plain(clause).split()) < 2:
            kept.append(clause)
    said = "".join(kept).strip() or text.strip()
    bare = _plain(said)
    return "" if not bare or bare in _INVENTED else said


def _plain(text: str) -> str:
    return re.sub(r"[^\w' ]+", " ", text.casefold()).strip()
