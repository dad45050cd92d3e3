"""Recorded sessions of real services, where a folder of them is at hand: all of it is read."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from realtime_core.events import (
    AgentTranscript,
    Connected,
    Event,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    ToolCall,
    Unknown,
    UserTranscript,
)
from realtime_core.testing.conformance import check_coded, conforms
from realtime_openai.codec import OpenAICodec
from realtime_openai.dialect import AZURE, GA, VOICE_LIVE, XAI, Dialect
from realtime_qwen.dialect import FLAT
from tests.providers.openai.wires import planned

FOLDER = os.environ.get("REALTIME_WIRE_DIR", "")
SPOKEN_BY: dict[str, Dialect] = {
    "openai/*": GA,
    "azure/azure_ws*": AZURE,
    "azure/azure_voice_live*": VOICE_LIVE,
    "xai/*": XAI,
    "qwen/*": FLAT,
}
PASSED_ON: frozenset[str] = frozenset()
"""Names in the recordings that the library has no word for: none."""


def recordings() -> list[Any]:
    found = [
        pytest.param(path, dialect, id=path.stem)
        for pattern, dialect in SPOKEN_BY.items()
        for path in sorted(Path(FOLDER or "/nowhere").glob(f"{pattern}.jsonl"))
    ]
    why = "REALTIME_WIRE_DIR names no folder of recorded sessions"
    return found or [pytest.param(None, GA, id="none", marks=pytest.mark.skip(reason=why))]


def received(path: Path) -> list[bytes]:
    """Give what the server said, in order."""
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return [
        json.dumps(row["data"]).encode()
        for row in rows
        if row["kind"] == "message" and row["direction"] == "received"
    ]


def read(path: Path, dialect: Dialect) -> list[Event]:
    codec = OpenAICodec(dialect)
    state, events = codec.greet(planned(dialect), None).state, list[Event]()
    for wire in received(path):
        coded = codec.decode(state, wire).unwrap()
        state = coded.state
        events += coded.events
    return events


each = pytest.mark.parametrize(("path", "dialect"), recordings())


@each
def test_every_frame_is_read(path: Path, dialect: Dialect) -> None:
    events = read(path, dialect)
    assert {event.name for event in events if isinstance(event, Unknown)} <= PASSED_ON
    assert check_coded(events) == []
    updated = any(b'"session.updated"' in wire for wire in received(path))
    assert [type(e) for e in events if isinstance(e, Connected)] == [Connected] * updated


@each
def test_every_recording_conforms(path: Path, dialect: Dialect) -> None:
    assert conforms(OpenAICodec(dialect), planned(dialect), received(path)) == []


@each
def test_words_rebuilt_from_their_pieces_are_the_whole(path: Path, dialect: Dialect) -> None:
    pieces = defaultdict[tuple[type, str | None], str](str)
    for event in read(path, dialect):
        match event:
            case AgentTranscript(final=False) | ResponseText(is_complete=False):
                pieces[type(event), event.item] += event.text
            case AgentTranscript() | ResponseText():
                assert pieces.pop((type(event), event.item)) == event.text
            case UserTranscript(final=False):
                pieces[UserTranscript, event.item] = event.text
            case UserTranscript():
                assert pieces.pop((UserTranscript, event.item)).strip() == event.text.strip()
            case _:
                pass
    assert not pieces, "everything that began was told whole"


@each
def test_every_answer_ends_with_its_cost(path: Path, dialect: Dialect) -> None:
    events = read(path, dialect)
    begun = [event.response for event in events if isinstance(event, ResponseStarted)]
    done = [event for event in events if isinstance(event, ResponseDone)]
    assert [event.response for event in done] == begun
    for event in done:
        assert event.status == "completed"
        assert event.usage is not None
        assert event.usage.output_tokens > 0


@each
def test_calls_are_whole(path: Path, dialect: Dialect) -> None:
    calls = [event for event in read(path, dialect) if isinstance(event, ToolCall)]
    for call in calls:
        assert isinstance(json.loads(call.arguments), dict)
    assert bool(calls) == ("tool_call" in path.stem)
