"""B. Interrupt, 16 to 19: what was heard, what is kept of it, and what comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from realtime_core import heard, interruption, machine, negotiate, turn
from realtime_core.codec import TruncateItem
from realtime_core.config import SessionConfig
from realtime_core.epoch import Epoch, ItemId, ResponseId
from realtime_core.events import AudioOutput, HeardItem, ResponseStarted
from realtime_core.frames import Interrupt
from realtime_core.moment import played
from realtime_core.outlet import Outlet
from realtime_core.state import Phase, State
from realtime_core.testing import PointsFailed, every_point
from realtime_core.testing._author import number_of
from realtime_core.testing.scripted import SCRIPTED
from realtime_core.testing.timeline import Pushes, Says, Takes, Waits
from realtime_core.turn import heard_samples
from tests.laws.model import Fact, Known, Rehearsal
from tests.laws.scenarios import PUMPS
from tests.laws.sessions import Law, hold, live_by
from tests.laws.stories import BACKENDS, Story, audio, catches, many, speeches, stories
from tests.laws.strict import PIECES, Exchange, asked_again

STORIES = stories()
SPEECHES = speeches()
R = ResponseId("r")
both = pytest.mark.parametrize("backend", BACKENDS)
everywhere = pytest.mark.parametrize("tasks", [None, PUMPS], ids=["consumer", "pumps"])


class TruncatesToHeard(Law):
    """Each item heard in part is truncated once, there; one not heard at all is deleted."""

    def see(self, fact: Fact) -> None:
        step, able = fact.step, fact.step.before.plan.capabilities
        parts = {part.item: part for rise in fact.rises for part in rise.heard}
        self.parts(fact, parts)
        told = Counter(repair.item for repair in fact.repairs)
        assert max(told.values(), default=1) == 1
        for part in [part for part in parts.values() if part.response in fact.before.beside]:
            del parts[part.item]  # the provider keeps nothing of it
        assert set(told) <= set(parts)
        for repair in fact.repairs:
            part = parts[repair.item]
            if isinstance(repair, TruncateItem):
                assert able.truncate
                assert (repair.samples, repair.rate) == (part.samples, part.rate)
                assert 0 < part.samples < part.received
            else:
                assert able.delete
                assert part.samples == 0
        if step.before.phase is step.after.phase is Phase.OPEN:
            partly = {i for i, p in parts.items() if 0 < p.samples < p.received}
            assert not able.truncate or partly <= set(told)
            assert not able.delete or {i for i, p in parts.items() if not p.samples} <= set(told)

    @staticmethod
    def parts(fact: Fact, parts: Mapping[ItemId, HeardItem]) -> None:
        known, at = fact.before, fact.step.given.at
        for rise in fact.rises:
            spoken = {i for i in known.spoken if known.owner.get(i) in rise.fenced}
            assert {part.item for part in rise.heard} == spoken
        for part in parts.values():
            true = known.heard(part.item, at)
            assert part.received == known.received.get(part.item, 0)
            assert 0 <= part.samples <= min(true, part.received)
            assert not known.confirmed or part.samples == true


class TestTruncateToHeard:
    """16. One truncation for an item heard in part, not beyond what was heard or received."""

    @staticmethod
    def law(story: Story) -> None:
        hold(TruncatesToHeard, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @many
    @given(SPEECHES)
    def test_one_answer(self, story: Story) -> None:
        self.law(story)

    def test_machine(self) -> None:
        live_by(TruncatesToHeard)

    def test_two_items_in_turn_are_heard_in_turn(self) -> None:
        """Pieces that alternate are estimated by when each piece was taken."""
        a, b = audio("r", 640), replace(audio("r", 640), item=ItemId("r-1"))
        told = Rehearsal(Story(negotiate(SCRIPTED, SessionConfig()).unwrap(), ()))
        told.happen(Says((ResponseStarted(response=R), a, b)))
        told.happen(Takes(4))
        told.happen(Waits(64))
        told.happen(Says((a,)))
        told.happen(Waits(32))
        (rise,) = [rise for fact in told.happen(Pushes(Interrupt())) for rise in fact.rises]
        assert {part.item: part.samples for part in rise.heard} == {a.item: 640, b.item: 320}

    def test_fault_counts_what_was_received(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            interruption,
            "heard_samples",
            lambda ledger, id, delivered, at: ledger.items[id].received,
        )
        catches(self.law, SPEECHES)

    def test_fault_believes_the_sink_beyond_what_came(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard = machine._heard

        def naive(state: State, frame: Any) -> State:
            state = heard(state, frame)
            item = state.ledger.items.get(frame.item)
            if item is None:
                return state
            more = turn.put_item(state.ledger, frame.item, replace(item, heard=frame.samples))
            return replace(state, ledger=more)

        monkeypatch.setattr(machine, "_heard", naive)
        catches(self.law, SPEECHES)


class HearsTruly(Law):
    """Heard rises only, never passes what came, and is an estimate that errs low unless told."""

    def __init__(self) -> None:
        self.last = dict[ItemId, tuple[bool, int]]()

    def see(self, fact: Fact) -> None:
        before, after = fact.step.before.ledger, fact.step.after.ledger
        for id, item in after.items.items():
            assert 0 <= item.heard <= item.received
            assert id not in before.items or item.heard >= before.items[id].heard
        for rise in fact.rises:
            for part in rise.heard:
                assert not part.exact or fact.before.confirmed or part.received == 0

    def rest(self, rehearsal: Rehearsal) -> None:
        session, known = rehearsal.session, rehearsal.known
        ledger, delivered = session.state.ledger, session.outlet.delivered
        for id, item in ledger.items.items():
            response = ledger.responses[item.response]
            if response.fenced or response.epoch != session.state.epoch:
                continue
            now = heard_samples(ledger, id, delivered, played(session.state, session.at))
            assert 0 <= now <= min(item.received, known.heard(id, session.at))
            told, before = self.last.get(id, (ledger.confirmed, 0))
            assert told is not ledger.confirmed or now >= before, "the sink's word replaces a guess"
            self.last[id] = ledger.confirmed, now


class TestHeardIsTrue:
    """17. Heard rises only, never passes what came, and errs low where no sink confirms it."""

    @staticmethod
    def law(story: Story) -> None:
        hold(HearsTruly, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @many
    @given(SPEECHES)
    def test_one_answer(self, story: Story) -> None:
        self.law(story)

    def test_fault_falls_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An ack that comes late takes back what a newer one said."""

        def latest(state: State, frame: Any) -> State:
            item = state.ledger.items.get(frame.item)
            if item is None or state.ledger.responses[item.response].fenced:
                return state
            item = replace(item, heard=min(frame.samples, item.received))
            ledger = replace(turn.put_item(state.ledger, frame.item, item), confirmed=True)
            return replace(state, ledger=ledger)

        monkeypatch.setattr(machine, "_heard", latest)
        catches(self.law, SPEECHES)

    def test_fault_takes_what_was_taken_for_heard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def eager(delivered: Any, item: ItemId, at: float) -> int:
            return sum(reading.samples for reading in delivered if reading.item == item)

        monkeypatch.setattr(turn, "estimate", eager)
        catches(self.law, SPEECHES)


