"""A timeline played on a real session: pumps, links and tasks, on virtual time.

The provider is a scripted one, the consumer takes at the pace the timeline says, and every task may
be made late at random, which is what finds races.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from math import inf
from typing import Any

import anyio

from ..capability import Capabilities
from ..config import SessionConfig
from ..epoch import Epoch
from ..errors import RealtimeError, RealtimeException
from ..events import RealtimeEvent
from ..faults import first_cause
from ..frames import Frame
from ..session import RealtimeSession, open_session
from .clock import TICK, run
from .driven import stalls
from .fold import Returned
from .scripted import SCRIPTED, Peer, scripted
from .timeline import Fails, Happening, Loses, Pushes, Raw, Says, Takes, Timeline, Waits

__all__ = ("Performance", "Through", "perform", "performed")

Through = Callable[[RealtimeSession[Frame]], AsyncIterator[RealtimeEvent]]
"""What the consumer of a session takes its events from."""

_ENDED = (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError)


class Performance:
    """What came of playing a timeline."""

    def __init__(self) -> None:
        self.returned = list[Returned]()
        """What the consumer got, in order, with the session's epoch at that instant."""
        self.epochs = list[Epoch]()
        """What each explicit interrupt gave."""
        self.refused = list[RealtimeError]()
        """Why frames were refused."""
        self.failure: RealtimeError | None = None
        """What the session raised where it could not be opened, or where it failed."""
        self.session: RealtimeSession[Frame] | None = None
        """The session, closed by now."""

    @property
    def events(self) -> list[RealtimeEvent]:
        """The events the consumer got, in order."""
        return [one.event for one in self.returned]


def performed(
    timeline: Timeline,
    config: SessionConfig | None = None,
    capabilities: Capabilities = SCRIPTED,
    *,
    backend: str = "asyncio",
    seed: int = 0,
    late: int = 4,
    through: Through = RealtimeSession[Frame].events,
) -> Performance:
    """Play a timeline on virtual time; after each suspension a task is up to `late` ticks late."""

    async def play() -> Performance:
        return await perform(timeline, config, capabilities, through)

    weave = stalls(seed, most=late) if late else None
    return run(play, backend=backend, seed=seed, weave=weave)


async def perform(
    timeline: Timeline,
    config: SessionConfig | None = None,
    capabilities: Capabilities = SCRIPTED,
    through: Through = RealtimeSession[Frame].events,
) -> Performance:
    """Play a timeline on a session in the running event loop; `Stale` has no meaning here.

    The consumer gets what `through` makes of the session: its events, or a stream built on them. It
    takes what `Takes` grants, and everything once the timeline is over; the session is left then,
    and what it still yields is taken too.
    """
    done = Performance()
    stand = _Stand(done)
    provider = scripted(stand.script, capabilities, welcome=False)
    try:
        async with (
            anyio.create_task_group() as tasks,
            open_session(provider, config, random=lambda: 0.5) as session,
        ):
            done.session = session
            tasks.start_soon(stand.consume, through(session))
            await stand.ready.wait()
            for happening in timeline:
                await stand.act(session, happening)
            stand.grant(inf)
    except* RealtimeException as failures:
        cause = first_cause(failures)
        assert isinstance(cause, RealtimeException)  # noqa: S101 - chosen by `except*`
        done.failure = cause.error
    return done


class _End:
    """The far end of one connection, until the timeline loses it or the session hangs up."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.over = anyio.Event()
        self.error: RealtimeError | None = None

    def lose(self, error: RealtimeError | None) -> None:
        self.error = error
        self.over.set()


class _Stand:
    """Both ends of the session: the peers of its connections and its consumer."""

    def __init__(self, done: Performance) -> None:
        self._done = done
        self._used: _End | None = None
        """The newest that was greeted."""
        self._made: _End | None = None
        """The newest at all."""
        self.ready = anyio.Event()
        """Given when the first connection has come so far."""
        self._granted: float = 0
        self._changed = anyio.Event()

    async def script(self, peer: Peer) -> None:
        """Stand by until the timeline loses this connection, or the session hangs up."""
        self._made = end = _End(peer)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._attend, end)
            await end.over.wait()
            tasks.cancel_scope.cancel()
        if end.error is not None:
            raise RealtimeException(end.error)

    async def _attend(self, end: _End) -> None:
        with suppress(*_ENDED):
            await end.peer.next()
            await end.peer.welcome()
            self._used = end
            self.ready.set()
            await end.peer.drain()
        end.over.set()

    def grant(self, count: float) -> None:
        """Let the consumer take so many more."""
        self._granted += count
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def consume(self, events: AsyncIterator[RealtimeEvent]) -> None:
        """Take events as they are granted, noting the epoch in force as each is returned."""
        while True:
            while self._granted <= 0:
                await self._changed.wait()
            try:
                event = await events.__anext__()
            except StopAsyncIteration:
                return
            assert self._done.session is not None  # noqa: S101 - set before this task starts
            self._done.returned.append(Returned(event, self._done.session.epoch, None))
            self._granted -= 1

    async def act(self, session: RealtimeSession[Frame], happening: Happening) -> None:
        """Let one thing happen; what a real session cannot be told is left out."""
        match happening:
            case Says():
                await self._with_peer(Peer.say, *happening.events)
            case Raw():
                await self._with_peer(Peer.raw, *happening.wires)
            case Pushes():
                try:
                    session.send_nowait(happening.frame)
                except RealtimeException as refusal:
                    self._done.refused.append(refusal.error)
            case Takes():
                self.grant(happening.count)
            case Waits():
                await anyio.sleep(happening.ticks * TICK)
            case Loses() if not happening.old and self._used is not None:
                self._used.lose(happening.error)
            case Fails() if self._made is not None and self._made is not self._used:
                self._made.lose(happening.error)
            case _:
                pass

    async def _with_peer(self, do: Callable[..., Any], *given: object) -> None:
        assert self._used is not None  # noqa: S101 - the timeline begins once there is one
        with suppress(*_ENDED):
            await do(self._used.peer, *given)
