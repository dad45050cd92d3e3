"""Sharing: each subscriber gets every event, and a slow one fails alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import (
    AudioOutput,
    RealtimeEvent,
    RealtimeException,
    ResponseDone,
    SpeechStarted,
    open_session,
    operators,
)
from realtime_core.operators import Subscription, share
from realtime_core.testing import TICK, no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from tests.core.listening import speaking
from tests.core.short import (
    done,
    names,
    sound,
    started,
    words,
)
from tests.core.streaming import Source, cut, listed


def test_each_subscriber_gets_every_event(anyio_backend: str) -> None:
    async def program() -> tuple[list[str], list[AudioOutput], list[str]]:
        taken = list[str]()

        async def take(subscription: Subscription) -> None:
            taken.extend(names([event async for event in subscription]))

        async with (
            no_leaks(),
            speaking(started(), sound(), done()) as session,
            share(session.events()) as shared,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(take, shared.subscribe())
            heard = await listed(shared.subscribe() | operators.audio.pipe())
            rest = names([event async for event in shared.subscribe()])
        return taken, heard, rest

    taken, heard, rest = run(program, backend=anyio_backend)
    assert taken == ["Connected", "ResponseStarted", "AudioOutput", "ResponseDone", "Disconnected"]
    assert [len(event.pcm) for event in heard] == [len(sound().pcm)]
    assert rest == [], "who comes after the end gets nothing"


def test_a_slow_subscriber_fails_alone(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started())
        for _ in range(12):
            await peer.say(sound())
            await anyio.sleep(TICK)
        await peer.say(done())
        await peer.drain()

    async def program() -> int:
        seen = 0
        async with (
            open_session(scripted(script)) as session,
            share(session.events(), buffer=4) as shared,
        ):
            slow, quick = shared.subscribe(), shared.subscribe()
            await anext(slow)
            async for event in quick:
                seen += isinstance(event, AudioOutput)
                if isinstance(event, ResponseDone):
                    break
            for _ in range(2):
                with pytest.raises(RealtimeException, match="fell behind by more than 4"):
                    await anext(slow)
        return seen

    assert run(program, backend=anyio_backend) == 12


def test_an_interruption_purges_what_waits_in_a_subscription(anyio_backend: str) -> None:
    async def program() -> list[str]:
        events = Source(started(), sound(), words("Hi.", final=True), done(), cut(), sound())
        async with share(events) as shared:
            subscription = shared.subscribe()
            await anyio.sleep(1)
            return names([event async for event in subscription])

    assert run(program, backend=anyio_backend) == [
        "AgentTranscript",
        "ResponseDone",
        "Interrupted",
        "AudioOutput",
    ]


def test_what_became_stale_is_not_given_out_though_nobody_told_the_subscription(
    anyio_backend: str,
) -> None:
    """The epoch has risen, and the task that hands `Interrupted` on has not run yet."""

    async def program() -> tuple[list[bool], list[str]]:
        async with (
            speaking(started(), sound(), words("Hi.", final=True)) as session,
            share(session.events()) as shared,
        ):
            early, late, none = (shared.subscribe() for _ in range(3))
            assert late.poll() is None
            await anyio.sleep(1)
            connected, began = await anext(early), await anext(early)
            before = early.stale(began)
            await session.interrupt()
            stale = [before, early.stale(connected), early.stale(began)]
            seen = [late.poll() for _ in range(3)]
            assert names([none.poll()]) == ["Connected"]
        return stale, names(seen)

    stale, seen = run(program, backend=anyio_backend)
    assert stale == [False, False, True]
    assert seen == ["Connected", "AgentTranscript", "NoneType"]


def test_a_session_is_piped_into_it(anyio_backend: str) -> None:
    async def program() -> list[str]:
        async with (
            speaking(started(), sound(), done()) as session,
            session.events() | share.pipe(buffer=8) as shared,
        ):
            return names([event async for event in shared.subscribe()])

    assert run(program, backend=anyio_backend)[1:-1] == [
        "ResponseStarted",
        "AudioOutput",
        "ResponseDone",
    ]


def test_what_follows_an_operator_is_shared_too(anyio_backend: str) -> None:
    async def program() -> list[str]:
        async with speaking(started(), sound(), done()) as session:
            sounds = session.events() | operators.audio.pipe()
            async with sounds | share.pipe() as shared:
                subscription = shared.subscribe()
                seen = [event async for event in subscription]
                assert not any(map(subscription.stale, seen))
                return names(seen)

    assert run(program, backend=anyio_backend) == ["AudioOutput"]


def test_any_iterable_of_events_is_shared(anyio_backend: str) -> None:
    class Once:
        def __aiter__(self) -> Source:
            return Source(started(), done())

    async def program() -> list[str]:
        async with share(Once()) as shared:
            return names([event async for event in shared.subscribe()])

    assert run(program, backend=anyio_backend) == ["ResponseStarted", "ResponseDone"]


def test_cancelling_a_subscriber_that_waits_loses_nothing(anyio_backend: str) -> None:
    async def program() -> list[str]:
        async with share(Source(started(), 8, sound(), 8, done())) as shared:
            subscription = shared.subscribe()
            seen = list[RealtimeEvent]()
            while True:
                try:
                    with anyio.move_on_after(TICK):
                        seen.append(await anext(subscription))
                except StopAsyncIteration:
                    return names(seen)

    assert run(program, backend=anyio_backend) == ["ResponseStarted", "AudioOutput", "ResponseDone"]


def test_leaving_the_block_ends_the_sharing_and_loses_nothing(anyio_backend: str) -> None:
    async def program() -> list[str]:
        async def script(peer: Peer) -> None:
            await anyio.sleep(1)
            await peer.say(started(), done())

        async with open_session(scripted(script)) as session:
            async with no_leaks(), share(session.events()) as shared:
                subscription = shared.subscribe()
                await anext(subscription)
            with pytest.raises(StopAsyncIteration):
                await anext(subscription)
            return names([event async for event in session.events()])

    assert run(program, backend=anyio_backend) == [
        "ResponseStarted",
        "ResponseDone",
        "Disconnected",
    ]


def test_a_failure_of_the_source_comes_out_as_it_was_raised(anyio_backend: str) -> None:
    async def failing() -> AsyncGenerator[RealtimeEvent]:
        yield started()
        raise LookupError("mine")

    async def program() -> None:
        async with share(failing()) as shared:
            subscription = shared.subscribe()
            assert names([event async for event in subscription]) == ["ResponseStarted"]
            await anyio.sleep_forever()

    with pytest.raises(LookupError, match="mine"):
        run(program, backend=anyio_backend)


EVENTS = st.sampled_from((started(), sound(), words("Hi"), done(), SpeechStarted(), cut()))


@given(things=st.lists(EVENTS, max_size=24))
def test_a_subscriber_that_keeps_up_sees_the_stream_itself(
    anyio_backend: str, things: list[RealtimeEvent]
) -> None:
    async def program() -> list[RealtimeEvent]:
        async with share(Source(*(thing for event in things for thing in (event, 1)))) as shared:
            return [event async for event in shared.subscribe()]

    assert run(program, backend=anyio_backend) == things
