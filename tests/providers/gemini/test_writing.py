"""What the session says to a server: the right message, at a moment at which it cuts nothing."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from realtime_core import Message, SessionConfig, ToolSpec, TurnDetection
from realtime_core.codec import CancelResponse, DeleteItem, Outgoing, Resume, TruncateItem
from realtime_core.config import Secret
from realtime_core.epoch import CallId, RequestId
from realtime_core.errors import InvalidRequest, Unsupported
from realtime_core.events import ResponseDone, ResponseStarted, Warning
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    ClearAudio,
    Close,
    CommitAudio,
    CreateResponse,
    Heard,
    Hold,
    Interrupt,
    Release,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from tests.providers.gemini.wires import (
    DONE,
    INTERRUPTED,
    NATIVE,
    SOUND,
    THIRD,
    C,
    I,
    Q,
    R,
    Talk,
    content,
    spoken,
    tool_call,
)

ASK = CreateResponse(request=Q)
MANUAL = TurnDetection(mode="manual")
CUT = TruncateItem(I, 100, 24_000, "Hello")
HEARD = '[The user stopped you. Of your last answer, only this was heard: "Hello"]'
IMAGE = {"inlineData": {"mimeType": "image/jpeg", "data": "/9g="}}
UNHEARD = "[The user stopped you before any of your last answer was heard.]"


def turn(*parts: Any, role: str = "user") -> dict[str, Any]:
    told = [one if isinstance(one, dict) else {"text": one} for one in parts]
    return {"parts": told, "role": role}


def ordered(*turns: dict[str, Any], complete: bool) -> dict[str, Any]:
    told = {"turns": list(turns)} if turns else {}
    return {"clientContent": {**told, "turnComplete": complete}}


def stream(**given: Any) -> dict[str, Any]:
    return {"realtimeInput": given}


class TestStreams:
    """Sound and pictures go at once."""

    def test_sound(self) -> None:
        pcm = bytes(range(256))
        (sent,) = Talk().open().push(Audio(pcm))
        audio = {"mimeType": "audio/pcm;rate=16000", "data": base64.b64encode(pcm).decode()}
        assert sent == stream(audio=audio)

    def test_pictures(self) -> None:
        (sent,) = Talk().open().push(Video(b"\xff\xd8", "image/png"))
        assert sent == stream(video={"mimeType": "image/png", "data": "/9g="})

    def test_a_pause_of_the_microphone(self) -> None:
        assert Talk().open().push(CommitAudio()) == [stream(audioStreamEnd=True)]

    def test_turns_by_hand(self) -> None:
        talk = Talk(turn_detection=MANUAL).open()
        assert talk.push(ActivityStart(), ActivityEnd(), ASK) == [
            stream(activityStart={}),
            stream(activityEnd={}),
        ]
        (started, *_) = talk.hear(SOUND)
        assert started == ResponseStarted(response=R, request=Q)

    def test_who_speaks_again_takes_the_place_of_what_was_asked(self) -> None:
        talk = Talk(turn_detection=MANUAL).open()
        talk.push(ActivityStart(), ActivityEnd(), ASK, ActivityStart())
        assert talk.events == [
            ResponseStarted(response=R, request=Q),
            ResponseDone(response=R, status="interrupted"),
        ]
        (started, *_) = talk.hear(SOUND)
        assert isinstance(started, ResponseStarted)
        assert started.request is None

    def test_who_speaks_over_an_answer_leaves_its_end_to_the_server(self) -> None:
        talk = Talk(turn_detection=MANUAL).open()
        talk.hear(SOUND)
        talk.events.clear()
        talk.push(ActivityStart())
        assert talk.events == []


class TestWords:
    """Typed words go with the request for an answer; others as soon as they cut nothing."""

    def test_a_typed_turn_is_one_message(self) -> None:
        assert Talk().open().push(Text("Hi"), ASK) == [ordered(turn("Hi"), complete=True)]

    def test_context_goes_at_once(self) -> None:
        talk = Talk().open()
        assert talk.push(Text("A bee.", turn="context")) == [
            ordered(turn("A bee."), complete=False)
        ]
        assert talk.push(ASK) == [ordered(complete=True)]

    def test_context_waits_for_the_end_of_an_answer(self) -> None:
        talk = Talk().open()
        talk.hear(SOUND)
        assert talk.push(Text("A bee.", turn="context"), Text("And?")) == []
        talk.hear(DONE)
        assert talk.sent == [ordered(turn("A bee."), turn("And?"), complete=False)]
        assert talk.push(ASK) == [ordered(complete=True)]

    def test_context_waits_for_an_answer_that_was_asked_for(self) -> None:
        talk = Talk().open()
        talk.push(Text("Hi"), ASK)
        assert talk.push(Text("A bee.", turn="context")) == []
        talk.hear(SOUND, DONE)
        assert talk.sent[1:] == [ordered(turn("A bee."), complete=False)]

    def test_instructions_of_one_answer(self) -> None:
        asked = CreateResponse("Greet me.", request=Q)
        assert Talk().open().push(asked) == [ordered(turn("Greet me."), complete=True)]

    def test_words_of_the_system(self) -> None:
        note = Text("It rains.", role="system", turn="context")
        assert Talk().open().push(note) == [ordered(turn("[It rains.]"), complete=False)]
        vertex = Talk("", "vertex").open()
        assert vertex.push(note) == [ordered(turn("It rains.", role="system"), complete=False)]

    def test_models_that_take_words_as_a_stream(self) -> None:
        talk = Talk(THIRD).open()
        assert talk.push(Text("A bee.", turn="context")) == []
        (warning,) = talk.events
        assert isinstance(warning, Warning)
        assert THIRD in warning.why
        talk.hear(SOUND, DONE)
        assert talk.sent == []
        assert talk.push(Text("What is it?"), ASK) == [stream(text="A bee.\nWhat is it?")]
        assert talk.push(ASK) == [ordered(complete=True)]

    def test_an_endless_wait_is_bounded(self) -> None:
        talk = Talk().open()
        talk.hear(SOUND)
        talk.push(*[Text(f"{n}", turn="context") for n in range(1_000)])
        talk.hear(DONE)
        turns = talk.sent[0]["clientContent"]["turns"]
        assert len(turns) == 256
        assert turns[-1] == turn("999")


class TestPictures:
    """What is typed does not see what is streamed, so that the newest picture goes along."""

    def test_along_with_words(self) -> None:
        talk = Talk().open()
        (_, sent) = talk.push(Video(b"\xff\xd8"), Text("Look!"), ASK)
        assert sent == ordered(turn(IMAGE, "Look!"), complete=True)
        talk.hear(SOUND, DONE)
        assert talk.push(Text("Again."), ASK) == [ordered(turn("Again."), complete=True)]

    def test_without_words(self) -> None:
        (_, sent) = Talk().open().push(Video(b"\xff\xd8"), ASK)
        assert sent == ordered(turn(IMAGE), complete=True)

    def test_what_a_spoken_turn_has_seen(self) -> None:
        talk = Talk().open()
        talk.push(Video(b"\xff\xd8"))
        talk.hear(SOUND, DONE)
        assert talk.push(Text("Hi"), ASK) == [ordered(turn("Hi"), complete=True)]

    @pytest.mark.parametrize("config", [{"options": {"pictures": False}}, {"model": THIRD}])
    def test_not_where_it_cannot_or_shall_not(self, config: dict[str, Any]) -> None:
        talk = Talk(**config).open()
        (_, sent) = talk.push(Video(b"\xff\xd8"), Text("Hi"), ASK)
        assert "inlineData" not in str(sent)
        assert talk.memory.picture is None


class TestCorrections:
    """The model is told what was heard, once it has stopped, and before it is asked again."""

    def running(self, model: str = "") -> Talk:
        talk = Talk(model).open()
        talk.hear(spoken("Hello there"), SOUND)
        return talk

    def test_at_the_end_of_the_turn(self) -> None:
        talk = self.running()
        assert talk.push(CUT) == []
        talk.hear(DONE)
        assert talk.sent == [ordered(turn(HEARD), complete=False)]

    def test_nothing_heard(self) -> None:
        talk = self.running()
        talk.push(DeleteItem(I))
        talk.hear(DONE)
        assert talk.sent == [ordered(turn(UNHEARD), complete=False)]

    def test_before_the_words_that_cut(self) -> None:
        talk = self.running()
        talk.push(CUT, Text("Stop."))
        talk.hear(DONE)
        assert talk.sent == [ordered(turn(HEARD), turn("Stop."), complete=False)]

    def test_in_the_request_where_that_comes_first(self) -> None:
        talk = self.running()
        assert talk.push(CUT, Text("Stop."), ASK) == [
            ordered(turn(HEARD), turn("Stop."), complete=True)
        ]
        talk.hear(INTERRUPTED, DONE)
        assert len(talk.sent) == 1

    def test_of_a_turn_that_is_over(self) -> None:
        talk = self.running()
        talk.hear(DONE)
        assert talk.push(CUT) == [ordered(turn(HEARD), complete=False)]

    def test_not_while_the_next_is_generated(self) -> None:
        talk = self.running()
        talk.hear(DONE)
        talk.push(ASK)
        assert talk.push(CUT) == []
        talk.hear(SOUND, DONE)
        assert talk.sent[1:] == [ordered(turn(HEARD), complete=False)]

    def test_what_the_server_cut_it_knows(self) -> None:
        talk = self.running()
        talk.hear(INTERRUPTED)
        assert talk.push(CUT) == []
        talk.hear(DONE)
        assert talk.push(CUT) == talk.sent == []

    def test_what_the_server_cut_a_moment_later(self) -> None:
        """Speech is reported before the interruption that it causes."""
        talk = self.running()
        talk.push(CUT)
        talk.hear(INTERRUPTED, DONE)
        assert talk.sent == []

    def test_several_items_make_one_note(self) -> None:
        talk = self.running()
        talk.hear(content(generationComplete=True), spoken("More"), SOUND)
        other = talk.memory.turn
        assert other is not None
        assert other.item is not None
        talk.push(CUT, TruncateItem(other.item, 1, 24_000, "Mo"), DeleteItem(other.item))
        talk.hear(DONE)
        assert talk.sent == [ordered(turn(HEARD.replace("Hello", "Hello Mo")), complete=False)]

    def test_models_that_take_none(self) -> None:
        talk = self.running(THIRD)
        talk.push(CUT)
        talk.hear(DONE)
        assert talk.push(ASK) == [ordered(complete=True)]

    def test_unknown_items(self) -> None:
        talk = Talk().open()
        assert talk.push(CUT, DeleteItem(I), CancelResponse(R)) == []


class TestResults:
    """A result names its call; JSON stays JSON."""

    def answered(self, frame: ToolResult, model: str = NATIVE, **config: Any) -> dict[str, Any]:
        talk = Talk(model, **config).open()
        talk.hear(tool_call((C, "look", {})))
        (sent,) = talk.push(frame)
        (answer,) = sent["toolResponse"]["functionResponses"]
        return dict(answer)

    @pytest.mark.parametrize(
        ("frame", "response"),
        [
            (ToolResult(C, "12 degrees"), {"output": "12 degrees"}),
            (ToolResult(C, ' {"at": [1]} '), {"output": {"at": [1]}}),
            (ToolResult(C, "7"), {"output": 7}),
            (ToolResult(C, ""), {"output": ""}),
            (ToolResult(C, "No.", failed=True), {"error": "No."}),
            (ToolResult(C, "[" * 10_000), {"output": "[" * 10_000}),
        ],
    )
    def test_outputs(self, frame: ToolResult, response: dict[str, Any]) -> None:
        assert self.answered(frame) == {"id": C, "name": "look", "response": response}

    @pytest.mark.parametrize(
        ("model", "behaviour", "told"),
        [
            (NATIVE, {"look": "NON_BLOCKING"}, "SILENT"),
            (NATIVE, {}, None),
            ("gemini-3.8-live", {"look": "NON_BLOCKING"}, "SILENT"),
            ("gemini-3.8-live-extended-thinking", {}, None),
        ],
    )
    def test_scheduling(self, model: str, behaviour: dict[str, str], told: str | None) -> None:
        options = {"behaviour": behaviour, "scheduling": {"look": "SILENT"}}
        tools = (ToolSpec("look"),)
        answer = self.answered(ToolResult(C, "x"), model, options=options, tools=tools)
        assert answer.get("scheduling") == told

    def test_calls_without_an_id(self) -> None:
        talk = Talk().open()
        call = talk.hear(tool_call((None, "look", {})))[-1]
        (sent,) = talk.push(ToolResult(call.call, "x"))  # type: ignore[union-attr]
        (answer,) = sent["toolResponse"]["functionResponses"]
        assert answer == {"name": "look", "response": {"output": "x"}}

    def test_calls_of_another_connection(self) -> None:
        (sent,) = Talk().open().push(ToolResult(CallId("old"), "x"))
        (answer,) = sent["toolResponse"]["functionResponses"]
        assert answer == {"id": "old", "response": {"output": "x"}}


class TestBeginnings:
    """What was said before is told when the setup is complete, and once."""

    HISTORY = (
        Message("user", "Hi"),
        Message("assistant", "Hello."),
        Message("tool_call", '{"at":1}', call=C, name="look"),
        Message("tool_result", "a bee", call=C, name="look"),
        Message("system", "It rains."),
        Message("user", "And?"),
    )
    TURNS = (
        turn("Hi"),
        turn("Hello.", '[Calls look with {"at":1}]', role="model"),
        turn("[look gave: a bee]", "[It rains.]", "And?"),
    )

    def begun(self, *given: Any, **config: Any) -> list[dict[str, Any]]:
        talk = Talk(*given, **config)
        assert talk.sent == []
        talk.hear(b'{"setupComplete":{}}', b'{"setupComplete":{}}')
        return talk.sent

    def test_history(self) -> None:
        """Where it is a phase of its own it has an end, which asks for no answer."""
        assert self.begun(history=self.HISTORY) == [ordered(*self.TURNS, complete=True)]
        assert self.begun(NATIVE, history=self.HISTORY) == [ordered(*self.TURNS, complete=False)]
        again = self.begun(resume=Resume(1, None, self.HISTORY), history=self.HISTORY[:1])
        assert again == [ordered(*self.TURNS, complete=True)]

    def test_a_handle_knows_it_all(self) -> None:
        calls = (self.HISTORY[2],)
        assert self.begun(resume=Resume(1, Secret("h"), self.HISTORY)) == []
        (sent,) = self.begun(resume=Resume(1, Secret("h"), self.HISTORY, calls))
        (answer,) = sent["toolResponse"]["functionResponses"]
        assert (answer["id"], answer["name"]) == (C, "look")
        assert list(answer["response"]) == ["error"]

    def test_words_that_waited_when_the_connection_was_left_are_told_then(self) -> None:
        left = Talk().open()
        left.hear(SOUND)
        assert left.push(Text("And why?", turn="context")) == []
        taken_up = Resume(1, Secret("h"), left=left.memory)
        assert self.begun(resume=taken_up) == [ordered(turn("And why?"), complete=False)]
        assert self.begun(resume=taken_up._replace(handle=None)) == []

    def test_without_a_handle_nobody_waits_for_a_result(self) -> None:
        calls = (self.HISTORY[2],)
        assert self.begun(resume=Resume(1, None, (), calls)) == []


class TestUpdates:
    """Instructions and tools can change where the model takes it; the rest stays."""

    LOOK = ToolSpec("look", "Looks.")

    def test_instructions_and_tools(self) -> None:
        talk = Talk(instructions="Be brief.").open()
        (sent,) = talk.push(
            UpdateSession(SessionConfig(instructions="Be long.", tools=(self.LOOK,)))
        )
        declared = {"name": "look", "description": "Looks.", "behavior": "BLOCKING"}
        assert sent == {
            "contextUpdate": {
                "systemInstruction": {"parts": [{"text": "Be long."}]},
                "tools": {"tools": [{"functionDeclarations": [declared]}]},
            }
        }
        (sent,) = talk.push(UpdateSession(SessionConfig(instructions="Be long.")))
        assert sent["contextUpdate"]["tools"] in ({}, {"tools": []})
        assert talk.push(UpdateSession(SessionConfig(instructions="Be long."))) == []
        assert talk.events == []

    def test_what_stays(self) -> None:
        talk = Talk(voice="Kore").open()
        wish = SessionConfig(voice="Puck", temperature=0.1, options={"seed": 1})
        assert talk.push(UpdateSession(wish)) == []
        told = [one.field for one in talk.events if isinstance(one, Warning)]
        assert told == ["voice", "temperature", "options"]
        assert talk.memory.plan.config.voice == "Kore"

    def test_the_model_may_be_left_out(self) -> None:
        path = "projects/p/locations/l/publishers/google/models/gemini-3.8-live"
        talk = Talk(path).open()
        for name in ("", path, "gemini-3.8-live"):
            talk.push(UpdateSession(SessionConfig(model=name)))
        assert talk.events == []
        assert talk.memory.plan.config.model == path

    def test_in_words_on_vertex(self) -> None:
        talk = Talk(NATIVE, "vertex").open()
        wish = UpdateSession(SessionConfig(model=NATIVE, instructions="Be long."))
        assert talk.push(wish) == [ordered(turn("Be long.", role="system"), complete=False)]
        assert talk.push(wish) == []
        talk.hear(SOUND)
        more = SessionConfig(model=NATIVE, instructions="Be brief.", tools=(self.LOOK,))
        assert talk.push(UpdateSession(more)) == []
        assert [one.field for one in talk.events if isinstance(one, Warning)] == ["tools"]
        talk.hear(DONE)
        assert talk.sent[1:] == [ordered(turn("Be brief.", role="system"), complete=False)]

    def test_refusals(self) -> None:
        talk = Talk(NATIVE).open()
        for wish in (SessionConfig(), SessionConfig(options={"sped": 1})):
            refused = talk.codec.encode(talk.memory, UpdateSession(wish)).failure()
            assert isinstance(refused, Unsupported)


@pytest.mark.parametrize(
    ("frame", "config"),
    [
        (ActivityStart(), {}),
        (ActivityEnd(), {}),
        (CommitAudio(), {"turn_detection": MANUAL}),
        (CommitAudio(), {"service": "vertex"}),
        (ClearAudio(), {}),
        (Heard(I, 1), {}),
        (Hold(), {}),
        (Release(), {}),
        (Interrupt(), {}),
        (Text("Hi"), {"model": "gemini-3.5-live-translate-preview"}),
        (CreateResponse(request=RequestId("q")), {"model": "gemini-3.5-live-translate-preview"}),
    ],
)
def test_what_is_refused(frame: Outgoing, config: dict[str, Any]) -> None:
    talk = Talk(**config).open()
    refused = talk.codec.encode(talk.memory, frame).failure()
    assert isinstance(refused, Unsupported)
    assert refused.what


@pytest.mark.parametrize("frame", [Close(), CancelResponse(R)])
def test_what_needs_no_message(frame: Outgoing) -> None:
    assert Talk().open().push(frame) == []


@pytest.mark.parametrize("frame", [ToolResult(C, "\ud800"), CreateResponse("\ud800", request=Q)])
def test_half_a_character_is_the_callers_fault(frame: Outgoing) -> None:
    talk = Talk().open()
    refused = talk.codec.encode(talk.memory, frame).failure()
    assert isinstance(refused, InvalidRequest)
    assert type(frame).__name__ in refused.what
