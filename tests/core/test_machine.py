"""The machine: what a pushed frame does, and why it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from realtime_core import (
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioFormat,
    AudioInput,
    ClearAudio,
    Close,
    CommitAudio,
    ConversationItem,
    CreateResponse,
    Frame,
    Heard,
    Interrupt,
    Interrupted,
    InvalidRequest,
    Message,
    SessionClosed,
    SessionConfig,
    Text,
    ToolResult,
    ToolSpec,
    Unavailable,
    Unsupported,
    UpdateSession,
    Video,
    Warning,
)
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import SCRIPTED
from tests.core.short import (
    C1,
    I1,
    NO,
    R1,
    SECOND,
    TOOLS,
    Refusing,
    call,
    dialled,
    done,
    names,
    of,
    opened,
    say,
    sent,
    sound,
    started,
    taken,
)

FRAMES: tuple[Frame, ...] = (
    Audio(bytes(4)),
    Video(b"jpeg"),
    Text("Hello", turn="context"),
    ActivityStart(),
    CommitAudio(),
    ClearAudio(),
    UpdateSession(SessionConfig(voice="joe")),
)


def named(frame: Frame) -> str:
    return type(frame).__name__


@pytest.mark.parametrize("frame", FRAMES, ids=named)
def test_a_frame_reaches_the_provider_as_it_was_pushed(frame: Frame) -> None:
    session = opened()
    assert session.push(frame) is None
    assert sent(session) == [frame]


@pytest.mark.parametrize("frame", FRAMES, ids=named)
def test_a_frame_the_codec_cannot_send_is_refused_and_leaves_no_trace(frame: Frame) -> None:
    session = opened()
    before = session.state
    session.codec = Refusing(type(frame))
    assert session.push(frame) == NO
    assert session.state == before
    assert taken(session) == []


@pytest.mark.parametrize(
    ("ability", "frame"),
    [
        ({"audio_in": ()}, Audio(bytes(4))),
        ({"images": False}, Video(b"jpeg")),
        ({"text_in": False}, Text("Hello")),
        ({"update": False}, UpdateSession(SessionConfig())),
        ({"manual_turns": False}, ActivityStart()),
        ({"manual_turns": False}, ActivityEnd()),
        ({"commit": False}, CommitAudio()),
        ({"commit": False}, ClearAudio()),
        ({"side_responses": False}, CreateResponse(conversation="none")),
        ({"text_out": False}, CreateResponse(modalities=("text",))),
    ],
    ids=str,
)
def test_what_the_provider_lacks_is_refused_before_it_hears_of_it(
    ability: dict[str, Any], frame: Frame
) -> None:
    session = opened(replace(SCRIPTED, **ability))
    refusal = session.push(frame)
    assert isinstance(refusal, Unsupported)
    assert refusal.field
    assert refusal.fix
    assert sent(session) == []


@pytest.mark.parametrize("frame", [*FRAMES, Heard(I1, 4), Interrupt()], ids=named)
def test_once_the_session_closes_every_frame_is_refused_alike(frame: Frame) -> None:
    session = opened()
    session.push(Close())
    closing = session.push(frame)
    session.lose()
    assert isinstance(closing, SessionClosed)
    assert session.push(frame) == closing
    assert session.push(Close()) is None


def test_before_the_session_is_open_only_urgent_frames_are_taken() -> None:
    session = dialled()
    assert isinstance(session.push(Text("Hello")), Unavailable)
    assert session.push(Interrupt()) is None
    assert session.push(Heard(I1, 4)) is None
    assert session.push(Close()) is None


def test_sent_audio_comes_back_as_an_event_unless_nobody_wants_it() -> None:
    session = opened()
    session.push(Audio(bytes(4)))
    (event,) = taken(session)
    assert isinstance(event, AudioInput)
    assert event.pcm == bytes(4)
    silent = opened(report_input=False)
    silent.push(Audio(bytes(4)))
    assert taken(silent) == []


def test_the_end_of_the_users_turn_asks_for_an_answer() -> None:
    session = opened()
    session.push(ActivityEnd())
    assert names(sent(session)) == ["ActivityEnd", "CreateResponse"]


def test_the_end_of_a_turn_that_cannot_be_sent_asks_for_nothing() -> None:
    session = opened()
    session.codec = Refusing(ActivityEnd)
    assert session.push(ActivityEnd()) == NO
    assert sent(session) == []


def test_text_enters_the_conversation_and_asks_for_an_answer() -> None:
    session = opened()
    session.push(Text("Be brief.", role="system", turn="context"))
    session.push(Text("Hello"))
    assert names(sent(session)) == ["Text", "Text", "CreateResponse"]
    assert session.state.history == (Message("system", "Be brief."), Message("user", "Hello"))
    assert names(taken(session)) == ["ConversationItem", "ConversationItem"]


def test_text_may_cut_what_is_being_said() -> None:
    session = opened()
    say(session, started(R1), sound(SECOND))
    taken(session)
    session.push(Text("Stop!", turn="interrupt"))
    assert [event.cause for event in of(Interrupted, taken(session))] == ["app"]


def with_call(**settings: Any) -> Fold:
    session = opened(**{"tools": TOOLS, **settings})
    say(session, started(R1), call(C1, "detach"), done(R1))
    taken(session)
    sent(session)
    return session


def test_a_result_is_sent_and_enters_the_conversation() -> None:
    session = with_call()
    result = ToolResult(C1, "21 degrees")
    assert session.push(result) is None
    assert names(sent(session)) == ["ToolResult", "CreateResponse"]
    (event,) = of(ConversationItem, taken(session))
    assert event.message == Message("tool_result", "21 degrees", call=C1, name="detach")


def test_a_call_takes_one_result() -> None:
    session = with_call()
    session.push(ToolResult(C1, "21 degrees"))
    refusal = session.push(ToolResult(C1, "22 degrees"))
    assert isinstance(refusal, InvalidRequest)
    assert "sent" in refusal.what


def test_a_result_of_an_unknown_call_is_refused() -> None:
    refusal = opened().push(ToolResult(C1, "x"))
    assert isinstance(refusal, InvalidRequest)
    assert "not known" in refusal.what


def test_a_result_that_cannot_be_sent_leaves_the_call_open() -> None:
    session = with_call()
    session.codec = Refusing(ToolResult)
    assert session.push(ToolResult(C1, "x")) == NO
    assert session.state.ledger.calls[C1].outcome == "open"


def test_the_result_of_a_detached_call_is_kept_from_the_model_after_an_interruption() -> None:
    session = with_call()
    session.push(Interrupt())
    assert session.push(ToolResult(C1, "21 degrees")) is None
    assert sent(session) == []
    assert session.state.ledger.calls[C1].outcome == "kept"
    assert session.state.history[-1].text == "21 degrees"


def test_heard_rises_only_and_never_passes_what_was_received() -> None:
    session = opened()
    say(session, started(R1), sound(100))
    for samples, heard in ((40, 40), (20, 40), (-5, 40), (1000, 100)):
        session.push(Heard(I1, samples))
        assert session.state.ledger.items[I1].heard == heard


def test_an_acknowledgement_of_something_stale_or_unknown_is_only_counted() -> None:
    session = opened()
    say(session, started(R1), sound(100))
    session.push(Interrupt())
    ledger = session.state.ledger
    session.push(Heard(I1, 50))
    session.push(Heard(type(I1)("other"), 50))
    assert session.state.ledger == ledger
    assert session.state.counts == {"late acknowledgement": 2}


def test_a_changed_configuration_is_in_force_at_once() -> None:
    session = opened()
    session.push(UpdateSession(SessionConfig(fps=5.0)))
    assert session.state.plan.config.fps == 5.0


def test_a_changed_configuration_is_negotiated_like_the_first() -> None:
    """What the provider lacks is left out with a warning, or refused; nothing is changed then."""
    able = replace(SCRIPTED, voices=("joe",), tools=False)
    session = opened(able)
    assert session.push(UpdateSession(SessionConfig(voice="ann", fps=5.0))) is None
    assert session.state.plan.config == SessionConfig(fps=5.0)
    assert sent(session) == [UpdateSession(SessionConfig(fps=5.0))]
    assert [warning.field for warning in of(Warning, taken(session))] == ["voice"]
    for wish in (
        SessionConfig(tools=(ToolSpec("look"),)),
        SessionConfig(input_format=AudioFormat(8_000)),
        SessionConfig(output_format=AudioFormat(8_000)),
    ):
        assert isinstance(session.push(UpdateSession(wish)), Unsupported)
    assert session.state.plan.config == SessionConfig(fps=5.0)


def test_a_change_that_cannot_be_sent_changes_nothing() -> None:
    session = opened()
    session.codec = Refusing(UpdateSession)
    assert session.push(UpdateSession(SessionConfig(fps=5.0))) == NO
    assert session.state.plan.config == SessionConfig()


def test_a_request_for_sound_is_refused_by_a_provider_that_only_writes() -> None:
    session = opened(replace(SCRIPTED, audio_out=()), modalities=("text",))
    assert isinstance(session.push(CreateResponse(modalities=("text", "audio"))), Unsupported)
    assert session.push(CreateResponse(modalities=("text",))) is None
    assert len(of(CreateResponse, sent(session))) == 1


def test_a_request_may_choose_its_modalities() -> None:
    session = opened()
    assert session.push(CreateResponse(modalities=("text",))) is None
    say(session, started(R1, "request-0"), done(R1))
    assert session.push(CreateResponse(modalities=("audio", "text"))) is None
    wishes = of(CreateResponse, sent(session))
    assert [wish.modalities for wish in wishes] == [("text",), ("audio", "text")]


def test_a_request_goes_out_by_its_name() -> None:
    session = opened()
    session.push(CreateResponse(instructions="In French."))
    (wish,) = of(CreateResponse, sent(session))
    assert (wish.instructions, bool(wish.request)) == ("In French.", True)
