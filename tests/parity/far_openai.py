"""The far side of OpenAI: its loopback server, in a script's hands."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from realtime_core.epoch import ItemId, RequestId, ResponseId
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Interrupted,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    Usage,
    UserTranscript,
)
from realtime_core.frames import Frame
from realtime_core.provider import Provider
from realtime_openai import client_events as client
from realtime_openai import openai
from realtime_openai.server import Caller, loopback
from tests.parity.far import Calls, Far, Known, Visits

__all__ = ("OpenAIFar", "openai_inside", "openai_over_a_socket")

COST = Usage(input_tokens=2, output_tokens=3)


class OpenAIFar:
    """A `Far` over a caller of the loopback server; those of its family have the same."""

    def __init__(self, visits: Visits[Any]) -> None:
        self.known: Known = []
        self.pictures = 0
        self._visits = visits
        self._visit = 0

    async def _caller(self) -> Caller:
        caller: Caller = await self._visits.number(self._visit)
        return caller

    async def _next(self) -> client.ClientEvent:
        """Take what the client says next; what it adds to the conversation is known."""
        event = await (await self._caller()).next()
        if isinstance(event, client.CreateItem) and isinstance(event.item, client.MessageItem):
            for part in event.item.content:
                if isinstance(part, client.InputText | client.OutputText):
                    self.known.append((event.item.role, part.text))
                elif isinstance(part, client.ImageContent):
                    self.pictures += 1
        return event

    async def _until(self, kind: type[client.ClientEvent]) -> None:
        while not isinstance(await self._next(), kind):
            pass

    async def asked(self) -> None:
        await self._until(client.Create)

    async def onset(self) -> None:
        caller = await self._caller()
        cut = tuple(map(ResponseId, filter(None, [caller.desk.book.active])))
        await caller.say(
            SpeechStarted(),
            Interrupted(cause="provider", fenced=cut),
            *(ResponseDone(response=id, status="interrupted", usage=COST) for id in cut),
        )

    async def heard(self, text: str) -> None:
        caller = await self._caller()
        await caller.say(SpeechStopped(), UserTranscript(text=text, final=True))
        self.known.append(("user", text))

    async def answer(self, text: str, pcm: bytes) -> None:
        await (await self._caller()).answer(text, pcm=pcm, usage=COST)
        self.known.append(("assistant", text))

    async def begin(self, text: str, pcm: bytes) -> None:
        caller = await self._caller()
        id, item = ResponseId(f"half-{self._visit}-{len(self.known)}"), ItemId(f"{len(self.known)}")
        wish = RequestId(next(iter(caller.desk.book.wishes), "")) or None
        form = caller.desk.book.output_format
        await caller.say(
            ResponseStarted(response=id, request=wish),
            AgentTranscript(response=id, item=item, text=text, final=False),
            AudioOutput(response=id, item=item, pcm=pcm, format=form),
        )

    async def call(self, *calls: Calls) -> None:
        await (await self._caller()).answer(calls=calls, usage=COST)

    async def results(self, count: int) -> None:
        while count:
            event = await self._next()
            made = event.item if isinstance(event, client.CreateItem) else None
            count -= isinstance(made, client.FunctionCallOutput)
        await self._until(client.Create)

    async def stopped(self) -> None:
        await self._until(client.Cancel)
        caller = await self._caller()
        cut = caller.desk.book.active
        assert cut
        done = ResponseDone(response=ResponseId(cut), status="cancelled", usage=COST)
        await caller.say(done)

    async def hand_out(self) -> None:
        """There are none."""

    async def drop(self) -> None:
        (await self._caller()).abort()
        self._visit += 1
        self.known, self.pictures = [], 0
        await self._caller()


@asynccontextmanager
async def openai_inside() -> AsyncGenerator[tuple[Provider[Frame], Far]]:
    """Run it inside the process."""
    visits = Visits[Caller]()
    async with loopback(visits.script, port=None) as here:
        made = openai("gpt-realtime", api_key="none", base_url="http://127.0.0.1")
        yield replace(made, dial=here.dial), OpenAIFar(visits)
        visits.over()


@asynccontextmanager
async def openai_over_a_socket() -> AsyncGenerator[tuple[Provider[Frame], Far]]:
    """Run it on a port of this machine."""
    visits = Visits[Caller]()
    async with loopback(visits.script) as here:
        yield openai("gpt-realtime", api_key="none", base_url=here.base_url), OpenAIFar(visits)
        visits.over()
