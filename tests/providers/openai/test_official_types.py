"""What the codec sends, judged by the parameter types of the vendor's own package, read strictly.

Where those types are looser or tighter than the service is, this says so: they leave texts, sizes
and ranges unchecked, take both modalities at once, and know no null for what the documentation says
null turns off (`NULLS`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime.realtime_client_event_param import RealtimeClientEventParam
from openai.types.realtime.realtime_session_create_request_param import (
    RealtimeSessionCreateRequestParam,
)
from openai.types.realtime.realtime_transcription_session_create_request_param import (
    RealtimeTranscriptionSessionCreateRequestParam,
)
from pydantic import ConfigDict, TypeAdapter, ValidationError

from realtime_core import Message, SessionConfig, ToolSpec, TurnDetection
from realtime_core.codec import Media, Outgoing, Wire
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.frames import CreateResponse, Text, UpdateSession, Video
from realtime_openai import client_events as client
from realtime_openai.codec import OpenAICodec, agree
from realtime_openai.dialect import AZURE, GA
from tests.laws.stories import many
from tests.providers.openai.strategies import configs, outgoing
from tests.providers.openai.wires import opened

STRICT = ConfigDict(extra="forbid", strict=True)
EVENTS: dict[str, TypeAdapter[Any]] = {
    get_args(get_args(get_type_hints(one, include_extras=True)["type"])[0])[0]: TypeAdapter(
        cast("Any", one | None), config=STRICT
    )
    for one in get_args(RealtimeClientEventParam)
}
SESSION: TypeAdapter[Any] = TypeAdapter(
    RealtimeSessionCreateRequestParam | RealtimeTranscriptionSessionCreateRequestParam,
    config=STRICT,
)
OLD = client.encode(
    client.CreateItem(
        item=client.MessageItem(role="assistant", content=(client.PlainText(text="as of old"),))
    )
)
NULLS = ("noise_reduction", "transcription")
"""Documented: "This can be set to `null` to turn off." The types know no null here."""


def consumed(value: Any) -> Any:
    """Look into what pydantic checks only when it is asked for: fields typed as `Iterable`."""
    if isinstance(value, Mapping):
        return {name: consumed(one) for name, one in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, Iterator | list | tuple):
        return [consumed(one) for one in cast("Iterator[Any]", value)]
    return value


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value).items()
        kept = ((n, one) for n, one in fields if one is not None or n not in NULLS)
        return {name: without_nulls(one) for name, one in kept}
    return value


def judged(wire: Wire) -> dict[str, Any]:
    """Require that a message is one of the vendor's, to the last field."""
    assert isinstance(wire, bytes)
    event = without_nulls(msgspec.json.decode(wire))
    consumed(EVENTS[event["type"]].validate_python(event))
    if event["type"] == "session.update":
        consumed(SESSION.validate_python(event["session"]))
    return cast("dict[str, Any]", event)


@many
@given(configs(), st.sampled_from((GA, AZURE)))
def test_every_greeting(config: SessionConfig, dialect: Any) -> None:
    plan = agree(dialect.capabilities, config).unwrap()
    sent = [judged(wire) for wire in OpenAICodec(dialect).greet(plan, None).wires]
    assert [event["type"] for event in sent] == [
        "session.update",
        *["conversation.item.create"] * len(config.history),
    ]


@many
@given(configs(), st.lists(outgoing(), max_size=8), st.sampled_from(("socket", "call")))
def test_every_frame_and_command(
    config: SessionConfig, frames: list[Outgoing], carrier: Any
) -> None:
    codec = OpenAICodec(GA, carrier)
    state = codec.greet(agree(GA.capabilities, config).unwrap(), None).state
    for frame in frames:
        coded = codec.encode(state, frame).unwrap()
        state = coded.state
        for wire in coded.wires:
            if not isinstance(wire, Media):
                judged(wire)


@pytest.mark.parametrize(
    ("frame", "kinds"),
    [
        (Text("Hello", role="system"), ["conversation.item.create"]),
        (Video(b"\xff\xd8"), ["conversation.item.create"]),
        (
            CreateResponse(
                "Be brief.",
                RequestId("request-0"),
                ("audio",),
                "none",
                (
                    Message("user", "Hi"),
                    Message("assistant", "Hello"),
                    Message("tool_call", "{}", call=CallId("c0"), name="look"),
                    Message("tool_result", "a bee", call=CallId("c0")),
                ),
                {"purpose": "classify"},
            ),
            ["response.create"],
        ),
    ],
)
def test_some_of_everything(frame: Outgoing, kinds: list[str]) -> None:
    codec, state = opened()
    sent = [judged(wire) for wire in codec.encode(state, frame).unwrap().wires]
    assert [event["type"] for event in sent] == kinds


def test_settings_that_are_taken_back() -> None:
    options = {
        "prompt": {"id": "pmpt_1"},
        "speed": 1.5,
        "truncation": "disabled",
        "noise_reduction": "near_field",
        "include": ["item.input_audio_transcription.logprobs"],
    }
    turns = TurnDetection(idle_timeout_ms=5_000)
    codec, state = opened(
        instructions="Be brief.", max_output_tokens=9, options=options, turn_detection=turns
    )
    (wire,) = codec.encode(state, UpdateSession(SessionConfig())).unwrap().wires
    session = judged(wire)["session"]
    assert session["instructions"] == ""
    assert session["max_output_tokens"] == "inf"
    assert session["prompt"] is None
    assert session["truncation"] == "auto"
    assert session["include"] == []
    assert session["audio"]["output"]["speed"] == 1.0
    assert session["audio"]["input"]["turn_detection"]["idle_timeout_ms"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        b'{"type":"response.cancel","response_id":7}',
        b'{"type":"response.cancel","response":"r"}',
        b'{"type":"session.update","session":{"type":"realtime","temperature":0.8}}',
        OLD,
    ],
)
def test_the_judge_sees_what_is_wrong(wrong: bytes) -> None:
    with pytest.raises(ValidationError):
        judged(wrong)


@pytest.mark.parametrize(
    "event",
    [
        client.ClearOutput(),
        client.RetrieveItem(item_id="i"),
        client.Cancel(),
        client.Cancel(response_id=ResponseId("r")),
        client.TruncateItem(item_id=ItemId("i"), content_index=0, audio_end_ms=1),
        client.CreateItem(
            item=client.McpApprovalResponse(id="i", approval_request_id="a", approve=True),
            previous_item_id="root",
        ),
        client.CreateItem(
            item=client.MessageItem(role="user", content=(client.AudioContent(audio="AAAA"),))
        ),
        client.CreateItem(
            item=client.MessageItem(role="assistant", content=(client.OutputAudio(transcript="a"),))
        ),
    ],
)
def test_events_of_the_protocol_that_no_frame_needs(event: client.ClientEvent) -> None:
    judged(client.encode(event))


def test_tools_as_they_are_written() -> None:
    tools = (ToolSpec("look", "Looks.", {"type": "object", "properties": {"at": {}}}),)
    config = SessionConfig(tools=tools, tool_choice="look")
    plan = agree(GA.capabilities, config).unwrap()
    (wire,) = OpenAICodec(GA).greet(plan, None).wires
    assert judged(wire)["session"]["tool_choice"] == {"type": "function", "name": "look"}
