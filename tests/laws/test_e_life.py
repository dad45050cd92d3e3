"""E. Life cycle and cancellation, 37 to 41; the rest of every instant is in `test_e_injection`."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, ClassVar
from weakref import WeakSet

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from msgspec.structs import replace

from realtime_core import alarms, changeover, interruption, lifecycle, machine
from realtime_core.config import SessionConfig
from realtime_core.driver import Driver
from realtime_core.epoch import ResponseId
from realtime_core.errors import RealtimeException, Unavailable
from realtime_core.events import (
    AudioOutput,
    Connected,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
)
from realtime_core.frames import Audio, Close, CreateResponse, Interrupt, Text
from realtime_core.moment import Moment
from realtime_core.session import Events, open_session
from realtime_core.state import (
    Begun,
    Input,
    Linked,
    Lost,
    Phase,
    Pushed,
    Rang,
    Received,
    Refused,
    Shed,
    State,
    Timer,
)
from realtime_core.testing import (
    TICK,
    Injection,
    PointsFailed,
    every_point,
    no_leaks,
    run,
)
from realtime_core.testing._author import SAMPLES_A_TICK
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.fold import Fold, fold
from realtime_core.testing.scripted import (
    SCRIPTED,
    Peer,
    scripted,
    written,
)
from realtime_core.testing.timeline import Pushes, Raw, Says, act, welcome
from tests.laws.model import Fact, Rehearsal
from tests.laws.sessions import Law, hold, live_by
from tests.laws.stories import (
    BACKENDS,
    Story,
    audio,
    catches,
    many,
    opened,
    stories,
)

STORIES = stories()
R = ResponseId("r")
both = pytest.mark.parametrize("backend", BACKENDS)


def step_by_step(story: Story) -> Fold:
    """Play a story to its end."""
    session = opened(story)
    singly(session, story)
    session.close()
    return session


def singly(session: Fold, story: Story) -> None:
    """Play a story with one message to a read, so that each step has one cause."""
    for happening in story.timeline:
        welcome(session)
        if isinstance(happening, Says):
            act(session, (Says((event,)) for event in happening.events))
        else:
            act(session, (happening,))


class LivesLawfully(Law):
    """Each step leads where it may, and nothing follows the last."""

    LEGAL: ClassVar = {
        Phase.CONNECTING: {Phase.OPEN, Phase.CLOSING, Phase.CLOSED},
        Phase.OPEN: {Phase.RESUMING, Phase.CLOSING, Phase.CLOSED},
        Phase.RESUMING: {Phase.OPEN, Phase.CLOSING, Phase.CLOSED},
        Phase.CLOSING: {Phase.CLOSED},
        Phase.CLOSED: set[Phase](),
    }
    """Closing is skipped where there is nobody left to take leave of."""

    def see(self, fact: Fact) -> None:
        one = fact.step
        before, after = one.before.phase, one.after.phase
        assert before is after or after in self.LEGAL[before], one.given
        assert before is not Phase.CLOSED or one.effects == ()
        if (before, after) == (Phase.OPEN, Phase.RESUMING):
            will_end = one.before.leave_by is not None
            assert will_end or isinstance(one.given, Lost | Received), "only an end ends it"

    def end(self, rehearsal: Rehearsal) -> None:
        session = rehearsal.session
        assert session.state.phase is Phase.CLOSED
        for late in late_inputs(session.state, session.at):
            (done,) = fold(session.codec, session.state, (late,))
            assert (done.after.phase, done.effects) == (Phase.CLOSED, ()), late
        assert session.outlet.take(session.at) is None


class TestLegalStates:
    """37. connecting, open, (resuming, open)*, closing, closed; no event after closed."""

    @classmethod
    def law(cls, story: Story) -> None:
        """Play a story, close in its middle, and play it again."""
        again = (Pushes(Close()), Raw(GREETED), *story.timeline)
        hold(LivesLawfully, story._replace(timeline=(*story.timeline, *again)))

    def test_machine(self) -> None:
        live_by(LivesLawfully)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_goes_on_after_the_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        finish = lifecycle.finish

        def undead(state: State, now: Moment) -> State:
            return replace(finish(state, now), phase=Phase.RESUMING)

        for module in (alarms, changeover):
            monkeypatch.setattr(module, "finish", undead)
        catches(self.law, STORIES)

    def test_fault_opens_while_closing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        received = machine._received

        def reopen(state: State, now: Moment, given: Received) -> State:
            return received(replace(state, phase=Phase.OPEN), now, given)

        monkeypatch.setattr(machine, "_received", reopen)
        catches(self.law, STORIES)


GREETED = written(Connected(session_id="", config=SessionConfig(), capabilities=SCRIPTED))


def late_inputs(state: State, at: float) -> Iterator[Input]:
    """Give one of everything that can happen, after the end."""
    said = written(ResponseStarted(response=R), audio("r", 10), SpeechStarted())
    for conn in range(state.conn + 2):
        yield Linked(at=at, conn=conn)
        yield Received(at=at, conn=conn, wires=said)
        yield Lost(at=at, conn=conn, error=Unavailable(what="late"))
    for frame in (Interrupt(), Close(), Text("late"), CreateResponse(), Audio(b"")):
        yield Pushed(at=at, frame=frame)
    for timer in Timer:
        yield Rang(at=at + 3600, timer=timer)
    yield Shed(at=at, lane="audio", reason="late", count=1)
    yield Refused(at=at, error=Unavailable(what="late"))
    yield Begun(at=at)


class TestSettlement:
    """38. Every born response settles once; a stand-in never passes for the provider's word."""

    @staticmethod
    def law(story: Story) -> None:
        session = step_by_step(story)
        born = {id for one in session.steps for id in one.after.ledger.responses}
        ends = Counter(e.response for e in session.events if isinstance(e, ResponseDone))
        assert ends == Counter(born)
        for one in session.steps:
            for event in one.events:
                if isinstance(event, ResponseDone):
                    stands_in = event.status in {"interrupted", "lost", "closed"}
                    assert stands_in is not event.by_provider
                    assert isinstance(one.given, Received) or not event.by_provider

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_forgets_on_loss(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(changeover, "settle_all", lambda state, now, status, error: state)
        catches(self.law, STORIES)

    def test_fault_speaks_for_the_provider(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settle_all = interruption.settle_all

        def pretend(state: State, now: Moment, status: Any, error: Any) -> State:
            del status
            return settle_all(state, now, "completed", error)

        monkeypatch.setattr(changeover, "settle_all", pretend)
        catches(self.law, STORIES)


class TestNothingRemains:
    """39. After the block, however it was left, nothing of the session is there."""

    @both
    @pytest.mark.parametrize("way", ["return", "raise", "cancel", "lost", "closed"])
    def test_live(self, backend: str, way: str) -> None:
        async def scenario() -> None:
            async with no_leaks():
                with (
                    anyio.CancelScope() as scope,
                    pytest.raises(KeyError) if way == "raise" else nullcontext(),
                ):
                    async with open_session(scripted(silent)) as session:
                        await session.simple_response("Hello")
                        match way:
                            case "raise":
                                raise KeyError(way)
                            case "cancel":
                                scope.cancel()
                                await anyio.sleep_forever()
                            case "closed":
                                await session.send(Close())
                            case _:
                                pass

        async def silent(peer: Peer) -> None:
            if way == "lost":
                return
            await peer.drain()

        run(scenario, backend=backend)

    @both
    def test_an_opening_that_fails(self, backend: str) -> None:
        async def scenario() -> None:
            async with no_leaks():
                with pytest.raises(RealtimeException) as caught:
                    async with open_session(
                        scripted(mute, welcome=False), SessionConfig(connect_timeout=1.0)
                    ):
                        raise AssertionError("a session that was never acknowledged")
                assert caught.value.error.retryable
            assert anyio.current_time() == pytest.approx(1.0)

        async def mute(peer: Peer) -> None:
            await anyio.sleep_forever()

        run(scenario, backend=backend)

    @both
    def test_of_many_sessions_no_object(self, backend: str) -> None:
        """Not even a value: whatever a session was made of goes with it."""
        assert self.kept(backend) == 0

    @staticmethod
    def kept(backend: str) -> int:
        made = WeakSet[Any]()

        async def script(peer: Peer) -> None:
            await peer.say(ResponseStarted(response=R), audio("r", SAMPLES_A_TICK))
            await peer.drain()

        async def one(number: int) -> None:
            async with open_session(scripted(script)) as session:
                made.update((session._driver, session._driver.doors))
                with session.within(), anyio.CancelScope() as scope:
                    await session.simple_response("Hello")
                    async for event in session.events():
                        if isinstance(event, AudioOutput):
                            await session.interrupt()
                            break
                    if number % 3 == 0:
                        scope.cancel()
                    elif number % 3 == 1:
                        await session.send(Close())

        async def program() -> None:
            async with no_leaks():
                for number in range(12):
                    await one(number)

        run(program, backend=backend)
        gc.collect()
        return len(made)

    def test_fault_a_session_that_is_not_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        every = list[Driver]()
        run_ = Driver.run

        def kept(self: Driver) -> Any:
            every.append(self)
            return run_(self)

        monkeypatch.setattr(Driver, "run", kept)
        assert self.kept("asyncio") > 0


class TestConsumerMayGiveUp:
    """41. A cancelled wait loses no event: the next call returns it."""

    @staticmethod
    async def scenario(point: Injection) -> None:
        events: list[RealtimeEvent] = []
        scopes: list[anyio.CancelScope] = []

        async def script(peer: Peer) -> None:
            await peer.say(ResponseStarted(response=R))
            for number in range(1, 7):
                await peer.say(audio("r", SAMPLES_A_TICK, number))
                await anyio.sleep(number % 3 * TICK / 2)
            await peer.say(ResponseDone(response=R, status="completed"))
            await peer.drain()

        async with open_session(scripted(script)) as session:
            source = session.events()

            async def consume() -> None:
                while not (events and isinstance(events[-1], ResponseDone)):
                    with anyio.CancelScope() as scope:
                        scopes.append(scope)
                        events.append(await source.__anext__())
                    await anyio.sleep(TICK / 4)

            await point.drive(consume(), lambda: scopes[-1].cancel())  # noqa: PLW0108 - the newest at that instant
        heard = [event.pcm[0] for event in events if isinstance(event, AudioOutput)]
        assert heard == [1, 2, 3, 4, 5, 6]
        assert check_trace(events) == []

    @both
    def test_every_instant(self, backend: str) -> None:
        assert every_point(self.scenario, backend=backend) > 20

    @both
    def test_fault_takes_and_then_suspends(
        self, backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        following = Events.__anext__

        async def slow(self: Events) -> RealtimeEvent:
            event = await following(self)
            await checkpoint()
            return event

        monkeypatch.setattr(Events, "__anext__", slow)
        with pytest.raises(PointsFailed):
            every_point(self.scenario, backend=backend)

    @both
    def test_one_consumer_at_a_time(self, backend: str) -> None:
        async def scenario() -> None:
            async with open_session(scripted(Peer.drain)) as session:
                source = session.events()
                assert isinstance(await source.__anext__(), Connected)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(source.__anext__)
                    await anyio.wait_all_tasks_blocked()
                    with pytest.raises(anyio.BusyResourceError):
                        await source.__anext__()
                    tasks.cancel_scope.cancel()

        run(scenario, backend=backend)
