"""Timings: what the events tell of where the time went."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    PCM_16K,
    AudioInput,
    ConversationItem,
    Epoch,
    HeardItem,
    Interrupted,
    ItemId,
    Message,
    RealtimeEvent,
    Reconnected,
    ResponseId,
    ResponseText,
    SpeechStarted,
    SpeechStopped,
    UserTranscript,
)
from realtime_core.timings import Cut, Latency, Timings, observe
from tests.core.short import I1, I2, R1, R2, done, sound, started, words


def at(time: float, event: RealtimeEvent) -> RealtimeEvent:
    return replace(event, at=time)


def told(*events: RealtimeEvent) -> Timings:
    return reduce(observe, events, Timings())


def typed(text: str = "Hello.") -> ConversationItem:
    return ConversationItem(message=Message("user", text))


def parts(latency: Latency) -> tuple[float, ...]:
    return latency.wait, latency.hear, latency.think, latency.speak


def microphone(seconds: int) -> list[RealtimeEvent]:
    """One second of audio each second, the first sent at 1.0."""
    return [
        at(n + 1.0, AudioInput(pcm=bytes(2 * PCM_16K.rate), format=PCM_16K)) for n in range(seconds)
    ]


def test_the_latency_of_a_spoken_turn_has_four_parts() -> None:
    known = told(
        *microphone(5),
        at(1.0, SpeechStarted(audio_ms=0)),
        at(5.5, SpeechStopped(audio_ms=4_000)),
        at(5.75, UserTranscript(text="Hello", final=False)),
        at(6.0, UserTranscript(text="Hello.", final=True)),
        at(6.25, started()),
        at(6.5, words("")),
        at(7.0, words("Hi")),
        at(8.0, sound()),
        at(9.0, sound()),
    )
    (latency,) = known.latencies
    assert parts(latency) == (1.5, 0.5, 1.0, 1.0)
    assert latency.total == 4.0


def test_a_typed_turn_is_over_at_once() -> None:
    known = told(at(1.0, typed()), at(3.0, ResponseText(text="Hi", is_complete=False)))
    known = observe(known, at(4.0, sound()))
    assert [parts(latency) for latency in known.latencies] == [(0.0, 0.0, 2.0, 1.0)]


def test_each_turn_has_one_latency() -> None:
    known = told(
        at(1.0, typed()),
        at(2.0, sound(response=R1)),
        at(2.5, words("Late words", response=R1)),
        at(3.0, typed()),
        at(5.0, sound(response=R2)),
        at(6.0, sound(response=R2)),
    )
    assert [latency.total for latency in known.latencies] == [1.0, 2.0]


def test_an_answer_that_was_there_before_is_none_to_this_turn() -> None:
    """A text is queued while the model still speaks."""
    known = told(
        at(1.0, typed()),
        at(2.0, sound(response=R1)),
        at(3.0, typed("And then?")),
        at(3.5, words("still", response=R1)),
        at(4.0, sound(response=R1)),
        at(6.0, words("then", response=R2)),
        at(7.0, sound(response=R2)),
    )
    assert [parts(latency) for latency in known.latencies] == [
        (0.0, 0.0, 1.0, 0.0),
        (0.0, 0.0, 3.0, 1.0),
    ]


def test_sound_that_the_end_of_the_turn_overtook_is_none_to_this_turn() -> None:
    known = told(
        at(5.0, SpeechStopped()),
        at(4.0, sound(response=R1)),
        at(5.5, sound(response=R1)),
        at(7.0, sound(response=R2)),
    )
    assert [latency.total for latency in known.latencies] == [2.0]


def test_what_overlaps_counts_once() -> None:
    """The answer's words come before the user's; the user's overtake its queued sound."""
    known = told(
        at(1.0, SpeechStopped()),
        at(1.5, words("Hi")),
        at(3.0, UserTranscript(text="Hello.", final=True)),
        at(3.5, UserTranscript(text="Again.", final=True)),
        at(2.0, sound()),
    )
    assert [parts(latency) for latency in known.latencies] == [(0.0, 1.0, 0.0, 0.0)]


