"""The ledger: who speaks for which epoch, and a memory that does not grow for ever."""

from __future__ import annotations

from msgspec.structs import replace

from realtime_core import CallId, Epoch, ItemId, ResponseId
from realtime_core.heard import KEPT, Delivered, deliver
from realtime_core.turn import (
    Call,
    Item,
    Ledger,
    Response,
    audible,
    forget,
    heard_samples,
    open_responses,
    put_call,
    put_item,
    put_response,
    running,
)
from tests.core.short import C1, E0, E1, I1, I2, I3, R1, R2, SECOND


def ledger(*items: ItemId, received: int = SECOND, **response: object) -> Ledger:
    """Give a ledger with one response and its items, all of whose sound has come."""
    known = put_response(Ledger(), R1, replace(Response(E0), **response))
    for item in items:
        known = put_item(known, item, Item(R1, received=received, spoken=True))
    return known


def test_an_item_and_a_call_are_listed_once_with_their_response() -> None:
    known = ledger(I1, I2)
    known = put_item(known, I1, replace(known.items[I1], received=5))
    known = put_call(known, C1, Call(R1, "look", E0, 0))
    known = put_call(known, C1, Call(R1, "look", E0, 0, outcome="sent"))
    assert known.responses[R1].items == (I1, I2)
    assert known.responses[R1].calls == (C1,)
    assert known.items[I1].received == 5
    assert known.calls[C1].outcome == "sent"


def test_what_was_not_taken_is_not_heard() -> None:
    assert heard_samples(ledger(I1), I1, (), at=100.0) == 0


def test_without_a_sink_heard_is_estimated_from_what_was_taken() -> None:
    delivered = deliver((), I1, SECOND, SECOND, 0.0)
    assert heard_samples(ledger(I1), I1, delivered, at=0.5) == SECOND // 2


def test_an_item_before_the_oldest_remembered_one_is_heard_whole() -> None:
    known, delivered = ledger(I1, I2, I3), deliver((), I1, SECOND, SECOND, 0.0)
    for _ in range(KEPT):
        delivered = deliver(deliver(delivered, I2, 0, SECOND, 0.0), I3, SECOND, SECOND, 0.0)
    assert heard_samples(known, I1, delivered, at=0.0) == SECOND
    assert heard_samples(known, I2, delivered, at=0.0) == 0
    assert heard_samples(known, I3, delivered, at=0.0) == 0


def test_an_item_that_was_not_taken_is_unheard_though_a_later_one_was() -> None:
    delivered = deliver((), I2, SECOND, SECOND, 0.0)
    assert heard_samples(ledger(I1, I2), I1, delivered, at=100.0) == 0


def test_a_sinks_word_replaces_every_estimate() -> None:
    known = replace(put_item(ledger(I1), I1, Item(R1, received=9, heard=4)), confirmed=True)
    delivered = deliver((), I1, 9, SECOND, 0.0)
    assert heard_samples(known, I1, delivered, at=100.0) == 4


def test_a_response_is_audible_until_all_its_sound_was_heard() -> None:
    known, delivered = ledger(I1), deliver((), I1, SECOND, SECOND, 0.0)
    assert audible(known, known.responses[R1], delivered, at=0.5)
    assert not audible(known, known.responses[R1], delivered, at=1.0)


def test_a_fenced_response_is_not_audible() -> None:
    known = ledger(I1, fenced=True)
    assert not audible(known, known.responses[R1], (), at=0.0)


def test_running_are_the_open_and_the_audible_of_this_epoch() -> None:
    heard: Delivered = deliver((), I1, SECOND, SECOND, -10.0)
    assert running(ledger(), E0, (), 0.0) == (R1,)
    assert running(ledger(I1, open=False), E0, (), 0.0) == (R1,)
    assert running(ledger(I1, open=False), E0, heard, 0.0) == ()
    assert running(ledger(I1), E1, (), 0.0) == ()
    assert running(ledger(I1, fenced=True), E0, (), 0.0) == ()


def test_stale_responses_count_as_open_until_they_end() -> None:
    known = put_response(ledger(fenced=True), R2, Response(E0, open=False))
    assert open_responses(known) == (R1,)


def many(count: int, **response: object) -> Ledger:
    known = Ledger()
    for number in range(count):
        name = ResponseId(f"response-{number}")
        known = put_response(known, name, replace(Response(Epoch(0)), **response))
        known = put_item(known, ItemId(f"item-{number}"), Item(name))
        call = Call(name, "look", Epoch(0), 0, outcome="sent")
        known = put_call(known, CallId(f"call-{number}"), call)
    return known


def test_the_oldest_ended_responses_are_forgotten_with_all_that_is_theirs() -> None:
    known = forget(many(70, open=False))
    assert list(known.responses) == [f"response-{number}" for number in range(6, 70)]
    assert len(known.items) == len(known.calls) == 64
    assert forget(known) is known


def test_a_response_that_is_open_or_has_an_open_call_is_never_forgotten() -> None:
    assert len(forget(many(70)).responses) == 70
    known = many(70, open=False)
    first = CallId("call-0")
    known = forget(put_call(known, first, replace(known.calls[first], outcome="open")))
    assert "response-0" in known.responses
    assert len(known.responses) == 64
