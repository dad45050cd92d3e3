"""Laws as watchers of one session, and the state machine that such a session goes through."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from realtime_core import Plan
from realtime_core.errors import AuthFailed, RealtimeError, Unavailable
from realtime_core.events import SessionEnding
from realtime_core.frames import Close, Frame, Interrupt
from realtime_core.testing._author import Author
from realtime_core.testing.strategies import _asks, _events, _moves, plans, pushes
from realtime_core.testing.timeline import (
    Fails,
    Happening,
    Loses,
    Pushes,
    Says,
    Stale,
    Takes,
    Waits,
)
from tests.laws.model import Fact, Rehearsal
from tests.laws.stories import Story

__all__ = ("Law", "hold", "live_by")


class Law:
    """What a session is held to; made anew for each."""

    def see(self, fact: Fact) -> None:
        """Look at one step."""

    def rest(self, rehearsal: Rehearsal) -> None:
        """Look at the session between two happenings."""

    def end(self, rehearsal: Rehearsal) -> None:
        """Look at the session after its end, when all was taken."""


def hold(law: type[Law], story: Story) -> None:
    """Hold a story to a law."""
    watching, rehearsal = law(), Rehearsal(story)
    for happening in story.timeline:
        _happen(watching, rehearsal, happening)
    _close(watching, rehearsal)


def _happen(watching: Law, rehearsal: Rehearsal, happening: Happening) -> None:
    for fact in rehearsal.happen(happening):
        watching.see(fact)
    watching.rest(rehearsal)


def _close(watching: Law, rehearsal: Rehearsal) -> None:
    for fact in rehearsal.close():
        watching.see(fact)
    watching.end(rehearsal)


class Living(RuleBasedStateMachine):
    """A session of which each thing that happens is chosen knowing what has happened."""

    law: type[Law]

    @initialize(plan=plans())
    def opens(self, plan: Plan) -> None:
        self.rehearsal = Rehearsal(Story(plan, ()))
        self.watching = self.law()
        self.author = Author()

    @rule(moves=_moves(lawful=True))
    def provider_speaks(self, moves: Any) -> None:
        self._happen(Says(_events(self.author, moves)))

    @rule(moves=_moves(lawful=False), ticks=st.sampled_from((0, 1, 3)))
    def provider_errs(self, moves: Any, ticks: int) -> None:
        self._happen(Says(_events(self.author, moves)))
        self._happen(Takes(3))
        self._happen(Waits(ticks))

    @rule(frame=pushes())
    def caller_pushes(self, frame: Frame) -> None:
        self._happen(Pushes(frame))
        if _asks(frame):
            self.author.asked()

    @rule(cause=st.sampled_from(("app", "local")))
    def caller_interrupts(self, cause: Any) -> None:
        self._happen(Pushes(Interrupt(cause=cause)))

    @rule(count=st.sampled_from((1, 3, 8)))
    def consumer_takes(self, count: int) -> None:
        self._happen(Takes(count))

    @rule(ticks=st.sampled_from((1, 2, 8, 64, 640)))
    def time_passes(self, ticks: int) -> None:
        self._happen(Waits(ticks))

    @precondition(lambda self: self.rehearsal.session.at > 1)
    @rule(error=st.sampled_from((None, Unavailable(what="x"), AuthFailed(what="x"))))
    def connection_is_lost(self, error: RealtimeError | None) -> None:
        self._happen(Loses(error))

    @rule(moves=_moves(lawful=False), error=st.sampled_from((None, Unavailable(what="late"))))
    def old_connection_is_heard_of(self, moves: Any, error: RealtimeError | None) -> None:
        self._happen(Stale(_events(Author(), moves)))
        self._happen(Loses(error, old=True))

    @rule(left=st.sampled_from((0.0, 1.0, 30.0, None)))
    def connection_will_end(self, left: float | None) -> None:
        self._happen(Says((SessionEnding(left=left),)))

    @rule(error=st.sampled_from((None, Unavailable(what="x"), AuthFailed(what="x"))))
    def next_connection_fails(self, error: RealtimeError | None) -> None:
        self._happen(Fails(error))

    @precondition(lambda self: self.rehearsal.session.at > 2)
    @rule()
    def caller_closes(self) -> None:
        self._happen(Pushes(Close()))

    def _happen(self, happening: Happening) -> None:
        _happen(self.watching, self.rehearsal, happening)

    def teardown(self) -> None:
        if hasattr(self, "rehearsal"):
            _close(self.watching, self.rehearsal)


def live_by(law: type[Law]) -> None:
    """Hold the state machine to a law."""
    machine = type(f"{law.__name__}Machine", (Living,), {"law": law})
    limits = settings(max_examples=2 * settings().max_examples)
    run_state_machine_as_test(machine, settings=limits)
