"""Frames of the vendor's own client, where a folder of them is at hand: ours say the same."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from realtime_core.audio.format import PCM_16K
from realtime_core.codec import Wire
from realtime_core.config import Message, ToolSpec, TurnDetection
from realtime_core.epoch import CallId
from realtime_core.frames import Audio, Close, CreateResponse, Text, ToolResult
from realtime_core.testing.conformance import check_coded, conforms
from realtime_nova.brackets import Brackets, closing, follow
from realtime_nova.codec import NovaCodec
from realtime_nova.encoding import client_event, encode
from tests.providers.nova.grammar import judged
from tests.providers.nova.wires import FIRST, SECOND, Talk, call, planned

FOLDER = Path(os.environ.get("REALTIME_WIRE_DIR") or "/nowhere") / "nova"
WHY = "REALTIME_WIRE_DIR names no folder of recorded sessions"
NAMES = ("promptName", "contentName")


def recordings(pattern: str = "*.jsonl") -> list[Any]:
    found = [pytest.param(path, id=path.stem) for path in sorted(FOLDER.glob(pattern))]
    return found or [pytest.param(None, id="none", marks=pytest.mark.skip(reason=WHY))]


each = pytest.mark.parametrize("path", recordings())


def messages(path: Path, direction: str) -> list[bytes]:
    """Give what one side said, in order."""
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return [
        json.dumps(row["data"]).encode()
        for row in rows
        if row["kind"] == "message" and row["direction"] == direction
    ]


def plain(wire: Wire, known: dict[str, str]) -> Any:
    """Give an event with its names numbered as they came, and its JSON in strings read."""
    assert isinstance(wire, bytes)
    event = json.loads(wire)
    for fields in event["event"].values():
        for name in NAMES:
            if name in fields:
                fields[name] = known.setdefault(fields[name], str(len(known)))
        for tool in fields.get("toolConfiguration", {}).get("tools", ()):
            schema = tool["toolSpec"]["inputSchema"]
            schema["json"] = json.loads(schema["json"])
        if fields.get("content", "").startswith("{"):
            fields["content"] = json.loads(fields["content"])
    return event


def written(events: list[Any]) -> list[Any]:
    """Let the codec say what these frames say: the settings and the words are taken from them."""
    given = {name: fields for event in events for name, fields in event["event"].items()}
    start, prompt = given["sessionStart"], given["promptStart"]
    texts = [
        event["event"]["textInput"]["content"] for event in events if "textInput" in event["event"]
    ]
    spec = prompt["toolConfiguration"]["tools"][0]["toolSpec"]
    inference = start["inferenceConfiguration"]
    (use,) = (
        event["event"]["contentStart"]["toolResultInputConfiguration"]["toolUseId"]
        for event in events
        if "toolResultInputConfiguration" in event["event"].get("contentStart", {})
    )
    # Nova 1 takes no typed words: where these frames hold them, they are the second model's.
    talk = Talk(
        SECOND,
        instructions=texts[0],
        history=(Message("user", texts[1]), Message("assistant", texts[2])),
        voice=prompt["audioOutputConfiguration"]["voiceId"],
        temperature=inference["temperature"],
        max_output_tokens=inference["maxTokens"],
        turn_detection=TurnDetection(eagerness=start["endpointingSensitivity"].lower()),
        tools=(
            ToolSpec(spec["name"], spec["description"], json.loads(spec["inputSchema"]["json"])),
        ),
        options={"top_p": inference["topP"]},
    ).open()
    talk.hear(*call(use))
    talk.push(
        Audio(base64.b64decode(given["audioInput"]["content"]), PCM_16K),
        ToolResult(CallId(use), given["toolResult"]["content"]),
        Text(texts[3]),
        CreateResponse(),
        Close(),
    )
    return [*talk.greeted, *talk.sent]


@each
def test_the_vendors_client_says_what_we_say(path: Path) -> None:
    """Field by field; where the sensitivity stands is the first model's way, and compared there."""
    theirs = messages(path, "sent")
    known: dict[str, str] = {}
    expected = [plain(wire, known) for wire in theirs]
    known = {}
    ours = [
        plain(json.dumps({"event": event}).encode(), known)
        for event in written([json.loads(wire) for wire in theirs])
    ]
    del expected[0], ours[0]
    assert ours == expected


@each
def test_the_first_event_is_that_of_the_first_model(path: Path) -> None:
    theirs = json.loads(messages(path, "sent")[0])["event"]["sessionStart"]
    eagerness = theirs["endpointingSensitivity"].lower()
    talk = Talk(FIRST, turn_detection=TurnDetection(eagerness=eagerness))
    assert talk.greeted[0]["sessionStart"] == theirs


@each
def test_what_other_clients_send_is_read_too(path: Path) -> None:
    for wire in messages(path, "sent"):
        assert json.loads(encode(client_event(wire))) == json.loads(wire)


@each
def test_their_brackets_are_ours(path: Path) -> None:
    theirs = messages(path, "sent")
    assert judged(theirs, complete=True) == ""
    brackets = Brackets()
    for wire in theirs:
        brackets = follow(brackets, client_event(wire)).unwrap()
    assert closing(brackets) == ()


@each
def test_every_frame_of_the_service_conforms(path: Path) -> None:
    wires = messages(path, "received")
    assert conforms(NovaCodec(), planned(), wires) == []
    assert check_coded(Talk().hear(*wires)) == []
