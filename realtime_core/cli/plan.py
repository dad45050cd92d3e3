"""What `realtime talk` is to do, as a value."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..config import SessionConfig
from ..frames import Frame
from ..provider import Provider
from ..video import Source
from .script import Turn

__all__ = ("Barge", "Talk")


class Barge(msgspec.Struct, frozen=True):
    """Words to talk over an answer with, once this many seconds of it were heard."""

    text: str
    after: float


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation."""

    provider: Provider[Frame]
    config: SessionConfig
    turns: tuple[Turn, ...] = ()
    """None of them: the microphone."""
    video: Source | None = None
    """What is shown meanwhile."""
    barge: Barge | None = None
    output: Path | None = None
    """Where what was heard of the answers is kept, as WAV."""
    record: Path | None = None
    """Where the trace of the session is written."""
    pace: float = 1.0
    """Speed of the input; 1 is real time, 0 as fast as it goes."""
    speaker: bool | None = None
    """Whether to play on the sound device; None: if there is one."""
