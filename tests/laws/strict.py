"""A strict provider: it has room for one answer, and notes whatever is asked against its rules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace

from realtime_core.codec import CancelResponse
from realtime_core.config import SessionConfig
from realtime_core.epoch import RequestId, ResponseId
from realtime_core.errors import InvalidRequest
from realtime_core.events import (
    AudioOutput,
    Error,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    Status,
)
from realtime_core.frames import CreateResponse, Frame, Interrupt
from realtime_core.provider import Provider
from realtime_core.session import open_session
from realtime_core.testing import TICK, Injection
from realtime_core.testing._author import SAMPLES_A_TICK, number_of
from realtime_core.testing.scripted import SCRIPTED, Peer, scripted
from tests.laws.stories import audio

__all__ = ("PIECES", "Exchange", "Strict", "asked_again")

PIECES = 4


class Strict:
    """Answers each request with four pieces of sound, a tick apart, begun half a tick later."""

    def __init__(self) -> None:
        self.creates: list[RequestId] = []
        self.cancels: list[ResponseId] = []
        self.wrong: list[str] = []
        self.ended: dict[ResponseId, tuple[Status, float]] = {}
        """How each answer ended, and when."""
        self._speaking = anyio.CancelScope()
        self._open: ResponseId | None = None

    @property
    def provider(self) -> Provider[Frame]:
        return scripted(self._script, replace(SCRIPTED, one_response=True))

    async def _script(self, peer: Peer) -> None:
        async with anyio.create_task_group() as tasks:
            try:
                while True:
                    await self._hear(peer, await peer.next(), tasks)
            except anyio.EndOfStream:
                tasks.cancel_scope.cancel()

    async def _hear(self, peer: Peer, frame: object, tasks: TaskGroup) -> None:
        match frame:
            case CreateResponse():
                self.creates.append(frame.request)
                if self._open is not None:
                    self.wrong.append(f"{frame.request} while {self._open} is open")
                    refusal = InvalidRequest(what="already active")
                    await peer.say(Error(error=refusal, recoverable=True, request=frame.request))
                    return
                self._open = ResponseId(f"to {frame.request}")
                tasks.start_soon(self._speak, peer, frame.request, self._open)
            case CancelResponse():
                self.cancels.append(frame.response)
                if frame.response == self._open:
                    self._speaking.cancel()
                    await self._end(peer, frame.response, "cancelled")
            case _:
                pass

    async def _speak(self, peer: Peer, request: RequestId, id: ResponseId) -> None:
        with anyio.CancelScope() as self._speaking:
            await anyio.sleep(TICK / 2)
            await peer.say(ResponseStarted(response=id, request=request))
            for number in range(1, PIECES + 1):
                await peer.say(audio(id, SAMPLES_A_TICK, number))
                await anyio.sleep(TICK)
            await self._end(peer, id, "completed")

    async def _end(self, peer: Peer, id: ResponseId, status: Status) -> None:
        self._open = None
        self.ended[id] = status, anyio.current_time()
        await peer.say(ResponseDone(response=id, status=status))


class Exchange:
    """Two questions, and at one instant an interrupt with a third."""

    def __init__(self) -> None:
        self.peer = Strict()
        self.events: list[RealtimeEvent] = []
        self.cut_at: float | None = None
        self.unsettled = 0

    async def play(self, point: Injection) -> None:
        config = SessionConfig(barrier_timeout=16 * TICK, close_timeout=4 * TICK)
        async with open_session(self.peer.provider, config) as session:

            def cut() -> None:
                self.cut_at = anyio.current_time()
                session.send_nowait(Interrupt())
                session.send_nowait(CreateResponse(request=RequestId("third")))

            async def consume(ticks: int) -> None:
                with anyio.move_on_after(ticks * TICK):
                    async for event in session.events():
                        self.events.append(event)
                        await anyio.sleep(TICK / 4 * isinstance(event, AudioOutput))

            for name in ("first", "second"):
                session.send_nowait(CreateResponse(request=RequestId(name)))
            await anyio.sleep(TICK / 4)
            await point.drive(consume(24), cut)
            point.close()
            await consume(24)
            self.unsettled = len(session._driver.state.ledger.requests)

    def heard(self, request: str) -> list[int]:
        """Give the numbers of the pieces that the consumer got of an answer."""
        return [
            number_of(event)
            for event in self.events
            if isinstance(event, AudioOutput) and event.response == f"to {request}"
        ]


def asked_again(holds: Callable[[Exchange], None]) -> Callable[[Injection], Awaitable[None]]:
    """Give the scenario of an exchange that is held to a law."""

    async def scenario(point: Injection) -> None:
        exchange = Exchange()
        await exchange.play(point)
        holds(exchange)

    return scenario
