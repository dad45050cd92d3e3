"""`realtime decode`: recorded frames become the events a consumer would get."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from realtime_core import (
    PCM_24K,
    AgentTranscript,
    AudioOutput,
    Connected,
    ItemId,
    RealtimeEvent,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    SessionConfig,
    SpeechStarted,
    ToolCall,
)
from realtime_core.epoch import CallId
from realtime_core.testing.scripted import SCRIPTED
from tests.cli.conftest import Realtime

R1, I1 = ResponseId("r1"), ItemId("i1")
TURN: tuple[RealtimeEvent, ...] = (
    ResponseStarted(response=R1),
    AgentTranscript(response=R1, item=I1, text="Hello", final=False),
    AudioOutput(response=R1, item=I1, pcm=bytes(960), format=PCM_24K),
    ToolCall(response=R1, item=ItemId("i2"), call=CallId("c1"), name="look", arguments="{}"),
    AgentTranscript(response=R1, item=I1, text="Hello", final=True),
    ResponseDone(response=R1, status="completed"),
)
CONNECTED = Connected(session_id="", config=SessionConfig(), capabilities=SCRIPTED)


def line(data: object, direction: str = "received", **more: object) -> str:
    encoder = msgspec.json.Encoder(enc_hook=str)
    row = {"kind": "message", "direction": direction, "data": data, **more}
    return encoder.encode(row).decode()


def record(path: Path, events: Sequence[RealtimeEvent], *more: str) -> Path:
    path.write_text("\n".join((*map(line, events), *more)) + "\n")
    return path


def test_a_recording_becomes_stamped_events(realtime: Realtime, tmp_path: Path) -> None:
    file = record(tmp_path / "a.jsonl", (CONNECTED, *TURN))
    ran = realtime("decode", "parrot", file, "--json")
    assert ran.code == 0
    assert [event["type"] for event in ran.events] == [
        "connected",
        "response_started",
        "agent_transcript",
        "audio_output",
        "tool_call",
        "conversation_item",
        "agent_transcript",
        "conversation_item",
        "response_done",
    ]
    assert [event["seq"] for event in ran.events] == list(range(9))
    assert ran.events[3]["samples"] == 480
    assert "7 messages received, 0 sent (not decoded); 9 events, 0 unknown, 0 faults" in ran.err


def test_a_recording_without_its_greeting_is_read_as_well(
    realtime: Realtime, tmp_path: Path
) -> None:
    ran = realtime("decode", "parrot", record(tmp_path / "a.jsonl", TURN), "--json")
    assert ran.code == 0
    assert [event["type"] for event in ran.events].count("agent_transcript") == 2


def test_an_interruption_in_it_is_told(realtime: Realtime, tmp_path: Path) -> None:
    file = record(tmp_path / "a.jsonl", (CONNECTED, *TURN[:3], SpeechStarted(), *TURN[4:]))
    ran = realtime("decode", "parrot", file, "--json")
    (cut,) = ran.of("interrupted")
    assert cut["epoch"] == 1
    assert cut["fenced"] == ["r1"]


def test_other_lines_are_left_out_and_unknown_messages_are_kept(
    realtime: Realtime, tmp_path: Path
) -> None:
    file = record(
        tmp_path / "a.jsonl",
        (CONNECTED,),
        line({"type": "Text", "text": "hi"}, "sent"),
        '{"kind": "http", "request": {}, "response": {}}',
        '{"kind": "connect", "uri": "wss://somewhere"}',
        "",
        line({"type": "moon_phase", "full": True, "text": "ü \x1b[2J"}, note="x"),
        line({"type": "audio_output", "pcm": 5}),
        line([1, 2]),
    )
    ran = realtime("decode", "parrot", file)
    assert ran.code == 0
    assert "unknown" in ran.out
    assert "moon_phase" in ran.out
    assert ran.out.count("protocol_violation") == 2
    assert "\x1b" not in ran.out
    assert "4 messages received, 1 sent (not decoded); 4 events, 1 unknown, 2 faults" in ran.err


def test_times_in_the_recording_are_used_and_never_go_back(
    realtime: Realtime, tmp_path: Path
) -> None:
    rows = [line(CONNECTED, at=5.0), line(TURN[0], at=4.0), line(TURN[1]), line(TURN[2], at=9)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    ran = realtime("decode", "parrot", tmp_path / "a.jsonl", "--json")
    assert [event["at"] for event in ran.events] == [5.0, 5.0, 5.02, 9.0]


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[]",
        '"text"',
        "{}",
        '{"kind": 1}',
        '{"kind": "message", "data": {}}',
        '{"kind": "message", "direction": "up", "data": {}}',
        '{"kind": "message", "direction": "received"}',
        '{"kind": "message", "direction": "received", "data": {"type": }}',
        "[" * 100_000,
        b"\xff\xfe".decode("latin-1"),
    ],
)
def test_a_malformed_line_is_told_with_its_number(
    realtime: Realtime, tmp_path: Path, bad: str
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(line(CONNECTED).encode() + b"\n\n" + bad.encode("latin-1") + b"\n")
    ran = realtime("decode", "parrot", file, "--json")
    assert ran.code == 1
    assert len(ran.events) == 1
    assert f"{file}, line 3: " in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("parrot", "no.jsonl"), 1, "No such file or directory: no.jsonl"),
        (("parrot", "."), 1, "Is a directory"),
        (("nobody", "a.jsonl"), 1, "no provider named 'nobody'"),
        (("parrot",), 2, "FILE.jsonl"),
        ((), 2, "Known options: --json"),
    ],
)
def test_what_cannot_be_decoded_is_told(
    realtime: Realtime,
    words: tuple[str, ...],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = realtime("decode", *words)
    assert ran.code == code
    assert told in ran.err
    assert "Traceback" not in ran.err


def test_the_local_voice_is_decoded_too(realtime: Realtime, tmp_path: Path) -> None:
    rows = (
        {"type": "ready", "rate": 22050, "models": []},
        {"type": "speech_started", "audio_ms": 10.0},
        {"type": "user_transcript", "item": "u1", "text": "hi", "final": True},
        {"type": "response_created", "response": "r1"},
        {"type": "spoken", "response": "r1", "item": "i1", "text": "yes", "final": False},
        {"type": "audio", "response": "r1", "item": "i1", "pcm": "AAAAAA=="},
        {"type": "response_done", "response": "r1", "status": "completed"},
        {"type": "something_new"},
    )
    (tmp_path / "a.jsonl").write_text("\n".join(map(line, rows)))
    ran = realtime("decode", "local", tmp_path / "a.jsonl", "--json")
    assert ran.code == 0
    kinds = [event["type"] for event in ran.events]
    assert kinds[0] == "connected"
    assert kinds[-1] == "unknown"
    assert ran.of("audio_output")[0]["format"]["rate"] == 22_050
