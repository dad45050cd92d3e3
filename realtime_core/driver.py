"""The driver: pumps around the machine, and one interpreter of its effects that never waits.

Any task may call `feed`: a transition and all its effects happen in one go, so the order of calls
is the order of effects. Waiting happens only in the pumps, before they take the next item.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, assert_never

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace

from .doors import Doors
from .epoch import CallId
from .errors import InternalFault, InvalidRequest, RealtimeError, RealtimeException
from .events import Disconnected
from .faults import fault_of, first_cause, uncancelled
from .frames import Close, Frame, Interrupt
from .guard import Guard
from .line import Line
from .link import Link
from .machine import step
from .moment import played
from .outlet import Outlet
from .plan import Plan
from .provider import Provider
from .scopes import Scopes
from .signals import Signal
from .state import (
    Arm,
    Begun,
    Dial,
    Disarm,
    Effect,
    Emit,
    Entered,
    Fence,
    Hangup,
    Input,
    Left,
    Linked,
    Lost,
    Pause,
    Phase,
    Purged,
    Pushed,
    Rang,
    Received,
    Refused,
    Send,
    Shed,
    State,
    Stop,
    Timer,
    Transition,
)

__all__ = ("Driver", "Watcher")

_BATCH = 32 * 1024
"""Bytes of messages that are handed to a connection at a time, unless one is larger."""

Watcher = Callable[[Input, Transition], RealtimeError | None]
"""Is told of every transition, before its effects happen; must neither wait nor raise.

