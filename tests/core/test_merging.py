"""Merging: several streams as one, each in its own order, in turn, and none ahead of its time."""

from __future__ import annotations

from typing import Any, assert_type

import anyio
import anyio.lowlevel
import pytest

from realtime_core import (
    AudioOutput,
    RealtimeEvent,
    RealtimeException,
    ResponseDone,
    SpeechStarted,
    operators,
)
from realtime_core.merging import Merged, Named, merge
from realtime_core.sharing import Subscription
from realtime_core.testing import TICK, no_leaks, run
from tests.core.listening import speaking
from tests.core.short import R1, done, names, sound, started, words


def subscribed(*events: RealtimeEvent, buffer: int = 1_000, over: bool = True) -> Subscription:
    """Give a subscription in which these events wait."""
    subscription = Subscription(buffer, lambda event: False, over=over)
    for event in events:
        subscription.put(event)
    return subscription


def test_each_stream_keeps_its_order_and_all_come_to_their_end(anyio_backend: str) -> None:
    async def program() -> dict[str, list[str]]:
        seen: dict[str, list[RealtimeEvent]] = {"alice": [], "bob": []}
        async with (
            speaking(started(), words("Hi"), sound(), done()) as alice,
            speaking(started(), sound(), sound(), sound(), done()) as bob,
        ):
            async for name, event in merge(alice=alice.events(), bob=bob.events()):
                seen[name].append(event)
        for events in seen.values():
            assert [event.seq for event in events] == list(range(len(events)))
        return {name: names(events) for name, events in seen.items()}

    assert run(program, backend=anyio_backend) == {
        "alice": [
            "Connected",
            "ResponseStarted",
            "AgentTranscript",
            "AudioOutput",
            "ConversationItem",
            "ResponseDone",
            "Disconnected",
        ],
        "bob": [
            "Connected",
            "ResponseStarted",
            *["AudioOutput"] * 3,
            "ResponseDone",
            "Disconnected",
        ],
    }


def test_streams_that_have_something_are_asked_in_turn(anyio_backend: str) -> None:
    async def program() -> str:
        merged = Merged(a=subscribed(*[sound()] * 5), b=subscribed(done(), done()), c=subscribed())
        return "".join([name async for name, _ in merged])

    assert run(program, backend=anyio_backend) == "ababaaa"


def test_nothing_is_taken_before_it_is_asked_for(anyio_backend: str) -> None:
    async def program() -> list[int]:
        async with speaking(started(), *[sound(10)] * 5) as a, speaking(started()) as b:
            merged, waiting = merge(a=a.events(), b=b.events()), list[int]()
            async for named in merged:
                waiting += [a.statistics.output.waiting] * isinstance(named.event, AudioOutput)
                if len(waiting) == 5:
                    break
            assert merged.poll() is None
        return waiting

    assert run(program, backend=anyio_backend) == [40, 30, 20, 10, 0]


def test_it_wakes_for_whoever_has_something_first(anyio_backend: str) -> None:
    async def program() -> list[tuple[str, float]]:
        a, b = subscribed(over=False), subscribed(over=False)
        seen = list[tuple[str, float]]()

        async def consume() -> None:
            async for name, _ in Merged(a=a, b=b):
                seen.append((name, anyio.current_time() / TICK))

        async with no_leaks(), anyio.create_task_group() as tasks:
            tasks.start_soon(consume)
            for subscription in (b, a, b):
                await anyio.sleep(TICK)
                subscription.put(SpeechStarted())
            a.end()
            await anyio.sleep(TICK)
            b.put(SpeechStarted())
            b.end()
        return seen

    assert run(program, backend=anyio_backend) == [("b", 1), ("a", 2), ("b", 3), ("b", 4)]


def test_a_wait_that_is_cancelled_loses_nothing_and_leaves_nothing(anyio_backend: str) -> None:
    async def program() -> list[str]:
        a, b = subscribed(over=False), subscribed(over=False)
        merged = Merged(a=a, b=b)
        async with no_leaks():
            with anyio.move_on_after(1):
                await anext(merged)
        a.put(done())
        a.end()
        b.end()
        return [name async for name, _ in merged]

    assert run(program, backend=anyio_backend) == ["a"]


def test_where_two_tasks_ask_each_event_goes_to_one_of_them(anyio_backend: str) -> None:
    async def program() -> int:
        stream, seen = subscribed(over=False), list[Named]()

        async def consume(merged: Merged) -> None:
            async for named in merged:
                seen.append(named)

        async with anyio.create_task_group() as tasks:
            merged = Merged(a=stream)
            for _ in range(2):
                tasks.start_soon(consume, merged)
            await anyio.sleep(1)
            stream.put(done())
            stream.put(done())
            stream.end()
        return len(seen)

    assert run(program, backend=anyio_backend) == 2


def test_what_a_stream_raises_comes_out_and_the_others_go_on(anyio_backend: str) -> None:
    async def program() -> list[str]:
        merged = Merged(slow=subscribed(done(), done(), buffer=1), quick=subscribed(done(), done()))
        seen = list[str]()
        for _ in range(2):
            with pytest.raises(RealtimeException, match="fell behind"):
                await anext(merged)
            seen.append((await anext(merged)).name)
        return seen

    assert run(program, backend=anyio_backend) == ["quick", "quick"]


def test_a_consumer_that_never_waits_lets_others_run(anyio_backend: str) -> None:
    async def program() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count)
            async for _ in Merged(a=subscribed(*[done()] * 500), b=subscribed(*[done()] * 500)):
                pass
            tasks.cancel_scope.cancel()
        return turns

    assert run(program, backend=anyio_backend) >= 1_000 // 64 // 2


def test_it_is_piped_under_a_name(anyio_backend: str) -> None:
    async def program() -> list[Named]:
        merged = subscribed(started()) | merge.pipe("a", b=subscribed(done()))
        assert_type(merged, Merged)
        last = merged | _first
        return [await last, *[named async for named in merged]]

    assert run(program, backend=anyio_backend) == [Named("a", started()), Named("b", done())]


async def _first(merged: Merged) -> Named:
    return await anext(merged)


def test_a_session_is_piped(anyio_backend: str) -> None:
    async def program() -> list[str]:
        async with speaking(started(), done()) as a, speaking(started(R1), done()) as b:
            merged, seen = a.events() | merge.pipe("a", b=b.events()), list[str]()
            async for named in merged:
                seen += [named.name] * isinstance(named.event, ResponseDone)
        return sorted(seen)

    assert run(program, backend=anyio_backend) == ["a", "b"]


def test_it_stands_first_in_a_pipe(anyio_backend: str) -> None:
    async def program() -> None:
        stream: Any = subscribed() | operators.audio.pipe()
        with pytest.raises(RealtimeException, match="cannot follow another operator"):
            merge.pipe("a")(stream)

    run(program, backend=anyio_backend)
