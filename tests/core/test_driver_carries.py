"""The driver: hangs up in time, keeps the outlet's policies, and ends what an epoch holds."""

from __future__ import annotations

from typing import Any

import anyio

from realtime_core import (
    PCM_24K,
    Audio,
    AudioInput,
    AudioOutput,
    CancelResponse,
    Close,
    Disconnected,
    Dropped,
    Error,
    Interrupt,
    InvalidRequest,
    Outlet,
    Recurs,
    ResponseDone,
    SessionConfig,
    SpeechStarted,
    Text,
    TurnDetection,
    Unavailable,
    open_session,
)
from realtime_core.testing import no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from tests.core.short import (
    R1,
    SECOND,
    done,
    listening,
    names,
    of,
    sound,
    started,
)

# --- hanging up -------------------------------------------------------------------------------


def test_leaving_returns_by_the_close_deadline_though_the_peer_is_mute_and_deaf(
    anyio_backend: str,
) -> None:
    async def script(peer: Peer) -> None:
        await anyio.sleep_forever()

    async def program() -> float:
        config = SessionConfig(close_timeout=3.0)
        async with no_leaks():
            async with open_session(scripted(script, buffer=0), config) as session:
                session.send_nowait(Text("x", turn="context"))
                await anyio.sleep(1.0)
                began = anyio.current_time()
            return anyio.current_time() - began

    assert run(program, backend=anyio_backend) == 3.0


def test_leaving_takes_no_time_where_the_provider_answers(anyio_backend: str) -> None:
    async def program() -> float:
        async with no_leaks(), open_session(scripted(Peer.drain)):
            await anyio.sleep(1.0)
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 1.0


def test_a_connection_given_up_while_it_does_not_accept_is_ended_by_the_close_deadline(
    anyio_backend: str,
) -> None:
    ended = list[tuple[int, float]]()

    async def script(peer: Peer) -> None:
        try:
            if peer.conn == 0:
                await anyio.sleep(1.0)
                await peer.say(Error(error=Unavailable(what="Go away."), recoverable=False))
                await anyio.sleep_forever()
            await peer.drain()
        finally:
            ended.append((peer.conn, anyio.current_time()))

    async def program() -> None:
        config = SessionConfig(retry=Recurs(1), close_timeout=3.0)
        async with open_session(scripted(script, buffer=0), config) as session:
            await anyio.sleep(0.5)
            for _ in range(2):
                session.send_nowait(Text("x", turn="context"))
            await anyio.sleep(9.5)
            assert session.connected
            assert ended == [(0, 4.0)]

    run(program, backend=anyio_backend)


# --- the outlet's policies --------------------------------------------------------------------


def talking(seconds: int, gap: float = 0.0) -> Any:
    """Give a provider that speaks in seconds and then lets the user speak."""

    async def script(peer: Peer) -> None:
        await peer.say(started(R1))
        for _ in range(seconds):
            await peer.say(sound(SECOND))
            await anyio.sleep(gap)
        await peer.say(SpeechStarted(), done(R1))
        await peer.drain()

    return script


def heard(config: SessionConfig, backend: str, gap: float = 0.0) -> list[Any]:
    """Give the events of a consumer that sleeps through most of an answer."""

    async def program() -> list[Any]:
        async with open_session(scripted(talking(6, gap), buffer=0), config) as session:
            await anyio.sleep(30.0)
            taken = list[Any]()
            async for event in session.events():
                taken.append(event)
                if isinstance(event, ResponseDone) and event.by_provider:
                    break
            return taken

    return run(program, backend=backend)


def config(**settings: Any) -> SessionConfig:
    return SessionConfig(turn_detection=TurnDetection(authority="application"), **settings)


def test_a_full_outlet_pauses_the_reader_and_loses_nothing(anyio_backend: str) -> None:
    taken = heard(config(outlet=Outlet(seconds=2.0)), anyio_backend)
    assert len(of(AudioOutput, taken)) == 6
    assert of(Dropped, taken) == []
    assert names(taken).index("SpeechStarted") > names(taken).index("AudioOutput")


