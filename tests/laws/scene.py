"""A scene: one situation of real use played through, with one thing done to it at one instant."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Literal, TypeVar

import anyio
from msgspec.structs import replace

from realtime_core.capability import Capabilities
from realtime_core.config import SessionConfig, ToolPolicy, ToolSpec
from realtime_core.epoch import CallId
from realtime_core.errors import RealtimeError, RealtimeException
from realtime_core.events import (
    Disconnected,
    Interrupted,
    RealtimeEvent,
    ResponseDone,
    SpeechStarted,
)
from realtime_core.frames import Close, Frame, Interrupt, Text, ToolResult
from realtime_core.link import Link
from realtime_core.plan import Plan
from realtime_core.session import Events, RealtimeSession, open_session
from realtime_core.signals import Signal
from realtime_core.state import Phase
from realtime_core.testing import TICK, Injection, no_leaks
from realtime_core.testing._author import FORMAT
from realtime_core.testing.scripted import SCRIPTED, Greeting, Peer, scripted, written
from realtime_core.tools import Tool, tool
from tests.laws.far import Far, Gone, Items, Wire
from tests.laws.scenarios import tell
from tests.laws.witness import Witness

__all__ = ("ACTIONS", "Action", "Scene", "Situation", "Talk", "Tap", "count", "cuts")

Action = Literal["interrupt", "cancel", "close", "loss", "provider", "tool"]
ACTIONS: tuple[Action, ...] = ("interrupt", "cancel", "close", "loss", "provider", "tool")

PENDING = CallId("pending")
X = TypeVar("X")


class Tap(AsyncIterator[RealtimeEvent]):
    """A session's events, seen by a witness as they are returned."""

    def __init__(self, events: Events, witness: Witness) -> None:
        self._events = events
        self._witness = witness

    def __or__(self, operator: Callable[[Tap], X]) -> X:
        return operator(self)

    @property
    def filled(self) -> Signal:
        return self._events.filled

    @property
    def over(self) -> bool:
        return self._events.over

    def poll(self) -> RealtimeEvent | None:
        event = self._events.poll()
        if event is not None:
            self._witness.returned(event)
        return event

    def stale(self, event: RealtimeEvent) -> bool:
        return self._events.stale(event)

    async def __anext__(self) -> RealtimeEvent:
        event = await anext(self._events)
        self._witness.returned(event)
        return event


class Situation:
    """What the provider and the user do. The user asks once and listens, unless it says more."""

    config = SessionConfig()
    able: Capabilities = SCRIPTED
    notice: RealtimeEvent = SpeechStarted()
    """How this provider says that it has interrupted."""
    format = FORMAT
    """What the provider speaks."""
    answers = 1
    """Answers that come whole where nothing is done to the scene."""
    length = 24
    """Ticks after which the user has had enough."""
    slow = 0.0
    """Ticks that later connections take to be acknowledged."""
    pending: CallId | None = PENDING
    """The call that gets its result where that is the action; None: the tools that run end."""

    def refuses(self, greeting: Greeting) -> RealtimeError | None:
        """Tell why the provider does not take a connection, if it does not."""

    async def provider(self, far: Far) -> None:
        """Act the provider, on the first connection; whatever is asked after it is answered."""

    async def again(self, far: Far) -> None:
        """Act the provider on the next connection."""

    def seen_through(self, session: RealtimeSession[Frame]) -> RealtimeSession[Frame]:
        """Give the session as the user has it."""
        return session

    async def user(self, talk: Talk) -> None:
        """Act the user, inside the session's block."""
        await talk.push(Text("What is it?"))
        await talk.listen()

    def happened(self, talk: Talk) -> bool:
        """Tell whether what the situation is about has happened, where nothing was done to it."""
        return True


def count(talk: Talk, *kinds: type[RealtimeEvent]) -> int:
    """Count what was taken of some kinds."""
    return sum(isinstance(event, kinds) for event in talk.witness.trace)


def cuts(talk: Talk) -> list[Interrupted]:
    """List the interruptions but that of leaving."""
    all = (event for event in talk.witness.trace if isinstance(event, Interrupted))
    return [event for event in all if event.cause != "close"]


