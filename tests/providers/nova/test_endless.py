"""Forty minutes of conversation over streams of eight, on virtual time, checked number by number."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import groupby
from random import Random
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from realtime_core import (
    AudioOutput,
    Dropped,
    Error,
    Interrupted,
    Message,
    RealtimeEvent,
    Reconnected,
    ResponseDone,
    ResponseStarted,
    SessionEnding,
    ToolSpec,
    Unknown,
    open_session,
)
from realtime_core.schedule import RECONNECT
from realtime_core.session import Statistics
from realtime_core.testing import no_leaks, run
from realtime_core.testing.conformance import check_trace
from realtime_nova import nova
from realtime_nova.server import loopback
from tests.providers.gemini.endless import PIECE, Person, Turn
from tests.providers.nova.endless import LIFE, USAGE, World

LONG = 2_400.0
DROPPED = 140
"""The answer in whose middle a stream breaks."""
LIMIT = 40_000


class Lived(NamedTuple):
    """What came of it."""

    world: World
    person: Person
    history: tuple[Message, ...]
    statistics: Statistics

    @property
    def trace(self) -> list[RealtimeEvent]:
        return self.person.trace

    def ends(self) -> list[tuple[ResponseDone, Turn]]:
        """Pair the ends of answers with the answers as they were given, both in their order."""
        dones = [event for event in self.trace if isinstance(event, ResponseDone)]
        assert len(dones) == len(self.world.turns)
        return list(zip(dones, self.world.turns, strict=True))


@cache
def lived(backend: str) -> Lived:
    """Live through it, once for all the questions below."""
    return talked(backend, World(dropped=DROPPED), LONG)


def talked(backend: str, world: World, seconds: float, seed: int = 5) -> Lived:
    """Let a person talk with this world for so long."""

    async def program() -> Lived:
        async with no_leaks(within=5.0), loopback(world.play, port=None, welcome=False) as here:
            opening = open_session(
                replace(nova(), dial=here.dial),
                retry=RECONNECT,
                tools=(ToolSpec("weather"),),
                report_input=False,
                random=lambda: 0.5,
            )
            async with opening as session:
                person = Person(session, seed)
                await person.live(seconds)
                history = session.history
            await person.take_the_rest()
            return Lived(world, person, history, session.statistics)

    return run(program, backend=backend)


def test_debug(anyio_backend: str) -> None:
    one = lived(anyio_backend)
    print(one.person.done, len(one.world.turns), len(one.history))
    print(one.world.dialled, one.world.left, one.world.expired)
    for e in one.trace:
        if isinstance(e, Reconnected | SessionEnding | Error | Unknown | Dropped):
            print(e)
    print(Counter(type(e).__name__ for e in one.trace))
    print(Counter((e.cause for e in one.trace if isinstance(e, Interrupted))))
    print([(n, sum(len(t.encode()) for _, t in told), told[:2], told[-2:]) for n, told in one.world.told])
    print(one.statistics)
    for m in one.history[:12]: print(m)
    for m in one.world.said[:12]: print(m)
    assert 0
