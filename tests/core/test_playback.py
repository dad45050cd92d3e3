"""Playback: what a session learns of what was heard, on the clock and on a device."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from realtime_core import (
    PCM_24K,
    AudioFormat,
    HeardItem,
    Interrupted,
    RealtimeEvent,
    RealtimeSession,
    ResponseDone,
    open_session,
)
from realtime_core.playback import ClockSink, Player, Sink, player
from realtime_core.testing import TICK, run
from realtime_core.testing.scripted import Peer, scripted
from tests.core.listening import PER_TICK, SLICE, Kept, known, numbered, speaking
from tests.core.short import I1, I2, I3, SECOND, done, sound, started


async def until_quiet(session: RealtimeSession[Any], speaker: Player) -> None:
    """Take events until an answer has ended, and wait until it was heard."""
    async for event in session.events():
        speaker.take(event)
        if isinstance(event, ResponseDone):
            break
    await speaker.drained()


async def heard_at_an_interruption(
    sink: Sink, at: float, *events: RealtimeEvent
) -> tuple[HeardItem, ...]:
    """Interrupt at a time and give what the session then says was heard."""
    async with speaking(*events) as session, player(session, sink) as speaker:

        async def cut() -> None:
            await anyio.sleep(at)
            await session.interrupt()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cut)
            async for event in session.events():
                speaker.take(event)
                if isinstance(event, Interrupted):
                    await speaker.drained()
                    return event.heard
    raise AssertionError


@pytest.mark.parametrize("pace", [1.0, 2.0])
@pytest.mark.parametrize("ticks", [0, 1, 5, 17, 31, 63])
def test_heard_is_exact_to_the_slice(anyio_backend: str, pace: float, ticks: int) -> None:
    kept = Kept()
    piece = numbered(SECOND * 2)

    async def program() -> tuple[HeardItem, ...]:
        sink = ClockSink(kept, pace=pace)
        return await heard_at_an_interruption(sink, ticks * TICK, started(), piece, done())

    (part,) = run(program, backend=anyio_backend)
    heard = int(ticks * PER_TICK * pace)
    assert part.samples == heard // SLICE * SLICE
    assert part.received == 2 * SECOND
    assert kept.pcm == piece.pcm[: 2 * heard], "the partly heard slice is kept as far as it sounded"


def test_as_fast_as_it_goes_everything_is_heard_at_once(anyio_backend: str) -> None:
    kept = Kept()

    async def program() -> float:
        async with (
            speaking(started(), numbered(SECOND), done()) as session,
            player(session, ClockSink(kept, pace=0)) as speaker,
        ):
            await until_quiet(session, speaker)
            assert known(session) == {I1: SECOND}
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 0.0
    assert kept.pcm == numbered(SECOND).pcm


def test_two_items_in_a_row(anyio_backend: str) -> None:
    async def program() -> None:
        first, second = sound(3 * SLICE + 7, I1), sound(5 * SLICE, I2)
        async with (
            speaking(started(), first, second, done()) as session,
            player(session, ClockSink()) as speaker,
        ):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(until_quiet, session, speaker)
                await anyio.sleep(0.07)
                assert known(session) == {I1: 3 * SLICE + 7, I2: 0}
                await anyio.sleep(0.02)
                assert known(session) == {I1: 3 * SLICE + 7, I2: SLICE}
            assert known(session) == {I1: 3 * SLICE + 7, I2: 5 * SLICE}

    run(program, backend=anyio_backend)


def test_items_that_alternate_are_counted_apart(anyio_backend: str) -> None:
    said = [sound(2 * SLICE, item) for item in (I1, I2, I1, I3, I2)]

    async def program() -> None:
        async with (
            speaking(started(), *said, done()) as session,
            player(session, ClockSink()) as speaker,
        ):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(until_quiet, session, speaker)
                await anyio.sleep(0.11)
                assert known(session) == {I1: 3 * SLICE, I2: 2 * SLICE, I3: 0}
            assert known(session) == {I1: 4 * SLICE, I2: 4 * SLICE, I3: 2 * SLICE}

    run(program, backend=anyio_backend)


def test_an_item_goes_on_after_a_pause(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started(), sound(2 * SLICE, I1), sound(SLICE, I2))
        await anyio.sleep(2)
        await peer.say(sound(2 * SLICE, I1))
        await anyio.sleep(2)
        await peer.say(sound(SLICE, I2), done())
        await peer.drain()

    async def program() -> None:
        async with (
            open_session(scripted(script)) as session,
            player(session, ClockSink()) as speaker,
        ):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(until_quiet, session, speaker)
                await anyio.sleep(1)
                assert not speaker.busy
                assert known(session) == {I1: 2 * SLICE, I2: SLICE}
                await anyio.sleep(1.03)
                assert known(session) == {I1: 3 * SLICE, I2: SLICE}
            assert known(session) == {I1: 4 * SLICE, I2: 2 * SLICE}

    run(program, backend=anyio_backend)


def test_sound_without_an_item_delays_what_follows_and_is_not_counted_for_it(
    anyio_backend: str,
) -> None:
    async def program() -> None:
        async with (
            speaking(started(), sound(SECOND), done()) as session,
            player(session, ClockSink()) as speaker,
        ):
            speaker.take(sound(SECOND, item=None))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(until_quiet, session, speaker)
                await anyio.sleep(1.01)
                assert known(session) == {I1: 0}
                await anyio.sleep(0.02)
                assert known(session) == {I1: SLICE}
            assert known(session) == {I1: SECOND}

    run(program, backend=anyio_backend)


def test_a_sink_that_was_used_before_counts_from_there(anyio_backend: str) -> None:
    sink = ClockSink(pace=0)

    async def program() -> None:
        await sink.write(bytes(2 * SECOND), PCM_24K)
        heard = await heard_at_an_interruption(SlowToOpen(sink), TICK, started(), sound(), done())
        assert [part.samples for part in heard] == [0]

    run(program, backend=anyio_backend)


class SlowToOpen:
    """A device that takes a second before the first sound."""

    def __init__(self, sink: ClockSink) -> None:
        self.heard, self.drain, self.flush = sink.heard, sink.drain, sink.flush
        self._write = sink.write

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        await anyio.sleep(1)
        await self._write(pcm, format)


def test_what_a_slow_device_has_not_begun_to_play_is_not_heard(anyio_backend: str) -> None:
    """Without the sink's word half a second would be estimated."""

    async def program() -> tuple[HeardItem, ...]:
        sink = SlowToOpen(ClockSink())
        return await heard_at_an_interruption(sink, 0.5, started(), sound(SECOND), done())

    (part,) = run(program, backend=anyio_backend)
    assert (part.samples, part.exact) == (0, True)


