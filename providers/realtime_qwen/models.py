"""What each Qwen-Omni model can do, as data.

One row a model, found by its name or the beginning of it. Facts: Alibaba's pages on the models and
the realtime API (October 2026) and the official SDK. `capabilities` says the same in the library's
words.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from realtime_core.audio.format import PCM_16K, PCM_24K
from realtime_core.capability import Capabilities, HistoryLimits, ModelInfo

__all__ = (
    "DEFAULT_MODEL",
    "IMAGE_BYTES",
    "KINDRED",
    "MODELS",
    "Model",
    "capabilities",
    "is_known",
    "model_of",
)

DEFAULT_MODEL = "qwen3.8-omni-flash-realtime"
IMAGE_BYTES = 192 * 1024
"""Of a picture: 256 KB once they are written as base64."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model. What no source denies is taken to be there."""

    form: Literal["flat", "nested"] = "flat"
    """The shape of its session object: all settings side by side, or sound by direction."""
    voice: str
    """The voice that speaks where none is chosen."""
    voices: tuple[str, ...] = ()
    """All voices; empty where the list is long and grows: the server refuses what it has not."""
    transcriber: str = "qwen3-asr-flash-realtime"
    """Who writes down what the user says."""
    tools: bool = True
    """Calls tools."""
    search: bool = True
    """Looks things up on the web (not where it has tools)."""
    semantic: bool = True
    """Tells by meaning when the user has spoken."""
    idle: bool = False
    """Speaks up by itself when nothing is said for a while."""
    smooth: bool = False
    """Takes `smooth_output`."""
    compact: bool = False
    """Takes `representation_compact`."""
    sampling: bool = True
    """Lets a client choose how it samples, and how much it says at most."""
    turns: int = 80
    """Spoken turns that the server remembers; older ones it forgets."""
    video_turns: int = 50
    """Turns with pictures that it remembers."""


MODELS: dict[str, Model] = {
    "qwen3.8-omni": Model(form="nested", voice="longanlingxin", compact=True),
    "qwen3.5-omni-plus": Model(voice="Tina", idle=True, turns=100),
    "qwen3.5-omni": Model(voice="Tina", idle=True),
    "qwen3-omni": Model(
        voice="Cherry",
        transcriber="gummy-realtime-v1",
        tools=False,
        search=False,
        semantic=False,
        smooth=True,
        turns=8,
        video_turns=8,
    ),
    "qwen-omni-turbo": Model(
        voice="Chelsie",
        voices=("Cherry", "Serena", "Ethan", "Chelsie"),
        transcriber="gummy-realtime-v1",
        tools=False,
        search=False,
        semantic=False,
        sampling=False,
        turns=8,
        video_turns=8,
    ),
}
"""By the beginning of the name; the longest that fits is the one."""

KINDRED = ("qwen-audio", "livetranslate", "-asr-", "-tts-")
"""In the names of models that share the address and speak another protocol."""


def _found(name: str) -> str:
    return max((known for known in MODELS if name.startswith(known)), key=len, default="")


def is_known(name: str) -> bool:
    """Tell whether there is a row for a model."""
    return bool(_found(name))


def model_of(name: str) -> Model:
    """Find a model by its name; unknown ones, and none, are as the newest."""
    return MODELS[_found(name or DEFAULT_MODEL) or _found(DEFAULT_MODEL)]


def capabilities(model: str = "") -> Capabilities:
    """Give what a model can do; without a name, the default model."""
    name = model or DEFAULT_MODEL
    known = model_of(name)
    return Capabilities(
        provider="qwen",
        audio_in=(PCM_16K,),
        audio_out=(PCM_24K,),
        text_out=True,
        images=True,
        image_bytes=IMAGE_BYTES,
        tools=known.tools,
        parallel_tools=known.tools,
        tool_reply="create",
        user_transcripts=True,
        agent_transcripts=True,
        speech_events=True,
        authorities=("provider", "local", "application"),
        manual_turns=True,
        commit=True,
        cancel=True,
        update=True,
        history=True,
        history_limits=HistoryLimits(entries=known.turns),
        session_seconds=7_200.0,
        voices=known.voices,
        models=(ModelInfo(name, source="Alibaba"),),
        note=f"{_NOTE} The server remembers {known.turns} spoken turns, {known.video_turns} with"
        " pictures.",
    )


_NOTE = (
    "The wire has no truncation: what was not heard of an answer stays in the server's memory until"
    " the next connection. The server cuts in by itself where it detects turns, so another"
    " authority needs manual turns. Pictures are JPEG and belong to what is said, not to what is"
    " typed. Earlier answers are told as notes."
)
