"""The driver and a connection that is made beside the one in use: kept ready, taken, left."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from anyio.streams.stapled import StapledObjectStream
from msgspec.structs import replace

from realtime_core import (
    Audio,
    Close,
    Plan,
    Provider,
    RealtimeEvent,
    Reconnected,
    SessionConfig,
    SessionEnding,
    Text,
    Unknown,
    open_session,
)
from realtime_core.codec import Outgoing
from realtime_core.link import Link, Wires
from realtime_core.session import RealtimeSession
from realtime_core.testing import Injection, every_point, no_leaks, run
from realtime_core.testing.scripted import SCRIPTED, Greeting, Peer, Script, read, scripted
from tests.core.short import R1, done, names, of, sound, started

HISTORY = replace(SCRIPTED, resumption="none")
SOON = SessionEnding(left=20.0)


class Overheard(StapledObjectStream[Wires]):
    """A link that keeps what it has accepted."""

    def __init__(self, link: Link, told: list[Outgoing | Greeting]) -> None:
        super().__init__(link, link)
        self._told = told

    async def send(self, item: Wires) -> None:
        await super().send(item)
        self._told += map(read, item)


class Dialled:
    """A provider whose connections are watched: made when, told what, and ended when."""

    def __init__(self, script: Script, **how: Any) -> None:
        polite = scripted(script, HISTORY, **how)
        self._dial = polite.dial
        self.provider: Provider[Any] = replace(polite, dial=self.dial)
        self.made: list[float] = []
        self.told: list[list[Outgoing | Greeting]] = []
        self.ended: dict[int, float] = {}
        self.before: Callable[[int], Any] = lambda conn: checkpoint()
        """What each dialling waits for."""

    @asynccontextmanager
    async def dial(self, plan: Plan) -> AsyncGenerator[Link]:
        conn = len(self.made)
        self.made.append(anyio.current_time())
        self.told.append([])
        try:
            await self.before(conn)
            async with self._dial(plan) as link:
                yield Overheard(link, self.told[conn])
        finally:
            self.ended[conn] = anyio.current_time()


async def until(session: RealtimeSession[Any], *kinds: type[RealtimeEvent]) -> list[RealtimeEvent]:
    """Take events until one of these has come."""
    events = list[RealtimeEvent]()
    async for event in session.events():
        events.append(event)
        if isinstance(event, kinds):
            break
    return events


async def greet(peer: Peer) -> None:
    """Acknowledge the session, once it says what it wants."""
    await peer.next()
    await peer.welcome()


def test_what_it_says_first_waits_until_it_is_in_use(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(Unknown(name=f"first of {peer.conn}", data=""))
        await greet(peer)
        if peer.conn == 0:
            await peer.say(started(R1), SOON)
            await anyio.sleep(3.0)
            await peer.say(sound(), done(R1))
        await peer.drain()

    async def program() -> list[RealtimeEvent]:
        far = Dialled(script, welcome=False)
        async with open_session(far.provider) as session:
            events = await until(session, Reconnected)
            assert far.made == [0.0, 0.0]
            assert anyio.current_time() >= 3.0
        return events

    events = run(program, backend=anyio_backend)
    assert [event.name for event in of(Unknown, events)] == ["first of 0", "first of 1"]
    assert names(events)[-3:] == ["ResponseDone", "Unknown", "Reconnected"]


def test_the_old_one_is_told_what_waited_for_it_and_ends_in_good_order(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        if peer.conn == 0:
            await peer.say(started(R1), SOON)
            await anyio.sleep(1.0)
            await peer.say(done(R1))
            await anyio.sleep(3.0)
        await peer.drain()

    async def program() -> Dialled:
        far = Dialled(script, buffer=1)
        config = SessionConfig(close_timeout=10.0)
        async with no_leaks(), open_session(far.provider, config) as session:
            for word in "abcd":
                await session.send(Text(word, turn="context"))
            await until(session, Reconnected)
            await session.send(Text("e", turn="context"))
            await anyio.sleep(4.0)
            assert far.ended == {0: 4.0}
        return far

    far = run(program, backend=anyio_backend)
    old, new = ([frame.text for frame in of(Text, told)] for told in far.told)
    assert [*old, *new] == ["a", "b", "c", "d", "e"]
    assert len(old) >= 3
    assert of(Close, far.told[0]) == []
    assert far.ended == {0: 4.0, 1: 5.0}


def test_an_old_one_that_takes_nothing_is_cut_at_the_deadline(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        if peer.conn == 0:
            await peer.say(started(R1), SOON)
            await anyio.sleep(1.0)
            await peer.say(done(R1))
            await anyio.sleep_forever()
        await peer.drain()

    async def program() -> None:
        far = Dialled(script, buffer=1)
        config = SessionConfig(close_timeout=5.0)
        async with no_leaks(), open_session(far.provider, config) as session:
            for word in "abcd":
                await session.send(Text(word, turn="context"))
            await until(session, Reconnected)
            await anyio.sleep(60.0)
            assert far.ended == {0: 6.0}

    run(program, backend=anyio_backend)


def test_what_is_pushed_meanwhile_arrives_in_order_on_the_next_one(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        if peer.conn == 0:
            await greet(peer)
            await peer.say(SOON)
            await peer.drain()
        else:
            await peer.next()
            await anyio.sleep(1.0)
            await peer.welcome()
            await peer.drain()

    async def program() -> list[Outgoing | Greeting]:
        far = Dialled(script, welcome=False)
        async with open_session(far.provider) as session:
            await until(session, SessionEnding)
            await anyio.sleep(0.5)
            assert session.connected is False
            for number in range(8):
                await session.send(Audio(bytes((number, 0)) * 480))
            await session.send(Text("Well?", turn="context"))
            await until(session, Reconnected)
        return far.told[1]

    heard = run(program, backend=anyio_backend)
    assert names(heard) == ["Greeting", *["Audio"] * 8, "Text", "Close"]
    assert [frame.pcm[0] for frame in of(Audio, heard)] == list(range(8))


def test_one_that_cannot_be_made_or_ends_too_soon_is_made_again(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await greet(peer)
        if peer.conn == 0:
            await peer.say(started(R1), SessionEnding(left=60.0))
            await anyio.sleep(13.0)
            await peer.say(done(R1))
        await peer.drain()

    async def failing(conn: int) -> None:
        if conn in {1, 2}:
            raise OSError("no route to host")

    async def program() -> list[float]:
        far = Dialled(script, welcome=False)
        far.before = failing
        async with no_leaks(), open_session(far.provider) as session:
            await until(session, Reconnected)
            assert anyio.current_time() == 13.0
        return far.made

    assert run(program, backend=anyio_backend) == [0.0, 0.0, 5.0, 10.0]


def test_one_that_hangs_up_before_it_is_used_is_made_again(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        if peer.conn == 1:
            await anyio.sleep(1.0)
            return
        await greet(peer)
        if peer.conn == 0:
            await peer.say(started(R1), SessionEnding(left=60.0))
        await peer.drain()

    async def program() -> list[float]:
        far = Dialled(script, welcome=False)
        async with no_leaks(), open_session(far.provider) as session:
            await until(session, SessionEnding)
            await anyio.sleep(8.0)
            assert session.connected
        return far.made

    assert run(program, backend=anyio_backend) == [0.0, 0.0, 6.0]


def test_the_one_that_is_being_made_is_waited_for_when_the_old_one_is_lost(
    anyio_backend: str,
) -> None:
    async def script(peer: Peer) -> None:
        if peer.conn == 0:
            await peer.say(SOON)
            return
        await peer.drain()

    async def slow(conn: int) -> None:
        await anyio.sleep(2.0 * conn)

    async def program() -> None:
        far = Dialled(script)
        far.before = slow
        async with no_leaks(), open_session(far.provider) as session:
            await until(session, Reconnected)
            assert (anyio.current_time(), far.made) == (2.0, [0.0, 0.0])

    run(program, backend=anyio_backend)


def test_closing_ends_what_is_being_made(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(SOON)
        await peer.drain()
        await anyio.sleep(20.0)

    async def never(conn: int) -> None:
        if conn:
            await anyio.sleep_forever()

    async def program() -> None:
        far = Dialled(script)
        far.before = never
        config = SessionConfig(close_timeout=30.0)
        async with no_leaks(), open_session(far.provider, config) as session:
            await until(session, SessionEnding)
            await anyio.sleep(1.0)
            await session.send(Close())
            await session.outcome()
            assert far.ended[1] == 1.0
            assert len(far.made) == 2

    run(program, backend=anyio_backend)


def test_nothing_is_left_behind_whenever_it_is_cancelled(anyio_backend: str) -> None:
    """While the next one is dialled, stands by, is greeted, and while the old one takes leave."""

    async def script(peer: Peer) -> None:
        await peer.say(Unknown(name="first", data=""))
        await greet(peer)
        if peer.conn == 0:
            await peer.say(started(R1), SOON)
            await anyio.sleep(1.0)
            await peer.say(done(R1))
            await anyio.sleep(1.0)
        await peer.drain()

    async def slow(conn: int) -> None:
        await anyio.sleep(0.5 * conn)

    async def scenario(point: Injection) -> None:
        far, scope = Dialled(script, welcome=False, buffer=1), anyio.CancelScope()
        far.before = slow

        async def own() -> None:
            with scope:
                async with open_session(far.provider, SessionConfig(close_timeout=3.0)) as session:
                    for word in "abc":
                        await session.send(Text(word, turn="context"))
                    await until(session, Reconnected)
                    await session.send(Text("d", turn="context"))

        async with no_leaks():
            await point.drive(own(), scope.cancel)
        assert len(far.ended) == len(far.made)

    tasks = every_point(scenario, backend=anyio_backend, tasks=lambda name: "driver" in name)
    assert tasks > 20
