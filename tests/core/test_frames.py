"""Frames: closed, comparable, and the same after a journey as JSON."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from realtime_core import (
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioFormat,
    ClearAudio,
    Close,
    CommitAudio,
    CreateResponse,
    Frame,
    Heard,
    Hold,
    Interrupt,
    Message,
    Release,
    SessionConfig,
    Text,
    ToolResult,
    ToolSpec,
    UpdateSession,
    Video,
)
from tests.core.short import C1, I1

EVERY: tuple[Frame, ...] = (
    Audio(b"\x00\xff", AudioFormat(rate=8_000, encoding="pcmu")),
    Video(b"\xff\xd8", "image/png"),
    Text("Grüß Gott", role="system", turn="context", participant="Ann"),
    ToolResult(C1, '{"ok": true}', failed=True),
    Heard(I1, 480),
    ActivityStart(),
    ActivityEnd(),
    CommitAudio(),
    ClearAudio(),
    CreateResponse(
        instructions="Be brief.",
        modalities=("text",),
        conversation="none",
        input=(Message("user", "Hello"),),
        metadata={"topic": "kind"},
    ),
    UpdateSession(SessionConfig(voice="joe", tools=(ToolSpec(name="look"),))),
    Hold(),
    Release(),
    Interrupt(cause="local"),
    Close(),
)


@pytest.mark.parametrize("frame", EVERY, ids=lambda frame: type(frame).__name__)
def test_a_frame_is_the_same_after_a_journey_as_json(frame: Frame) -> None:
    wire = msgspec.json.encode(frame)
    assert msgspec.json.decode(wire, type=Frame) == frame


@pytest.mark.parametrize("frame", EVERY, ids=lambda frame: type(frame).__name__)
def test_a_frame_cannot_be_changed(frame: Any) -> None:
    for field in msgspec.structs.fields(frame):
        with pytest.raises(AttributeError):
            setattr(frame, field.name, None)


def test_there_are_no_other_frames() -> None:
    assert {type(frame) for frame in EVERY} == set(get_args(Frame))


def test_what_falls_silent_confirms_or_ends_is_urgent_and_nothing_else() -> None:
    assert {type(frame) for frame in EVERY if frame.urgent} == {
        Heard,
        Hold,
        Release,
        Interrupt,
        Close,
    }
