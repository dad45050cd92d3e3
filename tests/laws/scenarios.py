"""Scenarios for exhaustive injection: one thing is done at every instant of a task under test."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

import anyio
from anyio.abc import ObjectStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from anyio.streams.stapled import StapledObjectStream
from msgspec.structs import replace
from returns.result import Result

from realtime_core.codec import Coded, Wire
from realtime_core.config import SessionConfig
from realtime_core.epoch import Epoch, RequestId, ResponseId
from realtime_core.errors import InternalFault, RealtimeError, RealtimeException
from realtime_core.events import (
    AudioOutput,
    Interrupted,
    RealtimeEvent,
    Reconnected,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
)
from realtime_core.frames import Audio, Close, CreateResponse, Frame, Interrupt
from realtime_core.link import Link, Wires
from realtime_core.plan import Plan
from realtime_core.schedule import Recurs
from realtime_core.session import Events, RealtimeSession, open_session
from realtime_core.testing import TICK, Injection, no_leaks
from realtime_core.testing._author import SAMPLES_A_TICK
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.scripted import Peer, ScriptedCodec, scripted, written
from tests.laws.stories import audio, is_perishable

__all__ = ("POISON", "PUMPS", "Conversation", "cut", "name_of", "spoken_to", "talked_over", "tell")

R = ResponseId("r")


async def talked_over(point: Injection) -> None:
    """The provider speaks and goes on speaking; at one instant the application interrupts."""
    fenced_at: list[int] = []
    returned: list[tuple[RealtimeEvent, Epoch]] = []

    async def script(peer: Peer) -> None:
        wish = await peer.until(CreateResponse)
        await peer.say(ResponseStarted(response=R, request=name_of(wish)))
        for number in range(1, 5):
            await peer.say(*(audio("r", SAMPLES_A_TICK, number) for _ in range(2)))
            await anyio.sleep(TICK)
        await peer.say(ResponseDone(response=R, status="completed"))
        await peer.drain()

    async with open_session(scripted(script)) as session:

        def interrupt() -> None:
            session.send_nowait(Interrupt())
            fenced_at.append(len(returned))

        async def consume() -> None:
            async for event in session.events():
                returned.append((event, session.epoch))
                if isinstance(event, AudioOutput):
                    await anyio.sleep(TICK / 2)
                if isinstance(event, ResponseDone):
                    return

        await session.simple_response("Go on.")
        await point.drive(consume(), interrupt)
    for place, (event, epoch) in enumerate(returned):
        if is_perishable(event):
            assert event.epoch == epoch
            assert not fenced_at or place < fenced_at[0] or event.epoch == 1
    assert sum(isinstance(event, Interrupted) for event, _ in returned) == len(fenced_at)
    assert check_trace([event for event, _ in returned]) == []


async def spoken_to(point: Injection) -> None:
    """A consumer plays a long answer; at one instant the user starts to speak."""
    returned: list[RealtimeEvent] = []
    known: list[int] = []
    peers = list[Peer]()

    class Watching(ScriptedCodec):
        def decode(self, state: int, wire: Wire) -> Result[Coded[int], RealtimeError]:
            result = super().decode(state, wire)
            if isinstance(result.unwrap().events[0], SpeechStarted):
                known.append(len(returned))
            return result

    async def script(peer: Peer) -> None:
        peers.append(peer)
        long = [audio("r", 64 * SAMPLES_A_TICK) for _ in range(60)]
        await peer.say(ResponseStarted(response=R), *long)
        await peer.drain()

    provider = replace(scripted(script), codec=Watching())
    async with open_session(provider) as session:

        async def consume() -> None:
            async for event in session.events():
                returned.append(event)
                await anyio.sleep(TICK)
                if len(returned) == 12 or isinstance(event, Interrupted):
                    return

        def speak() -> None:
            tell(peers[0], *written(SpeechStarted()))

        await point.drive(consume(), speak)
    for place in known:
        assert place == len(returned) or isinstance(returned[place], SpeechStarted)


# --- one conversation, and everything that can be done to it ----------------------------------


POISON = "poison"


def name_of(wish: object) -> RequestId:
    """Give the name by which an answer says what it answers."""
    assert isinstance(wish, CreateResponse)
    return wish.request


class Poisonable(ScriptedCodec):
    """A codec with a defect: there is a message it cannot bear."""

    def __init__(self) -> None:
        self.poisoned = False

    def decode(self, state: int, wire: Wire) -> Result[Coded[int], RealtimeError]:
        if wire == POISON:
            self.poisoned = True
            raise ZeroDivisionError("a defect of the codec")
        return super().decode(state, wire)


class Conversation:
    """A session with one question, one answer of eight pieces, and a good-bye.

    `drive` says which tasks the action is done at the instants of: the owner's, or the consumer's
    beside it. The pumps' instants are named by `PUMPS` instead.
    """

    def __init__(self, action: str, *, retry: int = 0, mute: bool = False) -> None:
        self.action = action
        self.mute = mute
        """Whether the peer, once it speaks, takes nothing more and never hangs up."""
        self.deaf = False
        self.config = SessionConfig(
            retry=Recurs(retry), close_timeout=8 * TICK, barrier_timeout=4 * TICK
        )
        self.returned: list[tuple[RealtimeEvent, Epoch]] = []
        self.acted_at: float | None = None
        self.left_at = 0.0
        self.scope = anyio.CancelScope()
        self.codec = Poisonable()
        polite = scripted(self.script)
        self._dial = polite.dial
        self.provider = replace(polite, codec=self.codec, dial=self.dial)
        self.raised: BaseException | None = None
        self._peers: list[Peer] = []
        self._session: RealtimeSession[Frame] | None = None
        self._events: Events | None = None

    @property
    def events(self) -> list[RealtimeEvent]:
        return [event for event, _ in self.returned]

    @asynccontextmanager
    async def dial(self, plan: Plan) -> AsyncGenerator[Link]:
        async with self._dial(plan) as link:
            yield _Deafened(link, self)

    async def script(self, peer: Peer) -> None:
        self._peers.append(peer)
        if peer.conn == 0:
            wish = await peer.until(CreateResponse)
            self.deaf = self.mute
            await peer.say(ResponseStarted(response=R, request=name_of(wish)))
            for number in range(1, 5):
                await peer.say(*(audio("r", SAMPLES_A_TICK, number) for _ in range(2)))
                await anyio.sleep(TICK)
            await peer.say(ResponseDone(response=R, status="completed"))
        await (anyio.sleep_forever() if self.mute else peer.drain())

    def act(self) -> None:
        """Do the one thing, now, without waiting."""
        self.acted_at = anyio.current_time()
        match self.action:
            case "cancel":
                self.scope.cancel()
            case "lose":
                for peer in self._peers:
                    cut(peer)
            case "frame":
                for peer in self._peers[-1:]:
                    tell(peer, *written(SpeechStarted()))
            case "poison":
                for peer in self._peers[-1:]:
                    tell(peer, POISON)
            case "interrupt" | "close" if self._session is not None:
                urgent = Interrupt() if self.action == "interrupt" else Close()
                with suppress(RealtimeException):
                    self._session.send_nowait(urgent)
            case _:
                self.acted_at = None

    async def consume(self, session: RealtimeSession[Frame]) -> None:
        self._events = session.events()
        async for event in self._events:
            self.returned.append((event, session.epoch))
            if isinstance(event, AudioOutput):
                await anyio.sleep(TICK / 2)
            if isinstance(event, ResponseDone | Reconnected):
                return

    async def own(self, consume: Callable[[RealtimeSession[Frame]], Awaitable[None]]) -> None:
        """Own the session from its opening to its end, and note how that came."""
        try:
            with self.scope:
                try:
                    async with open_session(self.provider, self.config) as session:
                        self._session = session
                        with suppress(RealtimeException):
                            await session.simple_response("Go on.")
                        await consume(session)
                        with suppress(RealtimeException):
                            await session.send(Audio(bytes(48)))
                except BaseException as problem:
                    self.raised = problem
                    raise
        except RealtimeException:
            pass
        self.left_at = anyio.current_time()

    async def play(self, point: Injection, drive: str) -> None:
        """Let it happen, the action with it, and take what is left in the end."""
        async with no_leaks():
            if drive == "owner":
                await point.drive(self.own(self.consume), self.act)
            elif drive == "consumer":
                await self.own(lambda session: point.drive(self.consume(session), self.act))
            else:
                point.arm(self.act)
                await self.own(self.consume)
        if self._session is not None:
            rest = Events.__aiter__(self._events or self._session.events())
            async for event in rest:
                self.returned.append((event, self._session.epoch))
            assert [event async for event in rest] == []

    def is_lawful(self) -> None:
        """Require what holds whatever was done, and whenever."""
        opened = self._session is not None
        assert check_trace(self.events, complete=opened) == []
        for event, epoch in self.returned:
            assert not is_perishable(event) or event.epoch == epoch
        match self.raised:
            case None:
                assert not self.scope.cancelled_caught
                assert not self.codec.poisoned
            case RealtimeException():
                self._is_typed(self.raised)
            case _:
                assert type(self.raised) is anyio.get_cancelled_exc_class()
                assert self.scope.cancelled_caught
        if self.action in {"cancel", "close"} and self.acted_at is not None:
            assert self.left_at - self.acted_at <= self.config.close_timeout + 4 * TICK

    def _is_typed(self, raised: RealtimeException) -> None:
        assert self.action in {"lose", "poison"}
        if self.action == "poison":
            assert isinstance(raised.error, InternalFault)
            assert isinstance(raised.__cause__, ZeroDivisionError)


class _Deafened(ObjectStream[Wires]):
    """A link whose other end takes nothing any more, once the conversation says so."""

    def __init__(self, link: Link, conversation: Conversation) -> None:
        self._link = link
        self._conversation = conversation

    async def receive(self) -> Wires:
        return await self._link.receive()

    async def send(self, item: Wires) -> None:
        if self._conversation.deaf:
            await anyio.sleep_forever()
        await self._link.send(item)

    async def send_eof(self) -> None:
        await self._link.send_eof()

    async def aclose(self) -> None:
        await self._link.aclose()


def PUMPS(name: str) -> bool:  # noqa: N802 - one of the kinds of tasks
    """Choose the tasks of the session itself."""
    return ".driver." in name or "Driver" in name


def tell(peer: Peer, *wires: Wire) -> None:
    """Say something at once."""
    sender = cast("StapledObjectStream[Wires]", peer.link).send_stream
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        cast("MemoryObjectSendStream[Wires]", sender).send_nowait(wires)


def cut(peer: Peer) -> None:
    """End a connection at once."""
    link = cast("StapledObjectStream[Wires]", peer.link)
    cast("MemoryObjectSendStream[Wires]", link.send_stream).close()
    cast("MemoryObjectReceiveStream[Wires]", link.receive_stream).close()
