"""Playback: nothing stale is played, and what was heard is known, on the clock and on a device."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    PCM_24K,
    AudioFormat,
    AudioOutput,
    Close,
    CreateResponse,
    Epoch,
    HeardItem,
    Interrupted,
    ItemId,
    RealtimeEvent,
    RealtimeSession,
    ResponseDone,
    Text,
    open_session,
)
from realtime_core import playback as module
from realtime_core.playback import ClockSink, Player, Sink, play, player
from realtime_core.testing import TICK, Injection, PointsFailed, every_point, no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from tests.core.short import I1, I2, I3, R1, R2, SECOND, done, sound, started

SLICE = SECOND // 50
"""Samples in 20 ms."""
PER_TICK = SECOND // 64


def numbered(samples: int, number: int = 0, item: ItemId = I1) -> AudioOutput:
    """Sound whose samples count up, so that what was kept of it can be told."""
    pcm = b"".join((number + i).to_bytes(2, "little") for i in range(samples))
    return replace(sound(0, item), pcm=pcm)


class Kept:
    """What a clock sink handed on."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def __call__(self, pcm: bytes, format: AudioFormat) -> None:
        assert format == PCM_24K
        assert pcm
        self.pieces.append(pcm)

    @property
    def pcm(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def samples(self) -> int:
        return len(self.pcm) // 2


# --- the sink on the clock --------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(0, 3_000), max_size=12),
    pace=st.sampled_from((0.5, 1.0, 2.0, 3.0)),
    uptime=st.sampled_from((0.0, 1e6, 3e7)),
)
def test_what_was_written_takes_its_time_and_is_heard(
    anyio_backend: str, sizes: list[int], pace: float, uptime: float
) -> None:
    kept = Kept()

    async def program() -> None:
        sink = ClockSink(kept, pace=pace, clock=lambda: uptime + anyio.current_time())
        written = 0
        for size in sizes:
            await sink.write(bytes(2 * size), PCM_24K)
            written += size
            assert sink.heard() == written
            assert anyio.current_time() == pytest.approx(written / SECOND / pace, abs=1e-6)
        sink.close()
        assert kept.samples == sink.heard() == written

    run(program, backend=anyio_backend)


def test_without_a_pace_no_time_passes(anyio_backend: str) -> None:
    async def program() -> int:
        sink = ClockSink(pace=0)
        for _ in range(3):
            await sink.write(bytes(2 * SECOND), PCM_24K)
        await sink.drain()
        assert anyio.current_time() == 0.0
        sink.flush()
        return sink.heard()

    assert run(program, backend=anyio_backend) == 3 * SECOND


def test_heard_is_exact_at_every_tick_and_a_flush_keeps_that_much(anyio_backend: str) -> None:
    kept = Kept()

    async def program() -> None:
        sink = ClockSink(kept)
        pcm = numbered(SECOND).pcm
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sink.write, pcm, PCM_24K)
            await anyio.wait_all_tasks_blocked()
            for tick in range(32):
                assert sink.heard() == tick * PER_TICK
                await anyio.sleep(TICK)
            sink.flush()
            assert kept.pcm == pcm[: 2 * 32 * PER_TICK]
            tasks.cancel_scope.cancel()
        sink.flush()
        assert sink.heard() == kept.samples == 32 * PER_TICK
        assert len(kept.pieces) == 1

    run(program, backend=anyio_backend)


def test_a_late_piece_joins_on_and_a_pause_does_not_count(anyio_backend: str) -> None:
    async def program() -> list[float]:
        sink, ends = ClockSink(), list[float]()
        for pause in (0.0, TICK, 64 * TICK):
            await anyio.sleep(pause)
            await sink.write(bytes(2 * 4 * PER_TICK), PCM_24K)
            ends.append(anyio.current_time() / TICK)
        assert sink.heard() == 12 * PER_TICK
        return ends

    assert run(program, backend=anyio_backend) == pytest.approx([4, 8, 76])


def test_a_write_that_was_cancelled_plays_on_before_the_next(anyio_backend: str) -> None:
    async def program() -> None:
        sink = ClockSink()
        with anyio.move_on_after(16 * TICK):
            await sink.write(bytes(2 * SECOND), PCM_24K)
        assert sink.heard() == 16 * PER_TICK
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sink.write, bytes(2 * SECOND), PCM_24K)
            await anyio.sleep(16 * TICK)
            assert sink.heard() == 32 * PER_TICK
            await anyio.sleep(64 * TICK)
            assert sink.heard() == 96 * PER_TICK

    run(program, backend=anyio_backend)


