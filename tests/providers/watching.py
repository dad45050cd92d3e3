"""Watching: what every case of the fault matrix is held to, whatever it is about.

A block under watch ends before its deadline, the loop goes on beating in it, and nothing is left
behind. A session that has ended says so everywhere, and is idle.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from ssl import SSLContext
from typing import Any, NamedTuple, TypeVar

import anyio
import pytest
from returns.result import Failure

from realtime_core import open_session
from realtime_core.beside import beside
from realtime_core.errors import RealtimeError, RealtimeException, SessionClosed
from realtime_core.events import Disconnected, RealtimeEvent
from realtime_core.frames import Frame, Text
from realtime_core.provider import Provider
from realtime_core.session import Events, RealtimeSession
from realtime_core.testing import no_leaks
from realtime_core.testing.conformance import check_trace
from tests.core.transports.loopback import trusted

__all__ = (
    "PLAIN",
    "SECURE",
    "Way",
    "comes_true",
    "ended",
    "idle",
    "silently",
    "unopened",
    "until",
    "watched",
)

E = TypeVar("E", bound=RealtimeEvent)

_BEAT = 0.01
_LONGEST = 2.0
"""Seconds; a machine that is busy with other things makes everybody wait."""
_LOOK = 0.02
_LOOKS = 5
_BUSY = 0.25
"""Share of the time that a task which spins gets at least, where others want the machine too."""


class Way(NamedTuple):
    """How a server is reached: as it is, or over TLS that its client trusts."""

    secure: bool

    @property
    def server(self) -> SSLContext | None:
        """What the server shows."""
        return _contexts()[0] if self.secure else None

    @property
    def client(self) -> SSLContext | None:
        """What its client trusts."""
        return _contexts()[1] if self.secure else None

    def base_url(self, port: int) -> str:
        """Give the address of a port."""
        return f"http{'s' if self.secure else ''}://127.0.0.1:{port}"


PLAIN, SECURE = Way(secure=False), Way(secure=True)


@cache
def _contexts() -> tuple[SSLContext, SSLContext]:
    return trusted()


@asynccontextmanager
async def watched(deadline: float = 20.0) -> AsyncGenerator[None]:
    """Hold a block to its deadline and to the beat, and let it leave nothing behind."""
    gaps = [0.0]

    async def beat() -> None:
        while True:
            before = time.monotonic()
            await anyio.sleep(_BEAT)
            gaps.append(time.monotonic() - before)

    with anyio.fail_after(deadline):
        async with no_leaks(within=2.0), beside() as tasks:
            tasks.start_soon(beat)
            yield
            await anyio.sleep(_BEAT)  # so that a gap at the end is seen
    assert max(gaps) < _LONGEST, f"the loop stood still for {max(gaps):.2f} s"


async def idle() -> None:
    """Require that nothing in this process spins; one look may meet the collector of garbage."""
    spent = 1.0
    for _ in range(_LOOKS):
        cpu, wall = time.process_time(), time.monotonic()
        await anyio.sleep(_LOOK)
        spent = (time.process_time() - cpu) / (time.monotonic() - wall)
        if spent < _BUSY:
            return
    raise AssertionError(f"something spins: {spent:.0%} of the time")


async def comes_true(condition: Callable[[], object]) -> None:
    """Wait for what gives no sign when it happens."""
    while not condition():  # noqa: ASYNC110 - it gives none
        await anyio.sleep(_LOOK / 10)


@contextmanager
def silently(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], key: str
) -> Generator[None]:
    """Require that a block complains of nothing, in a log or on stderr, and logs no key."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    assert key not in caplog.text
    assert not capfd.readouterr().err


# --- sessions -------------------------------------------------------------------------------------


async def until(events: Events, kind: type[E], seen: list[RealtimeEvent] | None = None) -> E:
    """Take events, into `seen`, until one of this kind comes."""
    async for event in events:
        if seen is not None:
            seen.append(event)
        if isinstance(event, kind):
            return event
    raise AssertionError(f"it ended without {kind.__name__}")


async def unopened(provider: Provider[Frame], **settings: Any) -> RealtimeError:
    """Open what cannot be opened; gives why, which is told in three parts."""
    with pytest.raises(RealtimeException) as caught:
        async with open_session(provider, **settings):
            pytest.fail("it opened")
    await idle()
    error = caught.value.error
    assert error.what
    assert error.cause
    assert str(caught.value) == str(error)
    return error


async def ended(
    session: RealtimeSession[Frame], events: Events, seen: list[RealtimeEvent]
) -> RealtimeError | None:
    """Take the events to the end into `seen`, and require that all agree about it; gives why."""
    seen += [event async for event in events]
    assert not check_trace(seen, complete=True)
    last, outcome = seen[-1], await session.outcome()
    assert isinstance(last, Disconnected)
    assert last.error == (outcome.failure() if isinstance(outcome, Failure) else None)
    assert last.clean is (last.error is None)
    assert not session.connected
    with pytest.raises(RealtimeException) as caught:
        await session.send(Text("late"))
    assert isinstance(caught.value.error, SessionClosed)
    assert not [event async for event in session.events()]
    await idle()
    return last.error
