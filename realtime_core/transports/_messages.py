"""A WebSocket in use: batches of messages both ways, the same at either end.

All messages that one read completed are received together, and a batch is one write. Text is handed
on as the bytes it came in. Receiving never writes, so cancelling it loses nothing; pings are
answered by a task beside. While nobody receives nothing is read, so that the peer is slowed down:
its pings wait as well, and its silence is not held against it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import ceil
from typing import cast

import anyio
from anyio.abc import ObjectStream, TaskGroup
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, State

from ..codec import Wire, as_message
from ..errors import RealtimeError, RealtimeException
from ..link import Wires
from ..signals import Signal
from ._sockets import Pipe
from .verdicts import ended, half_open, violation

__all__ = ("SILENT", "WebSocket")

SILENT = logging.Logger(__name__, logging.CRITICAL + 1)  # noqa: LOG001 - nobody may configure it
"""Says nothing: websockets would log every header, and with them the keys."""

_TEXT, _BINARY, _CONTINUED = Opcode.TEXT, Opcode.BINARY, Opcode.CONT
_URGENT = 4
"""Control frames that may wait for a peer that does not read; it is owed the newest pong only."""


class WebSocket(ObjectStream[Wires]):
    """One connection, open until its `async with` block is left.

    `receive` raises `anyio.EndOfStream` at an end in good order and `RealtimeException` at any
    other; so does `send`, once `receive` has told it (it waits for that until `close_timeout`).
    One task at a time may receive, any may send.
    """

    def __init__(
        self,
        pipe: Pipe,
        protocol: Protocol,
        tasks: TaskGroup,
        *,
        failure: Callable[[int, str], RealtimeError | None],
        ping_interval: float | None = 20.0,
        ping_timeout: float = 20.0,
        close_timeout: float = 1.0,
    ) -> None:
        self._pipe = pipe
        self._protocol = protocol
        self._tasks = tasks
        self._failure = failure
        self._close_timeout = close_timeout
        self._news = Signal()
        """Given when a write is over, and when `receive` has told the end."""
        self._reading = False
        self._reads = 0
        self._writing = False
        self._urgent = deque[bytes](maxlen=_URGENT)
        self._partial = bytearray()
        self._partial_text = True
        self._fit = True
        """Whether messages can be sent."""
        self._torn = False
        """Whether a write failed, or was cut in its middle: nothing may follow it."""
        self._closed = False
        self._over = False
        self._told = False
        self._error: RealtimeError | None = None
        """Why it is over; None where it ended in good order."""
        came = protocol.events_received()  # in the same read as the handshake, which is over
        self._ready = self._messages(event for event in came if isinstance(event, Frame))
        if ping_interval is not None:
            tasks.start_soon(self._keep, ping_interval, ping_timeout)

    # --- in -----------------------------------------------------------------------------------

    async def receive(self) -> Wires:
        """Wait for messages: all that one read completed, in order. Cancelling loses none."""
        while not self._ready:
            if self._over:
                self._told = True
                self._news.give()
                raise anyio.EndOfStream if self._error is None else RealtimeException(self._error)
            if self._closed and self._reading:  # whoever takes leave reads
                await self._news.wait()
            else:
                await self._read()
        wires, self._ready = self._ready, ()
        return wires

    async def _read(self) -> None:
        self._reading = True
        try:
            data = await self._pipe.receive()
        except OSError:
            data = b""
        finally:
            self._reading = False
            if self._closed:
                self._news.give()
        self._reads += 1
        if data:
            self._protocol.receive_data(data)
            frames = cast("list[Frame]", self._protocol.events_received())
            self._ready = self._messages(frames)
        elif not self._over:
            self._finish(self._failure(1006, ""))

    def _messages(self, frames: Iterable[Frame]) -> Wires:
        protocol, wires = self._protocol, list[Wire]()
        for frame in frames:
            if frame.opcode is _TEXT and frame.fin:
                data, text = bytes(frame.data), True
            elif frame.opcode is _TEXT or frame.opcode is _BINARY or frame.opcode is _CONTINUED:
                whole = self._joined(frame)
                if whole is None:
                    continue
                data, text = whole, self._partial_text
            else:
                continue
            if text and not data.isascii() and not _is_utf8(data):
                protocol.fail(1007, "not UTF-8")
                self._finish(violation("1007", "a text message that is not UTF-8"))
                break
            wires.append(data)
        if protocol.parser_exc is not None or protocol.close_rcvd is not None:
            self._finish(ended(protocol, self._failure))
        answers = protocol.data_to_send()
        if answers:
            self._respond(answers)
        return tuple(wires)

    def _joined(self, frame: Frame) -> bytes | None:
        """Give the message that this frame completes."""
        if frame.opcode is not _CONTINUED:
            self._partial_text = frame.opcode is _TEXT
        self._partial += frame.data
        if not frame.fin:
            return None
        whole = bytes(self._partial)
        self._partial.clear()
        return whole

    def _finish(self, error: RealtimeError | None) -> None:
        if not self._over:
            self._over, self._fit, self._error = True, False, error
            self._news.give()

    # --- out ----------------------------------------------------------------------------------

    async def send(self, item: Wires) -> None:
        """Write a batch at once, each wire as a text message; waits while the peer does not read.

        Cancelling while it waits may leave half a message behind: nothing can be sent any more.
        Raises `anyio.BrokenResourceError` then, and after an end in good order.
        """
        texts = [wire if isinstance(wire, bytes) else _as_bytes(wire) for wire in item]
        if self._writing or not self._fit:
            await self._turn()
        for text in texts:
            self._protocol.send_text(text)
        await self._put(b"".join(self._protocol.data_to_send()))

    def offer(self, item: Wires) -> bool:
        """Write a batch now; False, and nothing of it, where it would have to wait.

        A lost connection is told by `receive`.
        """
        if self._writing or self._urgent or not self._fit:
            return False
        texts = [wire if isinstance(wire, bytes) else _as_bytes(wire) for wire in item]
        for text in texts:
            self._protocol.send_text(text)
        try:
            gone = self._pipe.push(b"".join(self._protocol.data_to_send()))
        except (OSError, anyio.ClosedResourceError):
            self._torn, self._fit = True, False
            return True
        if not gone:
            self._writing = True
            self._tasks.start_soon(self._rest)
        return True

    async def _rest(self) -> None:
        with suppress(OSError, anyio.ClosedResourceError):  # whoever receives is told
            await self._write(b"")

    async def _turn(self) -> None:
        """Wait until nobody writes; raises if nothing can be sent."""
        while self._writing and self._fit:
            await self._news.wait()
        if not self._fit:
            raise await self._refusal(patient=self._over)

    async def _put(self, data: bytes) -> None:
        try:
            await self._write(data)
        except OSError:
            raise await self._refusal(patient=self._over or self._reading) from None

    async def _write(self, data: bytes) -> None:
        self._writing = True
        try:
            while True:
                data += b"".join(self._urgent)
                self._urgent.clear()
                await self._pipe.send(data)
                data = b""
                if not self._urgent:
                    return
        except BaseException:
            self._torn, self._fit = True, False
            raise
        finally:
            self._writing = False
            self._news.give()

    async def _refusal(self, *, patient: bool) -> Exception:
        """Give why nothing can be sent; if there is patience, once `receive` has told it."""
        if self._closed:
            return anyio.ClosedResourceError()
        with anyio.move_on_after(self._close_timeout):
            while patient and not self._told:
                await self._news.wait()
        return (
            anyio.BrokenResourceError() if self._error is None else RealtimeException(self._error)
        )

    def _respond(self, frames: Iterable[bytes]) -> None:
        """Let these control frames go out, behind what is being written."""
        self._urgent.extend(frames)
        if not self._writing:
            self._tasks.start_soon(self._flush)

    async def _flush(self) -> None:
        if not self._writing and not self._torn:
            with suppress(OSError, anyio.ClosedResourceError):  # whoever receives is told
                await self._write(b"")

    # --- life ---------------------------------------------------------------------------------

    async def _keep(self, interval: float, patience: float) -> None:
        """Ping where nothing was heard for an interval, and give up when the patience is over.

        Counted in beats, so that no clock is read per message, and so that a loop that was blocked
        for long takes itself for the dead one no sooner than a few beats later.
        """
        beats = ceil(4 * patience / min(interval, patience))
        ping_at = int(interval * beats / patience) - 1
        reads = quiet = 0
        while not self._over:
            await anyio.sleep(patience / beats)
            if not self._reading or self._reads != reads:
                reads, quiet = self._reads, 0
                continue
            quiet += 1
            if quiet == ping_at:
                self._protocol.send_ping(b"")
                self._respond(self._protocol.data_to_send())
            elif quiet == ping_at + beats:
                self._finish(half_open(patience))
                self._pipe.shut()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Take leave: say so, and wait at most `close_timeout` for the peer to do the same.

        Cancelling closes at once; so does a message that was cut in its middle. The second time
        does nothing.
        """
        if self._closed:
            return
        self._closed, self._fit = True, False
        try:
            self._farewell(code, reason)
            with anyio.move_on_after(self._close_timeout), suppress(OSError):
                while self._writing:
                    await self._news.wait()
                if not self._torn:
                    await self._write(b"")
                    await self._answered()
        finally:
            self._pipe.close()

    async def aclose(self) -> None:
        """Take leave with code 1000."""
        await self.close()

    async def send_eof(self) -> None:
        """Take leave, and stay to hear what the peer still says."""
        self._fit = False
        self._farewell(1000, "")
        if not self._writing and not self._torn:
            await self._write(b"")

    def _farewell(self, code: int, reason: str) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._urgent.extend(self._protocol.data_to_send())

    async def _answered(self) -> None:
        while not self._over:
            if self._reading:
                await self._news.wait()
            else:
                await self._read()


def _as_bytes(wire: Wire) -> bytes:
    message = as_message(wire)
    return message.encode() if isinstance(message, str) else message


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