class Device:
    """Takes up to 80 ms ahead, as sound cards do; remembers when it ran dry."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._written = 0
        self._lost = 0
        self._starts = 0.0

    @property
    def _ends(self) -> float:
        return self._starts + (self._written - self._lost) / SECOND

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        now = anyio.current_time()
        if self._ends < now:
            self.gaps.append(now - self._ends)
            self._starts += now - self._ends
        self._written += format.samples(len(pcm))
        await anyio.sleep(max(0.0, self._ends - now - 0.08))

    def heard(self) -> int:
        left = max(0.0, self._ends - anyio.current_time())
        return self._written - self._lost - round(left * SECOND)

    async def drain(self) -> None:
        await anyio.sleep(max(0.0, self._ends - anyio.current_time()))

    def flush(self) -> None:
        self._lost = self._written - self.heard()


def test_what_a_device_still_holds_is_reported_as_it_sounds(anyio_backend: str) -> None:
    async def program() -> None:
        for ms in (30, 50, 70, 90, 110, 130):
            heard = await heard_at_an_interruption(
                Device(), ms / 1000, started(), sound(6 * SLICE), done()
            )
            if ms < 120:
                (part,) = heard
                assert ms - 20 <= part.samples * 1000 / SECOND <= ms
            else:
                assert heard == ()

    run(program, backend=anyio_backend)


def test_a_device_does_not_run_dry_while_the_answer_comes_at_its_own_pace(
    anyio_backend: str,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started(), sound(3 * SLICE))
        for _ in range(20):
            await anyio.sleep(0.05)
            await peer.say(sound(SLICE * 5 // 2))
        await peer.say(done())
        await peer.drain()

    async def program() -> list[float]:
        device = Device()
        async with open_session(scripted(script)) as session, player(session, device) as speaker:
            await until_quiet(session, speaker)
        return device.gaps

    assert run(program, backend=anyio_backend) == []
