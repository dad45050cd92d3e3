"""Reading: what the service says, and the one rule by which its blocks are turns."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from realtime_core.audio.format import AudioFormat
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    Connected,
    Interrupted,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ToolCall,
    Unknown,
    Usage,
    UserTranscript,
)
from realtime_core.frames import CreateResponse, Text, ToolResult
from tests.providers.nova.wires import (
    END,
    INTERRUPTED,
    PCM,
    C,
    Q,
    Talk,
    audio,
    begin,
    call,
    end,
    final,
    heard,
    notice,
    said,
    sound,
    speech,
    text,
    usage,
)


def talk(**config: Any) -> Talk:
    return Talk(**config).open()


def kinds(events: list[RealtimeEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def of(events: list[RealtimeEvent], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def finals(events: list[RealtimeEvent]) -> list[str]:
    return [event.text for event in of(events, AgentTranscript) if event.final]


def statuses(events: list[RealtimeEvent]) -> list[str]:
    return [event.status for event in of(events, ResponseDone)]


class TestOpening:
    """The wire has no welcome: that the service answers is one."""

    @pytest.mark.parametrize("wire", [b"", "", said("completionStart"), usage(1, 1)])
    def test_whatever_comes_first_opens(self, wire: Any) -> None:
        one = Talk()
        (connected,) = one.hear(wire)
        assert isinstance(connected, Connected)
        assert connected.session_id == ""
        assert connected.config == one.plan.config

    def test_once(self) -> None:
        one = Talk()
        one.hear(b"", said("completionStart"), b"")
        assert kinds(one.events) == ["Connected"]

    def test_before_anything_else(self) -> None:
        assert kinds(Talk().hear(*speech()))[:2] == ["Connected", "ResponseStarted"]


class TestATurn:
    """USER words, SPECULATIVE words, their sound, FINAL words."""

    def test_in_order(self) -> None:
        one = talk()
        events = one.hear(*heard(), *speech(), *sound(), *final())
        assert kinds(events) == [
            "UserTranscript",
            "UserTranscript",
            "ResponseStarted",
            "AgentTranscript",
            "AudioOutput",
            "AudioOutput",
            "AudioOutputDone",
            "AgentTranscript",
            "ResponseDone",
        ]
        user = of(events, UserTranscript)
        assert [(event.text, event.final) for event in user] == [
            ("Hello?", False),
            ("Hello?", True),
        ]
        assert len({event.item for event in user}) == 1
        assert len({event.response for event in events[2:]}) == 1
        assert len({event.item for event in events[3:8]}) == 1
        assert [event.text for event in of(events, AgentTranscript)] == ["Hi there."] * 2
        assert of(events, AudioOutput)[0].pcm == PCM

    def test_sentences_are_items(self) -> None:
        events = talk().hear(
            *speech("One.", "p1"),
            *sound("a1", "PARTIAL_TURN"),
            *speech("Two.", "p2"),
            *sound("a2", "END_TURN"),
            *final("One.", "f1"),
            *final("Two.", "f2"),
        )
        assert len(of(events, ResponseStarted)) == 1
        assert statuses(events) == ["completed"]
        items = [event.item for event in of(events, AudioOutput)]
        assert items[0] == items[1] != items[2] == items[3]
        told = [event for event in of(events, AgentTranscript) if event.final]
        assert [(event.item, event.text) for event in told] == [
            (items[0], "One."),
            (items[2], "Two."),
        ]
        assert [event.item for event in of(events, AudioOutputDone)] == [items[0], items[2]]

    def test_words_may_be_ahead_of_their_sound(self) -> None:
        events = talk().hear(
            *speech("One.", "p1"), *speech("Two.", "p2"), *sound("a1", ""), *sound("a2", "")
        )
        words = [event.item for event in of(events, AgentTranscript)]
        sounds = [event.item for event in of(events, AudioOutput)]
        assert [sounds[0], sounds[2]] == words

    def test_sound_without_words(self) -> None:
        events = talk().hear(*sound())
        assert kinds(events) == [
            "ResponseStarted",
            "AudioOutput",
            "AudioOutput",
            "AudioOutputDone",
            "ResponseDone",
        ]

    def test_turns_follow_each_other(self) -> None:
        one = talk()
        for number in range(3):
            one.hear(*heard(id=f"u{number}"), *speech(id=f"p{number}"))
            one.hear(*sound(f"a{number}"), *final(id=f"f{number}"))
        started = [event.response for event in of(one.events, ResponseStarted)]
        assert len(set(started)) == 3
        assert [event.response for event in of(one.events, ResponseDone)] == started
        assert len({event.item for event in of(one.events, UserTranscript)}) == 3

    def test_the_format_is_the_agreed_one(self) -> None:
        form = AudioFormat(rate=8_000)
        events = talk(output_format=form).hear(*sound())
        assert {event.format for event in of(events, AudioOutput)} == {form}

    def test_samples_stay_whole(self) -> None:
        events = talk().hear(begin("a", "AUDIO", "ASSISTANT"), audio("a", b"abc"), audio("a", b"d"))
        assert [event.pcm for event in of(events, AudioOutput)] == [b"ab", b"cd"]

    def test_empty_blocks_begin_nothing(self) -> None:
        one = talk()
        one.hear(begin("p", "TEXT", "ASSISTANT", "SPECULATIVE"), text("p", ""), end("p", "TEXT"))
        one.hear(begin("a", "AUDIO", "ASSISTANT"), audio("a", b""), end("a", "AUDIO", "END_TURN"))
        one.hear(begin("x", "VIDEO", "ASSISTANT"), end("x", "VIDEO"))
        assert one.events == []


class TestTheEndOfATurn:
    """END_TURN says that all was generated; the end waits for the FINAL words, or what is next."""

    def test_it_waits_for_the_words(self) -> None:
        one = talk()
        assert of(one.hear(*speech(), *sound()), ResponseDone) == []
        assert kinds(one.hear(*final())) == ["AgentTranscript", "ResponseDone"]

    def test_words_that_came_before_are_not_waited_for(self) -> None:
        events = talk().hear(*speech(), *final(), *sound())
        assert finals(events) == ["Hi there."]
        assert kinds(events)[-1] == "ResponseDone"

    @pytest.mark.parametrize(
        "after",
        [heard(), speech("Next.", "p2"), sound("a2"), call(), (END,)],
        ids=["user", "words", "sound", "call", "completion"],
    )
    def test_or_for_whatever_is_next(self, after: tuple[bytes, ...]) -> None:
        one = talk()
        one.hear(*speech(), *sound())
        events = one.hear(*after)
        assert kinds(events)[:2] == ["AgentTranscript", "ResponseDone"]
        assert finals(events)[0] == "Hi there.", "it was said as it was meant to be"

    def test_or_for_words_of_ours(self) -> None:
        one = talk()
        one.hear(*speech(), *sound())
        one.push(Text("And?"))
        assert kinds(one.events)[-2:] == ["AgentTranscript", "ResponseDone"]

    def test_partial_turns_do_not_end_it(self) -> None:
        one = talk()
        one.hear(*speech(), *sound("a1", "PARTIAL_TURN"), *final())
        assert of(one.events, ResponseDone) == []
        one.hear(*sound("a2"))
        assert statuses(one.events) == ["completed"]

    def test_words_after_the_end_open_nothing(self) -> None:
        one = talk()
        one.hear(*speech(), *sound(), *heard())
        assert one.hear(*final(), *final(id="f2")) == []

    @pytest.mark.parametrize(
        ("parts", "told"),
        [
            (("Hi there.",), "Hi there."),
            (("Hi", "there."), "Hi there."),
            ((" Hi  there. ",), "Hi there."),
            (("Hi there",), "Hi there"),
            (("Hello there.",), "Hello there."),
        ],
    )
    def test_words_may_come_in_pieces(self, parts: tuple[str, ...], told: str) -> None:
        one = talk()
        one.hear(*speech(), *sound())
        for number, part in enumerate(parts):
            one.hear(*final(part, f"f{number}"))
        assert finals(one.events) == [told]
        assert statuses(one.events) == ["completed"]

    def test_or_several_sentences_in_one(self) -> None:
        one = talk()
        one.hear(*speech("One.", "p1"), *speech("Two.", "p2"), *sound("a1", ""), *sound("a2"))
        one.hear(*final("One. Two."))
        assert finals(one.events) == ["One.", "Two."]
        assert statuses(one.events) == ["completed"]

    def test_what_was_said_otherwise_is_told_so(self) -> None:
        one = talk()
        one.hear(*speech("I have 10 cats."), *sound(), *final("I have ten cats."))
        assert finals(one.events) == ["I have ten cats."]

    @pytest.mark.parametrize(
        ("reason", "status"),
        [(None, "completed"), ("INTERRUPTED", "interrupted"), ("MAX_TOKENS", "incomplete")],
    )
    def test_the_completion_ends_it(self, reason: str | None, status: str) -> None:
        one = talk()
        one.hear(*speech(), said("completionEnd", stopReason=reason))
        assert statuses(one.events) == [status]
        assert one.hear(END) == []


class TestWhoseBlockItIs:
    """A block that opened within an answer is of that one, and no other."""

    def test_the_user_has_the_word_in_between(self) -> None:
        """Without a word of its end, an answer ends where the next begins."""
        one = talk()
        one.hear(*speech(), *sound("a1", "PARTIAL_TURN"), *heard())
        events = one.hear(*speech("Next.", "p2"))
        assert kinds(events) == [
            "AgentTranscript",
            "ResponseDone",
            "ResponseStarted",
            "AgentTranscript",
        ]
        assert statuses(events) == ["completed"]

    def test_in_the_middle_of_its_sound(self) -> None:
        one = talk()
        one.hear(*speech(), begin("a1", "AUDIO", "ASSISTANT"), audio("a1"), *heard())
        assert of(one.hear(audio("a1")), AudioOutput), "what is open goes on"
        events = one.hear(*speech("Next.", "p2"))
        assert kinds(events) == [
            "Interrupted",
            "ResponseDone",
            "ResponseStarted",
            "AgentTranscript",
        ]
        assert statuses(events) == ["interrupted"]
        assert one.hear(audio("a1"), end("a1", "AUDIO", "INTERRUPTED")) == [], "late sound falls"

    def test_a_late_notice_cuts_nothing_that_came_after(self) -> None:
        one = talk()
        one.hear(*speech(), begin("a1", "AUDIO", "ASSISTANT"), *heard(), *speech("Next.", "p2"))
        assert one.hear(end("a1", "AUDIO", "INTERRUPTED")) == []

    def test_words_of_the_user_take_the_place_of_a_request(self) -> None:
        """What begins behind them answers them; what was asked before is settled."""
        one = talk()
        one.push(Text("And?"), CreateResponse(request=Q))
        events = one.hear(*heard(), *speech())
        assert [event.request for event in of(events, ResponseStarted)] == [Q, None]
        assert kinds(events)[:3] == ["ResponseStarted", "ResponseDone", "UserTranscript"]
        assert statuses(events) == ["interrupted"]

    def test_guesses_and_words_before_it_do_not(self) -> None:
        one = talk()
        one.hear(*heard())
        one.push(Text("And?"), CreateResponse(request=Q))
        one.hear(begin("g", "TEXT", "USER", "SPECULATIVE"), text("g", "Hel", "USER"))
        one.hear(begin("u", "TEXT", "USER", "FINAL"), text("u", "", "USER"), *speech())
        assert [event.request for event in of(one.events, ResponseStarted)] == [Q]

    def test_guesses_at_the_users_words_are_no_turn(self) -> None:
        one = talk()
        one.hear(*speech(), begin("u", "TEXT", "USER", "SPECULATIVE"), text("u", "Hel", "USER"))
        one.hear(*speech("More.", "p2"))
        assert len(of(one.events, ResponseStarted)) == 1

    def test_guesses_are_replaced(self) -> None:
        one = talk()
        one.hear(begin("g", "TEXT", "USER", "SPECULATIVE"), text("g", "Hell", "USER"))
        one.hear(end("g", "TEXT"), *heard("Hello?"))
        told = of(one.events, UserTranscript)
        assert [(event.text, event.final) for event in told] == [
            ("Hell", False),
            ("Hello?", False),
            ("Hello?", True),
        ]
        assert len({event.item for event in told}) == 1

    def test_words_of_the_user_end_where_the_answer_begins(self) -> None:
        one = talk()
        one.hear(*heard()[:2], *speech())
        assert [event.final for event in of(one.events, UserTranscript)] == [False, True]
        assert kinds(one.events)[2] == "ResponseStarted"

    def test_users_words_of_several_events(self) -> None:
        events = talk().hear(
            begin("u", "TEXT", "USER", "FINAL"),
            text("u", "Hello", "USER"),
            text("u", "you", "USER"),
        )
        assert [event.text for event in of(events, UserTranscript)] == ["Hello", "Hello you"]

    def test_blocks_that_were_never_opened(self) -> None:
        one = talk()
        one.hear(
            text("u", "Hello?", "USER"), text("p", "Hi."), audio("a"), end("a", "AUDIO", "END_TURN")
        )
        one.hear(*final("Hi."))
        assert statuses(one.events) == ["completed"]
        assert finals(one.events) == ["Hi."]

    def test_what_comes_behind_the_end_of_a_block_falls(self) -> None:
        one = talk()
        one.hear(*speech(), *sound("a1", "PARTIAL_TURN"))
        assert one.hear(audio("a1"), text("p1", "more"), end("a1", "AUDIO", "INTERRUPTED")) == []

    @pytest.mark.parametrize("fields", [None, 3, "nothing", "[]", '{"generationStage":1}', {}])
    def test_words_of_no_stage_are_what_will_be_said(self, fields: Any) -> None:
        one = talk()
        block = {"contentId": "p", "type": "TEXT", "role": "ASSISTANT"}
        one.hear(said("contentStart", **block, additionalModelFields=fields), text("p", "Hi."))
        assert kinds(one.events) == ["ResponseStarted", "AgentTranscript"]

    def test_fields_that_are_an_object(self) -> None:
        one = talk()
        fields = {"generationStage": "FINAL"}
        block = {"contentId": "f", "type": "TEXT", "role": "ASSISTANT"}
        one.hear(said("contentStart", **block, additionalModelFields=fields), text("f", "Hi."))
        assert one.events == []


class TestInterruption:
    """In both of its forms, in any order, once."""

    CUT_SOUND = end("a1", "AUDIO", "INTERRUPTED")

    @pytest.mark.parametrize(
        "wires",
        [
            INTERRUPTED,
            (CUT_SOUND,),
            (CUT_SOUND, *INTERRUPTED),
            (*INTERRUPTED, CUT_SOUND),
            (*INTERRUPTED[:2], CUT_SOUND, INTERRUPTED[2]),
            (text("p9", '{"interrupted":true}'), CUT_SOUND),
            (begin("s", "TEXT", "ASSISTANT", "SPECULATIVE"), text("s", '{ "interrupted" : true }')),
        ],
        ids=["text", "sound", "sound-text", "text-sound", "mixed", "unopened", "speculative"],
    )
    def test_any_form(self, wires: tuple[bytes, ...]) -> None:
        one = talk()
        one.hear(*speech(), begin("a1", "AUDIO", "ASSISTANT"), audio("a1"))
        events = one.hear(*wires)
        assert kinds(events) == ["Interrupted", "ResponseDone"]
        (cut,) = of(events, Interrupted)
        assert (cut.cause, cut.response) == (
            "provider",
            of(one.events, ResponseStarted)[0].response,
        )
        assert statuses(events) == ["interrupted"]

    def test_what_was_spoken_is_told_late(self) -> None:
        one = talk()
        one.hear(*speech("One two three.", "p1"), *speech("Four.", "p2"))
        one.hear(begin("a1", "AUDIO", "ASSISTANT"), audio("a1"), *INTERRUPTED)
        item = of(one.events, AgentTranscript)[0].item
        (told,) = one.hear(*final("One two"))
        assert isinstance(told, AgentTranscript)
        assert (told.text, told.item, told.final) == ("One two", item, True)
        assert told.response == of(one.events, ResponseStarted)[0].response

    def test_words_that_come_with_the_notice(self) -> None:
        one = talk()
        one.hear(*speech("One two three."), *sound("a1", "PARTIAL_TURN"))
        one.hear(begin("f", "TEXT", "ASSISTANT", "FINAL"), text("f", "One"))
        events = one.hear(end("f", "TEXT", "INTERRUPTED"))
        assert kinds(events) == ["Interrupted", "ResponseDone", "AgentTranscript"]
        assert finals(events) == ["One"]

    def test_while_it_is_heard_though_all_was_generated(self) -> None:
        one = talk()
        one.hear(*speech(), *sound("a1", "END_TURN"))
        assert kinds(one.hear(*INTERRUPTED)) == ["Interrupted", "ResponseDone"]
        assert statuses(one.events) == ["interrupted"]
        assert finals(one.hear(*final("Hi"))) == ["Hi"]

    def test_of_an_answer_that_has_ended(self) -> None:
        one = talk()
        one.hear(*speech(), *sound(), *final())
        (cut,) = one.hear(*INTERRUPTED, *notice("n2"))
        assert isinstance(cut, Interrupted)
        assert cut.response == of(one.events, ResponseStarted)[0].response

    def test_where_nothing_was_said(self) -> None:
        assert talk().hear(*INTERRUPTED) == []

    def test_the_second_form_never_cuts_the_next_answer(self) -> None:
        one = talk()
        one.hear(*speech(), begin("a1", "AUDIO", "ASSISTANT"), audio("a1"), INTERRUPTED[0])
        one.hear(INTERRUPTED[1], *heard(), *speech("Next.", "p2"))
        assert one.hear(INTERRUPTED[2], self.CUT_SOUND) == []
        (late,) = one.hear(*final("Hi"))
        assert late.item == of(one.events, AgentTranscript)[0].item, "it finds its sentence"
        (told,) = one.hear(*final("Next.", "f2"))
        assert told.item == of(one.events, AgentTranscript)[1].item

    def test_what_still_comes_of_it_falls(self) -> None:
        one = talk()
        one.hear(*speech(), begin("a1", "AUDIO", "ASSISTANT"), audio("a1"))
        one.hear(begin("p2", "TEXT", "ASSISTANT", "SPECULATIVE"), begin("t1", "TOOL", "TOOL"))
        one.hear(*INTERRUPTED)
        assert one.hear(audio("a1"), text("p2", "More."), call()[1]) == []

    def test_what_begins_after_it_is_another(self) -> None:
        """Somebody coughed: no words, and an answer all the same."""
        one = talk()
        one.hear(*speech(), *INTERRUPTED, *speech("Pardon?", "p2"))
        assert len(of(one.events, ResponseStarted)) == 2

    def test_words_of_ours_cut_and_are_answered(self) -> None:
        """What our own text cuts was to be heard to its end, and its answer is the request's."""
        one = talk()
        one.hear(*speech(), *sound())
        one.push(Text("And?"), CreateResponse(request=Q))
        assert one.hear(*INTERRUPTED) == []
        (started, _) = one.hear(*speech("And so on.", "p2"))
        assert isinstance(started, ResponseStarted)
        assert started.request == Q

    def test_nothing_else_is_taken_for_one(self) -> None:
        one = talk()
        for words in ('{"interrupted":false}', "I was interrupted.", '["interrupted"]'):
            one.hear(text("p1", words))
        assert of(one.events, Interrupted) == []
        one.hear(begin("u", "TEXT", "USER", "FINAL"), end("u", "TEXT", "INTERRUPTED"))
        assert of(one.events, Interrupted) == []


