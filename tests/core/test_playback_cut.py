"""Playback that is cut: nothing stale is played, and a player ends wherever it is ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    PCM_24K,
    AudioFormat,
    AudioOutput,
    Close,
    CreateResponse,
    Epoch,
    ItemId,
    RealtimeEvent,
    RealtimeSession,
    ResponseDone,
    Text,
    open_session,
)
from realtime_core import playback as module
from realtime_core.playback import ClockSink, Player, play, player
from realtime_core.testing import TICK, Injection, PointsFailed, every_point, no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from tests.core.listening import SLICE, Kept, known, numbered, speaking
from tests.core.short import I1, I2, I3, R1, R2, SECOND, done, sound, started


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
