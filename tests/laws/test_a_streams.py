"""A and E for streams that are built on a session: merged with another's, mapped, shared.

What stands between a session and its consumer must let nothing become stale on the way (4, 5) and
must lose nothing when the consumer gives up (41).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import count
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from msgspec.structs import replace

from realtime_core import mapping
from realtime_core.epoch import Epoch, ResponseId
from realtime_core.events import (
    AudioOutput,
    Disconnected,
    Interrupted,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
)
from realtime_core.frames import Close, CreateResponse, Frame, Interrupt
from realtime_core.mapping import mapped
from realtime_core.merging import Merged, Named, merge
from realtime_core.outlet import Outlet
from realtime_core.session import Events, RealtimeSession, open_session
from realtime_core.sharing import Share, Subscription
from realtime_core.testing import TICK, Injection, PointsFailed, every_point, run, stalls
from realtime_core.testing._author import SAMPLES_A_TICK
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.live import Performance, Through, perform
from realtime_core.testing.scripted import Peer, scripted
from tests.laws.scenarios import name_of
from tests.laws.stories import (
    BACKENDS,
    Story,
    audio,
    catches,
    is_perishable,
    live_config,
    stories,
)

STORIES = stories()
R = ResponseId("r")
both = pytest.mark.parametrize("backend", BACKENDS)

Built = Callable[[], AbstractAsyncContextManager[Through]]
"""Makes, for as long as a block runs, streams that stand on a session."""


# --- the streams ------------------------------------------------------------------------------


async def talkative(peer: Peer) -> None:
    """Speak and be interrupted, over and over."""
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        for number in count():
            id = ResponseId(f"other{number}")
            sound = [audio(id, SAMPLES_A_TICK) for _ in range(3)]
            await peer.say(ResponseStarted(response=id), *sound)
            await anyio.sleep(2 * TICK)
            await peer.say(SpeechStarted(), ResponseDone(response=id, status="cancelled"))
            await anyio.sleep(TICK)


class Picked(AsyncIterator[RealtimeEvent]):
    """The tested session's part of a merged stream; what the other one gives is judged here."""

    def __init__(self, merged: Merged, other: RealtimeSession[Frame]) -> None:
        self._merged = merged
        self._other = other
        self._events = list[RealtimeEvent]()
        self._over = False

    async def __anext__(self) -> RealtimeEvent:
        while not self._over:
            name, event = await anext(self._merged)
            if name == "tested":
                self._over = isinstance(event, Disconnected)
                return event
            assert not is_perishable(event) or event.epoch == self._other.epoch
            self._events.append(event)
        assert check_trace(self._events) == []
        raise StopAsyncIteration


@asynccontextmanager
async def merging() -> AsyncGenerator[Through]:
    async with open_session(scripted(talkative)) as other:
        yield lambda session: Picked(merge(tested=session.events(), other=other.events()), other)


def halves(event: RealtimeEvent) -> tuple[RealtimeEvent, ...]:
    """Give sound in two pieces, whole samples each."""
    if not isinstance(event, AudioOutput):
        return (event,)
    middle = len(event.pcm) // 4 * 2
    return replace(event, pcm=event.pcm[:middle]), replace(event, pcm=event.pcm[middle:])


@asynccontextmanager
async def mapping_twice() -> AsyncGenerator[Through]:
    yield lambda session: mapped(mapped(session, events=halves), events=halves).events()


@asynccontextmanager
async def sharing() -> AsyncGenerator[Through]:
    async with anyio.create_task_group() as tasks:

        def subscribed(session: RealtimeSession[Frame]) -> Subscription:
            hub = Share(session.events(), 100_000)
            tasks.start_soon(hub.run)
            return hub.subscribe()

        yield subscribed


every = pytest.mark.parametrize("built", [merging, mapping_twice, sharing])


# --- the laws ---------------------------------------------------------------------------------


def performed(story: Story, built: Built, backend: str) -> Performance:
    """Play a story to a consumer of such a stream, with everybody late."""

    async def play() -> Performance:
        config, able = live_config(story.plan), story.plan.capabilities
        async with built() as through:
            return await perform(story.timeline, config, able, through)

    return run(play, backend=backend, seed=story.seed, weave=stalls(story.seed))


async def talked_over(point: Injection, built: Built) -> None:
    """The provider speaks and goes on speaking; at one instant the application interrupts."""
    fenced_at: list[int] = []
    returned: list[tuple[RealtimeEvent, Epoch]] = []

    async def script(peer: Peer) -> None:
        wish = await peer.until(CreateResponse)
        await peer.say(ResponseStarted(response=R, request=name_of(wish)))
        for number in range(1, 4):
            await peer.say(*(audio("r", SAMPLES_A_TICK, number) for _ in range(2)))
            await anyio.sleep(TICK)
        await peer.say(ResponseDone(response=R, status="completed"))
        await peer.drain()

    async with built() as through, open_session(scripted(script)) as session:
        events = through(session)

        def interrupt() -> None:
            session.send_nowait(Interrupt())
            fenced_at.append(len(returned))

        async def consume() -> None:
            async for event in events:
                returned.append((event, session.epoch))
                if isinstance(event, AudioOutput):
                    await anyio.sleep(TICK / 2)
                if isinstance(event, ResponseDone):
                    return

        await session.simple_response("Go on.")
        await point.drive(consume(), interrupt)
        await session.send(Close())
        rest = [event async for event in events]
    for place, (event, epoch) in enumerate(returned):
        if is_perishable(event):
            assert event.epoch == epoch
            assert not fenced_at or place < fenced_at[0] or event.epoch == 1
    causes = [e.cause for e in (*(e for e, _ in returned), *rest) if isinstance(e, Interrupted)]
    assert causes.count("app") == len(fenced_at)


