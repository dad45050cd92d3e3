"""The codec as a whole: total over any bytes, in any order, under the machine."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure

from realtime_core import SessionConfig
from realtime_core.audio.format import PCM_16K
from realtime_core.codec import Coded, Media
from realtime_core.config import Message, ToolSpec
from realtime_core.errors import ProtocolViolation, Unsupported
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Connected,
    ConversationItem,
    Error,
    Event,
    Interrupted,
    Kind,
    Reconnected,
    ResponseDone,
    ResponseStarted,
    SessionEnding,
    ToolCall,
    ToolCallCancelled,
)
from realtime_core.frames import Audio, Close, CreateResponse, Frame, Interrupt, Text, ToolResult
from realtime_core.schedule import RECONNECT
from realtime_core.state import Phase
from realtime_core.testing.conformance import HOSTILE, check_coded, check_trace, conforms, total
from realtime_core.testing.fold import Fold
from realtime_nova import reading, turns
from realtime_nova.codec import NovaCodec, agree
from realtime_nova.memory import Turn
from realtime_nova.models import capabilities
from realtime_nova.server_events import ServerEvent
from tests.laws.stories import catches, many
from tests.providers.nova.grammar import judged, names, told_history
from tests.providers.nova.strategies import WIRES
from tests.providers.nova.wires import (
    ACCEPTED,
    FIRST,
    INTERRUPTED,
    MODELS,
    SECOND,
    C,
    R,
    Talk,
    audio,
    begin,
    call,
    final,
    heard,
    json,
    planned,
    sound,
    speech,
    usage,
)

SPOKEN = (ACCEPTED, *heard(), *speech(), *sound(), *final(), usage(9, 9))
BARGE_IN = (
    *SPOKEN[:-4],
    *INTERRUPTED,
    *final("Hi"),
    *heard("Stop!", "u2"),
    *speech("Fine.", "p2"),
    *sound("a2"),
    *final("Fine.", "f2"),
)
TOOLS = (ACCEPTED, *heard(), *call(), *speech("A bee."), *sound(), *final("A bee."))
ASYNC = (ACCEPTED, *call(), *speech("Wait."), *sound(), *speech("A bee.", "p2"), *sound("a2"))
_NAMES = sorted(
    {
        *(field.encode_name for field in msgspec.structs.fields(ServerEvent)),
        *("event", "contentId", "type", "role", "content", "stopReason", "additionalModelFields"),
        *("toolName", "toolUseId", "details", "total", "input", "speechTokens", "totalInputTokens"),
    }
)
_VALUES = ("TEXT", "AUDIO", "TOOL", "USER", "ASSISTANT", "END_TURN", "INTERRUPTED", "a1", "AAAA")


class TestTotal:
    """Any bytes give events, an unknown event or one typed fault, twice the same."""

    @pytest.mark.parametrize("wire", HOSTILE, ids=lambda wire: repr(wire)[:40])
    def test_hostile(self, wire: Any) -> None:
        talk = Talk()
        assert total(talk.codec, talk.memory, wire) == []
        talk.open().hear(*speech(), *sound()[:2])
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
        keys = st.sampled_from(_NAMES)
        value: st.SearchStrategy[Any] = st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=5)
            | st.sampled_from(_VALUES),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
            max_leaves=10,
        )
        event = data.draw(st.dictionaries(keys, value, max_size=4))
        wire = msgspec.json.encode({"event": event})
        talk = Talk().open()
        talk.hear(*speech(), *sound()[:2])
        assert total(talk.codec, talk.memory, wire) == []
        result = talk.codec.decode(talk.memory, wire)
        if isinstance(result, Failure):
            assert isinstance(result.failure(), ProtocolViolation)

    @many
    @given(st.data())
    def test_any_contents(self, data: st.DataObject) -> None:
        """Events whose fields have the right types, with any contents, in any order."""
        given_: st.SearchStrategy[Any] = st.none() | st.sampled_from((*_VALUES, "", "{}", '"{}"'))
        wires = st.builds(
            lambda name, fields: msgspec.json.encode({"event": {name: fields}}),
            st.sampled_from(("contentStart", "textOutput", "toolUse", "contentEnd")),
            st.dictionaries(st.sampled_from(_NAMES[:-1]), given_, max_size=6),
        )
        talk = Talk().open()
        for wire in data.draw(st.lists(wires, max_size=12)):
            assert total(talk.codec, talk.memory, wire) == []
            result = talk.codec.decode(talk.memory, wire)
            if not isinstance(result, Failure):
                talk.hear(wire)
        assert check_coded(talk.events) == []

    @many
    @given(st.sampled_from(WIRES), st.integers(0, 200), st.binary(min_size=1, max_size=3))
    def test_mutated_frames(self, wire: bytes, place: int, noise: bytes) -> None:
        talk = Talk().open()
        talk.hear(*speech(), *sound()[:2])
        broken = wire[:place] + noise + wire[place + len(noise) :]
        assert total(talk.codec, talk.memory, broken) == []
        assert total(talk.codec, talk.memory, wire[:place]) == []

    def test_the_reason_is_told(self) -> None:
        talk = Talk().open()
        fault = talk.codec.decode(talk.memory, b'{"event":{"textOutput":{"content":1}}}').failure()
        assert isinstance(fault, ProtocolViolation)
        assert "$.event.textOutput.content" in fault.cause

    def test_a_piece_of_a_track_is_bytes(self) -> None:
        talk = Talk().open()
        assert talk.hear(Media("audio", speech()[0])) == []

    def test_memory_is_bounded(self) -> None:
        talk = Talk().open()
        for number in range(1_000):
            talk.hear(
                begin(f"x{number}", "AUDIO", "ASSISTANT"), *call(f"c{number}", id=f"t{number}")
            )
            talk.hear(*speech(id=f"p{number}"))
            talk.push(Text("Hi"))
        memory = talk.memory
        assert memory.turn is not None
        sizes = (len(memory.blocks), len(memory.calls), len(memory.held), len(memory.turn.lines))
        assert max(sizes) <= 256


class TestGrammar:
    """What the codec says keeps its contract, and the machine's trace the one grammar."""

    @pytest.mark.parametrize(
        "wires", [SPOKEN, BARGE_IN, TOOLS, ASYNC], ids=["spoken", "cut", "tools", "async"]
    )
    @pytest.mark.parametrize("model", MODELS)
    def test_honest_turns(self, wires: tuple[bytes, ...], model: str) -> None:
        frames: tuple[Frame, ...] = (Text("Hello"), CreateResponse(), Interrupt())
        assert conforms(NovaCodec(), planned(model), wires, frames=frames) == []

    @staticmethod
    def law(wires: list[bytes]) -> None:
        """Turns are ours to derive, so that any order of the service's events is an honest one."""
        state, events = Talk().memory, list[Event]()
        for wire in wires:
            coded: Coded[Any] = NovaCodec().decode(state, wire).unwrap()
            state = coded.state
            events += coded.events
        assert check_coded(events) == []
        told = [
            event.item for event in events if isinstance(event, AgentTranscript) and event.final
        ]
        assert len(told) == len(set(told)), "the words of a sentence are told whole once"
        cuts = [event.response for event in events if isinstance(event, Interrupted)]
        assert len(cuts) == len(set(cuts)), "an answer is cut once"
        tokens = [e.usage.input_tokens for e in events if isinstance(e, ResponseDone) and e.usage]
        assert sum(tokens) <= 20, "a token is counted once"

    @many
    @given(st.lists(st.sampled_from(WIRES), max_size=32))
    def test_any_order(self, wires: list[bytes]) -> None:
        self.law(wires)

    @given(st.lists(st.sampled_from(WIRES), max_size=12), st.sampled_from(MODELS))
    def test_any_order_under_the_machine(self, wires: list[bytes], model: str) -> None:
        assert conforms(NovaCodec(), planned(model), wires, honest=False) == []

    def test_fault_opens_no_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def bare(page: Any) -> Any:
            turn = page.memory.turn or Turn(R)
            page.keep(turn=turn)
            return turn

        monkeypatch.setattr(turns, "_running", bare)
        catches(self.law, st.lists(st.sampled_from(WIRES), max_size=24))

    def test_fault_takes_late_sound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading, "belongs", lambda page, block: page.memory.past or Turn(R))
        catches(self.law, st.lists(st.sampled_from(WIRES), max_size=24))

    def test_fault_cuts_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def again(page: Any, of: Any) -> None:
            turn = page.memory.turn or page.memory.past
            if turn is not None:
                page.events.append(Interrupted(cause="provider", response=turn.response))

        monkeypatch.setattr(reading, "interrupted", again)
        catches(self.law, st.lists(st.sampled_from(WIRES), max_size=24))

    def test_fault_counts_totals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(turns, "_spent", lambda page: page.memory.usage)
        catches(self.law, st.lists(st.sampled_from((*SPOKEN, usage(20, 9))), max_size=40))