class TestCalls:
    """A call belongs to the answer that runs, or begins one; what follows goes on with it."""

    def test_a_round(self) -> None:
        one = talk()
        one.hear(*heard(), *call(content='{"at": 1}'))
        (made,) = of(one.events, ToolCall)
        assert (made.call, made.name, made.arguments) == (C, "look", '{"at":1}')
        assert of(one.events, ResponseDone) == []
        one.push(ToolResult(C, "a bee"))
        one.hear(*speech("A bee."), *sound(), *final("A bee."))
        assert len(of(one.events, ResponseStarted)) == 1
        assert statuses(one.events) == ["completed"]

    def test_the_model_speaks_on(self) -> None:
        """Nova 2 says something while the tool runs; the result is spoken of in the next answer."""
        one = talk()
        one.hear(*speech("Wait.", "p1"), *call(), *sound("a1"), *final("Wait."))
        assert statuses(one.events) == ["completed"]
        one.push(ToolResult(C, "a bee"))
        events = one.hear(*speech("A bee.", "p2"))
        assert kinds(events) == ["ResponseStarted", "AgentTranscript"]

    def test_several_at_once(self) -> None:
        one = talk()
        one.hear(*call("tu-1", id="t1"), *call("tu-2", id="t2"))
        one.hear(begin("t3", "TOOL", "TOOL"), call("tu-3", id="t3")[1], call("tu-4", id="t3")[1])
        assert [event.call for event in of(one.events, ToolCall)] == [
            "tu-1",
            "tu-2",
            "tu-3",
            "tu-4",
        ]
        assert len(of(one.events, ResponseStarted)) == 1

    def test_each_once(self) -> None:
        one = talk()
        one.hear(*call(), *call(id="t2"))
        one.push(ToolResult(C, "1"))
        one.hear(*call(id="t3"))
        assert len(of(one.events, ToolCall)) == 1

    @pytest.mark.parametrize(
        ("content", "arguments"),
        [
            (None, "{}"),
            ("", "{}"),
            ("{}", "{}"),
            ('{"a": [1]}', '{"a":[1]}'),
            (msgspec.json.encode('{"a":1}').decode(), '{"a":1}'),
            ({"a": 1}, '{"a":1}'),
            ("not json", "not json"),
            ("[1]", "[1]"),
            ([1], "[1]"),
            (7, "7"),
        ],
    )
    def test_arguments(self, content: Any, arguments: str) -> None:
        one = talk()
        one.hear(*call(content=content))
        assert of(one.events, ToolCall)[0].arguments == arguments

    @pytest.mark.parametrize("lacking", ["toolName", "toolUseId"])
    def test_calls_without_a_name_are_none(self, lacking: str) -> None:
        made = {"toolName": "look", "toolUseId": "tu-1", "content": "{}", lacking: None}
        assert talk().hear(said("toolUse", contentId="t", **made)) == []


