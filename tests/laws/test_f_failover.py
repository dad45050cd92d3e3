"""F. Failover: the laws of loss hold from provider to provider; each is left for good reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from returns.maybe import Some

from realtime_core import changeover, takeover
from realtime_core.codec import Resume
from realtime_core.errors import InternalFault, Unavailable
from realtime_core.events import Reconnected
from realtime_core.moment import Moment
from realtime_core.plan import Plan
from realtime_core.schedule import Attempt
from realtime_core.state import Heir, Linked, Lost, Phase, Standby, State
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.fold import Fold, Step
from realtime_core.testing.timeline import act, welcome
from tests.laws.lines import Life, Remembering, lives, told
from tests.laws.stories import BACKENDS, Story, catches, folded, many, stories
from tests.laws.test_f_loss import deltas, one_after_the_other

STORIES = stories(successors=True)
LIVES = lives()
both = pytest.mark.parametrize("backend", BACKENDS)


def would_try(state: State, given: Lost) -> bool:
    """Tell whether the schedule has another try for what is lost; those of stories know no time."""
    error = given.error or Unavailable(what="It was closed.")
    steady = state.phase is Phase.OPEN and given.at - state.opened_at >= 10.0
    opened = state.phase in {Phase.OPEN, Phase.RESUMING}
    attempt = Attempt(0 if steady else state.attempts, 0.0, given.random, opened=opened)
    return error.retryable and isinstance(state.plan.config.retry.delay(attempt), Some)


class Greeted(Remembering):
    """The scripted codec, which keeps whom it has greeted with what."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[int] = []

    def greet(self, plan: Plan, resume: Resume | None) -> Any:
        self.places.append(plan.place)
        return super().greet(plan, resume)


def played(story: Story) -> tuple[Fold, Greeted]:
    codec = Greeted()
    session = Fold(codec, story.plan)
    welcome(session)
    act(session, story.timeline)
    session.close()
    return session, codec


def moves(session: Fold) -> Iterator[Step]:
    return (one for one in session.steps if one.after.plan.place != one.before.plan.place)


class TestHandsOver:
    """51b. Who is lost for good is left for the next provider, which is told what was said."""

    @staticmethod
    def law(story: Story) -> None:
        session, codec = played(story)
        assert check_trace(session.events, complete=True) == []
        for one in moves(session):
            before, given, after = one.before, one.given, one.after
            assert after.plan.place > before.plan.place
            assert after.handle is None
            assert after.conn == before.conn + 1
            assert not after.phase.ending
            beside = before.standby in {Standby.DIALLED, Standby.STANDS} or isinstance(
                given, Linked
            )
            next = before.plan.successor
            assert beside or (next is not None and next.place == after.plan.place)
            assert not (isinstance(given, Lost) and isinstance(given.error, InternalFault))
        TestHandsOver.told(session, codec)

    @staticmethod
    def told(session: Fold, codec: Greeted) -> None:
        """Nobody is shown the handle of another; each takes over what is left to know."""
        handles = dict[str, int]()
        for one in session.steps:
            if one.after.handle is not None and one.after.handle != one.before.handle:
                handles.setdefault(one.after.handle.reveal(), one.after.plan.place)
        for place, resume in zip(codec.places, codec.resumes, strict=True):
            if resume is not None and resume.handle is not None:
                assert handles[resume.handle.reveal()] == place
        said = [event for event in session.events if isinstance(event, Reconnected)]
        names = [event.provider for event in said if event.provider]
        assert names == sorted(set(names))
        assert {event.restored for event in said if event.provider} <= {"history", "nothing"}

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @staticmethod
    def lasting(story: Story) -> None:
        """Nobody is left before the last try, nor is the session ended before the last provider."""
        session = folded(story)
        for one in session.steps:
            given, before, after = one.given, one.before, one.after
            if not isinstance(given, Lost) or given.conn != before.conn or before.phase.ending:
                continue
            if after.phase is Phase.CLOSED:
                assert after.plan.successor is None
            if after.plan.place == before.plan.place or before.standby is not None:
                continue
            assert not would_try(before, given)

    @many
    @given(STORIES)
    def test_lasting(self, story: Story) -> None:
        self.lasting(story)

    @both
    @given(LIVES, st.integers(0, 99))
    def test_live(self, backend: str, life: tuple[Life, ...], seed: int) -> None:
        self.live(life, backend, seed)

    @staticmethod
    def live(life: tuple[Life, ...], backend: str, seed: int = 0) -> None:
        done = told(life, backend, seed=seed, providers=3)
        assert check_trace(done.events, complete=True) == []
        assert max(deltas(done.events).values(), default=1) == 1
        assert done.places == sorted(done.places)
        named = [e.provider for e in done.events if isinstance(e, Reconnected) and e.provider]
        assert named == sorted(set(named))
        assert {int(name.split()[1]) for name in named} <= set(done.places)

    @both
    @given(LIVES, st.integers(0, 99))
    def test_one_is_heard_after_the_other(
        self, backend: str, life: tuple[Life, ...], seed: int
    ) -> None:
        one_after_the_other(life, backend, seed, providers=3)

    # --- planted faults -----------------------------------------------------------------------

    def test_fault_shows_the_handle_to_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hand_over = changeover._hand_over

        def careless(state: State, now: Moment, heir: Heir) -> State:
            return replace(hand_over(state, now, heir), handle=state.handle)

        monkeypatch.setattr(changeover, "_hand_over", careless)
        catches(self.law, STORIES)

    def test_fault_goes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hand_over = changeover._hand_over

        def restless(state: State, now: Moment, heir: Heir) -> State:
            moved = hand_over(state, now, heir)
            return replace(moved, plan=replace(moved.plan, successor=state.plan))

        monkeypatch.setattr(changeover, "_hand_over", restless)
        catches(self.law, STORIES)

    def test_fault_gives_up_with_somebody_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lost = changeover.lost

        def alone(state: State, now: Moment, given: Lost) -> State:
            alone = replace(state, plan=replace(state.plan, successor=None))
            return replace(lost(alone, now, given), plan=state.plan)

        monkeypatch.setattr("realtime_core.machine.lost", alone)
        catches(self.lasting, STORIES)

    def test_fault_leaves_at_the_first_trouble(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(changeover, "_delay", lambda *_: None)
        catches(self.lasting, STORIES)

    def test_fault_asks_whom_it_has_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def stuck(providers: Any, plan: Plan) -> Any:
            return providers[0].dial(plan)

        monkeypatch.setattr(takeover, "_dial", stuck)
        catches(lambda life: self.live(life, "asyncio"), LIVES, tries=200)
