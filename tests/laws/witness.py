"""A witness: sees all that a session takes in and gives out, and holds it to the laws.

It knows nothing of the scene that is played. What it learns it learns from the messages of both
sides, from what the consumer and the sinks get, and from the order of all that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from math import ceil
from typing import Any, NamedTuple

import pytest
from anyio import BrokenResourceError
from msgspec.json import Decoder

from realtime_core.codec import CancelResponse, DeleteItem, Outgoing, TruncateItem, as_message
from realtime_core.config import Secret, ToolPolicy
from realtime_core.epoch import CallId, Epoch, ItemId, RequestId, ResponseId
from realtime_core.errors import RealtimeException, SessionClosed
from realtime_core.events import (
    AudioOutput,
    ConversationItem,
    Interrupted,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ToolCall,
    ToolCallCancelled,
)
from realtime_core.frames import CreateResponse, Text, ToolResult
from realtime_core.provider import Provider
from realtime_core.session import RealtimeSession
from realtime_core.state import Emit, Fence, Input, Phase, Rang, Received, Send, State, Timer
from realtime_core.state import Transition as Passed
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.scripted import Greeting, read
from tests.laws.far import Items, item_of
from tests.laws.stories import is_perishable

__all__ = ("Witness",)


def _secret(kind: type[Secret], value: object) -> Secret:
    return kind(str(value))


_SAID: Decoder[RealtimeEvent] = Decoder(RealtimeEvent, dec_hook=_secret)
_CUTS = {"app", "local", "provider"}


class _Call(NamedTuple):
    conn: int
    policy: ToolPolicy


class Witness:
    """What is known of one session, and every law that it was seen to break."""

    def __init__(self, items: Items) -> None:
        self.broken: list[str] = []
        self.session: RealtimeSession[Any] | None = None
        self.trace: list[RealtimeEvent] = []
        self.emitted: list[RealtimeEvent] = []
        """What the session had to say, in order, taken or not."""
        self.handed: list[Outgoing | Greeting] = []
        """What was handed to the connections, in order."""
        self.running: Counter[CallId] = Counter()
        """Handlers that run now."""
        self.begun: Counter[CallId] = Counter()
        self.ears: Callable[[ItemId], int] | None = None
        """Says how much of an item was truly heard, where there is a sink."""
        self.scale = 1.0
        """Samples of the provider in one that is given out."""
        self.lags = False
        """Whether more counts as delivered than the consumer was given."""
        self.fenced: set[ResponseId] = set()
        self._items = items
        self._state: State | None = None
        self._epoch = Epoch(0)
        self._asked: dict[RequestId, Epoch] = {}
        self._unborn: set[RequestId] = set()
        self._gen: dict[ResponseId, Epoch] = {}
        self._fresh: set[ResponseId] = set()
        self._open: set[ResponseId] = set()
        self._ended: dict[ResponseId, str] = {}
        self._settled: Counter[ResponseId] = Counter()
        self._owner: dict[ItemId, ResponseId] = {}
        self._received: Counter[ItemId] = Counter()
        self._delivered: Counter[ItemId] = Counter()
        self._calls: dict[CallId, _Call] = {}
        self._told: set[CallId] = set()
        self._called: set[CallId] = set()
        self._void: set[CallId] = set()
        self._outcomes: Counter[CallId] = Counter()
        self._once: Counter[tuple[str, str]] = Counter()
        self._late: Counter[ResponseId] = Counter()
        self._seen: set[tuple[str, int]] = set()

    def law(self, holds: bool, words: str) -> None:
        """Note a law that was broken."""
        if not holds:
            self.broken.append(words)

    # --- what the machine decides -------------------------------------------------------------

    @contextmanager
    def recorder(
        self, provider: Provider[Any], state: State
    ) -> Generator[Callable[[Input, Passed], None]]:
        """Watch a session from its first transition on."""
        self._state = state
        yield self._watch

    def _watch(self, given: Input, passed: Passed) -> None:
        assert self._state is not None
        before, self._state = self._state, passed.state
        try:
            if isinstance(given, Received) and given.conn == before.conn:
                for wire in given.wires:
                    self._read(_SAID.decode(as_message(wire)), before)
            if passed.state.conn > before.conn:
                self._unborn.clear()
            if isinstance(given, Rang) and given.timer is Timer.SETTLE:
                self._unborn = {wish for wish in self._unborn if self._asked[wish] == self._epoch}
            self._follow(given, passed, before)
        except Exception as problem:
            self.broken.append(f"the witness is at a loss: {problem!r}")

    def _read(self, event: RealtimeEvent, before: State) -> None:
        """3. A response is bound to the epoch in which it was asked for, or else was first seen."""
        if before.phase.ending:
            return
        match event:
            case ResponseStarted(response=id) if id is not None and id not in self._gen:
                if event.request in self._asked:
                    self._gen[id] = self._asked[event.request]
                    self._unborn.discard(event.request)
                else:
                    self._gen[id] = Epoch(before.epoch - before.barrier)
                self._open.add(id)
                if self._gen[id] == before.epoch:
                    self._fresh.add(id)
            case AudioOutput(response=id, item=item) if id in self._open and item is not None:
                self._owner[item] = id
                self._received[item] += event.format.samples(len(event.pcm))
            case ToolCall(response=id) if id in self._open:
                policies = {tool.name: tool.policy for tool in before.plan.config.tools}
                self._calls[event.call] = _Call(before.conn, policies.get(event.name, "cancel"))
            case ResponseDone(response=id) if id in self._open:
                self._ended[id] = event.status
            case _:
                pass

    def _follow(self, given: Input, passed: Passed, before: State) -> None:
        cut: Interrupted | None = None
        truncated, deleted = list[ItemId](), list[ItemId]()
        for effect in passed.effects:
            match effect:
                case Fence():
                    self._epoch = effect.epoch
                    self.fenced.update(effect.responses)
                case Emit(event):
                    self._emit(event, passed.state.phase)
                    cut = event if isinstance(event, Interrupted) else cut
                case Send():
                    for said in map(read, effect.wires):
                        self._send(said, given, before)
                        if isinstance(said, TruncateItem):
                            truncated.append(said.item)
                        elif isinstance(said, DeleteItem):
                            deleted.append(said.item)
                case _:
                    pass
        heard = () if cut is None or cut.cause not in _CUTS else cut.heard
        if passed.state.phase is Phase.OPEN:
            partly = [part.item for part in heard if 0 < part.samples < part.received]
            self.law(truncated == partly, "16: one truncation for each item partly heard")
            unheard = [part.item for part in heard if not part.samples]
            self.law(deleted == unheard, "16: what nobody heard is deleted")

    def _emit(self, event: RealtimeEvent, phase: Phase) -> None:
        self.emitted.append(event)
        match event:
            case Interrupted():
                for part in event.heard:
                    self.law(0 <= part.samples <= self._heard(part.item), "17: heard is true")
                    self.law(part.received == self._received[part.item], "16: what was received")
                if event.cause in _CUTS:
                    self._void.update(
                        id
                        for id, call in self._calls.items()
                        if call.policy == "cancel" and not self._outcomes[id]
                    )
            case ResponseDone(response=id) if id is not None:
                self._settled[id] += 1
                self._open.discard(id)
                self.law(id in self._gen, "38: what settles was born")
                said = self._ended.get(id)
                told = event.status == said if event.by_provider else said is None
                self.law(told, "38: the provider's own end, and no other, is presented as such")
            case ToolCall():
                self._told.add(event.call)
            case ToolCallCancelled():
                for call in event.calls:
                    self._outcomes[call] += 1
                    self._is_due(call, phase)
            case ConversationItem() if event.message.role == "tool_result":
                assert event.message.call is not None
                self._outcomes[event.message.call] += 1
            case _:
                pass

    def _is_due(self, id: CallId, phase: Phase) -> None:
        """25. A call ends as its policy says."""
        if self._calls[id].policy == "cancel":
            self.law(phase is Phase.CLOSED or not self.running[id], "25: the handler has left")
        else:
            self.law(phase is not Phase.OPEN or id not in self._called, "25: a call may finish")

    def _heard(self, item: ItemId) -> int:
        """17. Give how much of an item can have been heard: never more than was handed out."""
        reached = self._received[item]
        if self.ears is not None:
            return min(reached, self.ears(item))
        return reached if self.lags else min(reached, ceil(self._delivered[item] * self.scale))

    def _send(self, said: Outgoing | Greeting, given: Input, before: State) -> None:
        match said:
            case CreateResponse():
                self.law(not self._open and not self._unborn, "15: one answer at a time")
                self._asked[said.request] = self._epoch
                self._unborn.add(said.request)
            case CancelResponse(id):
                self.law(
                    id in self._gen and self._gen[id] < self._epoch, "14: never one born after"
                )
                turns = before.plan.config.turn_detection
                led = turns.authority == "provider" and turns.two_phase is None
                told = isinstance(given, Received) and id in self._open and id in self._fresh
                self.law(not (led and told), "21a: no cancel in answer to the provider's notice")
            case TruncateItem(item):
                self.law(0 < said.samples <= self._heard(item), "16: truncated to what was heard")
            case ToolResult(id):
                known = id in self._calls and not self._outcomes[id]
                self.law(known, "24: no result for a call that has ended")
                self.law(id not in self._void, "24: no result after cancel")
            case _:
                pass

    # --- what the connections carry -----------------------------------------------------------

    def hand(self, conn: int, said: Outgoing | Greeting) -> None:
        """See a message that is handed to a connection."""
        self.handed.append(said)
        match said:
            case CreateResponse():
                self._only_once("15: a create", said.request)
            case CancelResponse(id):
                self._only_once("14: a cancel", id)
            case TruncateItem(item):
                self._only_once("16: a truncation", item)
            case ToolResult(id):
                self._only_once("23: a result", id)
                self.law(self._calls[id].conn == conn, "26: a result goes to who asked")
            case _:
                pass

    def _only_once(self, what: str, name: str) -> None:
        self._once[what, name] += 1
        self.law(self._once[what, name] == 1, f"{what} is sent at most once")

    # --- what comes out -----------------------------------------------------------------------

    def returned(self, event: RealtimeEvent) -> None:
        """See an event as the consumer of the session gets it."""
        self.trace.append(event)
        self._is_fresh(event, "4, 5: no stale output")
        if isinstance(event, AudioOutput) and event.item is not None:
            self._delivered[event.item] += event.format.samples(len(event.pcm))
        elif isinstance(event, ToolCall):
            self._called.add(event.call)
        elif isinstance(event, ResponseDone) and event.response in self._fresh - self.fenced:
            self.law(self._is_whole(event.response), f"19: {event.response} lost sound")
        self._balances()

    def passed(self, stream: str, event: RealtimeEvent) -> None:
        """See an event that comes out of a stream built on the session."""
        self._is_fresh(event, f"4, 5: no stale output of {stream}")
        self.law((stream, event.seq) not in self._seen, f"1: {stream} repeats nothing")
        self._seen.add((stream, event.seq))

    def _is_fresh(self, event: RealtimeEvent, words: str) -> None:
        if is_perishable(event):
            now = self._now
            own = self._gen.get(event.response) if event.response is not None else None
            self.law(event.epoch == now == own, words)

    @property
    def _now(self) -> Epoch:
        assert self.session is not None
        return self.session.epoch

    def wrote(self, pcm: bytes) -> None:
        """See what a sink is given."""
        response, _ = item_of(self._items, pcm)
        self.law(self._gen[response] == self._now, "4, 5: no stale sound is played")

    def stepped(self, response: ResponseId) -> None:
        """See a task of an answer go on: at most to its next wait, once that is cut."""
        if response in self.fenced:
            self._late[response] += 1
        self.law(self._late[response] <= 1, f"25: what runs for {response} stops with it")

    def _balances(self) -> None:
        assert self.session is not None
        counted = self.session.statistics
        for name, lane in counted.lanes.items():
            gone = lane.sent + lane.dropped + lane.refused + lane.waiting
            self.law(lane.offered == gone and min(lane) >= 0, f"31: the balance of {name}")
        out = counted.output
        gone = out.delivered + out.fenced + out.overflowed + out.waiting
        self.law(out.received == gone and min(out) >= 0, "35: the balance of the output")

    # --- the end ------------------------------------------------------------------------------

    def whole(self) -> list[ResponseId]:
        """List the answers that came to their good end and lost nothing."""
        return [id for id, end in self._ended.items() if end == "completed" and self._is_whole(id)]

    def _is_whole(self, id: ResponseId) -> bool:
        items = [item for item, owner in self._owner.items() if owner == id]
        return id in self._fresh and all(map(self._is_delivered, items))

    def _is_delivered(self, item: ItemId) -> bool:
        missing = self._received[item] - self._delivered[item] * self.scale
        return missing == 0 if self.scale == 1 else abs(missing) <= 1

    def judge(self) -> None:
        """Judge a session that is over, and of which everything was taken."""
        assert not self.broken, self.broken
        assert self.session is not None
        assert check_trace(self.trace, complete=True) == []
        for id in self._gen:
            assert self._settled[id] == 1, f"38: {id} settles once"
        for id in self._fresh - self.fenced:
            assert self._is_whole(id), f"19: {id} lost sound"
        for call in self._told:
            assert self._outcomes[call] == 1, f"23: {call} has one outcome"
            assert self.begun[call] <= 1, f"26: {call} is handled once"
        assert not +self.running, "28: no handler outlives the session"
        self._balances()
        assert not self.broken, self.broken
        assert self.session.statistics.violations == 0, self.session.transitions
        self._is_shut(self.session)

    @staticmethod
    def _is_shut(session: RealtimeSession[Any]) -> None:
        """32. After close every push raises the same typed error."""
        with pytest.raises(RealtimeException) as raised:
            session.send_nowait(Text("Too late."))
        assert isinstance(raised.value.error, SessionClosed)
        with pytest.raises(BrokenResourceError):
            session.frames.send_nowait(Text("Too late."))
