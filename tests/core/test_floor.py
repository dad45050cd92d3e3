"""The floor: what continues after a tool's result never talks over the user."""

from __future__ import annotations

from msgspec.structs import replace

from realtime_core import (
    CreateResponse,
    ItemId,
    SpeechStarted,
    SpeechStopped,
    Text,
    ToolResult,
    Unavailable,
    UserTranscript,
)
from realtime_core.state import Timer
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import SCRIPTED
from tests.core.short import C1, R1, R2, TOOLS, call, done, of, opened, say, sent, started

TURN = 2.0


def asked(**able: object) -> Fold:
    """An answer that ended with a call; nothing is to be heard."""
    session = opened(replace(SCRIPTED, **able), tools=TOOLS, barrier_timeout=TURN)
    say(session, started(R1), call(C1), done(R1))
    return session


def creates(session: Fold) -> int:
    return len(of(CreateResponse, sent(session)))


def final(text: str) -> UserTranscript:
    return UserTranscript(item=ItemId("u"), text=text, final=True)


def test_nothing_continues_while_the_user_speaks() -> None:
    session = asked()
    say(session, SpeechStarted())
    assert session.push(ToolResult(C1, "12 degrees")) is None
    assert creates(session) == 0
    say(session, SpeechStopped())
    assert creates(session) == 0, "the provider may answer by itself"


def test_an_answer_of_the_provider_itself_supersedes_what_would_continue() -> None:
    session = asked()
    say(session, SpeechStarted())
    session.push(ToolResult(C1, "12 degrees"))
    say(session, SpeechStopped(), final("And tomorrow?"), started(R2), done(R2))
    session.wait(60.0)
    assert creates(session) == 0
    assert session.state.ledger.requests == ()


def test_a_result_that_comes_after_the_turn_waits_for_its_answer_too() -> None:
    session = asked()
    say(session, SpeechStarted(), SpeechStopped())
    session.push(ToolResult(C1, "12 degrees"))
    assert creates(session) == 0
    say(session, started(R2), done(R2))
    assert creates(session) == 0


def test_a_result_after_that_answer_continues() -> None:
    session = asked()
    say(session, SpeechStarted(), SpeechStopped(), started(R2), done(R2))
    session.push(ToolResult(C1, "12 degrees"))
    assert creates(session) == 1


def test_after_a_sound_without_words_it_goes_on() -> None:
    session = asked()
    say(session, SpeechStarted())
    session.push(ToolResult(C1, "12 degrees"))
    say(session, SpeechStopped(), final(""))
    assert creates(session) == 1
    assert Timer.TURN not in session.due


def test_where_nobody_answers_it_goes_on_in_time() -> None:
    session = asked()
    say(session, SpeechStarted())
    session.push(ToolResult(C1, "12 degrees"))
    say(session, SpeechStopped())
    session.wait(TURN)
    assert creates(session) == 1


def test_a_new_onset_prolongs_the_wait() -> None:
    session = asked()
    say(session, SpeechStarted(), SpeechStopped())
    session.push(ToolResult(C1, "12 degrees"))
    say(session, SpeechStarted())
    session.wait(10 * TURN)
    assert creates(session) == 0


def test_what_the_application_asks_for_does_not_wait() -> None:
    session = asked()
    say(session, SpeechStarted())
    session.push(Text("Go on."))
    assert creates(session) == 1


def test_without_tools_nothing_waits_and_no_timer_is_armed() -> None:
    session = opened()
    say(session, SpeechStarted(), SpeechStopped(), SpeechStopped(), final(""))
    assert not session.state.listening
    assert session.due == {}


def test_where_the_provider_continues_by_itself_nothing_is_kept() -> None:
    session = asked(tool_reply="automatic")
    say(session, SpeechStarted(), SpeechStopped())
    assert not session.state.listening
    assert Timer.TURN not in session.due


def test_a_lost_connection_ends_the_wait() -> None:
    session = asked()
    say(session, SpeechStarted(), SpeechStopped())
    session.lose(Unavailable(what="The cable was pulled."))
    assert not session.state.listening
    assert Timer.TURN not in session.due
