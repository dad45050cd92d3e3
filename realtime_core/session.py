"""A session: frames in, events out.

A `RealtimeSession` is a value that names one running conversation; `open_session` holds its
lifetime. Everything it can say is read from the machine's state, so it cannot lie.
"""

from __future__ import annotations

import random as randomness
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar, cast, overload
from uuid import uuid4

import anyio
import anyio.lowlevel
from anyio import CancelScope
from anyio.streams.memory import MemoryObjectSendStream
from msgspec.structs import fields, replace
from returns.result import Failure, Result, Success

from .audio.format import AudioFormat
from .capability import Capabilities
from .config import Message, SessionConfig
from .driver import Driver, Watcher
from .ends import Ends, Exit
from .epoch import CallId, Epoch, ResponseId, is_stale
from .errors import RealtimeError, RealtimeException
from .events import HeardItem, RealtimeEvent
from .frame_queue import FrameQueue
from .frames import ActivityEnd, ActivityStart, Audio, Frame, Interrupt, Text
from .guard import Passed
from .lane import Balance, LaneName
from .outlet import Tally
from .provider import Provider, provided
from .responses import Responses, heard_of
from .signals import Signal
from .state import Phase, State

__all__ = ("Events", "Opening", "RealtimeSession", "Recorder", "Statistics", "open_session")

F_contra = TypeVar("F_contra", contravariant=True)
X = TypeVar("X")

_CHUNK_MS = 20
_FAIRNESS = 64
"""Events that may be taken in a row before other tasks get their turn."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counters of one session; every one only grows, but `waiting`."""

    lanes: dict[LaneName, Balance]
    """Frames offered = sent + dropped + refused + waiting, per lane."""
    output: Tally
    """Samples received = delivered + fenced + overflowed + waiting."""
    dropped: dict[str, int]
    """What of the provider's output was not passed on, by reason."""
    violations: int
    """Invariants of the library that a transition broke: a defect, each has fenced the session."""


class Events(AsyncIterator[RealtimeEvent]):
    """The events of a session, for one consumer.

    Cancelling a pending `__anext__` loses no event. The last event is `Disconnected`; after it the
    iteration is over for ever. A second task that asks at the same time gets `BusyResourceError`.
    """

    __slots__ = ("_clock", "_exit", "_in_a_row", "_waiting")

    def __init__(self, exit: Exit, clock: Callable[[], float]) -> None:
        """Make it of where events come out, and a clock that stands still during holds."""
        self._exit = exit
        self._clock = clock
        self._in_a_row = 0
        self._waiting = False

    def __aiter__(self) -> Events:
        return self

    def __or__(self, operator: Callable[[Events], X]) -> X:
        """Pipe into an operator: `session.events() | operators.audio.pipe()`."""
        return operator(self)

    @property
    def filled(self) -> Signal:
        """Given when something can be taken, or it is over."""
        return self._exit.filled

    @property
    def over(self) -> bool:
        """Whether the last event was taken."""
        return self._exit.over

    def poll(self) -> RealtimeEvent | None:
        """Give the next event, or None if nothing waits. Never waits itself."""
        return self._exit.take(self._clock())

    def stale(self, event: RealtimeEvent) -> bool:
        """Tell whether an event that was taken is output of an answer that was cut since."""
        return self._exit.stale(event)

    async def __anext__(self) -> RealtimeEvent:
        if self._waiting:
            raise anyio.BusyResourceError("taking events from")
        self._in_a_row += 1
        if self._in_a_row > _FAIRNESS:
            self._in_a_row = 0
            await anyio.lowlevel.checkpoint()
        exit = self._exit
        while True:
            event = exit.take(self._clock())
            if event is not None:
                return event
            if exit.over:
                raise StopAsyncIteration
            self._in_a_row = 0
            self._waiting = True
            try:
                await exit.filled.wait()
            finally:
                self._waiting = False


