"""A desk: one session in which errands are done, and the record of what became of each.

The record is kept apart from the machine: by the peers, by the handlers themselves, and by a
watcher that sees each transition before its effects happen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import anyio
from msgspec.structs import replace

from realtime_core import open_session
from realtime_core import tools as tooling
from realtime_core.config import SessionConfig
from realtime_core.epoch import CallId, Epoch, ResponseId
from realtime_core.errors import RealtimeError, RealtimeException
from realtime_core.events import (
    ConversationItem,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    ToolCall,
    ToolCallCancelled,
)
from realtime_core.frames import Close, CreateResponse, Frame, Interrupt, ToolResult
from realtime_core.schedule import Spaced
from realtime_core.session import RealtimeSession
from realtime_core.state import Emit, Input, Phase, Send, Stop, Transition
from realtime_core.testing import TICK, no_leaks, run, stalls
from realtime_core.testing.scripted import SCRIPTED, Peer, read, scripted, written
from realtime_core.tools import Answerer, Tool, tool
from tests.laws.errands import POLICIES, STAYS, Day, Errand, number_of
from tests.laws.scenarios import cut, tell
from tests.laws.stories import audio

__all__ = ("Desk", "Stray", "worked")


class Stray(NamedTuple):
    """A result that the application gives by itself."""

    call: CallId
    outcome: str
    """Of the call, before."""
    refused: RealtimeError | None


class Desk:
    """One session with its peers, its handlers, and the record of what they saw."""

    def __init__(self, day: Day) -> None:
        self.day = day
        self.events = list[RealtimeEvent]()
        self.outcomes = dict[CallId, str]()
        """Of every call that was let in, in the end."""
        self.unfinished = set[CallId]()
        """Calls without an outcome, after all that happened and before the end."""
        self.asked = dict[CallId, int]()
        """Over which connection each call came."""
        self.sent = list[tuple[CallId, int]]()
        """Results handed to a connection, in order."""
        self.received = list[tuple[ToolResult, int]]()
        """Results as the peers got them."""
        self.creates = 0
        """Continuations handed to a connection."""
        self.minted = 0
        """Continuations asked for."""
        self.pending = 0
        """Of these, those whose turn had not come when the session closed."""
        self.superseded = 0
        """Of these, those that an answer of the provider's own came before."""
        self.taken_back = set[CallId]()
        """Calls that the provider has cancelled."""
        self.stopped = dict[CallId, float]()
        """When a handler that ran was told to stop."""
        self.reported = dict[CallId, list[tuple[float, bool]]]()
        """When a call was reported cancelled, and whether its handler ran then."""
        self.strays = list[Stray]()
        self.due = set[ResponseId]()
        """Responses that were to be continued."""
        self.epochs = dict[CallId, tuple[Epoch, Epoch]]()
        """In which epoch a call came, and in which it ended."""
        self.begun = list[int]()
        self.began = dict[int, float]()
        self.begun_late = set[int]()
        """Handlers that began although their call was void."""
        self.running = set[int]()
        self.most = 0
        self.left = dict[int, float]()
        self.cancelled = dict[int, float]()
        """When a handler noticed that it is to stop."""
        self.after_end = set[int]()
        """Handlers that still ran a while after the session's end."""
        self.complete = anyio.Event()
        """Ends every handler that only waits."""
        self.scope = anyio.CancelScope()
        self.session: RealtimeSession[Frame] | None = None
        self._peers = list[Peer]()
        self._made = 0
        self._ids = list[CallId]()
        self._open = list[ResponseId]()

    # --- the handlers -------------------------------------------------------------------------

    def errand(self, number: int) -> Errand:
        return self.day.errands[number % len(self.day.errands)]

    def tools(self) -> tuple[Tool, ...]:
        async def work(number: int) -> str:
            return await self.work(number)

        timeout = self.day.timeout * TICK
        return tuple(tool(work, name=name, policy=name, timeout=timeout) for name in POLICIES)

    async def work(self, number: int) -> str:
        errand = self.errand(number)
        self.begun.append(number)
        self.began[number] = anyio.current_time()
        if self.outcomes[CallId(f"c{number}")] in {"cancelled", "lost"}:
            self.begun_late.add(number)
        self.running.add(number)
        self.most = max(self.most, len(self.running))
        try:
            with anyio.move_on_after(None if errand.how == "hangs" else errand.ticks * TICK):
                await self.complete.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled[number] = anyio.current_time()
            if errand.how == "stays":
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(STAYS)
            raise
        finally:
            self.left[number] = anyio.current_time()
            self.running.discard(number)
        if errand.how == "raises":
            raise LookupError(number)
        return "x" * (100 if errand.how == "babbles" else 1)

    # --- the provider -------------------------------------------------------------------------

    async def script(self, peer: Peer) -> None:
        self._peers.append(peer)
        self._open = []
        with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            while True:
                frame = await peer.next()
                if isinstance(frame, ToolResult):
                    self.received.append((frame, peer.conn))
                elif isinstance(frame, CreateResponse):
                    answer = self._response()
                    tell(peer, *written(ResponseStarted(response=answer, request=frame.request)))
                    tell(peer, *written(ResponseDone(response=answer, status="completed")))

    def _response(self) -> ResponseId:
        self._made += 1
        return ResponseId(f"r{self._made}")

    def say(self, *events: RealtimeEvent) -> None:
        for peer in self._peers[-1:]:
            tell(peer, *written(*events))

    def ask(self, k: int) -> None:
        """Ask for up to three things at once, in a new response or in the one that is open."""
        events = list[RealtimeEvent]()
        if not self._open or k % 2:
            self._open.append(self._response())
            events.append(ResponseStarted(response=self._open[-1]))
        for _ in range(k % 3 + 1):
            number = len(self._ids)
            self._ids.append(CallId(f"c{number}"))
            events.append(self._wanted(number))
        self.say(*events)

    def _wanted(self, number: int) -> ToolCall:
        errand = self.errand(number)
        given = '"three"' if errand.how == "misread" else str(number)
        return ToolCall(
            response=self._open[-1],
            call=CallId(f"c{number}"),
            name=errand.policy,
            arguments=f'{{"number": {given}}}',
        )

    def _known(self, k: int) -> CallId:
        return self._ids[-1 - k % len(self._ids)] if self._ids else CallId("c99")

    # --- what happens -------------------------------------------------------------------------

    async def act(self, what: str, k: int) -> None:
        if what == "wait":
            await anyio.sleep(k * TICK)
        else:
            self.do(what, k)
            await anyio.lowlevel.checkpoint()

    def do(self, what: str, k: int = 0) -> None:
        """Let one thing happen, now."""
        match what:
            case "ask":
                self.ask(k)
            case "end" if self._open:
                self.say(ResponseDone(response=self._open.pop(0), status="completed"))
            case "speak":
                self.say(SpeechStarted())
            case "sound" if self._open:
                self.say(audio(self._open[-1], 10))
            case "take back":
                self.taken_back.add(self._known(k))
                self.say(ToolCallCancelled(calls=(self._known(k),)))
            case "again" if self._open and self._ids:
                self.say(self._wanted(number_of(self._known(k))))
            case "lose":
                for peer in self._peers:
                    cut(peer)
            case "complete":
                self.complete.set()
            case "cancel":
                self.scope.cancel()
            case "stray" | "interrupt" | "close" if self.session is not None:
                self.push(self.session, what, k)
            case _:
                pass

    def push(self, session: RealtimeSession[Frame], what: str, k: int) -> None:
        frames: dict[str, Frame] = {
            "stray": ToolResult(self._known(k), "stray"),
            "interrupt": Interrupt(),
            "close": Close(),
        }
        refused = None
        call = session._driver.state.ledger.calls.get(self._known(k))
        try:
            session.send_nowait(frames[what])
        except RealtimeException as refusal:
            refused = refusal.error
        if what == "stray":
            outcome = "unknown" if call is None else call.outcome
            self.strays.append(Stray(self._known(k), outcome, refused))

    def watch(self, given: Input, transition: Transition) -> None:
        state = transition.state
        for effect in transition.effects:
            match effect:
                case Emit(event=ToolCall() as event):
                    self.asked[event.call] = state.conn
                case Emit(event=ToolCallCancelled() as event):
                    for call in event.calls:
                        told = given.at, number_of(call) in self.running
                        self.reported.setdefault(call, []).append(told)
                case Emit(event=ResponseStarted(request=None)):
                    self.superseded += self.pending
                    self.pending = 0
                case Stop():
                    runs = [call for call in effect.calls if number_of(call) in self.running]
                    self.stopped.update(dict.fromkeys(runs, given.at))
                case Send():
                    self._note(list(map(read, effect.wires)), transition)
                case _:
                    pass
        for call, known in state.ledger.calls.items():
            if known.outcome == "open" or call not in self.epochs:
                self.epochs[call] = known.epoch, state.epoch
        self.outcomes |= {call: known.outcome for call, known in state.ledger.calls.items()}
        self.minted = state.minted
        if state.phase is Phase.OPEN:
            self.pending = sum(not request.sent for request in state.ledger.requests)
        self.due |= {
            id
            for id, known in state.ledger.responses.items()
            if (known.open, known.epoch, known.conn) == (False, state.epoch, state.conn)
            and (outcomes := {state.ledger.calls[call].outcome for call in known.calls})
            and "sent" in outcomes
            and "open" not in outcomes
            and state.phase is Phase.OPEN
        }

    def _note(self, frames: Sequence[object], transition: Transition) -> None:
        state = transition.state
        for frame in frames:
            if isinstance(frame, ToolResult):
                self.sent.append((frame.call, state.conn))
            elif isinstance(frame, CreateResponse):
                self.creates += 1

    # --- the session --------------------------------------------------------------------------

    async def consume(self, session: RealtimeSession[Frame], answers: Answerer) -> None:
        async for event in session.events():
            self.events.append(event)
            answers.take(event)

    async def play(self, begin: Callable[[], object] = lambda: None) -> None:
        """Let the day happen; `begin` is called once the session is open."""
        day = self.day
        tools = self.tools()
        config = SessionConfig(
            tools=tuple(made.spec for made in tools),
            retry=Spaced(day.retry * TICK),
            grace_timeout=day.grace * TICK,
            barrier_timeout=8 * TICK,
            close_timeout=4 * TICK,
            connect_timeout=64.0,
        )
        provider = scripted(self.script, replace(SCRIPTED, one_response=day.one), buffer=1_000)
        async with no_leaks():
            with self.scope:
                async with open_session(provider, config, random=lambda: 0.5) as session:
                    self.session = session
                    session._driver.watchers += (self.watch,)
                    begin()
                    await self._work(session, tools)
            if self.session is not None:
                self.events += [event async for event in self.session.events()]

    async def _work(self, session: RealtimeSession[Frame], tools: tuple[Tool, ...]) -> None:
        async with (
            tooling.answering(session, tools, limit=self.day.limit, max_result=50) as answers,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(self.consume, session, answers)
            for what, k in self.day.happenings:
                await self.act(what, k)
            while self._open:
                self.do("end")
            await anyio.sleep(256 * TICK)
            calls = session._driver.state.ledger.calls
            self.unfinished = {id for id, call in calls.items() if call.outcome == "open"}
            session.send_nowait(Close())
            await session.outcome()
            await anyio.sleep(32 * TICK)
            self.after_end = set(self.running)

    def returned(self, kind: type[ToolCall] | type[ConversationItem]) -> list[CallId | None]:
        """Give the calls that the consumer was told of, by events of a kind."""
        found = [event for event in self.events if isinstance(event, kind)]
        return [e.call if isinstance(e, ToolCall) else e.message.call for e in found]


def worked(day: Day, backend: str = "asyncio", late: int = 4) -> Desk:
    """Play a day on virtual time; after each suspension a task is up to `late` ticks late."""

    async def play() -> Desk:
        desk = Desk(day)
        await desk.play()
        return desk

    weave: Any = stalls(day.seed, most=late) if late else None
    return run(play, backend=backend, seed=day.seed, weave=weave)
