"""A Piper voice in two halves: from text to frames of 256 samples, from frames to sound.

A frame's sound depends on no more than twelve frames on each side, so that frames decoded piece by
piece, each with its neighbours, sound exactly as decoded at once. Nothing here is async.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from realtime_core.errors import InvalidRequest, RealtimeException

from . import store
from .models import Split
from .network import Array, Brake, Network

__all__ = ("PiperVoice", "Sentence", "bounds")

_PAD = 12
"""Frames on each side that a frame's sound depends on."""
_FIRST, _REST, _LEAST = 12, 40, 20
"""Frames of the first piece of a clause, of the others, and the fewest in the last."""
_LONGEST = 300
"""Phonemes of one run of the first half: its cost grows faster than their number."""
_MARKUP = re.compile(r"[*_#`~|<>\\]+")


class Sentence(NamedTuple):
    """What one run of the voice speaks: ids of its phonemes, and the mark it ends with."""

    ids: tuple[int, ...]
    mark: str


class _Inference(msgspec.Struct):
    noise_scale: float = 0.667
    length_scale: float = 1.0
    noise_w: float = 0.8


class _Audio(msgspec.Struct):
    sample_rate: int


class _Espeak(msgspec.Struct):
    voice: str


class _Config(msgspec.Struct):
    """What is used of a voice's own description."""

    audio: _Audio
    espeak: _Espeak
    phoneme_id_map: Mapping[str, Sequence[int]]
    inference: _Inference = msgspec.field(default_factory=_Inference)


class _Phonemizer(Protocol):
    """What is used of Piper's phonemizer, which is untyped."""

    def phonemize(self, voice: str, text: str) -> list[list[str]]: ...


class PiperVoice:
    """A voice, loaded; threads may share it.

    Constructing checks its files and blocks for about a second. Raises `RealtimeException` for a
    file that is missing or wrong, or a package that is not installed.
    """

    def __init__(self, split: Split) -> None:
        self._phonemizer = _phonemizer()
        config = store.verified(split.voice + ".json").read_bytes()
        self._config = msgspec.json.decode(config, type=_Config)
        self._front = Network(store.verified(split.front))
        self._decoder = Network(store.verified(split.decoder))
        self._edge = split.edge

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""
        return self._config.audio.sample_rate

    def read(self, text: str) -> list[Sentence]:
        """Give what is to be spoken of a text; markup is left out."""
        plain = _MARKUP.sub(" ", text).replace("\0", " ").strip()
        with _phonemizing:
            found = self._phonemizer.phonemize(self._config.espeak.voice, plain)
        return [
            Sentence(self._ids(portion), portion[-1] if portion[-1] in ".!?,;:" else "")
            for sentence in found
            for portion in _portions(sentence)
            if any(phoneme.isalpha() for phoneme in portion)
        ]

    def frames(self, sentence: Sentence, speed: float, brake: Brake) -> Array:
        """Give the frames of a sentence, `[1, 192, frames]`; `Stopped` if the brake is pulled."""
        inference = self._config.inference
        scales = (inference.noise_scale, inference.length_scale / speed, inference.noise_w)
        feeds: dict[str, Array] = {
            "input": np.array([sentence.ids], dtype=np.int64),
            "input_lengths": np.array([len(sentence.ids)], dtype=np.int64),
            "scales": np.array(scales, dtype=np.float32),
        }
        return self._front.run(feeds, brake=brake)[0]

    def sound(self, frames: Array, begin: int, end: int, brake: Brake) -> NDArray[np.float32]:
        """Give the samples of these frames, -1 to 1; `Stopped` if the brake is pulled."""
        first = max(0, begin - _PAD)
        around = np.ascontiguousarray(frames[:, :, first : end + _PAD])
        sound = self._decoder.run({self._edge: around}, brake=brake)[0].ravel()
        hop = sound.size // around.shape[-1]
        return cast("NDArray[np.float32]", sound[(begin - first) * hop : (end - first) * hop])

    def _ids(self, phonemes: Sequence[str]) -> tuple[int, ...]:
        known = self._config.phoneme_id_map
        spoken = (number for one in phonemes for number in (*known.get(one, ()), *known["_"]))
        return (*known["^"], *known["_"], *spoken, *known["$"])


def bounds(frames: int) -> list[tuple[int, int]]:
    """Give the pieces that so many frames are decoded in, from and to: a short one first."""
    cuts = [0]
    for size in (_FIRST, *[_REST] * (frames // _REST)):
        if frames - cuts[-1] - size < _LEAST:
            break
        cuts.append(cuts[-1] + size)
    return list(zip(cuts, [*cuts[1:], frames], strict=True))


def _portions(phonemes: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut an endless sentence at spaces."""
    while len(phonemes) > _LONGEST:
        spaces = [at for at in range(_LONGEST // 2, _LONGEST) if phonemes[at] == " "]
        cut = spaces[-1] + 1 if spaces else _LONGEST
        yield phonemes[:cut]
        phonemes = phonemes[cut:]
    if phonemes:
        yield phonemes


_phonemizing = threading.Lock()


def _phonemizer() -> _Phonemizer:
    try:
        module = importlib.import_module("piper.phonemize_espeak")
    except ImportError as error:
        raise RealtimeException(_NO_PIPER) from error
    return cast("_Phonemizer", module.EspeakPhonemizer())


_NO_PIPER = InvalidRequest(
    what="The local mouth needs the package piper-tts, which is not installed.",
    cause="the local voice's extra was left out",
    fix="Type: pip install 'realtime-core[local]'",
)
