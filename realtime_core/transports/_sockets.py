"""Sockets: bytes over TCP and TLS at the price of their system calls, on both backends.

A send that fits into the system's buffer does not suspend, and on asyncio a socket stays registered
between two reads. All that one read brought is given at once. No bytes are lost by cancelling a
read; a send that is cancelled while it waits may have sent a part.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from typing import Protocol

import anyio

__all__ = ("Pipe", "SecureSocket", "Socket")

_READ = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
"""`SO_LINGER` on, for no time: closing resets the connection."""


class Pipe(Protocol):
    """Bytes both ways; one task at a time may receive, and one may send."""

    async def receive(self) -> bytes:
        """Wait for bytes; none at the end. Raises `OSError` when the connection is lost."""
        ...

    async def send(self, data: bytes) -> None:
        """Write all of it. Raises `OSError` when the connection is lost."""
        ...

    def push(self, data: bytes) -> bool:
        """Write what goes at once, and keep the rest for the next `send`; tell whether all went.

        Only while nothing is kept. Raises `OSError` when the connection is lost.
        """
        ...

    def shut(self) -> None:
        """End both directions: who receives gets the end, who sends an error."""
        ...

    def close(self, *, reset: bool = False) -> None:
        """Give the socket back, at once; who waits gets `ClosedResourceError`."""
        ...


class Socket:
    """A connected TCP socket."""

    def __init__(self, raw: socket.socket) -> None:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._raw = raw
        self._rest = b""
        self._closed = False
        self._watch = _watch(raw)

    async def receive(self) -> bytes:
        """Wait for bytes; none at the end."""
        if self._closed:
            raise anyio.ClosedResourceError
        if self._watch is not None:
            return await self._watch.receive()
        while True:
            await anyio.wait_readable(self._raw)
            try:
                return self._raw.recv(_READ)
            except BlockingIOError:  # it was readable for a moment only
                continue

    async def send(self, data: bytes) -> None:
        """Write all of it; waits only while the system's buffer is full."""
        if self._closed:
            raise anyio.ClosedResourceError
        left: bytes | memoryview = self._rest + data if self._rest else data
        self._rest = b""
        while True:
            try:
                sent = self._raw.send(left)
            except BlockingIOError:
                sent = 0
            if sent == len(left):
                return
            left = memoryview(left)[sent:]
            await anyio.wait_writable(self._raw)

    def push(self, data: bytes) -> bool:
        """Write what goes at once, and keep the rest for the next `send`; tell whether all went."""
        if self._closed:
            raise anyio.ClosedResourceError
        try:
            sent = self._raw.send(data)
        except BlockingIOError:
            sent = 0
        self._rest = data[sent:]
        return not self._rest

    def shut(self) -> None:
        """End both directions."""
        with suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)

    def close(self, *, reset: bool = False) -> None:
        """Give the socket back; the second time does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._watch is not None:
            self._watch.close()
        anyio.notify_closing(self._raw)
        if reset:
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._raw.close()


class _Watch:
    """A socket that asyncio's loop watches as long as somebody reads on.

    Registering and forgetting it at each read, as anyio does, costs more than the read itself.
    """

    def __init__(self, raw: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._raw = raw
        self._loop = loop
        self._watching = False
        self._waiter: asyncio.Future[None] | None = None
        self._came: bytes | OSError | None = None

    async def receive(self) -> bytes:
        if self._came is None:
            if not self._watching:
                self._loop.add_reader(self._raw.fileno(), self._readable)
                self._watching = True
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        came, self._came = self._came, None
        if isinstance(came, bytes):
            return came
        raise came or anyio.ClosedResourceError

    def _readable(self) -> None:
        if self._waiter is None or self._came is not None:  # nobody reads on: let it wait outside
            self._forget()
            return
        try:
            self._came = self._raw.recv(_READ)
        except BlockingIOError:
            return
        except OSError as problem:
            self._came = problem
        self._wake(self._waiter)

    def close(self) -> None:
        self._forget()
        if self._waiter is not None:
            self._wake(self._waiter)

    def _forget(self) -> None:
        if self._watching:
            self._loop.remove_reader(self._raw.fileno())
            self._watching = False

    @staticmethod
    def _wake(waiter: asyncio.Future[None]) -> None:
        if not waiter.done():  # else it was cancelled: what came waits for the next read
            waiter.set_result(None)


def _watch(raw: socket.socket) -> _Watch | None:
    """Give a watch where the loop is asyncio's and can watch sockets; else anyio waits."""
    try:
        if asyncio.current_task() is None:  # trio may run as a guest inside asyncio
            return None
        loop = asyncio.get_running_loop()
        loop.remove_reader(raw.fileno())
    except (NotImplementedError, RuntimeError):
        return None
    return _Watch(raw, loop)


class SecureSocket:
    """TLS over a socket."""

    def __init__(
        self,
        plain: Socket,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        hostname: str | None = None,
    ) -> None:
        self._plain = plain
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._came, self._goes, server_side=server_side, server_hostname=hostname
        )

    async def handshake(self) -> None:
        """Agree on keys. Raises `ssl.SSLError`, where the peer is not trusted too."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                await self._flush()  # tells the peer why
                raise
            else:
                return await self._flush()

    async def receive(self) -> bytes:
        """Wait for bytes, and give those of all records that came; none at the end."""
        chunks = list[bytes]()
        while True:
            try:
                while chunk := self._tls.read(_READ):
                    chunks.append(chunk)
            except ssl.SSLWantReadError:
                if not chunks:
                    await self._fill()
                    continue
            except ssl.SSLError:
                if not chunks:  # else it is raised again by the next read
                    raise
            return b"".join(chunks)

    async def send(self, data: bytes) -> None:
        """Write all of it; waits only while the system's buffer is full."""
        await self._plain.send(self._sealed(data))

    def push(self, data: bytes) -> bool:
        """Write what goes at once, and keep the rest for the next `send`; tell whether all went."""
        return self._plain.push(self._sealed(data))

    def _sealed(self, data: bytes) -> bytes:
        left = memoryview(data)
        while left:
            left = left[self._tls.write(left) :]
        return self._goes.read()

    def shut(self) -> None:
        """End both directions."""
        self._plain.shut()

    def close(self, *, reset: bool = False) -> None:
        """Give the socket back; the second time does nothing."""
        self._plain.close(reset=reset)

    async def _fill(self) -> None:
        data = await self._plain.receive()
        if data:
            self._came.write(data)
        else:
            self._came.write_eof()

    async def _flush(self) -> None:
        if self._goes.pending:
            await self._plain.send(self._goes.read())
