"""What a server says, as events: turns by their rule, words gathered, ends that are not told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.audio.format import PCM_24K, AudioFormat
from realtime_core.codec import Resume
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.errors import ContentFiltered
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    Connected,
    Interrupted,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    ResponseThought,
    ResumptionHandle,
    SessionEnding,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    ToolCallCancelled,
    Unknown,
    Usage,
    UserTranscript,
)
from realtime_core.frames import CreateResponse, Text
from tests.providers.gemini.wires import (
    COMPLETE,
    DONE,
    GENERATED,
    INTERRUPTED,
    PCM,
    SOUND,
    C,
    I,
    Q,
    R,
    Talk,
    content,
    part,
    said,
    sound,
    spoken,
    thought,
    tool_call,
)

USAGE = Usage(input_tokens=10, output_tokens=5)
STARTED = ResponseStarted(response=R)
PIECE = AudioOutput(response=R, item=I, pcm=PCM, format=PCM_24K)
ENDED = ResponseDone(response=R, status="completed", usage=USAGE)


def means(*wires: bytes, **config: Any) -> list[RealtimeEvent]:
    return Talk(**config).open().hear(*wires)


def words(text: str, *, final: bool = False) -> AgentTranscript:
    return AgentTranscript(response=R, item=I, text=text, final=final)


def user(text: str, item: str = "u0.0", *, final: bool = False) -> UserTranscript:
    return UserTranscript(item=ItemId(item), text=text, final=final)


def heard(text: str, **more: Any) -> bytes:
    return content(inputTranscription={"text": text, **more})


class TestTurns:
    """A turn is everything from its first output to the next `turnComplete`."""

    def test_a_spoken_turn(self) -> None:
        assert means(spoken("Hel"), SOUND, spoken("lo"), SOUND, GENERATED, DONE) == [
            STARTED,
            words("Hel"),
            PIECE,
            words("lo"),
            PIECE,
            AudioOutputDone(response=R, item=I),
            words("Hello", final=True),
            ENDED,
        ]

    def test_all_in_one_message(self) -> None:
        wire = said(
            serverContent={
                "turnComplete": True,
                "generationComplete": True,
                "outputTranscription": {"text": "Hi"},
                "modelTurn": {
                    "parts": [
                        {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAD//w=="}}
                    ]
                },
                "inputTranscription": {"text": "Hey"},
            },
            usageMetadata={"promptTokenCount": 10, "responseTokenCount": 5},
            sessionResumptionUpdate={"newHandle": "h", "resumable": True},
        )
        handle, *events = means(wire)
        assert isinstance(handle, ResumptionHandle)
        mine = ResponseId("r0.1")
        assert [type(one) for one in events] == [
            UserTranscript,
            UserTranscript,
            ResponseStarted,
            AgentTranscript,
            AudioOutput,
            AudioOutputDone,
            AgentTranscript,
            ResponseDone,
        ]
        assert {one.response for one in events} == {None, mine}

    def test_written_words(self) -> None:
        text = ResponseText(response=R, item=I, text="Hi", is_complete=False)
        assert means(part(text="Hi"), part(text="!"), DONE) == [
            STARTED,
            text,
            ResponseText(response=R, item=I, text="!", is_complete=False),
            ResponseText(response=R, item=I, text="Hi!", is_complete=True),
            ENDED,
        ]

    def test_thoughts_open_a_turn_and_are_neither_written_nor_spoken(self) -> None:
        assert means(thought("Hm."), SOUND, DONE) == [
            STARTED,
            ResponseThought(response=R, text="Hm."),
            PIECE,
            AudioOutputDone(response=R, item=I),
            ENDED,
        ]

    def test_what_is_generated_after_all_was_is_something_new(self) -> None:
        talk = Talk().open()
        talk.hear(SOUND, GENERATED)
        more = talk.hear(SOUND, DONE)
        other = ItemId("i0.2")
        assert more == [
            AudioOutput(response=R, item=other, pcm=PCM, format=PCM_24K),
            AudioOutputDone(response=R, item=other),
            ENDED,
        ]

    def test_the_next_turn_has_other_names(self) -> None:
        talk = Talk().open()
        talk.hear(SOUND, DONE)
        (started, piece) = talk.hear(SOUND)
        assert (started.response, piece.item) == (ResponseId("r0.2"), ItemId("i0.3"))

    def test_our_oldest_request_is_answered_first(self) -> None:
        talk = Talk().open()
        for name in ("a", "b"):
            talk.push(CreateResponse(request=RequestId(name)))
        events = talk.hear(SOUND, DONE, SOUND, DONE, SOUND)
        started = [one.request for one in events if isinstance(one, ResponseStarted)]
        assert started == ["a", "b", None]

    @pytest.mark.parametrize(
        "wire",
        [
            b"{}",
            b'{"serverContent":{}}',
            b'{"serverContent":null}',
            GENERATED,
            content(modelTurn={"parts": []}),
            content(modelTurn={"parts": None}),
            content(modelTurn={}),
            content(outputTranscription={}),
            content(outputTranscription={"finished": True}),
            content(inputTranscription={}),
            content(inputTranscription={"finished": True}),
            content(waitingForInput=True),
            part(inlineData={"mimeType": "audio/pcm;rate=24000"}),
            part(text=""),
            part(thought=True),
            said(toolCall={}),
            said(toolCall={"functionCalls": [{"id": "x"}]}),
            said(toolCallCancellation={}),
            said(sessionResumptionUpdate={}),
            said(sessionResumptionUpdate={"newHandle": "h", "resumable": False}),
            said(sessionResumptionUpdate={"newHandle": "", "resumable": True}),
            said(voiceActivity={}),
            said(voiceActivityDetectionSignal={}),
            content(turnComplete=True),
            content(interrupted=False, turnComplete=False),
            COMPLETE,
        ],
    )
    def test_what_says_nothing(self, wire: bytes) -> None:
        assert means(wire) == []
        assert means(SOUND, wire, SOUND)[:2] == [STARTED, PIECE]

    def test_more_turns_of_one_exchange(self) -> None:
        talk = Talk().open()
        talk.hear(SOUND, content(turnComplete=True, interactionStatus="IN_PROGRESS"))
        assert talk.push(Text("Aside.", turn="context")) == []
        talk.hear(SOUND)
        talk.hear(said(interactionStatus="IDLE"))
        assert talk.sent == [], "an answer runs"
        talk.hear(DONE)
        assert len(talk.sent) == 1


class TestEnds:
    """Each turn ends once, with what it cost and why."""

    @pytest.mark.parametrize(
        ("reason", "status", "error"),
        [
            ("NEED_MORE_INPUT", "completed", None),
            ("RESPONSE_REJECTED", "failed", ContentFiltered),
            ("MAX_REGENERATION_REACHED", "incomplete", None),
        ],
    )
    def test_reasons(self, reason: str, status: str, error: type | None) -> None:
        done = means(SOUND, content(turnComplete=True, turnCompleteReason=reason))[-1]
        assert isinstance(done, ResponseDone)
        assert done.status == status
        assert error is None or isinstance(done.error, error)

    def test_cost_of_an_earlier_message(self) -> None:
        cost = said(usageMetadata={"promptTokenCount": 10, "responseTokenCount": 5})
        *_, done = means(SOUND, cost, GENERATED, content(turnComplete=True))
        assert done == ENDED
        talk = Talk().open()
        talk.hear(SOUND, cost, DONE, SOUND)
        (*_, done) = talk.hear(content(turnComplete=True))
        assert isinstance(done, ResponseDone)
        assert done.usage is None, "once"

    def test_details_of_the_cost(self) -> None:
        told = {
            "promptTokenCount": 100,
            "candidatesTokenCount": 20,
            "thoughtsTokenCount": 7,
            "toolUsePromptTokenCount": 3,
            "cachedContentTokenCount": 50,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 10},
                {"modality": "AUDIO", "tokenCount": 60},
                {"modality": "VIDEO", "tokenCount": 20},
                {"modality": "IMAGE", "tokenCount": 10},
                {"modality": "AUDIO"},
            ],
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
        }
        done = means(SOUND, said(serverContent={"turnComplete": True}, usageMetadata=told))[-1]
        assert isinstance(done, ResponseDone)
        assert done.usage == Usage(
            input_tokens=103,
            output_tokens=27,
            input_audio_tokens=60,
            output_audio_tokens=20,
            input_image_tokens=30,
            cached_tokens=50,
        )

    def test_an_answer_without_output(self) -> None:
        """A model may keep silent: what was asked for is settled all the same."""
        talk = Talk().open()
        talk.push(CreateResponse(request=Q))
        assert talk.hear(DONE) == [
            ResponseStarted(response=R, request=Q),
            ResponseDone(response=R, status="completed", usage=USAGE),
        ]
        assert means(DONE) == [STARTED, ENDED], "what was paid for is told"

    def test_an_answer_that_is_cut_before_its_output(self) -> None:
        talk = Talk().open()
        talk.push(CreateResponse(request=Q))
        notice, started, done = talk.hear(INTERRUPTED, DONE)
        assert notice == Interrupted(cause="provider")
        assert started == ResponseStarted(response=R, request=Q)
        assert done == ResponseDone(response=R, status="interrupted", usage=USAGE)
        assert means(INTERRUPTED, DONE) == [Interrupted(cause="provider")]


class TestSound:
    """Samples are whole, at the rate that is told."""

    @pytest.mark.parametrize(
        ("mime", "rate"),
        [
            ("audio/pcm;rate=24000", 24_000),
            ("audio/pcm; rate=16000", 16_000),
            ("audio/pcm;channels=1;rate=8000", 8_000),
            ("audio/L16;rate=48000", 48_000),
            ("audio/pcm", 24_000),
        ],
    )
    def test_rates(self, mime: str, rate: int) -> None:
        (_, piece) = means(sound(PCM, mime))
        assert isinstance(piece, AudioOutput)
        assert piece.format == AudioFormat(rate=rate)

    @pytest.mark.parametrize("mime", ["audio/opus", "image/png", "", "audio/pcmu;rate=8000"])
    def test_what_is_no_sound_we_know(self, mime: str) -> None:
        assert means(sound(PCM, mime)) == [Unknown(name="inlineData", data=mime)]

    @given(st.lists(st.binary(max_size=9), max_size=8))
    def test_samples_that_were_split_are_joined(self, pieces: list[bytes]) -> None:
        events = means(*[sound(piece) for piece in pieces])
        out = [event.pcm for event in events if isinstance(event, AudioOutput)]
        whole = b"".join(pieces)
        assert all(len(piece) % 2 == 0 for piece in out)
        assert b"".join(out) == whole[: len(whole) // 2 * 2]

    def test_half_a_sample_does_not_leak_into_the_next_item(self) -> None:
        events = means(sound(b"\1\2\3"), GENERATED, sound(b"\4\5"))
        assert isinstance(events[-1], AudioOutput)
        assert events[-1].pcm == b"\4\5"


class TestCuts:
    """`interrupted` silences; the turn goes on to its end."""

    def test_a_turn_that_is_cut(self) -> None:
        talk = Talk().open()
        talk.hear(spoken("Hello"), SOUND)
        assert talk.hear(INTERRUPTED, INTERRUPTED) == [Interrupted(cause="provider", response=R)]
        assert talk.hear(SOUND) == [PIECE], "it is the machine that drops it"
        assert talk.hear(DONE) == [
            AudioOutputDone(response=R, item=I),
            words("Hello", final=True),
            ResponseDone(response=R, status="interrupted", usage=USAGE),
        ]

    def test_after_generation(self) -> None:
        """As recorded: generation runs ahead of what is heard."""
        events = means(SOUND, GENERATED, INTERRUPTED, DONE)
        assert events[2:] == [
            AudioOutputDone(response=R, item=I),
            Interrupted(cause="provider", response=R),
            ResponseDone(response=R, status="interrupted", usage=USAGE),
        ]

    def test_of_nothing(self) -> None:
        assert means(SOUND, DONE, INTERRUPTED)[-1] == Interrupted(cause="provider")

    def test_the_words_that_cut_stay_together(self) -> None:
        events = means(SOUND, heard("Wait"), INTERRUPTED, DONE, heard(" a moment"), SOUND)
        told = [one for one in events if isinstance(one, UserTranscript)]
        assert told == [
            user("Wait", "u0.2"),
            user("Wait a moment", "u0.2"),
            user("Wait a moment", "u0.2", final=True),
        ]


class TestUser:
    """Increments gather into one item; its end is told where the wire has none."""

    @pytest.mark.parametrize("end", [SOUND, DONE, spoken("Hi"), tool_call(("c", "f", {}))])
    def test_words(self, end: bytes) -> None:
        events = means(heard(" Hello"), heard(","), heard(" you."), end)
        assert events[:4] == [
            user("Hello"),
            user("Hello,"),
            user("Hello, you."),
            user("Hello, you.", final=True),
        ]

    def test_finished(self) -> None:
        assert means(heard("Hi", finished=True), heard("Oh"))[1:] == [
            user("Hi", final=True),
            user("Oh", "u0.1"),
        ]

    def test_words_that_may_change(self) -> None:
        guess = content(interimInputTranscription={"text": "wreck a nice"})
        assert means(guess, heard("recognise"), guess, SOUND)[:4] == [
            user("wreck a nice"),
            user("recognise"),
            user("recognisewreck a nice"),
            user("recognise", final=True),
        ]
        assert means(guess, SOUND)[1] == user("wreck a nice", final=True)

    def test_words_that_nobody_wants(self) -> None:
        assert means(heard("Hi"), transcribe_user=False) == []

    @pytest.mark.parametrize(
        ("start", "stop"),
        [
            (
                {"voiceActivity": {"type": "ACTIVITY_START", "audioOffset": "1.880s"}},
                {"voiceActivity": {"type": "ACTIVITY_END", "audioOffset": "2s"}},
            ),
            (
                {"voiceActivity": {"voiceActivityType": "ACTIVITY_START", "audioOffset": "1.88s"}},
                {"voiceActivity": {"voiceActivityType": "ACTIVITY_END", "audioOffset": "2.0"}},
            ),
        ],
    )
    def test_activity(self, start: dict[str, Any], stop: dict[str, Any]) -> None:
        item = ItemId("u0.0")
        assert means(said(**start), heard("Hi"), said(**stop), SOUND)[:4] == [
            SpeechStarted(item=item, audio_ms=1_880.0),
            user("Hi"),
            SpeechStopped(item=item, audio_ms=2_000.0),
            user("Hi", final=True),
        ]

    def test_signals_of_vertex(self) -> None:
        start = said(voiceActivityDetectionSignal={"vadSignalType": "VAD_SIGNAL_TYPE_SOS"})
        stop = said(voiceActivityDetectionSignal={"vadSignalType": "VAD_SIGNAL_TYPE_EOS"})
        started, stopped = means(start, stop)
        assert isinstance(started, SpeechStarted)
        assert isinstance(stopped, SpeechStopped)
        assert started.audio_ms is None

    def test_the_next_activity_ends_the_words_of_the_last(self) -> None:
        start = said(voiceActivity={"type": "ACTIVITY_START"})
        events = means(start, heard("Hi"), start, heard("Oh"))
        assert events[2] == user("Hi", final=True)
        assert events[-1] == user("Oh", "u0.1")


class TestCalls:
    """Calls are whole, in their order, each once."""

    def test_parallel_calls(self) -> None:
        events = means(tool_call((C, "look", {"at_once": 1}), ("fc_2", "go", {})))
        assert events == [
            STARTED,
            ToolCall(response=R, item=ItemId(C), call=C, name="look", arguments='{"at_once":1}'),
            ToolCall(
                response=R, item=ItemId("fc_2"), call=CallId("fc_2"), name="go", arguments="{}"
            ),
        ]

    def test_one_that_is_repeated(self) -> None:
        talk = Talk().open()
        talk.hear(tool_call((C, "look", {})))
        assert talk.hear(tool_call((C, "look", {}))) == []

    def test_what_is_long_past_is_forgotten(self) -> None:
        talk = Talk().open()
        talk.hear(*[tool_call((f"c{n}", "go", {})) for n in range(100)])
        assert len(talk.memory.calls) == 64

    @pytest.mark.parametrize("args", [{}, {"args": None}])
    def test_one_without_arguments_or_a_name(self, args: dict[str, Any]) -> None:
        calls = [{"id": "c", "name": "go", **args}, {"id": "d", **args}, {"name": "go", **args}]
        made = [
            one
            for one in means(said(toolCall={"functionCalls": calls}))
            if isinstance(one, ToolCall)
        ]
        assert [(one.call, one.arguments) for one in made] == [("c", "{}"), ("c0.1", "{}")]

    def test_void_ones(self) -> None:
        wire = said(toolCallCancellation={"ids": [C, "fc_2"]})
        assert means(wire) == [ToolCallCancelled(calls=(C, CallId("fc_2")))]

    def test_the_call_and_the_answer_are_one_turn(self) -> None:
        events = means(tool_call((C, "look", {})), SOUND, DONE)
        assert {one.response for one in events} == {R}

    def test_where_the_call_is_a_turn_of_its_own(self) -> None:
        """As on Vertex: the spoken answer is a second turn."""
        events = means(tool_call((C, "look", {})), GENERATED, DONE, SOUND, DONE)
        assert [one.response for one in events if isinstance(one, ResponseDone)] == [R, "r0.1"]


class TestSession:
    """The connection: its beginning, handles, its end ahead, what is passed on."""

    def test_open_once(self) -> None:
        talk = Talk()
        (event,) = talk.hear(said(setupComplete={"sessionId": "s"}), COMPLETE)
        assert isinstance(event, Connected)
        assert event.session_id == ""
        assert event.capabilities.provider == "gemini"

    def test_handles(self) -> None:
        (event,) = means(said(sessionResumptionUpdate={"newHandle": "h", "resumable": True}))
        assert isinstance(event, ResumptionHandle)
        assert event.handle.reveal() == "h"
        assert "'h'" not in repr(event)

    @pytest.mark.parametrize(
        ("told", "left"),
        [("50s", 50.0), ("1.5s", 1.5), ("60", 60.0), ("soon", None), ("", None), (None, None)],
    )
    def test_going_away(self, told: str | None, left: float | None) -> None:
        assert means(said(goAway={"timeLeft": told})) == [SessionEnding(left=left)]

    def test_sources_and_code_are_passed_on(self) -> None:
        sources = content(groundingMetadata={"webSearchQueries": ["a"]}, urlContextMetadata=None)
        code = part(executableCode={"code": "1+1"}, codeExecutionResult={"output": "2"})
        assert means(sources, code) == [
            Unknown(name="groundingMetadata", data='{"webSearchQueries":["a"]}'),
            Unknown(name="executableCode", data='{"code":"1+1"}'),
            Unknown(name="codeExecutionResult", data='{"output":"2"}'),
        ]

    def test_what_a_later_server_says(self) -> None:
        talk = Talk().open()
        before = talk.memory
        (top,) = talk.hear(said(smile={"width": "w" * 5_000}))
        assert isinstance(top, Unknown)
        assert (top.name, len(top.data)) == ("smile", 1_000)
        assert talk.hear(content(smile=1)) == [Unknown(name="serverContent.smile", data="1")]
        assert talk.memory is before
        assert talk.hear(said(smile=1, serverContent={"interrupted": True}))[0] == Interrupted(
            cause="provider"
        ), "what is known goes first"

    def test_names_differ_on_every_connection(self) -> None:
        first = Talk().open().hear(SOUND, DONE)
        later = Talk(resume=Resume(1)).open().hear(SOUND, DONE)
        names = [{one.response for one in events} for events in (first, later)]
        assert names[0].isdisjoint(names[1])
