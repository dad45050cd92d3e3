"""The one grammar: what a trace or a codec does wrong is found, named and placed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from returns.result import Result

from realtime_core import (
    Capabilities,
    Coded,
    Connected,
    Disconnected,
    Epoch,
    HeardItem,
    Interrupted,
    RealtimeError,
    RealtimeEvent,
    Reconnected,
    SessionConfig,
    SpeechStarted,
    ToolCallCancelled,
    Wire,
)
from realtime_core.codec import Outgoing
from realtime_core.testing.conformance import (
    Violation,
    check_coded,
    check_trace,
    conforms,
    total,
)
from realtime_core.testing.scripted import SCRIPTED, ScriptedCodec, written
from tests.core.short import C1, E1, I1, R1, call, done, plan, sound, started, words

END = Disconnected(reason="closed", clean=True)
READY = Connected(session_id="", config=SessionConfig(), capabilities=SCRIPTED)


def trace(*events: RealtimeEvent) -> list[RealtimeEvent]:
    """Number events as a session would."""
    return [replace(event, seq=place) for place, event in enumerate(events)]


def cut(epoch: int = 1, **more: Any) -> Interrupted:
    return Interrupted(cause="app", epoch=Epoch(epoch), **more)


def at(epoch: int, event: RealtimeEvent) -> RealtimeEvent:
    return replace(event, epoch=Epoch(epoch))


def laws(events: list[RealtimeEvent], **how: bool) -> set[tuple[str, int]]:
    return {(found.law, found.place) for found in check_trace(events, **how)}


def test_a_lawful_trace_has_no_violation() -> None:
    events = trace(
        started(), sound(), words("Hello"), cut(), at(1, done()), at(1, words("Hello", final=True))
    )
    late = replace(events[-1], response=None)
    assert check_trace([*events[:-1], late, replace(at(1, END), seq=6)], complete=True) == []
    assert check_trace([]) == []


def test_a_response_fenced_before_its_start_may_settle() -> None:
    assert check_trace(trace(cut(), at(1, words("Hello", final=True)), at(1, done()))) == []


@pytest.mark.parametrize(
    ("events", "law", "place"),
    [
        ([SpeechStarted(seq=1)], "contiguous", 0),
        (trace(cut(2)), "announced epoch", 0),
        (trace(at(1, SpeechStarted())), "announced epoch", 0),
        (trace(cut(), SpeechStarted()), "announced epoch", 1),
        (trace(cut(), cut()), "announced epoch", 1),
        (trace(SpeechStarted(conn=1), SpeechStarted()), "connection", 1),
        (trace(END, SpeechStarted()), "last event", 1),
        (trace(started(), started()), "one start", 1),
        (trace(sound()), "start first", 0),
        (trace(started(), cut(), at(1, sound())), "no stale output", 2),
        (trace(started(), done(), sound()), "one end", 2),
        (trace(started(), done(), done()), "one end", 2),
        (trace(replace(sound(), response=None)), "named response", 0),
        (trace(replace(done(), response=None)), "named response", 0),
        (trace(started(), call(), call()), "one call", 2),
        (trace(started(), ToolCallCancelled(calls=(C1,)), call()), "one outcome", 2),
        (trace(*[ToolCallCancelled(calls=(C1,))] * 2), "one outcome", 1),
    ],
)
def test_what_breaks_the_grammar_is_named_and_placed(
    events: list[RealtimeEvent], law: str, place: int
) -> None:
    assert (law, place) in laws(events)


@pytest.mark.parametrize("samples", [-1, 11])
def test_heard_stays_within_what_was_received(samples: int) -> None:
    part = HeardItem(item=I1, response=R1, samples=samples, received=10, rate=1)
    assert laws(trace(cut(heard=(part,)))) == {("heard is true", 0)}


def test_a_complete_trace_ends_and_leaves_nothing_open() -> None:
    events = trace(started())
    assert laws(events) == set()
    assert laws(events, complete=True) == {("last event", -1), ("settlement", -1)}
    assert laws([], complete=True) == {("last event", -1)}


def test_violations_come_in_order_and_say_what_they_are() -> None:
    found = check_trace(trace(sound(), END, done(), done()), complete=True)
    assert [violation.place for violation in found] == sorted(
        (violation.place for violation in found), key=lambda place: place % 5
    )
    assert str(Violation("one end", 3, "what")) == "one end, event 3: what"
    assert str(Violation("settlement", -1, "what")) == "settlement, at the end: what"


def test_a_codec_says_everything_of_a_response_between_its_start_and_its_end() -> None:
    assert check_coded([READY, started(), sound(), words("Hello"), done()]) == []
    assert [v.law for v in check_coded([started(), done(), sound()])] == ["start first"]
    assert [v.law for v in check_coded([replace(sound(), response=None)])] == ["named response"]
    assert [v.law for v in check_coded([Reconnected(restored="nothing")])] == ["vocabulary"]
    assert [v.law for v in check_coded([at(1, SpeechStarted())])] == ["unstamped"]
    assert E1 == 1


class Loose(ScriptedCodec):
    """Greets anew each time, cannot say some things, and answers others with nonsense."""

    def __init__(self) -> None:
        self._greetings = 0

    def greet(self, *given: Any) -> Coded[int]:
        self._greetings += 1
        return super().greet(*given)._replace(state=self._greetings)

    def encode(self, state: int, frame: Outgoing) -> Result[Coded[int], RealtimeError]:
        name = type(frame).__name__
        if name == "CreateResponse":
            raise KeyError(name)
        result = super().encode(state, frame)
        return result if name == "Text" else result.map(lambda coded: coded._replace(wires=(1,)))  # type: ignore[arg-type]

    def decode(self, state: int, wire: Wire) -> Result[Coded[int], RealtimeError]:
        return super().decode(state, wire)


def test_commands_are_tried_as_far_as_the_provider_has_them() -> None:
    def loose(able: Capabilities) -> list[str]:
        return [found.law for found in conforms(Loose(), plan(able), (), frames=())]

    assert loose(SCRIPTED) == ["pure", "total", "total", "typed", "typed", "typed"]
    lacking = replace(SCRIPTED, side_responses=False, cancel=False, truncate=False, delete=False)
    assert loose(lacking) == ["pure", "total"]


def test_a_codec_conforms_with_pushes_in_between() -> None:
    said = written(READY, started(), sound(), done())
    assert conforms(ScriptedCodec(), plan(), said) == []
    assert total(ScriptedCodec(), 0, said[0]) == []
