"""E. One conversation, and one thing done to it at every instant of every task.

Interrupt, cancel, close, a lost connection, a frame of the provider, a defect of its codec: done
while the owner, the consumer or the session's own pumps are suspended, on both backends. Whatever
was done and whenever, laws 2, 4, 7, 38 to 40, 42 and 43 hold.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import anyio
import pytest

from realtime_core import changeover, incoming, interruption, lifecycle, moment
from realtime_core.driver import Driver
from realtime_core.errors import InvalidRequest
from realtime_core.events import Error, RealtimeEvent
from realtime_core.frames import Close, Interrupt
from realtime_core.line import Line
from realtime_core.scopes import Scopes
from realtime_core.session import Events, open_session
from realtime_core.state import Phase, Timer
from realtime_core.testing import TICK, Injection, PointsFailed, every_point, no_leaks
from realtime_core.testing.scripted import Peer, scripted
from tests.laws.scenarios import PUMPS, Conversation
from tests.laws.stories import BACKENDS, SEEDS

both = pytest.mark.parametrize("backend", BACKENDS)
everywhere = pytest.mark.parametrize("drive", ["owner", "consumer", "pumps"])


def at_every_instant(backend: str, drive: str, action: str, **how: Any) -> int:
    async def scenario(point: Injection) -> None:
        conversation = Conversation(action, **how)
        await conversation.play(point, drive)
        conversation.is_lawful()

    tasks = PUMPS if drive == "pumps" else None
    return min(every_point(scenario, backend=backend, seed=seed, tasks=tasks) for seed in SEEDS)


@both
@everywhere
class TestWhateverIsDone:
    """2, 4, 7, 38, 39, 40, 42, 43. One thing is done at one instant, and every law still holds."""

    def test_interrupt(self, backend: str, drive: str) -> None:
        assert at_every_instant(backend, drive, "interrupt") > 20

    def test_frame(self, backend: str, drive: str) -> None:
        assert at_every_instant(backend, drive, "frame") > 20

    @pytest.mark.parametrize("mute", [False, True], ids=["polite", "mute"])
    def test_close(self, backend: str, drive: str, mute: bool) -> None:
        assert at_every_instant(backend, drive, "close", mute=mute) > 20

    @pytest.mark.parametrize("retry", [0, 1])
    def test_loss(self, backend: str, drive: str, retry: int) -> None:
        assert at_every_instant(backend, drive, "lose", retry=retry) > 20

    def test_defect_of_the_codec(self, backend: str, drive: str) -> None:
        assert at_every_instant(backend, drive, "poison") > 20


@both
@everywhere
class TestCancelAnywhere:
    """40. Cancelling the owner leaves nothing behind and comes out as it was, nothing else."""

    @pytest.mark.parametrize("mute", [False, True], ids=["polite", "mute"])
    def test_cancel(self, backend: str, drive: str, mute: bool) -> None:
        assert at_every_instant(backend, drive, "cancel", mute=mute) > 20


class TestCancelWhileOpening:
    """40. An owner who gives up while the provider has yet to acknowledge the session."""

    @staticmethod
    async def scenario(point: Injection) -> None:
        async def reluctant(peer: Peer) -> None:
            await anyio.sleep(TICK)
            await peer.next()
            await anyio.sleep(TICK)
            await peer.welcome()
            await peer.drain()

        scope = anyio.CancelScope()
        reached = list[str]()

        async def own() -> None:
            with scope:
                reached.append("opening")
                async with open_session(scripted(reluctant, welcome=False)):
                    reached.append("open")
                    await anyio.sleep(TICK)
                    reached.append("done")
                reached.append("left")

        async with no_leaks():
            await point.drive(own(), scope.cancel)
        assert scope.cancelled_caught is (reached[-1] != "left")

    @both
    def test_every_instant(self, backend: str) -> None:
        assert every_point(self.scenario, backend=backend) > 4


class TestWithin:
    """25, in part. What runs within an epoch ends at its next wait once the epoch is fenced."""

    @staticmethod
    async def scenario(point: Injection) -> None:
        epochs = list[int]()
        async with open_session(scripted(Peer.drain)) as session:

            async def work() -> None:
                with session.within() as scope:
                    for _ in range(5):
                        await anyio.sleep(TICK)
                        epochs.append(session.epoch)
                assert scope.cancelled_caught is (len(epochs) < 5)

            await point.drive(work(), lambda: session.send_nowait(Interrupt()))
            with session.within():
                await anyio.sleep(TICK)
                assert len(epochs) == 5 or session.epoch == 1
        assert epochs.count(1) <= 1

    @both
    def test_every_instant(self, backend: str) -> None:
        assert every_point(self.scenario, backend=backend) >= 10

    def test_fault_fences_no_scope(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Scopes, "fence", lambda self, fence: None)
        with pytest.raises(PointsFailed):
            every_point(self.scenario)


class TestPlanted:
    """Faults that only an action at the right instant shows; each must be seen."""

    @staticmethod
    def seen(drive: str, action: str, **how: Any) -> None:
        with pytest.raises((PointsFailed, AssertionError)):
            at_every_instant("asyncio", drive, action, **how)

    def test_39_a_pump_that_outlives_its_session(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ring = Driver._ring

        async def stubborn(self: Driver) -> None:
            try:
                await ring(self)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(60)

        monkeypatch.setattr(Driver, "_ring", stubborn)
        self.seen("owner", "cancel")

    def test_40_a_cancellation_that_becomes_an_event(self, monkeypatch: pytest.MonkeyPatch) -> None:
        following = Events.__anext__
        told = list[Events]()

        async def swallow(self: Events) -> RealtimeEvent:
            try:
                return await following(self)
            except anyio.get_cancelled_exc_class():
                if self in told:
                    raise
                told.append(self)
                return Error(error=InvalidRequest(what="cancelled"), recoverable=True)

        monkeypatch.setattr(Events, "__anext__", swallow)
        self.seen("owner", "cancel")

    def test_40_a_cancellation_that_becomes_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        end = Driver._end

        async def complain(self: Driver) -> None:
            cancelled = isinstance(sys.exception(), anyio.get_cancelled_exc_class())
            await end(self)
            if cancelled:
                raise RuntimeError("cancelled, it seems")

        monkeypatch.setattr(Driver, "_end", complain)
        self.seen("owner", "cancel")

    def test_38_a_loss_that_forgets_to_settle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (changeover, lifecycle):
            monkeypatch.setattr(module, "settle_all", lambda state, now, status, error: state)
        self.seen("consumer", "lose", retry=1)
        self.seen("consumer", "close")

    def test_42_a_close_without_a_deadline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        arm = moment.arm
        monkeypatch.setattr(
            lifecycle,
            "arm",
            lambda state, now, timer, after: (
                state if timer is Timer.CLOSE else arm(state, now, timer, after)
            ),
        )
        hang_up = Line.hang_up
        monkeypatch.setattr(Line, "hang_up", lambda self, deadline: hang_up(self, math.inf))

        async def patient(self: Driver) -> None:
            with anyio.CancelScope(shield=True):
                self.doors.pass_on(Close())
                while self.state.phase is not Phase.CLOSED:
                    await self.changed.wait()

        monkeypatch.setattr(Driver, "_end", patient)
        self.seen("consumer", "close", mute=True)

    def test_43_a_failure_that_ends_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def ignore(self: Driver, problem: BaseException) -> InvalidRequest:
            del self
            return InvalidRequest(what=str(problem))

        monkeypatch.setattr(Driver, "fail", ignore)
        self.seen("consumer", "poison")

    def test_43_a_failure_in_a_group(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def unguarded(self: Driver, pump: Any, *given: object) -> None:
            del self
            await pump(*given)

        def reraise(self: Driver, problem: BaseException) -> None:
            del self
            raise problem

        monkeypatch.setattr(Driver, "_guard", unguarded)
        monkeypatch.setattr(Driver, "fail", reraise)
        self.seen("consumer", "poison")

    def test_2_a_rise_that_nobody_tells(self, monkeypatch: pytest.MonkeyPatch) -> None:
        interrupt = interruption.interrupt

        def silent(state: Any, now: Any, cause: Any) -> Any:
            kept = len(now.effects)
            state = interrupt(state, now, cause)
            del now.effects[kept + 1 : kept + 2]
            return state

        monkeypatch.setattr(incoming, "interrupt", silent)
        self.seen("consumer", "frame")
