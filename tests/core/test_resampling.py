"""Resampling: answers in another format, as long as before, and positions that tell the truth."""

from __future__ import annotations

import random
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    PCM_16K,
    PCM_24K,
    Audio,
    AudioFormat,
    AudioOutput,
    AudioOutputDone,
    Frame,
    Heard,
    HeardItem,
    Interrupted,
    ItemId,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
)
from realtime_core.audio.convert import convert
from realtime_core.mapping import resampled
from realtime_core.playback import ClockSink, player
from realtime_core.resampling import Resampling
from realtime_core.testing import TICK, Injection, PointsFailed, every_point, run
from realtime_core.testing.conformance import check_trace
from tests.core.listening import known, speaking
from tests.core.short import E1, I1, I2, R1, R2, SECOND, done, names, of, sound, started, words

TARGETS = (
    PCM_16K,
    PCM_24K,
    AudioFormat(rate=48_000, channels=2),
    AudioFormat(rate=8_000, encoding="pcmu"),
    AudioFormat(rate=11_025),
)
targets = pytest.mark.parametrize("target", TARGETS)


def noise(samples: int, seed: int = 1, item: ItemId = I1) -> AudioOutput:
    return replace(sound(item=item), pcm=random.Random(seed).randbytes(2 * samples))


def item_done(item: ItemId = I1) -> AudioOutputDone:
    return AudioOutputDone(response=R1, item=item)


def made(one: Resampling, *events: RealtimeEvent) -> list[RealtimeEvent]:
    return [out for event in events for out in one.event(event)]


def pcm(events: list[RealtimeEvent], item: ItemId = I1) -> bytes:
    return b"".join(e.pcm for e in events if isinstance(e, AudioOutput) and e.item == item)


def heard_part(samples: int, received: int, item: ItemId = I1) -> HeardItem:
    return HeardItem(item=item, response=R1, samples=samples, received=received, rate=SECOND)


# --- sound ------------------------------------------------------------------------------------


@targets
def test_a_session_speaks_in_the_format_that_was_asked_for(
    anyio_backend: str, target: AudioFormat
) -> None:
    pieces = [noise(479, seed) for seed in range(9)]

    async def program() -> list[RealtimeEvent]:
        async with speaking(started(), *pieces, item_done(), done()) as session:
            made = resampled(session, target)
            assert (made.output_format, session.output_format) == (target, PCM_24K)
            return [event async for event in made.events()]

    events = run(program, backend=anyio_backend)
    assert check_trace(events, complete=True) == []
    assert {event.format for event in of(AudioOutput, events)} == {target}
    assert pcm(events) == convert(b"".join(p.pcm for p in pieces), PCM_24K, target)
    assert names(events)[-3:] == ["AudioOutputDone", "ResponseDone", "Disconnected"]


@pytest.mark.parametrize("end", [item_done(), done()])
def test_what_is_held_back_comes_before_the_end(end: RealtimeEvent) -> None:
    events = made(Resampling(PCM_24K, PCM_16K), noise(100), noise(1), replace(end, at=2.0))
    assert names(events)[-2:] == ["AudioOutput", type(end).__name__]
    assert [event.at for event in events[-3:]] == [0.0, 2.0, 2.0]
    assert len(pcm(events)) == 2 * 68


def test_the_end_of_one_answer_is_not_that_of_another() -> None:
    one = Resampling(PCM_24K, PCM_16K)
    other = replace(noise(240, 2, I2), response=R2)
    before = made(one, noise(240), other, done())
    assert len(pcm(before, I1)) == 320
    assert len(pcm(before, I2)) < 320
    assert len(pcm([*before, *made(one, done(R2))], I2)) == 320


def test_items_are_kept_apart() -> None:
    pieces = [noise(100 + n, n, (I1, I2)[n % 2]) for n in range(10)]
    events = made(Resampling(PCM_24K, PCM_16K), *pieces, item_done(I1), item_done(I2))
    for item in (I1, I2):
        assert pcm(events, item) == convert(pcm([*pieces], item), PCM_24K, PCM_16K)


