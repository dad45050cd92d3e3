"""A stream of HTTP/2: one request and its answer, bytes both ways at once, the same at either end.

What is sent waits for the room that the peer grants, and the peer is granted room as what it sent
is received. A batch that was taken is sent whole, whoever is cancelled; receiving loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

import anyio
from anyio.abc import ObjectStream

from ..codec import Wire, as_message
from ..errors import RealtimeError, RealtimeException
from ..link import Wires
from ..signals import Signal
from ._opening import blotted

if TYPE_CHECKING:
    from ._http2 import Connection

__all__ = ("Answer", "Refusal", "Stream")

Refusal = Callable[[int, Mapping[str, str], bytes], RealtimeError]
_STEP = 256 * 1024
"""Bytes of one stream in a write, so that others and control frames have their turn."""
_QUOTED = 64 * 1024
"""Bytes of the body of a refusal that are kept."""
DONE, CANCELLED = 0, 8
"""Codes of RST_STREAM."""


class Answer(NamedTuple):
    """How a request was answered."""

    status: int
    headers: Mapping[str, str]
    """By names in small letters; values of a name that came several times, joined by commas."""


class Stream(ObjectStream[Wires]):
    """One exchange, over when its `async with` block is left.

    `receive` gives the pieces of the body as they came, those that wait together; it raises
    `anyio.EndOfStream` at its end, and `RealtimeException` for a refused request, a reset or a
    lost connection; so does `send`. One task at a time may receive, any may send.
    """

    def __init__(
        self,
        connection: Connection,
        number: int,
        *,
        refusal: Refusal | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        self.number = number
        self.answer: Answer | None = None
        """The head of the answer, once it has come."""
        self.trailers: Mapping[str, str] = {}
        """Headers behind the body, once it has ended."""
        self._connection = connection
        self._refusal = refusal
        self._secrets = tuple(secrets)
        self._news = Signal()
        """Given when something was received, or it is over."""
        self._ready = list[bytes]()
        self._unread = 0
        """Bytes that came and for which the peer has been given no new room."""
        self._refused: bytearray | None = None
        """The body of an answer that is a refusal."""
        self._outgoing = memoryview(b"")
        self._sending: Literal["open", "ending", "ended", "cut"] = "open"
        self._last: Mapping[str, str] = {}
        """The trailers to end with."""
        self._over = False
        """Whether nothing more will come."""
        self._closed = False
        self._error: RealtimeError | None = None
        """Why it is over; None where it ended in good order."""

    # --- in -----------------------------------------------------------------------------------

    async def answered(self) -> Answer:
        """Wait for the head of the answer. Raises `RealtimeException` for a refusal or a loss."""
        while self.answer is None or self._refused is not None or self._error is not None:
            if self._error is not None:
                raise RealtimeException(self._error)
            if self._closed or self._over:
                raise anyio.ClosedResourceError
            await self._news.wait()
        return self.answer

    async def receive(self) -> Wires:
        """Wait for pieces of the body: all that wait, in order. Cancelling loses none."""
        while not self._ready:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._over:
                raise anyio.EndOfStream if self._error is None else RealtimeException(self._error)
            await self._news.wait()
        wires, self._ready = tuple(self._ready), []
        self._release()
        self._connection.emit()
        return wires

    def heard(self, answer: Answer) -> None:
        """Take the head of the answer."""
        self.answer = answer
        if self._refusal is not None and not 200 <= answer.status < 300:
            self._refused = bytearray()
        self._news.give()

    def took(self, data: bytes, size: int) -> None:
        """Take a piece of the body, which took up so many bytes of the room granted."""
        self._unread += size
        if self._closed or self._refused is not None or not data:
            if self._refused is not None:
                self._refused += data[: _QUOTED - len(self._refused)]
            self._release()
        else:
            self._ready.append(data)
            self._news.give()

    def _release(self) -> None:
        """Grant the peer room for as much as was taken."""
        size, self._unread = self._unread, 0
        self._connection.release(self, size)

    def over(self, error: RealtimeError | None = None, *, cut: bool = False) -> None:
        """End what comes, and what goes where that is cut too. The first reason counts."""
        if cut and self._sending != "ended":
            self._sending, self._outgoing = "cut", memoryview(b"")
        if not self._over:
            self._over = True
            self._error = error if self._refused is None else self._refusing()
            self._refused = None
        self._news.give()

    def _refusing(self) -> RealtimeError:
        assert self.answer is not None and self._refusal is not None  # noqa: PT018, S101
        fields = {name: blotted(text, self._secrets) for name, text in self.answer.headers.items()}
        said = blotted(bytes(self._refused or b"").decode("latin-1"), self._secrets)
        return self._refusal(self.answer.status, fields, said.encode("latin-1"))

    # --- out ----------------------------------------------------------------------------------

    async def send(self, item: Wires) -> None:
        """Write a batch; waits while the peer grants no room, or does not read.

        Cancelled before its turn nothing of it is sent, and all of it later. Raises
        `anyio.BrokenResourceError` where the peer takes no more and has not said why.
        """
        data = _joined(item)
        await self.turn()
        self.post(data)
        await self.flushed()

    def offer(self, item: Wires) -> bool:
        """Write a batch now; False, and nothing of it, where it would have to wait."""
        data = _joined(item)
        if not self.free(len(data)):
            return False
        self.post(data)
        return True

    async def turn(self) -> None:
        """Wait until nothing waits to be sent: then a batch can be posted, at once."""
        while self._outgoing:
            await self._connection.news.wait()
        self._check()

    def free(self, size: int) -> bool:
        """Tell whether so many bytes would be sent at once."""
        able = self._sending == "open" and self._error is None and not self._outgoing
        return able and self._connection.room(self) >= size

    def post(self, data: bytes) -> None:
        """Let a batch go, whole, in the time it takes; only when it is its turn."""
        self._check()
        self._outgoing = memoryview(data)
        self._connection.emit()

    async def flushed(self) -> None:
        """Wait until what was posted was sent. Cancelling does not call it back."""
        while self._outgoing or self._connection.busy:
            await self._connection.news.wait()
        if self._error is not None or self._sending == "cut":
            self._check()

    async def send_eof(self, trailers: Mapping[str, str] | None = None) -> None:
        """Tell that nothing more comes, behind what is being sent. The second time does nothing."""
        if self._sending == "open":
            await self.turn()
            self.finish(trailers)

    def finish(self, trailers: Mapping[str, str] | None = None) -> None:
        """Let nothing be sent behind what is on its way."""
        if self._sending == "open":
            self._sending, self._last = "ending", trailers or {}
            self._connection.emit()

    def fill(self) -> None:
        """Hand over what the peer has room for; the connection calls it when it may write."""
        left = _STEP
        while self._outgoing and (size := min(len(self._outgoing), left, self._frame())) > 0:
            self._connection.put(self, bytes(self._outgoing[:size]))
            self._outgoing = self._outgoing[size:]
            left -= size
        if self._sending == "ending" and not self._outgoing:
            self._sending = "ended"
            self._connection.end(self, self._last)

    def _frame(self) -> int:
        return min(self._connection.room(self), self._connection.longest)

    def _check(self) -> None:
        if self._error is not None:
            raise RealtimeException(self._error)
        if self._closed or self._sending in {"ending", "ended"}:
            raise anyio.ClosedResourceError
        if self._sending == "cut":
            raise anyio.BrokenResourceError

    # --- life ---------------------------------------------------------------------------------

    def reset(self, code: int = CANCELLED) -> None:
        """Break the exchange off, at once."""
        if not self._settled:
            self._connection.reset(self, code)
        self.over(cut=True)
        self._connection.forget(self)

    @property
    def _leave(self) -> int:
        """Nothing is wrong where a server that has answered wants to hear no more."""
        return DONE if self._refusal is None and self._sending == "ended" else CANCELLED

    @property
    def _settled(self) -> bool:
        return self._over and self._sending in {"ended", "cut"}

    async def aclose(self) -> None:
        """Take leave: end what is sent, and wait for the peer's end until `close_timeout`.

        Cancelling breaks the exchange off. The second time does nothing.
        """
        if self._closed:
            return
        self._closed = True
        self._ready.clear()
        self._release()
        self._news.give()
        try:
            with anyio.move_on_after(self._connection.close_timeout):
                self.finish()
                while not self._settled and self._error is None:
                    await Signal.first_of(self._news, self._connection.news)
        finally:
            self.reset(self._leave)


def _joined(item: Wires) -> bytes:
    return b"".join(map(_as_bytes, item))


def _as_bytes(wire: Wire) -> bytes:
    message = as_message(wire)
    return message.encode() if isinstance(message, str) else message
