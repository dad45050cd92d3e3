"""What the provider says: bound, entered, passed on once, or counted and dropped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from returns.result import Result, Success

from realtime_core import (
    AgentTranscript,
    AudioOutputDone,
    Close,
    Coded,
    ConversationItem,
    CreateResponse,
    Disconnected,
    Error,
    Interrupt,
    Interrupted,
    ItemId,
    LateUsage,
    Message,
    ProtocolViolation,
    RateLimit,
    RateLimits,
    RealtimeError,
    RealtimeEvent,
    Reconnected,
    ResponseDone,
    ResponseId,
    ResponseText,
    ResponseThought,
    SessionEnding,
    SpeechStopped,
    ToolCallCancelled,
    ToolResult,
    Unknown,
    Usage,
    UserTranscript,
    Wire,
)
from realtime_core.codec import Outgoing
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import ScriptedCodec
from tests.core.short import (
    C1,
    C2,
    I1,
    I2,
    I3,
    NO,
    R1,
    R2,
    SECOND,
    TOOLS,
    call,
    done,
    names,
    of,
    opened,
    say,
    sent,
    sound,
    started,
    taken,
    words,
)


def answering(**settings: Any) -> Fold:
    session = opened(**settings)
    say(session, started(R1))
    taken(session)
    return session


def counts(session: Fold) -> dict[str, int]:
    return dict(session.state.counts)


def test_a_whole_answer_comes_through_in_order() -> None:
    session = opened()
    ended = ResponseDone(response=R1, status="completed", usage=Usage(output_tokens=7))
    say(
        session,
        started(R1),
        words("Hi", final=True),
        sound(),
        AudioOutputDone(response=R1, item=I1),
        ended,
    )
    events = taken(session)
    assert names(events) == [
        "ResponseStarted",
        "AgentTranscript",
        "AudioOutput",
        "AudioOutputDone",
        "ConversationItem",
        "ResponseDone",
    ]
    assert of(ResponseDone, events)[0].usage == Usage(output_tokens=7)
    assert counts(session) == {}


def test_a_response_starts_once_and_has_a_name() -> None:
    session = answering()
    say(session, started(R1))
    session.receive(b'{"type": "response_started"}')
    assert taken(session) == []
    assert counts(session) == {"repeated response": 2}


@pytest.mark.parametrize(
    ("event", "reason", "amount"),
    [
        (sound(480, response=R2), "late audio samples", 480),
        (sound(480, response=None), "late audio samples", 480),
        (sound(480, item=None), "late audio samples", 480),
        (words("x", response=R2), "late event", 1),
        (words("x", item=None), "late event", 1),
        (words("x", response=R2, final=True), "late event", 1),
        (AudioOutputDone(response=R2, item=I1), "late event", 1),
        (AudioOutputDone(response=R1), "late event", 1),
        (call(response=R2), "late event", 1),
        (done(R2), "late event", 1),
        (ResponseDone(status="completed"), "late event", 1),
        (ToolCallCancelled(calls=(C1,)), "late event", 1),
    ],
    ids=repr,
)
def test_output_of_no_running_response_is_counted_and_dropped(
    event: RealtimeEvent, reason: str, amount: int
) -> None:
    session = answering()
    say(session, event)
    assert taken(session) == []
    assert counts(session) == {reason: amount}


def test_output_behind_the_end_of_its_response_is_late() -> None:
    session = answering()
    say(session, done(), sound(), words("x"), done())
    assert names(taken(session)) == ["ResponseDone"]
    assert counts(session) == {"late audio samples": 480, "late event": 2}


def test_the_whole_words_of_an_ended_response_still_come_but_not_as_part_of_it() -> None:
    session = answering()
    say(session, done(), words("All of it", final=True))
    (event,) = of(AgentTranscript, taken(session))
    assert (event.response, event.item) == (None, I1)
    assert counts(session) == {}


def test_output_of_an_interrupted_response_is_counted_and_dropped() -> None:
    session = answering()
    say(session, sound())
    session.push(Interrupt())
    taken(session)
    say(session, sound(), words("x"), AudioOutputDone(response=R1, item=I1), call())
    assert taken(session) == []
    assert counts(session) == {
        "fenced audio samples": 480,
        "fenced event": 2,
        "late event": 1,
    }


def test_the_whole_words_of_an_interrupted_response_settle_it_and_are_not_counted() -> None:
    session = answering()
    say(session, sound())
    session.push(Interrupt())
    taken(session)
    say(session, words("All of it", final=True))
    assert names(taken(session)) == ["AgentTranscript"]
    assert session.state.history == ()
    assert counts(session) == {}


def test_an_item_belongs_to_one_response() -> None:
    session = answering()
    say(session, sound(480), done(), started(R2))
    taken(session)
    say(session, sound(480, I1, R2), words("x", I1, R2), AudioOutputDone(response=R2, item=I1))
    assert taken(session) == []
    assert session.state.ledger.items[I1].received == 480
    assert counts(session) == {"late audio samples": 480, "late event": 2}


def test_the_words_of_an_answer_build_one_entry_of_the_conversation() -> None:
    session = answering()
    say(session, words("Hello"), words(" there"), words("Bye", I2))
    assert session.state.history == (
        Message("assistant", "Hello there", item=I1),
        Message("assistant", "Bye", item=I2),
    )
    say(session, words("Hello, there.", final=True))
    assert session.state.history[0].text == "Hello, there."


def test_written_words_are_kept_the_same_way() -> None:
    session = answering()
    say(
        session,
        ResponseText(response=R1, item=I1, text="Hello", is_complete=False),
        ResponseText(response=R1, item=I1, text="Hello.", is_complete=True),
    )
    assert names(taken(session)) == ["ResponseText", "ResponseText"]
    assert session.state.history == (Message("assistant", "Hello.", item=I1),)


def test_a_tool_call_is_returned_once_with_its_entry_of_the_conversation() -> None:
    session = answering(tools=TOOLS)
    say(session, call(C1), call(C1))
    assert names(taken(session)) == ["ToolCall", "ConversationItem"]
    assert session.state.history == (Message("tool_call", "{}", call=C1, name="cancel"),)
    assert counts(session) == {"repeated call": 1}


def test_a_call_of_a_tool_nobody_declared_is_cancelled_by_an_interruption() -> None:
    session = answering()
    say(session, call(C1, "unheard of"))
    session.push(Interrupt())
    assert of(ToolCallCancelled, taken(session))[0].calls == (C1,)


def test_a_call_of_an_interrupted_response_is_void_from_the_start() -> None:
    session = answering(tools=TOOLS)
    session.push(Interrupt())
    say(session, call(C1, "finish"))
    assert of(ToolCallCancelled, taken(session)) == []
    assert counts(session) == {"fenced event": 1}
    assert session.push(ToolResult(C1, "x")) is not None


def test_calls_the_provider_cancels_are_void_and_only_open_ones_are_named() -> None:
    session = answering(tools=TOOLS)
    say(session, call(C1), call(C2))
    session.push(ToolResult(C1, "done"))
    taken(session)
    say(session, ToolCallCancelled(calls=(C1, C2)))
    (event,) = taken(session)
    assert isinstance(event, ToolCallCancelled)
    assert event.calls == (C2,)


def test_the_users_final_words_enter_the_conversation_and_partial_ones_do_not() -> None:
    session = opened()
    say(
        session,
        UserTranscript(item=I1, text="Hel", final=False),
        UserTranscript(item=I1, text="", final=True),
    )
    assert names(taken(session)) == ["UserTranscript", "UserTranscript"]
    assert not session.state.history
    say(session, UserTranscript(item=I1, text="Hello", final=True))
    assert names(taken(session)) == ["UserTranscript", "ConversationItem"]
    assert session.state.history == (Message("user", "Hello", item=I1),)


def test_the_first_partial_words_say_where_the_final_ones_belong() -> None:
    session = opened()
    say(
        session,
        UserTranscript(item=I2, text="", final=False),
        started(R1),
        words("Four."),
        UserTranscript(item=I2, text="Two and", final=False),
    )
    assert [message.text for message in session.state.conversation] == ["Four."]
    say(session, done(R1))
    assert [item.message.text for item in of(ConversationItem, taken(session))] == ["Four."]
    cost = Usage(seconds=1.5)
    say(session, UserTranscript(item=I2, text="Two and two?", final=True, usage=cost))
    said, item = taken(session)
    assert isinstance(said, UserTranscript)
    assert said.usage == cost
    assert isinstance(item, ConversationItem)
    assert session.state.conversation == (
        Message("user", "Two and two?", item=I2),
        Message("assistant", "Four.", item=I1),
    )


def test_words_that_cannot_be_written_down_leave_no_place() -> None:
    session = opened()
    say(session, UserTranscript(item=I1, text="Hm", final=False), started(R1), words("Yes?", I2))
    say(session, UserTranscript(item=I1, text="", final=True))
    assert session.state.history == (Message("assistant", "Yes?", item=I2),)


def test_what_comes_after_the_final_words_takes_nothing_of_them() -> None:
    session = opened()
    say(
        session,
        UserTranscript(item=I1, text="Hello", final=True),
        UserTranscript(item=I1, text="Hell", final=False),
        UserTranscript(item=I1, text="", final=True),
        UserTranscript(text="and", final=False),
    )
    assert session.state.history == (Message("user", "Hello", item=I1),)


def test_an_interruption_leaves_the_place_of_what_the_user_says() -> None:
    session = opened()
    say(session, started(R1), words("Once upon a time"), sound(SECOND))
    say(session, UserTranscript(item=I2, text="", final=False))
    session.push(Interrupt())
    say(session, done(R1, "cancelled"), started(R2), words("Sorry.", I3, R2))
    say(session, UserTranscript(item=I2, text="Stop!", final=True))
    texts = [message.text for message in session.state.conversation]
    assert texts == ["Stop!", "Sorry."]


_HEARD_OF = st.lists(
    st.tuples(st.sampled_from(("partial", "final", "answer")), st.integers(0, 3)), max_size=12
)


@given(_HEARD_OF)
def test_the_conversation_stands_in_the_order_in_which_it_was_heard_of(
    told: list[tuple[str, int]],
) -> None:
    session = opened()
    say(session, started(R1))
    first, written = list[str](), set[str]()
    for kind, number in told:
        item = ItemId(f"{kind == 'answer'}{number}")
        if kind == "answer":
            say(session, words("word", item))
        else:
            say(session, UserTranscript(item=item, text="word", final=kind == "final"))
        first += [] if item in first else [item]
        written |= {item} if kind != "partial" else set()
    shown = [message.item for message in session.state.conversation]
    assert shown == [item for item in first if item in written]


def test_what_the_limits_leave_is_passed_on() -> None:
    session = opened()
    limits = RateLimits(limits=(RateLimit("tokens", 100.0, 40.0, 6.5),))
    say(session, limits)
    (event,) = of(RateLimits, taken(session))
    assert event.limits == limits.limits


def test_a_notice_of_interruption_lifts_the_barrier() -> None:
    session = answering()
    session.push(Interrupt())
    assert session.state.barrier
    say(session, Interrupted(cause="provider"))
    assert not session.state.barrier


def test_a_notice_that_names_a_past_response_cuts_nothing_that_came_after() -> None:
    session = answering()
    session.push(Interrupt())
    say(session, done(R1, "cancelled"), started(R2), sound(480, I2, R2))
    taken(session)
    say(session, Interrupted(response=R1, cause="provider"))
    assert session.state.epoch == 1
    assert taken(session) == []
    say(session, Interrupted(response=R2, cause="provider"))
    assert of(Interrupted, taken(session))[0].fenced == (R2,)


def test_a_notice_that_names_an_ended_response_cuts_nothing_that_came_after() -> None:
    session = answering()
    say(session, done(R1), started(R2), sound(480, I2, R2))
    taken(session)
    say(session, Interrupted(response=R1, cause="provider"))
    assert (session.state.epoch, taken(session)) == (0, [])


def test_a_notice_that_names_an_ended_response_cuts_what_is_still_heard_of_it() -> None:
    session = answering()
    say(session, sound(SECOND), done(R1))
    taken(session)
    say(session, Interrupted(response=R1, cause="provider"))
    assert of(Interrupted, taken(session))[0].fenced == (R1,)


@pytest.mark.parametrize("known", [True, False])
def test_a_cancel_that_came_too_late_is_no_error(known: bool) -> None:
    """14: "not active" names the answer we meant to cancel; it tells that nobody waits for it."""
    session = answering()
    session.push(Interrupt())
    sent(session)
    taken(session)
    assert session.state.barrier
    before = session.state
    named = R1 if known else ResponseId("forgotten")
    say(session, Interrupted(response=named, cause="provider"))
    assert (sent(session), taken(session)) == ([], [])
    assert session.state == replace(before, barrier=False, codec=session.state.codec)
    session.push(CreateResponse())
    assert sent(session) == [], "the provider has not said that it has ended"
    say(session, done(R1))
    assert len(of(CreateResponse, sent(session))) == 1


def test_a_cancel_that_came_too_late_for_an_answer_that_has_ended_is_no_error() -> None:
    session = answering()
    session.push(Interrupt())
    say(session, done(R1))
    before = session.state
    say(session, Interrupted(response=R1, cause="provider"))
    assert session.state == replace(before, codec=session.state.codec)
    assert names(taken(session)) == ["Interrupted", "ResponseDone"]


def test_a_recoverable_error_is_passed_on_and_changes_nothing_else() -> None:
    session = opened()
    before = session.state
    say(session, Error(error=NO, recoverable=True))
    assert names(taken(session)) == ["Error"]
    assert session.state.phase is before.phase


def test_a_message_nobody_knows_is_passed_on_and_counted() -> None:
    session = opened()
    session.receive(b'{"type": "brand_new", "x": 1}')
    (event,) = taken(session)
    assert isinstance(event, Unknown)
    assert event.name == "brand_new"
    assert counts(session) == {"unknown message": 1}


def test_a_message_that_breaks_the_protocol_is_an_error_and_the_next_one_is_read() -> None:
    session = opened()
    session.receive(b"\xff{", b'{"type": "speech_stopped"}')
    error, after = taken(session)
    assert isinstance(error, Error)
    assert isinstance(error.error, ProtocolViolation)
    assert isinstance(after, SpeechStopped)


def test_what_needs_no_decision_is_passed_on_as_it_is() -> None:
    session = opened()
    say(
        session,
        SessionEnding(left=60.0),
        SpeechStopped(audio_ms=20.0),
        ConversationItem(message=Message("system", "Hello")),
    )
    assert names(taken(session)) == ["SessionEnding", "SpeechStopped", "ConversationItem"]


def test_what_would_follow_the_end_of_its_response_comes_without_its_name() -> None:
    session = answering()
    late = ConversationItem(response=R1, item=I1, message=Message("assistant", "Hi"))
    say(session, late, done(), late)
    items = of(ConversationItem, taken(session))
    assert {event.response for event in items} == {R1, None}


def test_only_the_session_says_that_it_ended_or_was_taken_up_again() -> None:
    session = opened()
    say(session, Reconnected(restored="nothing"), Disconnected(reason="x", clean=True))
    assert taken(session) == []
    assert counts(session) == {"improper event": 2}


class Deaf(ScriptedCodec):
    """A codec for which every message is of no interest."""

    def decode(self, state: int, wire: Wire) -> Result[Coded[int], RealtimeError]:
        return Success(Coded(state + 1))


class Chatty(ScriptedCodec):
    """A codec that has something to say when it takes leave."""

    def encode(self, state: int, frame: Outgoing) -> Result[Coded[int], RealtimeError]:
        return Success(Coded(state, (), (SpeechStopped(),)))


def test_what_a_codec_says_as_it_takes_leave_is_counted_and_dropped() -> None:
    session = opened()
    session.codec = Chatty()
    session.push(Close())
    assert taken(session) == []
    assert counts(session) == {"after close": 1}


def test_a_message_that_says_nothing_changes_only_the_codecs_state() -> None:
    session = opened()
    session.codec = Deaf()
    before = session.state
    session.receive(b"1", b"2")
    assert session.state == replace(before, codec=before.codec + 2)
    assert taken(session) == []


def test_thoughts_are_passed_on_as_long_as_their_answer_is() -> None:
    thought = ResponseThought(response=R1, text="Hm.")
    session = opened()
    say(session, thought, started(R1), thought)
    assert names(taken(session)) == ["ResponseStarted", "ResponseThought"]
    session.push(Interrupt())
    taken(session)
    say(session, thought)
    assert taken(session) == []
    assert session.state.counts == {"late event": 1, "fenced event": 1}


def test_what_an_answer_cost_that_was_closed_here_is_told_once() -> None:
    usage = Usage(input_tokens=3, output_tokens=5)
    session = opened(barrier_timeout=1.0)
    say(session, started(R1))
    session.push(Interrupt())
    session.wait(1.0)
    taken(session)
    cost = ResponseDone(response=R1, status="interrupted", usage=usage)
    say(session, done(R1), cost, cost)
    (late,) = taken(session)
    assert isinstance(late, LateUsage)
    assert (late.of, late.usage, late.response) == (R1, usage, None)
    assert session.state.counts == {"late event": 2}
