"""Responses: answers one by one, each a scope that ends in the tick in which it is cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    AudioOutput,
    Close,
    CreateResponse,
    Disconnected,
    Heard,
    HeardItem,
    Hold,
    Interrupt,
    Interrupted,
    RealtimeEvent,
    RealtimeSession,
    ResponseDone,
    ResponseId,
    SpeechStarted,
    open_session,
)
from realtime_core.responses import Response
from realtime_core.testing import TICK, no_leaks, run
from realtime_core.testing.scripted import Peer, Script, scripted
from tests.core.listening import PER_TICK, numbered, speaking
from tests.core.short import (
    I1,
    I2,
    R1,
    R2,
    R3,
    SECOND,
    done,
    names,
    of,
    sound,
    started,
    words,
)


def saying(*things: RealtimeEvent | int) -> Script:
    """Give a provider that says these events one by one, with pauses of so many ticks between."""

    async def script(peer: Peer) -> None:
        for thing in things:
            await (anyio.sleep(thing * TICK) if isinstance(thing, int) else peer.say(thing))
        await peer.drain()

    return script


async def next_answer(session: RealtimeSession[Any]) -> Response:
    return await anext(session.responses())


def test_each_answer_gives_its_own_events_and_the_rest_goes_to_others(anyio_backend: str) -> None:
    rest = list[RealtimeEvent]()
    second = replace(numbered(7, item=I2), response=R2)

    async def program() -> dict[str, list[str]]:
        got = dict[str, list[str]]()
        script = saying(started(), words("Hi"), sound(), done(), started(R2), second, done(R2))
        async with open_session(scripted(script)) as session:
            async for response in session.responses(others=rest.append):
                assert response.done is None
                got[response.id] = names([event async for event in response])
                assert response.done is not None
                assert response.done.response == response.id == response.started.response
                assert response.over
                assert await anext(response, None) is None
                if response.id == R2:
                    session.send_nowait(Close())
        return got

    assert run(program, backend=anyio_backend) == {
        R1: [
            "ResponseStarted",
            "AgentTranscript",
            "AudioOutput",
            "ConversationItem",
            "ResponseDone",
        ],
        R2: ["ResponseStarted", "AudioOutput", "ResponseDone"],
    }
    assert (names(rest)[0], names(rest)[-1]) == ("Connected", "Disconnected")


def test_a_cut_ends_body_and_tasks_in_its_tick_and_raises_nothing(anyio_backend: str) -> None:
    ended = list[tuple[str, float, tuple[HeardItem, ...]]]()

    async def last_words(name: str, response: Response) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append((name, anyio.current_time() / TICK, response.heard))

    async def program() -> None:
        script = saying(started(), sound(SECOND), 8, SpeechStarted())
        events = list[RealtimeEvent]()
        async with open_session(scripted(script)) as session, no_leaks():
            responses = session.responses(others=events.append)
            response = await anext(responses)
            async with response as tasks:
                tasks.start_soon(last_words, "task", response)
                assert not response.fenced
                await anext(response)
                await anext(response)
                await last_words("body", response)
            assert response.fenced
            session.send_nowait(Close())
            assert [event async for event in response if not isinstance(event, ResponseDone)] == []
            async for _ in responses:
                raise AssertionError
            (cut,) = of(Interrupted, events)
            assert cut.heard[0].samples == 8 * PER_TICK
            assert sorted(ended) == [("body", 8, cut.heard), ("task", 8, cut.heard)]
            assert session.heard(R1) == response.heard == cut.heard

    run(program, backend=anyio_backend)


def test_a_cut_ends_tasks_that_outlast_the_body(anyio_backend: str) -> None:
    async def program() -> float:
        script = saying(started(), sound(SECOND), done(), 8, SpeechStarted())
        async with open_session(scripted(script)) as session:
            response = await next_answer(session)
            async with response as tasks:
                tasks.start_soon(anyio.sleep, 64 * TICK)
            return anyio.current_time() / TICK

    assert run(program, backend=anyio_backend) == 8


def test_the_answer_after_a_cut_is_not_touched(anyio_backend: str) -> None:
    second = numbered(SECOND, item=I2)
    script = saying(
        started(),
        sound(SECOND),
        8,
        SpeechStarted(),
        started(R2),
        replace(second, response=R2),
        16,
        done(R2),
    )

    async def program() -> dict[str, list[str]]:
        got = dict[str, list[str]]()
        async with open_session(scripted(script)) as session:
            async for response in session.responses():
                mine = got[response.id] = []
                async with response:
                    async for event in response:
                        mine.append(type(event).__name__)
                        assert event.epoch == response.epoch == session.epoch
                if response.id == R2:
                    return got
        raise AssertionError

    assert run(program, backend=anyio_backend) == {
        R1: ["ResponseStarted", "AudioOutput"],
        R2: ["ResponseStarted", "AudioOutput", "ResponseDone"],
    }


def test_output_that_waits_for_an_answer_that_was_cut_is_dropped(anyio_backend: str) -> None:
    async def program() -> None:
        script = saying(started(), words("One"), sound(), words("All", final=True), 4)
        async with open_session(scripted(script)) as session:
            responses = session.responses()
            response = await anext(responses)
            with anyio.move_on_after(TICK):
                await anext(responses)
            await session.interrupt()
            assert names([await anext(response)]) == ["AgentTranscript"], "what settles is kept"
            with anyio.move_on_after(TICK):
                assert not [event async for event in response]

    run(program, backend=anyio_backend)


def test_an_answer_that_was_heard_is_not_cut_with_the_one_after_it(anyio_backend: str) -> None:
    async def program() -> None:
        second = replace(sound(SECOND, I2), response=R2)
        script = saying(started(), sound(), done(), started(R2), second, done(R2))
        async with open_session(scripted(script)) as session:
            responses = session.responses()
            first = await anext(responses)
            async with first as tasks:
                tasks.start_soon(anyio.sleep, 8 * TICK)
                last = await anext(responses)
                async with last:
                    session.send_nowait(Heard(I1, SECOND // 50))
                    await session.interrupt()
                    await anyio.sleep_forever()
                await anyio.sleep(TICK)
                assert anyio.current_time() == TICK
            assert anyio.current_time() == 8 * TICK
            assert (first.fenced, last.fenced) == (False, True)

    run(program, backend=anyio_backend)


@pytest.mark.parametrize("how", ["fenced", "closed"])
def test_the_block_of_an_answer_that_is_past_is_cancelled_at_once(
    anyio_backend: str, how: str
) -> None:
    async def program() -> None:
        entered = False
        async with speaking(started(), sound(), done()) as session:
            response = await next_answer(session)
            if how == "fenced":
                await session.interrupt()
            else:
                session.send_nowait(Close())
                await session.outcome()
            async with response:
                entered = True
                await anyio.sleep_forever()
        assert entered

    run(program, backend=anyio_backend)


def test_a_session_that_ends_ends_the_block_of_an_answer(anyio_backend: str) -> None:
    async def program() -> float:
        async with speaking(started(), sound(), done()) as session:
            response = await next_answer(session)
            session.send_nowait(Heard(I1, SECOND // 50))
            async with response as tasks:
                tasks.start_soon(anyio.sleep_forever)
                await anyio.sleep(TICK)
                session.send_nowait(Close())
                await anyio.sleep_forever()
        return anyio.current_time() / TICK

    assert run(program, backend=anyio_backend) == 1


@pytest.mark.parametrize("where", ["body", "task"])
def test_what_one_raises_comes_out_of_the_block(anyio_backend: str, where: str) -> None:
    problem = LookupError("mine")

    async def fail() -> None:
        await anyio.lowlevel.checkpoint()
        raise problem

    async def program() -> None:
        async with speaking(started(), sound(), done()) as session:
            response = await next_answer(session)
            async with response as tasks:
                if where == "body":
                    await fail()
                tasks.start_soon(fail)
                await anyio.sleep_forever()

    with pytest.raises(LookupError) as raised:
        run(program, backend=anyio_backend)
    assert raised.value is problem


def test_the_block_waits_for_its_tasks(anyio_backend: str) -> None:
    async def program() -> float:
        async with speaking(started(), sound(), done()) as session:
            async with await next_answer(session) as tasks:
                tasks.start_soon(anyio.sleep, 5 * TICK)
            return anyio.current_time() / TICK

    assert run(program, backend=anyio_backend) == 5


def test_several_tasks_may_take_and_one_that_gives_up_loses_nothing(anyio_backend: str) -> None:
    pieces = [numbered(10, 10 * number) for number in range(20)]
    script = saying(started(), *[thing for piece in pieces for thing in (1, piece)], done())

    async def program() -> bytes:
        heard = list[bytes]()

        async def listen(response: Response) -> None:
            async for event in response:
                if isinstance(event, AudioOutput):
                    heard.append(event.pcm)

        async with open_session(scripted(script)) as session:
            responses = session.responses()
            first = await anext(responses)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen, first)
                for _ in range(5):
                    with anyio.move_on_after(1.5 * TICK):
                        await anext(responses)
        return b"".join(heard)

    assert run(program, backend=anyio_backend) == b"".join(piece.pcm for piece in pieces)


def test_what_was_heard_is_known_while_it_plays_and_is_held_still(anyio_backend: str) -> None:
    async def program() -> None:
        async with speaking(started(), sound(SECOND), done()) as session:
            response = await next_answer(session)
            async for event in response:
                if isinstance(event, ResponseDone):
                    break
            heard = list[int]()
            for frame in (None, Hold(), None):
                if frame is not None:
                    session.send_nowait(frame)
                await anyio.sleep(8 * TICK)
                (part,) = response.heard
                heard.append(part.samples)
            assert heard == [8 * PER_TICK] * 3
            session.send_nowait(Interrupt())
            (part,) = response.heard
            assert part.samples == 8 * PER_TICK
            assert session.heard(ResponseId("unheard of")) == ()

    run(program, backend=anyio_backend)


def test_an_answer_that_is_forgotten_is_fenced_by_its_epoch(anyio_backend: str) -> None:
    many = [ResponseId(f"r{number}") for number in range(3, 90)]

    async def program() -> None:
        async with speaking(
            started(), done(), *[said for id in many for said in (started(id), done(id))]
        ) as session:
            response = await next_answer(session)
            await anyio.sleep(TICK)
            assert R1 not in session._driver.state.ledger.responses
            assert not response.fenced
            assert response.heard == ()
            await session.interrupt()
            assert response.fenced

    run(program, backend=anyio_backend)


def test_the_end_of_the_events_ends_all_answers(anyio_backend: str) -> None:
    class Some(AsyncIterator[RealtimeEvent]):
        """Two answers, of which one ends."""

        def __init__(self) -> None:
            end = Disconnected(reason="", clean=True)
            self._left: list[RealtimeEvent] = [started(), started(R3), done(), end]

        async def __anext__(self) -> RealtimeEvent:
            await anyio.lowlevel.checkpoint()
            if not self._left:
                raise StopAsyncIteration
            return self._left.pop(0)

    async def program() -> list[list[str]]:
        async with speaking() as session:
            responses = session.responses(Some())
            answers = [response async for response in responses]
            assert all(response.over for response in answers)
            assert await anext(responses, None) is None
            return [names([event async for event in response]) for response in answers]

    assert run(program, backend=anyio_backend) == [
        ["ResponseStarted", "ResponseDone"],
        ["ResponseStarted"],
    ]


def test_an_answer_that_was_asked_for_is_one_as_well(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        await peer.say(started(R1, wish.request), sound(), done())
        await peer.drain()

    async def program() -> None:
        async with open_session(scripted(script)) as session:
            await session.simple_response("Hello")
            async for response in session.responses():
                async with response as tasks:
                    tasks.start_soon(anyio.sleep, TICK)
                assert response.started.request == "request-0"
                return

    run(program, backend=anyio_backend)
