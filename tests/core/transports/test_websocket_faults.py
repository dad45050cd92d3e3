"""Faults on the wire, over real sockets: every one ends as a typed error, and nothing hangs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketStream
from hypothesis import given
from hypothesis import strategies as st
from websockets.utils import accept_key

from realtime_core.beside import beside
from realtime_core.errors import (
    InvalidRequest,
    ProtocolViolation,
    RealtimeError,
    RealtimeException,
    Unavailable,
)
from realtime_core.link import Link
from realtime_core.testing import no_leaks, run
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_core.transports.websocket_server import Handler, ServedSocket, serve

from .loopback import PLAN, bare, echo, head_of, reset
from .pipes import opened

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def dialled(handler: Handler, max_size: int = 1 << 20) -> AsyncGenerator[Link]:
    async with no_leaks(within=1.0), serve(handler) as (host, port):
        endpoint = Endpoint(url=f"ws://{host}:{port}", max_size=max_size)
        async with websocket(endpoint)(PLAN) as link:
            yield link


async def end_of(link: Link) -> RealtimeError | None:
    """Receive until nothing comes any more, and give why; None for an end in good order."""
    try:
        with anyio.fail_after(5):
            while True:
                await link.receive()
    except anyio.EndOfStream:
        return None
    except RealtimeException as caught:
        return caught.error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1000, None),
        (1001, Unavailable),
        (1003, InvalidRequest),
        (1007, InvalidRequest),
        (1008, InvalidRequest),
        (1009, InvalidRequest),
        (1011, Unavailable),
        (1012, Unavailable),
        (1013, Unavailable),
        (1014, Unavailable),
        (3000, Unavailable),
        (4000, Unavailable),
    ],
)
async def test_close_codes(code: int, kind: type[RealtimeError] | None) -> None:
    async def handler(served: ServedSocket) -> None:
        await served.send(("last",))
        await served.close(code, "why")

    async with dialled(handler) as link:
        assert await link.receive() == (b"last",)
        for _ in range(2):
            error = await end_of(link)
            assert (error is None) is (kind is None)
            if kind is not None:
                assert isinstance(error, kind)
                assert (error.code, error.cause) == (str(code), "why")
        with pytest.raises((RealtimeException, anyio.BrokenResourceError)):
            await link.send(("late",))


@pytest.mark.parametrize("way", ["reset", "end"])
async def test_an_end_without_a_word(way: str) -> None:
    async def handler(served: ServedSocket) -> None:
        await served.receive()
        if way == "reset":
            served.abort()
        else:
            served._pipe.shut()

    async with dialled(handler) as link:
        await link.send(("go",))
        error = await end_of(link)
        assert isinstance(error, Unavailable)
        assert error.code == "1006"
        with pytest.raises(RealtimeException) as caught:
            await link.send(("late",))
        assert caught.value.error == error


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x7f\x00\x00\x00\x00\x10\x00\x00\x00", "1009"),
        (b"\x81\x02\xc3\x28", "1007"),
        (b"\x81\x84abcdefgh", "1002"),
        (b"\xff" * 10, "1002"),
        (b"HTTP/1.1 500 Oops" + 100 * b".", "1002"),
    ],
)
async def test_what_breaks_the_protocol(data: bytes, code: str) -> None:
    seen = list[RealtimeError | None]()

    async def handler(served: ServedSocket) -> None:
        await served.send(("last",))
        await served.raw(data)
        seen.append(await end_of(served))

    async with dialled(handler) as link:
        assert await link.receive() == (b"last",)
        error = await end_of(link)
        assert isinstance(error, ProtocolViolation)
        assert error.code == code
    assert [error.code for error in seen if error is not None] == [code]


async def test_a_message_of_the_largest_size_and_one_beyond() -> None:
    async def handler(served: ServedSocket) -> None:
        await served.send(("x" * 100_000,))
        await served.send(("x" * 100_001,))
        await end_of(served)

    async with dialled(handler, max_size=100_000) as link:
        assert await link.receive() == (b"x" * 100_000,)
        error = await end_of(link)
        assert isinstance(error, ProtocolViolation)
        assert error.code == "1009"


SESSION = (
    b"\x81\x05hello\x82\x03\x00\x01\x02\x89\x01p\x01\x03one\x80\x03two"
    b"\x81\x7e\x00\x80" + 128 * b"m" + b"\x88\x05\x03\xe8bye"
)
"""A short session as a server says it: text, bytes, a ping, fragments, a longer text, farewell."""


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_lost_at_every_byte(how: str) -> None:
    """The handshake included; what was whole is delivered, in order, unless a reset ate it."""
    whole = (b"hello", b"\x00\x01\x02", b"onetwo", 128 * b"m")
    length = list[int]()
    cut = -1

    async def script(stream: SocketStream) -> None:
        request = await head_of(stream)
        key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
        said = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode()
        )
        length[:] = [len(said), len(said + SESSION)]
        await stream.send((said + SESSION)[: cut if cut >= 0 else None])
        if how == "reset":
            reset(stream)
        else:
            await stream.send_eof()
            await stream.receive()

    async def talk(port: int) -> tuple[list[object], RealtimeError | None, bool]:
        got, connected = list[object](), False
        try:
            with anyio.fail_after(5):
                async with websocket(Endpoint(url=f"ws://127.0.0.1:{port}"))(PLAN) as link:
                    connected = True
                    while True:
                        got += await link.receive()
        except anyio.EndOfStream:
            return got, None, connected
        except RealtimeException as caught:
            return got, caught.error, connected

    async with no_leaks(within=1.0), bare(script) as port:
        got, error, _ = await talk(port)
        if how == "end":
            assert (tuple(got), error) == (whole, None)
        handshake, total = length
        for cut in range(total):
            got, error, connected = await talk(port)
            assert isinstance(error, Unavailable), cut
            assert tuple(got) == whole[: len(got)], cut
            assert cut >= handshake or not connected, cut
            if how == "end":
                assert connected is (cut >= handshake), cut
                assert len(got) == _whole(SESSION[: cut - handshake]) * connected, cut


def _whole(data: bytes) -> int:
    """Count the messages of the session that are whole in its beginning."""
    ends = [SESSION.index(mark) + len(mark) for mark in (b"hello", b"\x01\x02", b"two", 128 * b"m")]
    return sum(end <= len(data) for end in ends)


@given(st.lists(st.binary(max_size=300) | st.just(b"\x81\x02ok\x82\x02ok"), max_size=5))
def test_any_bytes_end_as_messages_or_a_typed_error(reads: list[bytes]) -> None:
    async def program() -> None:
        async with opened(max_size=1000) as (ours, far):
            for read in filter(None, reads):
                await far.pipe.send(read)
            far.pipe.shut()
            error = await end_of(ours)
            assert error is None or isinstance(
                error, Unavailable | InvalidRequest | ProtocolViolation
            )

    run(program)


async def test_a_peer_that_does_not_read_makes_the_sender_wait_and_nothing_grow() -> None:
    go = anyio.Event()

    async def handler(served: ServedSocket) -> None:
        await go.wait()
        await echo(served)

    async with dialled(handler) as link, beside() as tasks:
        with anyio.move_on_after(0.2) as scope:
            while True:
                batch = ("x" * 500_000,)
                tasks.start_soon(link.send, batch)
                await anyio.wait_all_tasks_blocked()
                if link._writing:  # type: ignore[attr-defined]
                    await anyio.sleep_forever()
        assert scope.cancelled_caught
        go.set()
        assert await link.receive()
        tasks.cancel_scope.cancel()
