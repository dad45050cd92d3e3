"""A caller: one client's connection in a script's hands.

Everything the client says is read and answered as a server would (settings acknowledged, items
added, mistakes answered with errors); the script gives the answers and the faults.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio
import msgspec
from msgspec.structs import replace

from realtime_core.codec import as_message
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    Interrupted,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    SpeechStarted,
    SpeechStopped,
    Status,
    ToolCall,
    Usage,
    UserTranscript,
)
from realtime_core.frames import UpdateSession
from realtime_core.serving import ENDS
from realtime_core.signals import Signal

from .. import client_events as client
from .. import server_events as server
from .desk import Desk
from .mirror import accepted
from .schema import Fields

__all__ = ("Caller", "Script")

_BROKEN = (msgspec.DecodeError, UnicodeError, RecursionError)


class Caller:
    """What a script sees of one client, and can do to it."""

    def __init__(self, desk: Desk, *, number: int = 0, path: str = "") -> None:
        self.desk = desk
        self.number = number
        """Of the connection: 0, 1, 2 ..."""
        self.path = path
        """What was asked for, with its query."""
        self.received: list[client.ClientEvent] = []
        """Everything the client said so far, that could be read."""
        self._unread = deque[client.ClientEvent]()
        self._came = Signal()
        self._end: BaseException | None = None
        self._minted = 0

    @property
    def session(self) -> Fields:
        """The session object in force."""
        return self.desk.book.session

    # --- in -----------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Read and answer until the client is gone; runs beside the script."""
        try:
            while True:
                for wire in await self.desk.receive():
                    self._hear(as_message(wire))
        except ENDS as end:
            self._end = end
            self._came.give()

    def _hear(self, wire: str | bytes) -> None:
        for ask in self.desk.hear(wire):
            if isinstance(ask.frame, UpdateSession) and ask.given is not None:
                self.desk.answer(accepted(self.desk.book, ask.given))
        try:
            event = self.desk.tongue.decode(wire)
        except _BROKEN:
            return
        self.received.append(event)
        self._unread.append(event)
        self._came.give()

    async def next(self) -> client.ClientEvent:
        """Wait for what the client says next; raises how the connection ended."""
        while not self._unread:
            if self._end is not None:
                raise self._end
            await self._came.wait()
        return self._unread.popleft()

    async def until(self, *kinds: type[client.ClientEvent]) -> client.ClientEvent:
        """Wait for an event of one of these kinds; those before it are passed over."""
        while not isinstance(event := await self.next(), kinds):
            pass
        return event

    # --- out ----------------------------------------------------------------------------------

    async def say(self, *events: server.ServerEvent | RealtimeEvent) -> None:
        """Say events, in one batch: the library's in good grammar, the server's as they are."""
        for event in events:
            if isinstance(event, server.ServerEvent):
                named = event if event.event_id else replace(event, event_id=self._mint("event"))
                self.desk.put(self.desk.tongue.say(self.desk.book, (server.encode(named),)))
            else:
                self.desk.tell(event)
        await self.desk.said()

    async def raw(self, *wires: str | bytes) -> None:
        """Send messages as they are."""
        self.desk.put(wires)
        await self.desk.said()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say what waits, and close."""
        await self.desk.leave(code, reason)

    def abort(self) -> None:
        """Break the connection off, at once."""
        self.desk.socket.abort()

    def _mint(self, kind: str) -> str:
        self._minted += 1
        return f"{kind}_{self.number}_s{self._minted}"

    # --- whole answers ------------------------------------------------------------------------

    async def answer(
        self,
        text: str = "",
        *,
        pcm: bytes = b"",
        calls: Sequence[tuple[str, Mapping[str, Any]]] = (),
        pieces: int = 4,
        pace: float = 0.0,
        stale: int = 0,
        status: Status = "completed",
        usage: Usage | None = None,
    ) -> ResponseId:
        """Answer what the client asked for first, or unasked; gives the answer's id.

        With `pcm` the text is spoken, else written, in so many pieces with `pace` seconds before
        each. When the client cancels, `stale` further pieces follow, and the answer ends as
        cancelled.
        """
        id = ResponseId(self._mint("resp"))
        waiting = next(iter(self.desk.book.wishes), "")
        await self.say(ResponseStarted(response=id, request=RequestId(waiting) or None))
        left = deque(self._pieces(id, text, pcm, pieces))
        while left:
            if pace:
                await anyio.sleep(pace)
            if self._is_cut(id):
                late = [event for _ in range(min(stale, len(left))) for event in left.popleft()]
                await self.say(*late)
                break
            await self.say(*left.popleft())
        if self._is_cut(id):
            await self.say(ResponseDone(response=id, status="cancelled", usage=usage))
            return id
        for name, arguments in calls:
            await self.say(
                ToolCall(
                    response=id,
                    item=ItemId(self._mint("item")),
                    call=CallId(self._mint("call")),
                    name=name,
                    arguments=msgspec.json.encode(arguments).decode(),
                )
            )
        await self.say(ResponseDone(response=id, status=status, usage=usage))
        return id

    def _is_cut(self, id: ResponseId) -> bool:
        reply = self.desk.book.replies.get(id)
        return reply is None or bool(reply.cut)

    def _pieces(
        self, id: ResponseId, text: str, pcm: bytes, count: int
    ) -> list[tuple[RealtimeEvent, ...]]:
        item, form = ItemId(self._mint("item")), self.desk.book.output_format
        if not text and not pcm:
            return []
        made: list[tuple[RealtimeEvent, ...]] = []
        samples = form.samples(len(pcm))
        for place in range(count):
            words = text[len(text) * place // count : len(text) * (place + 1) // count]
            begin, end = (samples * at // count * form.sample_size for at in (place, place + 1))
            if pcm:
                made.append(
                    (
                        AgentTranscript(response=id, item=item, text=words, final=False),
                        AudioOutput(response=id, item=item, pcm=pcm[begin:end], format=form),
                    )
                )
            else:
                piece = ResponseText(response=id, item=item, text=words, is_complete=False)
                made.append((piece,))
        if pcm:
            made.append(
                (
                    AudioOutputDone(response=id, item=item),
                    AgentTranscript(response=id, item=item, text=text, final=True),
                )
            )
        else:
            made.append((ResponseText(response=id, item=item, text=text, is_complete=True),))
        return made

    async def hear_user(self, text: str, *, at_ms: float = 0.0, to_ms: float = 0.0) -> None:
        """Let the user have said something, as a server does that decides turns by itself."""
        await self.say(
            SpeechStarted(audio_ms=at_ms),
            SpeechStopped(audio_ms=to_ms),
            UserTranscript(text=text, final=True),
        )

    async def barge_in(self, *, at_ms: float = 0.0) -> None:
        """Let the user speak over the answer that is being given, which ends."""
        active = self.desk.book.active
        cut = (ResponseId(active),) if active else ()
        await self.say(
            SpeechStarted(audio_ms=at_ms),
            Interrupted(cause="provider", fenced=cut),
            *(ResponseDone(response=id, status="cancelled") for id in cut),
        )


Script = Callable[[Caller], Awaitable[None]]
"""Plays the server for one client; returning closes the connection."""
