"""The built-in ears: Silero hears that somebody speaks, Moonshine what, smart-turn when it is over.

One set is loaded per process and shared by its sessions. Recognition and end of turn run in one
worker thread each; nothing here blocks the event loop for longer than a voice frame takes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path

import numpy as np

from .moonshine import Moonshine, spoken
from .network import Brake, floats
from .silero import Silero
from .smart_turn import SmartTurn
from .turns import FRAME
from .worker import Worker

__all__ = ("FILES", "ModelEars", "load_ears", "pieces")

FILES = (
    "silero_vad.onnx",
    "smart-turn-v3.2-cpu.onnx",
    "encoder_model.ort",
    "decoder_model_merged.ort",
    "tokenizer.bin",
)
"""The model files, as `store.verified` names them."""

_RATE = 16_000
_LONGEST = 8 * _RATE
_SHORTEST = 3 * _RATE
_QUIET = _RATE // 50
_REMEMBERED = 64


class ModelEars:
    """Ears on three models; `find` gives the path of a verified file by its name.

    Constructing loads and warms all of it and blocks for about a second: do it in a thread.
    """

    def __init__(self, find: Callable[[str], Path]) -> None:
        vad, turn, encoder, decoder, vocabulary = (find(name) for name in FILES)
        self._silero = Silero(vad)
        self._turn = SmartTurn(turn)
        self._moonshine = Moonshine(encoder, decoder, vocabulary)
        self._writing = Worker("realtime_local.recognition")
        self._judging = Worker("realtime_local.end_of_turn")
        self._settled = OrderedDict[bytes, str]()
        silence = bytes(2 * _RATE)
        self._silero.detector()(silence[: 2 * FRAME])
        self._turn.probability(silence)
        self._moonshine.words(silence)

    def detector(self) -> Callable[[bytes], float]:
        """Give a voice detector of its own state: 512 samples in, probability out, 0.1 ms."""
        return self._silero.detector()

    async def transcribe(self, pcm: bytes) -> str:
        """Give the words in this audio, "" where there are none.

        Long audio is cut at quiet places; a piece between two cuts is recognised once and its
        text kept, so that a growing recording costs no more than its last seconds. Cancelling
        stops the recogniser.
        """
        brake = Brake()
        return await self._writing.run(partial(self._words, pcm, brake), brake.pull)

    async def turn_over(self, pcm: bytes) -> float:
        """Give the probability that the speaker has finished; cancelling stops the network."""
        brake = Brake()
        return await self._judging.run(partial(self._turn.probability, pcm, brake), brake.pull)

    def _words(self, pcm: bytes, brake: Brake) -> str:
        *whole, last = pieces(pcm)
        texts = [self._settle(piece, brake) for piece in whole]
        texts.append(self._moonshine.words(last, brake))
        return spoken(" ".join(text for text in texts if text))

    def _settle(self, piece: bytes, brake: Brake) -> str:
        key = blake2b(piece, digest_size=16).digest()
        if key not in self._settled:
            self._settled[key] = self._moonshine.words(piece, brake)
            while len(self._settled) > _REMEMBERED:
                self._settled.popitem(last=False)
        return self._settled[key]


def pieces(pcm: bytes) -> list[bytes]:
    """Cut long audio where it is quietest between 3 and 8 s after the last cut.

    Audio that only grew since is cut at the same places again.
    """
    found, begin = list[bytes](), 0
    while len(pcm) - 2 * begin > 2 * _LONGEST:
        window = floats(pcm[2 * (begin + _SHORTEST) : 2 * (begin + _LONGEST)])
        cut = begin + _SHORTEST + _quietest(window)
        found.append(pcm[2 * begin : 2 * cut])
        begin = cut
    return [*found, pcm[2 * begin :]]


def _quietest(window: np.ndarray[tuple[int], np.dtype[np.float32]]) -> int:
    """Give the sample in the middle of the quietest 200 ms."""
    energy = (window[: window.size // _QUIET * _QUIET].reshape(-1, _QUIET) ** 2).sum(axis=1)
    smooth = np.convolve(energy, np.ones(10), mode="valid")
    return (int(smooth.argmin()) + 5) * _QUIET


_loading = threading.Lock()


def load_ears(find: Callable[[str], Path]) -> ModelEars:
    """Give the ears of this process, loading them at the first call; blocks, safe from threads.

    A first call that fails leaves nothing behind; the next one tries again.
    """
    with _loading:
        return _load(find)


@cache
def _load(find: Callable[[str], Path]) -> ModelEars:
    return ModelEars(find)
