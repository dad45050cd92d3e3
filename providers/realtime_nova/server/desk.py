"""A desk: one client's stream, with the book that is kept of it and the voice that answers it.

What the client says and what it is told go one after the other, in the order in which they came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import anyio
import msgspec
from msgspec.structs import replace
from returns.result import Failure

from realtime_core.codec import Wire, as_message
from realtime_core.serving import Outbox, Socket

from ..client_events import ClientEvent
from ..encoding import BROKEN, client_event, encode
from ..server_events import ServerEvent
from .book import Book, Turned, hear
from .lock import Farewell
from .telling import Said, Voice, completed

__all__ = ("STREAMED", "Desk")

STREAMED = 1
"""The code of an end that is told: the reason is a `Farewell` as JSON."""
_LEAVE = 2.0
"""Seconds that taking leave may take."""
P = ParamSpec("P")


class Desk(Outbox):
    """Reads and writes for one client; `write` runs beside."""

    def __init__(self, socket: Socket, book: Book, number: int, *, lenient: bool = False) -> None:
        """Sit down at a socket; `lenient`: mistakes have no consequences."""
        super().__init__(socket)
        self.book = book
        self.voice = Voice(number)
        self.faults = deque[str](maxlen=1_000)
        """What the client did wrong."""
        self.left = False
        """We have ended the stream."""
        self._lenient = lenient

    def hear(self, wire: Wire) -> tuple[ClientEvent | None, Turned]:
        """Read what the client says, and tell whether its turn is over; None: it is no event."""
        event = self._read(wire)
        if event is None:
            return None, None
        result = hear(self.book, event)
        if isinstance(result, Failure):
            self._fault(result.failure())
            return event, None
        self.book, turned = result.unwrap()
        if event.prompt_start is not None:
            rate = event.prompt_start.audio_output_configuration.sample_rate_hertz
            self.voice = replace(self.voice, prompt=event.prompt_start.prompt_name, rate=rate)
        if event.prompt_end is not None and not self.left:
            self.tell(completed)
        return event, turned

    def _read(self, wire: Wire) -> ClientEvent | None:
        message = as_message(wire)
        try:
            known = client_event(message)
            said = msgspec.json.decode(message, type=dict[str, dict[str, Any]]).get("event", {})
        except BROKEN:
            self._fault("no JSON of an event")
            return None
        if len(said) != 1 or known == ClientEvent():
            self._fault(f"an event that is not known: {[*said]}")
            return None
        return known

    def _fault(self, why: str) -> None:
        if not self._lenient:
            self.faults.append(why)

    def over(self) -> None:
        """Look at what the client leaves behind."""
        if self.book.brackets.session == "open" and not self.left:
            self._fault("the stream was ended while the session is open")

    def tell(
        self, step: Callable[Concatenate[Voice, P], Said], *given: P.args, **more: P.kwargs
    ) -> None:
        """Say what a step of `telling` says."""
        said = step(self.voice, *given, **more)
        self.voice = said.voice
        self.say(*said.events)

    def say(self, *events: ServerEvent) -> None:
        """Say events as they are; calls among them wait for results."""
        calls = (event.tool_use for event in events)
        waiting = tuple(one.tool_use_id or "" for one in calls if one is not None)
        if waiting:
            self.book = replace(self.book, calls=(*self.book.calls, *waiting))
        self.put(tuple(map(encode, events)))

    async def leave(self, code: int = 1000, reason: str = "") -> None:
        """Say what waits, then end the stream in good order."""
        self.left = True
        await super().leave(code, reason)

    async def fail(self, farewell: Farewell) -> None:
        """Say what waits, then end the stream with an exception, or refuse the request."""
        self.left = True
        with anyio.move_on_after(_LEAVE):
            await self.said()
        await self.socket.close(STREAMED, msgspec.json.encode(farewell).decode())