class TestNoStaleOutput:
    """4 and 5. What is returned belongs to the epoch in force, through however many hands."""

    @staticmethod
    def law(story: Story, built: Built, backend: str = "asyncio") -> None:
        done = performed(story, built, backend)
        for event, epoch, _ in done.returned:
            assert not is_perishable(event) or event.epoch == epoch
        if built is not sharing:  # there, what is purged leaves gaps
            assert check_trace(done.events, complete=done.session is not None) == []

    @both
    @every
    @given(story=STORIES)
    def test_live(self, built: Built, backend: str, story: Story) -> None:
        self.law(story, built, backend)

    @both
    @every
    def test_every_instant(self, built: Built, backend: str) -> None:
        assert every_point(lambda point: talked_over(point, built), backend=backend) > 15

    def seen(self, built: Built) -> None:
        """Require that both kinds of tests see the fault that is planted now."""
        catches(lambda story: self.law(story, built), STORIES)
        for backend in BACKENDS:
            with pytest.raises(AssertionError):
                every_point(lambda point: talked_over(point, built), backend=backend)

    def test_fault_merges_ahead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A merge that takes what it can get, as one with a task for each stream does."""
        poll, held = Merged.poll, deque[Named]()

        def eager(self: Merged) -> Named | None:
            while (named := poll(self)) is not None:
                held.append(named)
            return held.popleft() if held else None

        monkeypatch.setattr(Merged, "poll", eager)
        self.seen(merging)

    def test_fault_gives_out_what_was_made_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Outlet, "stale", lambda self, event: False)
        self.seen(mapping_twice)

    def test_fault_shares_what_was_queued_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The events are compared with the epoch when they are put in, and never again."""
        monkeypatch.setattr(Events, "stale", lambda self, event: False)
        self.seen(sharing)


class TestConsumerMayGiveUp:
    """41. A cancelled wait loses no event: the next call returns it."""

    @staticmethod
    async def scenario(point: Injection, built: Built) -> None:
        events: list[RealtimeEvent] = []
        scopes: list[anyio.CancelScope] = []

        async def script(peer: Peer) -> None:
            await peer.say(ResponseStarted(response=R))
            for number in range(1, 5):
                await peer.say(audio("r", SAMPLES_A_TICK, number))
                await anyio.sleep(number % 3 * TICK / 2)
            await peer.say(ResponseDone(response=R, status="completed"))
            await peer.drain()

        async with built() as through, open_session(scripted(script)) as session:
            source = through(session)

            async def consume() -> None:
                while not (events and isinstance(events[-1], ResponseDone)):
                    with anyio.CancelScope() as scope:
                        scopes.append(scope)
                        events.append(await anext(source))
                    await anyio.sleep(TICK / 4)

            with anyio.fail_after(4):
                await point.drive(consume(), lambda: scopes[-1].cancel())  # noqa: PLW0108 - the newest at that instant
        heard = [event.pcm[0] for event in events if isinstance(event, AudioOutput) and event.pcm]
        assert list(dict.fromkeys(heard)) == [1, 2, 3, 4]
        samples = sum(len(event.pcm) // 2 for event in events if isinstance(event, AudioOutput))
        assert samples == 4 * SAMPLES_A_TICK
        assert check_trace(events) == []

    @both
    @every
    def test_every_instant(self, built: Built, backend: str) -> None:
        assert every_point(lambda point: self.scenario(point, built), backend=backend) > 15

    @both
    @pytest.mark.parametrize(
        ("kind", "built"),
        [(Merged, merging), (Subscription, sharing)],
    )
    def test_fault_takes_and_then_suspends(
        self, kind: Any, built: Built, backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        following = kind.__anext__

        async def slow(self: Any) -> Any:
            event = await following(self)
            await checkpoint()
            return event

        monkeypatch.setattr(kind, "__anext__", slow)
        with pytest.raises(PointsFailed):
            every_point(lambda point: self.scenario(point, built), backend=backend)

    def test_fault_forgets_what_it_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mapping that gives the rest of what it made up when it is asked again."""
        take = mapping._MappedExit.take

        def forgetful(self: Any, at: float) -> RealtimeEvent | None:
            self._made.clear()
            return take(self, at)

        monkeypatch.setattr(mapping._MappedExit, "take", forgetful)
        with pytest.raises(AssertionError):
            every_point(lambda point: self.scenario(point, mapping_twice))