class Talk:
    """One session of a scene: both its ends, and its witness."""

    def __init__(self, situation: Situation, scene: Scene) -> None:
        self.situation = situation
        self.scene = scene
        self.items = Items(situation.format)
        self.witness = Witness(self.items)
        self.fars: list[Far] = []
        self.go = Signal()
        """Given when a tool may end early."""
        self.given: deque[RealtimeEvent] = deque()
        self.counts: Counter[str] = Counter()
        self._session: RealtimeSession[Frame] | None = None
        self._tap: Tap | None = None
        self._wire: Wire | None = None
        self._conns = itertools.count()

    # --- both ends ----------------------------------------------------------------------------

    @property
    def session(self) -> RealtimeSession[Frame]:
        assert self._session is not None
        return self._session

    @property
    def is_open(self) -> bool:
        """Whether the session has been given to the user."""
        return self._session is not None

    @property
    def events(self) -> Tap:
        """What comes out, for one consumer."""
        assert self._tap is not None
        return self._tap

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Hold the session open."""
        opening = open_session(self._provider(), self.config, random=lambda: 0.5)
        opening.recorders = (self.witness.recorder,)
        async with opening as session:
            self._session = self.witness.session = self.situation.seen_through(session)
            self._tap = Tap(self._session.events(), self.witness)
            yield

    @property
    def config(self) -> SessionConfig:
        config = replace(
            self.situation.config,
            barrier_timeout=4 * TICK,
            close_timeout=6 * TICK,
            grace_timeout=3 * TICK,
        )
        if not self._pends:
            return config
        return replace(config, tools=(*config.tools, ToolSpec(PENDING, policy="finish")))

    @property
    def _pends(self) -> bool:
        return self.scene.action == "tool" and self.situation.pending == PENDING

    def _provider(self) -> Any:
        polite = scripted(self._script, self.situation.able, welcome=False)

        @asynccontextmanager
        async def dial(plan: Plan) -> AsyncGenerator[Link]:
            async with polite.dial(plan) as link:
                conn = next(self._conns)
                slow = self.situation.slow * TICK if conn else 0.0
                self._wire = Wire(link, lambda said: self.witness.hand(conn, said), slow)
                yield self._wire

        return replace(polite, dial=dial)

    async def _script(self, peer: Peer) -> None:
        try:
            greeting = await peer.next()
            assert isinstance(greeting, Greeting)
            refused = self.situation.refuses(greeting)
            if refused is not None:
                raise RealtimeException(refused)
            await peer.welcome()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            return
        assert self._wire is not None
        far = Far(peer, self._wire, self.items)
        self.fars.append(far)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(far.listen)
                if peer.conn:
                    await self.situation.again(far)
                else:
                    if self._pends:
                        await far.call("pends", None, PENDING)
                    await self.situation.provider(far)
                await far.attend()
        except* Gone:
            pass

    # --- what a user does ---------------------------------------------------------------------

    async def push(self, *frames: Frame) -> None:
        """Push frames, and shrug where one is refused."""
        for frame in frames:
            with suppress(RealtimeException):
                await self.session.send(frame)

    async def listen(
        self,
        *takers: Callable[[RealtimeEvent], object],
        answers: int | None = None,
        pause: float = 0.0,
    ) -> None:
        """Take events, and hand each on, until so many answers have ended."""
        left = self.situation.answers if answers is None else answers
        async for event in self.events:
            for take in takers:
                take(event)
            left -= isinstance(event, ResponseDone) and event.response != "pends"
            if not left:
                return
            if pause:
                await anyio.sleep(pause)

    async def until(self, *kinds: type[RealtimeEvent]) -> RealtimeEvent:
        """Take events until one of a kind, or the last."""
        while not isinstance(event := await anext(self.events), (*kinds, Disconnected)):
            pass
        return event

    def tool(self, name: str, policy: ToolPolicy, ticks: int) -> Tool:
        """Make a tool that takes so many ticks, unless it is let go before."""

        async def work(call: str) -> str:
            id = CallId(call)
            with self.handling(id):
                with anyio.move_on_after(ticks * TICK):
                    await self.go.wait()
                return "done"

        return tool(work, name=name, policy=policy)

    @contextmanager
    def handling(self, id: CallId) -> Generator[None]:
        """Let the witness know that a handler runs."""
        self.witness.begun[id] += 1
        self.witness.running[id] += 1
        try:
            yield
        finally:
            self.witness.running[id] -= 1

    # --- the one thing ------------------------------------------------------------------------

    def act(self, action: Action) -> None:
        """Do the one thing, now, without waiting."""
        match action:
            case "interrupt" | "close" if self.is_open:
                with suppress(RealtimeException):
                    epoch = self.session.epoch
                    self.session.send_nowait(Interrupt() if action == "interrupt" else Close())
                    self.witness.law(
                        action == "close" or self.session.epoch == epoch + 1,
                        "13: an explicit interruption raises the epoch by one",
                    )
            case "loss":
                for far in self.fars[-1:]:
                    far.hang_up()
            case "provider":
                for far in self.fars[-1:]:
                    far.cut()
                    tell(far.peer, *written(self.situation.notice))
            case "tool" if self.is_open:
                self.go.give()
                if self.situation.pending is not None:
                    with suppress(RealtimeException):
                        self.session.send_nowait(ToolResult(self.situation.pending, "done"))
            case _:
                pass

    async def take_rest(self) -> None:
        """Take what is left once the session's block was left."""
        async for _ in self.events:
            pass
        assert [event async for event in self.events] == [], "42: over for ever"


