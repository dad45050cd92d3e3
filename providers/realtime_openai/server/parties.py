"""Parties: a call's caller, and those who joined it beside, as one client of its session.

What each of them says is heard in the order in which it came; what is said reaches all of them, but
that something was wrong is told to who did it. Nobody who joined can make the caller wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import anyio
import msgspec
from anyio import CancelScope
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from realtime_core.beside import beside
from realtime_core.codec import Media, Wire, as_message
from realtime_core.link import Link, Wires
from realtime_core.serving import ENDS, Socket

from .book import newest

__all__ = ("Parties",)

_ERROR = b'{"type":"error"'
_BATCHES = 1_000
"""Batches that may wait for one who joined; with more it has left."""
_NAMES = 256
_BROKEN = (msgspec.DecodeError, UnicodeError, RecursionError)

_Guest = tuple[MemoryObjectSendStream[Wires], CancelScope]


class _Named(msgspec.Struct):
    event_id: str | None = None


class _Details(msgspec.Struct):
    error: _Named


class Parties:
    """All who take part in a call, as one `Socket`; `listen` runs beside."""

    def __init__(self, caller: Link) -> None:
        self._caller = caller
        self._said, self._heard = anyio.create_memory_object_stream[Wires]()
        self._guests: dict[int, _Guest] = {}
        self._number = 0
        self._speakers: Mapping[str, int] = {}
        """Who last gave an event this name; the caller is 0."""
        self._over = False

    # --- the socket ---------------------------------------------------------------------------

    async def receive(self) -> Wires:
        """Wait for what anybody says, or for the caller's end."""
        return await self._heard.receive()

    async def send(self, item: Wires) -> None:
        """Tell everybody; waits for the caller only."""
        aimed = [(wire, self._speaker(wire)) for wire in item]
        for number, (mailbox, scope) in tuple(self._guests.items()):
            batch = tuple(wire for wire, whose in aimed if whose in {None, number})
            try:
                mailbox.send_nowait(batch)
            except (anyio.WouldBlock, *ENDS):
                scope.cancel()
        mine = tuple(wire for wire, whose in aimed if whose in {None, 0})
        await self._caller.send(mine)

    async def close(self, code: int = 1000, reason: str = "") -> None:  # noqa: ARG002 - no such words
        """End the call, once all of this was read."""
        self.abort()

    def abort(self) -> None:
        """End the call."""
        self._over = True
        self._said.close()
        self._heard.close()
        for _, scope in self._guests.values():
            scope.cancel()

    # --- who takes part -----------------------------------------------------------------------

    async def listen(self) -> None:
        """Hear the caller until it hangs up; silence is not heard before its first sound."""
        awake = False
        with suppress(*ENDS):
            while True:
                wires = await self._caller.receive()
                awake = awake or any(_sounds(wire) for wire in wires)
                if not awake:
                    wires = tuple(wire for wire in wires if not isinstance(wire, Media))
                if wires:
                    await self._hear(0, wires)
        self.abort()

    async def join(self, socket: Socket) -> None:
        """Let somebody take part until it leaves, or the call is over; then it is let go."""
        self._number += 1
        number = self._number
        mailbox, letters = anyio.create_memory_object_stream[Wires](_BATCHES)
        with CancelScope() as scope, suppress(*ENDS):
            self._guests[number] = mailbox, scope
            try:
                async with beside() as tasks:
                    tasks.start_soon(_deliver, letters, socket)
                    while not self._over:
                        await self._hear(number, await socket.receive())
            finally:
                del self._guests[number]
                mailbox.close()
                letters.close()
        await socket.close()

    async def _hear(self, number: int, wires: Wires) -> None:
        for wire in wires:
            name = None if isinstance(wire, Media) else _name(wire)
            if name:
                self._speakers = newest({**self._speakers, name: number}, _NAMES)
        await self._said.send(wires)

    def _speaker(self, wire: Wire) -> int | None:
        """Tell whose mistake a message is about."""
        said = as_message(wire)
        if not isinstance(said, bytes) or not said.startswith(_ERROR):
            return None
        return self._speakers.get(msgspec.json.decode(said, type=_Details).error.event_id or "")


def _sounds(wire: Wire) -> bool:
    from realtime_core.audio.levels import is_silent  # noqa: PLC0415 - numpy only where calls are

    return isinstance(wire, Media) and not is_silent(wire.data)


def _name(wire: str | bytes) -> str | None:
    try:
        return msgspec.json.decode(wire, type=_Named).event_id
    except _BROKEN:
        return None


async def _deliver(letters: MemoryObjectReceiveStream[Wires], socket: Socket) -> None:
    with suppress(*ENDS):
        async for wires in letters:
            await socket.send(wires)
