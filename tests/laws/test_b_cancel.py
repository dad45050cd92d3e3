"""B. Interrupt, 14 and 15: what is cancelled, and what is asked for when."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from realtime_core import incoming, interruption, moment, negotiate, requests, turn
from realtime_core.codec import CancelResponse
from realtime_core.config import SessionConfig
from realtime_core.epoch import Epoch, RequestId, ResponseId
from realtime_core.errors import Unavailable
from realtime_core.events import Error, ResponseStarted
from realtime_core.frames import CreateResponse, Text
from realtime_core.moment import Moment
from realtime_core.state import Phase, State
from realtime_core.testing import PointsFailed, every_point
from realtime_core.testing.scripted import SCRIPTED
from realtime_core.testing.timeline import Pushes, Says
from tests.core.short import of, opened, say, sent
from tests.laws.model import Fact, Rehearsal, is_explicit
from tests.laws.scenarios import PUMPS
from tests.laws.sessions import Law, hold, live_by
from tests.laws.stories import BACKENDS, Story, catches, many, stories
from tests.laws.strict import PIECES, Exchange, asked_again

STORIES = stories()
both = pytest.mark.parametrize("backend", BACKENDS)
everywhere = pytest.mark.parametrize("tasks", [None, PUMPS], ids=["consumer", "pumps"])


class CancelsByName(Law):
    """One cancel for a response at most, by its name, never for one born after."""

    def __init__(self) -> None:
        self.cancelled = set[ResponseId]()

    def see(self, fact: Fact) -> None:
        step, able = fact.step, fact.step.before.plan.capabilities.cancel
        assert max(Counter(fact.cancels).values(), default=1) == 1
        for id in fact.cancels:
            assert able
            assert id not in self.cancelled
            assert id in fact.before.open or isinstance(fact.said, ResponseStarted)
            assert fact.after.gen[id] < step.after.epoch
        self.cancelled.update(fact.cancels)
        if able and is_explicit(fact) and step.before.phase is Phase.OPEN:
            cut = fact.before.cut(step.before.epoch, step.given.at)
            assert set(fact.cancels) == cut & fact.before.open
        solicited = fact.said.request if isinstance(fact.said, ResponseStarted) else None
        if able and solicited in fact.before.sent:
            stale = fact.before.asked[solicited] < step.before.epoch
            assert fact.cancels == ([fact.said.response] if stale and fact.said else [])


class TestCancelByName:
    """14. One cancel for a response at most, by its name, never for one born after."""

    @staticmethod
    def law(story: Story) -> None:
        hold(CancelsByName, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_machine(self) -> None:
        live_by(CancelsByName)

    @staticmethod
    def holds(exchange: Exchange) -> None:
        peer, cut_at = exchange.peer, exchange.cut_at
        assert max(Counter(peer.cancels).values(), default=1) == 1
        assert set(peer.cancels) <= {"to first", "to second"}, "never what came after"
        assert cut_at is not None or peer.cancels == []
        for id, (_, at) in peer.ended.items():
            if id != "to third" and cut_at is not None and at > cut_at:
                assert id in peer.cancels, "the born are cancelled, the unborn at birth"

    @both
    @everywhere
    def test_every_instant(self, backend: str, tasks: Any) -> None:
        scenario = asked_again(self.holds)
        assert every_point(scenario, backend=backend, tasks=tasks) > 20

    def test_fault_cancels_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put = turn.put_response

        def forgetful(ledger: Any, id: ResponseId, response: Any) -> Any:
            return put(ledger, id, replace(response, cancelled=False))

        def all_open(ledger: Any, epoch: Epoch, delivered: Any, at: float) -> Any:
            del epoch, delivered, at
            return turn.open_responses(ledger)

        monkeypatch.setattr(interruption, "put_response", forgetful)
        monkeypatch.setattr(interruption, "running", all_open)
        catches(self.law, STORIES)

    def test_fault_spares_the_unborn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tell = moment.tell

        def lenient(state: State, now: Moment, outgoing: Any) -> Any:
            kind = isinstance(outgoing, CancelResponse)
            return (state, None) if kind else tell(state, now, outgoing)

        monkeypatch.setattr(incoming, "tell", lenient)
        catches(self.law, STORIES)
        with pytest.raises(PointsFailed):
            every_point(asked_again(self.holds))


class AsksInTurn(Law):
    """No create while a response is open or a barrier is pending; each sent once, settled."""

    def __init__(self) -> None:
        self.creates = set[str]()

    def see(self, fact: Fact) -> None:
        step = fact.step
        sent = [frame.request for frame in fact.sent if isinstance(frame, CreateResponse)]
        assert not self.creates.intersection(sent)
        assert len(set(sent)) == len(sent)
        self.creates.update(sent)
        assert not (sent and step.after.barrier)
        beside = fact.after.beside
        within = set(sent) - beside
        if within and step.before.plan.capabilities.one_response:
            assert len(within) == 1
            assert fact.after.open <= beside
            assert fact.after.awaited - beside == within
        self.turn_has_come(fact)

    @staticmethod
    def turn_has_come(fact: Fact) -> None:
        """Where nothing is open or awaited, nothing waits; outside the conversation never."""
        known, after = fact.after, fact.step.after
        if after.phase is Phase.OPEN and not after.barrier:
            free = known.open | known.awaited <= known.beside
            assert known.live - known.sent <= (set() if free else known.live - known.beside)

    def end(self, rehearsal: Rehearsal) -> None:
        assert rehearsal.session.state.ledger.requests == ()


class TestOneAtATime:
    """15. No create while a response is open or a barrier is pending; each sent once, settled."""

    @staticmethod
    def law(story: Story) -> None:
        hold(AsksInTurn, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_machine(self) -> None:
        live_by(AsksInTurn)

    def test_a_refused_request_makes_way_at_once(self) -> None:
        session = opened()
        for text in ("One?", "Two?"):
            session.push(Text(text))
        (first,) = of(CreateResponse, sent(session))
        refused = Unavailable(what="Not now.")
        say(session, Error(error=refused, recoverable=True, request=first.request))
        seconds = of(CreateResponse, sent(session))
        assert [create.request != first.request for create in seconds] == [True]

    def test_the_conversation_does_not_wait_for_an_answer_outside_of_it(self) -> None:
        aside, r = CreateResponse(conversation="none"), ResponseId("r")
        born = ResponseStarted(response=r, request=RequestId("request-0"))
        ask = Pushes(CreateResponse())
        timeline = (Pushes(aside), Says((born,)), ask, Pushes(aside), ask)
        self.law(Story(negotiate(SCRIPTED, SessionConfig()).unwrap(), timeline))

    @staticmethod
    def holds(exchange: Exchange) -> None:
        peer = exchange.peer
        assert peer.wrong == []
        assert max(Counter(peer.creates).values(), default=1) == 1
        assert exchange.unsettled == 0
        if exchange.cut_at is None:
            assert peer.creates == ["first", "second"]
        else:
            assert peer.creates[-1] == "third"
            assert len(exchange.heard("third")) == PIECES, "it is answered in the end"

    @both
    @everywhere
    def test_every_instant(self, backend: str, tasks: Any) -> None:
        scenario = asked_again(self.holds)
        assert every_point(scenario, backend=backend, tasks=tasks) > 20

    def test_fault_does_not_wait_for_its_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(requests, "open_responses", lambda ledger: ())
        catches(self.law, STORIES)

    def test_fault_does_not_wait_for_the_barrier(self, monkeypatch: pytest.MonkeyPatch) -> None:
        place = requests._next
        monkeypatch.setattr(requests, "_next", lambda state: place(replace(state, barrier=False)))
        catches(self.law, STORIES)

    def test_fault_sends_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        release = requests.release

        def twice(state: State, now: Moment) -> State:
            wishes = state.ledger.requests
            release(state, now)
            return release(replace(state, ledger=replace(state.ledger, requests=wishes)), now)

        monkeypatch.setattr(requests, "release", twice)
        catches(self.law, STORIES)
