"""Events as JSON: one object a line, the same for `talk --json` and `decode --json`.

`type`, `seq`, `epoch` and `at` come first, then the event's own fields; sound is counted in
`samples`, not shown, and a secret shows as "***".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ..config import Secret
from ..events import AudioInput, AudioOutput, RealtimeEvent

__all__ = ("encode", "notation")

_FIRST = ("seq", "epoch", "at")


def notation(event: RealtimeEvent) -> dict[str, Any]:
    """Give an event as the fields to show, in order."""
    shown: dict[str, Any] = {"type": event.__struct_config__.tag}
    fields = event.__struct_fields__
    for name in (*_FIRST, *(field for field in fields if field not in _FIRST)):
        if name == "pcm" and isinstance(event, AudioOutput | AudioInput):
            shown["samples"] = event.format.samples(len(event.pcm))
        else:
            shown[name] = getattr(event, name)
    return shown


def encode(value: object) -> bytes:
    """Give anything the command shows as one line of JSON."""
    return _ENCODER.encode(value)


def _shown(value: object) -> object:
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value)  # type: ignore[redundant-cast]
        return {str(key): one for key, one in entries.items()}
    return f"<{type(value).__name__}>"


_ENCODER = msgspec.json.Encoder(enc_hook=_shown)
