"""The far side of the local voice: its own engine, with parts that do as a script says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import msgspec
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from realtime_core.beside import beside
from realtime_core.config import Message
from realtime_core.frames import Frame
from realtime_core.link import Link
from realtime_core.plan import Plan
from realtime_core.provider import Provider
from realtime_core.signals import Signal
from realtime_core.transports.memory import memory_link
from realtime_local import local, wire
from realtime_local.engine import run
from realtime_local.parts import Parts, ToolChoice
from tests.parity.far import Calls, Far, Known

__all__ = ("local_inside",)

_QUIET = 14_400
"""Samples of silence, 900 ms at 16 kHz: more than ends a turn."""


class _Order(NamedTuple):
    """What the script wants to be answered."""

    text: str = ""
    pcm: bytes = b""
    calls: tuple[Calls, ...] = ()
    ends: bool = True


class _LocalFar:
    """The script's hands, and all parts of the voice: ears, hands, mind, mouth and eyes."""

    rate = 24_000

    def __init__(self) -> None:
        self.known: Known = []
        self.pictures = 0
        self.link: Link | None = None
        self._moved = Signal()
        self._asking = False
        """An answer is wanted."""
        self._order: _Order | None = None
        self._saying = _Order()
        self._spoken = 0
        self._quiet = 0
        """Samples of silence behind what was said."""
        self._words: str | None = None
        self._conns = 0
        self._results = 0

    async def _until(self, true: Callable[[], object]) -> None:
        while not true():
            await self._moved.wait()

    # --- the parts ----------------------------------------------------------------------------

    def detector(self) -> Callable[[bytes], float]:
        """Take for speech what is not silent."""

        def hear(frame: bytes) -> float:
            loud = any(frame)
            self._quiet = 0 if loud else self._quiet + len(frame) // 2
            self._spoken += loud
            self._moved.give()
            return float(loud)

        return hear

    async def transcribe(self, pcm: bytes) -> str:
        """Understand what the script says was understood."""
        await checkpoint()
        await self._until(lambda: self._words is not None)
        return self._words or ""

    async def turn_over(self, pcm: bytes) -> float:
        """Leave it to silence."""
        await checkpoint()
        return 0.0

    async def choose(
        self, messages: Sequence[Message], tools: Sequence[wire.Tool], *, must: bool
    ) -> tuple[ToolChoice, ...]:
        """Call what the script calls."""
        order = await self._ordered(messages)
        if order.calls:
            self._order = None
        return tuple(
            ToolChoice(name, msgspec.json.encode(arguments).decode())
            for name, arguments in order.calls
        )

    async def think(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """Answer what the script answers."""
        self._saying, self._order = await self._ordered(messages), None
        yield self._saying.text

    async def speak(self, clause: str) -> AsyncIterator[bytes]:
        """Speak with the script's sound, all of it with the first clause."""
        pcm, self._saying = self._saying.pcm, self._saying._replace(pcm=b"")
        await checkpoint()
        if pcm:
            yield pcm
        if not self._saying.ends:
            await anyio.sleep_forever()

    async def look(self, image: bytes) -> str:
        """See a picture."""
        await checkpoint()
        self.pictures += 1
        return ""

    async def _ordered(self, messages: Sequence[Message]) -> _Order:
        self.known = [(m.role, m.text) for m in messages if m.role in {"user", "assistant"}]
        self._asking = True
        self._moved.give()
        await self._until(lambda: self._order is not None)
        assert self._order is not None
        self._asking = False
        return self._order

    # --- the script ---------------------------------------------------------------------------

    async def asked(self) -> None:
        await self._until(lambda: self._asking)

    async def onset(self) -> None:
        self._words = None
        await self._until(lambda: self._spoken >= 20)  # 640 ms
        self._spoken = 0

    async def heard(self, text: str) -> None:
        await self._until(lambda: self._quiet >= _QUIET)
        self._words = text
        self._moved.give()

    async def answer(self, text: str, pcm: bytes) -> None:
        self._give(_Order(text, pcm))

    async def begin(self, text: str, pcm: bytes) -> None:
        self._give(_Order(text, pcm, ends=False))

    async def call(self, *calls: Calls) -> None:
        self._give(_Order(calls=calls))

    def _give(self, order: _Order) -> None:
        self._order = order
        self._moved.give()

    async def results(self, count: int) -> None:
        """The engine goes on by itself, and without its hands."""

    async def stopped(self) -> None:
        """The engine does so by itself."""

    async def hand_out(self) -> None:
        """There are none."""

    async def drop(self) -> None:
        assert self.link is not None
        conns = self._conns
        self.known, self._order = [], None
        await self.link.aclose()
        await self._until(lambda: self._conns > conns)


@asynccontextmanager
async def local_inside() -> AsyncGenerator[tuple[Provider[Frame], Far]]:
    """Run the engine behind a link that a script can break."""
    far = _LocalFar()
    parts = Parts(far, far.think, far, far, far)

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        ours, theirs = memory_link()
        far.link = theirs
        far._conns += 1
        far._moved.give()
        async with beside() as tasks, ours, theirs:
            tasks.start_soon(run, parts, theirs)
            yield ours

    made = local(mind=far.think, ears=far, mouth=far, hands=far, eyes=far)
    yield replace(made, dial=dial), far
