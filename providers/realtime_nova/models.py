"""What each Nova Sonic model can do, as data.

One row a model, found by its name or a part of it. Facts: Amazon's user guides of Nova Sonic 1 and
2, and the clients that Amazon contributes to. `capabilities` says the same in the library's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from realtime_core.audio.format import PCM_16K, PCM_24K, AudioFormat
from realtime_core.capability import Capabilities, HistoryLimits, ModelInfo

__all__ = (
    "DEFAULT_MODEL",
    "HISTORY_BYTES",
    "MODELS",
    "PIECE_BYTES",
    "SILENCE_MS",
    "Model",
    "capabilities",
    "model_of",
    "voice_for",
)

DEFAULT_MODEL = "amazon.nova-2-sonic-v1:0"
HISTORY_BYTES = 40_000
"""The most that all entries of a history may have together, in UTF-8."""
PIECE_BYTES = 1_000
"""The most that one `textInput` of a history may have, in UTF-8."""
_SECONDS = 480.0
"""How long a connection lasts: eight minutes."""
SILENCE_MS = 2_500
"""The longest pause that ends a turn is about two seconds."""
_PCM_8K = AudioFormat(rate=8_000)

_FIRST: Mapping[str, str] = {
    "matthew": "en-US",
    "tiffany": "en-US",
    "amy": "en-GB",
    "ambre": "fr-FR",
    "florian": "fr-FR",
    "beatrice": "it-IT",
    "lorenzo": "it-IT",
    "greta": "de-DE",
    "lennart": "de-DE",
    "lupe": "es-US",
    "carlos": "es-US",
}
_SECOND: Mapping[str, str] = {
    **{name: tag for name, tag in _FIRST.items() if name != "greta"},
    "olivia": "en-AU",
    "kiara": "en-IN",
    "arjun": "en-IN",
    "tina": "de-DE",
    "carolina": "pt-BR",
    "leo": "pt-BR",
}


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model."""

    voices: Mapping[str, str]
    """By name: the language that each speaks."""
    typed: bool = True
    """Takes typed words while it listens, and answers them."""
    endpointing: Literal["turn", "session"] = "turn"
    """Where the sensitivity stands: in `turnDetectionConfiguration`, or beside it, as of old."""
    speaks_on: bool = True
    """Goes on speaking while a tool runs."""
    languages: frozenset[str] = frozenset({"en", "fr", "it", "de", "es", "pt", "hi"})
    polyglot: frozenset[str] = frozenset({"matthew", "tiffany"})
    """Voices that speak every language of the model."""


_LATEST = Model(voices=_SECOND)
MODELS: dict[str, Model] = {
    "nova-sonic-v1": Model(
        typed=False,
        endpointing="session",
        speaks_on=False,
        voices=_FIRST,
        languages=frozenset({"en", "fr", "it", "de", "es"}),
        polyglot=frozenset(),
    ),
    "nova-2-sonic": _LATEST,
    "nova-2-5-sonic": _LATEST,
}
"""By a part of the name. Of 2.5 nothing else is known than of 2."""


def model_of(name: str) -> Model:
    """Find a model by its name, or an address with it inside; unknown ones are as the latest."""
    return next((model for part, model in MODELS.items() if part in name), _LATEST)


def voice_for(model: Model, voice: str, language: str) -> str:
    """Choose the voice: the one that is wished, else the first that speaks the language.

    Without either, or where no voice speaks it, the first of all.
    """
    if voice:
        return voice
    wish = language.replace("_", "-").casefold()
    tags = {name: tag.casefold() for name, tag in model.voices.items()}
    exact = (name for name, tag in tags.items() if wish and tag == wish)
    close = (name for name, tag in tags.items() if wish and tag[:2] == wish.partition("-")[0])
    return next(exact, None) or next(close, None) or next(iter(model.voices))


def capabilities(model: str = "") -> Capabilities:
    """Give what a model can do; without a name, the default model."""
    name = model or DEFAULT_MODEL
    known = model_of(name)
    return Capabilities(
        provider="nova",
        audio_in=(PCM_16K, PCM_24K, _PCM_8K),
        audio_out=(PCM_24K, PCM_16K, _PCM_8K),
        text_in=known.typed,
        tools=True,
        parallel_tools=True,
        tool_reply="automatic",
        user_transcripts=True,
        agent_transcripts=True,
        late_words=True,
        history=True,
        history_limits=HistoryLimits(bytes=HISTORY_BYTES, user_first=True),
        closing_silence_ms=SILENCE_MS,
        session_seconds=_SECONDS,
        voices=tuple(known.voices),
        models=(ModelInfo(name=name, source="Amazon"),),
        note=_NOTE if known.typed else f"{_NOTE} {_NO_WORDS}",
    )


_NOTE = (
    "The wire has no cancel, no truncation and no request: the service alone decides when it"
    " answers, and what a caller cuts by hand it takes for heard until the next connection. It"
    " is sent silence where it is sent no sound. A connection lasts eight minutes, and is changed"
    " for another with the history."
)
_NO_WORDS = "Typed words are not answered."