def test_an_item_that_changes_its_format_ends_one_sound_and_begins_another() -> None:
    slow = replace(noise(480, 2), format=PCM_16K)
    events = made(Resampling(PCM_24K, PCM_16K), noise(480), slow, item_done())
    assert pcm(events) == convert(noise(480).pcm, PCM_24K, PCM_16K) + slow.pcm


def test_a_fence_forgets_what_was_held_back() -> None:
    one = Resampling(PCM_24K, PCM_16K)
    cut = Interrupted(cause="app", epoch=E1)
    events = made(one, noise(240), cut, done(status="cancelled"))
    assert len(pcm(events)) < 320
    assert names(events) == ["AudioOutput", "Interrupted", "ResponseDone"]
    again = noise(240, 3)
    assert pcm(made(one, again, item_done())) == convert(again.pcm, PCM_24K, PCM_16K)


def test_a_format_that_cannot_be_made_is_refused_at_once(anyio_backend: str) -> None:
    async def program() -> None:
        async with speaking() as session:
            with pytest.raises(RealtimeException, match="cannot be converted"):
                resampled(session, AudioFormat(rate=100))

    run(program, backend=anyio_backend)


def test_sound_that_goes_in_is_left_alone() -> None:
    frame = Audio(b"ab", PCM_16K)
    assert Resampling(PCM_24K, PCM_16K).frame(frame) == (frame,)


