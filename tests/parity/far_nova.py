"""The far side of Nova Sonic: its loopback server, in a script's hands."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from realtime_core.events import Usage
from realtime_core.frames import Frame
from realtime_core.provider import Provider
from realtime_nova.providers import nova
from realtime_nova.server import KEYS, REGION, Caller, loopback
from realtime_nova.server.telling import planned
from tests.core.transports.loopback import trusted
from tests.parity.far import Calls, Far, Known, Visits

__all__ = ("nova_inside", "nova_over_tls")

COST = Usage(input_tokens=2, output_tokens=3)


class _NovaFar:
    def __init__(self, visits: Visits[Caller]) -> None:
        self.known: Known = []
        self.pictures = 0
        self._visits = visits
        self._visit = 0
        self._saying = ""
        """What is said of an answer that was begun, and is not over."""
        self._calls: tuple[str, ...] = ()
        self._told = 0

    async def _caller(self) -> Caller:
        return await self._visits.number(self._visit)

    async def _cut(self) -> None:
        if self._saying:
            caller = await self._caller()
            await caller.usage(COST)
            await caller.interrupt(self._saying)
            self._saying = ""

    async def asked(self) -> None:
        caller = await self._caller()
        text = await caller.turn()
        self.known += [(role.lower(), words) for role, words in caller.told[self._told :]]
        self._told = len(caller.told)
        self.known.append(("user", text))
        await self._cut()  # words cut what is being said

    async def onset(self) -> None:
        await self._cut()

    async def heard(self, text: str) -> None:
        caller = await self._caller()
        await caller.turn()
        await caller.heard(text)
        self.known.append(("user", text))

    async def answer(self, text: str, pcm: bytes) -> None:
        await (await self._caller()).answer(text, pcm=pcm, usage=COST)
        self.known.append(("assistant", text))

    async def begin(self, text: str, pcm: bytes) -> None:
        caller = await self._caller()
        caller.desk.tell(planned, text)
        await caller.sound(pcm)
        self._saying = text

    async def call(self, *calls: Calls) -> None:
        caller = await self._caller()
        self._calls = await caller.call(*calls)
        await caller.usage(COST)

    async def results(self, count: int) -> None:
        assert len(self._calls) == count
        await (await self._caller()).results(*self._calls)

    async def stopped(self) -> None:
        """Speak on: the wire has no word for it."""

    async def hand_out(self) -> None:
        """There are none."""

    async def drop(self) -> None:
        (await self._caller()).abort()
        self._visit += 1
        self._saying, self._told = "", 0
        self.known = []
        await self._caller()


@asynccontextmanager
async def nova_inside() -> AsyncGenerator[tuple[Provider[Frame], Far]]:
    """Run it inside the process."""
    visits = Visits[Caller]()
    async with loopback(visits.script, port=None) as here:
        made = nova(region=REGION, credentials=KEYS, base_url="http://127.0.0.1")
        yield replace(made, dial=here.dial), _NovaFar(visits)
        visits.over()


@asynccontextmanager
async def nova_over_tls() -> AsyncGenerator[tuple[Provider[Frame], Far]]:
    """Run it on a port of this machine: HTTP/2 over TLS, with every event signed."""
    visits = Visits[Caller]()
    server, client = trusted()
    async with loopback(visits.script, ssl=server) as here:
        yield (
            nova(
                region=here.region, credentials=here.credentials, base_url=here.base_url, ssl=client
            ),
            _NovaFar(visits),
        )
        visits.over()
