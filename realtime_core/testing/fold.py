"""A session folded by hand: machine and outlet without a task, a link or a running clock.

Every decision is the real one, because deciding needs no tasks; only the carrying is done here. So
a property over thousands of timelines costs microseconds a step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ..codec import Codec, Wire
from ..epoch import Epoch
from ..errors import RealtimeError
from ..events import RealtimeEvent
from ..frames import Close, Frame
from ..machine import step
from ..moment import played
from ..outlet import Outlet
from ..plan import Plan
from ..state import (
    Arm,
    Begun,
    Dial,
    Disarm,
    Effect,
    Emit,
    Fence,
    Hangup,
    Input,
    Linked,
    Lost,
    Phase,
    Purged,
    Pushed,
    Rang,
    Received,
    Send,
    State,
    Timer,
    Transition,
)

__all__ = ("Fold", "Returned", "Step", "fold")


class Step(NamedTuple):
    """One transition: what was known, what happened, what followed."""

    before: State
    given: Input
    after: State
    effects: tuple[Effect, ...]
    refused: RealtimeError | None

    @property
    def events(self) -> tuple[RealtimeEvent, ...]:
        """The events it queued."""
        return tuple(effect.event for effect in self.effects if isinstance(effect, Emit))

    @property
    def wires(self) -> tuple[Wire, ...]:
        """The messages it sent."""
        return tuple(w for effect in self.effects if isinstance(effect, Send) for w in effect.wires)


class Returned(NamedTuple):
    """An event as the consumer got it, and the session's epoch at that instant."""

    event: RealtimeEvent
    epoch: Epoch
    gen: Epoch | None
    """The epoch its response is bound to, if it is output of a response that is known."""


def fold(codec: Codec[Any], state: State, inputs: Iterable[Input]) -> list[Step]:
    """Run the machine over inputs, from a state; gives each transition."""
    steps = list[Step]()
    for given in inputs:
        transition: Transition = step(codec, state, given)
        steps.append(Step(state, given, *transition))
        state = transition.state
    return steps


class Fold:
    """One session in the caller's hands: it says what happens and when, and takes the events.

    Time passes only in `wait`, which rings what falls due. A dialled connection stands when `link`
    says so.
    """

    def __init__(self, codec: Codec[Any], plan: Plan, *, session_id: str = "fold") -> None:
        self.codec = codec
        self.at = 0.0
        """Monotonic seconds."""
        self.random = 0.5
        """Given to the jitter of a retry."""
        self.state = State(plan, session_id, history=plan.config.history)
        self.outlet = Outlet(plan.config.outlet)
        self.steps = list[Step]()
        """Every transition so far."""
        self.trace = list[Returned]()
        """What the consumer got so far."""
        self.dialled: int | None = None
        """The connection that was dialled and does not stand yet."""
        self.stands: int | None = None
        """The connection that stands."""
        self.beside: int | None = None
        """The next connection, dialled while the present one is in use."""
        self.ready: int | None = None
        """The same, once it stands."""
        self.due = dict[Timer, float]()
        self.give(Begun(at=self.at))

    @property
    def events(self) -> list[RealtimeEvent]:
        """The events the consumer got so far."""
        return [returned.event for returned in self.trace]

    @property
    def sent(self) -> list[Wire]:
        """Every message that was sent so far."""
        return [wire for one in self.steps for wire in one.wires]

    def give(self, given: Input) -> RealtimeError | None:
        """Let one thing happen; gives why a pushed frame was refused."""
        (done,) = fold(self.codec, self.state, (given,))
        self.steps.append(done)
        self.state = done.after
        for effect in done.effects:
            self._perform(effect)
        if self.outlet.purged:
            calls, self.outlet.purged = self.outlet.purged, ()
            self.give(Purged(at=self.at, calls=calls))
        return done.refused

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Emit():
                self.outlet.put(effect.event)
            case Fence():
                self.outlet.fence(effect.epoch)
            case Arm():
                self.due[effect.timer] = effect.at
            case Disarm():
                self.due.pop(effect.timer, None)
            case Dial() if self.dialled is None and self.stands is None:
                self.dialled = effect.conn
            case Dial():  # also where both happened at once: hanging up comes after this
                self.beside = effect.conn
            case Hangup() if self.state.phase is not Phase.CLOSING:
                self.dialled, self.stands = self.beside, self.ready
                self.beside = self.ready = None
            case _:
                pass

    # --- what can happen ----------------------------------------------------------------------

    def link(self) -> None:
        """Let the dialled connections stand, if any were dialled."""
        if self.dialled is not None:
            conn, self.dialled, self.stands = self.dialled, None, self.dialled
            self.give(Linked(at=self.at, delivered=self.outlet.delivered, conn=conn))
        if self.beside is not None:
            conn, self.beside, self.ready = self.beside, None, self.beside
            self.give(Linked(at=self.at, delivered=self.outlet.delivered, conn=conn))

    def receive(self, *wires: Wire, conn: int | None = None) -> None:
        """Let one read bring these messages, over the connection that stands or an older one."""
        conn = self.stands if conn is None else conn
        if conn is None:
            return
        self.give(
            Received(at=self.at, delivered=self.outlet.delivered, conn=conn, wires=tuple(wires))
        )

    def push(self, frame: Frame) -> RealtimeError | None:
        """Push a frame straight to the machine; gives its refusal."""
        return self.give(Pushed(at=self.at, delivered=self.outlet.delivered, frame=frame))

    def lose(self, error: RealtimeError | None = None, *, conn: int | None = None) -> None:
        """Let a connection end: the present one, an older one, or the one beside it."""
        conn = self.state.conn if conn is None else conn
        if conn == self.state.conn:
            self.dialled = self.stands = None
        elif conn > self.state.conn:
            self.beside = self.ready = None
        delivered = self.outlet.delivered
        self.give(Lost(at=self.at, delivered=delivered, conn=conn, error=error, random=self.random))

    def wait(self, seconds: float) -> None:
        """Let time pass; timers ring when they fall due."""
        until = self.at + seconds
        while self.due and min(self.due.values()) <= until:
            timer = min(self.due, key=lambda timer: self.due[timer])
            self.at = max(self.at, self.due.pop(timer))
            self.give(
                Rang(
                    at=self.at,
                    delivered=self.outlet.delivered,
                    timer=timer,
                    random=self.random,
                )
            )
        self.at = until

    def take(self, count: int = 1) -> list[Returned]:
        """Let the consumer take up to so many events, as far as any wait."""
        taken, at = list[Returned](), played(self.state, self.at)
        while len(taken) < count and (event := self.outlet.take(at)) is not None:
            taken.append(Returned(event, self.state.epoch, self._gen(event)))
        self.trace += taken
        return taken

    def _gen(self, event: RealtimeEvent) -> Epoch | None:
        if event.response is None:
            return None
        response = self.state.ledger.responses.get(event.response)
        return None if response is None else response.epoch

    def drain(self) -> list[Returned]:
        """Let the consumer take all that waits."""
        taken = list[Returned]()
        while more := self.take(64):
            taken += more
        return taken

    def close(self) -> None:
        """Close, let the peer stay mute until the deadline, and take what is left."""
        self.push(Close())
        while self.due and self.state.phase is not Phase.CLOSED:
            self.wait(min(self.due.values()) - self.at)
        self.drain()