STEPS = st.sampled_from(("write", "cut", "flush", "wait"))


@given(steps=st.lists(st.tuples(STEPS, st.integers(0, 12)), max_size=20))
def test_heard_rises_only_and_never_passes_what_was_written(
    anyio_backend: str, steps: list[tuple[str, int]]
) -> None:
    kept = Kept()

    async def program() -> None:
        sink = ClockSink(kept)
        written = heard = 0
        for step, ticks in steps:
            match step:
                case "write":
                    written += ticks * PER_TICK
                    await sink.write(bytes(2 * ticks * PER_TICK), PCM_24K)
                case "cut":
                    written += 8 * PER_TICK
                    with anyio.move_on_after(ticks * TICK):
                        await sink.write(bytes(2 * 8 * PER_TICK), PCM_24K)
                case "flush":
                    sink.flush()
                    written = sink.heard()
                case _:
                    await anyio.sleep(ticks * TICK)
            assert heard <= sink.heard() <= written
            heard = sink.heard()
        sink.close()
        assert kept.samples == sink.heard()

    run(program, backend=anyio_backend)


# --- what a session learns --------------------------------------------------------------------


@asynccontextmanager
async def speaking(*events: RealtimeEvent) -> AsyncGenerator[RealtimeSession[Any]]:
    """Open a session whose provider says these events and then listens."""

    async def script(peer: Peer) -> None:
        await peer.say(*events)
        await peer.drain()

    async with open_session(scripted(script)) as session:
        yield session


def known(session: RealtimeSession[Any]) -> dict[ItemId, int]:
    """Give what the session has learned to be heard; estimates are not kept there."""
    return {id: item.heard for id, item in session._driver.state.ledger.items.items()}


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


# --- a device with a buffer of its own --------------------------------------------------------


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


# --- nothing stale ----------------------------------------------------------------------------


class Strict:
    """A sink that knows to which epoch each of its samples belongs; plays at once."""

    def __init__(self, session: RealtimeSession[Any]) -> None:
        self._session = session
        self._heard = 0
        self.played: list[int] = []

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        assert pcm[0] >= self._session.epoch, "a stale chunk was played"
        self.played.extend(pcm[::2])
        await anyio.sleep(TICK)
        self._heard += format.samples(len(pcm))

    def heard(self) -> int:
        return self._heard

    async def drain(self) -> None:
        await anyio.lowlevel.checkpoint()

    def flush(self) -> None:
        pass


def coloured(number: int, item: ItemId) -> AudioOutput:
    """Three slices and a bit, every sample the number of the epoch it belongs to."""
    return AudioOutput(item=item, pcm=bytes((number, 0)) * (3 * SLICE + 5), format=PCM_24K)


async def talked_over(point: Injection) -> None:
    """Play an answer, interrupt at one instant of the player, and ask again."""
    whole = [replace(coloured(1, I3), response=R2)] * 2

    async def script(peer: Peer) -> None:
        await peer.say(started(R1), *[replace(coloured(0, i), response=R1) for i in (I1, I1, I2)])
        await peer.until(Text)
        await peer.say(done(R1, "cancelled"))
        create = await peer.until(CreateResponse)
        assert isinstance(create, CreateResponse)
        await peer.say(started(R2, create.request), *whole, done(R2))
        await peer.drain()

    async def cut() -> None:
        await session.interrupt()
        await session.simple_response("Something else.")

    async with open_session(scripted(script)) as session, no_leaks():
        sink = Strict(session)
        async with player(session, sink) as speaker:
            point.arm(cut)
            with anyio.move_on_after(10):
                async for event in session.events():
                    speaker.take(event)
            point.close()
            assert not speaker.busy
        if point.fired:
            assert sink.played.count(1) == 2 * (3 * SLICE + 5), "the next answer is whole"
            assert sorted(sink.played) == sink.played
            assert known(session)[I3] == 2 * (3 * SLICE + 5)
        for id, item in session._driver.state.ledger.items.items():
            assert 0 <= item.heard <= item.received, id


def is_player(name: str) -> bool:
    return name.endswith("Player.run")


def test_nothing_stale_is_played_wherever_the_interruption_comes(anyio_backend: str) -> None:
    assert every_point(talked_over, backend=anyio_backend, tasks=is_player) > 20


