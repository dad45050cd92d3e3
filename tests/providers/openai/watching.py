"""Watching: what every case of the fault matrix is held to, whatever it is about.

A block under watch ends before its deadline, the loop goes on beating in it, and nothing is left
behind. A session that has ended says so everywhere, and is idle.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

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
from realtime_openai import openai

__all__ = ("KEY", "ended", "idle", "ours", "unopened", "until", "watched")

E = TypeVar("E", bound=RealtimeEvent)

KEY = "-".join(("sk", "secret", "0123456789abcdef"))
"""Not to be found in a traceback, which quotes the source."""

_BEAT = 0.01
_LONGEST = 2.0
"""Seconds; a machine that is busy with other things makes everybody wait."""
_LOOK = 0.02
_LOOKS = 5
_BUSY = 0.25
"""Share of the time that a task which spins gets at least, on a busy machine too."""


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


# --- sessions -------------------------------------------------------------------------------------


def ours(base_url: str) -> Provider[Frame]:
    """Make the provider for a server of a test."""
    return openai("gpt-test", api_key=KEY, base_url=base_url)


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
