"""The outlet: never blocks the writer, purges on a fence, and counts every sample once."""

from __future__ import annotations

from msgspec.structs import replace

from realtime_core import (
    PCM_24K,
    AudioInput,
    AudioOutput,
    CallId,
    Disconnected,
    Interrupted,
    RealtimeEvent,
    SpeechStarted,
    ToolCallCancelled,
    Unknown,
)
from realtime_core import (
    Outlet as Limits,
)
from realtime_core.outlet import Outlet, Tally
from tests.core.short import C1, C2, E1, E2, I1, SECOND, call, done, names, sound, started, words


def outlet(*events: RealtimeEvent, seconds: float = 120.0, policy: str = "pause") -> Outlet:
    made = Outlet(Limits(seconds=seconds, policy=policy))  # type: ignore[arg-type]
    for event in events:
        made.put(event)
    return made


def emptied(of: Outlet) -> list[RealtimeEvent]:
    return list(iter(lambda: of.take(0.0), None))


def test_events_get_their_place_in_the_trace_as_they_are_taken() -> None:
    taken = emptied(outlet(started(), words("Hi"), sound(), done()))
    assert names(taken) == ["ResponseStarted", "AgentTranscript", "AudioOutput", "ResponseDone"]
    assert [event.seq for event in taken] == [0, 1, 2, 3]


def test_control_overtakes_queued_output() -> None:
    holding = outlet(started(), sound(), SpeechStarted(), sound(), Interrupted(cause="app"))
    assert names(emptied(holding))[:2] == ["SpeechStarted", "Interrupted"]


def test_the_last_event_comes_last_and_once() -> None:
    holding = outlet(Disconnected(reason="closed", clean=True), sound(), SpeechStarted())
    assert names(emptied(holding)) == ["SpeechStarted", "AudioOutput", "Disconnected"]
    assert holding.over
    assert holding.take(0.0) is None


def test_a_fence_purges_what_perishes_and_leaves_what_settles() -> None:
    holding = outlet(started(), words("Hi"), sound(), words("Hi.", final=True), call(), done())
    holding.fence(E1)
    assert names(emptied(holding)) == ["AgentTranscript", "ResponseDone"]


def test_what_is_stale_is_never_returned_whenever_it_was_queued() -> None:
    holding = outlet()
    holding.fence(E2)
    for event in (sound(480), words("x"), words("All", final=True), replace(sound(240), epoch=E2)):
        holding.put(event)
    assert names(emptied(holding)) == ["AgentTranscript", "AudioOutput"]
    assert holding.tally == Tally(received=720, delivered=240, fenced=480)


def test_epoch_and_connection_never_fall_though_settling_events_are_older() -> None:
    settling = replace(done(), epoch=E1, conn=0)
    control = replace(Interrupted(cause="app"), epoch=E2, conn=1)
    taken = emptied(outlet(settling, control))
    assert [(event.epoch, event.conn) for event in taken] == [(2, 1), (2, 1)]


def test_a_call_whose_cancellation_overtakes_it_is_not_returned() -> None:
    holding = outlet(call(C1), sound(), call(C2), ToolCallCancelled(calls=(C1, CallId("other"))))
    assert names(emptied(holding)) == ["ToolCallCancelled", "AudioOutput", "ToolCall"]


def test_every_sample_is_counted_once() -> None:
    holding = outlet(sound(100), sound(200), sound(400), seconds=500 / SECOND)
    assert holding.overflow()[0] == 2
    assert holding.tally == Tally(received=700, overflowed=300, waiting=400)
    holding.take(0.0)
    holding.put(sound(50))
    holding.fence(E1)
    assert holding.tally == Tally(received=750, overflowed=300, delivered=400, fenced=50)


def test_overflow_drops_the_oldest_audio_as_little_as_makes_room_and_nothing_else() -> None:
    pieces: list[RealtimeEvent] = [started(), sound(10), words("Hi"), sound(20), sound(30), done()]
    holding = outlet(*pieces, seconds=50 / SECOND)
    count, ms = holding.overflow()
    assert (count, round(ms * SECOND / 1000)) == (1, 10)
    left = emptied(holding)
    assert names(left) == [
        "ResponseStarted",
        "AgentTranscript",
        "AudioOutput",
        "AudioOutput",
        "ResponseDone",
    ]
    assert [len(event.pcm) for event in left if isinstance(event, AudioOutput)] == [40, 60]


def test_at_the_cap_itself_nothing_overflows() -> None:
    holding = outlet(sound(50), seconds=50 / SECOND)
    assert holding.full
    assert holding.overflow() == (0, 0.0)


def test_an_outlet_without_room_drops_all_audio_and_no_words() -> None:
    pieces = [piece for number in range(1, 30) for piece in (sound(number), words("x"))]
    holding = outlet(*pieces, seconds=0.0)
    holding.overflow()
    assert holding.tally.overflowed == sum(range(1, 30))
    assert set(names(emptied(holding))) == {"AgentTranscript"}


def test_an_outlet_is_full_by_the_seconds_that_wait_and_not_when_it_is_empty() -> None:
    holding = outlet(seconds=0.0)
    states = [holding.full]
    holding.put(sound(1))
    states.append(holding.full)
    holding.take(0.0)
    assert [*states, holding.full] == [False, True, False]


def test_words_without_end_make_an_outlet_full_too() -> None:
    holding = outlet(*[words("x")] * 65_535)
    states = [(holding.crowded, holding.full)]
    holding.put(Unknown(name="x"))
    states.append((holding.crowded, holding.full))
    holding.take(0.0)
    states.append((holding.crowded, holding.full))
    assert states == [(False, False), (True, True), (False, False)]


def test_sent_audio_that_nobody_takes_is_kept_up_to_the_cap_and_counted() -> None:
    echo = AudioInput(pcm=bytes(SECOND), format=PCM_24K)
    holding = outlet(*[echo] * 5, seconds=1.0)
    assert holding.unread == (3, 1500.0)
    assert len(emptied(holding)) == 2
    holding.put(echo)
    assert len(emptied(holding)) == 1


def test_what_was_taken_is_known_by_item_until_the_next_fence() -> None:
    holding = outlet(sound(240), sound(240), AudioOutput(pcm=bytes(2), format=PCM_24K))
    for _ in range(3):
        holding.take(5.0)
    (reading,) = holding.delivered
    assert (reading.item, reading.samples, reading.ends_at) == (I1, 480, 5.0 + 480 / SECOND)
    holding.fence(E1)
    assert holding.delivered == ()


def test_the_kinds_of_output_keep_their_order_among_each_other() -> None:
    order: list[RealtimeEvent] = [
        started(),
        words("a"),
        sound(),
        call(),
        words("a.", final=True),
        done(),
    ]
    assert names(emptied(outlet(*order))) == names(order)
