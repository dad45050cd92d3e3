"""What a provider can do, one field per ability.

The machine branches on these and on nothing else that differs between providers.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from .audio.format import PCM_24K, AudioFormat
from .config import Authority

__all__ = ("Capabilities", "HistoryLimits", "ModelInfo")


class ModelInfo(msgspec.Struct, frozen=True):
    """One model behind a provider: what it does, its licence, where it comes from."""

    name: str
    part: str = ""
    licence: str = ""
    source: str = ""


class HistoryLimits(msgspec.Struct, frozen=True):
    """How much of an earlier conversation a provider takes at the start; sizes in UTF-8 bytes."""

    entries: int = 1_000_000
    entry_bytes: int = 1_000_000_000
    bytes: int = 1_000_000_000
    user_first: bool = False
    """The first entry has to be the user's."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence per thing a provider can or cannot do; the machine branches on nothing else."""

    provider: str
    audio_in: tuple[AudioFormat, ...] = (PCM_24K,)
    """Formats the provider takes, the preferred one first; empty: no audio input."""
    audio_out: tuple[AudioFormat, ...] = (PCM_24K,)
    """Formats the provider speaks, the preferred one first; empty: text only."""
    text_in: bool = True
    text_out: bool = False
    """Answers can be text alone."""
    images: bool = False
    """Pictures and sampled video frames are understood."""
    image_bytes: int | None = None
    """The largest picture that is taken, as JPEG; None: no limit that matters."""
    tools: bool = False
    parallel_tools: bool = False
    tool_reply: Literal["automatic", "create"] = "automatic"
    """After results the provider goes on by itself, or waits for a `CreateResponse`."""
    user_transcripts: bool = False
    agent_transcripts: bool = False
    late_words: bool = False
    """What was said of an answer that was cut is told behind its end, and not ahead of it."""
    speech_events: bool = False
    """The provider reports when the user starts and stops to speak."""
    authorities: tuple[Authority, ...] = ("provider",)
    """Who may be put in charge of automatic barge-in."""
    manual_turns: bool = False
    commit: bool = False
    """Buffered audio can be committed or cleared by hand."""
    cancel: bool = False
    """A running response can be cancelled by its id."""
    truncate: bool = False
    """The provider can be told how much of an item was heard."""
    delete: bool = False
    """An item nobody heard can be removed from the provider's context."""
    one_response: bool = True
    """At most one response is open at a time; a further create waits."""
    side_responses: bool = False
    """An answer outside the conversation can run beside another."""
    update: bool = False
    """The configuration can change while the session runs."""
    history: bool = False
    """Earlier messages can be given at the start."""
    history_limits: HistoryLimits | None = None
    resumption: Literal["none", "handle"] = "none"
    closing_silence_ms: int = 1_000
    """Silence after which the provider takes a turn to be over, with a margin."""
    session_seconds: float | None = None
    """The provider's own limit on the length of one connection."""
    voices: tuple[str, ...] = ()
    models: tuple[ModelInfo, ...] = ()
    note: str = ""
    """What an honest seller would add."""
