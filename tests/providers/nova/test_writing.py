"""Writing: the first events, frames as events, and brackets that close whatever happens."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Success

from realtime_core.audio.format import PCM_16K, PCM_24K, AudioFormat
from realtime_core.codec import CancelResponse, DeleteItem, Outgoing, Resume, TruncateItem, Wire
from realtime_core.config import Message, ToolSpec, TurnDetection
from realtime_core.epoch import CallId, ItemId, RequestId
from realtime_core.errors import InvalidRequest, SessionClosed, Unsupported
from realtime_core.events import ResponseDone, ResponseStarted
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    ClearAudio,
    Close,
    CommitAudio,
    CreateResponse,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from realtime_nova.brackets import Brackets, closing, follow, sent, silence
from realtime_nova.codec import NovaCodec
from realtime_nova.encoding import client_event, encode
from realtime_nova.telling import pieces
from tests.laws.stories import catches, many
from tests.providers.nova.grammar import judged, names, told_history
from tests.providers.nova.strategies import configs, histories, outgoing, talks
from tests.providers.nova.wires import (
    FIRST,
    SECOND,
    C,
    I,
    Q,
    R,
    Talk,
    call,
    planned,
    sound,
    speech,
)

BLOCK = {
    "promptName": "p0",
    "contentName": "b",
    "type": "TEXT",
    "interactive": False,
    "role": "USER",
}
PROMPT = {
    "promptName": "p0",
    "textOutputConfiguration": {"mediaType": "text/plain"},
    "audioOutputConfiguration": {
        "mediaType": "audio/lpcm",
        "sampleRateHertz": 24_000,
        "sampleSizeBits": 16,
        "channelCount": 1,
        "audioType": "SPEECH",
        "encoding": "base64",
    },
}


def first(name: str, model: str = SECOND, **config: Any) -> Any:
    """Give one of the first events."""
    return next(one[name] for one in Talk(model, **config).greeted if name in one)


def wires(talk: Talk) -> list[Wire]:
    return [msgspec.json.encode({"event": one}) for one in (*talk.greeted, *talk.sent)]


class TestSession:
    """`sessionStart` and `promptStart`: everything that is chosen."""

    def test_defaults(self) -> None:
        assert first("sessionStart") == {
            "inferenceConfiguration": {"maxTokens": 1024, "topP": 0.9, "temperature": 0.7}
        }
        assert first("promptStart") == {
            "promptName": "p0",
            "textOutputConfiguration": {"mediaType": "text/plain"},
            "audioOutputConfiguration": {
                "mediaType": "audio/lpcm",
                "sampleRateHertz": 24_000,
                "sampleSizeBits": 16,
                "channelCount": 1,
                "voiceId": "matthew",
                "encoding": "base64",
                "audioType": "SPEECH",
            },
        }

    def test_inference(self) -> None:
        started = first(
            "sessionStart", temperature=0.0, max_output_tokens=7, options={"top_p": 0.1}
        )
        assert started["inferenceConfiguration"] == {
            "maxTokens": 7,
            "topP": 0.1,
            "temperature": 0.0,
        }

    @pytest.mark.parametrize(
        ("model", "eagerness", "told"),
        [
            (SECOND, "auto", {}),
            (SECOND, "high", {"turnDetectionConfiguration": {"endpointingSensitivity": "HIGH"}}),
            (SECOND, "low", {"turnDetectionConfiguration": {"endpointingSensitivity": "LOW"}}),
            (FIRST, "auto", {}),
            (FIRST, "medium", {"endpointingSensitivity": "MEDIUM"}),
        ],
    )
    def test_endpointing(self, model: str, eagerness: Any, told: dict[str, Any]) -> None:
        started = first("sessionStart", model, turn_detection=TurnDetection(eagerness=eagerness))
        del started["inferenceConfiguration"]
        assert started == told

    @pytest.mark.parametrize(
        ("voice", "language", "told"),
        [
            ("", "", "matthew"),
            ("tina", "", "tina"),
            ("tina", "fr", "tina"),
            ("", "de-DE", "lennart"),
            ("", "pt", "carolina"),
            ("", "en-AU", "olivia"),
            ("", "en_in", "kiara"),
            ("", "tlh", "matthew"),
        ],
    )
    def test_voice(self, voice: str, language: str, told: str) -> None:
        started = first("promptStart", voice=voice, language=language)
        assert started["audioOutputConfiguration"]["voiceId"] == told

    def test_formats(self) -> None:
        form = AudioFormat(rate=8_000)
        talk = Talk(input_format=form, output_format=form)
        assert (
            first("promptStart", output_format=form)["audioOutputConfiguration"]["sampleRateHertz"]
            == 8_000
        )
        start = talk.greeted[-1]["contentStart"]
        assert start["audioInputConfiguration"]["sampleRateHertz"] == 8_000
        assert talk.memory.most == 1_600

    def test_tools(self) -> None:
        schema = {"type": "object", "properties": {"at": {"type": "string"}}}
        tools = (ToolSpec("look", "Looks.", schema), ToolSpec("go"))
        started = first("promptStart", tools=tools)
        assert started["toolUseOutputConfiguration"] == {"mediaType": "application/json"}
        looks, goes = (one["toolSpec"] for one in started["toolConfiguration"]["tools"])
        assert (looks["name"], looks["description"]) == ("look", "Looks.")
        assert msgspec.json.decode(looks["inputSchema"]["json"]) == schema
        assert "description" not in goes

    @pytest.mark.parametrize(
        ("choice", "told"),
        [
            ("auto", None),
            ("required", {"any": {}}),
            ("look", {"tool": {"name": "look"}}),
            ("leap", None),
        ],
    )
    def test_tool_choice(self, choice: str, told: Any) -> None:
        started = first("promptStart", tools=(ToolSpec("look"),), tool_choice=choice)
        assert started["toolConfiguration"].get("toolChoice") == told

    def test_no_tool_is_shown_where_none_may_be_called(self) -> None:
        started = first("promptStart", tools=(ToolSpec("look"),), tool_choice="none")
        assert not {"toolConfiguration", "toolUseOutputConfiguration"} & started.keys()

    def test_raw_fields(self) -> None:
        options = {
            "session_start": {"later": 1, "inferenceConfiguration": {"topK": 5}},
            "prompt_start": {"audioOutputConfiguration": {"speed": 2}},
        }
        assert first("sessionStart", options=options) == {
            "inferenceConfiguration": {
                "maxTokens": 1024,
                "topP": 0.9,
                "temperature": 0.7,
                "topK": 5,
            },
            "later": 1,
        }
        form = first("promptStart", options=options)["audioOutputConfiguration"]
        assert (form["speed"], form["voiceId"]) == (2, "matthew")


class TestFirstBlocks:
    """The SYSTEM block, the history, and the one audio block."""

    def test_order(self) -> None:
        talk = Talk(
            instructions="Be brief.",
            history=(Message("user", "Hi"), Message("assistant", "Hello")),
            options={"speech_instructions": "Whisper."},
        )
        assert names(wires(talk)) == [
            "sessionStart",
            "promptStart",
            *("+TEXT/SYSTEM", "textInput", "-"),
            *("+TEXT/SYSTEM_SPEECH", "textInput", "-"),
            *("+TEXT/USER", "textInput", "-"),
            *("+TEXT/ASSISTANT", "textInput", "-"),
            "+AUDIO/USER",
        ]
        assert [one["textInput"]["content"] for one in talk.greeted if "textInput" in one] == [
            "Be brief.",
            "Whisper.",
            "Hi",
            "Hello",
        ]

    def test_there_is_always_a_system_block(self) -> None:
        assert first("textInput")["content"].startswith("You are")

    def test_names_differ_between_connections(self) -> None:
        used = [
            {one["contentStart"]["contentName"] for one in talk.greeted if "contentStart" in one}
            for talk in (Talk(), Talk(resume=Resume(1)), Talk(options={"names": "x-"}))
        ]
        assert not used[0] & used[1]
        assert not used[0] & used[2]
        assert first("promptStart", options={"names": "x-"})["promptName"] == "x-p0"

    def test_a_new_connection_is_told_what_is_kept(self) -> None:
        kept = (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "And?"))
        talk = Talk(resume=Resume(1, None, kept), history=(Message("user", "Old"),))
        assert told_history(wires(talk)) == [
            ("USER", ["Hi"]),
            ("ASSISTANT", ["Hello"]),
            ("USER", ["And?"]),
        ]
        assert talk.memory.prompt == "p1"

    def test_roles_alternate(self) -> None:
        said = [("assistant", "a"), ("user", "b"), ("user", ""), ("system", "c"), ("user", "d")]
        said += [("assistant", "e"), ("assistant", "f")]
        talk = Talk(history=tuple(Message(role, text) for role, text in said))  # type: ignore[arg-type]
        assert told_history(wires(talk)) == [("USER", ["b\n[c]\nd"]), ("ASSISTANT", ["e\nf"])]

    def test_calls_are_told_with_their_results(self) -> None:
        history = (
            Message("user", "Look!"),
            Message("tool_call", '{"at":1}', call=C, name="look"),
            Message("tool_result", "a bee", call=C, name="look"),
            Message("tool_call", "{}", call=CallId("open"), name="go"),
            Message("assistant", "A bee."),
        )
        assert told_history(wires(Talk(history=history))) == [
            ("USER", ['Look!\n[look, called with {"at":1}, gave: a bee]']),
            ("ASSISTANT", ["A bee."]),
        ]

    @many
    @given(histories())
    def test_whatever_was_said_fits(self, history: tuple[Message, ...]) -> None:
        blocks = told_history(wires(Talk(history=history)))
        roles = [role for role, _ in blocks]
        assert roles == ["USER", "ASSISTANT"] * (len(roles) // 2) + ["USER"] * (len(roles) % 2)
        told = [piece.encode() for _, parts in blocks for piece in parts]
        assert all(0 < len(piece) <= 1_000 for piece in told)
        assert sum(map(len, told)) <= 40_000

    def test_what_joins_words_counts_too(self) -> None:
        history = tuple(Message("user", f"{number:040}") for number in range(1_000))
        ((role, parts),) = told_history(wires(Talk(history=history)))
        text = "".join(parts)
        assert (role, text.endswith("0999"), text.startswith("0")) == ("USER", True, True)
        assert 39_900 < len(text) <= 40_000

    def test_what_is_left_out_are_whole_turns(self) -> None:
        """What stands around a result counts too, and none is told without its question."""
        history = (
            Message("user", "Look!"),
            Message("tool_call", "{}", call=C, name="look"),
            Message("tool_result", "a bee", call=C, name="look"),
            Message("assistant", "x" * 39_945),
            Message("user", "And?"),
            Message("assistant", "No more."),
        )
        told = told_history(wires(Talk(history=history)))
        assert told == [("USER", ["And?"]), ("ASSISTANT", ["No more."])]

    @many
    @given(st.text(max_size=40), st.integers(4, 9))
    def test_pieces_are_the_whole(self, text: str, most: int) -> None:
        cut = list(pieces(text, most))
        assert "".join(cut) == text
        assert all(len(piece.encode()) <= most for piece in cut)

    def test_pieces_end_behind_words(self) -> None:
        assert list(pieces("one two three", 9)) == ["one two ", "three"]

    def test_the_newest_is_told(self) -> None:
        history = tuple(
            Message(role, f"{number} " + "x" * 3_000)
            for number in range(10)
            for role in ("user", "assistant")
        )
        blocks = told_history(wires(Talk(history=history)))
        assert [parts[0].split()[0] for _, parts in blocks] == list("445566778899")


class TestSound:
    """The event that is sent all the time."""

    def test_as_it_is(self) -> None:
        talk = Talk().open()
        (one,) = talk.push(Audio(b"\1\2", PCM_16K))
        audio = talk.greeted[-1]["contentStart"]["contentName"]
        assert one["audioInput"] == {
            "promptName": "p0",
            "contentName": audio,
            "content": base64.b64encode(b"\1\2").decode(),
        }

    def test_in_pieces_of_100_ms(self) -> None:
        talk = Talk().open()
        sent_ = talk.push(Audio(bytes(range(250)) * 32, PCM_16K))
        parts = [base64.b64decode(one["audioInput"]["content"]) for one in sent_]
        assert [len(part) for part in parts] == [3_200, 3_200, 1_600]
        assert b"".join(parts) == bytes(range(250)) * 32

    def test_silence_of_no_length_is_not_sent(self) -> None:
        assert Talk().open().push(Audio(b"", PCM_16K)) == []

    def test_the_short_way_writes_what_the_long_one_does(self) -> None:
        codec = NovaCodec()
        state = codec.greet(planned(options={"names": 'a"\\'}), None).state
        (wire,) = codec.encode(state, Audio(b"\1\2\3\4", PCM_16K)).unwrap().wires
        assert isinstance(wire, bytes)
        assert encode(client_event(wire)) == wire


class TestWords:
    """Words are the request: they wait for it, and go with it."""

    def test_a_text_waits_for_its_request(self) -> None:
        talk = Talk().open()
        assert talk.push(Text("Hi")) == []
        start, words, end = talk.push(CreateResponse(request=Q))
        assert (start["contentStart"]["role"], start["contentStart"]["type"]) == ("USER", "TEXT")
        assert start["contentStart"]["interactive"] is True
        assert words["textInput"]["content"] == "Hi"
        assert end["contentEnd"]["contentName"] == start["contentStart"]["contentName"]
        (started, _) = talk.hear(*speech())
        assert isinstance(started, ResponseStarted)
        assert started.request == Q

    def test_several_go_together_and_each_request_is_settled(self) -> None:
        talk = Talk().open()
        talk.push(Text("One"), Text("Two", role="system"), CreateResponse(request=Q))
        assert talk.sent[1]["textInput"]["content"] == "One\n[Two]"
        assert talk.push(CreateResponse(request=RequestId("q2"))) == []
        started, done = talk.events
        assert isinstance(started, ResponseStarted)
        assert isinstance(done, ResponseDone)
        assert (started.request, done.response) == ("q2", started.response)

    def test_instructions_are_words_too(self) -> None:
        talk = Talk().open()
        talk.push(Text("One"), CreateResponse("Greet me."))
        assert talk.sent[1]["textInput"]["content"] == "One\nGreet me."

    def test_long_words_are_cut(self) -> None:
        talk = Talk().open()
        talk.push(Text("word " * 500), CreateResponse())
        assert [len(one["textInput"]["content"]) for one in talk.sent[1:-1]] == [1_000] * 2 + [500]

    def test_a_request_without_words_is_refused(self) -> None:
        talk = Talk().open()
        refused = talk.codec.encode(talk.memory, CreateResponse())
        assert isinstance(refused.failure(), Unsupported)

    def test_words_of_nothing_are_no_request(self) -> None:
        talk = Talk().open()
        assert talk.push(Text(""), CreateResponse(request=Q)) == []
        assert [type(event) for event in talk.events] == [ResponseStarted, ResponseDone]

    def test_context_is_refused(self) -> None:
        talk = Talk().open()
        refused = talk.codec.encode(talk.memory, Text("psst", turn="context")).failure()
        assert isinstance(refused, Unsupported)
        assert refused.field == "text"

    def test_the_first_model_takes_none(self) -> None:
        talk = Talk(FIRST).open()
        for frame in (Text("Hi"), CreateResponse(), CreateResponse("Greet me.")):
            assert isinstance(talk.codec.encode(talk.memory, frame).failure(), Unsupported)

    @pytest.mark.parametrize("frame", [Text("\ud800"), CreateResponse("\ud800")])
    def test_half_characters_are_refused(self, frame: Outgoing) -> None:
        talk = Talk().open()
        refused = talk.codec.encode(talk.memory, frame).failure()
        assert isinstance(refused, InvalidRequest)
        assert type(frame).__name__ in refused.what

    def test_an_answer_that_is_spoken_is_not_taken_for_it(self) -> None:
        """What runs must end before what was asked for begins, unless it waits for a tool."""
        talk = Talk().open()
        talk.hear(*speech())
        talk.push(Text("And?"), CreateResponse(request=Q))
        talk.hear(*speech("More.", "p2"))
        assert len([e for e in talk.events if isinstance(e, ResponseStarted)]) == 1
        talk.hear(*sound("a1"), *speech("So.", "p3"))
        started = [event for event in talk.events if isinstance(event, ResponseStarted)]
        assert [event.request for event in started] == [None, Q]

    def test_an_answer_that_waits_for_a_tool_is_over(self) -> None:
        talk = Talk().open()
        talk.hear(*call())
        talk.push(Text("And?"), CreateResponse(request=Q))
        talk.hear(*speech())
        started = [event for event in talk.events if isinstance(event, ResponseStarted)]
        assert [event.request for event in started] == [None, Q]


class TestResults:
    """A block of its own for each, with one JSON object."""

    @pytest.mark.parametrize(
        ("output", "failed", "told"),
        [
            ('{"bees": 3}', False, {"bees": 3}),
            ("three bees", False, {"result": "three bees"}),
            ("[1]", False, {"result": [1]}),
            ("7", False, {"result": 7}),
            ("", False, {"result": ""}),
            ("no bees", True, {"error": "no bees"}),
            ('{"why":1}', True, {"error": {"why": 1}}),
        ],
    )
    def test_contents(self, output: str, failed: bool, told: Any) -> None:
        talk = Talk().open()
        talk.hear(*call())
        start, result, end = talk.push(ToolResult(C, output, failed))
        name = start["contentStart"]["contentName"]
        assert start["contentStart"] == {
            "promptName": "p0",
            "contentName": name,
            "type": "TOOL",
            "interactive": False,
            "role": "TOOL",
            "toolResultInputConfiguration": {
                "toolUseId": C,
                "type": "TEXT",
                "textInputConfiguration": {"mediaType": "text/plain"},
            },
        }
        assert msgspec.json.decode(result["toolResult"]["content"]) == told
        assert end["contentEnd"] == {"promptName": "p0", "contentName": name}

    def test_each_call_is_answered_once(self) -> None:
        talk = Talk().open()
        talk.hear(*call())
        talk.push(ToolResult(C, "1"))
        for id in (C, CallId("never")):
            refused = talk.codec.encode(talk.memory, ToolResult(id, "2")).failure()
            assert isinstance(refused, InvalidRequest)
            assert repr(id) in refused.what


class TestRefused:
    """What the wire has no event for."""

    @pytest.mark.parametrize(
        "frame",
        [
            Video(b"\xff\xd8"),
            ActivityStart(),
            ActivityEnd(),
            CommitAudio(),
            ClearAudio(),
            UpdateSession(planned().config),
            CancelResponse(R),
            TruncateItem(I, 1, 24_000),
            DeleteItem(I),
        ],
    )
    def test_frames(self, frame: Outgoing) -> None:
        talk = Talk().open()
        assert isinstance(talk.codec.encode(talk.memory, frame).failure(), Unsupported)

    def test_after_the_end(self) -> None:
        talk = Talk().open()
        talk.push(Close())
        for frame in (Audio(b"\0\0", PCM_24K), Text("Hi"), Close()):
            assert isinstance(talk.codec.encode(talk.memory, frame).failure(), SessionClosed)


class TestBrackets:
    """Each is opened and closed once and in order, also when somebody closes or cancels."""

    def test_close(self) -> None:
        talk = Talk().open()
        talk.push(Close())
        assert names(wires(talk))[-3:] == ["-", "promptEnd", "sessionEnd"]
        assert judged(wires(talk), complete=True) == ""

    @staticmethod
    def law(acts: list[Any]) -> None:
        """At any moment all is right so far; after `Close` all is closed."""
        talk = talks(acts)
        assert judged(wires(talk)) == ""
        result = talk.codec.encode(talk.memory, Close())
        if isinstance(result, Success):
            talk.sent += [msgspec.json.decode(wire)["event"] for wire in result.unwrap().wires]
        assert judged(wires(talk), complete=True) == ""

    @many
    @given(outgoing())
    def test_any_frames_in_any_order(self, acts: list[Any]) -> None:
        self.law(acts)

    def test_fault_closes_nothing_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("realtime_nova.writing._close", lambda page: None)
        catches(self.law, outgoing())

    @staticmethod
    def cancelled(acts: list[Any], place: int) -> None:
        """Cut off behind any event, what is open is closed, and nothing else."""
        said = wires(talks(acts))
        said = said[: place % (len(said) + 1)]
        brackets = Brackets()
        for wire in said:
            assert isinstance(wire, bytes)
            brackets = sent(brackets, wire)
        rest = closing(brackets)
        assert judged([*said, *rest], complete=True) == ""
        for wire in rest:
            brackets = sent(brackets, wire)
        assert closing(brackets) == ()

    @many
    @given(outgoing(), st.integers(0, 1_000))
    def test_cancelled_anywhere(self, acts: list[Any], place: int) -> None:
        self.cancelled(acts, place)

    def test_fault_forgets_the_prompt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "tests.providers.nova.test_writing.closing", lambda one: closing(one)[-1:]
        )
        catches(lambda given: self.cancelled(*given), st.tuples(outgoing(), st.integers(0, 1_000)))

    @many
    @given(outgoing(), st.data())
    def test_two_judges_agree(self, acts: list[Any], data: st.DataObject) -> None:
        """Whatever is done to honest events, the brackets see what the sheet's grammar sees."""
        said = wires(talks([*acts, Close()]))
        place = data.draw(st.integers(0, len(said) - 1))
        other = data.draw(st.integers(0, len(said) - 1))
        match data.draw(st.sampled_from(("drop", "twice", "swap"))):
            case "drop":
                del said[place]
            case "twice":
                said.insert(place, said[other])
            case _:
                said[place], said[other] = said[other], said[place]
        brackets, wrong = Brackets(), False
        for wire in said:
            assert isinstance(wire, bytes)
            result = follow(brackets, client_event(wire))
            wrong = wrong or isinstance(result, Failure)
            brackets = result.value_or(brackets)
        assert wrong == (judged(said) != "")

    def test_silence_goes_into_the_audio_block(self) -> None:
        talk = Talk().open()
        assert silence(Brackets(), 100) is None
        brackets = Brackets()
        for wire in wires(talk):
            assert isinstance(wire, bytes)
            brackets = sent(brackets, wire)
        quiet = silence(brackets, 100)
        assert quiet is not None
        assert (
            client_event(quiet).audio_input
            == client_event(
                NovaCodec().encode(talk.memory, Audio(bytes(3_200), PCM_16K)).unwrap().wires[0]  # type: ignore[arg-type]
            ).audio_input
        )

    @pytest.mark.parametrize(
        ("given_", "why"),
        [
            ({"promptEnd": {"promptName": "p0"}}, "session is new"),
            ({"promptStart": PROMPT}, "a second prompt"),
            ({"sessionEnd": {}}, "the prompt is open"),
            ({"promptEnd": {"promptName": "p9"}}, "not open"),
            ({"promptEnd": {"promptName": "p0"}}, "blocks are open"),
            ({"contentStart": {**BLOCK, "contentName": "b0.0"}}, "used before"),
            ({"contentStart": {**BLOCK, "type": "VIDEO"}}, "type VIDEO"),
            ({"contentStart": {**BLOCK, "type": "AUDIO"}}, "second audio block"),
            ({"contentEnd": {"promptName": "p0", "contentName": "x"}}, "not open"),
            ({"textInput": {"promptName": "p0", "contentName": "b0.1", "content": ""}}, "AUDIO"),
        ],
    )
    def test_what_does_not_fit_is_told(self, given_: dict[str, Any], why: str) -> None:
        brackets = Brackets()
        for wire in () if why == "session is new" else wires(Talk().open()):
            assert isinstance(wire, bytes)
            brackets = sent(brackets, wire)
        told = follow(brackets, client_event(msgspec.json.encode({"event": given_}))).failure()
        assert why in told

    def test_the_system_block_is_first(self) -> None:
        brackets = Brackets()
        for wire in wires(Talk())[:2]:
            assert isinstance(wire, bytes)
            brackets = sent(brackets, wire)
        told = follow(
            brackets, client_event(msgspec.json.encode({"event": {"contentStart": BLOCK}}))
        )
        assert "SYSTEM" in told.failure()

    def test_what_is_no_event_is_none(self) -> None:
        assert "not 0" in follow(Brackets(), client_event(b'{"event":{}}')).failure()
        assert "not 0" in follow(Brackets(), client_event(b"{}")).failure()
        assert closing(Brackets()) == ()

    @many
    @given(configs())
    def test_any_settings(self, config: dict[str, Any]) -> None:
        talk = Talk(**config)
        said = wires(talk)
        assert judged(said) == ""
        for wire in said:
            assert isinstance(wire, bytes)
            again = encode(client_event(wire))
            if not config["options"].keys() & {"session_start", "prompt_start"}:
                assert msgspec.json.decode(again) == msgspec.json.decode(wire)


def test_items_are_never_named_twice() -> None:
    first_, second = Talk().open(), Talk(resume=Resume(1)).open()
    items = [
        {event.item or event.response for event in talk.hear(*speech(), *sound())}
        for talk in (first_, second)
    ]
    assert not items[0] & items[1]
    assert ItemId("i0.3") in items[0]
