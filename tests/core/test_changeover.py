"""Changing the connection: made before the old one ends, taken when nobody notices."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from realtime_core import (
    ActivityStart,
    AuthFailed,
    Close,
    CreateResponse,
    Disconnected,
    Exponential,
    Heard,
    InternalFault,
    Interrupted,
    InvalidRequest,
    Message,
    ProtocolViolation,
    RateLimited,
    RealtimeError,
    Reconnected,
    ResponseDone,
    SessionEnding,
    Spaced,
    SpeechStarted,
    SpeechStopped,
    Text,
    ToolResult,
    Unavailable,
    UserTranscript,
)
from realtime_core.capability import HistoryLimits
from realtime_core.state import Dial, Hangup, Phase, Received, Standby, Timer
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import SCRIPTED, Greeting
from tests.core.short import (
    C1,
    I1,
    I2,
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
    welcome,
    words,
)

LOST = Unavailable(what="The cable was pulled.")
HISTORY = replace(SCRIPTED, resumption="none")
HANDLE = b'{"type": "resumption_handle", "handle": "take me back"}'


def ending(left: float | None = 20.0, able: Any = HISTORY, **settings: Any) -> Fold:
    """Give a session whose provider has said that it will end the connection."""
    session = opened(able, **settings)
    say(session, SessionEnding(left=left))
    return session


def phase(session: Fold) -> Phase:
    return session.state.phase


def moved(session: Fold) -> bool:
    return session.state.conn == 1


# --- make before break ------------------------------------------------------------------------


def test_the_next_connection_is_made_beside_and_taken_at_once_where_all_is_silent() -> None:
    session = ending()
    assert Dial(1) in session.steps[-1].effects
    assert (phase(session), session.state.conn) == (Phase.OPEN, 0)
    session.link()
    assert (phase(session), session.state.conn) == (Phase.RESUMING, 1)
    assert Hangup(0) in session.steps[-1].effects
    (greeting,) = of(Greeting, sent(session))
    assert greeting.handle is None
    welcome(session)
    assert names(taken(session)) == ["SessionEnding", "Reconnected"]
    assert (phase(session), session.state.standby, session.state.due) == (Phase.OPEN, None, {})


def test_an_end_that_is_told_before_the_welcome_is_only_passed_on() -> None:
    session = opened(HISTORY, retry=Spaced(1.0))
    session.lose(LOST)
    session.wait(1.0)
    session.link()
    taken(session)
    say(session, SessionEnding(left=20.0))
    assert (phase(session), session.state.standby) == (Phase.RESUMING, None)
    assert names(taken(session)) == ["SessionEnding"]


def test_it_is_greeted_with_the_newest_handle() -> None:
    session = ending(able=replace(SCRIPTED, history=False))
    assert session.beside is None  # nothing could be taken up
    session.receive(HANDLE)
    say(session, SessionEnding(left=20.0))
    session.push(Text("Hold the line.", turn="context"))
    session.receive(HANDLE.replace(b"take me", b"bring me"))
    sent(session)
    session.link()
    assert of(Greeting, sent(session))[0].handle == "bring me back"


def test_a_provider_that_takes_up_nothing_is_stayed_with() -> None:
    session = ending(able=replace(HISTORY, history=False))
    assert session.beside is None
    assert session.state.due == {}


def test_messages_of_the_old_connection_change_nothing_any_more() -> None:
    session = ending()
    session.link()
    before = session.state
    session.give(Received(at=session.at, conn=0, wires=(b"{}",)))
    assert session.state == replace(before, counts={"old connection": 1})
    session.lose(LOST, conn=0)
    assert phase(session) is Phase.RESUMING


def speaking(session: Fold) -> None:
    say(session, started(R1), sound(SECOND))


def asked(session: Fold) -> None:
    session.push(CreateResponse())


def calling(session: Fold) -> None:
    say(session, started(R1), call(C1, "finish"), done(R1))


def user_speaking(session: Fold) -> None:
    say(session, SpeechStarted())


def user_spoke(session: Fold) -> None:
    say(session, SpeechStarted(), SpeechStopped())


def user_begins(session: Fold) -> None:
    session.push(ActivityStart())


BUSY = (speaking, asked, calling, user_speaking, user_spoke, user_begins)


@pytest.mark.parametrize("busy", BUSY)
def test_it_waits_for_a_silent_moment(busy: Any) -> None:
    session = opened(HISTORY, tools=TOOLS)
    busy(session)
    say(session, SessionEnding(left=20.0))
    session.link()
    session.wait(14.5)
    assert not moved(session)
    session.wait(0.5)
    assert moved(session)


def test_what_the_user_has_just_said_is_written_down_first() -> None:
    session = opened(HISTORY)
    say(session, UserTranscript(item=I2, text="", final=False))
    say(session, started(R1), words("No."), done(R1), SessionEnding(left=20.0))
    session.link()
    session.wait(2.0)
    assert not moved(session)
    say(session, UserTranscript(item=I2, text="Is it?", final=True))
    session.wait(1.0)
    assert moved(session)


@pytest.mark.parametrize("busy", BUSY)
def test_it_is_silent_once_that_is_over(busy: Any) -> None:
    session = opened(HISTORY, tools=TOOLS)
    busy(session)
    say(session, SessionEnding(left=20.0))
    session.link()
    assert not moved(session)
    if busy is calling:
        session.push(ToolResult(C1, "ok"))
    if busy is not speaking:
        (wish,) = session.state.ledger.requests or (None,)
        say(session, started(R2, wish.id if wish else None), done(R2))
    else:
        say(session, done(R1))
        taken(session)
        assert not moved(session)
        session.push(Heard(I1, SECOND))
    assert moved(session)
    assert not of(Interrupted, taken(session))


def test_who_cuts_in_has_the_word_where_the_provider_reports_no_speech() -> None:
    """The words are told behind the notice; until then nothing else says that somebody speaks."""
    session = opened(replace(HISTORY, speech_events=False))
    say(session, started(R1), words("Well"), sound(), SessionEnding(left=20.0))
    session.link()
    say(session, Interrupted(cause="provider", response=R1), done(R1, "interrupted"))
    session.wait(2.0)
    assert not moved(session)
    say(session, UserTranscript(item=I2, text="Stop!", final=True), started(R2), done(R2))
    session.wait(1.0)
    assert moved(session)


def test_words_are_speech_where_the_provider_reports_none() -> None:
    session = opened(replace(HISTORY, speech_events=False))
    say(session, UserTranscript(item=I1, text="Hel", final=False), SessionEnding(left=20.0))
    session.link()
    assert not moved(session)
    say(session, UserTranscript(item=I1, text="Hello", final=True))
    assert not moved(session)
    say(session, started(R1), done(R1))
    assert moved(session)


def test_what_sounds_is_heard_to_its_end_though_nothing_happens_then() -> None:
    session = opened(HISTORY)
    say(session, started(R1), sound(2 * SECOND), done(R1), SessionEnding(left=20.0))
    taken(session)
    session.link()
    session.wait(1.5)
    assert not moved(session)
    session.wait(0.5)
    assert moved(session)


def test_at_the_latest_moment_an_answer_is_cut_as_by_a_loss() -> None:
    session = opened(HISTORY)
    say(session, started(R1), words("Once upon a time"), sound(SECOND), SessionEnding(left=4.0))
    session.link()
    taken(session)
    session.wait(2.0)
    assert moved(session)
    cut, *_, end = taken(session)
    assert isinstance(cut, Interrupted)
    assert cut.cause == "connection"
    assert isinstance(end, ResponseDone)
    assert (end.status, end.by_provider) == ("lost", False)
    welcome(session)
    assert of(Reconnected, taken(session))[0].lost[1:] == ("the answer in progress",)


def test_an_earlier_end_counts() -> None:
    session = opened(HISTORY)
    say(session, started(R1), SessionEnding(left=40.0), SessionEnding(left=2.0))
    say(session, SessionEnding(left=30.0))
    session.link()
    session.wait(1.0)
    assert moved(session)
    assert sum(isinstance(e, Dial) for one in session.steps for e in one.effects) == 1


def test_a_provider_that_does_not_say_when_ends_soon() -> None:
    session = opened(HISTORY)
    say(session, started(R1), SessionEnding(left=None))
    session.link()
    session.wait(4.5)
    assert not moved(session)
    session.wait(0.5)
    assert moved(session)


def test_the_old_connection_is_not_left_before_the_next_one_stands() -> None:
    session = ending(left=4.0)
    session.wait(10.0)
    assert (phase(session), moved(session)) == (Phase.OPEN, False)
    session.link()
    assert moved(session)


def test_a_connection_that_cannot_be_made_beside_is_tried_again() -> None:
    session = ending(left=60.0)
    session.lose(LOST, conn=1)
    assert session.state.standby is Standby.FAILED
    session.wait(4.5)
    assert session.beside is None
    session.wait(0.5)
    assert session.beside == 1
    session.link()
    assert moved(session)


def test_it_is_not_tried_again_where_that_helps_nobody() -> None:
    for error in (AuthFailed(what="One at a time."), InvalidRequest(what="No.")):
        session = ending(left=60.0)
        session.lose(error, conn=1)
        assert (session.state.standby, session.due) == (None, {})
        say(session, SessionEnding(left=30.0))
        assert (session.beside, session.due) == (None, {})


def test_it_is_tried_again_when_the_provider_likes_and_not_for_ever() -> None:
    session = ending(left=60.0)
    session.lose(RateLimited(what="Slow down.", retry_after=8.0), conn=1)
    session.wait(7.5)
    assert session.beside is None
    session.wait(0.5)
    assert session.beside == 1
    session.wait(47.0)
    session.lose(LOST, conn=1)
    assert (session.state.standby, session.due) == (None, {})
    session.lose(LOST)
    assert phase(session) is Phase.CLOSED


def test_one_that_stands_too_late_is_taken_at_once() -> None:
    session = opened(HISTORY)
    say(session, started(R1), SessionEnding(left=0.0))
    session.wait(0.25)
    assert not moved(session)
    session.link()
    assert moved(session)


def test_an_earlier_end_is_looked_for_earlier() -> None:
    session = opened(HISTORY)
    say(session, started(R1), SessionEnding(left=40.0), SessionEnding(left=0.5))
    session.link()
    session.wait(0.25)
    assert moved(session)


def test_a_provider_that_ends_every_connection_is_not_obeyed_at_once() -> None:
    """No storm: the first may end whenever it likes, a later one when it has stood."""
    session = ending(left=40.0)
    session.link()
    welcome(session)
    assert session.state.conn == 1
    say(session, SessionEnding(left=40.0), SessionEnding(left=30.0))
    session.wait(9.5)
    assert session.beside is None
    session.wait(0.5)
    assert session.beside == 2
    session.link()
    welcome(session)
    say(session, SessionEnding(left=40.0))
    session.lose(LOST)
    assert phase(session) is Phase.CLOSED


def test_the_retries_of_long_ago_count_no_more_after_a_change() -> None:
    session = opened(HISTORY, retry=Spaced(1.0).within(5.0))
    session.lose(LOST)
    session.wait(1.0)
    session.link()
    welcome(session)
    session.wait(60.0)
    say(session, SessionEnding(left=20.0))
    session.link()
    welcome(session)
    session.lose(LOST)
    assert Timer.RETRY in session.due


def test_what_is_lost_meanwhile_goes_on_over_the_one_that_stands() -> None:
    session = opened(HISTORY)
    say(session, started(R1), SessionEnding(left=20.0))
    session.link()
    sent(session)
    session.lose(LOST)
    assert (phase(session), session.state.conn) == (Phase.RESUMING, 1)
    assert of(Greeting, sent(session))
    welcome(session)
    assert phase(session) is Phase.OPEN


def test_what_is_lost_meanwhile_waits_for_the_one_that_is_made() -> None:
    session = ending()
    session.lose(LOST)
    assert (phase(session), Timer.RETRY in session.state.due) == (Phase.RESUMING, False)
    session.link()
    welcome(session)
    assert phase(session) is Phase.OPEN


def test_a_lasting_reason_is_not_mended_by_another_connection() -> None:
    session = ending()
    session.lose(AuthFailed(what="The key was withdrawn."))
    assert phase(session) is Phase.CLOSED


def test_closing_changes_nothing_any_more() -> None:
    session = ending(close_timeout=30.0)
    session.push(Close())
    session.link()
    session.wait(29.0)
    assert (phase(session), session.state.conn) == (Phase.CLOSING, 0)
    session.lose(LOST, conn=1)
    assert session.state.due.keys() == {Timer.CLOSE}


# --- lost -------------------------------------------------------------------------------------


def resuming(error: RealtimeError) -> Fold:
    """Give a session whose handle was shown, and answered with this."""
    session = opened(retry=Exponential(1.0))
    session.receive(HANDLE)
    session.push(Text("Remember me.", turn="context"))
    session.lose(LOST)
    session.wait(1.0)
    sent(session)
    session.link()
    assert of(Greeting, sent(session))[0].handle == "take me back"
    session.lose(error)
    return session


@pytest.mark.parametrize("kind", [InvalidRequest, ProtocolViolation])
def test_where_the_handle_is_refused_the_history_is_replayed_at_once(kind: Any) -> None:
    session = resuming(kind(what="Invalid handle."))
    assert session.dialled == 2
    session.link()
    (greeting,) = of(Greeting, sent(session))
    assert (greeting.handle, greeting.history) == (None, 1)
    welcome(session)
    assert of(Reconnected, taken(session))[0].restored == "history"


def test_a_refusal_without_a_handle_ends_it() -> None:
    session = resuming(InvalidRequest(what="Invalid handle."))
    session.link()
    session.lose(InvalidRequest(what="Invalid setup."))
    assert of(Disconnected, taken(session))[0].reason == "Invalid setup."


def test_a_handle_that_was_not_shown_was_not_refused() -> None:
    session = opened(retry=Spaced(1.0))
    session.receive(HANDLE)
    session.lose(LOST)
    session.wait(1.0)
    session.lose(InvalidRequest(what="No such path."))
    assert phase(session) is Phase.CLOSED


def test_what_passes_leaves_the_handle_good() -> None:
    session = resuming(LOST)
    session.wait(2.0)
    session.link()
    assert of(Greeting, sent(session))[0].handle == "take me back"


def test_a_withdrawn_key_is_no_refused_handle() -> None:
    assert phase(resuming(AuthFailed(what="No."))) is Phase.CLOSED


def test_a_defect_is_no_refused_handle() -> None:
    assert phase(resuming(InternalFault(what="It broke."))) is Phase.CLOSED


@pytest.mark.parametrize(("asked", "waited"), [(None, 1.0), (0.5, 1.0), (7.0, 7.0)])
def test_it_is_waited_as_long_as_the_provider_asks(asked: float | None, waited: float) -> None:
    session = opened(retry=Spaced(1.0))
    session.lose(RateLimited(what="Slow down.", retry_after=asked))
    assert session.due[Timer.RETRY] == waited


def test_what_the_provider_asks_counts_against_the_total_time() -> None:
    session = opened(retry=Spaced(1.0).within(5.0))
    session.lose(RateLimited(what="Slow down.", retry_after=7.0))
    assert phase(session) is Phase.CLOSED


def test_open_calls_are_told_and_handed_on() -> None:
    session = opened(retry=Spaced(1.0), tools=TOOLS)
    session.receive(HANDLE)
    say(session, started(R1), call(C1, "finish"))
    session.lose(LOST)
    session.wait(1.0)
    sent(session)
    session.link()
    assert of(Greeting, sent(session))[0].unanswered == 1
    welcome(session)
    assert of(Reconnected, taken(session))[0].lost == (
        "the answer in progress",
        "1 open tool calls",
    )
    assert (session.state.gone, session.state.unanswered) == ((), ())


def test_what_does_not_fit_is_left_out_and_told() -> None:
    limited = replace(HISTORY, history_limits=HistoryLimits(entries=1))
    session = opened(limited, retry=Spaced(1.0), history=(Message("user", "a"),))
    session.push(Text("b", turn="context"))
    session.lose(LOST)
    session.wait(1.0)
    sent(session)
    session.link()
    assert of(Greeting, sent(session))[0].history == 1
    welcome(session)
    assert of(Reconnected, taken(session))[0].lost[1:] == ("the oldest 1 of 2 entries",)


def test_what_is_left_out_is_told_once_however_often_it_is_tried() -> None:
    limited = replace(HISTORY, history_limits=HistoryLimits(entries=1))
    session = opened(limited, retry=Spaced(1.0), history=(Message("user", "a"),))
    session.push(Text("b", turn="context"))
    for _ in range(3):
        session.lose(LOST)
        session.wait(1.0)
        session.link()
    welcome(session)
    assert of(Reconnected, taken(session))[0].lost[1:] == ("the oldest 1 of 2 entries",)


def test_an_answer_that_was_asked_for_is_missed_and_what_the_codec_had_left_is_handed_on() -> None:
    session = opened(HISTORY, retry=Spaced(1.0))
    asked(session)
    left = session.state.codec
    session.lose(LOST)
    assert (session.state.codec, session.state.left) == (None, left)
    session.wait(1.0)
    session.lose(LOST)
    assert session.state.left == left
    session.wait(1.0)
    session.link()
    welcome(session)
    assert of(Reconnected, taken(session))[0].lost[1:] == ("an answer that was asked for",)
    assert session.state.left is None
