"""The mirror: what clients may say and what it asks, and what a session's events are told as."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    AgentTranscript,
    AudioFormat,
    AudioOutput,
    CallId,
    CreateResponse,
    Epoch,
    Error,
    Interrupted,
    ItemId,
    Message,
    RealtimeEvent,
    RequestId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    SessionConfig,
    SessionEnding,
    Spaced,
    SpeechStarted,
    SpeechStopped,
    Text,
    ToolCall,
    ToolCallCancelled,
    ToolResult,
    ToolSpec,
    Unavailable,
    Usage,
    UserTranscript,
)
from realtime_core.errors import ContentFiltered, IncompleteTurn
from realtime_core.events import ResponseThought
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    CommitAudio,
    Interrupt,
    UpdateSession,
    Video,
)
from realtime_core.testing.strategies import provider_scripts
from realtime_gemini.encoding import encode
from realtime_gemini.server import (
    Address,
    Book,
    Complaint,
    Lock,
    Muted,
    Recall,
    Told,
    cut_short,
    ended,
    hear,
    tell,
    welcome,
)
from realtime_gemini.server.settings import config_of, unfit

Fields = dict[str, Any]

MODEL = "models/gemini-3.8-live"
LOW = AudioFormat(rate=16_000)
R, R2 = ResponseId("r1"), ResponseId("r2")
ITEM = ItemId("i1")
CALL = CallId("c1")


def heard(book: Book, *messages: Fields) -> Told:
    """Say messages; gives what the last one led to, and what all of them asked."""
    told, asks = Told(book), list[Any]()
    for message in messages:
        _, told = hear(told.book, msgspec.json.encode(message))
        asks += told.asks
    return told._replace(asks=tuple(asks))


def book(judged: bool = False, address: Address | None = None, **setup: Any) -> Book:
    """Give the book of a client whose setup is complete."""
    begun = Book(address or Address(), judged=judged)
    told = heard(begun, {"setup": {"model": MODEL, **setup}})
    assert told.fault is None
    return welcome(told.book, "s").book


def told(book: Book, *events: RealtimeEvent) -> tuple[Book, list[Fields]]:
    """Tell of events; gives what is said, as JSON."""
    said = list[Fields]()
    for event in events:
        step = tell(book, event)
        assert step.fault is None
        book = step.book
        said += [msgspec.json.decode(encode(message)) for message in step.messages]
    return book, said


def realtime(**given: Any) -> Fields:
    return {"realtimeInput": given}


def sound(pcm: bytes, mime: str = "audio/pcm;rate=16000") -> Fields:
    return realtime(audio={"data": b64encode(pcm).decode(), "mimeType": mime})


def turns(*said: tuple[str, str], complete: bool | None = None) -> Fields:
    contents = [{"role": role, "parts": [{"text": text}]} for role, text in said]
    return {"clientContent": {"turns": contents, "turnComplete": complete}}


def result(id: str | None = "c1", **given: Any) -> Fields:
    one = {"id": id, "name": "look", "response": {"output": "42"}, **given}
    return {"toolResponse": {"functionResponses": [one]}}


def declared(*names: str, behavior: str = "BLOCKING") -> list[Fields]:
    return [{"functionDeclarations": [{"name": name, "behavior": behavior} for name in names]}]


CALLED = (
    ResponseStarted(response=R),
    ToolCall(response=R, call=CALL, name="look", arguments='{"a": 1}'),
)


# --- setup ------------------------------------------------------------------------------------


def test_the_setup_comes_first_and_once() -> None:
    assert heard(Book(), sound(b"..")).fault == Complaint(1007, "setup must be the first message.")
    early = heard(Book(), {"setup": {"model": MODEL}}, sound(b".."))
    assert early.fault is not None
    assert early.fault.code == 1008
    again = heard(book(), {"setup": {"model": MODEL}})
    assert again.fault is not None
    assert "only the first" in again.fault.reason


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"{", 1007),
        (b"[]", 1007),
        (b"{}", 1007),
        (b'{"setup":{"model":"m"},"clientContent":{}}', 1007),
        (b'{"setup":{"model":"m"},"surprise":1}', 1007),
        (b'{"setup":{"model":"m","surprise":1}}', 1007),
        (b'{"setup":{}}', 1007),
        (b'{"setup":{"model":""}}', 1007),
        (b'{"setup":{"model":"m","generationConfig":{"responseModalities":["AUDIO","A"]}}}', 1007),
        (b'{"setup":{"model":"m","generationConfig":{"responseModalities":["IMAGE"]}}}', 1007),
        (b'{"setup":{"model":"m","generationConfig":{"speechConfig":"Puck"}}}', 1007),
        (b'{"setup":{"model":"m","generationConfig":{"surprise":1}}}', 1007),
        (b'{"setup":{"model":"m","tools":[{"functionDeclarations":[{"name":""}]}]}}', 1007),
        (b'{"setup":{"model":"m","tools":[{"functionDeclarations":[{"name":1}]}]}}', 1007),
        (
            b'{"setup":{"model":"m","tools":[{"functionDeclarations":[{"name":"a"},{"name":"a"}]}]}}',
            1007,
        ),
        (b"[" * 100_000, 1007),
        ("\ud800", 1007),
    ],
)
def test_what_is_no_setup_is_refused(message: str | bytes, code: int) -> None:
    _, step = hear(Book(), message)
    assert step.fault is not None
    assert step.fault.code == code
    assert step.asks == ()


@pytest.mark.parametrize(
    ("setup", "service"),
    [
        ({"model": "gemini-3.8-live"}, "developer"),
        ({"model": "models/gemini-3.8-live"}, "vertex"),
        ({"generationConfig": {"responseModalities": ["TEXT"]}}, "developer"),
        ({"model": "models/gemini-3.8-live-extended-thinking"}, "developer"),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}, "developer"),
        ({"generationConfig": {"enableAffectiveDialog": True}}, "developer"),
        ({"explicitVadSignal": True}, "developer"),
        ({"sessionResumption": {"transparent": True}}, "developer"),
        ({"model": "projects/p/x", "labels": {"a": "b"}}, "vertex"),
        (
            {
                "model": "models/gemini-3.8-live-extended-thinking",
                "generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}},
                "tools": declared("look"),
            },
            "developer",
        ),
        *(
            (
                {"tools": [{"functionDeclarations": [{"name": "a", "parameters": schema}]}]},
                "developer",
            )
            for schema in (
                {"$schema": "x"},
                {"type": "OBJECT", "additionalProperties": False},
                {"type": "OBJECT", "properties": {"const": {"const": 1}}},
                {"type": "ARRAY", "items": {"$ref": "#/$defs/a"}},
                {"anyOf": [{"type": "STRING"}, {"allOf": []}]},
            )
        ),
    ],
)
def test_the_vendors_models_are_judged(setup: Fields, service: Any) -> None:
    begun = Book(Address(service), judged=True)
    message = {"setup": {"model": MODEL, **setup}}
    assert heard(begun, message).fault is not None
    assert heard(replace(begun, judged=False), message).fault is None


def test_a_setup_with_everything_passes() -> None:
    city = {"type": "STRING", "nullable": True, "enum": ["Rome"]}
    schema = {"type": "OBJECT", "properties": {"type": city}, "required": ["type"]}
    function = {"name": "look", "parameters": schema, "behavior": "NON_BLOCKING"}
    full = book(
        judged=True,
        generationConfig={
            "responseModalities": ["AUDIO"],
            "temperature": 0.7,
            "topK": 40.0,
            "maxOutputTokens": "100",
            "speechConfig": {
                "voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}},
                "language_code": "de-DE",
            },
            "thinkingConfig": {"include_thoughts": True},
        },
        systemInstruction={"parts": [{"text": "Be brief."}]},
        tools=[{"functionDeclarations": [function]}],
        realtimeInputConfig={
            "automaticActivityDetection": {"silenceDurationMs": 500, "disabled": None},
            "activityHandling": "NO_INTERRUPTION",
        },
        inputAudioTranscription={},
        sessionResumption={},
    )
    assert full.setup is not None
    config = config_of(full.setup, full.wish, SessionConfig(history=(Message("user", "Hi"),)))
    assert (config.voice, config.language, config.instructions) == ("Kore", "de-DE", "Be brief.")
    assert (config.temperature, config.max_output_tokens) == (0.7, 100)
    assert config.turn_detection.silence_ms == 500
    assert config.turn_detection.authority == "application"
    assert config.history == (Message("user", "Hi"),)
    inner = {"anyOf": [{"type": "string", "enum": ["Rome"]}, {"type": "null"}]}
    wanted = {"type": "object", "properties": {"type": inner}, "required": ["type"]}
    assert config.tools == (ToolSpec("look", "", wanted, "finish"),)
    assert full.wish.thoughts
    assert unfit(full.setup) is None


def test_tools_of_the_vendor_are_not_offered_here() -> None:
    setup = book(tools=[{"googleSearch": {}}]).setup
    assert setup is not None
    why = unfit(setup)
    assert why is not None
    assert "googleSearch" in why.reason


def test_a_token_fixes_what_it_names() -> None:
    fixed = {
        "model": "models/gemini-2.5",
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "generationConfig": {"temperature": 0.1},
    }
    asked = {
        "setup": {
            "model": MODEL,
            "systemInstruction": {"parts": [{"text": "Be rude."}]},
            "generationConfig": {"temperature": 1.0, "topP": 0.5},
            "tools": declared("look"),
            "sessionResumption": {"handle": "h"},
        }
    }
    whole = heard(Book(lock=Lock(fixed)), asked).book.setup
    assert whole is not None
    assert (whole.model, whole.tools) == ("models/gemini-2.5", None)
    assert whole.generation_config == {"temperature": 0.1}
    assert whole.session_resumption == {"handle": "h"}
    mask = ("systemInstruction", "generationConfig.temperature", "generationConfig.seed", "tools")
    some = heard(Book(lock=Lock(fixed, mask)), asked).book.setup
    assert some is not None
    assert some.model == MODEL
    assert some.generation_config == {"temperature": 0.1, "topP": 0.5}
    assert some.tools is None
    assert some.system_instruction is not None
    assert (some.system_instruction.parts or ())[0].text == "Be kind."
    free = heard(Book(lock=Lock({})), asked).book.setup
    assert free == heard(Book(), asked).book.setup
    broken = heard(Book(lock=Lock({"tools": 1})), asked)
    assert broken.fault is not None


# --- what streams in --------------------------------------------------------------------------


def test_sound_comes_in_whole_samples_at_its_own_rate() -> None:
    step = heard(
        book(), sound(b"abc"), sound(b"d", "audio/pcm"), sound(b"ef", "AUDIO/PCM;rate=24000")
    )
    assert step.asks == (Audio(b"ab", LOW), Audio(b"cd", LOW), Audio(b"ef"))


def test_pictures_words_and_old_forms_are_taken() -> None:
    data = urlsafe_b64encode(b"\xff\xd8\xff").decode().rstrip("=")
    picture = {"data": data, "mime_type": "image/jpeg"}
    chunks = [{"data": "AAAA", "mimeType": "audio/pcm;rate=16000"}, picture]
    step = heard(
        book(),
        {"realtime_input": {"video": picture}},
        realtime(text="Hi"),
        realtime(mediaChunks=chunks),
        realtime(audioStreamEnd=True),
    )
    seen = Video(b"\xff\xd8\xff", "image/jpeg")
    assert step.asks == (seen, Text("Hi"), Audio(bytes(2), LOW), seen, Muted())
    assert step.book.begun == 1


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"text": "Hi", "audioStreamEnd": True},
        {"audio": {"data": "AAAA", "mimeType": "audio/opus"}},
        {"audio": {"data": "AAAA"}},
        {"audio": {"data": "/9j/", "mimeType": "image/jpeg"}},
        {"video": {"data": "AAAA", "mimeType": "audio/pcm"}},
        {"video": {"data": "AAAA", "mimeType": "video/mp4"}},
        {"video": {"mimeType": "image/jpeg"}},
        {"activityStart": {}},
        {"activityEnd": {}},
        {"surprise": 1},
    ],
)
def test_what_may_not_stream_in_is_refused(given: Fields) -> None:
    step = heard(book(), realtime(**given))
    assert step.fault is not None
    assert step.fault.code == 1007


def test_a_marked_turn_is_what_is_heard() -> None:
    marked = book(realtimeInputConfig={"automaticActivityDetection": {"disabled": True}})
    step = heard(
        marked,
        sound(b"no"),
        realtime(activityEnd={}),
        realtime(activityStart={}),
        sound(b"yes!"),
        realtime(activityEnd={}),
        sound(b"no"),
    )
    assert step.asks == (ActivityStart(), Audio(b"yes!", LOW), ActivityEnd())
    assert heard(marked, realtime(audioStreamEnd=True)).fault is not None
    speaking, _ = told(marked, ResponseStarted(response=R))
    assert heard(speaking, realtime(activityStart={})).asks == (Interrupt(), ActivityStart())
    patient = {"disabled": True}
    config = {"automaticActivityDetection": patient, "activityHandling": "NO_INTERRUPTION"}
    quiet, _ = told(book(realtimeInputConfig=config), ResponseStarted(response=R))
    assert heard(quiet, realtime(activityStart={})).asks == (ActivityStart(),)


# --- contents ---------------------------------------------------------------------------------


def test_turns_of_the_user_are_told_in_order_and_answered_if_that_is_wanted() -> None:
    step = heard(book(), turns(("user", "a"), ("system", "b")), turns(("user", "c"), complete=True))
    assert step.asks == (
        Text("a", "user", "context"),
        Text("b", "system", "context"),
        Text("c", "user", "context"),
        CreateResponse(),
    )
    assert step.book.begun == 1
    assert heard(book(), turns(complete=True)).asks == (CreateResponse(),)
    speaking, _ = told(book(), ResponseStarted(response=R))
    asks = heard(speaking, turns(("user", "c"), complete=True)).asks
    assert asks == (Interrupt(), Text("c", "user", "context"), CreateResponse())
    assert heard(speaking, realtime(text="Hi")).asks == (Text("Hi", turn="interrupt"),)


def test_turns_of_the_model_are_a_history() -> None:
    said = turns(("user", "a"), ("model", "b"), ("user", "c"), complete=True)
    assert heard(book(), said).asks == (
        Recall((Message("user", "a"), Message("assistant", "b"))),
        Text("c", "user", "context"),
        CreateResponse(),
    )
    call = {"functionCall": {"name": "look", "args": {"my_city": "Rome"}, "id": "c1"}}
    answer = {"function_response": {"name": "look", "response": {"error": "no"}, "id": "c1"}}
    parts = [
        {"role": "model", "parts": [{"text": "hm", "thought": True}, call]},
        {"role": "user", "parts": [answer]},
        {"role": "model", "parts": [{"text": "No."}]},
    ]
    (recalled,) = heard(book(), {"client_content": {"turns": parts}}).asks
    assert isinstance(recalled, Recall)
    assert recalled.messages == (
        Message("tool_call", '{"my_city":"Rome"}', call=CALL, name="look"),
        Message("tool_result", "no", call=CALL, name="look"),
        Message("assistant", "No."),
    )


def test_a_turn_may_hold_sound_and_pictures() -> None:
    speech = {"inlineData": {"mimeType": "audio/pcm;rate=16000", "data": "AAAA"}}
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    said = {"clientContent": {"turns": [{"parts": [speech, picture]}]}}
    assert heard(book(), said).asks == (
        Audio(bytes(2), LOW),
        CommitAudio(),
        Video(bytes(3), "image/png"),
    )


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"role": "assistant", "parts": [{"text": "a"}]}, 1007),
        ({"role": "user", "parts": []}, 1007),
        ({"role": "user", "parts": [{"inlineData": {"mimeType": "x/y", "data": "AAAA"}}]}, 1007),
        (
            {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}}]},
            1008,
        ),
    ],
)
def test_a_turn_that_cannot_be_is_refused(content: Fields, code: int) -> None:
    step = heard(book(), {"clientContent": {"turns": [content]}})
    assert step.fault is not None
    assert step.fault.code == code
    assert heard(book(), {"clientContent": {}}).fault is not None


# --- tools and settings -----------------------------------------------------------------------


def test_a_call_takes_one_result() -> None:
    called, said = told(book(tools=declared("look")), *CALLED)
    assert said[0]["toolCall"]["functionCalls"] == [{"name": "look", "args": {"a": 1}, "id": "c1"}]
    step = heard(called, result())
    assert step.asks == (ToolResult(CALL, "42"),)
    again = heard(step.book, result())
    assert again.fault is not None
    assert again.fault.code == 1008
    assert heard(called, result(response={"error": "no"})).asks == (ToolResult(CALL, "no", True),)
    asked = heard(called, result(response={"a": 1, "b": [2]})).asks
    assert asked == (ToolResult(CALL, '{"a":1,"b":[2]}'),)
    assert heard(called, result(response={"result": [2]})).asks == (ToolResult(CALL, "[2]"),)


def test_a_result_may_come_in_parts() -> None:
    called, _ = told(book(), *CALLED)
    first = heard(called, result(willContinue=True, scheduling="SILENT"))
    assert (first.asks, first.fault) == ((), None)
    last = heard(first.book, result(response={"output": "43"}))
    assert last.asks == (ToolResult(CALL, "42\n43"),)


@pytest.mark.parametrize(
    "message",
    [
        result(None),
        result("c2"),
        result(response=None),
        result(scheduling="LATER"),
        {"toolResponse": {"functionResponses": []}},
    ],
)
def test_a_result_that_is_none_is_refused(message: Fields) -> None:
    called, _ = told(book(), *CALLED)
    assert heard(called, message).fault is not None


def test_one_service_needs_no_ids_and_one_model_no_scheduling() -> None:
    vertex = book(address=Address("vertex"))
    called, _ = told(vertex, *CALLED)
    assert heard(called, result(None)).asks == (ToolResult(CALL, "42"),)
    slow = book(
        judged=True,
        model="models/gemini-3.8-live-extended-thinking",
        generationConfig={"thinkingConfig": {"thinkingLevel": "LOW"}},
    )
    called, _ = told(slow, *CALLED)
    assert heard(called, result(scheduling="SILENT")).fault is not None
    assert heard(called, result()).fault is None


def test_results_of_void_calls_are_passed_over() -> None:
    void, said = told(book(), *CALLED, ToolCallCancelled(calls=(CALL,)))
    assert said[-1] == {"toolCallCancellation": {"ids": ["c1"]}}
    step = heard(void, result())
    assert (step.asks, step.fault) == ((), None)


def test_instructions_and_tools_may_change() -> None:
    other = {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "tools": {"tools": declared("a")},
    }
    step = heard(book(), {"contextUpdate": other})
    (ask,) = step.asks
    assert isinstance(ask, UpdateSession)
    assert (ask.config.instructions, ask.config.tools[0].name) == ("Be kind.", "a")
    assert step.book.wish.functions[0].name == "a"
    older = book(judged=True, model="models/gemini-3.1-flash-live-preview")
    refused = heard(older, {"contextUpdate": other})
    assert refused.fault is not None
    assert refused.fault.code == 1008
    broken = {"tools": {"tools": declared("")}}
    assert heard(book(), {"contextUpdate": broken}).fault is not None


# --- what a session's events are told as ------------------------------------------------------


def part(said: Fields) -> Any:
    return said["serverContent"]["modelTurn"]["parts"][0]


def test_a_turn_ends_when_its_sound_is_over() -> None:
    begun = book(outputAudioTranscription={})
    pcm = bytes(48_000)
    now, said = told(
        begun,
        ResponseStarted(response=R, at=5.0),
        AgentTranscript(response=R, item=ITEM, text="Hel", final=False),
        AudioOutput(response=R, item=ITEM, pcm=pcm, format=AudioFormat(), at=5.0),
        AudioOutput(response=R, item=ITEM, pcm=pcm, format=AudioFormat(), at=5.1),
        AgentTranscript(response=R, item=ITEM, text="Hello", final=True),
        ResponseDone(response=R, status="completed", usage=Usage(10, 5, 4, 5, 2)),
    )
    assert now.due == 7.0
    assert said[0] == {"serverContent": {"outputTranscription": {"text": "Hel"}}}
    assert part(said[1])["inlineData"]["mimeType"] == "audio/pcm;rate=24000"
    assert said[3] == {"serverContent": {"outputTranscription": {"text": "lo"}}}
    assert said[4] == {"serverContent": {"generationComplete": True}}
    over = ended(now)
    assert over.book.turn is None
    (last,) = [msgspec.json.decode(encode(message)) for message in over.messages]
    assert last["serverContent"] == {"turnComplete": True}
    usage = last["usageMetadata"]
    assert (usage["promptTokenCount"], usage["responseTokenCount"]) == (10, 5)
    assert usage["promptTokensDetails"] == [
        {"modality": "TEXT", "tokenCount": 6},
        {"modality": "AUDIO", "tokenCount": 4},
    ]
    assert usage["responseTokensDetails"] == [{"modality": "AUDIO", "tokenCount": 5}]
    assert usage["cachedContentTokenCount"] == 2


def test_words_are_told_where_they_are_asked_for() -> None:
    spoken = AgentTranscript(response=R, item=ITEM, text="Hello", final=True)
    user = UserTranscript(item=ItemId("u"), text="Hi", final=True)
    _, said = told(book(), user, ResponseStarted(response=R), spoken)
    assert said == []
    thought = ResponseThought(response=R, text="Hm.")
    _, said = told(book(), ResponseStarted(response=R), thought)
    assert said == []
    wish = {"thinkingConfig": {"includeThoughts": True}}
    _, said = told(book(generationConfig=wish), ResponseStarted(response=R), thought)
    assert part(said[0]) == {"text": "Hm.", "thought": True}
    typed = ResponseText(response=R, item=ITEM, text="Hello", is_complete=True)
    _, said = told(book(), ResponseStarted(response=R), typed)
    assert part(said[0]) == {"text": "Hello"}


def test_what_the_user_says_is_told_and_before_that_what_it_may_be() -> None:
    item = ItemId("u")
    _, said = told(
        book(inputAudioTranscription={}),
        SpeechStarted(audio_ms=1_200.0),
        UserTranscript(item=item, text="", final=False),
        UserTranscript(item=item, text="Hullo", final=False),
        SpeechStopped(),
        UserTranscript(item=item, text="Hello you", final=True),
    )
    assert said == [
        {"voiceActivity": {"type": "ACTIVITY_START", "audioOffset": "1.200s"}},
        {"serverContent": {"interimInputTranscription": {"text": "Hullo"}}},
        {"voiceActivity": {"type": "ACTIVITY_END"}},
        {"serverContent": {"inputTranscription": {"text": "Hello you", "finished": True}}},
    ]


def test_an_interruption_ends_a_turn_when_its_answer_has_ended() -> None:
    cut = Interrupted(cause="provider", fenced=(R,), epoch=Epoch(1))
    piece = AudioOutput(response=R, item=ITEM, pcm=bytes(480), format=AudioFormat())
    now, said = told(book(), ResponseStarted(response=R), piece, cut, piece)
    assert [*said[1]["serverContent"]] == ["interrupted"]
    assert len(said) == 2
    now, said = told(now, ResponseDone(response=R, status="interrupted"))
    assert said == [{"serverContent": {"turnComplete": True}}]
    assert now.turn is None
    done = ResponseDone(response=R, status="completed")
    now, said = told(book(), ResponseStarted(response=R), piece, done, cut)
    kinds = [next(iter(one["serverContent"])) for one in said]
    assert kinds == ["modelTurn", "generationComplete", "interrupted", "turnComplete"]
    _, said = told(book(), cut)
    assert said == [{"serverContent": {"interrupted": True}}]
    _, said = told(book(), Interrupted(cause="app", epoch=Epoch(1)))
    assert said == []


def test_a_turn_goes_on_with_the_results_of_its_calls() -> None:
    done = ResponseDone(response=R, status="completed", usage=Usage(1, 2))
    now, said = told(book(tools=declared("look")), *CALLED, done)
    assert [*said[-1]] == ["toolCall"]
    now = heard(now, result()).book
    now, said = told(
        now,
        ResponseStarted(response=R2),
        ResponseText(response=R2, item=ITEM, text="42", is_complete=True),
        ResponseDone(response=R2, status="completed", usage=Usage(3, 4)),
    )
    assert said[-1] == {"serverContent": {"generationComplete": True}}
    (last,) = ended(now).messages
    assert last.usage_metadata is not None
    assert last.usage_metadata.total_token_count == 10


def test_a_result_may_come_before_its_answer_has_ended() -> None:
    done = ResponseDone(response=R, status="completed")
    asked, _ = told(book(tools=declared("look")), *CALLED)
    answered = heard(asked, result()).book
    now, said = told(answered, done)
    assert (said, now.due) == ([], None)
    text = ResponseText(response=R, item=ITEM, text="42", is_complete=True)
    now, said = told(answered, text, done)
    assert said[-1] == {"serverContent": {"generationComplete": True}}


def test_nothing_waits_for_calls_that_do_not_block() -> None:
    done = ResponseDone(response=R, status="completed")
    now, said = told(book(tools=declared("look", behavior="NON_BLOCKING")), *CALLED, done)
    assert said[-1] == {"serverContent": {"generationComplete": True}}
    assert now.due == 0.0


def test_a_turn_whose_calls_come_to_nothing_ends() -> None:
    done = ResponseDone(response=R, status="completed")
    waiting, _ = told(book(tools=declared("look")), *CALLED, done)
    now, said = told(waiting, ToolCallCancelled(calls=(CALL,)))
    assert said[-1] == {"serverContent": {"turnComplete": True}}
    refused = Error(error=Unavailable(what="no"), recoverable=True, request=RequestId("q"))
    now, said = told(heard(waiting, result()).book, refused)
    assert said == [{"serverContent": {"turnComplete": True}}]
    assert now.turn is None
    short = cut_short(waiting)
    assert short.messages[0].tool_call_cancellation is not None
    assert [one.server_content is not None for one in short.messages] == [False, True, True]
    assert cut_short(short.book).messages == ()


def test_a_turn_that_does_not_end_well_says_why() -> None:
    for error, reason in (
        (ContentFiltered(what="no"), "RESPONSE_REJECTED"),
        (IncompleteTurn(what="no"), "GENERATED_OTHER"),
    ):
        done = ResponseDone(response=R, status="failed", error=error)
        now, said = told(book(), ResponseStarted(response=R), done)
        assert said == [{"serverContent": {"turnComplete": True, "turnCompleteReason": reason}}]
        assert now.turn is None


def test_a_new_answer_ends_the_turn_before_it() -> None:
    done = ResponseDone(response=R, status="completed")
    now, said = told(book(), ResponseStarted(response=R), done, ResponseStarted(response=R2))
    assert said[-1] == {"serverContent": {"turnComplete": True}}
    assert now.turn is not None
    assert now.turn.running == R2
    late, said = told(
        now, AudioOutput(response=R, item=ITEM, pcm=b"..", format=AudioFormat()), done
    )
    assert (late, said) == (now, [])


def test_handles_are_given_while_nothing_is_called() -> None:
    begun = heard(Book(), {"setup": {"model": MODEL, "sessionResumption": {}}}).book
    first = welcome(replace(begun, handle="h"))
    assert [one.session_resumption_update is not None for one in first.messages] == [False, True]
    done = ResponseDone(response=R, status="completed")
    now, _ = told(first.book, ResponseStarted(response=R), done)
    update = ended(now).messages[-1].session_resumption_update
    assert update is not None
    assert (update.new_handle, update.resumable) == ("h.2", True)
    now, said = told(first.book, *CALLED, ResponseDone(response=R, status="failed"))
    assert "sessionResumptionUpdate" not in said[-1]


def test_an_end_is_told_where_nobody_takes_care_of_it() -> None:
    _, said = told(book(), SessionEnding(left=50.0))
    assert said == [{"goAway": {"timeLeft": "50s"}}]
    cared = replace(book(), base=SessionConfig(retry=Spaced(1.0)))
    assert told(cared, SessionEnding())[1] == []


# --- laws -------------------------------------------------------------------------------------


@given(provider_scripts())
def test_turns_keep_their_grammar_whatever_a_session_says(script: Any) -> None:
    now = book(outputAudioTranscription={}, inputAudioTranscription={}, sessionResumption={})
    open_turn = cut = False
    for event in (event for burst in script for event in burst):
        step = tell(now, event)
        now = step.book
        for message in step.messages:
            content = message.server_content
            if content is None:
                continue
            said = content.model_turn or content.output_transcription
            assert not (said and cut)
            open_turn = open_turn or bool(said)
            cut = (cut or bool(content.interrupted)) and open_turn
            if content.turn_complete:
                open_turn = cut = False


@given(st.binary() | st.text())
def test_whatever_comes_is_heard(wire: str | bytes) -> None:
    _, step = hear(book(), wire)
    assert step.fault is not None
    assert step.fault.code in {1007, 1008}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("AAAA"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "role", "parts", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.sampled_from(["clientContent", "realtimeInput", "toolResponse", "contextUpdate"]),
    st.dictionaries(
        st.sampled_from(
            ["turns", "turnComplete", "audio", "text", "activityEnd", "functionResponses", "tools"]
        ),
        JSON,
        max_size=2,
    ),
)
def test_whatever_a_message_holds_is_heard(kind: str, fields: Fields) -> None:
    _, step = hear(book(), msgspec.json.encode({kind: fields}))
    assert step.fault is None or step.fault.code in {1007, 1008}


@given(st.dictionaries(st.sampled_from(["generationConfig", "tools", "sessionResumption"]), JSON))
def test_whatever_a_setup_holds_is_heard(fields: Fields) -> None:
    _, step = hear(Book(judged=True), msgspec.json.encode({"setup": {"model": MODEL, **fields}}))
    assert step.fault is None or step.fault.code in {1007, 1008}
