"""A replay: a recorded run again, through the pure machine or as a provider, without any network.

The machine has to decide what it decided then, byte for byte; the first step that differs is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import ObjectStream
from returns.result import Result, Success

from .capability import Capabilities
from .codec import Codec
from .config import SessionConfig
from .errors import InvalidRequest, RealtimeError, RealtimeException, Unsupported
from .events import RealtimeEvent
from .frames import Frame
from .link import Dial, Link, Wires
from .machine import step
from .outlet import Outlet
from .plan import Plan
from .provider import INCOMPLETE, Provider, provided
from .state import Emit, Fence, Input, Linked, Lost, Received, Transition
from .trace import Trace, decode, entry, header

__all__ = ("Diverged", "events", "load", "replay", "replayed")


def load(path: str | Path) -> Trace:
    """Read a trace into memory.

    Raises `RealtimeException` for what cannot be read or is no trace; a cut-off end is left out
    and told by `Trace.torn`.
    """
    try:
        with Path(path).open("rb") as file:
            return decode(file.read, str(path))
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise RealtimeException(
            InvalidRequest(
                what=f"{str(path)!r} cannot be read: {why}.",
                cause="a misspelt name, or a file that you may not read",
                fix="Look at the name and its permissions.",
            )
        ) from problem


class Diverged(RealtimeException):
    """The machine decides otherwise now than when the run was recorded: which step, and on what."""

    def __init__(self, number: int, given: Input, why: str) -> None:
        self.step = number
        """The record in the file; 0 holds the start, and 1 the first transition."""
        self.kind = type(given).__name__
        super().__init__(
            InvalidRequest(
                what=f"Step {number} ({self.kind}, at {given.at:.3f} s) differs: {why}.",
                cause="the library or the provider's codec has changed since, or has other options",
                fix="If the change is meant, record the run again.",
                code="diverged",
            )
        )


def replayed(trace: Trace, codec: Codec[Any] | None = None) -> Iterator[tuple[Input, Transition]]:
    """Run the machine over what happened, and check each decision.

    The codec is, if none is given, that of the provider of the recorded name. Raises `Diverged` at
    the first transition that differs, `RealtimeException` where there is no such provider.
    """
    codec = provided(trace.provider, {}).codec if codec is None else codec
    state, marks = trace.start, header(trace.provider, trace.start).marks
    for number, (given, digest) in enumerate(trace.entries, start=1):
        try:
            transition = step(codec, state, given)
            record = entry(marks, given, transition)
        except Exception as problem:  # a codec of another version may raise anything
            raise Diverged(number, given, f"it raises {type(problem).__name__}") from problem
        if record.digest != digest:
            raise Diverged(number, given, "other effects follow")
        state, marks = transition.state, record.marks
        yield given, transition


def events(
    trace: Trace, transitions: Iterable[tuple[Input, Transition]]
) -> Iterator[RealtimeEvent]:
    """Give the events as a consumer gets them that takes each at once."""
    outlet = Outlet(trace.start.plan.config.outlet)
    for given, transition in transitions:
        for effect in transition.effects:
            if isinstance(effect, Emit):
                outlet.put(effect.event)
            elif isinstance(effect, Fence):
                outlet.fence(effect.epoch)
        while (event := outlet.take(given.at)) is not None:
            yield event


# --- as a provider ----------------------------------------------------------------------------


def replay(
    model: str,
    *,
    speed: float = 1.0,
    gate: Callable[[], Awaitable[object]] | None = None,
    provider: Provider[Any] | None = None,
    **options: Any,  # noqa: ANN401 - of the recorded provider
) -> Provider[Frame]:
    """Make a provider of the file `model` that says again what was said: `"replay:call.rt"`.

    It has the recorded provider's name, abilities, codec and configuration; what is pushed is taken
    and forgotten. The messages come in their recorded batches, with the recorded time between them
    divided by `speed`; 0 is as fast as it goes. With a `gate` each batch waits for it instead. Each
    connection ends as it ended then. A value for one session. The codec is that of `provider`, or
    of the provider of the recorded name made with `options`.
    """
    if not model:
        raise RealtimeException(_no_file())
    if not (isfinite(speed) and speed >= 0):
        raise RealtimeException(_no_speed(speed))
    trace = load(model)
    made = provided(trace.provider if provider is None else provider, options)
    plan = trace.start.plan

    def agree(able: Capabilities, wish: SessionConfig) -> Result[Plan, Unsupported]:
        return Success(plan) if wish == plan.config else made.agree(able, wish)

    return Provider(
        made.name, plan.capabilities, made.codec, _dial(trace, speed, gate), plan.config, agree
    )


_Told = Linked | Received | Lost


def _dial(trace: Trace, speed: float, gate: Callable[[], Awaitable[object]] | None) -> Dial:
    tapes = iter(_connections(given for given, _ in trace.entries if isinstance(given, _Told)))
    conns = count()

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:  # noqa: ARG001 - a dial's own form
        conn, mine = next(conns), next(tapes, None)
        if mine is None:
            raise RealtimeException(_over(conn))
        began, first = anyio.current_time(), mine[0].at

        async def pace(at: float) -> None:
            if gate is not None:
                await gate()
            elif speed:
                await anyio.sleep_until(began + (at - first) / speed)
            else:
                await anyio.lowlevel.checkpoint()

        tape = _Tape(mine, pace)
        if not isinstance(mine[0], Linked):
            await tape.receive()  # it never stood, and raises why
        mine.popleft()
        yield tape

    return dial


def _connections(told: Iterable[_Told]) -> list[deque[_Told]]:
    """Give what each connection told, in the order in which they were made."""
    made: list[tuple[int, deque[_Told]]] = []
    lasting: dict[int, deque[_Told]] = {}
    for given in told:
        if given.conn not in lasting:
            lasting[given.conn] = deque()
            made.append((given.conn, lasting[given.conn]))
        lasting[given.conn].append(given)
        if isinstance(given, Lost):
            del lasting[given.conn]
    return [mine for _, mine in sorted(made, key=lambda one: one[0])]


class _Tape(ObjectStream[Wires]):
    """A connection whose far end says what it said then, and hears nothing."""

    def __init__(self, told: deque[_Told], pace: Callable[[float], Awaitable[None]]) -> None:
        self._told = told
        self._pace = pace

    async def receive(self) -> Wires:
        """Give the next batch, when it is time; then end as the connection ended."""
        if not self._told:
            raise anyio.EndOfStream
        await self._pace(self._told[0].at)
        given = self._told.popleft()
        if isinstance(given, Received):
            return given.wires
        if isinstance(given, Lost) and given.error is not None:
            raise RealtimeException(given.error)
        raise anyio.EndOfStream

    async def send(self, item: Wires) -> None:  # noqa: ARG002 - nobody hears it
        """Take it and forget it."""
        await anyio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""


def _no_file() -> RealtimeError:
    return InvalidRequest(
        what="A replay needs the file of a recorded run.",
        cause="the name `replay` stands alone",
        fix="Put the file behind a colon: `replay:call.rt`.",
        code=INCOMPLETE,
    )


def _no_speed(speed: float) -> RealtimeError:
    return InvalidRequest(
        what=f"A replay cannot run at speed {speed!r}.",
        cause="it is negative, or no number to count with",
        fix="Take 1 for the recorded speed, 4 for four times that, 0 for as fast as it goes.",
    )


def _over(conn: int) -> RealtimeError:
    return InvalidRequest(
        what=f"The trace is over: connections in it: {conn}.",
        cause="the session connects again where the recorded one did not, "
        "or the provider was used before",
        fix="Take no `retry`, and make the provider anew for each session.",
    )