@given(
    source=st.sampled_from((8_000, 16_000, 22_050, 24_000, 48_000)),
    target=st.sampled_from((8_000, 16_000, 22_050, 24_000, 44_100)),
    pieces=st.lists(st.integers(0, 2_000), min_size=1, max_size=8),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_lengths_and_positions_tell_the_truth(
    source: int, target: int, pieces: list[int], shares: list[float]
) -> None:
    before, after = AudioFormat(rate=source), AudioFormat(rate=target)
    one, total, given_out = Resampling(before, after), sum(pieces), 0
    for samples, share in zip(pieces, [*shares, *[1.0] * len(pieces)], strict=False):
        piece = replace(sound(samples), format=before)
        given_out += len(pcm(made(one, piece))) // 2
        told_back(one, int(given_out * share), source, target, total)
    given_out += len(pcm(made(one, item_done()))) // 2
    assert given_out == -(-total * target // source), "within one sample"
    assert one.frame(Heard(I1, given_out)) == (Heard(I1, total),), "all of it was heard"
    whole = made(one, Interrupted(cause="app", heard=(part_at(total, total, source),)))
    assert one_part(whole) == part_at(given_out, given_out, target)


def told_back(one: Resampling, played: int, source: int, target: int, total: int) -> None:
    """Require that a position told to the provider and back never grows, nor shrinks by much."""
    (frame,) = one.frame(Heard(I1, played))
    assert isinstance(frame, Heard)
    assert frame.samples <= played * source / target
    assert frame.samples > played * source / target - 1
    later = Resampling(AudioFormat(rate=source), AudioFormat(rate=target))
    cut = Interrupted(cause="app", heard=(part_at(frame.samples, total + 1, source),))
    part = one_part(made(later, cut))
    assert part.samples <= min(played, part.received)
    assert part.samples >= played - 1 - target / source


def part_at(samples: int, received: int, rate: int) -> HeardItem:
    return replace(heard_part(samples, received), rate=rate)


def one_part(events: list[RealtimeEvent]) -> HeardItem:
    (event,) = of(Interrupted, events)
    return event.heard[0]


# --- positions --------------------------------------------------------------------------------


def test_words_are_where_they_are_spoken() -> None:
    one = Resampling(PCM_24K, PCM_16K)
    piece = words("Hi", span=(2_400, 4_800))
    open_ended = replace(piece, span=(4_800, None))
    spans = [getattr(e, "span", ()) for e in made(one, words("Oh"), piece, open_ended)]
    assert spans == [None, (1_600, 3_200), (3_200, None)]


def test_words_of_who_speaks_at_another_rate_are_where_they_are_spoken() -> None:
    one = Resampling(PCM_16K, AudioFormat(rate=8_000))
    one.rate = 24_000
    (event,) = made(one, words("Hi", span=(24_000, 48_000)))
    assert getattr(event, "span", ()) == (8_000, 16_000)


def test_an_estimate_never_passes_what_was_given_out() -> None:
    """The estimate is of what the provider sent; some of that is still held back."""
    one = Resampling(PCM_24K, PCM_16K)
    given_out = len(pcm(made(one, noise(2_400)))) // 2
    part = one_part(made(one, Interrupted(cause="app", heard=(heard_part(2_400, 4_800),))))
    assert (part.samples, part.received, part.rate) == (given_out, 3_200, 16_000)
    assert given_out < 1_600


def test_of_an_item_that_is_not_known_the_position_is_told_by_the_usual_rate() -> None:
    one = Resampling(PCM_24K, PCM_16K)
    assert one.frame(Heard(I2, 1_000)) == (Heard(I2, 1_500),)
    for number in range(300):
        made(one, noise(2, number, ItemId(str(number))))
    assert one.frame(Heard(ItemId("0"), 1_000)) == (Heard(ItemId("0"), 1_500),)
    assert one.frame(Heard(ItemId("299"), 1_000)) == (Heard(ItemId("299"), 2),)
    part = one_part(made(one, Interrupted(cause="app", heard=(heard_part(3, 6),))))
    assert (part.samples, part.received) == (2, 4)


def test_a_player_is_heard_to_the_sample(anyio_backend: str) -> None:
    async def program() -> tuple[int, int, int]:
        async with speaking(started(), *[noise(SECOND // 2, n) for n in range(4)]) as session:
            made, sink = resampled(session, PCM_16K), ClockSink()
            async with player(made, sink) as speaker:
                events = made.events()
                async for event in events:
                    speaker.take(event)
                    if len(of(AudioOutput, [event])) and made.statistics.output.waiting == 0:
                        break
                await anyio.sleep(48 * TICK)
                played = sink.heard()
                await made.interrupt()
                cut = one_part([await anext(events)])
                return played, cut.samples, known(session)[I1]

    played, told, provider = run(program, backend=anyio_backend)
    assert played == 12_000
    assert 0 <= played - told < 320, "a player reports each 20 ms"
    assert provider == told * 3 // 2


# --- law --------------------------------------------------------------------------------------


async def cut_off(point: Injection) -> None:
    """Sound is resampled and played; at one instant the application interrupts."""
    fenced = list[int]()
    seen = list[tuple[RealtimeEvent, int]]()
    said = [noise(SECOND // 32, n) for n in range(4)]
    async with speaking(started(), *said, item_done(), done()) as session:
        made: RealtimeSession[Frame] = resampled(session, PCM_16K)

        async def consume() -> None:
            async for event in made.events():
                seen.append((event, made.epoch))
                await anyio.sleep(TICK)
                if event.response == R1 and names([event]) == ["ResponseDone"]:
                    return

        async def interrupt() -> None:
            fenced.append(await made.interrupt())

        await point.drive(consume(), interrupt)
    given_out = 0
    for event, epoch in seen:
        if isinstance(event, AudioOutput):
            assert event.epoch == epoch, "stale"
            given_out += len(event.pcm) // 2
        if isinstance(event, Interrupted):
            assert all(part.samples <= given_out for part in event.heard)
    assert check_trace([event for event, _ in seen]) == []
    assert fenced or given_out == 4 * 16_000 // 32


def test_every_instant(anyio_backend: str) -> None:
    assert every_point(cut_off, backend=anyio_backend) > 10


def test_fault_keeps_what_was_held_back_over_a_fence(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = Resampling.event

    def forgetful(self: Any, given: RealtimeEvent) -> Any:
        kept = dict(self._running)
        for out in event(self, given):
            late = isinstance(out, AudioOutput) and not isinstance(given, AudioOutput)
            yield replace(out, seq=-1) if late else out
        if isinstance(given, Interrupted):
            self._running.update(kept)

    monkeypatch.setattr(Resampling, "event", forgetful)
    with pytest.raises(PointsFailed):
        every_point(cut_off, backend=anyio_backend)
