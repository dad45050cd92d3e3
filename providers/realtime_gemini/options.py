"""What only the Live API can be told, as one checked value.

These are the keys of `SessionConfig.options`. What a model does not take of them is told as a
`Warning` and left out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from .models import Behaviour

__all__ = ("Options",)

Mapping = dict[str, Any]
Level = Literal["low", "medium", "high"]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings beyond `SessionConfig`; what is None is left to the server."""

    top_p: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    seed: int | None = None
    media_resolution: Level | None = None
    """How closely pictures are looked at."""
    thinking_level: Literal["minimal", "low", "medium", "high"] | None = None
    thinking_budget: int | None = None
    """Tokens; 0: none, -1: as many as the model likes."""
    include_thoughts: bool | None = None
    """Whether the model tells of its reasoning: `ResponseThought`."""
    affective_dialog: bool | None = None
    proactive_audio: bool | None = None
    """Whether the model may keep silent where it is not meant."""
    target_language: str | None = None
    """Into which language a translating model translates, such as `pl`."""
    echo_target_language: bool | None = None
    google_search: bool | Mapping = False
    code_execution: bool | Mapping = False
    url_context: bool | Mapping = False
    behaviour: dict[str, Behaviour] = {}
    """By the name of a tool: whether the model waits for its result."""
    scheduling: dict[str, Literal["INTERRUPT", "WHEN_IDLE", "SILENT"]] = {}
    """By the name of a tool that is not waited for: when its result is spoken of."""
    start_sensitivity: Literal["low", "high"] | None = None
    end_sensitivity: Literal["low", "high"] | None = None
    turn_coverage: Literal["only_activity", "all_input", "audio_activity_and_all_video"] | None = (
        None
    )
    """What of the input belongs to a turn."""
    explicit_vad_signal: bool | None = None
    """Vertex: report when the user starts and stops to speak."""
    transcription: Mapping = {}
    """Of who writes down what the user says: `languageCodes`, `customVocabulary` ..."""
    output_transcription: bool | Mapping = True
    """Whether what the model speaks is written down."""
    typed: Literal["content", "realtime"] | None = None
    """How typed words are sent, against what is known of the model."""
    pictures: bool = True
    """Whether the newest picture goes along with typed words, which otherwise do not see it."""
    compression: bool | Mapping = True
    """Whether the context is compressed when it is full, for sessions without end."""
    resumption: bool = True
    """Whether handles are asked for, with which a new connection takes up the session."""
    transparent: bool | None = None
    """Vertex: handles tell which messages they cover."""
    labels: dict[str, str] | None = None
    safety_settings: tuple[Mapping, ...] | None = None
    avatar: Mapping | None = None
    setup: Mapping = {}
    """Raw fields of the setup, in camelCase, for what this version does not know."""
