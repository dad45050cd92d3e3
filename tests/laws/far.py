"""The far end of a session in a scene: a provider that answers what it is asked, until it is told
to stop; and the wire in between, which can be stalled and is overheard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio.abc import ObjectStream

from realtime_core.audio.format import AudioFormat
from realtime_core.codec import CancelResponse, Outgoing
from realtime_core.epoch import CallId, ItemId, ResponseId
from realtime_core.events import (
    AudioOutput,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ToolCall,
)
from realtime_core.frames import CreateResponse
from realtime_core.link import Link, Wires
from realtime_core.signals import Signal
from realtime_core.testing import TICK
from realtime_core.testing.scripted import Greeting, Peer, read
from tests.laws.scenarios import cut

__all__ = ("Far", "Gone", "Items", "Wire", "item_of")

Heard = TypeVar("Heard")


class Gone(Exception):  # noqa: N818 - it names what has happened
    """The session has hung up, or the connection was lost."""


class Items:
    """The items that are spoken; each sounds like its own number, so that a sink can tell."""

    def __init__(self, format: AudioFormat) -> None:
        self.names: list[tuple[ResponseId, ItemId]] = []
        self._format = format

    def sound(self, response: ResponseId, item: ItemId, ticks: int) -> AudioOutput:
        """Give some sound of an item."""
        if (response, item) not in self.names:
            self.names.append((response, item))
        number = self.names.index((response, item)) + 1
        pcm = number.to_bytes(2, "little") * int(ticks * TICK * self._format.rate)
        return AudioOutput(response=response, item=item, pcm=pcm, format=self._format)


def item_of(items: Items, pcm: bytes) -> tuple[ResponseId, ItemId]:
    """Tell of what a sound is a part."""
    return items.names[int.from_bytes(pcm[:2], "little") - 1]


class Wire(ObjectStream[Wires]):
    """The session's end of a connection: overheard, and stalled whenever the provider likes.

    What it brings first comes `slow` seconds late.
    """

    def __init__(
        self, link: Link, overhear: Callable[[Outgoing | Greeting], object], slow: float = 0.0
    ) -> None:
        self._link = link
        self._overhear = overhear
        self._slow = slow
        self._flows = Signal()
        self._stalled = False

    def stall(self, on: bool = True) -> None:
        """Take nothing any more, or go on."""
        self._stalled = on
        self._flows.give()

    async def receive(self) -> Wires:
        wires = await self._link.receive()
        slow, self._slow = self._slow, 0.0
        if slow:
            await anyio.sleep(slow)
        return wires

    async def send(self, item: Wires) -> None:
        for wire in item:
            self._overhear(read(wire))
        while self._stalled:
            await self._flows.wait()
        await self._link.send(item)

    async def send_eof(self) -> None:
        await self._link.send_eof()

    async def aclose(self) -> None:
        await self._link.aclose()


class Far:
    """The provider on one connection. Every wait ends with `Gone` once that is over."""

    def __init__(self, peer: Peer, wire: Wire, items: Items) -> None:
        self.peer = peer
        self.wire = wire
        self.greeting = peer.sent[0]
        self._items = items
        self._unread: list[Outgoing | Greeting] = []
        self._heard = Signal()
        self._over = False
        self._speaking: set[ResponseId] = set()
        self._answered = 0

    # --- what it hears ------------------------------------------------------------------------

    async def listen(self) -> None:
        """Hear everything, as it comes."""
        try:
            while True:
                said = await self.peer.next()
                if isinstance(said, CancelResponse):
                    self._speaking.discard(said.response)
                self._unread.append(said)
                self._heard.give()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._over = True
            self._heard.give()

    async def hear(self, kind: type[Heard]) -> Heard:
        """Wait for the next message of a kind, and leave the others where they are."""
        while True:
            for place, said in enumerate(self._unread):
                if isinstance(said, kind):
                    del self._unread[place]
                    return said
            if self._over:
                raise Gone
            await self._heard.wait()

    async def wish(self) -> CreateResponse:
        """Wait to be asked for an answer."""
        return await self.hear(CreateResponse)

    def cut(self) -> None:
        """Stop to speak, as a provider does that has heard the user."""
        self._speaking.clear()

    def hang_up(self) -> None:
        """Lose the connection."""
        cut(self.peer)

    # --- what it says -------------------------------------------------------------------------

    async def say(self, *events: RealtimeEvent) -> None:
        """Say something as one message."""
        try:
            await self.peer.say(*events)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise Gone from None

    async def begin(self, name: str, wish: CreateResponse | None = None) -> ResponseId:
        """Begin an answer."""
        id = ResponseId(name)
        self._speaking.add(id)
        await self.say(
            ResponseStarted(response=id, request=wish.request if wish is not None else None)
        )
        return id

    async def speak(self, id: ResponseId, pieces: int = 3, ticks: int = 2, item: int = 0) -> None:
        """Go on with an answer, a piece each tick, unless it was told to stop."""
        for _ in range(pieces):
            if id not in self._speaking:
                return
            await self.say(self._items.sound(id, ItemId(f"{id}-{item}"), ticks))
            await anyio.sleep(TICK)

    async def end(self, id: ResponseId) -> None:
        """End an answer: well, if it was not told to stop."""
        cut = id not in self._speaking
        self._speaking.discard(id)
        await self.say(ResponseDone(response=id, status="cancelled" if cut else "completed"))

    async def answer(
        self, name: str, wish: CreateResponse | None = None, pieces: int = 3, ticks: int = 2
    ) -> None:
        """Give a spoken answer."""
        id = await self.begin(name, wish)
        await self.speak(id, pieces, ticks)
        await self.end(id)

    async def call(self, name: str, wish: CreateResponse | None, *calls: str) -> None:
        """Ask for tools, each call by the tool's name."""
        id = await self.begin(name, wish)
        await self.say(
            *(
                ToolCall(response=id, call=CallId(c), name=c, arguments=f'{{"call": "{c}"}}')
                for c in calls
            )
        )
        await self.end(id)

    async def attend(self) -> None:
        """Answer whatever is asked, shortly, until the session hangs up."""
        while True:
            wish = await self.wish()
            self._answered += 1
            await self.answer(f"{self.peer.conn}.{self._answered}", wish, pieces=2)
