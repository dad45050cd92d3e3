"""E. Life cycle and cancellation, 42 and 43: how a session ends, by wish and by failure."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, ClassVar

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import lifecycle, moment
from realtime_core.config import SessionConfig
from realtime_core.driver import Driver
from realtime_core.epoch import ResponseId
from realtime_core.errors import InternalFault, RealtimeException, Unavailable
from realtime_core.events import (
    Disconnected,
    RealtimeEvent,
    ResponseStarted,
)
from realtime_core.frames import Audio, Close, Interrupt, Text
from realtime_core.line import Line
from realtime_core.link import Link
from realtime_core.moment import Moment
from realtime_core.outlet import Outlet
from realtime_core.plan import Plan
from realtime_core.session import RealtimeSession, open_session
from realtime_core.state import (
    State,
    Timer,
)
from realtime_core.testing import (
    TICK,
    Deadlock,
    run,
)
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.scripted import (
    Peer,
    ScriptedCodec,
    scripted,
)
from tests.laws.stories import (
    BACKENDS,
    Story,
    audio,
    catches,
    plain,
    played,
    stories,
)

STORIES = stories()
R = ResponseId("r")
both = pytest.mark.parametrize("backend", BACKENDS)


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

    @staticmethod
    def law(breaks: tuple[str, int, Story], backend: str = "asyncio") -> None:
        """Play a story on a session whose codec fails at its n-th message, either way."""
        way, number, story = breaks
        calls = count(1)
        failed = list[int]()
        sound = getattr(ScriptedCodec, way)

        def faulty(self: ScriptedCodec, *given: Any) -> Any:
            if next(calls) == number:
                failed.append(number)
                raise ZeroDivisionError("a defect of the codec")
            return sound(self, *given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ScriptedCodec, way, faulty)
            done = played(story, backend)
        assert check_trace(done.events, complete=done.session is not None) == []
        assert isinstance(done.failure, InternalFault) is bool(failed)

    BREAKS = st.tuples(st.sampled_from(("decode", "encode")), st.integers(1, 30), STORIES)

    @both
    @given(BREAKS)
    def test_stories(self, backend: str, breaks: tuple[str, int, Story]) -> None:
        self.law(breaks, backend)

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
        catches(self.law, self.BREAKS)


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
