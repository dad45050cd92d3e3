"""A. Order and epoch, 1 to 6: sessions folded by hand, and real ones with tasks that run late."""

from __future__ import annotations

from typing import Any

import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from msgspec.structs import replace

from realtime_core import alarms, changeover, incoming, interruption, lifecycle, machine
from realtime_core.codec import CancelResponse
from realtime_core.epoch import Epoch, RequestId, ResponseId
from realtime_core.errors import Unavailable
from realtime_core.events import (
    Interrupted,
    RealtimeEvent,
    ResponseStarted,
    SpeechStarted,
)
from realtime_core.frames import CreateResponse, Heard, Interrupt
from realtime_core.moment import Moment
from realtime_core.outlet import Outlet
from realtime_core.requests import settle_request
from realtime_core.session import Events
from realtime_core.state import (
    Fence,
    Input,
    Linked,
    Lost,
    Pushed,
    Rang,
    Received,
    State,
    Timer,
)
from realtime_core.testing import PointsFailed, every_point
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.fold import fold
from realtime_core.testing.scripted import read, written
from realtime_core.testing.timeline import Pushes, Says, act
from tests.laws.model import Fact, Rehearsal
from tests.laws.scenarios import talked_over
from tests.laws.sessions import Law, hold, live_by
from tests.laws.stories import (
    BACKENDS,
    Story,
    audio,
    catches,
    folded,
    is_perishable,
    lawful_session,
    lawful_trace,
    many,
    opened,
    plain,
    played,
    stories,
)

STORIES = stories()
R = ResponseId("r")
both = pytest.mark.parametrize("backend", BACKENDS)


class TestContiguous:
    """1. seq is 0, 1, 2 ... with no gap and no repeat, over reconnects too."""

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        lawful_trace(story)

    @both
    @given(STORIES)
    def test_live(self, backend: str, story: Story) -> None:
        lawful_session(story, backend)

    def test_fault_numbers_what_is_purged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fence = Outlet.fence

        def leaky(self: Any, epoch: Epoch) -> None:
            self._seq += sum(is_perishable(event) for event in self._media)
            fence(self, epoch)

        monkeypatch.setattr(Outlet, "fence", leaky)
        catches(lawful_trace, STORIES)


class Rises(Law):
    """The epoch rises by one at a time, each rise announced once; conn never falls."""

    def see(self, fact: Fact) -> None:
        one = fact.step
        rises = sum(isinstance(effect, Fence) for effect in one.effects)
        assert one.after.epoch == one.before.epoch + rises
        assert rises == len(fact.rises)
        assert one.after.conn >= one.before.conn

    def end(self, rehearsal: Rehearsal) -> None:
        session = rehearsal.session
        announced = [e.epoch for e in session.events if isinstance(e, Interrupted)]
        assert announced == list(range(1, session.state.epoch + 1))
        assert check_trace(session.events, complete=True) == []


