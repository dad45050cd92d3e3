"""The link: events as JSON over one signed, framed exchange of HTTP/2.

A wire is the JSON of one event. The first that is received on a connection is empty: the service
has accepted the request. Whatever goes out is signed, each event with its predecessor's signature,
in the order in which it goes. What was opened is closed when the link is, however that comes about,
as far as it was sent and not closed before; and where no sound is sent, silence is, as `pauses` has
it: between batches, never in one, and only where it need not wait.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from inspect import isawaitable
from time import time
from typing import cast
from urllib.parse import quote

import anyio
from anyio.abc import ObjectStream

from realtime_core.beside import beside
from realtime_core.codec import Wire, as_message
from realtime_core.errors import AuthFailed, RealtimeError, RealtimeException
from realtime_core.link import Dial, Link, Wires
from realtime_core.plan import Plan
from realtime_core.signals import Signal
from realtime_core.transports.http2 import Caller, Endpoint, Stream, connected

from .brackets import Brackets, closing, seconds, sent, silence
from .chunks import chunk, event, malformed, said
from .clock import Clock
from .credentials import Door
from .failures import exception, refused
from .framing import Reader
from .pauses import PIECE_MS, begun, due, hushed, sounded, wait
from .signing import OVERHEAD, Chain, Scope, sign_chunk, sign_request

__all__ = ("ACCEPTED", "Reach", "nova_link")

ACCEPTED = b""
"""The first wire of a connection."""

Reach = Callable[[Plan], Door | Awaitable[Door]]
"""Gives where to connect and with which credentials; asked at each connect."""

_HEADERS = {
    "accept": "application/vnd.amazon.eventstream",
    "content-type": "application/vnd.amazon.eventstream",
}
_MOST_KEPT = 4 * 1024 * 1024
"""Bytes that are kept until the service has accepted the request."""
_ENDS = (RealtimeException, anyio.BrokenResourceError, anyio.ClosedResourceError)


def nova_link(reach: Reach, now: Callable[[], float] = time) -> Dial:
    """Dial the model at the door that `reach` gives.

    Where credentials are refused and our clock is minutes from the service's, it is asked once
    more, with its own time, which is kept for later connections. Leaving the block closes what is
    open, and waits for the end of the answer, all within the door's `close_timeout`; while being
    cancelled it says what goes at once, and breaks off.
    """
    clock = Clock(now)

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        made = reach(plan)
        door = await made if isawaitable(made) else made
        endpoint = Endpoint(
            url=f"{door.url}/model/{quote(door.model, safe='')}/invoke-with-bidirectional-stream",
            refusal=refused,
            ssl=door.ssl,
            proxy=door.proxy,
            open_timeout=door.open_timeout,
            close_timeout=door.close_timeout,
            ping_interval=door.ping_interval,
            ping_timeout=door.ping_timeout,
        )
        async with (
            connected(endpoint) as caller,
            _NovaLink(caller, door, clock) as link,
            beside() as tasks,
        ):
            tasks.start_soon(link.keep)
            yield link

    return dial


class _NovaLink(ObjectStream[Wires]):
    def __init__(self, caller: Caller, door: Door, clock: Clock) -> None:
        self._caller = caller
        self._scope = Scope(door.credentials, door.region)
        self._close_timeout = door.close_timeout
        self._clock = clock
        self._reader = Reader()
        self._brackets = Brackets()
        self._pause = begun(anyio.current_time())
        self._senders = 0
        """How many wait for their turn, or for the end of it."""
        self._sounded = Signal()
        """Given when sound ends a pause at rest."""
        self._kept: list[bytes] | None = []
        """What was sent, until the request is accepted."""
        self._told = False
        """Whether it was told that the request is accepted."""
        self._error: RealtimeError | None = None
        self._closed = False
        self._stream, self._chain = self._begun()

    def _begun(self) -> tuple[Stream, Chain]:
        """Make the request."""
        target = self._caller.target
        headers = {**_HEADERS, "host": target.authority}
        signed, chain = sign_request(self._scope, "POST", target.path, headers, self._clock.second)
        return self._caller.request(signed), chain

    # --- in -----------------------------------------------------------------------------------

    async def receive(self) -> Wires:
        """Wait for events: those that were complete together. Cancelling loses none."""
        while self._error is None:
            stream = self._stream
            try:
                if not self._told:
                    await stream.answered()
                    self._told, self._kept = True, None
                    return (ACCEPTED,)
                wires = self._wires(await stream.receive())
            except anyio.EndOfStream:
                self._reader.end()
                self._error = self._reader.fault
                if self._error is None:
                    raise
            except RealtimeException as problem:
                if not self._again(stream, problem.error):
                    self._error = problem.error
            else:
                if wires:
                    return wires
        raise RealtimeException(self._error)

    def _wires(self, pieces: Wires) -> Wires:
        """Read what came; a fault behind it is told the next time."""
        wires = list[Wire]()
        for message in self._reader.feed(b"".join(cast("tuple[bytes, ...]", pieces))):
            kind = message.text(":message-type")
            wire = event(message) if kind == "event" else None
            if wire is None:
                self._error = malformed() if kind == "event" else exception(*said(message))
                break
            wires.append(wire)
        self._error = self._error or self._reader.fault
        return tuple(wires)

    def _again(self, stream: Stream, error: RealtimeError) -> bool:
        """Ask again with the service's time, if ours was the reason; once."""
        if stream is not self._stream:
            return True
        kept, answer = self._kept, stream.answer
        if kept is None or answer is None or not isinstance(error, AuthFailed):
            return False
        if not self._clock.correct(answer.headers.get("date", "")):
            return False
        self._kept = None
        stream.reset()
        self._stream, self._chain = self._begun()
        self._stream.post(self._signed(kept))
        return True

    # --- out ----------------------------------------------------------------------------------

    async def send(self, item: Wires) -> None:
        """Sign and write a batch; waits while the service grants no room.

        Cancelled before its turn nothing of it is sent, and all of it later.
        """
        events = _events(item)
        chunks = list(map(chunk, events))
        self._senders += 1
        try:
            await self._sent(events, chunks)
        finally:
            self._senders -= 1

    async def _sent(self, events: list[bytes], chunks: list[bytes]) -> None:
        posted = False
        while True:
            stream = self._stream
            try:
                if not posted:
                    await stream.turn()
                if not posted and stream is self._stream:
                    posted = True
                    self._post(chunks)
                    self._note(events)
                if posted:
                    await stream.flushed()
                    return
            except RealtimeException as problem:
                if not self._again(stream, problem.error):
                    raise

    def offer(self, item: Wires) -> bool:
        """Write a batch now; False, and nothing of it, where it would have to wait."""
        events = _events(item)
        if not self._posted(list(map(chunk, events))):
            return False
        self._note(events)
        return True

    async def keep(self) -> None:
        """Send silence where no sound is sent."""
        while True:
            self.hush()
            with anyio.move_on_after(wait(self._pause, anyio.current_time())):
                await self._sounded.wait()

    def hush(self) -> None:
        """Send the silence that is due, as far as there is room and nobody else waits for it."""
        now = anyio.current_time()
        pieces = due(self._pause, now) if not self._senders else 0
        quiet = silence(self._brackets, PIECE_MS) if pieces else None
        while pieces and quiet is not None and self._posted([chunk(quiet)]):
            pieces -= 1
            self._pause = hushed(self._pause, now)

    def _note(self, events: list[bytes]) -> None:
        """Take note of what is on its way."""
        for one in events:
            self._brackets = sent(self._brackets, one)
            lasts = seconds(self._brackets, one)
            if lasts:
                rested = self._pause.over
                self._pause = sounded(self._pause, anyio.current_time(), lasts)
                if rested:
                    self._sounded.give()

    def _posted(self, chunks: list[bytes]) -> bool:
        """Let a batch go, unless it would have to wait."""
        size = sum(OVERHEAD + len(one) for one in chunks)
        if self._closed or self._error is not None or not self._stream.free(size):
            return False
        self._post(chunks)
        return True

    def _post(self, chunks: list[bytes]) -> None:
        if self._closed:
            raise anyio.ClosedResourceError
        if self._kept is not None:
            self._kept += chunks
            if sum(map(len, self._kept)) > _MOST_KEPT:
                self._kept = None
        self._stream.post(self._signed(chunks))

    def _signed(self, chunks: Sequence[bytes]) -> bytes:
        framed, at = list[bytes](), self._clock.second
        for one in chunks:
            data, self._chain = sign_chunk(self._chain, one, at)
            framed.append(data)
        return b"".join(framed)

    # --- life ---------------------------------------------------------------------------------

    async def send_eof(self) -> None:
        """Close what is open, say that nothing more comes, and stay to hear the service."""
        if not self._closed:
            await self._stream.turn()
            self._closed = True
            self._stream.post(self._signed([*map(chunk, closing(self._brackets)), b""]))
            self._stream.finish()

    async def aclose(self) -> None:
        """Say the same, and wait for the end; cancelling breaks it off."""
        with anyio.move_on_after(self._close_timeout):
            try:
                with suppress(*_ENDS):
                    await self.send_eof()
            finally:
                await self._stream.aclose()


def _events(item: Wires) -> list[bytes]:
    messages = map(as_message, item)
    return [one.encode() if isinstance(one, str) else one for one in messages]
