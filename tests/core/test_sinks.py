"""Sinks: they take the time of the sound, and know what was heard; on the clock to the sample."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import PCM_24K, AudioFormat
from realtime_core.sinks import ClockSink, MarkSink, Pausable
from realtime_core.testing import TICK, run
from tests.core.listening import PER_TICK, Kept, numbered
from tests.core.short import SECOND


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


STEPS = st.sampled_from(("write", "cut", "flush", "wait", "pause", "resume"))


@given(steps=st.lists(st.tuples(STEPS, st.integers(0, 12)), max_size=20))
def test_heard_rises_only_stands_still_in_a_pause_and_never_passes_what_was_written(
    anyio_backend: str, steps: list[tuple[str, int]]
) -> None:
    kept = Kept()

    async def program() -> None:
        sink = ClockSink(kept)
        written = heard = 0
        for step, ticks in steps:
            paused = sink.paused
            match step:
                case "write" if not paused:
                    written += ticks * PER_TICK
                    await sink.write(bytes(2 * ticks * PER_TICK), PCM_24K)
                case "write" | "cut":
                    written += 8 * PER_TICK
                    with anyio.move_on_after(ticks * TICK):
                        await sink.write(bytes(2 * 8 * PER_TICK), PCM_24K)
                case "flush":
                    sink.flush()
                    written = sink.heard()
                case "pause":
                    sink.pause()
                case "resume":
                    sink.resume()
                case _:
                    await anyio.sleep(ticks * TICK)
            assert heard <= sink.heard() <= written
            assert sink.heard() == heard or not paused
            heard = sink.heard()
        sink.close()
        assert kept.samples == sink.heard()

    run(program, backend=anyio_backend)


# --- pauses -----------------------------------------------------------------------------------


def test_a_pause_keeps_the_place_to_the_sample(anyio_backend: str) -> None:
    kept = Kept()

    async def program() -> None:
        sink = ClockSink(kept)
        pcm = numbered(SECOND).pcm
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sink.write, pcm, PCM_24K)
            for _ in range(3):
                await anyio.sleep(5 * TICK)
                heard = sink.heard()
                for _ in range(2):
                    sink.pause()
                    await anyio.sleep(7 * TICK)
                    assert sink.heard() == heard
                sink.resume()
                sink.resume()
        assert anyio.current_time() == (64 + 3 * 14) * TICK
        sink.close()
        assert kept.pcm == pcm

    run(program, backend=anyio_backend)


@pytest.mark.parametrize(("pace", "lasts"), [(1.0, 4), (0, 0)])
def test_nothing_is_begun_in_a_pause(anyio_backend: str, pace: float, lasts: int) -> None:
    async def program() -> None:
        sink = ClockSink(pace=pace)
        sink.pause()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sink.write, bytes(2 * 4 * PER_TICK), PCM_24K)
            await anyio.sleep(8 * TICK)
            assert sink.heard() == 0
            sink.resume()
        assert sink.heard() == 4 * PER_TICK
        assert anyio.current_time() == (8 + lasts) * TICK

    run(program, backend=anyio_backend)


def test_in_a_pause_a_sink_that_has_played_everything_is_drained(anyio_backend: str) -> None:
    async def program() -> float:
        sink = ClockSink()
        await sink.write(bytes(2 * 4 * PER_TICK), PCM_24K)
        sink.pause()
        await sink.drain()
        return anyio.current_time() / TICK

    assert run(program, backend=anyio_backend) == 4


def test_what_is_cut_in_a_pause_was_heard_up_to_it(anyio_backend: str) -> None:
    kept = Kept()

    async def program() -> None:
        sink = ClockSink(kept)
        pcm = numbered(SECOND).pcm
        with anyio.move_on_after(16 * TICK):
            await sink.write(pcm, PCM_24K)
        sink.pause()
        await anyio.sleep(16 * TICK)
        sink.flush()
        sink.resume()
        assert sink.heard() == 16 * PER_TICK
        await sink.write(pcm[: 2 * PER_TICK], PCM_24K)
        sink.close()
        assert kept.pcm == pcm[: 2 * 16 * PER_TICK] + pcm[: 2 * PER_TICK]
        assert anyio.current_time() == 33 * TICK

    run(program, backend=anyio_backend)


# --- marks ------------------------------------------------------------------------------------


class FarEnd:
    """Plays in real time, and sends each mark back once it has passed it, a little late."""

    def __init__(self, *, late: float = 0.0, loses: tuple[int, ...] = ()) -> None:
        self.sink = MarkSink(self.media, self.mark, self.clear)
        self.late = late
        self.loses = loses
        self.sent = 0
        self.ends = 0.0
        self.marks = list[tuple[float, str]]()
        self.cleared = 0

    async def media(self, pcm: bytes, format: AudioFormat) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent += format.samples(len(pcm))
        now = anyio.current_time()
        self.ends = max(self.ends, now) + format.samples(len(pcm)) / format.rate

    async def mark(self, name: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.marks.append((self.ends + self.late, name))

    def clear(self) -> None:
        self.cleared += 1
        self.ends = anyio.current_time()
        self.marks = [(anyio.current_time() + self.late, name) for _, name in self.marks]

    async def play(self) -> None:
        """Send marks back for ever."""
        passed = 0
        while True:
            while self.marks and self.marks[0][0] <= anyio.current_time():
                _, name = self.marks.pop(0)
                passed += 1
                if passed not in self.loses:
                    self.sink.passed(name)
            await anyio.sleep(TICK)


PIECE = 4 * PER_TICK
"""Samples; 62.5 ms."""


def test_what_lies_before_the_newest_mark_was_heard(anyio_backend: str) -> None:
    async def program() -> None:
        far = FarEnd(late=TICK, loses=(2,))
        assert not isinstance(far.sink, Pausable)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(far.play)
            for _ in range(16):
                await far.sink.write(bytes(2 * PIECE), PCM_24K)
                played = far.sent - round((far.ends - anyio.current_time()) * SECOND)
                assert far.sink.heard() <= played
                assert far.ends - anyio.current_time() <= 0.2 + TICK
            await far.sink.drain()
            assert far.sink.heard() == 16 * PIECE
            assert anyio.current_time() == far.ends + far.late
            await far.sink.drain()
            tasks.cancel_scope.cancel()

    run(program, backend=anyio_backend)


def test_marks_that_stay_away_delay_nothing_and_nothing_is_known_to_be_heard(
    anyio_backend: str,
) -> None:
    async def program() -> None:
        far = FarEnd()
        for _ in range(16):
            await far.sink.write(bytes(2 * PIECE), PCM_24K)
        assert anyio.current_time() == pytest.approx(1.0 - 0.2)
        await far.sink.drain()
        assert anyio.current_time() == pytest.approx(1.0 + 0.5)
        assert far.sink.heard() == 0
        far.sink.passed("no such mark")
        assert far.sink.heard() == 0
        far.sink.passed("mark-3")
        assert far.sink.heard() == 3 * PIECE

    run(program, backend=anyio_backend)


def test_after_a_flush_late_marks_count_for_nothing(anyio_backend: str) -> None:
    async def program() -> None:
        far = FarEnd(late=2 * TICK)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(far.play)
            for _ in range(3):
                await far.sink.write(bytes(2 * PIECE), PCM_24K)
            await anyio.sleep(4 * TICK + 2.5 * TICK)
            assert far.sink.heard() == PIECE
            far.sink.flush()
            await far.sink.drain()
            await anyio.sleep(8 * TICK)
            assert (far.sink.heard(), far.cleared, far.marks) == (PIECE, 1, [])
            await far.sink.write(bytes(2 * PIECE), PCM_24K)
            await anyio.sleep(8 * TICK)
            assert far.sink.heard() == 2 * PIECE
            tasks.cancel_scope.cancel()

    run(program, backend=anyio_backend)


def test_a_flush_wakes_who_waits_for_the_far_end(anyio_backend: str) -> None:
    async def program() -> float:
        far = FarEnd()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(far.sink.write, bytes(2 * SECOND), PCM_24K)
            await anyio.sleep(TICK)
            far.sink.flush()
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == TICK
