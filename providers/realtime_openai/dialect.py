"""Dialects: what differs between servers of the OpenAI family, as values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace
from returns.result import Result, Success

from realtime_core.audio.format import PCM_24K, AudioFormat
from realtime_core.capability import Capabilities, ModelInfo
from realtime_core.codec import Coded
from realtime_core.config import SessionConfig
from realtime_core.errors import RealtimeError, Unsupported
from realtime_core.events import Warning
from realtime_core.frames import Video
from realtime_core.plan import Plan

from .client_events import ClientEvent
from .memory import Memory
from .options import Options
from .session_object import flat, mixed, nested, voice_live

__all__ = ("AZURE", "BETA", "DIALECTS", "GA", "VOICE_LIVE", "XAI", "Dialect", "unmet")

G711 = (AudioFormat(8_000, "pcmu"), AudioFormat(8_000, "pcma"))
_DOCS = "https://platform.openai.com/docs/guides/realtime"


_NEWER = (
    "include",
    "parallel_tool_calls",
    "prompt",
    "reasoning_effort",
    "truncation",
)
_OF_LOUDNESS = ("threshold", "prefix_ms", "silence_ms", "idle_timeout_ms")
Checked = Result[tuple[Warning, ...], Unsupported]


def _nothing_more(config: SessionConfig) -> Checked:
    del config
    return Success(())


class Dialect(msgspec.Struct, frozen=True):
    """One way of speaking the protocol."""

    capabilities: Capabilities
    session: Callable[[Plan, Options], dict[str, Any]]
    """Gives the session object."""
    assistant_text: str = "output_text"
    """Type of a part with the assistant's words, in an item the client adds."""
    modalities: str = "output_modalities"
    """Name of a response's modalities; "modalities" as of old takes text along with audio."""
    marks: bool = True
    """A response that begins carries the metadata of its request."""
    purposes: tuple[str, ...] = ("conversation", "transcription")
    lacks: tuple[str, ...] = ("temperature",)
    """Settings and options that the session object has no place for."""
    of_loudness: tuple[str, ...] = _OF_LOUDNESS
    """Settings of turns that mean nothing where turns are told by meaning."""
    options: type[Options] = Options
    check: Callable[[SessionConfig], Checked] = _nothing_more
    """Tells what else of a configuration is refused, or cannot be told to the server."""
    fixed: tuple[str, ...] = ("purpose",)
    """Options that stay as they are for as long as a connection lasts."""
    settled: tuple[str, ...] = ()
    """Fields of the session object, with dots, that an update may not name."""
    wishes: frozenset[str] | None = None
    """Fields that a request for an answer may have; None: all."""
    roles: tuple[str, ...] = ("user", "assistant", "system", "tool_call", "tool_result")
    """Whose words a client can add under their own name; others' are told as the user's."""
    names_cancelled: bool = True
    """A cancel names its answer; else it stops whichever is open."""
    commits_any: bool = True
    """Sound can be committed by hand although the server detects turns."""
    picture: Callable[[Memory, Video], Result[Coded[Memory], RealtimeError]] | None = None
    """Shows a picture behind sound; None: pictures are items of the conversation."""
    farewell: tuple[ClientEvent, ...] = ()
    """What is said before the connection is closed."""


_GA = Capabilities(
    provider="openai",
    audio_in=(PCM_24K, *G711),
    audio_out=(PCM_24K, *G711),
    text_out=True,
    images=True,
    tools=True,
    parallel_tools=True,
    tool_reply="create",
    user_transcripts=True,
    agent_transcripts=True,
    speech_events=True,
    authorities=("provider", "local", "application"),
    manual_turns=True,
    commit=True,
    cancel=True,
    truncate=True,
    delete=True,
    side_responses=True,
    update=True,
    history=True,
    session_seconds=3_600.0,
    models=(
        ModelInfo("gpt-realtime-2.1", source=_DOCS),
        ModelInfo("gpt-realtime-2.1-mini", source=_DOCS),
    ),
    note="Sessions end after 60 minutes; a voice cannot change once it has spoken.",
)

GA = Dialect(_GA, nested)
"""OpenAI since August 2025."""

AZURE = Dialect(
    replace(_GA, provider="azure-openai", models=(), note="The model is the name of a deployment."),
    nested,
)
"""Azure OpenAI speaks GA under its own address and keys."""

BETA = Dialect(
    replace(
        _GA,
        provider="openai-beta",
        images=False,
        side_responses=False,
        models=(),
        note="For older servers.",
    ),
    flat,
    assistant_text="text",
    modalities="modalities",
    marks=False,
    purposes=("conversation",),
    lacks=_NEWER,
)
"""The preview of 2024, which many local and kindred servers speak."""

VOICE_LIVE = Dialect(
    replace(
        _GA,
        provider="azure-voice-live",
        images=False,
        side_responses=False,
        models=(),
        note="Voices of Azure (en-US-AvaNeural) and of OpenAI (alloy).",
    ),
    voice_live,
    assistant_text="text",
    modalities="modalities",
    purposes=("conversation",),
    lacks=_NEWER,
)
"""Azure Voice Live: the beta's names, voices and turn detection of its own."""

XAI = Dialect(
    replace(
        _GA,
        provider="xai",
        audio_in=(PCM_24K,),
        audio_out=(PCM_24K,),
        text_out=False,
        images=False,
        side_responses=False,
        truncate=False,
        delete=False,
        session_seconds=None,
        models=(ModelInfo("grok-voice-latest", source="https://docs.x.ai"),),
        note="Always speaks; what was not heard of an answer stays in its memory.",
    ),
    mixed,
    modalities="modalities",
    marks=False,
    purposes=("conversation",),
    lacks=(
        *_NEWER,
        "max_output_tokens",
        "noise_reduction",
        "speed",
        "temperature",
        "tracing",
    ),
)
"""xAI Grok voice."""

DIALECTS = {one.capabilities.provider: one for one in (GA, AZURE, BETA, VOICE_LIVE, XAI)}
"""Every dialect by the name of its provider."""


def unmet(dialect: Dialect, config: SessionConfig) -> tuple[Warning, ...]:
    """List what of a configuration cannot be told to the server."""
    provider, turns = dialect.capabilities.provider, config.turn_detection
    lacking = [
        Warning(field=name, why=f"{provider} has no such setting")
        for name in dialect.lacks
        if getattr(config, name, None) not in {None, ""}
    ]
    lacking += [
        Warning(field=f"options.{name}", why=f"{provider} has no such setting")
        for name in dialect.lacks
        if config.options.get(name) is not None
    ]
    lacking += [
        Warning(field=f"turn_detection.{name}", why="it is for turns that are told by loudness")
        for name in dialect.of_loudness
        if turns.mode == "semantic" and getattr(turns, name) is not None
    ]
    return tuple(lacking)
