"""The sink on the clock: it takes the time of the sound, and knows to the sample what was heard."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import (
    PCM_24K,
)
from realtime_core.playback import ClockSink
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
