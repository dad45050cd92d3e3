"""E. Life cycle and cancellation; what is done at every instant stands in `test_e_injection`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any, ClassVar

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import interruption, lifecycle, machine, moment
from realtime_core.config import SessionConfig
from realtime_core.driver import Driver
from realtime_core.epoch import ResponseId
from realtime_core.errors import InternalFault, RealtimeException, Unavailable
from realtime_core.events import (
    AudioOutput,
    Connected,
    Disconnected,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
)
from realtime_core.frames import Audio, Close, CreateResponse, Interrupt, Text
from realtime_core.line import Line
from realtime_core.link import Link
from realtime_core.moment import Moment
from realtime_core.outlet import Outlet
from realtime_core.plan import Plan
from realtime_core.session import Events, RealtimeSession, open_session
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
    Deadlock,
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
    ScriptedCodec,
    scripted,
    written,
)
from realtime_core.testing.timeline import Says, act, welcome
from tests.laws.stories import (
    BACKENDS,
    Story,
    audio,
    catches,
    many,
    opened,
    plain,
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


class TestLegalStates:
    """37. connecting, open, (resuming, open)*, closing, closed; no event after closed."""

    LEGAL: ClassVar = {
        Phase.CONNECTING: {Phase.OPEN, Phase.CLOSING, Phase.CLOSED},
        Phase.OPEN: {Phase.RESUMING, Phase.CLOSING, Phase.CLOSED},
        Phase.RESUMING: {Phase.OPEN, Phase.CLOSING, Phase.CLOSED},
        Phase.CLOSING: {Phase.CLOSED},
        Phase.CLOSED: set[Phase](),
    }
    """Closing is skipped where there is nobody left to take leave of."""

    @classmethod
    def law(cls, story: Story) -> None:
        session = opened(story)
        singly(session, story)
        session.push(Close())
        session.receive(*GREETED)
        singly(session, story)
        session.close()
        for one in session.steps:
            before, after = one.before.phase, one.after.phase
            assert before is after or after in cls.LEGAL[before], one.given
            assert before is not Phase.CLOSED or one.effects == ()
        assert session.state.phase is Phase.CLOSED
        for late in late_inputs(session.state, session.at):
            (done,) = fold(session.codec, session.state, (late,))
            assert (done.after.phase, done.effects) == (Phase.CLOSED, ()), late
        assert session.outlet.take(session.at) is None

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_goes_on_after_the_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        finish = lifecycle._finish

        def undead(state: State, now: Moment) -> State:
            return replace(finish(state, now), phase=Phase.RESUMING)

        monkeypatch.setattr(lifecycle, "_finish", undead)
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
        monkeypatch.setattr(lifecycle, "settle_all", lambda state, now, status, error: state)
        catches(self.law, STORIES)

    def test_fault_speaks_for_the_provider(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settle_all = interruption.settle_all

        def pretend(state: State, now: Moment, status: Any, error: Any) -> State:
            del status
            return settle_all(state, now, "completed", error)

        monkeypatch.setattr(lifecycle, "settle_all", pretend)
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


class TestClose:
    """42. Idempotent, from many tasks, in time though the peer is mute; one closed event."""

    @staticmethod
    async def closed_by_many(tasks: int, deadline: float, mute: bool) -> None:
        config = SessionConfig(close_timeout=deadline)
        provider = stuck() if mute else scripted(Peer.drain)
        async with open_session(provider, config) as session:
            started = anyio.current_time()
            async with anyio.create_task_group() as group:
                for number in range(tasks):
                    group.start_soon(push_close, session, number)
                source = session.events()
                events = [event async for event in source]
            assert anyio.current_time() - started <= deadline
            assert [type(event) for event in events[-1:]] == [Disconnected]
            assert [(e.reason, e.clean) for e in events if isinstance(e, Disconnected)] == [
                ("closed", True)
            ]
            assert [event async for event in source] == []
            assert [event async for event in session.events()] == []
            assert not session.connected
            left = anyio.current_time()
        assert anyio.current_time() == left

    @both
    @given(st.integers(1, 5), st.integers(1, 64).map(lambda n: n * TICK), st.booleans())
    def test_live(self, backend: str, tasks: int, deadline: float, mute: bool) -> None:
        run(self.closed_by_many, tasks, deadline, mute, backend=backend)

    def test_after_the_end_every_push_is_refused_alike(self) -> None:
        session = plain()
        session.close()
        refusals = {session.push(frame) for frame in (Text("x"), Interrupt(), Audio(b""))}
        assert len(refusals) == 1
        assert None not in refusals
        assert session.push(Close()) is None

    def test_fault_waits_for_a_mute_peer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        arm, hang_up = moment.arm, Line.hang_up

        def never(state: State, now: Moment, timer: Timer, after: float) -> State:
            return state if timer is Timer.CLOSE else arm(state, now, timer, after)

        monkeypatch.setattr(lifecycle, "arm", never)
        monkeypatch.setattr(Line, "hang_up", lambda self, deadline: hang_up(self, math.inf))
        with pytest.raises(Deadlock):
            run(self.closed_by_many, 1, 1.0, True)

    def test_fault_says_good_bye_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        take = Outlet.take
        ended = list[Outlet]()

        def again(self: Outlet, at: float) -> RealtimeEvent | None:
            if self.over and self not in ended:
                ended.append(self)
                self.over = False
            return take(self, at)

        monkeypatch.setattr(Outlet, "take", again)
        with pytest.raises(AssertionError):
            run(self.closed_by_many, 1, 1.0, False)


async def push_close(session: RealtimeSession[Any], number: int) -> None:
    await anyio.sleep(number * TICK / 4)
    session.send_nowait(Close())


def stuck() -> Any:
    """Give a provider whose connection takes nothing once the session stands, and never ends."""
    provider = scripted(sleeping)
    dial = provider.dial

    @asynccontextmanager
    async def deaf(plan: Plan) -> AsyncGenerator[Link]:
        async with dial(plan) as link:
            send = link.send

            async def block(wires: Any) -> None:
                if b"Greeting" not in wires[0]:
                    await anyio.sleep_forever()
                await send(wires)

            link.send = block  # type: ignore[assignment]
            yield link

    return replace(provider, dial=deaf)


async def sleeping(peer: Peer) -> None:
    del peer
    await anyio.sleep_forever()


class TestNoSilentHang:
    """43. A task that fails ends the session; the first cause comes out once, typed, alone."""

    WAYS: ClassVar = ("enter", "exit", "link", "greet", "encode", "decode")

    @staticmethod
    async def fails(way: str) -> None:
        async def script(peer: Peer) -> None:
            await anyio.sleep(TICK)
            await peer.say(ResponseStarted(response=R), audio("r", 640))
            await peer.drain()

        config = SessionConfig()
        events: list[RealtimeEvent] = []

        async def use() -> None:
            async with open_session(failing(way, script), config) as session:
                with suppress(RealtimeException):
                    await session.simple_response("Hello")
                if way == "exit":
                    await session.send(Close())
                events.extend([event async for event in session.events()])

        with pytest.raises(RealtimeException) as caught:
            await use()
        assert isinstance(caught.value.error, InternalFault)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert way in {"enter", "link", "greet"} or isinstance(events[-1], Disconnected)

    @both
    @pytest.mark.parametrize("way", WAYS)
    def test_live(self, backend: str, way: str) -> None:
        run(self.fails, way, backend=backend)

    @both
    def test_what_the_block_raises_comes_out_as_it_is(self, backend: str) -> None:
        async def scenario() -> None:
            with pytest.raises(KeyError, match="mine"):
                async with open_session(scripted(Peer.drain)):
                    raise KeyError("mine")

        run(scenario, backend=backend)

    def test_fault_swallows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def swallow(self: Driver, problem: BaseException) -> Unavailable:
            del self
            return Unavailable(what=str(problem))

        monkeypatch.setattr(Driver, "fail", swallow)
        for way in ("greet", "decode"):
            with pytest.raises((AssertionError, pytest.fail.Exception)):
                run(self.fails, way)


def failing(way: str, script: Callable[[Peer], Any]) -> Any:
    """Give a provider that fails in one place, for no good reason."""

    class Faulty(ScriptedCodec):
        def greet(self, *given: Any) -> Any:
            return 1 // (way != "greet") and super().greet(*given)

        def encode(self, *given: Any) -> Any:
            return 1 // (way != "encode") and super().encode(*given)

        def decode(self, state: int, wire: Any) -> Any:
            assert 1 // (way != "decode" or b"audio_output" not in wire)
            return super().decode(state, wire)

    provider = scripted(script)
    dial = provider.dial

    @asynccontextmanager
    async def faulty(plan: Plan) -> AsyncGenerator[Link]:
        assert 1 // (way != "enter")
        async with dial(plan) as link:
            if way == "link":
                link.receive = broken  # type: ignore[method-assign]
            yield link
        assert 1 // (way != "exit")

    async def broken() -> Any:
        return 1 // 0

    return replace(provider, codec=Faulty(), dial=faulty)
