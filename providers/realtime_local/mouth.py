"""The built-in mouth: a Piper voice that sounds before the clause is computed to its end.

One worker thread speaks for all sessions of the process and turns from one to another at every
piece; the event loop only takes the pieces.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from realtime_core.errors import InvalidRequest, RealtimeException

from .models import SPLITS
from .network import Brake
from .piper import PiperVoice, bounds
from .worker import Worker

__all__ = ("VOICES", "PiperMouth", "load_mouth")

VOICES = {"joe": SPLITS[0]}
"""The built-in voices by name."""
SLOWEST, FASTEST = 0.5, 2.0
"""Bounds of the speed of speech; 1 is the voice's own."""
_GAIN = 1.4
"""The voices peak at about 0.65 of full scale."""
_QUIET = 0.01
"""Below this, of full scale, a sample at either end of a clause is silence."""
_LEAD_MS = 10.0
_TAIL_MS = {"": 40.0, ",": 120.0, ";": 120.0, ":": 120.0}
"""Silence kept after a clause, by its last mark; all of it at the end of a sentence."""
_WORKER = Worker("realtime_local.mouth")
T = TypeVar("T")


class PiperMouth:
    """A voice at a speed; any number of sessions may share it and take turns."""

    def __init__(self, voice: PiperVoice, speed: float = 1.0) -> None:
        self._voice = voice
        self._speed = speed

    @property
    def rate(self) -> int:
        """Sample rate in Hz."""
        return self._voice.rate

    async def speak(self, clause: str) -> AsyncGenerator[bytes]:
        """Give the clause's sound in pieces of about half a second, the first one shorter.

        What cannot be spoken (no letters, no digits) gives none. Closing or cancelling ends the
        computation at its next step and waits for nothing.
        """
        voice = self._voice
        for sentence in await _work(lambda _: voice.read(clause)):
            frames = await _work(partial(voice.frames, sentence, self._speed))
            pieces = bounds(frames.shape[-1])
            for begin, end in pieces:
                sound = await _work(partial(voice.sound, frames, begin, end))
                if begin == 0:
                    sound = _without_lead(sound, self.rate)
                if end == pieces[-1][1]:
                    sound = _without_tail(sound, self.rate, sentence.mark)
                if sound.size:
                    yield _pcm(sound)


_voices: dict[str, PiperVoice] = {}


async def load_mouth(voice: str = "", speed: float = 1.0) -> PiperMouth:
    """Give the mouth with that voice (`joe` where none is named) and speed, ready to speak.

    The first call in a process loads the voice, in about a second; the event loop goes on
    meanwhile. Raise `InvalidRequest` for an unknown voice, a speed that cannot be, a model file
    that is missing or wrong, or a package that is not installed.
    """
    name = voice or "joe"
    if name not in VOICES:
        raise RealtimeException(_no_voice(name))
    if not SLOWEST <= speed <= FASTEST:
        raise RealtimeException(_no_speed(speed))
    return PiperMouth(await _work(lambda brake: _loaded(name, brake)), speed)


def _loaded(name: str, brake: Brake) -> PiperVoice:
    """Load a voice and say a word nobody hears; only ever called in the worker."""
    if name not in _voices:
        voice = PiperVoice(VOICES[name])
        frames = voice.frames(voice.read("Hello.")[0], 1.0, brake)
        voice.sound(frames, 0, frames.shape[-1], brake)
        _voices[name] = voice
    return _voices[name]


async def _work(job: Callable[[Brake], T]) -> T:
    brake = Brake()
    return await _WORKER.run(partial(job, brake), brake.pull)


Sound = NDArray[np.float32]


def _without_lead(sound: Sound, rate: int) -> Sound:
    """Leave out the silence before the first word, which would only be waited for."""
    loud = np.flatnonzero(np.abs(sound) > _QUIET)
    if not loud.size:
        return sound[:0]
    return sound[max(0, int(loud[0]) - int(_LEAD_MS * rate / 1000)) :]


def _without_tail(sound: Sound, rate: int, mark: str) -> Sound:
    """Leave out silence that would sound like the end of a sentence where there is none."""
    if mark not in _TAIL_MS:
        return sound
    loud = np.flatnonzero(np.abs(sound) > _QUIET)
    last = int(loud[-1]) + 1 if loud.size else 0
    return sound[: last + int(_TAIL_MS[mark] * rate / 1000)]


def _pcm(sound: Sound) -> bytes:
    samples = (np.clip(sound * _GAIN, -1.0, 1.0) * 32767).astype("<i2")
    return bytes(samples.tobytes())


def _no_voice(name: str) -> InvalidRequest:
    return InvalidRequest(
        what=f"The local mouth has no voice {name!r}.",
        cause="a typing mistake, or the voice of another provider",
        fix=f"Choose one of: {', '.join(VOICES)}.",
    )


def _no_speed(speed: float) -> InvalidRequest:
    return InvalidRequest(
        what=f"The local mouth cannot speak at {speed} times its speed.",
        fix=f"Choose a speed from {SLOWEST} to {FASTEST}.",
    )
