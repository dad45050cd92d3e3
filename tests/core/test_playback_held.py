"""Playback that is held: it falls silent where it is, and goes on there or is cut there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    PCM_24K,
    AudioOutput,
    Hold,
    Interrupt,
    Interrupted,
    RealtimeSession,
    Release,
    SpeechStarted,
    open_session,
)
from realtime_core.playback import ClockSink, Player, Sink, player
from realtime_core.testing import TICK, run, stalls
from realtime_core.testing.scripted import Peer, scripted
from tests.core.listening import PER_TICK, SLICE, Kept, known, numbered, speaking
from tests.core.short import I1, I2, R2, SECOND, done, started

WHOLE = numbered(SECOND)
NEXT = replace(numbered(4 * SLICE + 5, 40_000, I2), response=R2)


class Listener:
    """Takes the events of a session for its player, and keeps what tells of a cut."""

    def __init__(self, session: RealtimeSession[Any], speaker: Player) -> None:
        self.session = session
        self.speaker = speaker
        self.cuts = list[Interrupted]()

    async def listen(self) -> None:
        async for event in self.session.events():
            self.speaker.take(event)
            if isinstance(event, Interrupted):
                self.cuts.append(event)


@asynccontextmanager
async def listening(session: RealtimeSession[Any], sink: Sink) -> AsyncGenerator[Listener]:
    async with player(session, sink) as speaker, anyio.create_task_group() as tasks:
        listener = Listener(session, speaker)
        tasks.start_soon(listener.listen)
        yield listener
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("ticks", [1, 5, 17, 62])
@pytest.mark.parametrize("lasts", [0, 3, 40])
def test_what_is_released_goes_on_at_the_held_sample(
    anyio_backend: str, ticks: int, lasts: int
) -> None:
    kept = Kept()

    async def program() -> None:
        sink = ClockSink(kept)
        async with (
            speaking(started(), WHOLE, done()) as session,
            listening(session, sink) as listener,
        ):
            await anyio.sleep(ticks * TICK)
            session.send_nowait(Hold())
            assert sink.paused
            assert sink.heard() == ticks * PER_TICK
            await anyio.sleep(lasts * TICK)
            assert sink.heard() == ticks * PER_TICK == known(session).get(I1, 0)
            session.send_nowait(Release())
            assert not sink.paused
            await anyio.wait_all_tasks_blocked()
            await listener.speaker.drained()
            assert anyio.current_time() == pytest.approx((64 + lasts) * TICK)
            assert known(session) == {I1: SECOND}
            assert listener.cuts == []

    run(program, backend=anyio_backend)
    assert kept.pcm == WHOLE.pcm


@pytest.mark.parametrize("ticks", [1, 5, 17, 62])
def test_what_is_cut_was_heard_up_to_the_held_sample(anyio_backend: str, ticks: int) -> None:
    kept = Kept()

    async def program() -> None:
        sink = ClockSink(kept)
        async with (
            speaking(started(), WHOLE, done()) as session,
            listening(session, sink) as listener,
        ):
            await anyio.sleep(ticks * TICK)
            session.send_nowait(Hold())
            await anyio.sleep(40 * TICK)
            session.send_nowait(Interrupt())
            assert not sink.paused, "what comes next may sound"
            await listener.speaker.drained()
            assert anyio.current_time() == (ticks + 40) * TICK
            listener.speaker.take(replace(NEXT, epoch=session.epoch))
            await listener.speaker.drained()
        ((part,),) = [cut.heard for cut in listener.cuts]
        assert part.samples == ticks * PER_TICK

    run(program, backend=anyio_backend)
    assert kept.pcm == WHOLE.pcm[: 2 * ticks * PER_TICK] + NEXT.pcm


def test_what_comes_during_a_hold_waits_for_its_end(anyio_backend: str) -> None:
    kept = Kept()

    async def script(peer: Peer) -> None:
        await peer.say(started())
        await anyio.sleep(4 * TICK)
        await peer.say(WHOLE, done())
        await peer.drain()

    async def program() -> None:
        sink = ClockSink(kept)
        async with (
            open_session(scripted(script)) as session,
            listening(session, sink) as listener,
        ):
            await anyio.sleep(TICK)
            session.send_nowait(Hold())
            await anyio.sleep(16 * TICK)
            assert listener.speaker.busy
            assert sink.heard() == 0
            session.send_nowait(Release())
            await listener.speaker.drained()
            assert anyio.current_time() == pytest.approx((17 + 64) * TICK)

    run(program, backend=anyio_backend)
    assert kept.pcm == WHOLE.pcm


class Unpausable:
    """A sink that plays on what it was given."""

    def __init__(self, sink: ClockSink) -> None:
        self.write, self.heard = sink.write, sink.heard
        self.drain, self.flush = sink.drain, sink.flush


@pytest.mark.parametrize("cut", [False, True])
def test_a_sink_that_cannot_pause_ends_its_piece_and_gets_no_more(
    anyio_backend: str, cut: bool
) -> None:
    kept = Kept()

    async def program() -> None:
        sink = ClockSink(kept)
        async with (
            speaking(started(), WHOLE, done()) as session,
            listening(session, Unpausable(sink)) as listener,
        ):
            await anyio.sleep(0.03)
            session.send_nowait(Hold())
            assert known(session) == {I1: 0.03 * SECOND}
            await anyio.sleep(0.5)
            assert sink.heard() == 2 * SLICE
            session.send_nowait(Interrupt() if cut else Release())
            await listener.speaker.drained()
            assert listener.session.epoch == int(cut)
            assert known(session) == {I1: 2 * SLICE if cut else SECOND}

    run(program, backend=anyio_backend)
    assert kept.pcm == (WHOLE.pcm[: 4 * SLICE] if cut else WHOLE.pcm)


def test_a_player_that_begins_during_a_hold_is_silent(anyio_backend: str) -> None:
    kept = Kept()

    async def program() -> None:
        sink = ClockSink(kept)
        async with speaking(started(), WHOLE, done()) as session:
            await anyio.sleep(TICK)
            session.send_nowait(Hold())
            async with listening(session, sink) as listener:
                await anyio.sleep(TICK)
                assert sink.paused
                session.send_nowait(Release())
                await listener.speaker.drained()

    run(program, backend=anyio_backend)
    assert kept.pcm == WHOLE.pcm


@pytest.mark.parametrize("can_pause", [True, False])
def test_a_player_that_ends_during_a_hold_leaves_its_sink_ready(
    anyio_backend: str, can_pause: bool
) -> None:
    async def program() -> None:
        kept = Kept()
        sink = ClockSink(kept)
        used = sink if can_pause else Unpausable(sink)
        async with speaking(started(), WHOLE, done()) as session:
            async with listening(session, used):
                await anyio.sleep(TICK)
                session.send_nowait(Hold())
            assert not sink.paused
            assert kept.samples == sink.heard() == PER_TICK
            session.send_nowait(Release())
            await sink.write(bytes(2 * SLICE), PCM_24K)
            assert kept.samples == PER_TICK
            assert sink.heard() == PER_TICK + SLICE

    run(program, backend=anyio_backend)


@pytest.mark.parametrize("seed", range(6))
def test_a_player_that_is_late_loses_nothing_of_the_next_answer(
    anyio_backend: str, seed: int
) -> None:
    """The next answer may already wait when it learns that the one before was cut."""
    kept = Kept()

    async def script(peer: Peer) -> None:
        await peer.say(started(), WHOLE)
        await anyio.sleep(0.1)
        await peer.say(SpeechStarted(), started(R2), NEXT, done(R2))
        await peer.drain()

    async def program() -> None:
        async with (
            open_session(scripted(script)) as session,
            player(session, ClockSink(kept)) as speaker,
        ):
            async for event in session.events():
                speaker.take(event)
                if isinstance(event, AudioOutput) and event.response == R2:
                    break
            await speaker.drained()

    late = stalls(seed, lambda name: name.endswith("Player.run"))
    run(program, backend=anyio_backend, seed=seed, weave=late)
    assert kept.pcm.endswith(NEXT.pcm)
