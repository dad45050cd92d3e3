"""Holding: an answer falls silent at the onset of sound, and is then cut or goes on."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from realtime_core import (
    CreateResponse,
    Heard,
    Held,
    Hold,
    Interrupt,
    Interrupted,
    ItemId,
    RealtimeEvent,
    Release,
    Released,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
    ToolResult,
    TurnDetection,
    TwoPhase,
    Unavailable,
    UserTranscript,
)
from realtime_core.codec import CancelResponse, Command, Outgoing, TruncateItem
from realtime_core.config import Authority
from realtime_core.events import Status
from realtime_core.schedule import Recurs
from realtime_core.state import Pause, Timer
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import SCRIPTED, Greeting
from tests.core.short import (
    C1,
    I1,
    I2,
    NO,
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
)

HALF = SECOND // 2


def commands(session: Fold) -> list[Outgoing | Greeting]:
    return [one for one in sent(session) if isinstance(one, Command)]


NOTICE = Interrupted(cause="provider")
POLICY = TwoPhase(confirm_ms=1_000, confirm_words=2, deadline_ms=3_000)
MUTE = replace(SCRIPTED, user_transcripts=False)


def detection(policy: TwoPhase | None = POLICY, authority: Authority = "provider") -> Any:
    return {"turn_detection": TurnDetection(authority=authority, two_phase=policy)}


def speaking(*, able: Any = SCRIPTED, **settings: Any) -> Fold:
    """Give a session in which two seconds of an answer came and half a second was heard."""
    session = opened(able, **(detection() | settings))
    say(session, started(R1), sound(2 * SECOND))
    taken(session)
    session.wait(0.5)
    session.steps.clear()
    return session


def held(*, able: Any = SCRIPTED, **settings: Any) -> Fold:
    """Give one in which the user has just begun to speak."""
    session = speaking(able=able, **settings)
    say(session, SpeechStarted(item=ItemId("u1")))
    assert names(taken(session)) == ["SpeechStarted", "Held"]
    return session


def said(text: str, item: str | None = None, *, final: bool = False) -> UserTranscript:
    return UserTranscript(item=ItemId(item) if item else None, text=text, final=final)


def outcome(session: Fold) -> RealtimeEvent | None:
    """Give how a hold ended, if it did."""
    ends = [event for event in taken(session) if isinstance(event, Interrupted | Released)]
    assert len(ends) <= 1
    assert bool(ends) is (session.state.holding is None)
    assert bool(ends) is (Timer.HOLD not in session.state.due)
    return ends[0] if ends else None


def confirmed(session: Fold) -> str | None:
    event = outcome(session)
    return event.confirmed if isinstance(event, Interrupted) else None


def released(session: Fold) -> str | None:
    event = outcome(session)
    return event.reason if isinstance(event, Released) else None


# --- the onset --------------------------------------------------------------------------------


def test_at_the_onset_the_answer_is_held_and_nothing_is_lost_cut_or_sent() -> None:
    session = speaking()
    say(session, SpeechStarted(), sound(20))
    assert names(taken(session)) == ["SpeechStarted", "Held", "AudioOutput"]
    (step,) = session.steps
    assert of(Pause, step.effects) == [Pause(on=True)]
    assert (step.after.epoch, step.wires) == (0, ())
    assert session.outlet.tally.fenced == 0


@pytest.mark.parametrize(
    ("onset", "authority", "cause"),
    [
        (SpeechStarted(), "provider", "provider"),
        (NOTICE, "provider", "provider"),
        (Hold(), "provider", "local"),
        (Hold(), "local", "local"),
        (Hold(), "application", "local"),
    ],
    ids=repr,
)
def test_who_may_begin_a_hold(onset: Any, authority: Authority, cause: str) -> None:
    session = speaking(**detection(authority=authority))
    session.push(onset) if isinstance(onset, Hold) else say(session, onset)
    (event,) = of(Held, taken(session))
    assert event.cause == cause


def test_speech_holds_nothing_where_the_provider_is_not_in_charge() -> None:
    session = speaking(**detection(authority="application"))
    say(session, SpeechStarted())
    assert names(taken(session)) == ["SpeechStarted"]


def test_without_something_to_cut_nothing_is_held() -> None:
    session = opened(**detection())
    say(session, SpeechStarted(), NOTICE)
    session.push(Hold())
    assert names(taken(session)) == ["SpeechStarted"]
    assert session.state.holding is None


def test_an_answer_that_was_asked_for_is_held_before_it_is_born() -> None:
    session = opened(**detection())
    session.push(CreateResponse())
    session.push(Hold())
    assert names(taken(session)) == ["Held"]
    say(session, started(R1, "request-0"), sound())
    assert names(taken(session)) == ["ResponseStarted", "AudioOutput"]
    session.push(Interrupt())
    assert of(CancelResponse, sent(session)) == [CancelResponse(R1)]


# --- what decides -----------------------------------------------------------------------------


def test_what_lasts_is_confirmed_by_its_length() -> None:
    session = held()
    session.wait(0.99)
    assert outcome(session) is None
    session.wait(0.01)
    event = outcome(session)
    assert isinstance(event, Interrupted)
    assert (event.cause, event.confirmed, event.epoch) == ("provider", "duration", 1)
    assert [(part.item, part.samples) for part in event.heard] == [(I1, HALF)]
    assert commands(session) == [CancelResponse(R1), TruncateItem(I1, HALF, SECOND)]
    assert session.state.barrier


@pytest.mark.parametrize("at", [0.1, 0.3, 0.7, 1.1, 2.3, 1e6 + 0.1])
def test_the_length_is_told_from_the_deadline_whatever_floats_make_of_it(at: float) -> None:
    session = opened(**detection(TwoPhase(confirm_ms=700)))
    session.wait(at)
    say(session, started(R1), sound(10 * SECOND), SpeechStarted())
    session.wait(0.1)
    session.push(Hold())
    session.wait(1.0)
    assert confirmed(session) == "duration"


def test_a_sound_that_goes_on_is_measured_from_its_beginning() -> None:
    session = speaking()
    session.push(Hold())
    session.wait(0.5)
    say(session, SpeechStarted())
    assert names(taken(session)) == ["Held", "SpeechStarted"]
    session.wait(0.5)
    assert confirmed(session) == "duration"


def test_a_new_sound_is_measured_anew() -> None:
    session = held()
    session.wait(0.5)
    say(session, SpeechStopped())
    session.wait(0.5)
    say(session, SpeechStarted())
    session.wait(0.9)
    assert outcome(session) is None
    session.wait(0.2)
    assert confirmed(session) == "duration"


def test_a_short_sound_is_released_where_words_are_not_waited_for() -> None:
    for session in (held(**detection(TwoPhase(confirm_words=None))), held(able=MUTE)):
        session.wait(0.5)
        say(session, SpeechStopped())
        event = outcome(session)
        assert isinstance(event, Released)
        assert (event.reason, event.partial, event.epoch) == ("ended", False, 0)
        assert commands(session) == []


def test_after_a_short_sound_words_may_still_come() -> None:
    session = held()
    say(session, SpeechStopped())
    assert outcome(session) is None
    say(session, said("Wait"))
    assert outcome(session) is None
    say(session, said("Wait a moment"))
    assert confirmed(session) == "words"


def test_too_few_words_release_once_they_are_final_and_the_sound_is_over() -> None:
    session = held()
    say(session, said("Hm", final=True))
    assert outcome(session) is None
    say(session, SpeechStopped(), said("", final=True))
    assert released(session) == "words"


def test_words_of_an_earlier_turn_decide_nothing() -> None:
    session = held()
    say(session, said("What do bees make", "u0", final=True))
    assert outcome(session) is None
    say(session, said("Honey, surely", "u1"))
    assert confirmed(session) == "words"


@pytest.mark.parametrize("item", [None, "u1", "anything"])
def test_words_count_where_the_provider_does_not_name_what_is_said(item: str | None) -> None:
    session = speaking()
    session.push(Hold())
    say(session, said("One two", item))
    assert confirmed(session) == "words"


@pytest.mark.parametrize(
    ("at_deadline", "how"), [("release", (None, "deadline")), ("confirm", ("deadline", None))]
)
def test_what_nothing_decides_is_decided_at_the_deadline(at_deadline: Any, how: Any) -> None:
    session = held(**detection(TwoPhase(confirm_ms=None, at_deadline=at_deadline)))
    session.wait(2.99)
    assert outcome(session) is None
    session.wait(0.01)
    event = outcome(session)
    assert (getattr(event, "confirmed", None), getattr(event, "reason", None)) == how


def test_a_length_beyond_the_deadline_does_not_confirm() -> None:
    session = held(**detection(TwoPhase(confirm_ms=5_000, deadline_ms=1_000)))
    session.wait(1.0)
    assert released(session) == "deadline"


def test_an_answer_of_the_providers_own_confirms_and_is_not_touched() -> None:
    session = held()
    say(session, done(R1), started(R2), sound(SECOND, I2, R2))
    events = taken(session)
    assert names(events) == ["Interrupted", "ResponseDone", "ResponseStarted", "AudioOutput"]
    assert of(Interrupted, events)[0].confirmed == "provider"
    assert not session.state.ledger.responses[R2].fenced


def test_an_answer_we_asked_for_confirms_nothing() -> None:
    session = held()
    session.push(CreateResponse())
    say(session, done(R1), started(R2, "request-0"))
    assert outcome(session) is None


def test_an_answer_that_takes_up_a_result_does_so_beside_one_outside_the_conversation() -> None:
    session = held(able=replace(SCRIPTED, tool_reply="automatic"), tools=TOOLS)
    say(session, call(C1), done(R1))
    session.push(ToolResult(C1, "42"))
    session.push(CreateResponse(conversation="none"))
    say(session, started(R3, "request-0"), started(R2))
    assert outcome(session) is None


@pytest.mark.parametrize("reply", ["automatic", "create"])
def test_an_answer_that_takes_up_a_result_confirms_nothing(reply: Any) -> None:
    session = held(able=replace(SCRIPTED, tool_reply=reply), tools=TOOLS)
    say(session, call(C1), done(R1))
    session.push(ToolResult(C1, "42"))
    assert outcome(session) is None
    say(session, started(R2))
    assert confirmed(session) == (None if reply == "automatic" else "provider")


def test_the_applications_interrupt_cuts_and_says_that_it_decided() -> None:
    session = held()
    session.wait(0.5)
    session.push(Interrupt())
    event = outcome(session)
    assert isinstance(event, Interrupted)
    assert (event.cause, event.confirmed) == ("app", None)
    assert [part.samples for part in event.heard] == [HALF]


def test_the_application_releases_and_a_second_time_changes_nothing() -> None:
    session = held()
    session.push(Release())
    assert released(session) == "app"
    session.push(Release())
    assert taken(session) == []


def test_what_turned_out_to_be_heard_is_released_not_cut() -> None:
    session = held()
    say(session, done(R1))
    session.push(Heard(I1, 2 * SECOND))
    session.wait(1.0)
    assert released(session) == "ended"
    assert session.state.epoch == 0


# --- where nothing was agreed -----------------------------------------------------------------


def test_without_a_policy_the_application_and_the_deadline_decide() -> None:
    for settings in (detection(None), detection(None, "application")):
        session = speaking(**settings)
        session.push(Hold())
        say(session, SpeechStopped(), said("One two three", final=True))
        session.wait(2.99)
        assert outcome(session) is None
        session.wait(0.01)
        assert released(session) == "deadline"


@pytest.mark.parametrize("onset", [SpeechStarted(), NOTICE], ids=repr)
def test_without_a_policy_the_provider_still_cuts_at_once(onset: RealtimeEvent) -> None:
    session = speaking(**detection(None))
    session.push(Hold())
    taken(session)
    say(session, onset)
    assert confirmed(session) is None
    assert (session.state.epoch, session.state.holding) == (1, None)
    assert of(CancelResponse, sent(session)) == []


# --- what the provider has cut by itself ------------------------------------------------------


def test_what_the_provider_cut_goes_on_as_far_as_it_came() -> None:
    session = speaking()
    say(session, NOTICE, done(R1, "interrupted"))
    session.push(Release())
    event = outcome(session)
    assert isinstance(event, Released)
    assert event.partial
    session.wait(1.0)
    assert session.state.ledger.responses[R1].fenced is False
    session.push(Interrupt(cause="local"))
    (cut,) = of(Interrupted, taken(session))
    assert [part.samples for part in cut.heard] == [3 * HALF]


@pytest.mark.parametrize("status", ["cancelled", "interrupted", "completed"])
def test_an_answer_that_the_provider_ends_while_it_is_held_may_be_partial(status: Status) -> None:
    session = held()
    say(session, ResponseDone(response=R1, status=status))
    session.push(Release())
    event = outcome(session)
    assert isinstance(event, Released)
    assert event.partial is (status != "completed")


@pytest.mark.parametrize("named", [None, R1])
@pytest.mark.parametrize("local", [True, False])
def test_what_the_provider_cut_is_not_cancelled_again(named: Any, local: bool) -> None:
    session = speaking()
    say(session, Interrupted(cause="provider", response=named))
    session.push(Interrupt(cause="local")) if local else say(session, said("One two"))
    assert isinstance(outcome(session), Interrupted)
    assert commands(session) == [TruncateItem(I1, HALF, SECOND)]
    assert not session.state.barrier, "there is no answer to wait for"
    say(session, started(R2))
    assert names(taken(session)) == ["ResponseStarted"]


def test_the_application_cancels_whatever_the_provider_says() -> None:
    session = speaking()
    say(session, NOTICE)
    session.push(Interrupt())
    assert of(CancelResponse, sent(session)) == [CancelResponse(R1)]


def test_another_answer_beside_it_is_cancelled() -> None:
    session = speaking()
    say(session, NOTICE, done(R1, "cancelled"))
    session.push(CreateResponse())
    say(session, started(R2, "request-0"), said("One two"))
    assert confirmed(session) == "words"
    assert of(CancelResponse, sent(session)) == [CancelResponse(R2)]


def test_a_notice_tells_of_no_length() -> None:
    session = speaking()
    say(session, NOTICE)
    session.wait(2.9)
    assert outcome(session) is None
    say(session, said("", final=True))
    assert released(session) == "words"


def test_a_notice_of_what_is_held_already_makes_it_partial_and_decides_nothing() -> None:
    session = held()
    session.wait(0.5)
    say(session, NOTICE)
    assert outcome(session) is None
    session.wait(0.5)
    assert confirmed(session) == "duration", "measured from the onset"


# --- ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry", [0, 1])
def test_a_lost_connection_ends_a_hold(retry: int) -> None:
    session = held(retry=Recurs(retry))
    session.lose(Unavailable(what="gone"))
    (event,) = of(Interrupted, taken(session))
    assert (event.cause, event.confirmed) == ("connection", None)
    assert session.state.holding is None


@pytest.mark.parametrize("end", ["close", "lose"])
def test_an_end_with_nothing_left_to_cut_releases(end: str) -> None:
    session = opened(**detection(), retry=Recurs(1))
    say(session, started(R1), sound(SECOND), SpeechStarted(), done(R1))
    session.push(Heard(I1, SECOND))
    taken(session)
    session.close() if end == "close" else session.lose(NO)
    events = [*session.events, *taken(session)]
    assert [event.reason for event in of(Released, events)] == ["ended"]
    assert of(Interrupted, events) == []


# --- the estimate -----------------------------------------------------------------------------


def heard_now(session: Fold) -> int:
    """Give what an interruption would find."""
    trial = Fold(session.codec, session.state.plan)
    trial.state, trial.at = session.state, session.at
    trial.outlet.delivered = session.outlet.delivered
    trial.push(Interrupt())
    return sum(
        part.samples for event in trial.drain() for part in getattr(event.event, "heard", ())
    )


def test_held_time_does_not_count_as_heard() -> None:
    session = held(**detection(TwoPhase(confirm_ms=None)))
    for second in (0.0, 1.0, 1.5):
        session.wait(second)
        assert heard_now(session) == HALF
    session.push(Release())
    assert heard_now(session) == HALF
    session.wait(0.25)
    assert heard_now(session) == HALF + SECOND // 4
    session.push(Hold())
    session.wait(1.0)
    session.push(Release())
    session.wait(0.25)
    assert heard_now(session) == 2 * HALF


def test_what_is_taken_after_a_hold_is_not_estimated_late_for_ever() -> None:
    session = held()
    session.wait(0.5)
    session.push(Release())
    session.wait(5.0)
    say(session, done(R1), started(R2), sound(SECOND, I2, R2))
    taken(session)
    session.wait(0.5)
    assert heard_now(session) == HALF
    session.wait(0.5)
    say(session, done(R2), SpeechStarted())
    assert names(taken(session)) == ["SpeechStarted", "ResponseDone"], "all of it was heard"


def test_what_is_taken_during_a_hold_is_heard_after_it() -> None:
    session = held()
    say(session, sound(SECOND))
    session.wait(0.5)
    taken(session)
    session.push(Release())
    session.wait(1.5)
    assert heard_now(session) == 2 * SECOND
    session.wait(0.5)
    assert heard_now(session) == 2 * SECOND + HALF
