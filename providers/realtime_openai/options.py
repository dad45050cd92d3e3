"""What only servers of the OpenAI family can be told, as one checked value.

These are the keys of `SessionConfig.options`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

__all__ = ("Options",)

Mapping = dict[str, Any]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings beyond `SessionConfig`; what is None is left to the server."""

    purpose: Literal["conversation", "transcription"] = "conversation"
    """`transcription` only writes down what is said; nothing is answered."""
    transcription: Mapping | None = None
    """`model`, `language`, `prompt`, `delay` ... of who writes down what the user says."""
    noise_reduction: Literal["near_field", "far_field"] | None = None
    speed: Annotated[float, msgspec.Meta(ge=0.25, le=1.5)] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    truncation: Literal["auto", "disabled"] | Mapping | None = None
    tracing: Literal["auto"] | Mapping | None = None
    prompt: Mapping | None = None
    """A stored prompt: `id`, `version`, `variables`."""
    include: tuple[str, ...] | None = None
    mcp: tuple[Mapping, ...] = ()
    """Tools of remote servers that the provider calls by itself."""
    create_response: bool = True
    """Whether the server answers by itself when the user has spoken."""
    detail: Literal["auto", "low", "high"] | None = None
    """How closely pictures are looked at."""
    pictures: Annotated[int, msgspec.Meta(ge=1)] = 4
    """How many pictures stay in the conversation; older ones are deleted."""
    session: Mapping = {}
    """Raw fields of the session object, for what this version does not know."""
