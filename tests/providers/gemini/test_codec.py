"""The codec as a whole: total over any bytes, in any order, under the machine."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure

from realtime_core import SessionConfig
from realtime_core.audio.format import AudioFormat
from realtime_core.codec import Coded
from realtime_core.config import ToolSpec, TurnDetection
from realtime_core.epoch import ResponseId
from realtime_core.errors import ProtocolViolation, Unsupported
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Connected,
    Event,
    Interrupted,
    Kind,
    ResponseDone,
    ResponseStarted,
    ToolCall,
    UserTranscript,
)
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    CreateResponse,
    Frame,
    Interrupt,
    Text,
    ToolResult,
)
from realtime_core.state import Phase
from realtime_core.testing.conformance import HOSTILE, check_coded, check_trace, conforms, total
from realtime_core.testing.fold import Fold
from realtime_gemini import answers
from realtime_gemini.codec import GeminiCodec, agree
from realtime_gemini.encoding import plain
from realtime_gemini.memory import Turn
from realtime_gemini.models import capabilities
from realtime_gemini.parts import Blob, Content, Part
from realtime_gemini.server_messages import ServerContent, ServerMessage
from tests.laws.stories import catches, many
from tests.providers.gemini.wires import (
    COMPLETE,
    DONE,
    GENERATED,
    INTERRUPTED,
    MODELS,
    SOUND,
    C,
    Talk,
    content,
    json,
    part,
    planned,
    said,
    spoken,
    thought,
    tool_call,
)

START = said(voiceActivity={"type": "ACTIVITY_START", "audioOffset": "1.880s"})
STOP = said(voiceActivity={"type": "ACTIVITY_END", "audioOffset": "2.5s"})
HEARD = content(inputTranscription={"text": " Hello"})
BOTH = said(
    serverContent={
        "modelTurn": {
            "parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA//8A"}}]
        },
        "outputTranscription": {"text": "Hi"},
    }
)
FRAMES = (
    COMPLETE,
    START,
    HEARD,
    STOP,
    thought("Hm."),
    spoken("Hello"),
    SOUND,
    BOTH,
    part(text="Hi"),
    tool_call((C, "look", {"at": 1})),
    tool_call((None, "look", {}), ("fc_2", "go", {})),
    said(toolCallCancellation={"ids": [C]}),
    INTERRUPTED,
    GENERATED,
    DONE,
    content(turnComplete=True, interactionStatus="IN_PROGRESS"),
    content(turnComplete=True, turnCompleteReason="RESPONSE_REJECTED"),
    said(usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 4}),
    said(goAway={"timeLeft": "50s"}),
    said(sessionResumptionUpdate={"newHandle": "h", "resumable": True}),
    content(groundingMetadata={"webSearchQueries": ["a"]}),
    said(smile=1),
    b"{}",
)
SPOKEN = (COMPLETE, START, HEARD, STOP, BOTH, BOTH, GENERATED, DONE)
BARGE_IN = (
    COMPLETE,
    spoken("Hi"),
    SOUND,
    GENERATED,
    INTERRUPTED,
    DONE,
    HEARD,
    SOUND,
    GENERATED,
    DONE,
)
TOOLS = (COMPLETE, tool_call((C, "look", {})), spoken("A bee."), SOUND, GENERATED, DONE)
_FIELDS = sorted(
    {
        str(next(iter(plain({name: 0}))))
        for kind in (ServerMessage, ServerContent, Content, Part, Blob)
        for name in kind.__struct_fields__
    }
    | {
        "ids",
        "functionCalls",
        "name",
        "args",
        "id",
        "text",
        "finished",
        "newHandle",
        "resumable",
        "timeLeft",
        "type",
        "audioOffset",
        "promptTokenCount",
        "promptTokensDetails",
        "mime_type",
    }
)


class TestTotal:
    """Any bytes give events, an unknown event or one typed fault, twice the same."""

    @pytest.mark.parametrize("wire", HOSTILE, ids=lambda wire: repr(wire)[:40])
    def test_hostile(self, wire: Any) -> None:
        talk = Talk().open()
        assert total(talk.codec, talk.memory, wire) == []
        talk.hear(SOUND)
        assert total(talk.codec, talk.memory, wire) == []

    @many
    @given(st.binary(max_size=64) | st.text(st.characters(codec=None), max_size=64))
    def test_any_bytes(self, wire: bytes | str) -> None:
        talk = Talk().open()
        assert total(talk.codec, talk.memory, wire) == []

    @many
    @given(st.data())
    def test_any_fields(self, data: st.DataObject) -> None:
        """Wrong types in what is known are a fault, and whatever passes gives a sound event."""
        names = st.sampled_from(_FIELDS)
        value: st.SearchStrategy[Any] = st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=5)
            | st.sampled_from(("AAAA", "audio/pcm;rate=24000", "ACTIVITY_START")),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
            max_leaves=10,
        )
        wire = msgspec.json.encode(data.draw(st.dictionaries(names, value, max_size=5)))
        talk = Talk().open()
        talk.hear(SOUND)
        assert total(talk.codec, talk.memory, wire) == []
        result = talk.codec.decode(talk.memory, wire)
        if isinstance(result, Failure):
            assert isinstance(result.failure(), ProtocolViolation)

    @many
    @given(st.sampled_from(FRAMES), st.integers(0, 200), st.binary(min_size=1, max_size=3))
    def test_mutated_frames(self, wire: bytes, place: int, noise: bytes) -> None:
        talk = Talk().open()
        talk.hear(SOUND)
        broken = wire[:place] + noise + wire[place + len(noise) :]
        assert total(talk.codec, talk.memory, broken) == []
        assert total(talk.codec, talk.memory, wire[:place]) == []

    def test_the_reason_is_told(self) -> None:
        talk = Talk().open()
        fault = talk.codec.decode(talk.memory, b'{"serverContent":{"interrupted":[]}}').failure()
        assert isinstance(fault, ProtocolViolation)
        assert "$.serverContent.interrupted" in fault.cause


class TestGrammar:
    """What the codec says keeps its contract, and the machine's trace the one grammar."""

    @pytest.mark.parametrize("wires", [SPOKEN, BARGE_IN, TOOLS], ids=["spoken", "cut", "tools"])
    @pytest.mark.parametrize("model", MODELS)
    def test_honest_turns(self, wires: tuple[bytes, ...], model: str) -> None:
        mode = ("text",) if "robotics" in model else ("audio",)
        plan = planned(model, modalities=mode)
        frames: tuple[Frame, ...] = (Text("Hello"), CreateResponse(), Interrupt())
        assert conforms(GeminiCodec(), plan, wires, frames=frames) == []

    @staticmethod
    def law(wires: list[bytes]) -> None:
        """The wire has no ids, so that any order of its messages is an honest one."""
        state, events = Talk().memory, list[Event]()
        for wire in wires:
            coded: Coded[Any] = GeminiCodec().decode(state, wire).unwrap()
            state = coded.state
            events += coded.events
        assert check_coded(events) == []

    @many
    @given(st.lists(st.sampled_from(FRAMES), max_size=24))
    def test_any_order(self, wires: list[bytes]) -> None:
        self.law(wires)

    @given(st.lists(st.sampled_from(FRAMES), max_size=12), st.sampled_from(MODELS[:5]))
    def test_any_order_under_the_machine(self, wires: list[bytes], model: str) -> None:
        assert conforms(GeminiCodec(), planned(model), wires, honest=False) == []

    def test_fault_opens_no_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def bare(page: Any) -> Any:
            turn = page.memory.turn or Turn(ResponseId("r"))
            page.keep(turn=turn)
            return turn

        monkeypatch.setattr(answers, "running", bare)
        catches(self.law, st.lists(st.sampled_from(FRAMES), max_size=24))

    def test_fault_splits_samples(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def careless(memory: Any, message: Any) -> Any:
            del memory, message

        monkeypatch.setattr(answers, "sound_alone", careless)
        monkeypatch.setattr(answers, "PCM_24K", AudioFormat(channels=2))
        odd = part(inlineData={"mimeType": "audio/pcm;rate=24000", "data": "AAA="})
        catches(self.law, st.lists(st.sampled_from((odd, SOUND)), min_size=1, max_size=4))


@many
@given(st.lists(st.sampled_from((SOUND, BOTH, spoken("a"), GENERATED, DONE)), max_size=12))
def test_words_of_an_answer_are_the_whole_of_its_pieces(wires: list[bytes]) -> None:
    events = Talk().open().hear(*wires, DONE)
    pieces = dict[Any, str]()
    for event in events:
        if isinstance(event, AgentTranscript):
            if event.final:
                assert pieces.pop(event.item) == event.text
            else:
                pieces[event.item] = pieces.get(event.item, "") + event.text
    assert not pieces
    started = [one.response for one in events if isinstance(one, ResponseStarted)]
    assert started == [one.response for one in events if isinstance(one, ResponseDone)]


@many
@given(st.lists(st.sampled_from(FRAMES), max_size=16))
def test_sound_alone_is_read_as_any_other(wires: list[bytes]) -> None:
    """The short way for sound says the same as the long one, and leaves the same behind."""
    quick, long = Talk().open(), Talk().open()
    for wire in wires:
        for one in (wire, SOUND):
            quick.hear(one)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("realtime_gemini.reading.sound_alone", lambda *_: None)
                long.hear(one)
            assert repr(quick.events) == repr(long.events)
    assert quick.memory == long.memory


class Session:
    """The codec under the machine, and all that it sends."""

    def __init__(self, model: str = "", **config: Any) -> None:
        config = {"report_input": False, **config}
        self.fold = Fold(GeminiCodec(), planned(model, **config))
        self.fold.link()
        self.fold.receive(COMPLETE)

    def hear(self, *wires: bytes) -> None:
        for wire in wires:
            self.fold.receive(wire)
        self.fold.drain()

    def sent(self, key: str = "clientContent") -> list[dict[str, Any]]:
        wires = [json(wire) for step in self.fold.steps for wire in step.wires]
        return [wire[key] for wire in wires if key in wire]


class TestUnderTheMachine:
    """What a user does, what a server says, and what goes over the wire."""

    def test_a_typed_turn(self) -> None:
        session = Session()
        session.fold.push(Text("Hi"))
        session.hear(SOUND, GENERATED, DONE)
        (asked,) = session.sent()
        assert asked["turnComplete"] is True
        (started,) = [one for one in session.fold.events if isinstance(one, ResponseStarted)]
        assert started.request == "request-0"

    def test_a_typed_turn_waits_for_the_answer_that_runs(self) -> None:
        session = Session()
        session.hear(SOUND)
        session.fold.push(Text("And?"))
        assert session.sent() == []
        session.hear(DONE)
        assert [one["turnComplete"] for one in session.sent()] == [False, True]

    def test_our_interrupt_is_told_to_the_model_when_it_has_stopped(self) -> None:
        session = Session()
        session.hear(spoken("Hello there, how are you?"), *[SOUND] * 3)
        session.fold.push(Interrupt())
        assert session.sent() == []
        session.hear(SOUND, DONE)
        (note,) = session.sent()
        assert note["turnComplete"] is False
        assert "stopped you" in note["turns"][0]["parts"][0]["text"]
        assert check_trace(session.fold.events) == []
        sounds = [one for one in session.fold.trace if isinstance(one.event, AudioOutput)]
        assert len(sounds) == 3, "what came after it is stale"

    @pytest.mark.parametrize("wires", [(INTERRUPTED,), (START, INTERRUPTED)])
    def test_an_interruption_of_the_servers_own_needs_no_word(
        self, wires: tuple[bytes, ...]
    ) -> None:
        session = Session()
        session.hear(spoken("Hello there"), *[SOUND] * 3)
        session.hear(*wires, DONE, HEARD, SOUND, DONE)
        assert session.sent() == []
        cuts = [one for one in session.fold.events if isinstance(one, Interrupted)]
        assert [one.cause for one in cuts] == ["provider"]
        done = [one.status for one in session.fold.events if isinstance(one, ResponseDone)]
        assert done == ["interrupted", "completed"]

    def test_a_tool_round(self) -> None:
        session = Session(tools=(ToolSpec("look"),))
        session.hear(tool_call((C, "look", {})))
        session.fold.push(ToolResult(C, "a bee"))
        session.hear(spoken("A bee."), SOUND, GENERATED, DONE)
        (answer,) = session.sent("toolResponse")
        assert answer["functionResponses"][0]["response"] == {"output": "a bee"}
        assert session.sent() == [], "the model goes on by itself"
        assert [type(one) for one in session.fold.events if isinstance(one, ToolCall)] == [ToolCall]

    def test_marked_turns(self) -> None:
        session = Session(turn_detection=TurnDetection(mode="manual"))
        session.fold.push(ActivityStart())
        session.fold.push(ActivityEnd())
        session.hear(HEARD, SOUND, DONE)
        assert session.sent() == []
        started = [one for one in session.fold.events if isinstance(one, ResponseStarted)]
        assert started[0].request == "request-0"
        told = [one.text for one in session.fold.events if isinstance(one, UserTranscript)]
        assert told == ["Hello", "Hello"]

    @many
    @given(
        st.lists(
            st.sampled_from(
                (
                    *FRAMES[1:15],
                    Text("Hi"),
                    Text("x", turn="context"),
                    Interrupt(),
                    Text("Go!", turn="interrupt"),
                    CreateResponse(),
                )
            ),
            max_size=20,
        )
    )
    def test_nothing_cuts_an_answer_but_a_request(self, acts: list[Any]) -> None:
        """Ordered content without a request goes only where nothing is being generated."""
        session = Session()
        running = False
        for act in acts:
            before = len(session.sent())
            if isinstance(act, bytes):
                session.fold.receive(act)
                told = msgspec.json.decode(act)
                inner = told.get("serverContent") or {}
                outputs = {"modelTurn", "outputTranscription"} & set(inner) or "toolCall" in told
                running = (running or bool(outputs)) and not inner.get("turnComplete")
            else:
                session.fold.push(act)
            for one in session.sent()[before:]:
                assert one["turnComplete"] or not running
        session.fold.close()
        assert check_trace(session.fold.events, complete=True) == []
        for event, epoch, _ in session.fold.trace:
            assert event.kind is not Kind.PERISHABLE or event.epoch == epoch


def test_opening() -> None:
    session = Session()
    session.fold.drain()
    assert session.fold.state.phase is Phase.OPEN
    assert isinstance(session.fold.events[0], Connected)


def test_options_that_are_none_are_refused() -> None:
    refused = agree(capabilities(), SessionConfig(options={"sped": 1}))
    assert isinstance(refused.failure(), Unsupported)