@pytest.mark.parametrize(
    ("audio_ms", "wait"),
    [(None, 0.0), (0, 9.0), (1_000, 9.0), (1_001, 8.0), (5_000, 5.0), (60_000, 0.0)],
)
def test_the_end_of_speech_is_when_its_last_sample_was_sent(
    audio_ms: float | None, wait: float
) -> None:
    known = told(*microphone(8), at(10.0, SpeechStopped(audio_ms=audio_ms)), at(11.0, sound()))
    assert [latency.wait for latency in known.latencies] == [wait]


def test_the_memory_of_what_was_sent_is_bounded() -> None:
    known = told(*microphone(600))
    assert len(known.sent) == 512
    assert known.sent[-1] == (600_000.0, 600.0)


def test_sound_without_a_turn_tells_nothing() -> None:
    event = at(2.0, sound())
    assert told(at(1.0, started()), event, at(3.0, done())).latencies == ()


def cut(time: float, *heard: tuple[ItemId, int, str]) -> RealtimeEvent:
    return Interrupted(
        epoch=Epoch(1),
        at=time,
        cause="provider",
        heard=tuple(
            HeardItem(
                item=item, response=R1, samples=samples, received=48_000, rate=24_000, text=text
            )
            for item, samples, text in heard
        ),
    )


def test_a_cut_tells_what_was_heard_and_kept() -> None:
    known = told(
        at(1.0, sound()),
        at(4.0, SpeechStarted()),
        cut(4.5, (I1, 36_000, "It rains"), (I2, 12_000, "today"), (ItemId("i3"), 0, "")),
    )
    assert known.cuts == (Cut(Epoch(1), heard=2.0, kept="It rains today", delay=0.5),)


def test_a_cut_without_a_voice_has_no_delay() -> None:
    known = told(
        at(1.0, SpeechStarted()),
        at(2.0, SpeechStopped()),
        at(3.0, sound()),
        cut(9.0, (I1, 24_000, "It")),
        cut(9.5),
    )
    assert [c.delay for c in known.cuts] == [None, None]
    assert [c.heard for c in known.cuts] == [1.0, 0]


def test_a_new_connection_counts_its_audio_from_the_start() -> None:
    known = told(
        at(0.5, typed()),
        at(1.0, sound()),
        *microphone(5),
        at(5.0, SpeechStarted()),
        at(6.0, Reconnected(restored="history")),
        at(7.0, AudioInput(pcm=bytes(32_000), format=PCM_16K)),
        at(8.0, SpeechStopped(audio_ms=1_000)),
        at(9.0, sound(response=R2)),
    )
    assert [latency.total for latency in known.latencies] == [0.5, 2.0]


def _events() -> st.SearchStrategy[RealtimeEvent]:
    response = st.sampled_from((R1, R2, ResponseId("r3")))
    return st.one_of(
        st.builds(SpeechStarted),
        st.builds(SpeechStopped, audio_ms=st.none() | st.integers(0, 5_000)),
        st.builds(typed),
        st.builds(UserTranscript, text=st.just("x"), final=st.booleans()),
        st.sampled_from(microphone(1)),
        response.map(lambda r: words("x", response=r)),
        response.map(lambda r: sound(response=r)),
        st.just(Interrupted(cause="app")),
        st.just(Reconnected(restored="nothing")),
    )


@given(events=st.lists(st.tuples(st.integers(0, 9), _events())))
def test_the_parts_are_never_negative_and_add_up(events: list[tuple[int, RealtimeEvent]]) -> None:
    """In whatever order the events come, and with whatever times."""
    known = Timings()
    for time, event in events:
        before, known = known, observe(known, at(float(time), event))
        for latency in known.latencies[len(before.latencies) :]:
            assert min(parts(latency)) >= 0
            assert before.ended is not None
            assert latency.total == pytest.approx(time - before.ended)
