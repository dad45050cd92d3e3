"""B. Interrupt, 11, 20 and 21: what an interrupt waits for, and what it leaves alone, live."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import Lanes, Suspend, interruption, negotiate
from realtime_core import Outlet as Limits
from realtime_core.codec import CancelResponse
from realtime_core.config import SessionConfig
from realtime_core.driver import Driver
from realtime_core.epoch import ResponseId
from realtime_core.errors import RealtimeException
from realtime_core.events import Interrupted, ResponseDone, ResponseStarted, SpeechStarted
from realtime_core.frames import Audio, CreateResponse, Frame, Interrupt, Text
from realtime_core.lane import LaneName
from realtime_core.session import RealtimeSession, open_session
from realtime_core.state import Fence, Transition
from realtime_core.testing import TICK, Injection, PointsFailed, every_point, run
from realtime_core.testing._author import SAMPLES_A_TICK
from realtime_core.testing.scripted import SCRIPTED, Peer, read, scripted
from realtime_core.testing.timeline import Pushes, Says, Waits, act
from tests.laws.model import Rehearsal
from tests.laws.scenarios import PUMPS, name_of
from tests.laws.stories import BACKENDS, Story, audio, catches, plain

R = ResponseId("r")
both = pytest.mark.parametrize("backend", BACKENDS)


class TestSynchronousCore:
    """11. An interrupt is one transition without a suspension, though every queue is full."""

    @staticmethod
    async def crammed(point: Injection) -> None:
        """A provider that speaks and never listens, a caller who has filled every queue."""
        passed = list[Transition]()

        async def script(peer: Peer) -> None:
            await peer.say(ResponseStarted(response=R))
            while True:
                await peer.say(audio("r", 4 * SAMPLES_A_TICK))
                await anyio.sleep(TICK)

        def interrupt() -> None:
            known, epoch = len(passed), session.epoch
            asking, given = session.interrupt(), None
            try:
                asking.send(None)
            except StopIteration as done:
                given = done.value
            asking.close()
            assert given == session.epoch == epoch + 1, "at once, without a suspension"
            (one,) = passed[known:]
            assert sum(isinstance(effect, Fence) for effect in one.effects) == 1

        async def consume() -> None:
            with anyio.move_on_after(16 * TICK):
                async for _ in session.events():
                    await anyio.sleep(TICK)

        config = SessionConfig(
            lanes=Lanes(audio=Suspend(cap=20), control=Suspend(cap=1)),
            outlet=Limits(seconds=4 * TICK),
            close_timeout=4 * TICK,
        )
        async with open_session(scripted(script, buffer=0), config) as session:
            TestSynchronousCore.fill(session)
            session._driver.watchers += (lambda _, transition: passed.append(transition),)
            await point.drive(consume(), interrupt)
            point.close()
            assert session.epoch == int(point.fired)

    @staticmethod
    def fill(session: RealtimeSession[Frame]) -> None:
        text = Text("x", turn="context")
        full: dict[LaneName, Frame] = {"audio": Audio(bytes(960)), "control": text}
        for name, frame in full.items():
            with suppress(RealtimeException):
                for _ in range(100):
                    session.send_nowait(frame)
            assert session.statistics.lanes[name].refused == 1, "it is full"
        for _ in range(20):
            with suppress(anyio.WouldBlock):
                session.frames.send_nowait(text)

    @both
    @pytest.mark.parametrize("tasks", [None, PUMPS], ids=["consumer", "pumps"])
    def test_every_instant(self, backend: str, tasks: Any) -> None:
        assert every_point(self.crammed, backend=backend, tasks=tasks) > 20

    @pytest.mark.parametrize("how", ["suspends", "waits in line", "in two steps"])
    def test_fault(self, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
        interrupt = RealtimeSession.interrupt

        async def slow(self: RealtimeSession[Frame]) -> Any:
            match how:
                case "suspends":
                    await anyio.lowlevel.checkpoint()
                case "waits in line":
                    await self.send(Text("", turn="interrupt"))
                    return self.epoch
                case _:
                    self.send_nowait(CreateResponse())
            return await interrupt(self)

        monkeypatch.setattr(RealtimeSession, "interrupt", slow)
        with pytest.raises(PointsFailed):
            every_point(self.crammed)


Doing = tuple[str, int]
"""What the caller does, and so many ticks later the next thing."""


class TestInputIsNotCollateral:
    """20. An interrupt drops no input frame."""

    DOINGS = st.lists(
        st.tuples(
            st.sampled_from(("audio", "audio", "text", "interrupt", "barge in", "talk over")),
            st.sampled_from((0, 0, 1, 4)),
        ),
        min_size=4,
        max_size=24,
    )

    @classmethod
    def law(cls, doings: list[Doing], backend: str = "asyncio") -> None:
        came: list[Any] = []

        async def script(peer: Peer) -> None:
            """Speak without end, listen only every other second, notice the user now and then."""
            await peer.say(ResponseStarted(response=R), audio("r", SAMPLES_A_TICK))
            with suppress(anyio.EndOfStream):
                while True:
                    await peer.say(*[SpeechStarted()] * (len(came) % 3 == 2))
                    await anyio.sleep(1.0)
                    with anyio.move_on_after(1.0):
                        while True:
                            came.append(await peer.next())

        async def program() -> None:
            lanes = Lanes(audio=Suspend(cap=10**6), control=Suspend(cap=100))
            provider = scripted(script, buffer=0)
            async with open_session(provider, SessionConfig(lanes=lanes)) as session:
                for number, (kind, ticks) in enumerate(doings):
                    await cls.do(session, kind, number)
                    await anyio.sleep(ticks * TICK)
                await anyio.sleep(200.0)
                balances = session.statistics.lanes.values()
                assert all((lane.dropped, lane.waiting) == (0, 0) for lane in balances)

        run(program, backend=backend)
        marks = {"audio": "audio", "text": "text", "barge in": "text"}
        due = [(marks[kind], number) for number, (kind, _) in enumerate(doings) if kind in marks]
        frames = [frame for frame in came if isinstance(frame, Audio | Text)]
        assert [cls.told(frame) for frame in frames] == due

    @staticmethod
    async def do(session: RealtimeSession[Frame], kind: str, number: int) -> None:
        match kind:
            case "audio":
                session.send_nowait(Audio(number.to_bytes(2, "little")))
            case "text":
                session.send_nowait(Text(str(number), turn="context"))
            case "barge in":
                session.send_nowait(Text(str(number), turn="interrupt"))
            case "talk over":
                session.send_nowait(Interrupt(cause="local"))
            case _:
                await session.interrupt()

    @staticmethod
    def told(frame: Audio | Text) -> tuple[str, int]:
        if isinstance(frame, Audio):
            return "audio", int.from_bytes(frame.pcm, "little")
        return "text", int(frame.text)

    @both
    @given(DOINGS)
    def test_live(self, backend: str, doings: list[Doing]) -> None:
        self.law(doings, backend)

    def test_fault_clears_the_lane(self, monkeypatch: pytest.MonkeyPatch) -> None:
        perform = Driver._perform

        def collateral(self: Driver, effect: Any) -> None:
            if isinstance(effect, Fence):
                self.doors.inlet.abandon("interrupted")
            perform(self, effect)

        monkeypatch.setattr(Driver, "_perform", collateral)
        catches(self.law, self.DOINGS)


class TestAwaitable:
    """21. `interrupt()` returns at once, `settled()` at the barrier or at its deadline."""

    @staticmethod
    async def scenario(answer_after: float, deadline: float) -> float:
        async def script(peer: Peer) -> None:
            wish = await peer.until(CreateResponse)
            await peer.say(ResponseStarted(response=R, request=name_of(wish)))
            await peer.until(CancelResponse)
            with anyio.move_on_after(answer_after):
                wish = await peer.until(CreateResponse)
                await peer.say(ResponseStarted(response=ResponseId("s"), request=name_of(wish)))
                await anyio.sleep_forever()
            await peer.say(ResponseDone(response=R, status="cancelled"))
            if answer_after <= deadline:
                wish = await peer.until(CreateResponse)
                await peer.say(ResponseStarted(response=ResponseId("s"), request=name_of(wish)))
            await peer.drain()

        config = SessionConfig(barrier_timeout=deadline)
        async with open_session(scripted(script), config) as session:
            await session.simple_response("Hello")
            async for event in session.events():
                if isinstance(event, ResponseStarted):
                    break
            asked = anyio.current_time()
            assert await session.interrupt() == 1
            assert anyio.current_time() == asked
            await session.settled()
            took = anyio.current_time() - asked
            await session.send(CreateResponse())
            async for event in session.events():
                if isinstance(event, ResponseStarted):
                    break
            assert anyio.current_time() - asked == took, "asked for now, it is begun now"
            return took

    @both
    @given(st.integers(0, 64), st.integers(1, 64))
    def test_live(self, backend: str, answer: int, deadline: int) -> None:
        answer_after, at_latest = answer * TICK, deadline * TICK
        took = run(self.scenario, answer_after, at_latest, backend=backend)
        assert took == min(answer_after, at_latest)

    def test_the_provider_s_own_notice_is_an_answer(self) -> None:
        session = plain(replace(SCRIPTED, one_response=False))
        notice, barriers = Says((Interrupted(cause="provider"),)), list[bool]()
        for one in (Says((ResponseStarted(response=R),)), Pushes(Interrupt()), notice):
            act(session, (one,))
            barriers.append(session.state.barrier)
        assert barriers == [False, True, False]
        assert session.push(CreateResponse()) is None
        assert CreateResponse in [type(read(wire)) for wire in session.sent]

    def test_another_interrupt_does_not_put_the_deadline_off(self) -> None:
        config = SessionConfig(barrier_timeout=1.0)
        told = Rehearsal(Story(negotiate(SCRIPTED, config).unwrap(), ()))
        told.happen(Says((ResponseStarted(response=R),)))
        for _ in range(4):
            told.happen(Pushes(Interrupt()))
            told.happen(Waits(24))
        assert not told.session.state.barrier

    def test_fault_waits_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruption, "arm", lambda state, now, timer, after: state)
        with pytest.raises(AssertionError):
            assert run(self.scenario, 10.0, 1.0) == 1.0
