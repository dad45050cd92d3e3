"""Failover between services that have nothing in common but the library's vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    PCM_16K,
    Audio,
    AudioOutput,
    AuthFailed,
    Dial,
    Frame,
    Link,
    Message,
    Plan,
    Provider,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    Reconnected,
    ResponseDone,
    ResponseStarted,
    Text,
    failover,
    open_session,
)
from realtime_core.testing import run
from realtime_core.testing.conformance import check_trace
from realtime_gemini import gemini
from realtime_gemini import server as live
from realtime_openai import client_events as client
from realtime_openai import openai
from realtime_openai import server as realtime

SECOND = 24_000
_NO_KEY = (3000, "authentication_error.invalid_api_key")


def sound(first: int, count: int) -> bytes:
    """Give samples that are all different."""
    return b"".join(number.to_bytes(2, "little") for number in range(first, first + count))


def samples(events: list[RealtimeEvent]) -> list[int]:
    pcm = b"".join(event.pcm for event in events if isinstance(event, AudioOutput))
    return [int.from_bytes(pcm[at : at + 2], "little") for at in range(0, len(pcm), 2)]


async def until(
    session: RealtimeSession[Frame], events: list[RealtimeEvent], *kinds: type
) -> RealtimeEvent:
    async for event in session.events():
        events.append(event)
        if isinstance(event, kinds):
            return event
    raise AssertionError("it never came")


def once(dial: Dial) -> Dial:
    """Refuse every connection but the first, as a service does whose key was withdrawn."""
    made = list[Plan]()

    @asynccontextmanager
    async def dialled(plan: Plan) -> AsyncGenerator[Link]:
        made.append(plan)
        if len(made) > 1:
            raise RealtimeException(AuthFailed(what="The key is not valid any more."))
        async with dial(plan) as link:
            yield link

    return dialled


def both(
    backend: str,
    first: realtime.Script,
    second: live.Script,
    program: Callable[[RealtimeSession[Frame], list[RealtimeEvent]], Any],
    *,
    turned: bool = False,
) -> tuple[list[RealtimeEvent], Any]:
    """Run a session from OpenAI's protocol to Gemini's, or the other way round; each is judged."""
    events = list[RealtimeEvent]()

    async def play() -> Any:
        async with AsyncExitStack() as stack:
            openais = await stack.enter_async_context(realtime.loopback(first, port=None))
            geminis = await stack.enter_async_context(live.loopback(second, port=None))
            providers: list[Provider[Frame]] = [
                replace(openai("scripted", api_key="k"), dial=openais.dial),
                replace(gemini(api_key="k"), dial=once(geminis.dial)),
            ]
            made = failover(*(reversed(providers) if turned else providers))
            async with open_session(made) as session:
                done = await program(session, events)
            events.extend([event async for event in session.events()])
            return done

    done = run(play, backend=backend)
    assert check_trace(events, complete=True) == []
    assert max(Counter(samples(events)).values(), default=1) == 1
    return events, done


def test_one_whose_key_is_withdrawn_is_followed_by_one_that_knows_what_was_said(
    anyio_backend: str,
) -> None:
    told = list[str]()

    async def first(caller: realtime.Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("In Paris.", pcm=sound(0, SECOND // 4))
        await caller.until(client.Create)
        await caller.answer("It was built", pcm=sound(10_000, SECOND // 8), calls=(), pieces=1)
        await caller.close(*_NO_KEY)

    async def second(caller: live.Caller) -> None:
        told.extend([await caller.turn(), await caller.turn()])
        await caller.answer("In 1889.", pcm=sound(20_000, SECOND // 4))
        await anyio.sleep_forever()

    async def program(
        session: RealtimeSession[Frame], events: list[RealtimeEvent]
    ) -> tuple[Message, ...]:
        await session.send(Text("Where is the tower?"))
        await until(session, events, ResponseDone)
        await anyio.sleep(1.0)  # it is heard to its end
        await session.send(Text("Since when?"))
        await until(session, events, Reconnected)
        await session.send(Text("I asked: since when?"))
        await until(session, events, ResponseStarted)
        await until(session, events, ResponseDone)
        return session.history

    events, history = both(anyio_backend, first, second, program)
    (moved,) = (event for event in events if isinstance(event, Reconnected))
    assert (moved.provider, moved.restored, moved.conn) == ("gemini", "history", 1)
    past, said = told
    assert past.splitlines() == ["Where is the tower?", "In Paris.", "Since when?"]
    assert said == "I asked: since when?"
    texts = [(message.role, message.text) for message in history]
    assert texts[:2] == [("user", "Where is the tower?"), ("assistant", "In Paris.")]
    assert texts[-1] == ("assistant", "In 1889.")
    heard = samples(events)
    assert heard[: SECOND // 4] == list(range(SECOND // 4))
    assert heard[-SECOND // 4 :] == list(range(20_000, 20_000 + SECOND // 4))


def test_one_that_goes_away_is_left_when_the_other_stands_and_nothing_is_missed(
    anyio_backend: str,
) -> None:
    """The microphone runs on: every piece of it is heard once, by one of them or the other."""
    heard: dict[str, bytes] = {"gemini": b"", "openai": b""}

    async def first(caller: live.Caller) -> None:
        await caller.answer("Until soon.", pcm=sound(0, SECOND // 4))
        await caller.go_away(30.0)
        while True:
            blob = await caller.until("realtime_input.audio")
            heard["gemini"] += blob.data

    async def second(caller: realtime.Caller) -> None:
        while True:
            event = await caller.until(client.Append)
            assert isinstance(event, client.Append)
            heard["openai"] += event.audio

    async def program(session: RealtimeSession[Frame], events: list[RealtimeEvent]) -> None:
        async def speak() -> None:
            for number in range(1, 400):
                pcm = number.to_bytes(2, "little") * 160
                await session.send(Audio(pcm, PCM_16K))
                await anyio.sleep(0.01)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(speak)
            await until(session, events, Reconnected)

    events, _ = both(anyio_backend, second, first, program, turned=True)
    (moved,) = (event for event in events if isinstance(event, Reconnected))
    assert (moved.provider, moved.restored) == ("openai", "history")
    assert moved.at < 25.0
    pieces = [int.from_bytes(piece, "little") for piece in cut(heard["gemini"])]
    assert pieces == list(range(1, len(pieces) + 1))
    assert len(pieces) > 10
    assert len(heard["openai"]) == pytest.approx((399 - len(pieces)) * 480, abs=200)


def cut(pcm: bytes) -> list[bytes]:
    """Give the first sample of each piece of 10 ms at 16 kHz, all of it whole pieces."""
    assert len(pcm) % 320 == 0
    return [pcm[at : at + 2] for at in range(0, len(pcm), 320)]
