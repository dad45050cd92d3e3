"""Events: closed, stamped, each perishable, settling or control, and the same as JSON."""

from __future__ import annotations

import re
from typing import Any, get_args

import msgspec
import pytest

from realtime_core import (
    PCM_24K,
    AgentTranscript,
    AudioOutput,
    Kind,
    RealtimeEvent,
    ResponseText,
    events,
)

KINDS = get_args(RealtimeEvent)
PERISHABLE = {
    "ResponseStarted",
    "AudioOutput",
    "AudioOutputDone",
    "ResponseThought",
    "ToolCall",
}
SETTLING = {"UserTranscript", "AudioInput", "ConversationItem", "LateUsage", "ResponseDone"}


def words(kind: Any, *, whole: bool) -> Any:
    field = "final" if kind is AgentTranscript else "is_complete"
    return kind(text="x", **{field: whole})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_has_a_name_in_snake_case_by_which_it_is_read_again(kind: Any) -> None:
    name = kind.__struct_config__.tag
    assert name == re.sub(r"(?<!^)([A-Z])", r"_\1", kind.__name__).lower()
    assert kind.__name__ in events.__all__


def test_an_event_is_the_same_after_a_journey_as_json() -> None:
    event = AudioOutput(seq=3, pcm=b"\x00\x01", format=PCM_24K)
    wire = msgspec.json.encode(event)
    assert b'"type":"audio_output"' in wire
    assert msgspec.json.decode(wire, type=AudioOutput | ResponseText) == event


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_event_cannot_be_changed(kind: Any) -> None:
    assert kind.__struct_config__.frozen


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_output_perishes_ends_settle_and_the_rest_controls(kind: Any) -> None:
    if kind in {AgentTranscript, ResponseText}:
        assert words(kind, whole=False).kind is Kind.PERISHABLE
        assert words(kind, whole=True).kind is Kind.SETTLING
        return
    expected = dict.fromkeys(PERISHABLE, Kind.PERISHABLE) | dict.fromkeys(SETTLING, Kind.SETTLING)
    required = {field.name: None for field in msgspec.structs.fields(kind) if field.required}
    assert kind(**required).kind is expected.get(kind.__name__, Kind.CONTROL)