@dataclass(frozen=True, slots=True, eq=False)
class RealtimeSession(Generic[F_contra]):
    """One conversation with a model: push frames into it, iterate over its events.

    Safe to use from several tasks of one event loop. All pushes raise `RealtimeException` with
    `SessionClosed` once it is closed.
    """

    frames: MemoryObjectSendStream[F_contra]
    """The queue in, where a stream is handier than calls.

    Frames pushed here and by calls keep the order of the pushes, and urgent ones take effect at
    once. A frame refused here becomes an `Error` event. Closing it closes only it; once the session
    is over it raises `anyio.BrokenResourceError`.
    """
    session_id: str
    """A UUID of this session, kept over reconnects."""
    _driver: Driver
    ends: Ends
    """What it is wired to, for functions from session to session (`realtime_core.mapping`)."""

    def __repr__(self) -> str:
        return f"<RealtimeSession {self.session_id} {self._driver.state.phase.value}>"

    # --- what is true now ---------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the provider has acknowledged the session and its connection stands."""
        return self._driver.state.phase is Phase.OPEN

    @property
    def epoch(self) -> Epoch:
        """The interrupt fence: rises by exactly one at each `interrupt()`."""
        return self._driver.state.epoch

    @property
    def fps(self) -> float:
        """Video frames per second that are sent to the model."""
        return self.config.fps

    @property
    def config(self) -> SessionConfig:
        """The configuration in force."""
        return self._driver.state.plan.config

    @property
    def capabilities(self) -> Capabilities:
        """What this session's provider can do."""
        return self._driver.state.plan.capabilities

    @property
    def input_format(self) -> AudioFormat:
        """The format audio is converted to before it is sent."""
        return self._driver.state.plan.input_format

    @property
    def output_format(self) -> AudioFormat:
        """The format `AudioOutput` comes in."""
        return self.ends.output_format or self._driver.state.plan.output_format

    @property
    def history(self) -> tuple[Message, ...]:
        """The conversation as it was said and heard."""
        return self._driver.state.conversation

    @property
    def statistics(self) -> Statistics:
        """The counters, at this instant."""
        driver = self._driver
        return Statistics(
            dict(driver.doors.inlet.balances),
            driver.outlet.tally,
            dict(driver.state.counts),
            driver.guard.violations,
        )

    @property
    def transitions(self) -> tuple[Passed, ...]:
        """The last 200 transitions, oldest first: evidence, where `statistics.violations` rose."""
        return self._driver.guard.passed

    # --- out ----------------------------------------------------------------------------------

    def events(self) -> Events:
        """Give the stream out; one consumer takes each event once (`operators.share` for more)."""
        return Events(self.ends.exit, self._driver.played)

    def responses(
        self,
        events: AsyncIterator[RealtimeEvent] | None = None,
        others: Callable[[RealtimeEvent], object] = lambda _: None,
    ) -> Responses:
        """Give the answers one by one, each a scope: `async for r in s.responses(): async with r`.

        Takes from `events` (default: the session's own); what belongs to no answer goes to
        `others`, which must not wait.
        """
        return Responses(self._driver, self.events() if events is None else events, others)

    # --- in -----------------------------------------------------------------------------------

    async def send(self, frame: F_contra) -> None:
        """Push a frame behind those pushed before it.

        Waits only where the lane's policy says so; urgent frames take effect at once. Raises what
        refuses the frame. Cancelling while it waits leaves the frame unsent.
        """
        await self.ends.entrance.send(cast("Frame", frame))

    def send_nowait(self, frame: F_contra) -> None:
        """Push a frame without waiting: taken, dropped by policy, or refused with `LaneFull`."""
        self.ends.entrance.send_nowait(cast("Frame", frame))

    def withdraw_pictures(self) -> None:
        """Drop the pictures that wait to be sent, counted: whoever showed them has stopped."""
        self._driver.doors.withdraw("video")

    async def interrupt(self) -> Epoch:
        """Fall silent now; gives the new epoch. Returns after the local effect, without waiting."""
        self.ends.entrance.send_nowait(Interrupt())
        return self._driver.state.epoch

    async def settled(self) -> None:
        """Wait until the provider has answered an interruption, or its deadline has passed."""
        while self._driver.state.barrier:
            await self._driver.changed.wait()

    async def simple_response(self, text: str, participant: str | None = None) -> None:
        """Send a text turn; the model answers, in audio if the session speaks."""
        await self.ends.entrance.send(Text(text, participant=participant))

    async def simple_audio_response(
        self, pcm: bytes, participant: str | None = None, format: AudioFormat | None = None
    ) -> None:
        """Send a spoken turn: raw PCM (default: the session's input format), then silence.

        Waits for room, whatever the lane's policy: nothing is dropped to make it, though a sliding
        lane still drops what has grown too old. The silence lets the provider
        notice the end of the turn; under manual turns the turn is ended instead.
        """
        del participant  # no wire of today carries it; kept for those that will
        form = format or self.input_format
        self.ends.entrance.check(Audio(pcm, form))
        manual = self.config.turn_detection.mode == "manual"
        if manual:
            await self.ends.entrance.send(ActivityStart(), patient=True)
        step = form.sample_size * (form.rate * _CHUNK_MS // 1000)
        for start in range(0, len(pcm), step):
            await self.ends.entrance.send(Audio(pcm[start : start + step], form), patient=True)
        if manual:
            await self.ends.entrance.send(ActivityEnd(), patient=True)
            return
        for _ in range(self.capabilities.closing_silence_ms // _CHUNK_MS):
            await self.ends.entrance.send(Audio(bytes(step), form), patient=True)

    # --- scopes and end -----------------------------------------------------------------------

    @contextmanager
    def within(self, epoch: Epoch | None = None) -> Generator[CancelScope]:
        """Run the block only as long as nothing interrupts this epoch (default: the present one).

        The scope is cancelled in the same tick in which the epoch is fenced, or the session closed;
        at once if that is past.
        """
        with CancelScope() as scope:
            bound = self.epoch if epoch is None else epoch
            if is_stale(bound, self.epoch) or self._driver.state.phase is Phase.CLOSED:
                scope.cancel()
            self._driver.scopes.enter(scope, bound)
            try:
                yield scope
            finally:
                self._driver.scopes.leave(scope)

    @contextmanager
    def handling(self, call: CallId) -> Generator[CancelScope]:
        """Run the handler of a tool call in the block.

        The scope is cancelled in the same tick in which the call is void: its policy lets an
        interruption stop it, the provider takes it back, or the session is closed; at once if that
        is past, or if a handler already runs for it. `ToolCallCancelled` follows when the block was
        left, at the latest after the grace time.
        """
        driver = self._driver
        with CancelScope() as scope:
            known = driver.state.ledger.calls.get(call)
            over = driver.state.phase is Phase.CLOSED
            if known is None or known.outcome != "open" or over or driver.scopes.handles(call):
                scope.cancel()
                yield scope
                return
            with driver.scopes.handling(call, scope):
                driver.handled(call, begins=True)
                try:
                    yield scope
                finally:
                    driver.handled(call, begins=False)

    @contextmanager
    def pausing(self, told: Callable[[bool], object]) -> Generator[None]:
        """Tell `told`, while the block is open, of each hold (True) and of its end (False).

        It is called in the same tick, at once if a hold is on. It must neither wait nor raise, and
        push nothing but `Heard`.
        """
        with self._driver.scopes.pausing(told):
            if self._driver.state.holding is not None:
                told(True)
            yield

    def heard(self, response: ResponseId) -> tuple[HeardItem, ...]:
        """Give what has reached the ear of a response's items so far, or had when it was cut.

        Empty for an answer that is not known, or was cut so long ago that it is forgotten.
        """
        return heard_of(self._driver, response)

    async def outcome(self) -> Result[str, RealtimeError]:
        """Wait for the end: the reason of a clean one, or the error."""
        while self._driver.state.phase is not Phase.CLOSED:
            await self._driver.changed.wait()
        ending = self._driver.state.ending
        return Success("closed") if ending is None else Failure(ending)


_SETTINGS = frozenset(field.name for field in fields(SessionConfig))


class Recorder(Protocol):
    """Writes down a session from its first transition on."""

    def __call__(self, provider: Provider[Any], state: State) -> AbstractContextManager[Watcher]:
        """Begin, with the state before the first transition; the watcher is told of each."""
        ...


class Opening(AbstractAsyncContextManager[RealtimeSession[F_contra]], Generic[F_contra]):
    """A session that opens when its block is entered; made by `open_session`, for one use."""

    __slots__ = ("_held", "_open", "recorders")

    def __init__(
        self,
        open: Callable[
            [tuple[Recorder, ...]], AbstractAsyncContextManager[RealtimeSession[F_contra]]
        ],
    ) -> None:
        self._open = open
        self._held: AbstractAsyncContextManager[RealtimeSession[F_contra]] | None = None
        self.recorders: tuple[Recorder, ...] = ()

    async def __aenter__(self) -> RealtimeSession[F_contra]:
        self._held = self._open(self.recorders)
        return await self._held.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        assert self._held is not None  # noqa: S101 - entered before
        return await self._held.__aexit__(kind, raised, trace)


@overload
def open_session(
    provider: str,
    config: SessionConfig | None = None,
    *,
    session_id: str | None = None,
    clock: Callable[[], float] = ...,
    random: Callable[[], float] = ...,
    **settings: Any,  # noqa: ANN401 - as below
) -> Opening[Frame]: ...


@overload
def open_session(
    provider: Provider[F_contra],
    config: SessionConfig | None = None,
    *,
    session_id: str | None = None,
    clock: Callable[[], float] = ...,
    random: Callable[[], float] = ...,
    **settings: Any,  # noqa: ANN401 - as below
) -> Opening[F_contra]: ...


def open_session(
    provider: str | Provider[Any],
    config: SessionConfig | None = None,
    *,
    session_id: str | None = None,
    clock: Callable[[], float] = anyio.current_time,
    random: Callable[[], float] = randomness.random,  # noqa: S311 - jitter, no secret
    **settings: Any,
) -> Opening[Any]:
    """Open a session with a provider (`"local"`, `"openai:gpt-realtime"`, or a `Provider`).

    Further keywords are fields of `SessionConfig` (`voice="marin"`), or options of the provider.
    Enters once the provider has acknowledged the session; else raises `RealtimeException` with the
    typed error. Leaving the block, in any way, closes the session within its close deadline and
    leaves no task, socket or timer behind; a remote fault is no exception but the last event.
    """

    @asynccontextmanager
    async def opened(recorders: tuple[Recorder, ...]) -> AsyncGenerator[RealtimeSession[Any]]:
        wish = {name: settings[name] for name in settings.keys() & _SETTINGS}
        options = {name: settings[name] for name in settings.keys() - _SETTINGS}
        made = provided(provider, options)
        base = config if config is not None else made.defaults
        plan = made.agree(made.capabilities, replace(base, **wish))
        if isinstance(plan, Failure):
            raise RealtimeException(plan.failure())
        name = session_id or str(uuid4())
        time = _backend_time() if clock is anyio.current_time else clock
        driver = Driver(made, plan.unwrap(), name, clock=time, random=random)
        with ExitStack() as recordings:
            for recorder in recorders:
                driver.watchers += (recordings.enter_context(recorder(made, driver.state)),)
            async with driver.run():
                while driver.state.phase is Phase.CONNECTING:
                    await driver.changed.wait()
                if driver.state.ending is not None:
                    raise RealtimeException(driver.state.ending) from driver.crash
                queue = FrameQueue[Any](driver.doors, driver.refuse)
                ends = Ends(driver.doors, driver.outlet)
                yield RealtimeSession(queue, name, driver, ends)

    return Opening(opened)


def _backend_time() -> Callable[[], float]:
    """Give the clock of the running loop itself: anyio looks for it anew at each question."""
    import asyncio  # noqa: PLC0415 - a third of the memory that importing the library takes

    try:
        return asyncio.get_running_loop().time
    except RuntimeError:  # it is trio's
        return anyio.current_time
