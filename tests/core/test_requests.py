"""Requests for an answer: each is sent once, when it is its turn, and settled."""

from __future__ import annotations

from msgspec.structs import replace

from realtime_core import (
    ConversationItem,
    CreateResponse,
    Error,
    Interrupt,
    RequestId,
    Text,
    ToolResult,
)
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import SCRIPTED
from tests.core.short import (
    C1,
    C2,
    NO,
    R1,
    R2,
    TOOLS,
    Refusing,
    call,
    done,
    of,
    opened,
    say,
    sent,
    started,
    taken,
)

MANY = replace(SCRIPTED, one_response=False)


def asked(session: Fold) -> list[str]:
    """Give the requests the provider got since the last look."""
    return [frame.request for frame in of(CreateResponse, sent(session))]


def test_a_request_without_a_name_gets_one_of_its_own() -> None:
    session = opened(MANY)
    session.push(CreateResponse())
    session.push(CreateResponse(request=RequestId("mine")))
    session.push(CreateResponse())
    assert asked(session) == ["request-0", "mine", "request-2"]


def test_an_answer_names_the_request_it_answers_and_only_ours() -> None:
    session = opened(MANY)
    session.push(CreateResponse(request=RequestId("mine")))
    say(session, started(R1, "mine"), started(R2, "of another"))
    assert [event.request for event in of(type(started()), taken(session))] == ["mine", None]
    assert session.state.ledger.requests == ()


def test_where_one_answer_is_open_at_a_time_a_request_waits_for_the_one_before() -> None:
    session = opened()
    for name in ("a", "b", "c"):
        session.push(CreateResponse(request=RequestId(name)))
    assert asked(session) == ["a"]
    say(session, started(R1, "a"))
    assert asked(session) == []
    say(session, done(R1))
    assert asked(session) == ["b"]


def test_a_request_waits_for_an_answer_the_provider_began_by_itself() -> None:
    session = opened()
    say(session, started(R1))
    session.push(CreateResponse(request=RequestId("a")))
    assert asked(session) == []
    say(session, done(R1))
    assert asked(session) == ["a"]


def test_a_refused_request_is_settled_and_the_next_one_goes() -> None:
    session = opened()
    session.push(CreateResponse(request=RequestId("a")))
    session.push(CreateResponse(request=RequestId("b")))
    refusal = Error(error=NO, recoverable=True, request=RequestId("a"))
    say(session, refusal)
    assert asked(session) == ["a", "b"]
    (error,) = of(Error, taken(session))
    assert (error.request, error.error) == ("a", refusal.error)


def test_a_request_the_codec_cannot_send_becomes_an_error_and_is_settled() -> None:
    session = opened()
    session.codec = Refusing(CreateResponse)
    session.push(CreateResponse(request=RequestId("a")))
    (error,) = of(Error, taken(session))
    assert (error.request, error.recoverable) == ("a", True)
    assert session.state.ledger.requests == ()


def test_an_interruption_supersedes_the_requests_not_yet_sent() -> None:
    session = opened()
    session.push(CreateResponse(request=RequestId("a")))
    session.push(CreateResponse(request=RequestId("b")))
    session.push(Interrupt())
    say(session, started(R1, "a"), done(R1, "cancelled"))
    assert asked(session) == ["a"]


def test_a_request_after_an_interruption_waits_for_the_barrier() -> None:
    session = opened()
    session.push(CreateResponse(request=RequestId("a")))
    say(session, started(R1, "a"))
    session.push(Interrupt())
    session.push(CreateResponse(request=RequestId("b")))
    assert asked(session) == ["a"]
    say(session, done(R1, "cancelled"))
    assert asked(session) == ["b"]


def test_text_asks_for_an_answer_unless_it_is_only_context() -> None:
    session = opened()
    session.push(Text("Note this.", turn="context"))
    assert asked(session) == []
    session.push(Text("Well?"))
    assert len(asked(session)) == 1
    assert [event.message.text for event in of(ConversationItem, taken(session))] == [
        "Note this.",
        "Well?",
    ]


def called(session: Fold) -> Fold:
    """Let the model call two tools in one response."""
    say(session, started(R1), call(C1), call(C2))
    taken(session)
    sent(session)
    return session


def test_the_continuation_is_asked_for_once_all_calls_of_an_ended_response_are_answered() -> None:
    session = called(opened(tools=TOOLS))
    session.push(ToolResult(C1, "1"))
    say(session, done(R1))
    assert asked(session) == []
    session.push(ToolResult(C2, "2"))
    assert len(asked(session)) == 1


def test_the_continuation_waits_for_the_end_of_the_response() -> None:
    session = called(opened(tools=TOOLS))
    session.push(ToolResult(C1, "1"))
    session.push(ToolResult(C2, "2"))
    assert asked(session) == []
    say(session, done(R1))
    assert len(asked(session)) == 1


def test_a_provider_that_goes_on_by_itself_is_not_asked_to() -> None:
    session = called(opened(replace(SCRIPTED, tool_reply="automatic"), tools=TOOLS))
    session.push(ToolResult(C1, "1"))
    session.push(ToolResult(C2, "2"))
    say(session, done(R1))
    assert asked(session) == []


def test_an_interrupted_response_is_not_continued() -> None:
    session = opened(tools=TOOLS)
    say(session, started(R1), call(C1, "finish"))
    session.push(Interrupt())
    session.push(ToolResult(C1, "1"))
    say(session, done(R1, "cancelled"))
    assert asked(session) == []


def test_a_response_without_calls_is_not_continued() -> None:
    session = opened(tools=TOOLS)
    say(session, started(R1), done(R1))
    assert asked(session) == []
