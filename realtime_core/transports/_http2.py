"""HTTP/2 in use: a connection and its streams, the same at either end.

A task beside reads whatever comes, so that room granted, pings and farewells are heard while nobody
receives; what it reads of bodies stays within the room that was granted. Whatever is due is one
write. Nothing that a caller cancels can cut a frame in two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from math import ceil

import anyio
from anyio.abc import TaskGroup
from h2 import events as ev
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings

from ..config import Secret
from ..errors import RealtimeError, RealtimeException
from ..signals import Signal
from ._http2_frames import Cutter, TooLong, farewell
from ._http2_stream import Answer, Refusal, Stream
from ._http2_words import (
    fields,
    full,
    left,
    lost,
    quiet,
    stopped,
    tuples,
    unfinished,
    violation,
)
from ._sockets import Pipe
from .verdicts import half_open

__all__ = ("Connection",)

_STREAMS = 4
"""How many times a stream's room the connection grants to all of them."""
_MOST_HEADERS = 64 * 1024
_MOST_STREAMS = 100
_BACKLOG = 64 * 1024
"""Bytes of answers that may wait for a peer that does not read: then it is not read either."""
_STANDARD_WINDOW = 65_535
_REFUSED = 7


class Connection:
    """One connection, from the first write on; `read` is the task that runs beside it."""

    def __init__(
        self,
        pipe: Pipe,
        tasks: TaskGroup,
        *,
        client: bool,
        window: int,
        failure: Callable[[int, str], RealtimeError | None] = stopped,
        ping_interval: float | None = 20.0,
        ping_timeout: float = 20.0,
        close_timeout: float = 1.0,
        asked: Callable[[Stream, dict[str, str]], None] | None = None,
    ) -> None:
        self.close_timeout = close_timeout
        self.news = Signal()
        """Given when there is room to write, and when nothing can be written any more."""
        self.busy = False
        """Whether something waits for the peer to read it."""
        self._pipe = pipe
        self._tasks = tasks
        self._failure = failure
        self._asked = asked
        self._cutter = Cutter(preface=not client)
        self._streams = dict[int, Stream]()
        self._pending = b""
        self._leaving = False
        """Whether the peer takes no new requests."""
        self._over = False
        self._torn = False
        """Whether a write failed."""
        self._reading = False
        self._reads = 0
        quiet()
        self._h2 = _greeting(client=client, window=window)
        self.emit()
        tasks.start_soon(self.read)
        if ping_interval is not None:
            tasks.start_soon(self._keep, ping_interval, ping_timeout)

    # --- in -----------------------------------------------------------------------------------

    async def read(self) -> None:
        """Take in what comes, to the end."""
        while not self._over:
            while self.busy and len(self._pending) > _BACKLOG:
                await self.news.wait()
            self._reading = True
            try:
                data = await self._pipe.receive()
            except (OSError, anyio.ClosedResourceError):
                data = b""
            finally:
                self._reading = False
            self._reads += 1
            if data:
                self._take(data)
            else:
                self.lose(lost())

    def _take(self, data: bytes) -> None:
        try:
            for frame in self._cutter.cut(data):
                self._heed(frame)
        except (H2Error, TooLong) as problem:
            self.lose(violation(problem))
        self.emit()

    def _heed(self, frame: bytes) -> None:
        gone = farewell(frame)
        if gone is None:
            for event in self._h2.receive_data(frame):
                self._heard(event)
            return
        self._leaving = True
        error = self._failure(gone.code, gone.said)
        if error is not None:
            self.lose(error)
        for number, stream in self._streams.items():
            if number > gone.last and self._asked is None:
                stream.over(self._failure(_REFUSED, gone.said) or unfinished(), cut=True)

    def _heard(self, event: ev.Event) -> None:
        number = getattr(event, "stream_id", None)
        stream = self._streams.get(number or 0)
        match event:
            case ev.DataReceived():
                if stream is not None:
                    stream.took(event.data, event.flow_controlled_length)
                else:
                    self._h2.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
            case ev.RequestReceived() if self._asked is not None:
                stream = self._streams[event.stream_id] = Stream(self, event.stream_id)
                self._asked(stream, fields(event.headers))
            case ev.ResponseReceived() if stream is not None:
                named = fields(event.headers)
                stream.heard(Answer(int(named.pop(":status")), named))
            case ev.TrailersReceived() if stream is not None:
                stream.trailers = fields(event.headers)
            case ev.StreamEnded() if stream is not None:
                stream.over()
            case ev.StreamReset() if stream is not None:
                code = int(event.error_code)
                stream.over(self._failure(code, "") or unfinished(), cut=True)
            case _:
                pass

    async def ended(self) -> None:
        """Wait for the end of the connection."""
        while not self._over:
            await self.news.wait()

    def lose(self, error: RealtimeError) -> None:
        """End everything for this reason; the first one counts."""
        if not self._over:
            self._over = True
            for stream in self._streams.values():
                stream.over(error, cut=True)
            self.news.give()

    def ask(self, head: Mapping[str, str | Secret], refusal: Refusal) -> Stream:
        """Make a request; `head` begins with the names that HTTP/2 has its own for.

        Raises `RealtimeException` where the connection takes none.
        """
        if self._over or self._leaving:
            raise RealtimeException(left())
        try:
            number = self._h2.get_next_available_stream_id()
            self.say(number, head)
        except ProtocolError as problem:
            raise RealtimeException(full(problem)) from None
        secrets = tuple(text.reveal() for text in head.values() if isinstance(text, Secret))
        stream = Stream(self, number, refusal=refusal, secrets=secrets)
        self._streams[number] = stream
        return stream

    # --- out ----------------------------------------------------------------------------------

    def emit(self) -> None:
        """Write what is due, as much as goes at once; the rest goes on by itself."""
        while not self._torn:
            if not self.busy and not self._over:
                for stream in tuple(self._streams.values()):
                    stream.fill()
            self._pending += self._h2.data_to_send()
            if self.busy or not self._pending:
                break
            data, self._pending = self._pending, b""
            try:
                whole = self._pipe.push(data)
            except (OSError, anyio.ClosedResourceError):  # who reads is told
                self._torn = True
            else:
                if not whole:
                    self.busy = True
                    self._tasks.start_soon(self._drain)
        self.news.give()

    def write(self, data: bytes) -> None:
        """Write bytes as they are, behind what is due; for fault tests."""
        self._pending += self._h2.data_to_send() + data
        self.emit()

    async def _drain(self) -> None:
        try:
            while self.busy:
                data, self._pending = self._pending, b""
                await self._pipe.send(data)
                self.busy = bool(self._pending)
        except (OSError, anyio.ClosedResourceError):
            self._torn, self.busy = True, False
        self.emit()

    @property
    def longest(self) -> int:
        """Bytes of body that the peer takes in one frame."""
        return self._h2.max_outbound_frame_size

    def room(self, stream: Stream) -> int:
        """Give the bytes that this stream may send now."""
        if self._over or self.busy:
            return 0
        return self._h2.local_flow_control_window(stream.number)

    def put(self, stream: Stream, data: bytes) -> None:
        """Frame a piece of a body, for which there is room."""
        self._h2.send_data(stream.number, data)

    def end(self, stream: Stream, trailers: Mapping[str, str]) -> None:
        """Frame the end of a body."""
        if trailers:
            self._h2.send_headers(stream.number, tuples(trailers), end_stream=True)
        else:
            self._h2.end_stream(stream.number)

    def release(self, stream: Stream, size: int) -> None:
        """Grant room anew for what was taken of a stream, with the next write."""
        if size and not self._over:
            self._h2.acknowledge_received_data(size, stream.number)

    def say(self, number: int, head: Mapping[str, str | Secret]) -> None:
        """Write the head of a request or of an answer. Raises `ProtocolError` where none can be."""
        self._h2.send_headers(number, tuples(head))
        self.emit()

    def reset(self, stream: Stream, code: int) -> None:
        """Break a stream off, unless it is over at the wire."""
        with suppress(ProtocolError):
            self._h2.reset_stream(stream.number, code)
        self.emit()

    def forget(self, stream: Stream) -> None:
        """Hand nothing to this stream any more."""
        self._streams.pop(stream.number, None)

    def leave(self) -> None:
        """Take leave of the peer, as far as that goes at once."""
        with suppress(ProtocolError):
            self._h2.close_connection()
        self.lose(left())
        self.emit()

    async def _keep(self, interval: float, patience: float) -> None:
        """Ping where nothing was heard for an interval, and give up when the patience is over.

        Counted in beats: a loop that was blocked for long takes itself for the dead one no sooner
        than a few beats later.
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
                self._h2.ping(bytes(8))
                self.emit()
            elif quiet == ping_at + beats:
                self.lose(half_open(patience))
                self._pipe.shut()


def _greeting(*, client: bool, window: int) -> H2Connection:
    h2 = H2Connection(H2Configuration(client_side=client))
    h2.local_settings = Settings(
        client=client,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: window,
            SettingCodes.MAX_CONCURRENT_STREAMS: _MOST_STREAMS,
            SettingCodes.MAX_HEADER_LIST_SIZE: _MOST_HEADERS,
        },
    )
    h2.initiate_connection()
    h2.increment_flow_control_window(max(1, _STREAMS * window - _STANDARD_WINDOW))
    return h2