@many
@given(st.lists(st.sampled_from(WIRES), max_size=24))
def test_sound_alone_is_read_as_any_other(wires: list[bytes]) -> None:
    """The short way for sound says the same as the long one, and leaves the same behind."""
    quick, long = Talk(), Talk()
    for wire in wires:
        for one in (wire, audio("a1"), audio("a2")):
            quick.hear(one)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("realtime_nova.reading._sound_alone", lambda *_: None)
                long.hear(one)
            assert repr(quick.events) == repr(long.events)
    assert quick.memory == long.memory


class Session:
    """The codec under the machine, and all that it sends."""

    def __init__(self, model: str = SECOND, **config: Any) -> None:
        self.fold = Fold(NovaCodec(), planned(model, report_input=False, **config))
        self.fold.link()
        self.fold.receive(ACCEPTED)

    def hear(self, *wires: bytes) -> None:
        for wire in wires:
            self.fold.receive(wire)
        self.fold.drain()

    def said(self, name: str) -> list[dict[str, Any]]:
        return [json(wire)[name] for wire in self.fold.sent if name in json(wire)]

    def typed(self) -> list[str]:
        blocks = [one["contentName"] for one in self.said("contentStart") if one["interactive"]]
        return [one["content"] for one in self.said("textInput") if one["contentName"] in blocks]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.fold.events if isinstance(event, kind)]