class TestUsage:
    """The service counts up; each answer is told what came since the last one ended."""

    def test_once_and_the_difference(self) -> None:
        one = talk()
        one.hear(usage(10, 4), *speech(), usage(20, 9), *sound(), *final())
        one.hear(usage(25, 9), *speech(id="p2"), *sound("a2"), usage(30, 19), *final(id="f2"))
        one.hear(*speech(id="p3"), *sound("a3"), *final(id="f3"))
        told = [event.usage for event in of(one.events, ResponseDone)]
        assert told == [
            Usage(input_tokens=20, output_tokens=9, input_audio_tokens=10, output_audio_tokens=4),
            Usage(input_tokens=10, output_tokens=10, input_audio_tokens=5, output_audio_tokens=5),
            None,
        ]

    def test_answers_that_were_cut_are_counted(self) -> None:
        one = talk()
        one.hear(*speech(), usage(20, 9), *INTERRUPTED)
        assert of(one.events, ResponseDone)[0].usage is not None

    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({"totalInputTokens": 3, "totalOutputTokens": 4}, (3, 4, 0, 0)),
            ({"details": {"total": {"input": {"speechTokens": 3}}}}, (3, 0, 3, 0)),
            ({"details": {"total": {"output": {"textTokens": 3}}}}, (0, 3, 0, 0)),
            ({"details": {}, "totalInputTokens": -1}, (0, 0, 0, 0)),
        ],
    )
    def test_whatever_is_told(self, fields: Any, told: tuple[int, ...]) -> None:
        one = talk()
        one.hear(*speech(), said("usageEvent", **fields), END)
        usage_of = of(one.events, ResponseDone)[0].usage
        assert (
            usage_of.input_tokens,
            usage_of.output_tokens,
            usage_of.input_audio_tokens,
            usage_of.output_audio_tokens,
        ) == told


class TestUnknown:
    """What is not known passes, by name."""

    def test_events(self) -> None:
        (unknown,) = talk().hear(said("smileOutput", width=3))
        assert isinstance(unknown, Unknown)
        assert unknown.name == "smileOutput"
        assert '"width":3' in unknown.data

    @pytest.mark.parametrize(
        ("wire", "names"),
        [
            (b"{}", []),
            (b'{"event":null}', []),
            (b'{"event":{}}', []),
            (b'{"event":{"completionStart":null}}', []),
            (b'{"hello":1}', ["hello"]),
            (b'{"hello":1,"event":{"a":1,"b":[]}}', ["hello", "a", "b"]),
        ],
    )
    def test_messages(self, wire: bytes, names: list[str]) -> None:
        assert [event.name for event in of(talk().hear(wire), Unknown)] == names

    def test_fields_are_passed_over(self) -> None:
        block = {"contentId": "a", "type": "AUDIO", "role": "ASSISTANT", "mood": ["glad"]}
        assert talk().hear(said("contentStart", **block)) == []
