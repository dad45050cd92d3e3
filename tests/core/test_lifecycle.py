"""The life of a session: connecting, open, (resuming, open)*, closing, closed, nothing more."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from realtime_core import (
    AuthFailed,
    Close,
    Connected,
    CreateResponse,
    Disconnected,
    Dropped,
    Error,
    Exponential,
    Interrupted,
    Message,
    RealtimeError,
    Reconnected,
    Recurs,
    ResponseDone,
    Secret,
    SessionConfig,
    SessionEnding,
    Spaced,
    Text,
    TimedOut,
    ToolCallCancelled,
    Unavailable,
    UserTranscript,
    Warning,
)
from realtime_core.state import (
    Dial,
    Hangup,
    Linked,
    Lost,
    Phase,
    Rang,
    Received,
    Refused,
    Shed,
    Timer,
)
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import SCRIPTED, Greeting
from tests.core.short import (
    C1,
    I1,
    R1,
    SECOND,
    TOOLS,
    call,
    dialled,
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


def phase(session: Fold) -> Phase:
    return session.state.phase


# --- connecting -------------------------------------------------------------------------------


def test_a_session_dials_greets_and_opens_when_the_provider_acknowledges() -> None:
    session = dialled(voice="joe")
    assert session.steps[0].effects[0] == Dial(0)
    assert phase(session) is Phase.CONNECTING
    session.link()
    (greeting,) = sent(session)
    assert isinstance(greeting, Greeting)
    assert (greeting.config.voice, greeting.handle) == ("joe", None)
    welcome(session)
    assert phase(session) is Phase.OPEN
    (event,) = taken(session)
    assert isinstance(event, Connected)
    assert (event.session_id, event.seq, event.capabilities) == ("fold", 0, SCRIPTED)
    assert session.state.due == {}


def test_wishes_the_provider_does_not_fulfil_are_warned_of_once_it_is_open() -> None:
    lacking = replace(SCRIPTED, user_transcripts=False)
    session = dialled(lacking, transcribe_user=True)
    session.link()
    welcome(session)
    _, warning = taken(session)
    assert isinstance(warning, Warning)
    assert warning.field == "transcribe_user"


def test_a_second_acknowledgement_changes_nothing() -> None:
    session = opened()
    welcome(session)
    say(session, Connected(session_id="", config=SessionConfig(), capabilities=SCRIPTED))
    assert taken(session) == []


def test_a_connection_that_is_not_awaited_is_not_greeted() -> None:
    session = opened()
    session.give(Linked(at=0.0, conn=0))
    session.give(Linked(at=0.0, conn=7))
    assert sent(session) == []


def test_a_provider_that_does_not_acknowledge_in_time_is_given_up() -> None:
    session = dialled(connect_timeout=4.0)
    session.link()
    session.wait(3.0)
    assert phase(session) is Phase.CONNECTING
    session.wait(1.0)
    (event,) = taken(session)
    assert isinstance(event, Disconnected)
    assert isinstance(event.error, TimedOut)
    assert not event.clean
    assert "4 s" in event.error.what
    assert Hangup(0) in session.steps[-1].effects


# --- lost and resumed -------------------------------------------------------------------------


def test_without_a_retry_a_lost_connection_ends_the_session() -> None:
    session = opened()
    session.lose(LOST)
    (event,) = taken(session)
    assert isinstance(event, Disconnected)
    assert (event.reason, event.clean, event.error) == (LOST.what, False, LOST)
    assert phase(session) is Phase.CLOSED


def test_a_connection_the_provider_closes_in_good_order_is_a_loss_too() -> None:
    session = opened()
    session.lose()
    (event,) = of(Disconnected, taken(session))
    assert isinstance(event.error, Unavailable)


def test_what_no_retry_can_mend_ends_the_session_at_once() -> None:
    session = opened(retry=Spaced(1.0))
    session.lose(AuthFailed(what="No such key."))
    assert of(Disconnected, taken(session))[0].reason == "No such key."


def test_a_lost_connection_is_dialled_again_after_the_schedules_delay() -> None:
    session = opened(retry=Exponential(1.0))
    for conn, delay in ((1, 1.0), (2, 2.0), (3, 4.0)):
        session.lose(LOST)
        assert phase(session) is Phase.RESUMING
        session.wait(delay - 0.5)
        assert session.dialled is None
        session.wait(0.5)
        assert session.dialled == conn


def test_a_connection_that_stood_makes_the_schedule_begin_anew() -> None:
    session = opened(retry=Recurs(1))
    for conn in range(1, 4):
        session.lose(LOST)
        session.wait(0.0)
        session.link()
        welcome(session)
        assert (phase(session), session.state.conn) == (Phase.OPEN, conn)
        session.wait(10.0)


def test_connections_that_do_not_last_are_one_failure() -> None:
    """No storm: a provider that accepts and drops for ever is not asked for ever."""
    session = opened(retry=Exponential(1.0).within(20.0))
    for delay in (1.0, 2.0, 4.0):
        session.lose(LOST)
        session.wait(delay)
        session.link()
        welcome(session)
        session.wait(1.0)
    assert phase(session) is Phase.OPEN
    session.lose(LOST)
    session.wait(8.0)
    session.link()
    welcome(session)
    session.lose(LOST)
    assert phase(session) is Phase.CLOSED


def test_the_schedule_is_asked_with_the_time_since_the_first_failure() -> None:
    session = opened(retry=Spaced(2.0).within(5.0))
    session.lose(LOST)
    session.wait(2.0)
    session.lose(LOST)
    session.wait(2.0)
    assert phase(session) is Phase.RESUMING
    session.lose(LOST)
    assert phase(session) is Phase.CLOSED


def test_the_jitter_of_a_provider_that_stays_mute_is_drawn_too() -> None:
    session = dialled(retry=Spaced(1.0).jittered(0.0, 1.0), connect_timeout=2.0)
    session.random = 0.25
    session.wait(2.0)
    assert session.due[Timer.RETRY] == 2.25


def test_the_jitter_comes_with_the_loss() -> None:
    session = opened(retry=Spaced(1.0).jittered(0.0, 1.0))
    session.random = 0.25
    session.lose(LOST)
    assert session.state.due == {Timer.RETRY: 0.25}


def test_a_first_connection_that_fails_is_retried_too_and_then_connected() -> None:
    session = dialled(retry=Recurs(1))
    session.lose(LOST)
    assert phase(session) is Phase.CONNECTING
    session.wait(0.0)
    session.link()
    assert of(Greeting, sent(session))[0].handle is None
    welcome(session)
    assert names(taken(session)) == ["Connected"]


def resumed(session: Fold) -> Greeting:
    """Lose the connection, let the next one stand, and give how it was greeted."""
    session.lose(LOST)
    session.wait(1.0)
    session.steps.clear()
    session.link()
    (greeting,) = of(Greeting, sent(session))
    welcome(session)
    return greeting


HANDLE = b'{"type": "resumption_handle", "handle": "take me back"}'


def test_places_of_words_that_will_never_come_end_with_their_connection() -> None:
    session = opened(replace(SCRIPTED, resumption="none"), retry=Spaced(1.0))
    say(session, UserTranscript(item=I1, text="Hel", final=False))
    session.push(Text("Remember me.", turn="context"))
    assert len(session.state.history) == 2
    assert resumed(session).history == 1
    assert [message.text for message in session.state.history] == ["Remember me."]


def test_a_handle_restores_the_conversation_where_the_provider_gave_one() -> None:
    session = opened(retry=Spaced(1.0))
    session.receive(HANDLE)
    assert resumed(session).handle == "take me back"
    event = of(Reconnected, taken(session))[0]
    assert (event.restored, event.lost, event.conn) == ("handle", (), 1)
    assert isinstance(session.state.handle, Secret)


@pytest.mark.parametrize(
    ("able", "restored", "lost"),
    [
        (replace(SCRIPTED, resumption="none"), "history", ("sound of earlier turns",)),
        (replace(SCRIPTED, resumption="none", history=False), "nothing", ("the conversation",)),
    ],
)
def test_without_a_handle_it_is_said_what_the_model_no_longer_knows(
    able: Any, restored: str, lost: tuple[str, ...]
) -> None:
    session = opened(able, retry=Spaced(1.0))
    session.push(Text("Remember me.", turn="context"))
    assert resumed(session).history == 1
    event = of(Reconnected, taken(session))[0]
    assert (event.restored, event.lost) == (restored, lost)


def test_a_loss_settles_what_the_connection_took_with_it() -> None:
    session = opened(retry=Spaced(1.0), tools=TOOLS)
    say(session, started(R1), words("Hello"), sound(SECOND), call(C1, "finish"))
    session.push(CreateResponse())
    taken(session)
    session.lose(LOST)
    events = taken(session)
    assert of(Interrupted, events)[0].cause == "connection"
    (ending,) = of(ResponseDone, events)
    assert (ending.status, ending.error, ending.by_provider) == ("lost", LOST, False)
    assert of(ToolCallCancelled, events)[0].calls == (C1,)
    assert session.state.ledger.requests == ()
    assert session.state.ledger.calls[C1].outcome == "lost"


def test_a_loss_while_nothing_sounds_leaves_the_epoch() -> None:
    session = opened(retry=Spaced(1.0))
    session.lose(LOST)
    assert session.state.epoch == 0
    assert taken(session) == []


def test_frames_and_ends_of_an_older_connection_change_nothing_but_a_counter() -> None:
    session = opened(retry=Spaced(1.0))
    resumed(session)
    taken(session)
    before = session.state
    session.give(Received(at=9.0, conn=0, wires=(b"{}", b"{}")))
    session.lose(LOST, conn=0)
    assert session.state == replace(before, counts={"old connection": 2})
    assert taken(session) == []


def test_an_error_that_is_not_recoverable_loses_the_connection_and_what_came_with_it() -> None:
    session = opened(retry=Spaced(1.0))
    fatal = Error(error=LOST, recoverable=False)
    say(session, fatal, started(R1), sound())
    assert phase(session) is Phase.RESUMING
    assert Hangup(0) in session.steps[-1].effects
    assert names(taken(session)) == ["Error"]


# --- closing ----------------------------------------------------------------------------------


def test_closing_takes_leave_of_the_provider_and_ends_with_the_connection() -> None:
    session = opened()
    session.push(Close())
    assert phase(session) is Phase.CLOSING
    assert sent(session) == [Close()]
    session.lose()
    (event,) = taken(session)
    assert isinstance(event, Disconnected)
    assert (event.reason, event.clean, event.error) == ("closed", True, None)


def test_closing_ends_at_its_deadline_though_the_peer_is_mute() -> None:
    session = opened(close_timeout=3.0)
    session.push(Close())
    session.wait(2.5)
    assert phase(session) is Phase.CLOSING
    session.wait(0.5)
    assert phase(session) is Phase.CLOSED


def test_closing_is_idempotent() -> None:
    session = opened()
    assert session.push(Close()) is None
    assert session.push(Close()) is None
    session.lose()
    assert session.push(Close()) is None
    assert names(taken(session)) == ["Disconnected"]
    assert len(of(Close, sent(session))) == 1


def test_closing_settles_what_is_open() -> None:
    session = opened(tools=TOOLS)
    say(session, started(R1), words("Hello"), sound(SECOND), call(C1))
    taken(session)
    session.push(Close())
    events = taken(session)
    assert of(Interrupted, events)[0].cause == "close"
    assert of(ResponseDone, events)[0].status == "closed"
    assert of(ToolCallCancelled, events)[0].calls == (C1,)


def test_what_the_provider_says_while_the_session_closes_is_counted() -> None:
    session = opened()
    session.push(Close())
    say(session, started(R1), sound())
    assert session.state.counts == {"after close": 2}
    assert taken(session) == []


def test_closing_while_waiting_for_the_next_attempt_ends_at_once() -> None:
    session = opened(retry=Spaced(8.0))
    session.lose(LOST)
    session.push(Close())
    assert phase(session) is Phase.CLOSED
    assert session.state.due == {}
    assert of(Disconnected, taken(session))[0].clean


def test_closing_before_the_provider_acknowledged_says_nothing_to_it() -> None:
    session = dialled()
    session.link()
    sent(session)
    session.push(Close())
    assert sent(session) == []
    session.lose()
    assert names(taken(session)) == ["Disconnected"]


@pytest.mark.parametrize(
    "given",
    [
        Rang(at=1e9, timer=Timer.CLOSE),
        Lost(at=1.0, conn=0),
        Shed(at=1.0, lane="audio", reason="full", count=1),
        Refused(at=1.0, error=LOST),
        Linked(at=1.0, conn=0),
        Received(at=1.0, conn=0, wires=(b'{"type": "speech_started"}',)),
    ],
    ids=lambda given: type(given).__name__,
)
def test_nothing_follows_the_end(given: Any) -> None:
    session = opened()
    session.close()
    ended = session.state
    session.steps.clear()
    session.give(given)
    assert session.steps[0].effects == ()
    assert session.state == ended
    assert taken(session) == []


# --- timers and drops -------------------------------------------------------------------------


def test_a_timer_that_was_put_off_or_is_early_rings_for_nothing() -> None:
    session = opened()
    before = session.state
    session.give(Rang(at=5.0, timer=Timer.RETRY))
    assert session.state == before
    session.push(Close())
    closing = session.state
    session.give(Rang(at=0.5, timer=Timer.CLOSE))
    assert session.state == closing


@pytest.mark.parametrize(("limit", "left"), [(3600.0, 60.0), (120.0, 60.0), (16.0, 8.0)])
def test_the_end_that_the_provider_sets_is_told_ahead_of_time(limit: float, left: float) -> None:
    session = opened(replace(SCRIPTED, session_seconds=limit))
    session.wait(limit - left - 0.5)
    assert taken(session) == []
    session.wait(0.5)
    (event,) = taken(session)
    assert isinstance(event, SessionEnding)
    assert (event.left, event.at) == (left, limit - left)
    session.wait(limit)
    assert taken(session) == []


def test_each_connection_has_its_own_end() -> None:
    session = opened(replace(SCRIPTED, session_seconds=16.0), retry=Spaced(1.0))
    session.wait(4.0)
    session.lose(LOST)
    assert Timer.ENDING not in session.state.due
    session.wait(1.0)
    session.link()
    welcome(session)
    session.wait(7.5)
    assert names(taken(session)) == ["Reconnected"]
    session.wait(0.5)
    assert names(taken(session)) == ["SessionEnding"]


def test_a_session_that_closes_does_not_tell_of_its_end_ahead_of_time() -> None:
    session = opened(replace(SCRIPTED, session_seconds=16.0), close_timeout=32.0)
    session.push(Close())
    assert session.state.due == {Timer.CLOSE: 32.0}


def shed(session: Fold, count: int = 1, reason: str = "full") -> list[tuple[str, int, float]]:
    session.give(Shed(at=session.at, lane="audio", reason=reason, count=count, ms=20.0 * count))
    return reported(session)


def reported(session: Fold) -> list[tuple[str, int, float]]:
    return [(event.reason, event.count, event.ms) for event in of(Dropped, taken(session))]


def test_drops_are_reported_at_once_and_then_at_most_once_a_second() -> None:
    session = opened()
    assert shed(session) == [("full", 1, 20.0)]
    session.wait(0.25)
    assert shed(session, 2) == []
    assert shed(session, 3) == []
    assert shed(session, 1, "too old") == []
    session.wait(0.5)
    assert reported(session) == []
    session.wait(0.25)
    assert reported(session) == [("full", 5, 100.0), ("too old", 1, 20.0)]
    session.wait(10.0)
    assert shed(session) == [("full", 1, 20.0)]


def test_drops_not_yet_reported_are_reported_at_the_end() -> None:
    session = opened()
    shed(session)
    shed(session, 4)
    session.close()
    assert [event.count for event in of(Dropped, session.events)][-1] == 4
    assert isinstance(session.events[-1], Disconnected)


def test_a_refusal_for_which_nobody_waits_becomes_an_event() -> None:
    session = opened()
    session.give(Refused(at=0.0, error=LOST))
    (event,) = taken(session)
    assert isinstance(event, Error)
    assert (event.error, event.recoverable) == (LOST, True)


def test_the_history_of_the_configuration_is_where_the_conversation_begins() -> None:
    earlier: RealtimeError | tuple[Message, ...] = (Message("user", "Hello"),)
    session = dialled(history=earlier)
    session.link()
    assert of(Greeting, sent(session))[0].history == 1
    assert session.state.history == earlier
