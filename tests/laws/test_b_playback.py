"""B. Interrupt, as the ear has it: 4, 5, 16, 17 and 19 behind a player and its sink.

On sinks that say at once what they played, that say it late, and that never do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given

from realtime_core import playback
from realtime_core.codec import DeleteItem, TruncateItem
from realtime_core.epoch import ItemId
from realtime_core.playback import Player
from realtime_core.testing import Injection, PointsFailed, every_point
from tests.laws.ears import A_TICK, answer_of
from tests.laws.stories import BACKENDS, catches
from tests.laws.talks import Part, Performed, Talk, heard_out, played_back, talks

TALKS = talks()
both = pytest.mark.parametrize("backend", BACKENDS)

TOLD = (Part(0, 0, 2), Part(1, 0, 3), Part(0, 2, 2))
"""An answer in two items, with a pause."""


def is_player(name: str) -> bool:
    return name.endswith("Player.run")


def injected(
    holds: Callable[[Talk, Performed], None], marks_after: int | None
) -> Callable[[Injection], Awaitable[None]]:
    """Give the scenario of an answer, cut at one instant of its player for another one."""
    talk = Talk((TOLD, TOLD), (), marks_after)

    async def scenario(point: Injection) -> None:
        holds(talk, await heard_out(talk, Performed(), point))

    return scenario


def at_every_instant(holds: Callable[[Talk, Performed], None], backend: str = "asyncio") -> int:
    return min(
        every_point(injected(holds, marks_after), backend=backend, tasks=is_player)
        for marks_after in (-1, 1, None)
    )


class TestNoStaleSound:
    """4, 5. The sink gets nothing stale, and falls silent in the tick of the interrupt."""

    @staticmethod
    def holds(talk: Talk, done: Performed) -> None:
        assert done.stale == []
        if talk.seed is None:
            for fence, sounded in enumerate(done.fences):
                fenced = [value for value in done.sounded if answer_of(value) <= fence]
                assert fenced == sounded, "not a sample after the cut"

    @classmethod
    def law(cls, talk: Talk, backend: str = "asyncio") -> None:
        cls.holds(talk, played_back(talk, backend))

    @both
    @given(TALKS)
    def test_live(self, backend: str, talk: Talk) -> None:
        self.law(talk, backend)

    @both
    def test_every_instant(self, backend: str) -> None:
        assert at_every_instant(self.holds, backend) > 10

    def test_fault_does_not_compare(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(playback, "is_stale", lambda _, __: False)
        with pytest.raises(PointsFailed):
            at_every_instant(self.holds)
        catches(self.law, TALKS)

    def test_fault_does_not_flush(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Player, "_silence", lambda _: None)
        with pytest.raises(PointsFailed):
            at_every_instant(self.holds)
        catches(self.law, TALKS)


class TestTruncateToWhatSounded:
    """16. The provider is told to forget, of each item, what truly had not sounded."""

    @staticmethod
    def holds(talk: Talk, done: Performed) -> None:
        told = Counter(repair.item for repair in done.repairs)
        assert max(told.values(), default=1) == 1
        cuts = {cut.item: cut for cut in done.cuts}
        for repair in done.repairs:
            cut = cuts[repair.item]
            if isinstance(repair, TruncateItem):
                assert repair.samples == cut.samples
                assert repair.samples > 0
                assert repair.samples <= cut.true or not cut.told
            else:
                assert cut.samples == 0
        due = {cut.item for cut in done.cuts if cut.samples < cut.received or cut.samples == 0}
        assert set(told) == due
        if talk.marks_after is None and all(cut.told for cut in done.cuts):
            assert all(isinstance(repair, DeleteItem) for repair in done.repairs)

    @classmethod
    def law(cls, talk: Talk, backend: str = "asyncio") -> None:
        cls.holds(talk, played_back(talk, backend))

    @both
    @given(TALKS)
    def test_live(self, backend: str, talk: Talk) -> None:
        self.law(talk, backend)

    @both
    def test_every_instant(self, backend: str) -> None:
        assert at_every_instant(self.holds, backend) > 10

    def test_fault_reports_what_was_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        note = Player._note

        def eager(self: Any, item: Any, samples: int) -> None:
            note(self, item, samples)
            heard, self._sink.heard = self._sink.heard, lambda: self._total
            self._report()
            self._sink.heard = heard

        monkeypatch.setattr(Player, "_note", eager)
        catches(self.law, TALKS)


class TestHeardIsTrueAtTheSink:
    """17. Told is what sounded or less, it rises only, and in the end it is all that sounded."""

    @staticmethod
    def holds(talk: Talk, done: Performed) -> None:
        known = Counter[ItemId]()
        for report in done.reports:
            assert known[report.item] <= report.samples <= report.true
            known[report.item] = report.samples
        for cut in done.cuts:
            assert cut.samples <= cut.true or not cut.told
            if talk.marks_after == -1 and talk.seed is None:
                assert cut.true - cut.samples <= A_TICK, "to the slice"

    @staticmethod
    def is_known_in_the_end(talk: Talk, done: Performed) -> None:
        known = dict[ItemId, int]()
        for report in done.reports:
            known[report.item] = report.samples
        sounded = Counter(done.items[v] for v in done.sounded if answer_of(v) == done.last)
        assert {item: known[item] for item in sounded} == sounded

    @classmethod
    def law(cls, talk: Talk, backend: str = "asyncio") -> None:
        cls.holds(talk, played_back(talk, backend))

    @both
    @given(TALKS)
    def test_live(self, backend: str, talk: Talk) -> None:
        self.law(talk, backend)

    @both
    def test_every_instant(self, backend: str) -> None:
        assert at_every_instant(self.holds, backend) > 10

    @both
    @given(talks((-1,)))
    def test_known_in_the_end(self, backend: str, talk: Talk) -> None:
        self.is_known_in_the_end(talk, played_back(talk, backend))

    @both
    @given(talks((0, 1, 8)))
    def test_known_in_the_end_by_late_marks(self, backend: str, talk: Talk) -> None:
        self.is_known_in_the_end(talk, played_back(talk, backend))

    def test_fault_counts_what_was_flushed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        silence = Player._silence

        def forgetful(self: Any) -> None:
            written, items, total = self._written.copy(), dict(self._items), self._total
            silence(self)
            self._written, self._items, self._total = written, items, total

        monkeypatch.setattr(Player, "_silence", forgetful)
        catches(self.law, talks((-1,)))


class TestNextReplyHeardWhole:
    """19. What is asked for after an interrupt sounds whole and in order, each sample once."""

    @staticmethod
    def holds(talk: Talk, done: Performed) -> None:
        sounded = [value for value in done.sounded if answer_of(value) == done.last]
        assert sounded == done.of(done.last)
        assert len(sounded) == sum(part.ticks for part in talk.answers[done.last]) * A_TICK

    @classmethod
    def law(cls, talk: Talk, backend: str = "asyncio") -> None:
        cls.holds(talk, played_back(talk, backend))

    @both
    @given(TALKS)
    def test_live(self, backend: str, talk: Talk) -> None:
        self.law(talk, backend)

    @both
    def test_every_instant(self, backend: str) -> None:
        assert at_every_instant(self.holds, backend) > 10

    def test_fault_silences_what_comes_next(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A clear that comes late eats the first pieces of the next answer."""
        silence = Player._silence

        def thorough(self: Any) -> None:
            silence(self)
            self._queue.clear()

        monkeypatch.setattr(Player, "_silence", thorough)
        catches(self.law, TALKS)
