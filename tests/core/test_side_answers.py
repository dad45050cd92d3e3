"""Answers outside the conversation: they wait for none, and leave no trace in it."""

from __future__ import annotations

from msgspec.structs import replace

from realtime_core import (
    CreateResponse,
    Heard,
    Interrupt,
    Interrupted,
    InvalidRequest,
    Message,
    RequestId,
    ResponseDone,
    ResponseText,
    ToolCall,
    ToolResult,
    Unsupported,
)
from realtime_core.codec import CancelResponse, DeleteItem, TruncateItem
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import SCRIPTED
from tests.core.short import (
    C1,
    I1,
    I2,
    NO,
    R1,
    R2,
    SECOND,
    TOOLS,
    Refusing,
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

SIDE = CreateResponse(conversation="none", request=RequestId("side"))
MAIN = CreateResponse(request=RequestId("main"))


def asked(session: Fold) -> list[str]:
    """Give the requests the provider got since the last look."""
    return [frame.request for frame in of(CreateResponse, sent(session))]


def beside(session: Fold | None = None) -> Fold:
    """Give a session in which an answer outside the conversation has begun."""
    session = session or opened(tools=TOOLS)
    session.push(SIDE)
    say(session, started(R2, "side"))
    taken(session)
    sent(session)
    return session


def test_a_provider_that_lacks_it_is_not_asked() -> None:
    session = opened(replace(SCRIPTED, side_responses=False))
    refusal = session.push(SIDE)
    assert isinstance(refusal, Unsupported)
    assert refusal.field == "requests outside the conversation"
    assert sent(session) == []


def test_it_goes_out_as_it_was_asked_for() -> None:
    session = opened()
    wish = replace(
        SIDE,
        input=(Message("user", "Is this a question?"),),
        modalities=("text",),
        metadata={"topic": "kind"},
    )
    assert session.push(wish) is None
    assert sent(session) == [wish]


def test_within_the_conversation_nothing_else_is_read() -> None:
    session = opened()
    refusal = session.push(CreateResponse(input=(Message("user", "Hello"),)))
    assert isinstance(refusal, InvalidRequest)
    assert 'conversation="none"' in refusal.fix
    assert sent(session) == []


def test_it_waits_for_no_answer_that_is_open_or_unborn() -> None:
    session = opened()
    session.push(MAIN)
    session.push(SIDE)
    session.push(replace(SIDE, request=RequestId("another")))
    assert asked(session) == ["main", "side", "another"]


def test_no_answer_waits_for_it() -> None:
    session = beside()
    session.push(replace(SIDE, request=RequestId("another")))
    session.push(MAIN)
    session.push(replace(MAIN, request=RequestId("next")))
    assert asked(session) == ["another", "main"]
    say(session, started(R1, "main"), done(R2))
    assert asked(session) == []
    say(session, done(R1))
    assert asked(session) == ["next"]


def test_it_overtakes_what_waits_for_its_turn() -> None:
    session = opened()
    say(session, started(R1))
    session.push(MAIN)
    session.push(SIDE)
    assert asked(session) == ["side"]


def test_it_waits_for_the_barrier() -> None:
    session = opened()
    say(session, started(R1))
    session.push(Interrupt())
    session.push(SIDE)
    assert asked(session) == []
    say(session, done(R1, "cancelled"))
    assert asked(session) == ["side"]


def test_what_it_says_is_returned_and_leaves_no_trace() -> None:
    session = beside()
    written = ResponseText(response=R2, item=I2, text="Yes", is_complete=True)
    say(session, words("Well", response=R2), written, call(C1, "finish", R2), done(R2))
    assert names(taken(session)) == ["AgentTranscript", "ResponseText", "ToolCall", "ResponseDone"]
    assert session.state.history == ()


def test_the_result_of_its_call_is_taken_and_goes_nowhere() -> None:
    session = beside()
    say(session, call(C1, response=R2), done(R2))
    assert len(of(ToolCall, taken(session))) == 1
    session.codec = Refusing(ToolResult)
    assert session.push(ToolResult(C1, "42")) is None
    assert (sent(session), taken(session)) == ([], [])
    assert session.state.ledger.calls[C1].outcome == "kept"
    assert session.state.history == ()
    assert isinstance(session.push(ToolResult(C1, "42")), InvalidRequest)


def test_an_interruption_cuts_and_cancels_it_like_any_other() -> None:
    session = opened(tools=TOOLS)
    say(session, started(R1), sound(SECOND))
    beside(session)
    session.push(Interrupt())
    assert of(Interrupted, taken(session))[0].fenced == (R1, R2)
    assert of(CancelResponse, sent(session)) == [CancelResponse(R1), CancelResponse(R2)]
    session.push(MAIN)
    say(session, done(R1, "cancelled"))
    assert session.state.barrier
    assert asked(session) == []
    say(session, sound(480, I2, R2), done(R2, "cancelled"))
    assert names(taken(session)) == ["ResponseDone", "ResponseDone"]
    assert asked(session) == ["main"]


def test_one_that_was_interrupted_before_its_birth_is_cancelled_at_birth() -> None:
    session = opened()
    session.push(SIDE)
    session.push(Interrupt())
    say(session, started(R2, "side"))
    assert of(CancelResponse, sent(session)) == [CancelResponse(R2)]


def test_what_was_not_heard_of_it_is_not_in_the_providers_memory_either() -> None:
    session = beside()
    say(session, sound(SECOND, I1, R2), sound(SECOND, I2, R2))
    session.push(Heard(I1, 480))
    session.push(Interrupt())
    (cut,) = of(Interrupted, taken(session))
    assert [(part.item, part.samples) for part in cut.heard] == [(I1, 480), (I2, 0)]
    assert of(TruncateItem | DeleteItem, sent(session)) == []  # type: ignore[arg-type]


def test_it_settles_like_any_other() -> None:
    session = beside()
    session.lose(NO)
    assert [done.status for done in of(ResponseDone, taken(session))] == ["lost"]
