"""The lanes' model: plain facts in a list, and how a fault in what it models is shown."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from realtime_core import (
    Audio,
    ClearAudio,
    CommitAudio,
    Frame,
    Lanes,
    Latest,
    RealtimeException,
    Slide,
    Suspend,
    Text,
    Video,
)
from realtime_core.config import Policy
from realtime_core.lane import Balance, Inlet, lane_of
from realtime_core.testing import TICK

__all__ = ("LanesAgainstModel", "against_the_model", "sees")

SLIDES = st.builds(Slide, st.sampled_from((20, 100, 500)), st.sampled_from((125, 500, 2_000)))


class Waits:
    """The model: what waits, as plain facts."""

    def __init__(self, number: int, frame: Frame, at: float) -> None:
        self.number, self.frame, self.at = number, frame, at
        self.lane = lane_of(frame)
        audio = isinstance(frame, Audio)
        self.size = len(frame.pcm) / 48 if isinstance(frame, Audio) and audio else 1.0


class LanesAgainstModel(RuleBasedStateMachine):
    """Pushes, takes and passing time, on the lanes and on a list."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0
        self.number = 0
        self.waiting = list[Waits]()
        self.lost = list[tuple[str, str, int]]()
        self.counts = Counter[tuple[str, str]]()

    @initialize(
        audio=st.one_of(SLIDES, st.builds(Suspend, st.sampled_from((20, 100))), st.just(Latest())),
        video=st.sampled_from((Latest(), Slide(cap=2), Suspend(cap=2))),
        control=st.builds(Suspend, st.integers(1, 4)),
    )
    def agree(self, audio: Policy, video: Policy, control: Suspend) -> None:
        self.policies: dict[str, Policy] = {"audio": audio, "video": video, "control": control}
        self.lanes = Inlet(Lanes(audio=audio, video=video, control=control))

    @rule(pieces=st.lists(st.integers(1, 6), min_size=1, max_size=6))
    def push_audio(self, pieces: list[int]) -> None:
        for ticks in pieces:
            self._push(Audio(bytes(750 * ticks)))

    @rule()
    def push_video(self) -> None:
        self._push(Video(str(self.number).encode()))

    @rule(frame=st.sampled_from((Text("x"), Text("y"), CommitAudio(), ClearAudio())))
    def push_control(self, frame: Frame) -> None:
        self._push(frame)

    @rule(ticks=st.sampled_from((1, 8, 64)))
    def wait(self, ticks: int) -> None:
        self.at += ticks * TICK

    @rule(ticks=st.integers(0, 16))
    def gate(self, ticks: int) -> None:
        self.lanes.video_at = self.at + ticks * TICK

    @rule()
    def take(self) -> None:
        for name, policy in self.policies.items():
            if isinstance(policy, Slide):
                limit = self.at - policy.max_age / 1000
                self._lose(name, "too old", lambda one, limit=limit: one.at < limit)
        ready = [
            one for one in self.waiting if one.lane != "video" or self.at >= self.lanes.video_at
        ]
        taken = self.lanes.take(self.at)
        if not ready:
            assert taken is None
            return
        assert taken is ready[0].frame, "the oldest of all that may leave"
        self.waiting.remove(ready[0])
        self.counts[ready[0].lane, "sent"] += 1

    @precondition(lambda self: self.number > 30)
    @rule()
    def end(self) -> None:
        self.lanes.abandon("closed")
        for name in self.policies:
            self._lose(name, "closed", lambda one: True)

    def _push(self, frame: Frame) -> None:
        self.number += 1
        one = Waits(self.number, frame, self.at)
        mine = [other for other in self.waiting if other.lane == one.lane]
        policy = self.policies[one.lane]
        self.counts[one.lane, "offered"] += 1
        room = self._room(one, mine)
        assert self.lanes.full(frame) is not room
        if isinstance(policy, Suspend) and not room:
            self.counts[one.lane, "refused"] += 1
            with pytest.raises(RealtimeException):
                self.lanes.put(frame, self.at)
            return
        surplus = 0
        while not self._room(one, mine[surplus:]):
            surplus += 1
        reason = "newer" if isinstance(policy, Latest) else "full"
        oldest = {other.number for other in mine[:surplus]}
        self._lose(one.lane, reason, lambda other: other.number in oldest)
        if isinstance(frame, ClearAudio):
            self._lose("audio", "cleared", lambda other: True)
        self.waiting.append(one)
        self.lanes.put(frame, self.at)

    def _room(self, one: Waits, mine: list[Waits]) -> bool:
        policy = self.policies[one.lane]
        if isinstance(policy, Latest):
            return not mine
        return not mine or sum(other.size for other in mine) + one.size <= policy.cap

    def _lose(self, name: str, reason: str, which: Any) -> None:
        lost = [one for one in self.waiting if one.lane == name and which(one)]
        self.waiting = [one for one in self.waiting if one not in lost]
        self.counts[name, "dropped"] += len(lost)
        if lost:
            self.lost.append((name, reason, len(lost)))

    @invariant()
    def nothing_is_unaccounted_for(self) -> None:
        for name in ("audio", "video", "control"):
            balance = self.lanes.balances[name]
            waiting = sum(one.lane == name for one in self.waiting)
            counted = {field: self.counts[name, field] for field in Balance._fields}
            assert balance._asdict() == {**counted, "waiting": waiting}
            others = balance.sent + balance.dropped + balance.refused + balance.waiting
            assert balance.offered == others
        assert [drop[:3] for drop in self.lanes.drops] == self.lost
        assert self.lanes.empty is not bool(self.waiting)


def against_the_model(machine: type[RuleBasedStateMachine]) -> None:
    limits = settings(max_examples=2 * settings().max_examples)
    run_state_machine_as_test(machine, settings=limits)


def sees(machine: type[RuleBasedStateMachine]) -> None:
    """Require that the model notices the fault that is planted now."""
    looking = settings(max_examples=300, phases=(Phase.generate,), database=None, derandomize=True)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it breaks first
        run_state_machine_as_test(machine, settings=looking)
