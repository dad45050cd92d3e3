"""The mirror codec: what clients say is read strictly, what sessions say is written in grammar."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from realtime_core import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    AuthFailed,
    CallId,
    ContentFiltered,
    Epoch,
    Error,
    IncompleteTurn,
    Interrupted,
    ItemId,
    Message,
    RateLimit,
    RateLimited,
    RateLimits,
    RealtimeError,
    RealtimeEvent,
    RequestId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    SessionConfig,
    SessionExpired,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    ToolCallCancelled,
    ToolSpec,
    TurnDetection,
    Unavailable,
    Unsupported,
    Usage,
    UserTranscript,
    Warning,
    Wire,
)
from realtime_core.audio.format import PCM_24K, AudioFormat
from realtime_core.frames import (
    Audio,
    ClearAudio,
    CommitAudio,
    CreateResponse,
    Frame,
    Heard,
    Interrupt,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from realtime_core.plan import negotiate
from realtime_core.testing.conformance import HOSTILE, check_trace
from realtime_core.testing.fold import Fold
from realtime_core.testing.strategies import provider_scripts, wires
from realtime_openai import client_events as client
from realtime_openai.codec import OpenAICodec
from realtime_openai.dialect import GA
from realtime_openai.server import Ask, Book, accepted, begin, greet, hear, refused, tell
from realtime_openai.server.messages import history_of
from tests.providers.openai.grammar import Grammar

Fields = dict[str, Any]

R, R2 = ResponseId("r1"), ResponseId("r2")
ITEM, I2 = ItemId("i1"), ItemId("i2")
C = CallId("c1")
PCM = bytes(4_800)
"""100 ms."""


class Talk:
    """One conversation by hand: what the client says, what the session says, what came of it."""

    def __init__(self, **given: Any) -> None:
        self.book = begin("x", "model", "alloy")
        self.grammar = Grammar()
        self.asks: list[Ask] = []
        self._take(greet(self.book))
        self.book = msgspec.structs.replace(self.book, begun=True)
        if given:
            self.hear("session.update", session={"type": "realtime", **given})
            self.accept()

    def _take(self, told: Any) -> None:
        self.book = told.book
        self.grammar.take(told.wires)
        self.asks += told.asks

    def hear(self, type: str, **fields: Any) -> list[Frame]:
        before = len(self.asks)
        self._take(hear(self.book, json.dumps({"type": type, **fields})))
        return [ask.frame for ask in self.asks[before:]]

    def tell(self, *events: RealtimeEvent) -> list[Frame]:
        before = len(self.asks)
        for event in events:
            self._take(tell(self.book, event))
        return [ask.frame for ask in self.asks[before:]]

    def accept(self) -> None:
        ask = self.asks[-1]
        assert ask.given is not None
        self._take(accepted(self.book, ask.given))

    def refuse(self, frame: Frame, error: RealtimeError, event: str = "") -> None:
        self._take(refused(self.book, frame, error, event))

    def say(self, text: str = "Hi") -> None:
        part = {"type": "input_text", "text": text}
        item = {"type": "message", "role": "user", "content": [part]}
        self.hear("conversation.item.create", item=item)

    @property
    def error(self) -> Fields:
        assert self.grammar.types[-1] == "error"
        found: Fields = self.grammar.events[-1]["error"]
        return found

    @property
    def last(self) -> Fields:
        return self.grammar.events[-1]

    @property
    def types(self) -> list[str]:
        return self.grammar.types


def started(id: ResponseId = R, request: str | None = None) -> ResponseStarted:
    return ResponseStarted(response=id, request=RequestId(request) if request else None)


def words(text: str, *, final: bool = False, id: ResponseId = R) -> AgentTranscript:
    return AgentTranscript(response=id, item=ITEM, text=text, final=final)


def sound(pcm: bytes = PCM, id: ResponseId = R, item: ItemId = ITEM) -> AudioOutput:
    return AudioOutput(response=id, item=item, pcm=pcm, format=PCM_24K)


def done(status: Any = "completed", id: ResponseId = R, **more: Any) -> ResponseDone:
    return ResponseDone(response=id, status=status, **more)


# --- round trip -------------------------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_NAME = st.sampled_from(("a", "item_1", "Ω"))
_MAYBE = st.just(UNSET) | _TEXT
_ID = st.just(UNSET) | _NAME
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=4,
)
_OBJECT = st.dictionaries(_TEXT, _JSON, max_size=3)
_CONTENT = st.one_of(
    st.builds(client.InputText, text=_TEXT),
    st.builds(client.AudioContent, audio=_MAYBE | st.none(), transcript=_MAYBE | st.none()),
    st.builds(client.ImageContent, image_url=_TEXT, detail=_MAYBE),
    st.builds(client.OutputText, text=_TEXT),
    st.builds(client.OutputAudio, audio=_MAYBE | st.none(), transcript=_MAYBE | st.none()),
    st.builds(client.PlainText, text=_TEXT),
)
_COMMON = {"id": _ID, "object": _ID, "status": _ID}
_ITEM = st.one_of(
    st.builds(
        client.MessageItem,
        role=st.sampled_from(("user", "assistant", "system")),
        content=st.lists(_CONTENT, max_size=3).map(tuple),
        **_COMMON,
    ),
    st.builds(client.FunctionCall, name=_TEXT, arguments=_TEXT, call_id=_ID, **_COMMON),
    st.builds(client.FunctionCallOutput, call_id=_NAME, output=_TEXT, **_COMMON),
    st.builds(
        client.McpApprovalResponse,
        approval_request_id=_NAME,
        approve=st.booleans(),
        reason=_MAYBE | st.none(),
        **_COMMON,
    ),
    st.builds(client.Reference, **_COMMON),
)
_WISH = st.builds(
    client.ResponseWish,
    instructions=_MAYBE,
    conversation=st.sampled_from((UNSET, "auto", "none")),
    output_modalities=st.sampled_from((UNSET, ("audio",), ("text",))),
    modalities=st.sampled_from((UNSET, ("text", "audio"))),
    metadata=st.just(UNSET) | st.none() | st.dictionaries(_TEXT, _TEXT, max_size=2),
    input=st.just(UNSET) | st.lists(_ITEM, max_size=2).map(tuple),
    audio=st.just(UNSET) | _OBJECT,
    tools=st.just(UNSET) | st.lists(_OBJECT, max_size=2),
    tool_choice=st.just(UNSET) | st.just("auto") | _OBJECT,
    max_output_tokens=st.sampled_from((UNSET, 7, "inf")),
    parallel_tool_calls=st.just(UNSET) | st.booleans(),
    reasoning=st.just(UNSET) | _OBJECT,
    prompt=st.just(UNSET) | st.none() | _OBJECT,
)
_COUNT = st.integers(0, 5_000)
CLIENT_EVENTS: st.SearchStrategy[client.ClientEvent] = st.one_of(
    st.builds(client.UpdateSession, event_id=_ID, session=_OBJECT),
    st.builds(client.Append, event_id=_ID, audio=st.binary(max_size=9)),
    st.builds(client.Commit, event_id=_ID),
    st.builds(client.Clear, event_id=_ID),
    st.builds(client.CreateItem, event_id=_ID, item=_ITEM, previous_item_id=_ID | st.just("root")),
    st.builds(client.RetrieveItem, event_id=_ID, item_id=_NAME),
    st.builds(client.DeleteItem, event_id=_ID, item_id=_NAME),
    st.builds(
        client.TruncateItem, event_id=_ID, item_id=_NAME, content_index=_COUNT, audio_end_ms=_COUNT
    ),
    st.builds(client.Create, event_id=_ID, response=st.just(UNSET) | st.none() | _WISH),
    st.builds(client.Cancel, event_id=_ID, response_id=_ID),
    st.builds(client.ClearOutput, event_id=_ID),
)


@given(CLIENT_EVENTS)
def test_what_a_client_says_is_read_as_it_was_written(event: client.ClientEvent) -> None:
    wire = client.encode(event)
    assert client.decode(wire) == event
    assert client.decode(wire.decode()) == event


@given(st.lists(CLIENT_EVENTS, max_size=12))
def test_whatever_a_client_says_the_answer_is_valid(events: list[client.ClientEvent]) -> None:
    talk = Talk()
    for event in events:
        told = hear(talk.book, client.encode(event))
        assert told == hear(talk.book, client.encode(event))
        talk._take(told)
        if told.asks and told.asks[-1].given is not None:
            talk.accept()


# --- hostile bytes ----------------------------------------------------------------------------


def unspoken(book: Book) -> Book:
    return msgspec.structs.replace(book, said=0)


@pytest.mark.parametrize(
    "wire",
    HOSTILE,
)
def test_hostile_bytes_get_an_error_and_change_nothing(wire: Wire) -> None:
    talk = Talk()
    before = talk.book
    told = hear(before, wire)
    talk._take(told)
    assert talk.error["type"] == "invalid_request_error"
    assert talk.error["code"] in {"invalid_json", "invalid_event"}
    assert unspoken(told.book) == unspoken(before)
    assert told.asks == ()


@given(wires(longest=1_000))
def test_any_bytes_get_an_answer(wire: Wire) -> None:
    assert hear(begin("x"), wire).faults


def item(*content: Fields, role: str = "user", **more: Any) -> Fields:
    return {"type": "message", "role": role, "content": list(content), **more}


def typed(text: str, type: str = "input_text") -> Fields:
    return {"type": type, "text": text}


def setting(**given: Any) -> Fields:
    return {"type": "session.update", "session": {"type": "realtime", **given}}


def asking(**wish: Any) -> Fields:
    return {"type": "response.create", "response": wish}


def beside(*reads: Fields) -> Fields:
    return asking(conversation="none", input=list(reads))


def adding(added: Fields, **more: Any) -> Fields:
    return {"type": "conversation.item.create", "item": added, **more}


def editing(verb: str, id: str = "?", **more: Any) -> Fields:
    return {"type": f"conversation.item.{verb}", "item_id": id, **more}


def until(ms: int, id: str = "?", place: int = 0) -> Fields:
    return editing("truncate", id, content_index=place, audio_end_ms=ms)


_AFAR = {"type": "input_image", "image_url": "http://example.org/x.png"}
_RESULT = {"type": "function_call_output", "call_id": "?", "output": ""}
_YES = {"type": "mcp_approval_response", "approval_request_id": "x", "approve": True}
_SLOW = {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}
MISTAKES: dict[str, list[tuple[Fields, str | None]]] = {
    "invalid_event": [
        ({"type": "no.such"}, "type"),
        ({"type": "output_audio_buffer.clear"}, "type"),
    ],
    "unknown_parameter": [
        ({"type": "response.create", "conversation": "auto"}, "conversation"),
        (asking(voice="x"), "response.voice"),
        (asking(modalities=["text"]), "response.modalities"),
        (adding(item({**typed("x"), "size": 1})), "item.content[0].size"),
        (setting(foo=1), "session.foo"),
    ],
    "integer_below_min_value": [
        (until(-1), "audio_end_ms"),
        (setting(audio=_SLOW), "session.audio.input.format.rate"),
    ],
    "input_audio_buffer_commit_empty": [({"type": "input_audio_buffer.commit"}, None)],
    "response_cancel_not_active": [
        ({"type": "response.cancel"}, "response_id"),
        ({"type": "response.cancel", "response_id": "r9"}, "response_id"),
    ],
    "item_truncate_invalid_item_id": [(until(1), "item_id")],
    "item_delete_invalid_item_id": [(editing("delete"), "item_id")],
    "item_retrieve_invalid_item_id": [(editing("retrieve"), "item_id")],
    "invalid_tool_call_id": [(adding(_RESULT), "item.call_id")],
    "invalid_value": [
        ({"type": "session.update"}, None),
        ({"type": "session.update", "session": {}}, "session"),
        (setting(output_modalities=["audio", "text"]), "session.output_modalities"),
        (setting(tools=[{"type": "gadget"}]), "session.tools[0].type"),
        ({"type": "input_audio_buffer.append", "audio": "%%"}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": 7}, "audio"),
        (asking(output_modalities=["text", "audio"]), "response.output_modalities"),
        (asking(metadata={"x": "y" * 513}), "response.metadata"),
        (beside({"type": "item_reference", "id": "?"}), "response.input[0].id"),
        (beside(item(role="boss")), "response.input[0].role"),
        (adding(item(typed("x", "text"))), "item.content[0].type"),
        (adding(item(role="boss")), "item.role"),
        (adding(item(_AFAR)), "item.content[0].image_url"),
        (adding(item({"type": "input_audio", "audio": "%"})), "item.content[0].audio"),
        (adding({"type": "item_reference", "id": "x"}), "item.type"),
        (adding(_YES), "item.approval_request_id"),
        (adding(item(), previous_item_id="?"), "previous_item_id"),
    ],
}


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [(event, code, param) for code, made in MISTAKES.items() for event, param in made],
)
def test_mistakes_are_told_by_name(event: Fields, code: str, param: str | None) -> None:
    talk = Talk()
    assert talk.hear(**{**event, "event_id": "mine"}) == []
    assert (talk.error["code"], talk.error["param"]) == (code, param)
    assert talk.error["event_id"] == "mine"
    assert talk.error["message"]


# --- settings ---------------------------------------------------------------------------------


def test_a_session_has_the_servers_own_settings_until_the_client_gives_others() -> None:
    talk = Talk()
    (created,) = talk.grammar.of("session.created")
    assert created["session"]["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "voice": "alloy",
        "speed": 1.0,
    }
    heard = {"turn_detection": {"type": "server_vad", "threshold": 0.3}}
    frames = talk.hear("session.update", session={"type": "realtime", "audio": {"input": heard}})
    assert frames == [
        UpdateSession(
            SessionConfig(
                turn_detection=TurnDetection(threshold=0.3),
                transcribe_user=False,
                report_input=False,
            )
        )
    ]
    assert talk.types[-1] == "session.created"  # nothing holds until the session has taken it
    talk.accept()
    turns = talk.last["session"]["audio"]["input"]["turn_detection"]
    assert (turns["threshold"], turns["prefix_padding_ms"]) == (0.3, 300)


def test_what_is_not_named_keeps_its_value() -> None:
    tools = [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}
    ]
    talk = Talk(instructions="Be brief.", tools=tools)
    semantic = {"type": "semantic_vad", "eagerness": "low", "interrupt_response": False}
    sounds = {
        "input": {
            "turn_detection": semantic,
            "transcription": {"model": "whisper-1", "language": "de"},
            "format": {"type": "audio/pcmu"},
        },
        "output": {"voice": {"id": "mine"}, "format": {"type": "audio/pcma"}},
    }
    more = {"tool_choice": {"type": "function", "name": "f"}, "max_output_tokens": 50}
    (frame,) = talk.hear("session.update", session={"type": "realtime", "audio": sounds, **more})
    assert frame == UpdateSession(
        SessionConfig(
            voice="mine",
            instructions="Be brief.",
            language="de",
            turn_detection=TurnDetection(mode="semantic", eagerness="low", authority="application"),
            tools=(ToolSpec("f", "d", {"type": "object"}, "finish"),),
            tool_choice="f",
            max_output_tokens=50,
            report_input=False,
        )
    )
    talk.accept()
    assert talk.last["session"]["audio"]["input"]["turn_detection"] == {
        "create_response": True,
        **semantic,
    }
    assert talk.book.input_format == AudioFormat(8_000, "pcmu")
    assert talk.book.output_format == AudioFormat(8_000, "pcma")
    assert talk.hear("input_audio_buffer.append", audio="/////w==") == [
        Audio(b"\xff" * 4, AudioFormat(8_000, "pcmu"))
    ]
    (frame,) = talk.hear(
        "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    )
    assert isinstance(frame, UpdateSession)
    assert frame.config.turn_detection.mode == "manual"


def test_a_session_may_only_write_down() -> None:
    talk = Talk()
    talk.hear("session.update", session={"type": "transcription"})
    talk.accept()
    assert talk.last["session"]["object"] == "realtime.transcription_session"
    assert "output" not in talk.last["session"]["audio"]
    talk.hear("session.update", session={"type": "realtime"})
    talk.accept()
    assert talk.last["session"]["object"] == "realtime.session"


def test_there_are_limits() -> None:
    talk = Talk()
    for number in range(65):
        talk.hear("response.create", event_id=f"{number}", response={"conversation": "none"})
    assert talk.error["code"] == "rate_limit_exceeded"
    long = item(typed("x" * (16 * 1024 * 1024 + 1)))
    assert talk.hear("conversation.item.create", item=long) == []
    assert talk.error["code"] == "string_above_max_length"
    talk.hear("input_audio_buffer.append", audio="A" * (20 * 1024 * 1024 + 4))
    assert talk.error["param"] == "audio"
    talk.book = msgspec.structs.replace(talk.book, begun=False)
    heavy = item(typed("x" * 12 * 1024 * 1024))
    asked = [talk.hear("conversation.item.create", item=heavy) for _ in range(3)]
    assert [bool(frames) for frames in asked] == [False, False, True]
    for _ in range(1_010):
        talk.book = tell(talk.book, UserTranscript(text="x", final=True)).book
    assert len(talk.book.items) == 1_000


# --- the user ---------------------------------------------------------------------------------


def test_sound_is_passed_on_in_whole_samples() -> None:
    talk = Talk()
    assert talk.hear("input_audio_buffer.append", audio="AAAA") == [Audio(bytes(2))]
    assert talk.hear("input_audio_buffer.append", audio="AAAA") == [Audio(bytes(4))]
    assert talk.hear("input_audio_buffer.clear") == [ClearAudio()]
    assert talk.hear("input_audio_buffer.commit") == []
    assert talk.error["code"] == "input_audio_buffer_commit_empty"


def test_a_committed_turn_is_an_item_and_its_words_find_it() -> None:
    talk = Talk(audio={"input": {"transcription": {"model": "m"}, "turn_detection": None}})
    talk.hear("input_audio_buffer.append", audio="AAAA")
    assert talk.hear("input_audio_buffer.commit") == [CommitAudio()]
    (committed,) = talk.grammar.of("input_audio_buffer.committed")
    talk.tell(UserTranscript(item=ItemId("theirs"), text="Hello", final=False))
    talk.tell(UserTranscript(item=ItemId("theirs"), text="Hello you", final=True))
    (whole,) = talk.grammar.of("conversation.item.input_audio_transcription.completed")
    deltas = talk.grammar.of("conversation.item.input_audio_transcription.delta")
    assert whole["item_id"] == committed["item_id"]
    assert "".join(delta["delta"] for delta in deltas) == whole["transcript"] == "Hello you"
    talk.hear("conversation.item.retrieve", item_id=whole["item_id"])
    assert talk.last["item"]["content"] == [{"type": "input_audio", "transcript": "Hello you"}]


def test_a_spoken_turn_has_one_item_from_its_onset_on() -> None:
    talk = Talk(audio={"input": {"transcription": {"model": "m"}}})
    talk.tell(SpeechStarted(audio_ms=120.7))
    talk.tell(UserTranscript(item=ItemId("u1"), text="One", final=False))
    talk.tell(UserTranscript(item=ItemId("u1"), text="Won", final=False))
    talk.tell(SpeechStopped(audio_ms=900.2))
    talk.tell(started())
    talk.tell(SpeechStarted(), SpeechStopped())
    usage = Usage(input_tokens=3, output_tokens=4)
    talk.tell(UserTranscript(item=ItemId("u1"), text="Won it", final=True, usage=usage))
    talk.tell(UserTranscript(item=ItemId("u2"), text="Two", final=True, usage=Usage(seconds=2.5)))
    one, two = talk.grammar.of("input_audio_buffer.speech_started")
    assert (one["audio_start_ms"], two["audio_start_ms"]) == (120, 0)
    first, second = talk.grammar.of("conversation.item.input_audio_transcription.completed")
    assert (first["item_id"], second["item_id"]) == (one["item_id"], two["item_id"])
    assert first["usage"]["type"] == "tokens"
    assert second["usage"] == {"type": "duration", "seconds": 2.5}
    assert talk.types.count("input_audio_buffer.committed") == 2


def test_an_item_that_the_session_names_keeps_its_name() -> None:
    talk = Talk(audio={"input": {"transcription": {"model": "m"}}})
    talk.tell(SpeechStarted(item=ItemId("u1")), SpeechStopped(item=ItemId("u1")))
    talk.tell(UserTranscript(item=ItemId("u1"), text="", final=True))
    assert talk.last["item_id"] == "u1"
    assert talk.book.unbound == ()


def test_words_without_a_turn_make_one() -> None:
    talk = Talk()
    talk.tell(UserTranscript(item=ItemId("u1"), text="Hi", final=True))
    talk.tell(SpeechStopped())
    assert talk.types[-3:] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]  # and no transcript: nobody asked for one
    talk.tell(SpeechStarted(), UserTranscript(text="Hello", final=True))
    assert "input_audio_buffer.speech_stopped" in talk.types


# --- the conversation -------------------------------------------------------------------------

JPEG = "data:image/jpeg;base64,/9g="


def test_items_are_told_to_the_session_and_keep_the_clients_ids() -> None:
    talk = Talk()
    seen = {"type": "input_image", "image_url": JPEG, "detail": "low"}
    frames = talk.hear("conversation.item.create", item=item(typed("Look"), seen, id="mine"))
    assert frames == [Text("Look", "user", "context"), Video(b"\xff\xd8")]
    assert talk.last["item"]["id"] == "mine"
    heard = {"type": "input_audio", "audio": "AAAA"}
    frames = talk.hear("conversation.item.create", item=item(heard), previous_item_id="root")
    assert frames == [Audio(bytes(2)), CommitAudio()]
    assert talk.last["previous_item_id"] is None
    assert talk.hear("conversation.item.create", item=item(typed("x"), id="mine")) == []
    assert talk.error["param"] == "item.id"
    talk.hear("conversation.item.delete", item_id="mine")
    assert talk.last["type"] == "conversation.item.deleted"
    talk.hear("conversation.item.create", item=item(typed("x", "output_text"), role="assistant"))
    assert talk.last["item"]["role"] == "assistant"


def test_items_are_put_where_the_client_wants_them() -> None:
    talk = Talk()
    for id, after in (("a", None), ("c", "a"), ("b", "a"), ("first", "root")):
        more = {} if after is None else {"previous_item_id": after}
        talk.hear("conversation.item.create", item=item(typed("x"), id=id), **more)
        assert talk.last["previous_item_id"] == (None if after == "root" else after)
    assert list(talk.book.items) == ["first", "a", "b", "c"]
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    talk.hear("conversation.item.create", item=call)
    made = talk.last["item"]["call_id"]
    assert talk.hear("conversation.item.create", item=output(made)) == []
    assert talk.last["type"] == "conversation.item.done"


def test_what_comes_before_the_session_is_its_history() -> None:
    talk = Talk()
    talk.book = msgspec.structs.replace(talk.book, begun=False)
    call = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "k"}
    result = {"type": "function_call_output", "call_id": "k", "output": "rain"}
    seen = {"type": "input_image", "image_url": JPEG}
    for one in (
        item(typed("Be kind."), role="system"),
        item(typed("Hi"), seen),
        call,
        result,
        item({"type": "output_audio", "transcript": "Hello"}, role="assistant"),
        item(typed("And now?")),
    ):
        assert talk.hear("conversation.item.create", item=one) == []
    assert history_of(talk.book) == (
        (
            Message("system", "Be kind."),
            Message("user", "Hi"),
            Message("tool_call", "{}", call=CallId("k"), name="f"),
            Message("tool_result", "rain", call=CallId("k")),
            Message("assistant", "Hello"),
        ),
        (Video(b"\xff\xd8"), Text("And now?", "user", "context")),
    )


# --- answers ----------------------------------------------------------------------------------


def test_an_answer_is_told_in_the_protocols_order() -> None:
    talk = Talk()
    talk.say()
    frames = talk.hear("response.create", event_id="e", response={"metadata": {"a": "b"}})
    assert frames == [CreateResponse(request=RequestId("e"), metadata={"a": "b"})]
    talk.tell(started(request="e"), words("Hel"), sound(), words("lo"), sound())
    talk.tell(AudioOutputDone(response=R, item=ITEM), words("Hello", final=True))
    talk.tell(done(usage=Usage(input_tokens=9, output_tokens=5, output_audio_tokens=3)))
    assert talk.types[-15:] == [
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    response = talk.last["response"]
    assert response["metadata"] == {"a": "b"}
    assert response["usage"]["output_token_details"] == {"text_tokens": 2, "audio_tokens": 3}
    assert response["output"][0]["content"] == [{"type": "output_audio", "transcript": "Hello"}]


def test_one_answer_at_a_time_but_for_those_beside() -> None:
    talk = Talk()
    assert talk.hear("response.create")
    talk.hear("response.create")
    assert talk.error["code"] == "conversation_already_has_active_response"
    talk.tell(started(request=talk.asks[-1].frame.request))  # type: ignore[union-attr]
    talk.hear("response.create")
    assert "r1" in talk.error["message"]
    talk.say("Context")
    reads = [{"type": "item_reference", "id": next(iter(talk.book.items))}, item(typed("x"))]
    wish = {"conversation": "none", "input": reads, "output_modalities": ["text"]}
    (frame,) = talk.hear("response.create", response=wish)
    assert isinstance(frame, CreateResponse)
    assert frame.input == (Message("user", "Context"), Message("user", "x"))
    assert (frame.conversation, frame.modalities) == ("none", ("text",))
    talk.tell(started(R2, frame.request))
    piece = ResponseText(response=R2, item=I2, text="Done", is_complete=False)
    talk.tell(piece, done(id=R2))
    assert talk.last["response"]["conversation_id"] is None
    assert I2 not in talk.book.items
    talk.tell(done())
    assert talk.hear("response.create")


def test_what_ends_late_or_again_breaks_no_grammar() -> None:
    talk = Talk()
    talk.tell(words("Nobody"), sound(), done())
    assert talk.types == ["session.created"]
    talk.tell(started(), started(), AudioOutputDone(response=R, item=ITEM), sound(b""), words(""))
    talk.tell(words("Hi", final=True), words("Hi", final=True), sound())
    talk.tell(AudioOutputDone(response=R, item=ITEM), sound(), words("more"))
    talk.tell(ResponseText(response=R, item=ITEM, text="", is_complete=True))
    call = ToolCall(response=R, item=ITEM, call=C, name="f", arguments="")
    talk.tell(call, call, done(), done(), sound(), words("x", final=True))
    parts = talk.grammar.of("response.output_item.done")[-1]["item"]["content"]
    assert [part["type"] for part in parts] == ["output_audio", "output_audio", "output_text"]
    assert talk.types.count("response.function_call_arguments.done") == 1
    assert talk.types[-1] == "response.done"


def test_a_final_that_takes_words_back_ends_with_what_was_said() -> None:
    talk = Talk()
    talk.tell(started(), words("Hello"), words("Good bye", final=True), done())
    (whole,) = talk.grammar.of("response.output_audio_transcript.done")
    assert whole["transcript"] == "Hello"


@pytest.mark.parametrize(
    ("end", "status", "why"),
    [
        (done("incomplete", error=IncompleteTurn(what="x")), "incomplete", "max_output_tokens"),
        (done("incomplete", error=ContentFiltered(what="x")), "incomplete", "content_filter"),
        (done("cancelled"), "cancelled", "client_cancelled"),
        (done("failed", error=Unavailable(what="x")), "failed", "internal_error"),
        (done("lost"), "failed", "internal_error"),
        (done("closed", error=RateLimited(what="x")), "failed", "rate_limit_exceeded"),
    ],
)
def test_every_end_has_a_status_of_the_protocol(end: ResponseDone, status: str, why: str) -> None:
    talk = Talk()
    talk.tell(started(), words("Hel"), sound(), end)
    response = talk.last["response"]
    details = response["status_details"]
    assert response["status"] == status
    assert why in {details.get("reason"), details.get("error", {}).get("code")}
    assert response["output"][0]["status"] == "incomplete"


def test_errors_and_limits_are_told() -> None:
    talk = Talk()
    talk.hear("response.create", event_id="e")
    talk.tell(
        Error(error=Unsupported(what="No.", field="f"), recoverable=True, request=RequestId("e"))
    )
    assert (talk.error["event_id"], talk.error["param"]) == ("e", "f")
    assert talk.hear("response.create")  # the refused one is no longer waited for
    codes: dict[RealtimeError, str] = {
        AuthFailed(what="x"): "invalid_api_key",
        SessionExpired(what="x"): "session_expired",
        Unavailable(what="x"): "internal_error",
    }
    for error, code in codes.items():
        talk.tell(Error(error=error, recoverable=True))
        assert talk.error["code"] == code
    limits = (RateLimit("requests", 9, 8, 0.5), RateLimit("coffee", 1, 1, 1))
    talk.tell(RateLimits(limits=limits), Warning(field="voice", why="x"))
    assert talk.last["rate_limits"] == [
        {"name": "requests", "limit": 9, "remaining": 8, "reset_seconds": 0.5}
    ]


def test_a_frame_that_the_session_refuses_is_an_error_of_its_event() -> None:
    talk = Talk()
    (frame,) = talk.hear("response.create", event_id="e")
    talk.refuse(frame, Unsupported(what="No."), "e")
    assert talk.error["event_id"] == "e"
    assert talk.book.active is None


# --- interruption -----------------------------------------------------------------------------


def test_the_user_cuts_in() -> None:
    talk = Talk()
    talk.tell(started(), words("Once upon"), sound())
    talk.tell(SpeechStarted(audio_ms=50), Interrupted(cause="provider", fenced=(R,)))
    talk.tell(words("Once upon a time", final=True), done("cancelled"))
    assert talk.types.count("input_audio_buffer.speech_started") == 1
    assert talk.last["response"]["status_details"]["reason"] == "turn_detected"
    (whole,) = talk.grammar.of("response.output_audio_transcript.done")
    assert whole["transcript"] == "Once upon"
    truncation = {"item_id": "i1", "content_index": 0, "audio_end_ms": 60}
    frames = talk.hear("conversation.item.truncate", **truncation)
    assert frames == [Heard(ITEM, 1_440)]  # the session has cut it by itself
    assert talk.last["type"] == "conversation.item.truncated"
    talk.hear("conversation.item.retrieve", item_id="i1")
    assert talk.last["item"]["content"] == [{"type": "output_audio", "transcript": None}]
    talk.hear("conversation.item.truncate", **{**truncation, "audio_end_ms": 61})
    assert talk.error["message"] == "Audio content of 60ms is already shorter than 61ms"
    talk.hear("conversation.item.truncate", **{**truncation, "content_index": 1})
    assert talk.error["param"] == "content_index"


def test_a_notice_without_an_onset_is_one() -> None:
    talk = Talk()
    talk.tell(started(), sound(), Interrupted(cause="provider", fenced=(R,)), done("interrupted"))
    assert talk.types.count("input_audio_buffer.speech_started") == 1
    assert talk.last["response"]["status"] == "cancelled"


def test_an_onset_that_is_confirmed_later_is_told_once() -> None:
    talk = Talk()
    talk.tell(started(), sound(), SpeechStarted(), SpeechStopped())
    talk.tell(Interrupted(cause="provider", fenced=(R,), confirmed="words"))
    assert talk.types.count("input_audio_buffer.speech_started") == 1


def test_the_client_cuts_by_name() -> None:
    talk = Talk()
    talk.tell(started(), sound())
    assert talk.hear("response.cancel", response_id="r1") == [Interrupt()]
    assert talk.hear("response.cancel") == []  # once is enough
    talk.tell(done("cancelled"))
    assert talk.last["response"]["status_details"]["reason"] == "client_cancelled"


def test_a_truncation_alone_cuts_what_is_still_to_be_heard() -> None:
    talk = Talk()
    talk.tell(started(), sound(), done())
    truncation = {"item_id": "i1", "content_index": 0, "audio_end_ms": 40}
    assert talk.hear("conversation.item.truncate", **truncation) == [Heard(ITEM, 960), Interrupt()]
    talk.tell(started(R2), sound(id=R2, item=I2), done(id=R2))
    whole = {**truncation, "item_id": "i2", "audio_end_ms": 100}
    assert talk.hear("conversation.item.truncate", **whole) == [Heard(I2, 2_400)]


def test_an_answer_that_is_cut_before_it_begins_is_given_as_cancelled() -> None:
    talk = Talk()
    talk.hear("response.create", event_id="e", response={"metadata": {"a": "b"}})
    assert talk.hear("response.cancel") == [Interrupt()]
    assert talk.types[-2:] == ["response.created", "response.done"]
    assert talk.last["response"]["metadata"] == {"a": "b"}
    assert talk.hear("response.create")


def test_what_was_asked_for_after_a_cut_is_not_cut_with_it() -> None:
    talk = Talk()
    talk.book = msgspec.structs.replace(talk.book, epoch=3)
    (create,) = talk.hear("response.create", event_id="e")
    talk.tell(Interrupted(cause="provider", seq=7, epoch=Epoch(3)))
    assert talk.book.active == ""
    talk.tell(Interrupted(cause="provider", seq=8, epoch=Epoch(4)))
    assert talk.book.active is None
    called(talk, "c1")
    talk.book = msgspec.structs.replace(talk.book, epoch=4)
    talk.hear("conversation.item.create", item=output())
    assert isinstance(create, CreateResponse)
    assert talk.hear("response.create") == [ToolResult(C, "rain")]
    (after_all,) = talk.tell(Interrupted(cause="app", seq=9, epoch=Epoch(4)))
    assert isinstance(after_all, CreateResponse)


# --- tools ------------------------------------------------------------------------------------


def output(call: str = "c1") -> Fields:
    return {"type": "function_call_output", "call_id": call, "output": "rain"}


def called(talk: Talk, *calls: str) -> None:
    talk.tell(started())
    for name in calls:
        talk.tell(ToolCall(response=R, call=CallId(name), name="f", arguments="{}"))
    talk.tell(done())


def test_results_wait_until_the_client_wants_an_answer_which_then_comes_by_itself() -> None:
    talk = Talk()
    called(talk, "c1", "c2")
    assert talk.hear("conversation.item.create", item=output("c1")) == []
    assert talk.hear("conversation.item.create", item=output("c1")) == []
    assert talk.error["param"] == "item.call_id"
    assert talk.hear("conversation.item.create", item=output("c2")) == []
    wish = {"metadata": {"a": "b"}}
    results = [ToolResult(C, "rain"), ToolResult(CallId("c2"), "rain")]
    assert talk.hear("response.create", response=wish) == results
    talk.hear("response.create")
    assert talk.error["code"] == "conversation_already_has_active_response"
    talk.tell(started(R2, "request-7"))
    assert talk.last["response"]["metadata"] == {"a": "b"}


def test_an_answer_on_results_can_be_cut_before_it_begins() -> None:
    talk = Talk()
    called(talk, "c1")
    talk.hear("conversation.item.create", item=output())
    talk.hear("response.create", response={"metadata": {"a": "b"}})
    assert talk.hear("response.cancel") == [Interrupt()]
    assert talk.last["response"]["metadata"] == {"a": "b"}
    assert talk.book.active is None


def test_an_answer_is_asked_for_where_the_session_would_not_go_on() -> None:
    talk = Talk()
    called(talk, "c1", "c2")
    talk.hear("conversation.item.create", item=output("c1"))
    result, create = talk.hear("response.create")
    assert result == ToolResult(C, "rain")
    assert isinstance(create, CreateResponse)  # the other call is without a result
    talk.tell(started(R2, create.request), done(id=R2), Interrupted(cause="app"))
    talk.hear("conversation.item.create", item=output("c2"))
    result, create = talk.hear("response.create")
    assert isinstance(create, CreateResponse)  # what was before an interruption does not go on


def test_a_void_call_takes_a_result_that_goes_nowhere() -> None:
    talk = Talk()
    called(talk, "c1", "c2", "c3")
    talk.hear("conversation.item.create", item=output("c2"))
    talk.tell(ToolCallCancelled(calls=(C, CallId("c2"), CallId("c9"))))
    assert talk.hear("conversation.item.create", item=output("c1")) == []
    (create,) = talk.hear("response.create")
    assert isinstance(create, CreateResponse)
    talk.tell(started(R2, create.request), done(id=R2))
    talk.hear("conversation.item.create", item=output("c3"))
    *_, asked = talk.hear("response.create")
    assert isinstance(asked, CreateResponse)


def test_results_are_handed_over_when_the_user_speaks() -> None:
    talk = Talk()
    called(talk, "c1")
    talk.hear("conversation.item.create", item=output())
    assert talk.tell(SpeechStarted()) == [ToolResult(C, "rain")]
    (create,) = talk.hear("response.create")
    assert isinstance(create, CreateResponse)


def test_a_result_that_the_session_does_not_take_does_not_go_on() -> None:
    talk = Talk()
    called(talk, "c1")
    talk.hear("conversation.item.create", item=output())
    (result,) = talk.hear("response.create")
    void = Unsupported(what="Late.", code="call_void")
    before = len(talk.types)
    talk.refuse(result, void)
    assert len(talk.types) == before
    assert isinstance(talk.asks[-1].frame, CreateResponse)


# --- our client -------------------------------------------------------------------------------

PLAN = negotiate(GA.capabilities, SessionConfig()).unwrap()
_PUSHES: st.SearchStrategy[Frame] = st.sampled_from(
    (Text("Hello"), Text("So", turn="context"), Interrupt(), Audio(bytes(48)), CommitAudio())
)
_DRAFT = st.tuples(provider_scripts(lawful=True, max_size=12), st.lists(_PUSHES, min_size=12))


class Call:
    """Our client codec in a session, and the mirror at the other end of its wire."""

    def __init__(self) -> None:
        self.fold = Fold(OpenAICodec(GA), PLAN)
        self.book = begin("x")
        self.grammar = Grammar()
        self._read = 0
        self.send(greet(self.book))
        self.fold.link()
        self.turn()

    def send(self, told: Any) -> None:
        self.book = told.book
        self.grammar.take(told.wires)
        if told.wires and self.fold.stands is not None:
            self.fold.receive(*told.wires)
        for ask in told.asks:
            if ask.given is not None:
                self.send(accepted(self.book, ask.given))

    def turn(self) -> None:
        """Let the server read what the client has sent."""
        while self._read < len(self.fold.sent):
            wire = self.fold.sent[self._read]
            self._read += 1
            assert isinstance(wire, str | bytes)
            self.send(hear(self.book, wire))


@given(_DRAFT)
def test_our_client_understands_whatever_the_mirror_says(draft: Any) -> None:
    call = Call()
    for burst, push in zip(*draft, strict=False):
        for event in burst:
            call.send(tell(call.book, event))
            call.turn()
        call.fold.take(3)
        call.fold.push(push)
        call.turn()
    call.fold.close()
    assert check_trace(call.fold.events, complete=True) == []
    known = {event.response for event in call.fold.events if isinstance(event, ResponseStarted)}
    spoken = {event["response"]["id"] for event in call.grammar.of("response.created")}
    assert known <= spoken
