"""Connections that come and go: generated providers of which each connection has a life of its own.

Every piece of sound, call and first word is said under one name only, and mostly all of it again
over each later connection, so that a trace tells what was heard twice, and over which connection.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import anyio
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core.codec import Coded, Resume
from realtime_core.config import Secret, SessionConfig, ToolSpec
from realtime_core.epoch import CallId, ResponseId
from realtime_core.errors import RealtimeError, RealtimeException, Unavailable
from realtime_core.events import (
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResumptionHandle,
    SessionEnding,
    ToolCall,
    Unknown,
)
from realtime_core.link import Link
from realtime_core.plan import Plan
from realtime_core.provider import Provider
from realtime_core.schedule import Exponential, Recurs, Schedule
from realtime_core.session import open_session
from realtime_core.takeover import failover
from realtime_core.testing import TICK, run, stalls
from realtime_core.testing.scripted import SCRIPTED, Peer, ScriptedCodec, scripted
from tests.laws.stories import audio

__all__ = ("Life", "Remembering", "Told", "first_of", "lives", "told")

_ENDED = (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError)
_LIMIT = 60.0


class Remembering(ScriptedCodec):
    """The scripted codec, which keeps what it was told to take up again."""

    def __init__(self) -> None:
        self.resumes: list[Resume | None] = []

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[int]:
        self.resumes.append(resume)
        return super().greet(plan, resume)


class Life(NamedTuple):
    """One connection: what is said over it, a tick between two things, and how it ends."""

    made: bool = True
    """Whether it comes to be at all."""
    says: tuple[str, ...] = ()
    error: RealtimeError | None = None
    """What it ends by; None: in good order."""


class Told(NamedTuple):
    """What came of such a session."""

    events: list[RealtimeEvent]
    heard: list[list[object]]
    """What each connection was sent."""
    dialled: list[float]
    resumes: list[Resume | None]
    places: list[int]
    """Which of several providers each connection was made to."""


def lives() -> st.SearchStrategy[tuple[Life, ...]]:
    """Give up to four connections that end, each by itself or because its end was told."""
    words = ("sound", "sound", "call", "done", "handle", "ends", "ends soon", "pause")
    life = st.builds(
        Life,
        st.sampled_from((True, True, True, False)),
        st.lists(st.sampled_from(words), max_size=8).map(tuple),
        st.sampled_from((None, Unavailable(what="x"))),
    )
    return st.lists(life, min_size=1, max_size=4).map(tuple)


def first_of(number: int) -> str:
    """Name the words with which a connection begins, before it is greeted."""
    return f"first of {number}"


class _Provider:
    """The far end of all connections of one session."""

    def __init__(self, lives: tuple[Life, ...], *, again: bool) -> None:
        self.lives = lives
        self.again = again
        self.said = list[RealtimeEvent]()
        self.heard = list[list[object]]()

    async def script(self, peer: Peer) -> None:
        self.heard.append([])
        last = peer.conn >= len(self.lives)
        life = Life() if last else self.lives[peer.conn]
        if not life.made:
            raise RealtimeException(Unavailable(what="Nobody is there."))
        await self._live(peer, life, last=last)
        if life.error is not None:
            raise RealtimeException(life.error)

    async def _live(self, peer: Peer, life: Life, *, last: bool) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                greeted = anyio.Event()
                tasks.start_soon(self._listen, peer, greeted)
                await peer.say(Unknown(name=first_of(peer.conn), data=""))
                await greeted.wait()
                await peer.welcome()
                await peer.say(*(self.said if self.again else ()))
                for place, word in enumerate(life.says):
                    await self._say(peer, word, place)
                    await anyio.sleep(TICK)
                if last:
                    await anyio.sleep_forever()
                tasks.cancel_scope.cancel()
        except* _ENDED:
            pass

    async def _listen(self, peer: Peer, greeted: anyio.Event) -> None:
        while True:
            self.heard[peer.conn].append(await peer.next())
            greeted.set()

    async def _say(self, peer: Peer, word: str, place: int) -> None:
        number = 100 * (peer.conn + 1) + place
        id = ResponseId(f"r{peer.conn}")
        started = ResponseStarted(response=id)
        match word:
            case "sound":
                events: tuple[Any, ...] = (started, audio(id, 20, number))
            case "call":
                call = CallId(f"c{number}")
                events = (
                    started,
                    ToolCall(response=id, call=call, name="finish", arguments="{}"),
                )
            case "done":
                events = (ResponseDone(response=id, status="completed"),)
            case "handle":
                events = (ResumptionHandle(handle=Secret(f"handle {number}")),)
            case "ends" | "ends soon":
                events = (SessionEnding(left=8.0 if word == "ends" else 4 * TICK),)
            case _:
                await anyio.sleep(40 * TICK)
                return
        await peer.say(*events)
        self.said += [e for e in events if not isinstance(e, SessionEnding | ResumptionHandle)]


def told(
    lives: tuple[Life, ...],
    backend: str,
    *,
    seed: int = 0,
    late: int = 4,
    again: bool = True,
    providers: int = 1,
) -> Told:
    """Play such a session on virtual time, and take everything as it comes.

    With several `providers` the next one takes over when one is not reached twice in a row.
    """
    far, codec, dialled = _Provider(lives, again=again), Remembering(), list[float]()
    places = list[int]()
    able = replace(SCRIPTED, resumption="handle" if seed % 2 else "none")
    polite = scripted(far.script, able, welcome=False)

    def member(place: int) -> Provider[Any]:
        able = replace(polite.capabilities, provider=f"scripted {place}")
        return Provider(able.provider, able, codec, partial(dial, place))

    @asynccontextmanager
    async def dial(place: int, plan: Plan) -> AsyncGenerator[Link]:
        dialled.append(anyio.current_time())
        places.append(place)
        async with polite.dial(plan) as link:
            yield link

    provider = member(0)
    schedule: Schedule = Exponential(TICK).capped(1.0).within(_LIMIT)
    if providers > 1:
        provider, schedule = failover(*map(member, range(providers))), Recurs(1)
    config = SessionConfig(tools=(ToolSpec(name="finish", policy="finish"),), retry=schedule)

    async def play() -> list[RealtimeEvent]:
        events = list[RealtimeEvent]()
        async with open_session(provider, config, random=lambda: 0.5) as session:
            with anyio.move_on_after(_LIMIT):
                async for event in session.events():
                    events.append(event)
        return events + [event async for event in session.events()]

    weave = stalls(seed, most=late) if late else None
    events = run(play, backend=backend, seed=seed, weave=weave)
    return Told(events, far.heard, dialled, codec.resumes, places)