@pytest.mark.parametrize("fault", ["compare", "flush"])
def test_the_sweep_finds_a_player_that_does_not_compare_or_forget(
    anyio_backend: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "compare":
        monkeypatch.setattr(module, "is_stale", lambda _, __: False)
    else:
        monkeypatch.setattr(Player, "_silence", lambda _: None)
    with pytest.raises(PointsFailed):
        every_point(talked_over, backend=anyio_backend, tasks=is_player)


async def given_up(point: Injection) -> None:
    """Cancel the owner of a player at one instant of the player."""
    kept = Kept()
    async with speaking(started(), numbered(2 * SLICE + 5), done()) as session, no_leaks():
        sink = ClockSink(kept)
        with anyio.CancelScope() as scope:
            async with player(session, sink) as speaker:
                point.arm(scope.cancel)
                async for event in session.events():
                    speaker.take(event)
                    if isinstance(event, ResponseDone):
                        break
                await speaker.drained()
                scope.cancel()
                await anyio.sleep_forever()
        assert kept.samples == sink.heard()
        assert known(session).get(I1, 0) <= sink.heard()
        await speaker.drained()
        assert not speaker.busy


def test_a_player_can_be_cancelled_anywhere(anyio_backend: str) -> None:
    assert every_point(given_up, backend=anyio_backend, tasks=is_player) > 5


async def hung_up(point: Injection) -> None:
    """Close the session at one instant of the player."""
    kept = Kept()
    async with (
        speaking(started(), numbered(2 * SLICE + 5)) as session,
        anyio.create_task_group() as tasks,
    ):

        async def end() -> None:
            await anyio.sleep(1)
            session.send_nowait(Close())

        tasks.start_soon(end)
        point.arm(lambda: session.send_nowait(Close()))
        await play(session, ClockSink(kept))
        tasks.cancel_scope.cancel()
    assert kept.pcm == numbered(2 * SLICE + 5).pcm[: 2 * kept.samples]


def test_playing_ends_with_the_session_whenever_that_ends(anyio_backend: str) -> None:
    assert every_point(hung_up, backend=anyio_backend, tasks=is_player) > 5


def test_drained_ends_after_a_fence_and_when_everything_was_heard(anyio_backend: str) -> None:
    async def program() -> None:
        async with (
            speaking(started(), sound(SECOND), done()) as session,
            player(session, ClockSink()) as speaker,
        ):
            await speaker.drained()
            events = session.events()
            async for event in events:
                speaker.take(event)
                if isinstance(event, ResponseDone):
                    break
            assert speaker.busy
            with anyio.move_on_after(0.5):
                await speaker.drained()
            assert speaker.busy
            await session.interrupt()
            await speaker.drained()
            assert anyio.current_time() == 0.5
            speaker.take(sound(SECOND))  # stale when it is taken
            await speaker.drained()
            assert anyio.current_time() == 0.5
            speaker.take(replace(sound(SECOND), epoch=Epoch(1)))
            await speaker.drained()
            assert anyio.current_time() == pytest.approx(1.5)

    run(program, backend=anyio_backend)


# --- a sink that fails ------------------------------------------------------------------------


class Broken:
    """A device that is unplugged."""

    async def write(self, pcm: bytes, format: AudioFormat) -> None:
        raise OSError("unplugged")

    def heard(self) -> int:
        return 0

    async def drain(self) -> None:
        raise AssertionError

    def flush(self) -> None:
        pass


def test_a_failure_of_the_sink_comes_out_as_it_was_raised(anyio_backend: str) -> None:
    async def program() -> None:
        async with speaking(started(), sound(SECOND), done()) as session:
            await play(session, Broken())

    with pytest.raises(OSError, match="unplugged"):
        run(program, backend=anyio_backend)


def test_a_failure_of_the_block_comes_out_as_it_was_raised(anyio_backend: str) -> None:
    async def program() -> None:
        async with speaking() as session, player(session, ClockSink()):
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run(program, backend=anyio_backend)


def test_whoever_waits_outside_of_the_block_learns_of_its_end(anyio_backend: str) -> None:
    async def program() -> None:
        async with speaking() as session:
            speaker = Player(session, Broken())
            speaker.take(sound())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(speaker.drained)
                with pytest.raises(OSError, match="unplugged"):
                    await speaker.run()
            assert not speaker.busy

    run(program, backend=anyio_backend)


def test_play_takes_any_stream_of_events(anyio_backend: str) -> None:
    kept = Kept()

    async def some() -> AsyncIterator[RealtimeEvent]:
        for event in (started(), numbered(SLICE), done()):
            yield event
            await anyio.lowlevel.checkpoint()

    async def program() -> None:
        async with speaking() as session:
            await play(session, ClockSink(kept), some())

    run(program, backend=anyio_backend)
    assert kept.pcm == numbered(SLICE).pcm
