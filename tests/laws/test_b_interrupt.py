"""B. Interrupt, 12, 13, 21a and 22: when the epoch rises, by whose word, and for what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from realtime_core import incoming, interruption, machine, moment, negotiate, turn
from realtime_core.config import SessionConfig, TurnDetection
from realtime_core.epoch import ResponseId
from realtime_core.errors import Unsupported
from realtime_core.events import (
    SpeechStarted,
)
from realtime_core.frames import CreateResponse
from realtime_core.moment import Moment
from realtime_core.state import Received, State
from realtime_core.testing.scripted import SCRIPTED
from tests.laws.model import Fact, is_automatic, is_explicit
from tests.laws.sessions import Law, hold, live_by
from tests.laws.stories import BACKENDS, Story, catches, many, stories

STORIES = stories()
CAUSES = {"provider", "local", "app", "connection", "close"}
R = ResponseId("r")
both = pytest.mark.parametrize("backend", BACKENDS)


class Vacuous(Law):
    """With nothing to cut, an automatic interrupt changes nothing, an explicit one is told."""

    def see(self, fact: Fact) -> None:
        step = fact.step
        vacuous = fact.before.vacuous(step.before.epoch, step.given.at)
        if is_automatic(fact):
            assert step.after.epoch == step.before.epoch + (not vacuous)
        if is_explicit(fact):
            assert step.after.epoch == step.before.epoch + 1
            assert [event.cause for event in fact.rises] == ["app"]
        if vacuous and (is_automatic(fact) or is_explicit(fact)):
            assert step.after.history == step.before.history
            assert all(isinstance(frame, CreateResponse) for frame in fact.sent)


class TestVacuous:
    """12. With nothing to cut, an automatic interrupt changes nothing, an explicit one is told."""

    @staticmethod
    def law(story: Story) -> None:
        hold(Vacuous, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_always_rises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def always(state: State, now: Moment, cause: Any) -> State:
            return interruption.interrupt(state, now, "app" if cause == "provider" else cause)

        monkeypatch.setattr(incoming, "interrupt", always)
        catches(self.law, STORIES)

    def test_fault_never_rises_for_what_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def deaf(state: State, now: Moment, cause: Any) -> State:
            if not turn.running(state.ledger, state.epoch, now.delivered, now.at):
                return state
            return interruption.interrupt(state, now, cause)

        monkeypatch.setattr(incoming, "interrupt", deaf)
        monkeypatch.setattr(machine, "interrupt", deaf)
        catches(self.law, STORIES)


class Coalesces(Law):
    """What nobody asked for by name raises the epoch at most once while nothing is bound to it."""

    def see(self, fact: Fact) -> None:
        assert len(fact.rises) <= 1
        if is_automatic(fact) and not fact.before.bound:
            assert fact.rises == []
        if is_explicit(fact):
            assert len(fact.rises) == 1


class TestCoalescing:
    """13. Automatic interrupts with nothing bound in between raise the epoch at most once."""

    @staticmethod
    def law(story: Story) -> None:
        hold(Coalesces, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_machine(self) -> None:
        live_by(Coalesces)

    def test_fault_forgets_what_was_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruption, "_doom", lambda ledger: ledger)
        catches(self.law, STORIES)


class OneAuthority(Law):
    """Who barges in cancels; who is told that the provider did, does not."""

    def see(self, fact: Fact) -> None:
        authority = fact.step.before.plan.config.turn_detection.authority
        if isinstance(fact.said, SpeechStarted):
            assert fact.cancels == []
            assert authority == "provider" or fact.rises == []


class TestOneAuthority:
    """21a. Under the provider's authority its speech-start is not answered with a cancel."""

    @staticmethod
    def law(story: Story) -> None:
        hold(OneAuthority, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_an_authority_that_is_not_offered_is_refused(self) -> None:
        able = replace(SCRIPTED, authorities=("provider",))
        wish = SessionConfig(turn_detection=TurnDetection(authority="local"))
        assert isinstance(negotiate(able, wish).failure(), Unsupported)

    def test_fault_answers_with_a_cancel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def local(state: State, now: Moment, cause: Any) -> State:
            del cause
            return interruption.interrupt(state, now, "local")

        monkeypatch.setattr(incoming, "interrupt", local)
        catches(self.law, STORIES)


class NamesItsCause(Law):
    """Every rise has one cause of a closed set, and names the responses it fenced."""

    def see(self, fact: Fact) -> None:
        step = fact.step
        for rise in fact.rises:
            assert rise.cause in CAUSES
            assert set(rise.fenced) == fact.before.cut(step.before.epoch, step.given.at)
            assert len(set(rise.fenced)) == len(rise.fenced)
            assert {part.response for part in rise.heard} <= set(rise.fenced)
            if isinstance(step.given, Received) and step.after.conn == step.before.conn:
                assert rise.cause in {"provider", "connection"}


class TestCause:
    """22. Every rise has one cause of a closed set, and names the responses it fenced."""

    @staticmethod
    def law(story: Story) -> None:
        hold(NamesItsCause, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_names_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        emit = moment.emit

        def vague(state: State, now: Moment, event: Any) -> None:
            emit(state, now, replace(event, fenced=()) if hasattr(event, "fenced") else event)

        monkeypatch.setattr(interruption, "emit", vague)
        catches(self.law, STORIES)