def test_a_full_outlet_may_drop_the_oldest_audio_and_says_so(anyio_backend: str) -> None:
    taken = heard(config(outlet=Outlet(seconds=2.0, policy="drop")), anyio_backend)
    assert len(of(AudioOutput, taken)) == 2
    drops = of(Dropped, taken)
    assert {(drop.lane, drop.reason) for drop in drops} == {("outlet", "full")}
    assert sum(drop.count for drop in drops) == 4
    assert sum(drop.ms for drop in drops) == 4000.0


def test_a_full_outlet_may_end_the_session(anyio_backend: str) -> None:
    taken = heard(config(outlet=Outlet(seconds=2.0, policy="fail")), anyio_backend)
    last = taken[-1]
    assert isinstance(last, Disconnected)
    assert isinstance(last.error, InvalidRequest)
    assert "2 s" in last.reason


def test_an_outlet_with_room_reads_on_whatever_the_consumer_does(anyio_backend: str) -> None:
    taken = heard(config(outlet=Outlet(seconds=60.0)), anyio_backend)
    assert names(taken)[1] == "SpeechStarted"


def test_sent_audio_that_nobody_takes_is_counted_and_reported(anyio_backend: str) -> None:
    async def program() -> list[Any]:
        settings = SessionConfig(outlet=Outlet(seconds=1.0))
        async with open_session(scripted(listening([])), settings) as session:
            for _ in range(5):
                await session.send(Audio(bytes(SECOND), PCM_24K))
                await anyio.sleep(0.5)
            await session.send(Close())
            return [event async for event in session.events()]

    taken = run(program, backend=anyio_backend)
    assert len(of(AudioInput, taken)) == 2
    drops = of(Dropped, taken)
    assert {(drop.lane, drop.reason) for drop in drops} == {("outlet", "unread")}
    assert sum(drop.ms for drop in drops) == 1500.0


# --- scopes of an epoch -----------------------------------------------------------------------


def test_a_block_within_an_epoch_is_cancelled_when_that_epoch_is_fenced(
    anyio_backend: str,
) -> None:
    async def program() -> None:
        async with open_session(scripted(Peer.drain)) as session:
            ended = list[int]()

            async def work(epoch: int) -> None:
                with session.within(type(session.epoch)(epoch)):
                    await anyio.sleep_forever()
                ended.append(epoch)

            async with anyio.create_task_group() as tasks:
                for epoch in (0, 1, 2, 9):
                    tasks.start_soon(work, epoch)
                await anyio.sleep(1.0)
                for expected in ([0], [0, 1], [0, 1, 2]):
                    await session.interrupt()
                    await anyio.sleep(1.0)
                    assert ended == expected
                await session.send(Close())
            assert ended == [0, 1, 2, 9]

    run(program, backend=anyio_backend)


def test_a_block_within_an_epoch_that_is_past_does_not_get_far(anyio_backend: str) -> None:
    async def program() -> None:
        async with open_session(scripted(Peer.drain)) as session:
            past = session.epoch
            session.send_nowait(Interrupt())
            with session.within(past) as scope:
                await anyio.sleep(1.0)
            assert scope.cancelled_caught
            with session.within() as scope:
                await anyio.sleep(1.0)
            assert not scope.cancelled_caught
            await session.send(Close())
            await session.outcome()
            with session.within() as scope:
                await anyio.sleep(1.0)
            assert scope.cancelled_caught

    run(program, backend=anyio_backend)


# --- timers -----------------------------------------------------------------------------------


def test_a_barrier_falls_at_the_deadline_of_the_interruption_that_raised_it(
    anyio_backend: str,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started(R1))
        await peer.drain()

    async def program() -> float:
        settings = SessionConfig(barrier_timeout=2.0)
        async with open_session(scripted(script), settings) as session:
            await anyio.sleep(0.5)
            await session.interrupt()
            await session.settled()
            return anyio.current_time()

    assert run(program, backend=anyio_backend) == 2.5


def test_a_barrier_falls_with_the_providers_answer(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started(R1))
        await peer.until(CancelResponse)
        await anyio.sleep(1.0)
        await peer.say(done(R1, "cancelled"))
        await peer.drain()

    async def program() -> float:
        async with open_session(scripted(script)) as session:
            await anyio.sleep(0.5)
            await session.interrupt()
            await session.settled()
            return anyio.current_time()

    assert run(program, backend=anyio_backend) == 1.5
