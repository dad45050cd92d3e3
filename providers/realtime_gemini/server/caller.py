"""A caller: one client's connection in a script's hands.

Everything the client says is read and judged as the service does; the script gives the answers and
the faults. A mistake of the client closes the connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio
import msgspec

from realtime_core.codec import Wire
from realtime_core.serving import ENDS
from realtime_core.signals import Signal
from realtime_core.transports.websocket_server import Request

from ..client_messages import ClientMessage, Setup
from ..parts import FunctionResponse
from ..server_messages import (
    FunctionCall,
    GoAway,
    ResumptionUpdate,
    ServerContent,
    ServerMessage,
    ToolCall,
    ToolCallCancellation,
    Transcription,
    UsageMetadata,
    VoiceActivity,
)
from .book import open_calls
from .contents import words_of
from .desk import Desk, Style
from .mirror import welcome
from .pieces import spoken, thinking, typed

__all__ = ("Caller", "Script")


_KEPT = 10_000


class Caller:
    """What a script sees of one client, and can do to it."""

    def __init__(
        self, desk: Desk, number: int, request: Request, others: Sequence[Caller] = ()
    ) -> None:
        self.desk = desk
        self.number = number
        """Of the connection: 0, 1, 2 ..."""
        self.request = request
        """What was asked at the door, with the path and the headers."""
        self.handles: list[str] = []
        """Those that it was given."""
        self._others = others
        self.received = deque[ClientMessage](maxlen=_KEPT)
        """What the client said lately, if it could be read."""
        self._unread = deque[ClientMessage]()
        self._came = Signal()
        self._end: BaseException | None = None
        self._minted = 0

    @property
    def setup(self) -> Setup:
        """The settings, as far as they were changed since; only behind `welcome`."""
        assert self.desk.book.setup is not None  # noqa: S101 - it came
        return self.desk.book.setup

    @property
    def resumed(self) -> str:
        """The handle with which the client takes a session up again, or ""."""
        return self.desk.book.wish.handle

    # --- in -----------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Read until the client is gone, or has made a mistake; runs beside the script."""
        try:
            while True:
                for wire in await self.desk.receive():
                    if not self._hear(wire):
                        fault = self.desk.faults[-1]
                        await self.desk.leave(*fault)
                        raise anyio.EndOfStream
        except ENDS as end:
            self._end = end
            self._came.give()

    def _hear(self, wire: Wire) -> bool:
        message, told = self.desk.hear(wire)
        if message is not None:
            self.received.append(message)
            self._unread.append(message)
            self._came.give()
        return told.fault is None

    async def next(self) -> ClientMessage:
        """Wait for what the client says next; raises how the connection ended."""
        while not self._unread:
            if self._end is not None:
                raise self._end
            await self._came.wait()
        return self._unread.popleft()

    async def until(self, *paths: str) -> Any:  # noqa: ANN401 - whatever stands there
        """Wait for a message that has one of these fields, and give what it holds.

        A path is such as `client_content` or `realtime_input.text`. Messages before are passed
        over.
        """
        while True:
            message = await self.next()
            for path in paths:
                found: Any = message
                for name in path.split("."):
                    found = getattr(found, name, None)
                if found is not None:
                    return found

    async def turn(self) -> str:
        """Wait until the client ends a turn by itself, typed or marked; gives the typed words."""
        while True:
            message = await self.next()
            content, given = message.client_content, message.realtime_input
            if content is not None and content.turn_complete:
                return words_of(content.turns or ())
            if given is not None and given.text is not None:
                return given.text
            if given is not None and given.activity_end is not None:
                return ""

    async def results(self, *ids: str) -> tuple[FunctionResponse, ...]:
        """Wait for the last results of these calls, and give them in this order."""
        came: dict[str, FunctionResponse] = {}
        while not came.keys() >= set(ids):
            for one in (await self.until("tool_response")).function_responses or ():
                if not one.will_continue:
                    came[one.id] = one
        return tuple(came[id] for id in ids)

    # --- out ----------------------------------------------------------------------------------

    def write(self, *, text: bool = False, snake: bool = False, empty: bool = False) -> None:
        """Write from now on as text messages, in snake_case, with empty messages between."""
        self.desk.style = Style(text, snake, empty)

    async def welcome(self, session_id: str = "") -> None:
        """Say that the setup is complete, once it came.

        Where it takes up a session of this server, calls without a result are still open.
        """
        while self.desk.book.setup is None:
            if self._end is not None:
                raise self._end
            await self._came.wait()
        for other in self._others:
            if self.resumed in other.handles:
                calls = other.desk.book.calls
                kept = {id: calls[id] for id in open_calls(other.desk.book)}
                self.desk.book = self.desk.book.with_calls(kept)
        self.desk.take(welcome(self.desk.book, session_id))
        await self.desk.said()

    async def say(self, *messages: ServerMessage) -> None:
        """Say messages, in one batch; one message may have several fields."""
        for message in messages:
            self.desk.say(message)
        await self.desk.said()

    async def raw(self, *wires: Wire) -> None:
        """Send messages as they are: `str` as text, `bytes` as binary."""
        self.desk.put(wires)
        await self.desk.said()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say what waits, and close."""
        await self.desk.leave(code, reason)

    def drop(self) -> None:
        """Break the connection off, at once."""
        self.desk.socket.abort()

    # --- pieces -------------------------------------------------------------------------------

    async def content(self, **fields: Any) -> None:  # noqa: ANN401 - the content's own
        """Say something of the model's turn: fields of `ServerContent`."""
        await self.say(ServerMessage(server_content=ServerContent(**fields)))

    async def complete(
        self, usage: UsageMetadata | None = None, *, reason: str = "", status: str = ""
    ) -> None:
        """Say that the turn is complete; `reason` why it is not well, `status` of the exchange."""
        over = ServerContent(
            turn_complete=True,
            turn_complete_reason=reason or None,
            interaction_status=status or None,
        )
        await self.say(ServerMessage(server_content=over, usage_metadata=usage))

    async def interrupt(self, usage: UsageMetadata | None = None) -> None:
        """Say that the turn is interrupted, and over."""
        await self.content(interrupted=True)
        await self.complete(usage)

    async def call(self, *calls: tuple[str, Mapping[str, Any]]) -> tuple[str, ...]:
        """Have functions called, in one message; gives the ids."""
        ids = tuple(self._mint("call") for _ in calls)
        made = (
            FunctionCall(name, msgspec.Raw(msgspec.json.encode(arguments)), id)
            for id, (name, arguments) in zip(ids, calls, strict=True)
        )
        await self.say(ServerMessage(tool_call=ToolCall(tuple(made))))
        return ids

    async def cancel(self, *ids: str) -> None:
        """Take calls back."""
        await self.say(ServerMessage(tool_call_cancellation=ToolCallCancellation(ids)))

    async def handle(self, name: str = "", *, resumable: bool = True) -> str:
        """Give a handle for taking the session up again, or say that there is none now."""
        given = (name or self._mint("handle")) if resumable else ""
        if given:
            self.handles.append(given)
        update = ResumptionUpdate(given, resumable=resumable)
        await self.say(ServerMessage(session_resumption_update=update))
        return given

    async def go_away(self, seconds: float) -> None:
        """Warn that the connection will be closed."""
        await self.say(ServerMessage(go_away=GoAway(f"{seconds:g}s")))

    async def hear_user(self, *words: str, start: str = "", end: str = "") -> None:
        """Let the user have said something; with offsets (`1.2s`), voice activity around it."""
        if start:
            heard = VoiceActivity("ACTIVITY_START", audio_offset=start)
            await self.say(ServerMessage(voice_activity=heard))
        for one in words:
            await self.content(input_transcription=Transcription(one))
        if end:
            heard = VoiceActivity("ACTIVITY_END", audio_offset=end)
            await self.say(ServerMessage(voice_activity=heard))

    def _mint(self, kind: str) -> str:
        self._minted += 1
        return f"{kind}_{self.number}_{self._minted}"

    # --- whole turns --------------------------------------------------------------------------

    async def answer(
        self,
        text: str = "",
        *,
        pcm: bytes = b"",
        thought: str = "",
        pieces: int = 4,
        pace: float = 0.0,
        stale: int = 0,
        together: bool = False,
        complete: bool = True,
        usage: UsageMetadata | None = None,
    ) -> bool:
        """Answer in so many pieces, with `pace` seconds before each; False if the client cut in.

        With `pcm` (24 kHz) the text is spoken, else written. When the client begins another turn,
        `stale` further pieces follow, then the turn is interrupted. `together` has sound and words
        in one message; without `complete` the turn stays open.
        """
        begun = self.desk.book.begun
        left = deque(
            spoken(text, pcm, pieces, written=self.desk.book.worded, together=together)
            if pcm
            else typed(text, pieces)
        )
        if thought:
            left.appendleft((thinking(thought),))
        while left:
            if pace:
                await anyio.sleep(pace)
            if self.desk.book.begun > begun and self.desk.book.wish.interrupts:
                for _ in range(min(stale, len(left))):
                    await self.say(*left.popleft())
                await self.interrupt(usage)
                return False
            await self.say(*left.popleft())
        await self.content(generation_complete=True)
        if complete:
            await self.complete(usage)
        return True


Script = Callable[[Caller], Awaitable[None]]
"""Plays the server for one client; returning closes the connection."""
