"""The far side of Gemini: its loopback server, in a script's hands."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from realtime_core.frames import Frame
from realtime_core.provider import Provider
from realtime_gemini import gemini
from realtime_gemini.parts import Blob, Content, Part
from realtime_gemini.server import Caller, loopback
from realtime_gemini.server_messages import Transcription, UsageMetadata
from tests.parity.far import Calls, Far, Known, Visits

__all__ = ("gemini_inside", "gemini_over_a_socket")

COST = UsageMetadata(prompt_token_count=2, response_token_count=3)
ROLES = {"model": "assistant"}


class _GeminiFar:
    def __init__(self, visits: Visits[Caller]) -> None:
        self.known: Known = []
        self.pictures = 0
        self._visits = visits
        self._visit = 0
        self._speaks = False
        """An answer was begun, and is not over."""
        self._seeded = False

    async def _caller(self) -> Caller:
        return await self._visits.number(self._visit)

    async def _next(self) -> tuple[bool, int]:
        """Take what the client says next: whether it asks, and how many results it gives."""
        caller = await self._caller()
        message = await caller.next()
        content, given = message.client_content, message.realtime_input
        if given is not None and given.video is not None:
            self.pictures += 1
        for turn in (content.turns if content is not None else None) or ():
            role = turn.role or "user"
            self.known += [
                (ROLES.get(role, role), part.text) for part in turn.parts or () if part.text
            ]
        asks = content is not None and bool(content.turn_complete) and not self._seeding(caller)
        results = message.tool_response.function_responses if message.tool_response else None
        return asks, len(results or ())

    def _seeding(self, caller: Caller) -> bool:
        """Tell whether this was the history, which is a turn of its own."""
        seeded, self._seeded = self._seeded, True
        return not seeded and caller.setup.history_config is not None and not caller.resumed

    async def asked(self) -> None:
        caller = await self._caller()
        if self._speaks:  # of which nobody hears anything any more
            await caller.complete(COST)
            self._speaks = False
        while not (await self._next())[0]:
            pass

    async def onset(self) -> None:
        caller = await self._caller()
        await caller.hear_user(start="0.5s")
        if self._speaks:
            await caller.interrupt(COST)
            self._speaks = False

    async def heard(self, text: str) -> None:
        await (await self._caller()).hear_user(text, end="1.2s")
        self.known.append(("user", text))

    async def answer(self, text: str, pcm: bytes) -> None:
        await (await self._caller()).answer(text, pcm=pcm, usage=COST)
        self.known.append(("assistant", text))

    async def begin(self, text: str, pcm: bytes) -> None:
        sound = Part(inline_data=Blob(mime_type="audio/pcm;rate=24000", data=pcm))
        await (await self._caller()).content(
            output_transcription=Transcription(text), model_turn=Content((sound,), "model")
        )
        self._speaks = True

    async def call(self, *calls: Calls) -> None:
        caller = await self._caller()
        await caller.call(*calls)
        await caller.complete(COST)

    async def results(self, count: int) -> None:
        while count:
            count -= (await self._next())[1]

    async def stopped(self) -> None:
        """Speak on: the wire has no word for it."""

    async def hand_out(self) -> None:
        await (await self._caller()).handle()

    async def drop(self) -> None:
        (await self._caller()).drop()
        self._visit += 1
        self._speaks = False
        if not (await self._caller()).resumed:
            self.known, self.pictures = [], 0


@asynccontextmanager
async def gemini_inside() -> AsyncGenerator[tuple[Provider[Frame], Far]]:
    """Run it inside the process."""
    visits = Visits[Caller]()
    async with loopback(visits.script, port=None) as here:
        made = gemini("gemini-3.8-live", api_key="none", base_url="http://127.0.0.1")
        yield replace(made, dial=here.dial), _GeminiFar(visits)
        visits.over()


@asynccontextmanager
async def gemini_over_a_socket() -> AsyncGenerator[tuple[Provider[Frame], Far]]:
    """Run it on a port of this machine."""
    visits = Visits[Caller]()
    async with loopback(visits.script) as here:
        made = gemini("gemini-3.8-live", api_key="none", base_url=here.base_url)
        yield made, _GeminiFar(visits)
        visits.over()
