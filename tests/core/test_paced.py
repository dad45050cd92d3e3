"""Pace: sound is held back, control is not, and nothing stale follows an interruption."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    AudioOutput,
    Interrupted,
    Kind,
    RealtimeEvent,
    RealtimeException,
    ResponseId,
    SpeechStarted,
    open_session,
    operators,
)
from realtime_core.session import Events
from realtime_core.testing import Injection, PointsFailed, every_point, run
from realtime_core.testing.scripted import Peer, scripted
from tests.core.listening import speaking
from tests.core.short import (
    R1,
    R2,
    SECOND,
    done,
    sound,
    started,
    words,
)
from tests.core.streaming import Source, cut, listed


def second(number: int = 0, response: ResponseId = R1) -> AudioOutput:
    return replace(sound(SECOND, response=response), seq=number)


def timed(backend: str, source: Any, **options: Any) -> list[tuple[float, RealtimeEvent]]:
    """Give what comes out of `paced`, with the time in seconds."""

    async def program() -> list[tuple[float, RealtimeEvent]]:
        out = list[tuple[float, RealtimeEvent]]()
        async with operators.paced(source, **options).stream() as events:
            async for event in events:
                out.append((anyio.current_time(), event))
        return out

    return run(program, backend=backend)


def test_sound_comes_at_its_own_pace_and_all_of_an_answer_in_order(anyio_backend: str) -> None:
    things = (started(), second(1), words("Hi"), second(2), second(3), done())
    out = timed(anyio_backend, Source(*things, 640, second(4)))
    assert [event for _, event in out] == [*things, second(4)]
    assert [at for at, _ in out] == [0, 0, 0, 1, 2, 2, 10]


def test_control_overtakes_held_sound(anyio_backend: str) -> None:
    out = timed(anyio_backend, Source(second(1), second(2), second(3), 96, SpeechStarted()))
    assert [at for at, _ in out] == [0, 1, 1.5, 2]
    assert isinstance(out[2][1], SpeechStarted)


def test_an_interruption_comes_through_at_once_and_purges_what_is_held(
    anyio_backend: str,
) -> None:
    ending = (words("All.", final=True), done(R1, "cancelled"))
    held = (second(1), second(2), words("Hi"), second(3), *ending)
    out = timed(anyio_backend, Source(*held, 32, cut(), second(4, R2), second(5, R2)))
    assert [event for _, event in out] == [second(1), cut(), *ending, second(4, R2), second(5, R2)]
    assert [at for at, _ in out] == [0, 0.5, 0.5, 0.5, 0.5, 1.5]


@pytest.mark.parametrize(("ahead", "taken"), [(0, [1, 2, 3]), (1.5, [2, 3, 4]), (9, [5, 5, 5])])
def test_so_much_is_read_ahead(anyio_backend: str, ahead: float, taken: list[int]) -> None:
    async def program() -> list[int]:
        source = Source(*(second(number) for number in range(5)))
        counts = list[int]()
        async with operators.paced(source, ahead=ahead).stream() as events:
            async for _ in events:
                counts.append(5 - len(source.left))
        return counts[:3]

    assert run(program, backend=anyio_backend) == taken


def test_pace_stands_first_in_a_pipe(anyio_backend: str) -> None:
    async def program() -> None:
        async with speaking(started(), second(), second(), done()) as session:
            with pytest.raises(RealtimeException, match="Put it first"):
                _ = session.events() | operators.settle.pipe() | operators.paced.pipe()
            with pytest.raises(RealtimeException, match="Put it first"):
                operators.paced(_generator())
            await listed(session.events() | operators.paced.pipe() | operators.audio.pipe())

    run(program, backend=anyio_backend)


async def _generator() -> AsyncGenerator[RealtimeEvent]:
    yield started()


async def talked_over(point: Injection) -> None:
    """A consumer takes paced sound; the application interrupts at one instant of it."""

    async def script(peer: Peer) -> None:
        await peer.say(started(), *[sound(SECOND // 64)] * 3)
        await peer.drain()

    async with open_session(scripted(script)) as session:

        async def consume() -> None:
            with anyio.move_on_after(1):
                async with (session.events() | operators.paced.pipe()).stream() as events:
                    async for event in events:
                        assert event.kind is not Kind.PERISHABLE or event.epoch == session.epoch

        await point.drive(consume(), session.interrupt)


def test_nothing_stale_is_given_wherever_an_interruption_comes(anyio_backend: str) -> None:
    assert every_point(talked_over, backend=anyio_backend) > 8


def test_the_sweep_finds_a_pace_that_does_not_purge(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators, "Interrupted", SpeechStarted)
    monkeypatch.setattr(Events, "stale", lambda self, event: False)
    with pytest.raises(PointsFailed):
        every_point(talked_over, backend=anyio_backend)


def test_the_sweep_finds_a_pace_that_waits_for_the_word(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until `Interrupted` was read, sound that is stale already would still be given."""
    monkeypatch.setattr(Events, "stale", lambda self, event: False)
    with pytest.raises(PointsFailed):
        every_point(talked_over, backend=anyio_backend)


EVENTS = st.sampled_from((started(), sound(), words("Hi"), done(), SpeechStarted(), cut()))


@given(things=st.lists(EVENTS | st.integers(0, 80), max_size=24))
def test_pace_changes_times_and_order_but_loses_only_what_is_stale(
    anyio_backend: str, things: list[RealtimeEvent | int]
) -> None:
    out = [event for _, event in timed(anyio_backend, Source(*things))]
    given_in = [thing for thing in things if not isinstance(thing, int)]
    for kind in Kind:
        before = [event for event in given_in if event.kind is kind]
        after = [event for event in out if event.kind is kind]
        if kind is not Kind.PERISHABLE or not any(isinstance(e, Interrupted) for e in given_in):
            assert after == before
        assert len(after) <= len(before)
