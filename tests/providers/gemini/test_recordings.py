"""Recorded sessions of the real service, where a folder of them is at hand: all of it is read."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from realtime_core import Plan
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Connected,
    Event,
    ResponseDone,
    ResponseStarted,
    ToolCall,
    Unknown,
    UserTranscript,
)
from realtime_core.testing.conformance import check_coded, conforms
from realtime_gemini.codec import GeminiCodec
from realtime_gemini.encoding import client_message
from tests.providers.gemini.wires import planned

FOLDER = Path(os.environ.get("REALTIME_WIRE_DIR") or "/nowhere") / "gemini"
WHY = "REALTIME_WIRE_DIR names no folder of recorded sessions"
PASSED_ON: frozenset[str] = frozenset()
"""Names in the recordings that the library has no word for: none."""


def recordings(pattern: str) -> list[Any]:
    found = [pytest.param(path, id=path.stem) for path in sorted(FOLDER.glob(pattern))]
    return found or [pytest.param(None, id="none", marks=pytest.mark.skip(reason=WHY))]


each = pytest.mark.parametrize("path", recordings("*_ws__*.jsonl"))


def messages(path: Path, direction: str) -> list[bytes]:
    """Give what one side said, in order."""
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return [
        json.dumps(row["data"]).encode()
        for row in rows
        if row["kind"] == "message" and row["direction"] == direction
    ]


def plan_of(path: Path) -> Plan:
    setup = json.loads(messages(path, "sent")[0])["setup"]
    return planned(setup["model"])


def read(path: Path) -> list[Event]:
    codec, events = GeminiCodec(), list[Event]()
    state = codec.greet(plan_of(path), None).state
    for wire in messages(path, "received"):
        coded = codec.decode(state, wire).unwrap()
        state = coded.state
        events += coded.events
    return events


@each
def test_every_frame_is_read(path: Path) -> None:
    events = read(path)
    assert {event.name for event in events if isinstance(event, Unknown)} <= PASSED_ON
    assert check_coded(events) == []
    assert [type(one) for one in events[:1]] == [Connected]


@each
def test_every_recording_conforms(path: Path) -> None:
    assert conforms(GeminiCodec(), plan_of(path), messages(path, "received")) == []


@each
def test_words_rebuilt_from_their_pieces_are_the_whole(path: Path) -> None:
    pieces = defaultdict[tuple[type, str | None], str](str)
    for event in read(path):
        match event:
            case AgentTranscript(final=False):
                pieces[AgentTranscript, event.item] += event.text
            case AgentTranscript():
                assert pieces.pop((AgentTranscript, event.item)) == event.text
            case UserTranscript(final=False):
                pieces[UserTranscript, event.item] = event.text
            case UserTranscript():
                assert pieces.pop((UserTranscript, event.item)) == event.text
            case _:
                pass
    assert not pieces, "everything that began was told whole"


@each
def test_every_answer_ends_with_its_cost(path: Path) -> None:
    events = read(path)
    begun = [event.response for event in events if isinstance(event, ResponseStarted)]
    done = [event for event in events if isinstance(event, ResponseDone)]
    assert [event.response for event in done] == begun
    assert begun
    for event in done:
        assert event.status == "completed"
        assert event.usage is not None
        assert event.usage.output_tokens > 0
    assert any(isinstance(event, AudioOutput) for event in events)


@each
def test_calls_are_whole(path: Path) -> None:
    calls = [event for event in read(path) if isinstance(event, ToolCall)]
    for call in calls:
        assert isinstance(json.loads(call.arguments), dict)
    assert bool(calls) == ("tool_call" in path.stem)


@pytest.mark.parametrize("path", recordings("*.jsonl"))
def test_what_other_clients_send_is_read_too(path: Path) -> None:
    for wire in messages(path, "sent"):
        message = client_message(wire)
        said = [getattr(message, name) for name in message.__struct_fields__]
        assert sum(one is not None for one in said) == 1