class TestMonotonic:
    """2. The epoch rises by one, announced once and first; conn never falls."""

    @staticmethod
    def law(story: Story) -> None:
        hold(Rises, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_machine(self) -> None:
        live_by(Rises)

    @both
    def test_every_instant(self, backend: str) -> None:
        assert every_point(talked_over, backend=backend) > 20

    def test_fault_leaps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def leap(state: State, now: Moment, cause: Any) -> State:
            state = interruption.interrupt(state, now, cause)
            return replace(state, epoch=Epoch(state.epoch + 1))

        monkeypatch.setattr(incoming, "interrupt", leap)
        catches(self.law, STORIES)

    def test_fault_announces_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An event of the new epoch that comes before the one that announces it."""
        interrupt = interruption.interrupt

        def late(state: State, now: Moment, cause: Any) -> State:
            before = len(now.effects)
            state = interrupt(state, now, cause)
            now.effects[before:] = reversed(now.effects[before:])
            return state

        for module in (incoming, machine, lifecycle, changeover):
            monkeypatch.setattr(module, "interrupt", late)
        catches(lawful_trace, STORIES)

    def test_fault_lets_conn_fall(self, monkeypatch: pytest.MonkeyPatch) -> None:
        take = Outlet.take

        def falling(self: Any, at: float) -> RealtimeEvent | None:
            self._conn = 0
            return take(self, at)

        monkeypatch.setattr(Outlet, "take", falling)
        catches(lawful_trace, STORIES)


class Binds(Law):
    """A response keeps the epoch that asked for it, or in which it was first read."""

    def see(self, fact: Fact) -> None:
        for id, response in fact.step.after.ledger.responses.items():
            assert response.epoch == fact.after.gen[id], id
            assert response.epoch <= fact.step.after.epoch


class TestBinding:
    """3. A response is bound for life: to the epoch that asked, or in which it was first read."""

    @staticmethod
    def law(story: Story) -> None:
        hold(Binds, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_machine(self) -> None:
        live_by(Binds)

    def test_a_late_birth_belongs_to_the_epoch_that_asked(self) -> None:
        """Even when the barrier's deadline has passed, its answer must not be spoken."""
        session = plain(barrier_timeout=1.0)
        session.push(CreateResponse())
        session.push(Interrupt())
        session.wait(2.0)
        act(session, (Says((ResponseStarted(response=R, request=RequestId("request-0")),)),))
        assert session.state.ledger.responses[R].epoch == 0
        assert CancelResponse(R) in [read(wire) for wire in session.sent]
        session.drain()
        assert not any(isinstance(event, ResponseStarted) for event in session.events)

    def test_fault_forgets_the_barrier(self, monkeypatch: pytest.MonkeyPatch) -> None:
        started = incoming._JUDGES[ResponseStarted]

        def forgetful(state: State, now: Moment, event: Any) -> State:
            barrier = state.barrier
            return replace(started(replace(state, barrier=False), now, event), barrier=barrier)

        monkeypatch.setitem(incoming._JUDGES, ResponseStarted, forgetful)
        catches(self.law, STORIES)

    def test_fault_forgets_who_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        started = incoming._JUDGES[ResponseStarted]

        def forgetful(state: State, now: Moment, event: Any) -> State:
            return started(settle_request(state, event.request), now, event)

        monkeypatch.setitem(incoming._JUDGES, ResponseStarted, forgetful)
        catches(self.law, STORIES)


class TestNoStaleOutput:
    """4. Output that is returned belongs to the session's epoch at that instant."""

    @staticmethod
    def law(story: Story) -> None:
        for event, epoch, gen in folded(story).trace:
            if is_perishable(event):
                assert event.epoch == epoch
                assert gen in {epoch, None}

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @both
    @given(STORIES)
    def test_live(self, backend: str, story: Story) -> None:
        done = played(story, backend)
        bound = done.session._driver.state.ledger.responses if done.session is not None else {}
        for event, epoch, _ in done.returned:
            if is_perishable(event):
                assert event.epoch == epoch
                answer = bound.get(event.response) if event.response is not None else None
                assert answer is None or answer.epoch == epoch

    @both
    def test_every_instant(self, backend: str) -> None:
        assert every_point(talked_over, backend=backend) > 20

    @both
    def test_fault_suspends_between_comparing_and_returning(
        self, backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Check the epoch, suspend, deliver: what chance alone does not find."""
        following = Events.__anext__

        async def slow(self: Events) -> RealtimeEvent:
            event = await following(self)
            await checkpoint()
            return event

        monkeypatch.setattr(Events, "__anext__", slow)
        with pytest.raises(PointsFailed):
            every_point(talked_over, backend=backend)


class TestFenceIsImmediate:
    """5. After an interrupt nothing older is returned: not queued, not handed over, not late."""

    @staticmethod
    def law(story: Story) -> None:
        session = opened(story)
        for happening in story.timeline:
            act(session, (Pushes(Interrupt()),))
            fence = session.state.epoch
            act(session, (happening,))
            for event, _, gen in session.take(8):
                assert not is_perishable(event) or gen is None or gen >= fence
        session.close()

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @both
    def test_every_instant(self, backend: str) -> None:
        every_point(talked_over, backend=backend)

    def test_fault_keeps_stale_audio(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def keep(self: Any, epoch: Epoch) -> None:
            del self, epoch

        monkeypatch.setattr(Outlet, "fence", keep)
        catches(self.law, STORIES)
        with pytest.raises(PointsFailed):
            every_point(talked_over)

    def test_fault_lets_late_audio_through(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An interrupt that forgets the response: what comes later of it is not stale."""
        monkeypatch.setattr(interruption, "_fence", lambda ledger, cut: ledger)
        catches(self.law, STORIES)
        with pytest.raises(PointsFailed):
            every_point(talked_over)


class NeverGoesBack(Law):
    """What comes late changes at most a counter, whenever it comes."""

    def rest(self, rehearsal: Rehearsal) -> None:
        session = rehearsal.session
        for late in stale_inputs(session.state, session.at):
            (done,) = fold(session.codec, session.state, (late,))
            assert done.effects == (), late
            assert replace(done.after, counts={}) == replace(session.state, counts={}), late
        running = rehearsal.known.cut(session.state.epoch, session.at)
        taken = session.outlet.delivered
        for id in session.state.ledger.responses:
            if id not in running and session.stands is not None:
                notice = written(Interrupted(cause="provider", response=id))
                conn = session.stands
                late = Received(at=session.at, delivered=taken, conn=conn, wires=notice)
                (done,) = fold(session.codec, session.state, (late,))
                assert done.after.epoch == session.state.epoch, id


class TestFenceNeverGoesBack:
    """6. What names an older epoch, connection or response changes nothing."""

    @staticmethod
    def law(story: Story) -> None:
        hold(NeverGoesBack, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_machine(self) -> None:
        live_by(NeverGoesBack)

    def test_fault_reads_old_connections(self, monkeypatch: pytest.MonkeyPatch) -> None:
        received = machine._received

        def trusting(state: State, now: Moment, given: Received) -> State:
            return received(state, now, replace(given, conn=state.conn))

        monkeypatch.setattr(machine, "_received", trusting)
        catches(self.law, STORIES)

    def test_fault_rings_early(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rang = alarms.rang

        def eager(state: State, now: Moment, given: Rang) -> State:
            return rang(state, now._replace(at=now.at + 3600), given)

        monkeypatch.setattr(machine, "rang", eager)
        catches(self.law, STORIES)

    def test_fault_takes_a_late_notice_for_a_new_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        notice = incoming._JUDGES[Interrupted]

        def nameless(state: State, now: Moment, event: Any) -> State:
            return notice(state, now, replace(event, response=None))

        monkeypatch.setitem(incoming._JUDGES, Interrupted, nameless)
        catches(self.law, STORIES)


def stale_inputs(state: State, at: float) -> list[Input]:
    """Give what can come late: by connection, by timer, by ack."""
    says = written(ResponseStarted(response=R), SpeechStarted(), audio("r", 375))
    late: list[Input] = []
    for conn in range(state.conn):
        late += [
            Received(at=at, conn=conn, wires=says),
            Lost(at=at, conn=conn, error=Unavailable(what="late")),
            Linked(at=at, conn=conn),
        ]
    late += [Rang(at=at, timer=timer) for timer in Timer if state.due.get(timer, at + 1) > at]
    if not state.phase.ending:
        ledger = state.ledger
        late += [
            Pushed(at=at, frame=Heard(id, item.received + 1))
            for id, item in ledger.items.items()
            if ledger.responses[item.response].fenced
        ]
    return late
