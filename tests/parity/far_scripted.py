"""The far side of the library's own provider for tests, which can do everything."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

import msgspec

from realtime_core.audio.format import PCM_24K
from realtime_core.codec import CancelResponse
from realtime_core.config import Secret
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    Interrupted,
    ResponseDone,
    ResponseStarted,
    ResumptionHandle,
    SpeechStarted,
    SpeechStopped,
    Status,
    ToolCall,
    Usage,
    UserTranscript,
)
from realtime_core.frames import CreateResponse, Frame, Text, ToolResult, Video
from realtime_core.provider import Provider
from realtime_core.testing.scripted import Greeting, Peer, scripted
from tests.parity.far import Calls, Far, Known, Visits

__all__ = ("scripted_inside",)

COST = Usage(input_tokens=2, output_tokens=3)


class _ScriptedFar:
    def __init__(self, visits: Visits[Peer]) -> None:
        self.known: Known = []
        self.pictures = 0
        self._visits = visits
        self._visit = 0
        self._numbers = count()
        self._wish: RequestId | None = None
        self._open: tuple[ResponseId, ItemId, str] | None = None
        self._speech = ItemId("")

    async def _peer(self) -> Peer:
        return await self._visits.number(self._visit)

    async def _until(self, kind: type) -> None:
        peer, frame = await self._peer(), None
        while not isinstance(frame, kind):
            frame = await peer.next()
            self.pictures += isinstance(frame, Video)
            if isinstance(frame, Text):
                self.known.append(("user", frame.text))
            elif isinstance(frame, CreateResponse):
                self._wish = frame.request

    async def asked(self) -> None:
        greeting = (await self._peer()).sent[0]
        if not self.known and isinstance(greeting, Greeting):
            self.known = [(one.role, one.text) for one in greeting.config.history]
        await self._until(CreateResponse)

    async def onset(self) -> None:
        self._speech = ItemId(f"u{next(self._numbers)}")
        await (await self._peer()).say(SpeechStarted(item=self._speech))
        if self._open is not None:
            await self._end("interrupted", Interrupted(cause="provider", response=self._open[0]))

    async def heard(self, text: str) -> None:
        words = UserTranscript(item=self._speech, text=text, final=True)
        await (await self._peer()).say(SpeechStopped(item=self._speech), words)
        self.known.append(("user", text))

    async def _start(self) -> ResponseId:
        id, self._wish, wish = ResponseId(f"r{next(self._numbers)}"), None, self._wish
        await (await self._peer()).say(ResponseStarted(response=id, request=wish))
        return id

    async def _end(self, status: Status, *before: Interrupted | AudioOutputDone) -> None:
        assert self._open is not None
        (id, item, text), self._open = self._open, None
        words = AgentTranscript(response=id, item=item, text=text, final=True)
        done = ResponseDone(response=id, status=status, usage=COST)
        await (await self._peer()).say(*before, words, done)

    async def answer(self, text: str, pcm: bytes) -> None:
        await self.begin(text, pcm)
        assert self._open is not None
        await self._end("completed", AudioOutputDone(response=self._open[0], item=self._open[1]))
        self.known.append(("assistant", text))

    async def begin(self, text: str, pcm: bytes) -> None:
        id, item = await self._start(), ItemId(f"i{next(self._numbers)}")
        words = AgentTranscript(response=id, item=item, text=text, final=False)
        sound = AudioOutput(response=id, item=item, pcm=pcm, format=PCM_24K)
        await (await self._peer()).say(words, sound)
        self._open = id, item, text

    async def call(self, *calls: Calls) -> None:
        id, peer = await self._start(), await self._peer()
        for name, arguments in calls:
            number, written = next(self._numbers), msgspec.json.encode(arguments).decode()
            item, call = ItemId(f"i{number}"), CallId(f"c{number}")
            wanted = ToolCall(response=id, item=item, call=call, name=name, arguments=written)
            await peer.say(wanted)
        await peer.say(ResponseDone(response=id, status="completed", usage=COST))

    async def results(self, count: int) -> None:
        for _ in range(count):
            await self._until(ToolResult)
        await self._until(CreateResponse)

    async def stopped(self) -> None:
        await self._until(CancelResponse)
        await self._end("cancelled")

    async def hand_out(self) -> None:
        await (await self._peer()).say(ResumptionHandle(handle=Secret("a handle")))

    async def drop(self) -> None:
        await (await self._peer()).link.aclose()
        self._visit += 1
        self._open = None
        await self._peer()


@asynccontextmanager
async def scripted_inside() -> AsyncGenerator[tuple[Provider[Frame], Far]]:
    """Run it inside the process."""
    visits = Visits[Peer]()
    yield scripted(visits.script), _ScriptedFar(visits)
    visits.over()
