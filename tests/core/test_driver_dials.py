"""The driver and its connections: made, lost, made again, and never left behind."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import ObjectStream
from msgspec.structs import replace

from realtime_core import (
    AuthFailed,
    Close,
    InternalFault,
    Plan,
    Provider,
    RealtimeException,
    SessionConfig,
    Spaced,
    Text,
    TimedOut,
    Unavailable,
    open_session,
)
from realtime_core.faults import first_cause
from realtime_core.link import Link, Wires
from realtime_core.testing import no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from tests.core.short import (
    R2,
    done,
    names,
    started,
)


class DefectError(Exception):
    """What is raised by something with a defect."""


# --- dialling ---------------------------------------------------------------------------------


def failing(problem: Exception) -> Provider[Any]:
    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        async with scripted(Peer.drain).dial(plan) as link:
            raise problem
            yield link

    return replace(scripted(Peer.drain), dial=dial)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (OSError("no route to host"), Unavailable),
        (TimeoutError(), TimedOut),
        (RealtimeException(AuthFailed(what="No.")), AuthFailed),
        (DefectError(), InternalFault),
    ],
    ids=repr,
)
def test_a_connection_that_cannot_be_made_raises_a_typed_error(
    anyio_backend: str, problem: Exception, kind: type
) -> None:
    async def program() -> None:
        async with no_leaks(), open_session(failing(problem)):
            raise AssertionError("it never opened")

    with pytest.raises(RealtimeException) as failure:
        run(program, backend=anyio_backend)
    assert isinstance(failure.value.error, kind)


def test_a_provider_that_never_answers_is_given_up(anyio_backend: str) -> None:
    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        await anyio.sleep_forever()
        yield scripted(Peer.drain).dial  # type: ignore[misc]

    async def program() -> None:
        config = SessionConfig(connect_timeout=7.0)
        provider = replace(scripted(Peer.drain), dial=dial)
        async with no_leaks():
            with pytest.raises(RealtimeException) as failure:
                async with open_session(provider, config):
                    raise AssertionError("it never opened")
        assert isinstance(failure.value.error, TimedOut)
        assert anyio.current_time() == 7.0

    run(program, backend=anyio_backend)


def test_a_lost_connection_is_made_again_and_the_session_goes_on(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.until(Text)
        if peer.conn == 2:
            await peer.say(started(R2), done(R2))
            await peer.drain()

    async def program() -> list[str]:
        config = SessionConfig(retry=Spaced(1.0))
        async with open_session(scripted(script), config) as session:
            for _ in range(3):
                await session.send(Text("x", turn="context"))
                await anyio.sleep(2.0)
            await session.send(Close())
            return names([event async for event in session.events()])

    kinds = run(program, backend=anyio_backend)
    assert kinds.count("Reconnected") == 2
    assert kinds[-3:] == ["ResponseStarted", "ResponseDone", "Disconnected"]


def test_closing_between_two_attempts_dials_no_more(anyio_backend: str) -> None:
    dialled = list[float]()

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        dialled.append(anyio.current_time())
        if len(dialled) > 1:
            await anyio.sleep_forever()
        async with scripted(lose).dial(plan) as link:
            yield link

    async def lose(peer: Peer) -> None:
        await anyio.sleep(1.0)

    async def program() -> float:
        config = SessionConfig(retry=Spaced(1.0), close_timeout=60.0)
        provider = replace(scripted(Peer.drain), dial=dial)
        async with no_leaks(), open_session(provider, config) as session:
            await anyio.sleep(5.0)
            await session.send(Close())
            await session.outcome()
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 5.0
    assert dialled == [0.0, 2.0]


def test_closing_in_the_instant_of_dialling_ends_that_dialling(anyio_backend: str) -> None:
    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        await anyio.sleep_forever()
        yield scripted(Peer.drain).dial  # type: ignore[misc]

    async def program() -> float:
        config = SessionConfig(close_timeout=60.0, connect_timeout=600.0)
        provider = replace(scripted(Peer.drain), dial=dial)
        async with no_leaks():
            with anyio.CancelScope() as scope:
                scope.cancel()
                async with open_session(provider, config):
                    raise AssertionError("it never opened")
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 0.0


class Sore(ObjectStream[Wires]):
    """A link that raises something of its own where it is cancelled, or at once."""

    def __init__(self, link: Link, problem: BaseException, *, at_once: bool = False) -> None:
        self._link = link
        self._problem = problem
        self._at_once = at_once

    async def receive(self) -> Wires:
        wires = await self._link.receive()
        if self._at_once:
            raise self._problem
        return wires

    async def send(self, item: Wires) -> None:
        await self._link.send(item)
        if "Text" in str(item[0]):
            try:
                await anyio.sleep_forever()
            finally:
                raise self._problem

    async def send_eof(self) -> None:
        await self._link.send_eof()

    async def aclose(self) -> None:
        await self._link.aclose()


def sore(problem: BaseException, **how: bool) -> Provider[Any]:
    provider = scripted(Peer.drain)

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        async with provider.dial(plan) as link:
            yield Sore(link, problem, **how)

    return replace(provider, dial=dial)


def test_a_link_that_fails_while_it_is_cancelled_does_not_hide_the_cancellation(
    anyio_backend: str,
) -> None:
    async def program() -> float:
        async with no_leaks():
            with anyio.move_on_after(2.0) as patience:
                async with open_session(sore(DefectError())) as session:
                    await session.send(Text("x", turn="context"))
                    await anyio.sleep_forever()
            assert patience.cancelled_caught
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 2.0


class Stop(BaseException):
    """What nobody but the program itself should catch."""


def test_what_is_no_exception_goes_through(anyio_backend: str) -> None:
    async def program() -> None:
        async with open_session(sore(Stop(), at_once=True)):
            await anyio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as failure:
        run(program, backend=anyio_backend)
    assert isinstance(first_cause(failure.value), Stop)
