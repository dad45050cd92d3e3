"""What only Nova Sonic can be told, as one checked value.

These are the keys of `SessionConfig.options`.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

__all__ = ("Options",)

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