class Scene:
    """A situation, and what is done to it."""

    def __init__(self, situation: Situation, action: Action) -> None:
        self.situation = situation
        self.action = action
        self.talk = Talk(situation, self)
        self.others: list[Talk] = []
        self.scope = anyio.CancelScope()
        self.raised: BaseException | None = None
        self.acted_at: float | None = None
        self.left_at = 0.0

    def act(self) -> None:
        """Do the one thing, now, without waiting."""
        if self.action == "cancel" or self.talk.is_open:
            self.acted_at = anyio.current_time()
        if self.action == "cancel":
            self.scope.cancel()
        else:
            self.talk.act(self.action)

    @asynccontextmanager
    async def another(self, situation: Situation) -> AsyncGenerator[Talk]:
        """Hold another session open, which nothing is done to."""
        talk = Talk(situation, self)
        async with talk.opened():
            self.others.append(talk)
            yield talk

    async def own(self) -> None:
        """Own the session from its opening to its end, and note how that came."""
        try:
            with self.scope:
                try:
                    async with self.talk.opened():
                        with anyio.move_on_after(self.situation.length * TICK):
                            await self.situation.user(self.talk)
                except BaseException as problem:
                    self.raised = problem
                    raise
        except RealtimeException:
            pass
        self.left_at = anyio.current_time()

    async def play(self, point: Injection) -> None:
        """Let it happen, the one thing with it, and judge all that was seen."""
        async with no_leaks():
            await point.drive(self.own(), self.act)
        for talk in (self.talk, *self.others):
            if talk.is_open:
                await talk.take_rest()
                talk.witness.judge()
            else:
                assert not talk.witness.broken, talk.witness.broken
        self._is_left_well()
        if not point.fired:
            self._has_happened()

    def _is_left_well(self) -> None:
        """39, 40 and 42. Cancelling passes unchanged, and ending takes no longer than it may."""
        if self.raised is None:
            assert not self.scope.cancelled_caught, "40: the cancellation was swallowed"
        elif isinstance(self.raised, RealtimeException):
            assert self.action == "loss", "only a session that never opened raises"
            assert not self.talk.is_open, self.raised
        else:
            assert type(self.raised) is anyio.get_cancelled_exc_class(), repr(self.raised)
            assert self.scope.cancelled_caught
        if self.acted_at is None:
            return
        most = self.talk.config.close_timeout + TICK
        if self.action == "cancel":
            assert self.left_at - self.acted_at <= most, "39: it is left within its deadline"
        if self.action == "close":
            ended = self.talk.witness.emitted[-1]
            assert isinstance(ended, Disconnected)
            assert ended.at - self.acted_at <= most, "42: it is closed within its deadline"

    def _has_happened(self) -> None:
        assert self.talk.session._driver.state.phase is Phase.CLOSED
        whole = [id for id in self.talk.witness.whole() if id != "pends"]
        if self.action != "tool":
            assert len(whole) == self.situation.answers, whole
            assert self.situation.happened(self.talk)