What it gives is reported as an `Error` event, once the effects have happened.
"""


class Driver:
    """Carries: between the caller, the machine and the connection."""

    def __init__(
        self,
        provider: Provider[Any],
        plan: Plan,
        session_id: str,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.provider = provider
        self.clock = clock
        self.state = State(plan, session_id, history=plan.config.history)
        self.outlet = Outlet(plan.config.outlet)
        self.doors = Doors(plan, self)
        self.changed = Signal()
        """Given after every transition, and when a connection has ended."""
        self.crash: BaseException | None = None
        """The first failure of a task that should not fail."""
        self.line: Line | None = None
        self._standby: Line | None = None
        """A connection that is made while another is in use."""
        self.watchers: tuple[Watcher, ...] = ()
        self._random = random
        self._timers: dict[Timer, float] = {}
        self._timers_changed = Signal()
        self.scopes = Scopes()
        self.guard = Guard()
        self._tasks: TaskGroup | None = None

    def played(self) -> float:
        """Give the time up to which what the consumer has taken can have been played."""
        return played(self.state, self.clock())

    # --- the interpreter ----------------------------------------------------------------------

    def feed(self, given: Input) -> RealtimeError | None:
        """Let the machine decide, and do what it says; gives why a pushed frame was refused.

        Never waits. A failure of the provider's codec ends the session and is given as the reason.
        """
        try:
            transition = step(self.provider.codec, self.state, given)
        except Exception as problem:  # a codec's defect must not hit the caller's task
            return self.fail(problem)
        self._apply(given, transition)
        return transition.refused

    def _apply(self, given: Input, transition: Transition) -> None:
        sound = self.guard.watch(self.state, given, transition)
        complaints = [watch(given, transition) for watch in self.watchers]
        before, self.state = self.state.phase, transition.state
        for effect in transition.effects:
            self._perform(effect)
        self.outlet.filled.give()
        self.changed.give()
        if self.state.phase is not before:
            self._moved()
        if self.outlet.purged:
            calls, self.outlet.purged = self.outlet.purged, ()
            self.feed(Purged(at=self.clock(), calls=calls))
        if self.outlet.unread[0]:
            (count, ms), self.outlet.unread = self.outlet.unread, (0, 0.0)
            self.shed("outlet", "unread", count, ms)
        if not sound and not (isinstance(given, Pushed) and isinstance(given.frame, Interrupt)):
            self.push(Interrupt(cause="local"))
        for complaint in complaints:
            if complaint is not None:
                self.refuse(complaint)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Emit():
                self.outlet.put(effect.event)
            case Send():
                if self.line is not None:
                    self.line.put(effect.wires)
            case Fence():
                self.outlet.fence(effect.epoch)
                self.scopes.fence(effect)
            case Pause():
                self.scopes.pause(effect.on)
            case Stop():
                self.scopes.stop(effect.calls)
            case Arm():
                self._timers[effect.timer] = effect.at
                self._timers_changed.give()
            case Disarm():
                self._timers.pop(effect.timer, None)
                self._timers_changed.give()
            case Dial():
                self._dial(effect.conn)
            case Hangup():
                self._hang_up(effect.conn)
            case _:
                assert_never(effect)

    def _dial(self, conn: int) -> None:
        assert self._tasks is not None  # noqa: S101 - dialling follows `run`
        line, state = Line(conn), self.state
        heir = state.heir if conn != state.conn else None
        plan = state.plan if heir is None else state.plan.at(heir.place)
        if self.line is None or self.line.hanging_up:
            self.line = line
        else:  # also where both happened at once: hanging up the one in use comes after this
            self._standby = line
        self._tasks.start_soon(self._guard, self._connect, line, plan)

    def _hang_up(self, conn: int) -> None:
        if self.line is not None and self.line.conn == conn:
            self.line.hang_up(anyio.current_time() + self.state.plan.config.close_timeout)
        if self._standby is not None and self._standby.conn == self.state.conn:
            self.line, self._standby = self._standby, None

    def _moved(self) -> None:
        """Do what comes with a new phase: what waited may go once open; all ends when closed."""
        if self.state.phase.ending and self._standby is not None:
            self._standby.scope.cancel()
        if self.state.phase is Phase.CLOSED:
            self.scopes.end()
            self.doors.shut()
            if self.line is not None:
                self.line.scope.cancel()
        elif self.line is not None:
            self.line.filled.give()

    def fail(self, problem: BaseException) -> RealtimeError:
        """End the session because a task or a codec failed; the first cause is kept."""
        error = fault_of(problem)
        if isinstance(error, InternalFault) and self.crash is None:
            self.crash = first_cause(problem)
        at, delivered = self.clock(), self.outlet.delivered
        lost = Lost(at=at, delivered=delivered, conn=self.state.conn, error=error)
        try:
            transition = step(self.provider.codec, self.state, lost)
        except Exception:  # the first cause is kept; here only the end matters
            transition = _broken(self.state, at, error)
        self._apply(lost, transition)
        return error

    def push(self, frame: Frame) -> RealtimeError | None:
        """Hand a frame straight to the machine."""
        return self.feed(Pushed(at=self.clock(), delivered=self.outlet.delivered, frame=frame))

    def refuse(self, error: RealtimeError) -> None:
        """Report a refused frame for whose answer nobody waits."""
        self.feed(Refused(at=self.clock(), error=error))

    def shed(self, lane: str, reason: str, count: int, ms: float) -> None:
        """Report a drop."""
        self.feed(Shed(at=self.clock(), lane=lane, reason=reason, count=count, ms=ms))

    def handled(self, call: CallId, *, begins: bool) -> None:
        """Tell the machine that a handler begins to run for a call, or has left its scope."""
        at = self.clock()
        self.feed(Entered(at=at, call=call) if begins else Left(at=at, call=call))

    # --- pumps --------------------------------------------------------------------------------

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Run the pumps while the block is open; leaving it ends all that belongs to the session.

        What the block raises comes out as it was raised, and never in an exception group.
        """
        raised: BaseException | None = None
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._guard, self._ring)
                self.feed(Begun(at=self.clock()))
                try:
                    yield
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as problem:  # raised again below, outside the group
                    raised = problem
                finally:
                    await self._end()
                    tasks.cancel_scope.cancel()
        except anyio.get_cancelled_exc_class():
            if raised is None:  # else, on trio, what the block raised would be lost
                raise
        if raised is not None:
            raise raised
        if self.crash is not None:
            raise RealtimeException(fault_of(self.crash)) from self.crash

    async def _end(self) -> None:
        """Close; wait for the provider until the close deadline, even while being cancelled."""
        deadline = self.state.plan.config.close_timeout
        with anyio.move_on_after(deadline, shield=True):
            self.doors.pass_on(Close())
            while self.state.phase is not Phase.CLOSED and self.line is not None:
                await self.changed.wait()
        if self.state.phase is not Phase.CLOSED:
            self.feed(Lost(at=self.clock(), conn=self.state.conn))

    async def _guard(self, pump: Callable[..., Awaitable[None]], *given: object) -> None:
        try:
            await pump(*given)
        except Exception as problem:  # the first cause surfaces when the block ends
            self.fail(problem)

    async def _ring(self) -> None:
        while True:
            if not self._timers:
                await self._timers_changed.wait()
                continue
            timer = min(self._timers, key=lambda timer: self._timers[timer])
            left = self._timers[timer] - self.clock()
            if left > 0:
                with anyio.move_on_after(left):
                    await self._timers_changed.wait()
                continue
            del self._timers[timer]
            self.feed(
                Rang(
                    at=self.clock(),
                    delivered=self.outlet.delivered,
                    timer=timer,
                    random=self._random(),
                )
            )

    async def _connect(self, line: Line, plan: Plan) -> None:
        error: RealtimeError | None = None
        try:
            with line.scope:
                try:
                    async with self.provider.dial(plan) as link:
                        await self._talk(line, link)
                except Exception as problem:  # told apart in `fault_of`
                    error = self._fault(problem, line)
                except BaseExceptionGroup as group:  # trio: something failed while being cancelled
                    failed, cancelled = uncancelled(group)
                    if cancelled is None or not isinstance(failed, Exception):
                        raise
                    error = self._fault(failed, line)
                    raise cancelled from None
        finally:
            self.line = None if self.line is line else self.line
            self._standby = None if self._standby is line else self._standby
            self.changed.give()
        self.feed(
            Lost(
                at=self.clock(),
                delivered=self.outlet.delivered,
                conn=line.conn,
                error=error,
                random=self._random(),
            )
        )

    def _fault(self, problem: Exception, line: Line) -> RealtimeError:
        """Read a failure; a defect ends the session, but not while it goes on without that line."""
        error = fault_of(problem)
        ends = isinstance(error, InternalFault) and line is not self._standby
        return self.fail(problem) if ends else error

    async def _talk(self, line: Line, link: Link) -> None:
        async with anyio.create_task_group() as both:
            line.talk = both.cancel_scope
            line.straight = getattr(link, "offer", None)
            self.feed(Linked(at=self.clock(), conn=line.conn))
            both.start_soon(self._send, line, link)
            await self._receive(line, link)
            both.cancel_scope.cancel()

    async def _send(self, line: Line, link: Link) -> None:
        while True:
            if line is self.line:
                self.doors.refill(line, _BATCH)
            if line.waiting:
                line.sending = True
                await link.send(line.take())
                line.sending = False
            elif line.hanging_up:
                assert line.talk is not None  # noqa: S101 - set before this pump starts
                line.talk.cancel()
                return
            elif line is not self.line or (left := self.doors.next_picture()) is None:
                await line.filled.wait()
            else:
                with anyio.move_on_after(left):
                    await line.filled.wait()

    async def _receive(self, line: Line, link: Link) -> None:
        outlet, policy, conn = self.outlet, self.outlet.limits.policy, line.conn
        while True:
            while outlet.crowded or (policy == "pause" and outlet.full):
                await outlet.drained.wait()
            try:
                wires = await link.receive()
            except anyio.EndOfStream:
                return
            while line is self._standby:  # its first words wait until it is in use
                await self.changed.wait()
            self.feed(Received(at=self.clock(), delivered=outlet.delivered, conn=conn, wires=wires))
            if policy == "fail" and outlet.full:
                raise RealtimeException(_deaf(outlet.limits.seconds))
            if policy == "drop" and outlet.full:
                count, ms = outlet.overflow()
                if count:
                    self.shed("outlet", "full", count, ms)


def _broken(state: State, at: float, error: RealtimeError) -> Transition:
    """End without the machine, which has failed twice."""
    ended = replace(state, phase=Phase.CLOSED, due={}, barrier=False, ending=error)
    last = Disconnected(
        reason=error.what, clean=False, error=error, epoch=state.epoch, conn=state.conn, at=at
    )
    return Transition(ended, (Emit(last),))


def _deaf(seconds: float) -> RealtimeError:
    return InvalidRequest(
        what=f"More than {seconds:g} s of audio wait for the consumer.",
        cause="nobody takes the events, or takes them slower than they are spoken",
        fix="Take events faster, or choose the outlet policy `pause` or `drop`.",
    )
