"""Interruption is one transition: raise, fence, settle the tools, repair, announce once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from realtime_core import (
    AudioOutputDone,
    CancelResponse,
    ConversationItem,
    CreateResponse,
    DeleteItem,
    Heard,
    Interrupt,
    Interrupted,
    RequestId,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    Spaced,
    SpeechStarted,
    Text,
    ToolCallCancelled,
    ToolResult,
    TruncateItem,
    TurnDetection,
)
from realtime_core.state import Fence, Phase, Timer
from realtime_core.testing import TICK
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import SCRIPTED
from tests.core.short import (
    C1,
    C2,
    I1,
    I2,
    I3,
    R1,
    R2,
    R3,
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

APPLICATION = {"turn_detection": TurnDetection(authority="application")}


def speaking(**settings: Any) -> Fold:
    """Give a session in which one second of an answer came and half of it was heard."""
    session = opened(**settings)
    say(session, started(R1), words("One two three four"), sound(SECOND))
    session.take(3)
    session.wait(0.5)
    session.steps.clear()
    return session


def test_an_interruption_raises_the_epoch_and_says_what_was_heard_and_cut() -> None:
    session = speaking()
    session.push(Interrupt())
    (event,) = taken(session)
    assert isinstance(event, Interrupted)
    assert (event.epoch, event.cause, event.fenced) == (1, "app", (R1,))
    (heard,) = event.heard
    assert (heard.item, heard.response, heard.samples, heard.received) == (
        I1,
        R1,
        SECOND // 2,
        SECOND,
    )
    assert (heard.text, heard.exact) == ("One", False)


def test_the_conversation_keeps_what_was_heard() -> None:
    session = speaking()
    session.push(Interrupt())
    (message,) = session.state.history
    assert (message.text, message.exact) == ("One", False)


def test_a_sinks_word_makes_what_was_heard_exact() -> None:
    session = speaking()
    say(session, AudioOutputDone(response=R1, item=I1))
    session.push(Heard(I1, SECOND))
    say(session, words("Five", item=I2, span=(0, 10)), sound(20, item=I2))
    session.push(Heard(I2, 10))
    session.push(Interrupt())
    one, two = of(Interrupted, taken(session))[0].heard
    assert (one.text, one.exact) == ("One two three four", True)
    assert (two.text, two.exact) == ("Five", True)


def test_the_fence_stands_before_anything_else_of_the_interruption() -> None:
    session = speaking()
    session.push(Interrupt())
    assert names(session.steps[0].effects)[:2] == ["Fence", "Emit"]
    assert session.steps[0].effects[0] == Fence(session.state.epoch, (R1,))


@pytest.mark.parametrize("cause", ["local", "provider"])
def test_an_automatic_interruption_of_nothing_changes_nothing(cause: str) -> None:
    session = opened()
    before = session.state
    if cause == "local":
        session.push(Interrupt(cause="local"))
        assert session.state == before
    else:
        say(session, Interrupted(cause="provider"))
        assert session.state.epoch == 0
    assert taken(session) == []
    assert sent(session) == []


def test_the_applications_interruption_of_nothing_is_announced_and_sends_nothing() -> None:
    session = opened()
    session.push(Interrupt())
    session.push(Interrupt())
    assert [event.epoch for event in of(Interrupted, taken(session))] == [1, 2]
    assert sent(session) == []
    assert session.state.due == {}


def test_automatic_interruptions_in_a_row_raise_the_epoch_once() -> None:
    session = speaking()
    say(session, SpeechStarted(), SpeechStarted(), Interrupted(cause="provider"))
    session.push(Interrupt(cause="local"))
    assert session.state.epoch == 1


def test_a_response_is_cancelled_by_name_and_truncated_to_what_was_heard() -> None:
    session = speaking()
    session.push(Interrupt())
    assert sent(session) == [
        CancelResponse(R1),
        TruncateItem(I1, SECOND // 2, SECOND, "One"),
    ]


def test_an_item_nobody_heard_is_deleted_and_one_heard_whole_is_left_alone() -> None:
    session = opened()
    say(session, started(R1), sound(SECOND, I1), sound(SECOND, I2), sound(SECOND, I3))
    session.take(3)
    session.wait(1.5)
    session.steps.clear()
    session.push(Interrupt())
    assert sent(session) == [
        CancelResponse(R1),
        TruncateItem(I2, SECOND // 2, SECOND),
        DeleteItem(I3),
    ]


def test_what_a_provider_cannot_do_is_not_asked_of_it() -> None:
    session = opened(replace(SCRIPTED, cancel=False, truncate=False, delete=False))
    say(session, started(R1), sound(SECOND, I1), sound(SECOND, I2))
    session.take(2)
    session.wait(0.5)
    session.steps.clear()
    session.push(Interrupt())
    assert sent(session) == []
    assert not session.state.barrier


def test_the_providers_own_interruption_is_not_answered_with_a_cancel() -> None:
    session = speaking()
    say(session, SpeechStarted())
    assert sent(session) == [TruncateItem(I1, SECOND // 2, SECOND, "One")]
    assert names(taken(session)) == ["SpeechStarted", "Interrupted"]


def test_speech_cuts_nothing_where_the_provider_is_not_in_charge() -> None:
    session = speaking(**APPLICATION)
    say(session, SpeechStarted())
    assert names(taken(session)) == ["SpeechStarted"]
    assert session.state.epoch == 0


def test_a_response_that_is_complete_but_still_sounds_is_cut_without_a_cancel() -> None:
    session = speaking()
    say(session, done(R1))
    session.push(Interrupt())
    assert sent(session) == [TruncateItem(I1, SECOND // 2, SECOND, "One two")]
    assert not session.state.barrier
    assert Timer.SETTLE not in session.state.due


def test_written_answers_stay_as_they_were_received() -> None:
    session = opened()
    written = ResponseText(response=R1, item=I1, text="Read me", is_complete=False)
    say(session, started(R1), written)
    session.push(Interrupt())
    assert of(Interrupted, taken(session))[0].heard == ()
    assert session.state.history[0].text == "Read me"


def test_an_interrupted_call_ends_by_its_policy() -> None:
    session = opened(tools=TOOLS)
    say(session, started(R1), call(C1, "cancel"), call(C2, "finish"))
    taken(session)
    session.push(Interrupt())
    assert of(ToolCallCancelled, taken(session))[0].calls == (C1,)
    assert session.push(ToolResult(C1, "late")) is not None
    assert session.push(ToolResult(C2, "in time")) is None


def test_a_response_born_after_the_interruption_that_doomed_it_is_cancelled_at_birth() -> None:
    session = opened()
    session.push(CreateResponse(request=RequestId("a")))
    session.push(Interrupt())
    sent(session)
    say(session, started(R1, "a"), sound())
    assert sent(session) == [CancelResponse(R1)]
    assert of(ResponseStarted, taken(session)) == []
    say(session, done(R1, "cancelled"))
    assert names(taken(session)) == ["ResponseDone"]


def test_a_doomed_answer_that_cannot_be_cancelled_is_fenced_all_the_same() -> None:
    session = opened(replace(SCRIPTED, cancel=False))
    session.push(CreateResponse(request=RequestId("a")))
    session.push(Interrupt())
    sent(session)
    say(session, started(R1, "a"), sound())
    assert sent(session) == []
    assert names(taken(session)) == ["Interrupted"]


def test_until_the_barrier_an_answer_nobody_asked_for_is_taken_for_an_old_one() -> None:
    session = speaking()
    session.push(Interrupt())
    say(session, started(R2), sound(response=R2, item=I2))
    assert session.state.ledger.responses[R2].fenced
    say(session, done(R1, "cancelled"), done(R2))
    say(session, started(R3), sound(response=R3, item=I3))
    assert not session.state.ledger.responses[R3].fenced


def test_the_barrier_falls_with_the_providers_answer() -> None:
    session = speaking()
    session.push(Interrupt())
    states = [session.state.barrier]
    say(session, done(R1, "cancelled"))
    assert [*states, session.state.barrier] == [True, False]
    assert session.state.due == {}


def test_the_barrier_falls_at_its_deadline_and_the_unanswered_is_settled_by_us() -> None:
    session = speaking(barrier_timeout=16 * TICK)
    session.push(Interrupt())
    session.push(CreateResponse(request=RequestId("b")))
    taken(session)
    sent(session)
    session.wait(15 * TICK)
    states = [session.state.barrier]
    session.wait(TICK)
    assert [*states, session.state.barrier] == [True, False]
    (ending,) = of(ResponseDone, taken(session))
    assert (ending.response, ending.status, ending.by_provider) == (R1, "interrupted", False)
    assert sent(session) == [CreateResponse(request=RequestId("b"))]


def test_an_answer_overdue_at_the_barrier_is_still_stale_when_it_comes_at_last() -> None:
    session = opened(barrier_timeout=16 * TICK)
    session.push(CreateResponse(request=RequestId("a")))
    session.push(Interrupt())
    session.push(CreateResponse(request=RequestId("b")))
    session.wait(1.0)
    assert [r.request for r in of(CreateResponse, sent(session))] == ["a", "b"]
    taken(session)
    say(session, started(R1, "a"), sound())
    assert taken(session) == []
    assert sent(session) == [CancelResponse(R1)]
    say(session, started(R2, "b"))
    assert names(taken(session)) == ["ResponseStarted"]


def test_a_stale_answer_that_never_ends_is_settled_by_us_and_holds_up_nothing() -> None:
    session = opened(barrier_timeout=16 * TICK)
    session.push(CreateResponse(request=RequestId("a")))
    session.push(Interrupt())
    session.wait(1.0)
    say(session, started(R1, "a"))
    session.push(CreateResponse(request=RequestId("b")))
    taken(session)
    sent(session)
    session.wait(1.0)
    assert of(ResponseDone, taken(session))[0].status == "interrupted"
    assert of(CreateResponse, sent(session))[0].request == "b"


def test_requests_that_stay_unanswered_are_not_remembered_without_end() -> None:
    session = opened(barrier_timeout=TICK)
    for number in range(100):
        session.push(CreateResponse(request=RequestId(f"r-{number}")))
        session.push(Interrupt())
        session.wait(1.0)
    assert len(session.state.ledger.requests) == 64
    say(session, started(R1, "r-99"))
    assert session.state.ledger.responses[R1].fenced


def test_the_end_of_a_response_completes_its_items_and_gives_them_to_the_conversation() -> None:
    session = opened()
    say(session, started(R1), words("Hello"), sound(), done(R1))
    *_, item, ending = taken(session)
    assert isinstance(item, ConversationItem)
    assert (item.message.text, item.response, item.item) == ("Hello", R1, I1)
    assert isinstance(ending, ResponseDone)
    assert session.state.ledger.items[I1].complete


def test_a_second_interruption_cancels_no_response_twice() -> None:
    session = speaking()
    session.push(Interrupt())
    session.push(Interrupt())
    session.push(Text("And now?", turn="interrupt"))
    assert len(of(CancelResponse, sent(session))) == 1


def test_an_interruption_before_the_connection_stands_sends_nothing() -> None:
    session = speaking(retry=Spaced(1.0))
    session.lose()
    assert session.state.phase is Phase.RESUMING
    session.steps.clear()
    session.push(Interrupt())
    assert of(Interrupted, taken(session))[-1].epoch == 2
    assert sent(session) == []
