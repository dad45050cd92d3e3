"""A caller: one client's stream in a script's hands.

Everything the client says is read and judged as the service does; the script gives the answers and
the faults. A mistake of the client ends the stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio

from realtime_core.codec import Wire
from realtime_core.events import Usage
from realtime_core.serving import ENDS
from realtime_core.signals import Signal
from realtime_core.transports.http2_server import Request

from ..client_events import ClientEvent, PromptStart, SessionStart
from ..encoding import encode
from ..link import ACCEPTED
from ..server_events import ServerEvent
from .book import Turned
from .desk import Desk
from .lock import Farewell, Mistake, model_of
from .pieces import sentences, spoken
from .stream import SignedStream
from .telling import (
    Form,
    Reason,
    called,
    completed,
    final,
    heard,
    interrupted,
    sounding,
    spent,
)

__all__ = ("Caller", "Script")

_KEPT = 10_000


class Caller:
    """What a script sees of one client, and can do to it."""

    def __init__(self, desk: Desk, number: int, request: Request) -> None:
        self.desk = desk
        self.number = number
        """Of the connection: 0, 1, 2 ..."""
        self.request = request
        """What was asked at the door, with the path and the headers."""
        self.model = model_of(request)
        """The model that was asked for; "" without a socket."""
        self.received = deque[ClientEvent](maxlen=_KEPT)
        """What the client said lately, if it could be read."""
        self._unread = deque[tuple[ClientEvent, Turned]]()
        self._came = Signal()
        self._end: BaseException | None = None
        self._hearing = anyio.CancelScope()
        self._minted = 0

    @property
    def session(self) -> SessionStart:
        """The settings of the session; only behind `accept`."""
        assert self.desk.book.session is not None  # noqa: S101 - it came
        return self.desk.book.session

    @property
    def prompt(self) -> PromptStart:
        """The settings of the prompt, with voice and tools; only behind `accept`."""
        assert self.desk.book.prompt is not None  # noqa: S101 - it came
        return self.desk.book.prompt

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """The history, as far as it was told: roles (`USER`, `ASSISTANT`), and words."""
        return self.desk.book.told

    @property
    def calls(self) -> tuple[str, ...]:
        """Ids of the calls that wait for their results."""
        return self.desk.book.calls

    # --- in -----------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Read until the client is gone, or has made a mistake; runs beside the script."""
        try:
            with self._hearing:
                await self._listen()
        except ENDS as end:
            if isinstance(end, anyio.EndOfStream) and isinstance(self.desk.socket, SignedStream):
                self.desk.over()
            self.over(end)

    def over(self, end: BaseException) -> None:
        """Note that nothing more will be heard; the first reason counts."""
        self._end = self._end or end
        self._came.give()

    async def _listen(self) -> None:
        faults = self.desk.faults
        try:
            while not faults:
                for wire in await self.desk.receive():
                    self._hear(wire)
                    if faults:
                        break
        except Mistake as mistake:
            if self.desk.left:  # the client breaks off what we have ended
                raise anyio.ClosedResourceError from None
            faults.append(str(mistake))
        await self.fail("validationException", f"Received an unexpected event: {faults[-1]}")
        raise anyio.ClosedResourceError

    def _hear(self, wire: Wire) -> None:
        event, turned = self.desk.hear(wire)
        if event is not None:
            self.received.append(event)
            self._unread.append((event, turned))
            self._came.give()

    async def next(self) -> ClientEvent:
        """Wait for what the client says next; raises how the stream ended."""
        event, _ = await self._next()
        return event

    async def _next(self) -> tuple[ClientEvent, Turned]:
        while not self._unread:
            if self._end is not None:
                raise self._end
            await self._came.wait()
        return self._unread.popleft()

    async def until(self, *kinds: str) -> Any:  # noqa: ANN401 - whatever stands there
        """Wait for an event of one of these kinds (`text_input`), and give what it holds.

        Events before it are passed over.
        """
        while True:
            event = await self.next()
            for kind in kinds:
                found = getattr(event, kind)
                if found is not None:
                    return found

    async def turn(self) -> str:
        """Wait until the user's turn is over: words were typed, or it is silent after speech.

        Gives the typed words, or "". How long the silence is follows the client's settings.
        """
        while True:
            _, turned = await self._next()
            if turned is not None:
                return turned

    async def results(self, *ids: str) -> tuple[str, ...]:
        """Wait for the results of these calls, or of all that wait, and give them in order."""
        ids = ids or self.calls
        came, block = dict[str, str](), ""
        while not came.keys() >= set(ids):
            event = await self.next()
            start = event.content_start
            if start is not None and start.tool_result_input_configuration is not None:
                block = start.tool_result_input_configuration.tool_use_id
            if event.tool_result is not None:
                came[block] = event.tool_result.content
        return tuple(came[id] for id in ids)

    # --- the door -----------------------------------------------------------------------------

    async def accept(self) -> None:
        """Accept the request, once the client has opened its prompt."""
        while self.desk.book.prompt is None:
            if self._end is not None:
                raise self._end
            await self._came.wait()
        await self.raw(ACCEPTED)

    async def refuse(
        self, status: int, name: str, message: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Refuse the request; where it was accepted already, end it with an exception."""
        why = Farewell(status=status, name=name, message=message, headers=headers or {})
        await self.desk.fail(why)

    async def fail(self, name: str, message: str = "") -> None:
        """End the stream with an exception (`throttlingException`), behind what waits."""
        await self.desk.fail(Farewell(name=name, message=message))

    async def close(self) -> None:
        """Say what waits, and end the stream in good order."""
        await self.desk.leave()

    def abort(self) -> None:
        """Break the connection off, at once."""
        self.desk.left = True
        self.desk.socket.abort()

    def reset(self, code: int = 2) -> None:
        """Break the stream off with a code of HTTP/2; without a socket, just break it off."""
        self.desk.left = True
        if isinstance(self.desk.socket, SignedStream):
            self.desk.socket.reset(code)
        else:
            self.desk.socket.abort()

    def go_away(self, code: int = 0, said: bytes = b"", last: int | None = None) -> None:
        """Say GOAWAY; `last` is the last stream that goes on, by default this one.

        Without a socket this does nothing.
        """
        if isinstance(self.desk.socket, SignedStream):
            self.desk.left = True
            self.desk.socket.go_away(code, said, last)

    async def halve(self, event: ServerEvent) -> None:
        """Say the beginning of an event, and end the stream; without a socket, break it off."""
        self.desk.left = True
        await self.desk.said()
        if isinstance(self.desk.socket, SignedStream):
            await self.desk.socket.half(encode(event))
        else:
            self.desk.socket.abort()

    async def gone(self) -> None:
        """Wait until the client has left, or was made to leave."""
        while self._end is None:
            await self._came.wait()

    def mute(self) -> None:
        """Hear nothing from now on: what the client says waits on its way."""
        self._hearing.cancel()

    # --- out ----------------------------------------------------------------------------------

    async def say(self, *events: ServerEvent) -> None:
        """Say events as they are, in one batch."""
        self.desk.say(*events)
        await self.desk.said()

    async def raw(self, *wires: Wire) -> None:
        """Send messages as they are: each is framed."""
        self.desk.put(wires)
        await self.desk.said()

    async def heard(self, *texts: str) -> None:
        """Tell what the user said, a block each."""
        for text in texts:
            self.desk.tell(heard, text)
        await self.desk.said()

    async def sound(self, pcm: bytes) -> None:
        """Say a piece of sound, in the block that is open or in a new one."""
        self.desk.tell(sounding, pcm)
        await self.desk.said()

    async def final(self, *texts: str) -> None:
        """Tell what was said, a sentence each; it may be of an answer that is over."""
        for place, text in enumerate(texts, 1):
            self.desk.tell(final, text, "END_TURN" if place == len(texts) else "PARTIAL_TURN")
        await self.desk.said()

    async def call(self, *calls: tuple[str, Mapping[str, Any]]) -> tuple[str, ...]:
        """Have tools called, a block each; gives the ids."""
        ids = tuple(self._mint("tool-use") for _ in calls)
        for id, (name, arguments) in zip(ids, calls, strict=True):
            self.desk.tell(called, id, name, arguments)
        await self.desk.said()
        return ids

    async def usage(self, usage: Usage) -> None:
        """Tell what something has cost; the totals are the service's to count."""
        self.desk.tell(spent, usage)
        await self.desk.said()

    async def interrupt(self, said: str = "", *, form: Form = "both") -> None:
        """Tell that the user has spoken over the answer, and what was said of it until then."""
        self.desk.tell(interrupted, form)
        if said:
            self.desk.tell(final, said)
        await self.desk.said()

    async def complete(self) -> None:
        """End the completion; it is done for you when the client ends its prompt."""
        self.desk.tell(completed)
        await self.desk.said()

    def _mint(self, kind: str) -> str:
        self._minted += 1
        return f"{kind}-{self.number}-{self._minted}"

    # --- whole turns --------------------------------------------------------------------------

    async def answer(
        self,
        text: str = "",
        *,
        pcm: bytes = b"",
        calls: Sequence[tuple[str, Mapping[str, Any]]] = (),
        pieces: int = 4,
        pace: float = 0.0,
        stale: int = 0,
        form: Form = "both",
        finals: bool = True,
        usage: Usage | None = None,
    ) -> bool:
        """Answer in about so many pieces, `pace` seconds before each; False if the user cut in.

        The text is spoken, each sentence in a block of its own, with `pcm` (at the rate that the
        client wishes) or a tenth of a second of silence. When the user speaks or types, `stale`
        further pieces follow, then the interruption in this `form`, and what was said. Without
        `finals` nobody tells what was said. `calls` are made last; the answer waits for results.
        """
        begun = self.desk.book.begun
        end: Reason = "PARTIAL_TURN" if calls else "END_TURN"
        left = deque(spoken(text, pcm, pieces, self.desk.voice.rate, end))
        said = ""
        while left:
            if pace:
                await anyio.sleep(pace)
            if self.desk.book.begun > begun:
                for _ in range(min(stale, len(left))):
                    await self._steps(left.popleft().steps)
                await self.interrupt(said.strip() if finals else "", form=form)
                return False
            if usage is not None and len(left) == 1:
                await self.usage(usage)
            said += left[0].words
            await self._steps(left.popleft().steps)
        if finals:
            await self.final(*sentences(text))
        await self.call(*calls)
        return True

    async def _steps(self, steps: Sequence[Callable[..., Any]]) -> None:
        for step in steps:
            self.desk.tell(step)
        await self.desk.said()


Script = Callable[[Caller], Awaitable[None]]
"""Plays the service for one client; returning ends the stream."""