class TestUnderTheMachine:
    """What a user does, what the service says, and what goes over the wire."""

    def test_opening(self) -> None:
        session = Session()
        session.fold.drain()
        assert session.fold.state.phase is Phase.OPEN
        assert isinstance(session.fold.events[0], Connected)

    def test_a_spoken_turn_is_remembered(self) -> None:
        session = Session()
        session.hear(*heard("Hello?"), *speech("Hi "), *sound(), *final("Hi "))
        told = [(m.role, m.text) for m in session.fold.state.conversation]
        assert told == [("user", "Hello?"), ("assistant", "Hi")]
        assert len(session.of(ConversationItem)) == 2

    def test_a_typed_turn(self) -> None:
        session = Session()
        session.fold.push(Text("Hi"))
        session.hear(*speech(), *sound(), *final())
        assert session.typed() == ["Hi"]
        assert [event.request for event in session.of(ResponseStarted)] == ["request-0"]

    def test_typed_words_wait_for_what_is_generated(self) -> None:
        session = Session()
        session.hear(*speech())
        session.fold.push(Text("And?"))
        session.hear(*sound("a1", "PARTIAL_TURN"))
        assert session.typed() == []
        session.hear(*sound("a2"))
        assert session.typed() == ["And?"], "they wait for no FINAL, which may never come"
        session.hear(*final(), *speech("So.", "p2"), *sound("a3"), *final("So.", "f2"))
        assert [event.request for event in session.of(ResponseStarted)] == [None, "request-0"]
        told = [(m.role, m.text) for m in session.fold.state.conversation]
        assert told[-3:] == [("assistant", "Hi there."), ("user", "And?"), ("assistant", "So.")]

    def test_a_stopped_request_swallows_no_spoken_answer(self) -> None:
        """The service drops the typed words for the spoken ones, or answers them together."""
        session = Session()
        session.fold.push(Text("Hi"))
        session.fold.push(Interrupt())
        session.hear(*heard(), *speech(), *sound(), *final())
        assert len(session.of(AudioOutput)) == 2
        assert session.fold.state.ledger.requests == ()
        assert [event.request for event in session.of(ResponseStarted)] == [None]
        assert check_trace(session.fold.events) == []

    def test_nor_one_that_comes_long_after(self) -> None:
        session = Session()
        session.fold.push(Text("Hi"))
        session.fold.push(Interrupt())
        session.fold.wait(60.0)
        session.hear(*heard(), *speech(), *sound(), *final())
        assert len(session.of(AudioOutput)) == 2
        session.fold.push(Text("And?"))
        assert session.typed() == ["Hi", "And?"], "nothing waits for the answer that was dropped"

    def test_a_barge_in_behind_typed_words_cuts_what_is_audible(self) -> None:
        """The first notice was taken for that of the typed words; then the user spoke indeed."""
        session = Session()
        session.hear(*speech(), *sound())
        session.fold.push(Text("And?"))
        session.hear(*INTERRUPTED)
        assert session.of(Interrupted) == []
        session.hear(*heard("Stop!"))
        assert [event.cause for event in session.of(Interrupted)] == ["provider"]
        assert [event.status for event in session.of(ResponseDone)] == ["completed", "interrupted"]
        session.hear(*speech("Fine.", "p2"), *sound("a2"), *final("Fine.", "f2"))
        assert len(session.of(AudioOutput)) == 4
        assert len(session.of(Interrupted)) == 1
        assert check_trace(session.fold.events) == []

    def test_what_is_typed_next_is_not_held_up_by_an_answer_that_never_comes(self) -> None:
        session = Session()
        session.fold.push(Text("One"))
        session.fold.push(Text("Two"))
        assert session.typed() == ["One"]
        session.hear(*heard())
        assert session.typed() == ["One", "Two"]
        assert [event.status for event in session.of(ResponseDone)] == ["interrupted"]

    def test_words_outlive_a_request_that_a_barge_in_has_cut(self) -> None:
        """They are part of the conversation, and go ahead of what is asked next."""
        session = Session()
        session.hear(*speech(), begin("a1", "AUDIO", "ASSISTANT"), audio("a1"))
        session.fold.push(Text("One"))
        session.hear(*INTERRUPTED, *heard("Stop!"), *speech("Fine.", "p2"), *sound("a2"))
        assert session.typed() == []
        session.fold.push(Text("Two"))
        assert session.typed() == ["One\nTwo"]
        session.hear(*speech("So.", "p3"), *sound("a3"))
        assert session.of(ResponseStarted)[-1].request == "request-1"
        assert session.of(Error) == []

    def test_they_do_not_wait_for_words_that_may_never_come(self) -> None:
        session = Session()
        session.hear(*speech(), *sound())
        session.fold.push(Text("And?"))
        assert session.typed() == ["And?"]
        session.hear(*INTERRUPTED, *speech("So.", "p2"), *sound("a2"), *final("So.", "f2"))
        assert session.of(Interrupted) == [], "it may be heard to its end"
        assert [event.status for event in session.of(ResponseDone)] == ["completed"] * 2
        assert [event.request for event in session.of(ResponseStarted)][1:] == ["request-0"]

    def test_several_typed_turns_are_all_settled(self) -> None:
        session = Session()
        session.hear(*speech())
        session.fold.push(Text("One"))
        session.fold.push(Text("Two"))
        session.hear(*sound(), *final(), *speech("So.", "p2"), *sound("a2"), *final("So.", "f2"))
        assert session.typed() == ["One\nTwo"]
        assert session.fold.state.ledger.requests == ()
        assert session.of(Error) == []

    def test_words_that_interrupt(self) -> None:
        """The old answer is silenced here at once, and its end there is no interruption again."""
        session = Session()
        session.hear(*speech(), begin("a1", "AUDIO", "ASSISTANT"), audio("a1"))
        session.fold.push(Text("Stop!", turn="interrupt"))
        session.fold.wait(3.0)
        assert session.typed() == ["Stop!"]
        session.hear(audio("a1"), *INTERRUPTED, *speech("Fine.", "p2"), *sound("a2"))
        assert [event.cause for event in session.of(Interrupted)] == ["app"]
        assert len(session.of(AudioOutput)) == 3, "none of the old answer came late"
        assert session.of(ResponseStarted)[-1].request == "request-0"
        assert check_trace(session.fold.events) == []

    def test_our_interrupt_sends_nothing(self) -> None:
        session = Session()
        session.hear(*speech(), begin("a1", "AUDIO", "ASSISTANT"), audio("a1"))
        before = len(session.fold.sent)
        session.fold.push(Interrupt())
        session.hear(audio("a1"))
        assert len(session.fold.sent) == before
        assert len(session.of(AudioOutput)) == 1

    def test_a_barge_in(self) -> None:
        session = Session()
        session.hear(*BARGE_IN[1:])
        cuts = session.of(Interrupted)
        assert [event.cause for event in cuts] == ["provider"]
        assert [event.status for event in session.of(ResponseDone)] == ["interrupted", "completed"]
        assert check_trace(session.fold.events) == []

    def test_a_tool_round(self) -> None:
        session = Session(tools=(ToolSpec("look"),))
        session.hear(*call())
        session.fold.push(ToolResult(C, "a bee"))
        session.hear(*speech("A bee."), *sound(), *final("A bee."))
        (answer,) = session.said("toolResult")
        assert msgspec.json.decode(answer["content"]) == {"result": "a bee"}
        assert len(session.of(ToolCall)) == len(session.of(ResponseDone)) == 1

    def test_a_barge_in_during_a_tool(self) -> None:
        session = Session(tools=(ToolSpec("look"),))
        session.hear(*call(), *INTERRUPTED, *heard("Never mind."), *speech("Fine."))
        assert [event.calls for event in session.of(ToolCallCancelled)] == [(C,)]
        refused = session.fold.push(ToolResult(C, "a bee"))
        assert refused is not None
        assert session.said("toolResult") == []

    def test_requests_without_words_are_refused_and_settled(self) -> None:
        session = Session()
        session.fold.push(CreateResponse())
        session.fold.drain()
        (error,) = session.of(Error)
        assert isinstance(error.error, Unsupported)
        assert session.fold.state.ledger.requests == ()

    def test_the_first_model_takes_sound_alone(self) -> None:
        session = Session(FIRST)
        assert isinstance(session.fold.push(Text("Hi")), Unsupported)
        session.fold.push(Audio(b"\0\0", PCM_16K))
        assert len(session.said("audioInput")) == 1

    def test_a_lost_connection_is_replayed(self) -> None:
        session = Session(retry=RECONNECT, history=(Message("user", "Before."),))
        session.hear(*heard(), *speech("Hi there."), *sound(), *final("Hi there."))
        session.fold.wait(1.0)
        before = len(session.fold.sent)
        session.fold.lose()
        session.fold.wait(30.0)
        session.fold.link()
        greeted = session.fold.sent[before:]
        assert judged(greeted) == ""
        assert told_history(greeted) == [
            ("USER", ["Before.\nHello?"]),
            ("ASSISTANT", ["Hi there."]),
        ]
        session.hear(ACCEPTED, *speech("Back.", "p1"))
        (back,) = session.of(Reconnected)
        assert back.restored == "history"
        assert check_trace(session.fold.events) == []

    def test_the_limit_of_eight_minutes(self) -> None:
        session = Session()
        session.hear(*heard(), *speech(), *sound(), *final())
        session.fold.wait(421.0)
        session.fold.drain()
        assert [event.left for event in session.of(SessionEnding)] == [60.0]
        session.fold.link()
        session.hear(ACCEPTED)
        session.fold.wait(2.0)
        session.hear(ACCEPTED)
        assert session.fold.state.conn == 1
        assert [type(event) for event in session.of(Reconnected)] == [Reconnected]
        assert session.of(Interrupted) == []
        session.fold.push(Close())
        assert names(session.fold.sent)[-3:] == ["-", "promptEnd", "sessionEnd"]

    @many
    @given(
        st.lists(
            st.sampled_from(
                (*WIRES, Text("Hi"), Interrupt(), Text("Go!", turn="interrupt"), CreateResponse())
            ),
            max_size=20,
        )
    )
    def test_anything_at_any_time(self, acts: list[Any]) -> None:
        """The trace keeps its grammar, and the wire its own, and nobody is cut but by a request."""
        session = Session()
        for act in acts:
            if isinstance(act, bytes):
                session.fold.receive(act)
            else:
                session.fold.push(act)
            session.fold.wait(1 / 64)
        session.fold.close()
        assert judged(session.fold.sent, complete=True) == ""
        assert check_trace(session.fold.events, complete=True) == []
        for event, epoch, _ in session.fold.trace:
            assert event.kind is not Kind.PERISHABLE or event.epoch == epoch


class TestAgreed:
    """What cannot be is refused, what is lacking is told, before anything is dialled."""

    def test_options_that_are_none(self) -> None:
        refused = agree(capabilities(), SessionConfig(options={"sped": 1}))
        assert isinstance(refused.failure(), Unsupported)

    @pytest.mark.parametrize(
        "tool",
        [
            ToolSpec("look", parameters={"type": object()}),
            ToolSpec("look", parameters={"title": "\ud800"}),
            ToolSpec("\ud800"),
        ],
    )
    def test_what_cannot_be_written(self, tool: ToolSpec) -> None:
        refused = agree(capabilities(), SessionConfig(tools=(tool,))).failure()
        assert isinstance(refused, Unsupported)
        assert refused.field == "tools"

    def test_the_name_of_the_model_stands_in_the_plan(self) -> None:
        assert planned().config.model == SECOND
        assert planned(FIRST).config.model == FIRST
        assert not planned(FIRST).capabilities.text_in
        refused = agree(capabilities(), SessionConfig(modalities=("text",)))
        assert isinstance(refused.failure(), Unsupported)
