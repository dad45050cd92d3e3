"""One step in progress: what it gathers, and how the conversation is kept."""

from __future__ import annotations

from typing import Any

from returns.result import Failure, Result, Success

from realtime_core import (
    Coded,
    ItemId,
    Message,
    Plan,
    RealtimeError,
    Resume,
    SpeechStarted,
    Text,
    Unsupported,
    Wire,
)
from realtime_core.codec import Outgoing
from realtime_core.moment import (
    Moment,
    absorb,
    arm,
    count,
    disarm,
    emit,
    forgo,
    keep,
    remember,
    reserve,
    tell,
)
from realtime_core.state import Arm, Disarm, Emit, Send, State, Timer
from tests.core.short import C1, E1, I1, I2, plan


class Counting:
    """A codec that counts what it encodes, and refuses text."""

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[int]:
        return Coded(0)

    def encode(self, state: int, frame: Outgoing) -> Result[Coded[int], RealtimeError]:
        if isinstance(frame, Text):
            return Failure(Unsupported(what="No text."))
        return Success(Coded(state + 1, ("wire",), (SpeechStarted(),)))

    def decode(self, state: int, wire: Wire) -> Result[Coded[int], RealtimeError]:
        return Success(Coded(state))


def moment(at: float = 1.5) -> Moment:
    return Moment(Counting(), at, (), [], [])


def state(**known: Any) -> State:
    return State(plan(), "session", codec=0, **known)


def test_an_event_is_stamped_with_epoch_connection_and_time() -> None:
    now = moment()
    emit(state(epoch=E1, conn=3), now, SpeechStarted(audio_ms=20.0))
    assert now.effects == [Emit(SpeechStarted(epoch=E1, conn=3, at=1.5, audio_ms=20.0))]


def test_what_the_codec_says_is_taken_over() -> None:
    now, before = moment(), state()
    after = absorb(before, now, Coded(7, ("a", b"b"), (SpeechStarted(),)))
    assert after.codec == 7
    assert now.effects == [Send(("a", b"b"))]
    assert now.pending == [SpeechStarted()]


def test_a_codec_that_has_nothing_to_say_changes_nothing() -> None:
    now, before = moment(), state()
    assert absorb(before, now, Coded(before.codec)) is before
    assert now.effects == []
    assert now.pending == []


def test_a_refused_frame_leaves_the_state_as_it_was() -> None:
    now, before = moment(), state()
    assert tell(before, now, Text("x")) == (before, Unsupported(what="No text."))
    assert now.effects == []


def test_a_timer_rings_once_at_its_newest_time() -> None:
    now = moment(1.0)
    armed = arm(arm(state(), now, Timer.RETRY, 2.0), now, Timer.RETRY, 4.0)
    assert armed.due == {Timer.RETRY: 5.0}
    armed = arm(armed, now, Timer.CLOSE, 1.0)
    disarmed = disarm(armed, now, Timer.RETRY)
    assert disarmed.due == {Timer.CLOSE: 2.0}
    assert disarm(disarmed, now, Timer.RETRY) is disarmed
    assert now.effects == [
        Arm(Timer.RETRY, 3.0),
        Arm(Timer.RETRY, 5.0),
        Arm(Timer.CLOSE, 2.0),
        Disarm(Timer.RETRY),
    ]


def test_what_is_not_passed_on_is_counted_by_reason() -> None:
    assert count(count(count(state(), "late"), "late", 4), "old").counts == {"late": 5, "old": 1}


def test_an_entry_of_a_known_item_is_replaced_where_it_stands() -> None:
    known = state()
    for message in (
        Message("user", "Hello"),
        Message("assistant", "Hi", item=I1),
        Message("user", "Well", item=I2),
        Message("assistant", "Hi there", item=I1),
        Message("user", "Bye"),
    ):
        known = remember(known, message)
    assert [message.text for message in known.history] == ["Hello", "Hi there", "Well", "Bye"]


def test_the_conversation_keeps_its_newest_entries() -> None:
    known = state()
    for number in range(600):
        known = remember(known, Message("user", str(number)))
    assert [message.text for message in known.history] == [str(n) for n in range(88, 600)]


def test_a_place_is_kept_once_and_given_up_only_while_it_is_empty() -> None:
    known = reserve(reserve(state(), I1), I1)
    assert known.history == (Message("user", "", item=I1),)
    assert known.conversation == ()
    assert forgo(known, I2) == known
    assert forgo(known, I1).history == ()
    written = remember(known, Message("user", "Hello", item=I1))
    assert forgo(reserve(written, I1), I1) == written


def test_only_the_places_of_what_the_user_says_are_not_shown() -> None:
    messages = (Message("user", ""), Message("tool_result", "", item=I1, call=C1))
    assert state(history=messages).conversation == messages


def test_few_places_wait_for_words() -> None:
    known = remember(state(), Message("user", "Hello", item=I1))
    for number in range(40):
        known = reserve(known, ItemId(f"u{number}"))
    assert [message.item for message in known.history] == [I1, *(f"u{n}" for n in range(24, 40))]


def test_the_conversation_keeps_of_an_item_only_what_was_heard() -> None:
    known = state(
        history=(
            Message("assistant", "One two", item=I1),
            Message("user", "Stop", item=I2),
        )
    )
    assert keep(known, I1, "One", exact=False).history == (
        Message("assistant", "One", item=I1, exact=False),
        Message("user", "Stop", item=I2),
    )
    assert keep(known, I1, "", exact=True).history == (Message("user", "Stop", item=I2),)
