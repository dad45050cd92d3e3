"""What only Nova Sonic can be told, as one checked value.

These are the keys of `SessionConfig.options`.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from returns.result import Failure, Result, Success

from realtime_core.config import SessionConfig
from realtime_core.errors import Unsupported

__all__ = ("Options", "options_of")

Mapping = dict[str, Any]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings beyond `SessionConfig`."""

    top_p: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.9
    speech_instructions: str = ""
    """How the answers are spoken, apart from what they say (a `SYSTEM_SPEECH` block)."""
    names: str = ""
    """What the names of the prompt and of its contents begin with. They are numbered, and differ
    within a session; who wants them to differ between sessions gives something random here."""
    session_start: Mapping = {}
    """Raw fields of `sessionStart`, in camelCase, for what this version does not know."""
    prompt_start: Mapping = {}
    """The same of `promptStart`."""


def options_of(config: SessionConfig) -> Result[Options, Unsupported]:
    """Read the options of a configuration; a wrong one is named."""
    try:
        return Success(msgspec.convert(dict(config.options), Options))
    except msgspec.ValidationError as problem:
        known = ", ".join(Options.__struct_fields__)
        return Failure(
            Unsupported(
                what=f"These options cannot be used: {problem}.",
                cause="a misspelt name, or a value of another kind",
                fix=f"Known options: {known}.",
                field="options",
            )
        )
