"""What only Qwen-Omni can be told, as one checked value.

These are the keys of `SessionConfig.options`, beside `transcription` and `session` as OpenAI's
family has them; what else that family has is told as a `Warning` and left out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from realtime_openai import options as family

__all__ = ("FOREIGN", "SAMPLING", "Options")

FOREIGN = (
    "create_response",
    "detail",
    "include",
    "mcp",
    "noise_reduction",
    "parallel_tool_calls",
    "pictures",
    "prompt",
    "reasoning_effort",
    "speed",
    "tracing",
    "truncation",
)
"""Options of the family that this dialect has no place for."""

SAMPLING = ("top_p", "top_k", "repetition_penalty", "presence_penalty", "seed")
"""Options that say how a model samples, beside what `SessionConfig` has of that."""


class Options(family.Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings beyond `SessionConfig`; what is None is left to the server."""

    search: bool | dict[str, Any] = False
    """Whether the model looks things up on the web, or how (`enable_source`); not with tools."""
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    repetition_penalty: Annotated[float, msgspec.Meta(gt=0)] | None = None
    presence_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    seed: int | None = None
    smooth_output: bool | None = None
    """Qwen3: whether answers are as one speaks, or as one writes."""
    representation_compact: Literal["none", "normal"] | None = None
    """Qwen3.8: how closely pictures are looked at; fixed for a connection."""
