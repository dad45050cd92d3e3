"""A small model of tool calls, kept beside the machine from the laws' own words.

It knows what was asked, taken, handled and answered, and says before each comparison what the
machine must have announced, sent and asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeVar

from hypothesis import Phase as Generation
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from msgspec.structs import replace

from realtime_core.config import ToolPolicy, ToolSpec
from realtime_core.epoch import CallId, RequestId, ResponseId
from realtime_core.errors import InvalidRequest, SessionClosed, Unavailable
from realtime_core.events import (
    Interrupted,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    ToolCall,
    ToolCallCancelled,
)
from realtime_core.frames import CreateResponse, Interrupt, ToolResult
from realtime_core.schedule import Spaced
from realtime_core.state import Entered, Left, Phase, Purged, Pushed, Rang, Timer
from realtime_core.testing import TICK
from realtime_core.testing.fold import Fold, Step
from realtime_core.testing.scripted import SCRIPTED, read, written
from realtime_core.testing.timeline import welcome
from tests.laws.stories import plain

__all__ = ("live_by_the_model",)

POLICIES: tuple[ToolPolicy, ...] = ("cancel", "finish", "detach")
GRACE = 4 * TICK

HAPPENINGS = (
    *["provider_asks", "handlers_begin"] * 4,
    *["handler_answers", "caller_answers", "caller_interrupts", "time_passes"] * 2,
    "provider_ends_a_response",
    "provider_asks_more",
    "provider_repeats_itself",
    "provider_takes_calls_back",
    "handler_leaves",
    "user_speaks",
    "consumer_takes",
    "connection_is_lost",
)
"""What is frequent in life stands more often."""

T = TypeVar("T")
Void = Literal["cancelled", "lost"]


class Known:
    """One call: what the laws say of it."""

    def __init__(self, policy: ToolPolicy, response: ResponseId, epoch: int) -> None:
        self.policy = policy
        self.response = response
        self.epoch = epoch
        self.outcome: Literal["open", "sent", "kept", "cancelled", "lost"] = "open"
        self.taken = self.handled = self.announced = False
        self.until: float | None = None
        """When it must be announced although its handler stays."""


class Calls(RuleBasedStateMachine):
    """23, 24, 25: every call has one outcome, announced when its handler has left."""

    @initialize(one=st.booleans(), seconds=st.sampled_from((0, 4)))
    def opens(self, one: bool, seconds: int) -> None:
        self.session: Fold = plain(
            replace(SCRIPTED, one_response=one),
            tools=tuple(ToolSpec(name=policy, policy=policy) for policy in POLICIES),
            retry=Spaced(seconds * TICK),
            grace_timeout=GRACE,
            barrier_timeout=8 * TICK,
            close_timeout=4 * TICK,
        )
        self.calls = dict[CallId, Known]()
        self.open = list[ResponseId]()
        self.made = dict[ResponseId, list[CallId]]()
        self.continued = set[ResponseId]()
        self.asked = list[RequestId]()
        self.born = 0
        self.seen = len(self.session.steps)

    # --- what can happen ----------------------------------------------------------------------

    @rule(what=st.sampled_from(HAPPENINGS), k=st.integers(0, 5))
    def happens(self, what: str, k: int) -> None:
        getattr(self, what)(k)

    def provider_asks(self, k: int) -> None:
        if not self.ready:
            return
        response = ResponseId(f"r{self.born}")
        self.born += 1
        request = self.asked.pop() if self.asked else None
        self.say(ResponseStarted(response=response, request=request))
        self.open.append(response)
        self.made[response] = []
        for number in range(k % 3 + 1):
            self.provider_asks_more(k + number)
        if k % 2:
            self.say(ResponseDone(response=response, status="completed"))

    def provider_asks_more(self, k: int) -> None:
        if not self.ready or not self.open:
            return
        response, id, policy = self.open[-1], CallId(f"c{len(self.calls)}"), POLICIES[k % 3]
        known = self.session.state.ledger.responses[response]
        call = self.calls[id] = Known(policy, response, known.epoch)
        call.outcome = "cancelled" if known.fenced else "open"
        self.made[response].append(id)
        self.say(ToolCall(response=response, call=id, name=policy, arguments="{}"))

    def provider_ends_a_response(self, k: int) -> None:
        if self.ready and self.open:
            self.say(ResponseDone(response=_pick(self.open, k), status="completed"))

    def provider_repeats_itself(self, k: int) -> None:
        if self.ready and self.open and self.calls:
            id = _pick(list(self.calls), k)
            self.say(ToolCall(response=self.open[-1], call=id, name="finish", arguments="{}"))

    def provider_takes_calls_back(self, k: int) -> None:
        if not self.ready:
            return
        known = [CallId("no such call"), *self.calls]
        back = tuple(_pick(known, k + more) for more in range(k % 2 + 1))
        ended = {id for id in back if id in self.calls and self.calls[id].outcome == "open"}
        self.say(ToolCallCancelled(calls=back), cancelled=ended)

    def user_speaks(self, k: int) -> None:
        if self.ready:
            self.say(SpeechStarted(audio_ms=k))

    def caller_interrupts(self, k: int) -> None:
        self.session.push(Interrupt(cause="app" if k else "local"))
        self.follow()

    def consumer_takes(self, k: int) -> None:
        for event, _, _ in self.session.take(64 if k else 1):
            if isinstance(event, ToolCall):
                assert not self.calls[event.call].taken, "23: returned once"
                self.calls[event.call].taken = True

    def handlers_begin(self, k: int) -> None:
        self.consumer_takes(64)
        ready = [id for id, c in self.calls.items() if c.outcome == "open" and c.taken]
        for id in [id for id in ready if not self.calls[id].handled][: k + 1]:
            self.calls[id].handled = True
            self.session.give(Entered(at=self.session.at, call=id))
            self.follow()

    def handler_answers(self, k: int) -> None:
        for id in _picked([id for id, c in self.calls.items() if c.handled], k):
            self.session.push(ToolResult(id, "ok"))
            self.follow()
            self.handler_leaves(k)

    def handler_leaves(self, k: int) -> None:
        for id in _picked([id for id, c in self.calls.items() if c.handled], k):
            self.calls[id].handled = False
            self.session.give(Left(at=self.session.at, call=id))
            self.follow()

    def caller_answers(self, k: int) -> None:
        id = _pick([CallId("no such call"), *self.calls], k)
        self.session.push(ToolResult(id, "ok"))
        self.follow()

    def connection_is_lost(self, k: int) -> None:
        if self.born > 2:
            self.session.lose(Unavailable(what=f"{k}"))
            self.follow()

    def time_passes(self, k: int) -> None:
        self.session.wait((1, 1, 2, 3, 4, 8)[k] * TICK)
        self.follow()

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        self.session.close()
        self.follow()
        for call in self.calls.values():
            assert call.outcome != "open", "23: at the end none is open"
            assert call.until is None, "25: reported at the end at the latest"

    # --- what must follow ---------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the provider can speak; a connection that was dialled stands by then."""
        self.session.wait(0)
        welcome(self.session)
        self.follow()
        return self.session.state.phase is Phase.OPEN

    def say(
        self,
        event: ResponseStarted | ToolCall | ResponseDone | ToolCallCancelled | SpeechStarted,
        cancelled: Iterable[CallId] = (),
    ) -> None:
        self.session.receive(*written(event))
        self.follow(cancelled)

    def follow(self, cancelled: Iterable[CallId] = ()) -> None:
        """Compare what was done since with what the laws want."""
        for step in self.session.steps[self.seen :]:
            self.seen += 1
            announced = self.ends(step, dict.fromkeys(cancelled, "cancelled")) | self.leave(step)
            events = [e for e in step.events if isinstance(e, ToolCallCancelled)]
            told = [id for event in events for id in event.calls]
            assert sorted(told) == sorted(announced), "23, 25: announced once, and when due"
            self.answer(step)
            self.go_on(step)
            for id, call in self.calls.items():
                known = step.after.ledger.calls.get(id)
                assert known is None or known.outcome == call.outcome, "23: one outcome"

    def ends(self, step: Step, void: dict[CallId, Void]) -> set[CallId]:
        """End calls; gives those to be announced at once."""
        open = {id: call for id, call in self.calls.items() if call.outcome == "open"}
        if any(isinstance(event, Interrupted) for event in step.events):
            for id in (id for id, call in open.items() if call.policy == "cancel"):
                void[id] = "cancelled"
        if isinstance(step.given, Purged):
            assert not any(self.calls[id].taken for id in step.given.calls)
            for id in open.keys() & step.given.calls:
                void[id] = "cancelled"
        if step.after.conn != step.before.conn or step.after.phase.ending:
            for id in open:
                void.setdefault(id, "lost")
        for id, outcome in void.items():
            call = self.calls[id]
            call.outcome = outcome
            if call.handled and call.policy == "cancel":
                call.until = step.given.at + GRACE
        return {id for id in void if self.calls[id].until is None}

    def leave(self, step: Step) -> set[CallId]:
        """Give the calls whose handlers have left, or had their time."""
        at, over = step.given.at, step.after.phase is Phase.CLOSED
        rang = isinstance(step.given, Rang) and step.given.timer is Timer.GRACE
        left = {
            id
            for id, call in self.calls.items()
            if call.until is not None and (not call.handled or over or (rang and call.until <= at))
        }
        for id in left:
            self.calls[id].until = None
        assert all(c.until is None or at <= c.until for c in self.calls.values()), "25: in time"
        return left

    def answer(self, step: Step) -> None:
        """A result is sent for an open call only, and not for one that was detached."""
        frames = [read(wire) for wire in step.wires]
        sent = [frame.call for frame in frames if isinstance(frame, ToolResult)]
        given = step.given
        if not isinstance(given, Pushed) or not isinstance(given.frame, ToolResult):
            assert sent == []
            return
        call = self.calls.get(given.frame.call)
        if step.before.phase is not Phase.OPEN:
            assert isinstance(step.refused, SessionClosed | Unavailable)
        elif call is None or call.outcome != "open":
            assert isinstance(step.refused, InvalidRequest), "24: a typed error"
        else:
            withheld = call.policy == "detach" and call.epoch < step.before.epoch
            call.outcome = "kept" if withheld else "sent"
        expected = call is not None and step.refused is None and call.outcome == "sent"
        assert sent == [given.frame.call] * expected, "24, 25: sent, withheld or refused"

    def go_on(self, step: Step) -> None:
        """One continuation for each response whose calls are all answered, in its own epoch."""
        ended = {e.response for e in step.events if isinstance(e, ResponseDone)}
        self.open = [id for id in self.open if id not in ended]
        due = {id for id in self.made if self.due(id, step)} - self.continued
        assert step.after.minted - step.before.minted == len(due), "one continuation"
        self.continued |= due
        creates = [f for f in map(read, step.wires) if isinstance(f, CreateResponse)]
        self.asked += [frame.request for frame in creates]
        if step.after.conn != step.before.conn:
            self.asked = []

    def due(self, id: ResponseId, step: Step) -> bool:
        known = step.after.ledger.responses.get(id)
        outcomes = {self.calls[call].outcome for call in self.made[id]}
        return (
            id not in self.open
            and known is not None
            and (known.epoch, known.conn) == (step.after.epoch, step.after.conn)
            and step.after.phase is Phase.OPEN
            and "sent" in outcomes
            and "open" not in outcomes
        )


def _pick(things: Sequence[T], k: int) -> T:
    """Choose, the newest first."""
    return things[-1 - k % len(things)]


def _picked(things: Sequence[T], k: int) -> list[T]:
    return [_pick(things, k)] if things else []


def live_by_the_model(*, faulty: bool = False) -> None:
    """Hold the machine to the model; where it is known to be faulty, look longer, not closer."""
    limits = settings(max_examples=3 * settings().max_examples)
    if faulty:
        limits = settings(
            max_examples=1_000,
            phases=[Generation.generate],
            report_multiple_bugs=False,
            derandomize=True,
            database=None,
        )
    run_state_machine_as_test(Calls, settings=limits)