class KeepsWhatWasHeard(Law):
    """The conversation keeps of an item what had been said by where it was cut."""

    def see(self, fact: Fact) -> None:
        kept = {m.item: m for m in fact.step.after.history if m.role == "assistant"}
        assert not {fact.after.owner.get(item) for item in kept if item} & fact.after.beside
        for rise in fact.rises:
            for part in rise.heard:
                message = kept.get(part.item)
                if message is None:
                    assert part.text == ""
                    continue
                assert (message.text, message.exact) == (part.text, part.exact)
                assert part.samples > 0
                self.kept(fact.before, part)

    @staticmethod
    def kept(known: Known, part: HeardItem) -> None:
        pieces = known.pieces.get(part.item, ())
        whole, said = known.whole.get(part.item), "".join(text for text, _ in pieces)
        assert said.startswith(part.text) or (whole or "").startswith(part.text)
        spoken = 0
        for text, end in pieces:
            spoken += len(text)
            if end is not None and end > part.samples and whole is None:
                assert len(part.text) < spoken, "a piece that was cut is not kept whole"
                break


class TestHistoryIsWhatWasHeard:
    """18. After an interrupt the kept text is a beginning of the text received; marked."""

    @staticmethod
    def law(story: Story) -> None:
        hold(KeepsWhatWasHeard, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @many
    @given(SPEECHES)
    def test_one_answer(self, story: Story) -> None:
        self.law(story)

    def test_fault_keeps_the_piece_that_was_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heard, "_whole_words", lambda text, characters: text)
        catches(self.law, SPEECHES)

    def test_fault_keeps_everything(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruption, "keep", lambda state, item, text, exact: state)
        catches(self.law, SPEECHES)


class TestNextReplyWhole:
    """19. A response of the new epoch loses no sample to the interrupt that came before it."""

    @staticmethod
    def law(story: Story) -> None:
        rehearsal = Rehearsal(story)
        said = dict[ResponseId, list[int]]()
        for happening in story.timeline:
            for fact in rehearsal.happen(happening):
                event, known = fact.said, fact.after
                if isinstance(event, AudioOutput) and known.takes(event):
                    assert event.response is not None
                    said.setdefault(event.response, []).append(number_of(event))
        rehearsal.session.drain()
        known = rehearsal.known
        for id, numbers in said.items():
            if id not in known.fenced and known.gen[id] == rehearsal.session.state.epoch:
                events = rehearsal.session.events
                mine = [e for e in events if isinstance(e, AudioOutput) and e.response == id]
                assert [number_of(event) for event in mine] == numbers

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @staticmethod
    def holds(exchange: Exchange) -> None:
        assert exchange.heard("third") == [*range(1, PIECES + 1)] * (exchange.cut_at is not None)

    @both
    @everywhere
    def test_every_instant(self, backend: str, tasks: Any) -> None:
        scenario = asked_again(self.holds)
        assert every_point(scenario, backend=backend, tasks=tasks) > 20

    def test_fault_fences_too_far(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fence = Outlet.fence
        monkeypatch.setattr(Outlet, "fence", lambda self, epoch: fence(self, Epoch(epoch + 1)))
        catches(self.law, STORIES)
        with pytest.raises(PointsFailed):
            every_point(asked_again(self.holds))
