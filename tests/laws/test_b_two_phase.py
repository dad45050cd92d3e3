"""B. A barge-in in two phases, as far as one step decides it: held, then cut or released."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from realtime_core import changeover, holding, incoming, interruption, moment, negotiate
from realtime_core.codec import CancelResponse, TruncateItem
from realtime_core.config import SessionConfig
from realtime_core.epoch import ItemId, ResponseId
from realtime_core.events import (
    AudioOutput,
    Disconnected,
    Interrupted,
    Released,
    ResponseDone,
    ResponseStarted,
)
from realtime_core.events import Held as HeldEvent
from realtime_core.frames import Heard, Hold
from realtime_core.moment import Moment
from realtime_core.state import Fence, Pause, State, Timer
from realtime_core.testing._author import SAMPLES_A_TICK
from realtime_core.testing.scripted import SCRIPTED
from realtime_core.testing.timeline import Happening, Loses, Pushes, Says, Takes, Waits
from tests.laws.holds import Held, begins, due, ends, expected, goes_on, is_notice
from tests.laws.model import Fact, Rehearsal
from tests.laws.sessions import Law, hold
from tests.laws.stories import Story, audio, catches, many, stories
from tests.laws.test_b_cancel import AsksInTurn, CancelsByName
from tests.laws.test_b_heard import HearsTruly, KeepsWhatWasHeard, TruncatesToHeard
from tests.laws.test_b_interrupt import Coalesces, Vacuous

STORIES = stories(holds=True)
R = ResponseId("r")
BEFORE = (
    AsksInTurn,
    CancelsByName,
    Coalesces,
    HearsTruly,
    KeepsWhatWasHeard,
    TruncatesToHeard,
    Vacuous,
)


@pytest.mark.parametrize("law", BEFORE)
def test_the_laws_of_an_interrupt_hold_as_well(law: type[Law]) -> None:
    @many
    @given(STORIES)
    def lives(story: Story) -> None:
        hold(law, story)

    lives()


def at_once(state: State, now: Moment, cause: Any, item: Any = None) -> State:
    """A fault: the onset cuts."""
    del item
    return interruption.interrupt(state, now, cause)


class LosesNothing(Law):
    """A hold and its release raise no epoch, purge nothing and tell the provider nothing."""

    def see(self, fact: Fact) -> None:
        step = fact.step
        told = [event for event in step.events if isinstance(event, HeldEvent | Released)]
        assert len(told) <= 1
        if told and step.after.phase is step.before.phase and step.after.conn == step.before.conn:
            assert step.after.epoch == step.before.epoch
            assert not any(isinstance(effect, Fence) for effect in step.effects)
            assert fact.cancels == []
            assert fact.repairs == []
            kept, now = step.before.ledger.items, step.after.ledger.items
            assert all(now[id].received == item.received for id, item in kept.items() if id in now)


class EndsOnce(Law):
    """Each hold ends in one release, one interruption or with the session; sinks are told both."""

    def __init__(self) -> None:
        self.held = False

    def see(self, fact: Fact) -> None:
        for effect in fact.step.effects:
            event = getattr(effect, "event", None)
            if isinstance(effect, Pause):
                assert effect.on is not self.held
                self.held = effect.on
            elif isinstance(event, HeldEvent):
                assert self.held, "silent first"
            elif isinstance(event, Interrupted):
                assert not self.held, "and told when it is over"
            elif isinstance(event, Disconnected):
                assert not self.held
        ended = [event for event in fact.step.events if isinstance(event, Interrupted | Released)]
        begun = [event for event in fact.step.events if isinstance(event, HeldEvent)]
        before, after = fact.step.before.holding is not None, fact.step.after.holding is not None
        assert after is self.held is (Timer.HOLD in fact.step.after.due)
        assert before + len(begun) - after == bool(ended) * before, "each begun, each ended"
        assert not ended or not after

    def end(self, rehearsal: Rehearsal) -> None:
        del rehearsal
        assert not self.held


class IsDecided(Law):
    """What must begin, cut or release a hold does, at once; what must not does not."""

    def __init__(self) -> None:
        self.held: Held | None = None

    def see(self, fact: Fact) -> None:
        step = fact.step
        lost = step.after.conn != step.before.conn or step.after.phase.ending
        self.in_time(step.before, step.given.at)
        if self.held is None:
            assert any(isinstance(event, HeldEvent) for event in step.events) is begins(fact)
            assert all(how == "cut" and why is None for how, why in ends(fact))
        elif lost:
            assert step.after.holding is None
        else:
            assert ends(fact) == [how for how in [expected(fact, self.held)] if how is not None]
        over = ends(fact) or lost
        self.held = goes_on(self.held, fact) if begins(fact) or (self.held and not over) else None

    def rest(self, rehearsal: Rehearsal) -> None:
        self.in_time(rehearsal.session.state, rehearsal.session.at)

    def in_time(self, state: State, at: float) -> None:
        assert self.held is None or at < due(state, self.held)[0] + 1e-9


class CancelsOnConfirmation(Law):
    """21a. An onset is not answered with a cancel; what the provider cut by itself never is."""

    def __init__(self) -> None:
        self.cut = set[ResponseId]()
        self.partial = False

    def see(self, fact: Fact) -> None:
        step = fact.step
        live = fact.before.open - fact.before.fenced
        if isinstance(fact.said, ResponseStarted) and fact.said.response in fact.cancels:
            return
        for rise in fact.rises:
            ours = rise.cause in {"app", "local"} or rise.confirmed is not None
            spared = set[ResponseId]() if rise.cause == "app" else self.cut
            meant = fact.before.open.intersection(rise.fenced) - spared if ours else set()
            assert set(fact.cancels) == (meant if step.before.plan.capabilities.cancel else set())
        if not fact.rises:
            assert fact.cancels == []
        agreed = step.before.plan.config.turn_detection.two_phase is not None
        if agreed and is_notice(fact) and step.after.holding is not None:
            named = fact.said.response if fact.said is not None else None
            self.cut |= fact.before.open if named is None else {named}
            self.partial = True
        if isinstance(fact.said, ResponseDone) and fact.said.status in {"cancelled", "interrupted"}:
            self.partial |= step.before.holding is not None and fact.said.response in live
        for event in step.events:
            assert not isinstance(event, Released) or event.partial is self.partial
        self.partial &= step.after.holding is not None


class TruncatesOnce(Law):
    """At most one truncation or deletion for an item, however often it was held."""

    def __init__(self) -> None:
        self.told = Counter[ItemId]()

    def see(self, fact: Fact) -> None:
        self.told.update(repair.item for repair in fact.repairs)
        assert max(self.told.values(), default=1) == 1


class EstimatesWhatSounds(Law):
    """17. Without a sink's word heard is what a voice says that falls silent while it is held.

    The voice is played here tick by tick; the times of a story are ticks.
    """

    def __init__(self) -> None:
        self.queue = list[ItemId]()
        self.heard = Counter[ItemId]()
        self.taken = 0

    def rest(self, rehearsal: Rehearsal) -> None:
        for event, _, _ in rehearsal.session.trace[self.taken :]:
            if isinstance(event, AudioOutput) and event.item is not None:
                ticks = event.format.samples(len(event.pcm)) // SAMPLES_A_TICK
                self.queue += [event.item] * ticks
        self.taken = len(rehearsal.session.trace)

    def tick(self, *, held: bool) -> None:
        if self.queue and not held:
            self.heard[self.queue.pop(0)] += SAMPLES_A_TICK

    def see(self, fact: Fact) -> None:
        for rise in fact.rises:
            self.queue.clear()
            for part in rise.heard:
                assert fact.before.confirmed or part.samples == self.heard[part.item]

    def follow(self, rehearsal: Rehearsal, happening: Happening) -> None:
        for fact in rehearsal.happen(happening):
            self.see(fact)

    @classmethod
    def law(cls, story: Story) -> None:
        voice, rehearsal = cls(), Rehearsal(story)
        for happening in story.timeline:
            waits = isinstance(happening, Waits)
            for _ in range(happening.ticks if isinstance(happening, Waits) else 1):
                if waits:  # a connection that is due is taken before the time passes
                    voice.follow(rehearsal, Waits(0))
                    voice.tick(held=rehearsal.session.state.holding is not None)
                voice.follow(rehearsal, Waits(1) if waits else happening)
                voice.rest(rehearsal)


class TestHold:
    """A hold moves no epoch and loses no sample, ends exactly once, and is decided in time."""

    LAWS = (LosesNothing, EndsOnce, IsDecided, CancelsOnConfirmation, TruncatesOnce)

    @pytest.mark.parametrize("law", LAWS)
    def test_folded(self, law: type[Law]) -> None:
        @many
        @given(STORIES)
        def lives(story: Story) -> None:
            hold(law, story)

        lives()

    @many
    @given(STORIES)
    def test_estimate(self, story: Story) -> None:
        EstimatesWhatSounds.law(story)

    @staticmethod
    def sees(law: type[Law]) -> None:
        def broken(story: Story) -> None:
            hold(law, story)

        catches(broken, STORIES)

    def test_fault_cuts_at_the_onset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(incoming, "hold", at_once)
        self.sees(IsDecided)

    def test_fault_purges_what_is_held(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun = holding._begun

        def purging(state: State, now: Moment, cause: Any) -> Any:
            now.effects.append(Fence(state.epoch))
            return begun(state, now, cause)

        monkeypatch.setattr(holding, "_begun", purging)
        self.sees(LosesNothing)

    def test_fault_forgets_the_sinks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def quietly(state: State, now: Moment) -> State:
            del now
            due = {timer: at for timer, at in state.due.items() if timer is not Timer.HOLD}
            return replace(state, holding=None, due=due)

        monkeypatch.setattr(interruption, "let_go", quietly)
        self.sees(EndsOnce)

    def test_fault_forgets_a_hold_with_its_connection(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All of it turned out to be heard: the loss itself cuts nothing."""
        monkeypatch.setattr(changeover, "release_hold", lambda state, now, reason: state)
        said = (ResponseStarted(response=R), audio("r", 8))
        done = Says((ResponseDone(response=R, status="completed"),))
        heard = Pushes(Heard(ItemId("r-0"), 8))
        timeline = (Says(said), Takes(3), Pushes(Hold()), done, heard, Loses())
        with pytest.raises(AssertionError):
            hold(EndsOnce, Story(negotiate(SCRIPTED, SessionConfig()).unwrap(), timeline))

    def test_fault_never_decides(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def lazy(state: State, now: Moment, timer: Timer, after: float) -> State:
            return moment.arm(state, now, timer, after + 1.0)

        monkeypatch.setattr(holding, "arm", lazy)
        self.sees(IsDecided)

    def test_fault_takes_a_cough_for_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def hasty(state: State, now: Moment) -> State:
            return holding.confirm(state, now, "words")

        monkeypatch.setattr(incoming, "speech_stopped", hasty)
        self.sees(IsDecided)

    def test_fault_measures_anew_while_sound_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wait = holding._wait

        def renewed(state: State, now: Moment) -> State:
            assert state.holding is not None
            return wait(replace(state, holding=replace(state.holding, onset=now.at)), now)

        monkeypatch.setattr(holding, "_wait", renewed)
        self.sees(IsDecided)

    def test_fault_cancels_what_the_provider_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unmarked(state: State, now: Moment, named: Any) -> State:
            del named
            return holding.hold(state, now, "provider")

        monkeypatch.setattr(incoming, "hold_cut", unmarked)
        self.sees(CancelsOnConfirmation)

    def test_fault_answers_the_onset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It lets the provider stop at once, though the answer may yet go on."""

        def eager(state: State, now: Moment, cause: Any, item: Any = None) -> State:
            state = holding.hold(state, now, cause, item)
            for id in state.ledger.responses:
                state, _ = moment.tell(state, now, CancelResponse(id))
            return state

        monkeypatch.setattr(incoming, "hold", eager)
        self.sees(CancelsOnConfirmation)
        self.sees(LosesNothing)

    def test_fault_truncates_when_it_falls_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun = holding._begun

        def truncating(state: State, now: Moment, cause: Any) -> Any:
            held = begun(state, now, cause)
            for id in state.ledger.items if held is not None else ():
                moment.tell(state, now, TruncateItem(id, 1, 640))
            return held

        monkeypatch.setattr(holding, "_begun", truncating)
        self.sees(TruncatesOnce)
        self.sees(LosesNothing)

    @pytest.mark.parametrize("where", ["held", "after"])
    def test_fault_counts_held_time(self, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def running_on(state: State, at: float) -> float:
            return at - state.paused if where == "held" else moment.played(state, at) + state.paused

        monkeypatch.setattr(interruption, "played", running_on)
        catches(EstimatesWhatSounds.law, STORIES)
