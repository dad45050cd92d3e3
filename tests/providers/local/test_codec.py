"""The codec of the local voice: total, round-tripping, and of the one grammar."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Success

from realtime_core import (
    ActivityEnd,
    ActivityStart,
    AgentTranscript,
    Audio,
    AudioFormat,
    CallId,
    CancelResponse,
    ClearAudio,
    Close,
    CommitAudio,
    CreateResponse,
    DeleteItem,
    Heard,
    ItemId,
    Message,
    Outgoing,
    ProtocolViolation,
    RequestId,
    ResponseId,
    ResponseText,
    Resume,
    SessionConfig,
    Text,
    ToolResult,
    ToolSpec,
    TruncateItem,
    TurnDetection,
    Unknown,
    Unsupported,
    UpdateSession,
    Video,
    negotiate,
)
from realtime_core.codec import as_message
from realtime_core.testing.conformance import conforms
from realtime_local import local, wire
from realtime_local.codec import LocalCodec, LocalState

PROVIDER = local()
CODEC = LocalCodec()
PLAN = negotiate(PROVIDER.capabilities, SessionConfig()).unwrap()
SENT = msgspec.json.Decoder(wire.SessionMessage)
JSON = msgspec.json.Encoder()
R, I = "r0", "i0"  # noqa: E741 - as the engine names them
TURN: tuple[wire.EngineMessage, ...] = (
    wire.Ready(rate=22_050),
    wire.Speech(audio_ms=100.0),
    wire.Transcript(item="u0", text="What do", final=False),
    wire.SpeechEnd(audio_ms=900.0),
    wire.Transcript(item="u0", text="What do bees make?", final=True),
    wire.ResponseCreated(response=R),
    wire.Spoken(response=R, item=I, text="Honey, ", final=False, start=0),
    wire.AudioDelta(response=R, item=I, pcm=bytes(400)),
    wire.Spoken(response=R, item=I, text="of course.", final=False, start=200),
    wire.AudioDelta(response=R, item=I, pcm=bytes(401)),
    wire.AudioDone(response=R, item=I),
    wire.Spoken(response=R, item=I, text="Honey, of course.", final=True),
    wire.ResponseFinished(response=R, status="completed", output_tokens=7),
    wire.ResponseCreated(response="r1", request="request-0"),
    wire.Requested(response="r1", item="c0", call="c0", name="weather", arguments="{}"),
    wire.Fault(message="The mouth failed."),
    wire.ResponseFinished(response="r1", status="failed", error="hoarse"),
)


def begun() -> LocalState:
    state = CODEC.greet(PLAN, None).state
    return CODEC.decode(state, JSON.encode(TURN[0])).unwrap().state


def events(message: wire.EngineMessage, state: LocalState | None = None) -> tuple[Any, ...]:
    return CODEC.decode(state or begun(), JSON.encode(message)).unwrap().events


def test_a_conversation_keeps_the_one_grammar() -> None:
    assert conforms(CODEC, PLAN, [JSON.encode(message) for message in TURN]) == []


@given(st.lists(st.sampled_from(TURN), max_size=30))
def test_messages_in_any_order_keep_it_too(messages: list[wire.EngineMessage]) -> None:
    wires = [JSON.encode(message) for message in messages]
    assert conforms(CODEC, PLAN, wires, honest=False) == []


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_give_events_or_one_typed_fault(data: bytes | str) -> None:
    result = CODEC.decode(begun(), data)
    if not isinstance(result, Success):
        assert isinstance(result.failure(), ProtocolViolation)


def test_a_message_of_a_later_engine_is_passed_on_as_unknown() -> None:
    (event,) = CODEC.decode(begun(), b'{"type":"smile","width":3}').unwrap().events
    assert isinstance(event, Unknown)
    assert event.name == "smile"
    assert "width" in event.data


def test_a_known_message_that_is_malformed_is_a_fault() -> None:
    problem = CODEC.decode(begun(), b'{"type":"audio","pcm":7}').failure()
    assert isinstance(problem, ProtocolViolation)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (Audio(b"\1\2", AudioFormat(16_000)), wire.InputAudio(pcm=b"\1\2")),
        (Video(b"jpeg"), wire.Image(data=b"jpeg", mime="image/jpeg")),
        (Text("hi", role="system"), wire.Typed(text="hi", role="system")),
        (ToolResult(CallId("c0"), "12"), wire.ToolOutput(call="c0", output="12")),
        (CommitAudio(), wire.Commit()),
        (ActivityEnd(), wire.Commit()),
        (ClearAudio(), wire.Clear()),
        (CreateResponse("short", RequestId("q")), wire.Create(request="q", instructions="short")),
        (CreateResponse(modalities=("text",)), wire.Create(request="", modalities=("text",))),
        (CancelResponse(ResponseId(R)), wire.Cancel(response=R)),
        (TruncateItem(ItemId(I), 9, 22_050, "Hon"), wire.Truncate(item=I, samples=9, text="Hon")),
        (DeleteItem(ItemId(I)), wire.Delete(item=I)),
    ],
)
def test_a_frame_is_its_message(frame: Outgoing, message: wire.SessionMessage) -> None:
    (sent,) = CODEC.encode(begun(), frame).unwrap().wires
    assert SENT.decode(as_message(sent)) == message


@pytest.mark.parametrize("frame", [ActivityStart(), Close()])
def test_what_needs_no_message_sends_none(frame: Outgoing) -> None:
    assert CODEC.encode(begun(), frame).unwrap().wires == ()


def test_what_the_machine_keeps_to_itself_is_refused() -> None:
    assert isinstance(CODEC.encode(begun(), Heard(ItemId(I), 3)).failure(), Unsupported)


def test_the_engine_is_told_the_settings_it_heeds() -> None:
    config = SessionConfig(
        instructions="Be brief.",
        turn_detection=TurnDetection(mode="manual", authority="application", threshold=0.7),
        tools=(ToolSpec("weather", "Tells it."),),
        history=(Message("user", "Hi."),),
    )
    plan = negotiate(PROVIDER.capabilities, config).unwrap()
    (sent,) = CODEC.greet(plan, None).wires
    start = SENT.decode(as_message(sent))
    assert isinstance(start, wire.Start)
    assert start.history == (wire.Said("user", "Hi."),)
    told = start.settings
    assert (told.instructions, told.manual, told.barge_in) == ("Be brief.", True, False)
    assert (told.threshold, told.prefix_ms) == (0.7, 320)
    assert [tool.name for tool in told.tools] == ["weather"]
    (sent,) = CODEC.encode(begun(), UpdateSession(config)).unwrap().wires
    assert SENT.decode(as_message(sent)) == wire.Update(settings=told)


def test_ids_of_a_new_connection_differ_from_the_old_ones() -> None:
    state = CODEC.greet(PLAN, Resume(2, history=(Message("user", "Hi."),))).state
    (event,) = events(wire.ResponseCreated(response=R), state)
    assert event.response == "2:r0"
    (sent,) = CODEC.encode(state, CancelResponse(event.response)).unwrap().wires
    assert SENT.decode(as_message(sent)) == wire.Cancel(response=R)


def test_words_carry_where_they_begin_to_sound() -> None:
    (spoken,) = events(wire.Spoken(response=R, item=I, text="Hon", final=False, start=5))
    assert isinstance(spoken, AgentTranscript)
    assert spoken.span == (5, None)
    (written,) = events(wire.Spoken(response=R, item=I, text="Hon", final=True, audio=False))
    assert isinstance(written, ResponseText)
    assert written.is_complete


def test_sound_is_cut_to_whole_samples() -> None:
    (sound,) = events(wire.AudioDelta(response=R, item=I, pcm=bytes(7)))
    assert (len(sound.pcm), sound.format.rate) == (6, 22_050)
