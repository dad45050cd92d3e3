"""Sockets: what a read brings, who waits, and what is left when it is over."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import anyio
import pytest
from anyio.lowlevel import checkpoint

from realtime_core.testing import no_leaks
from realtime_core.transports import _sockets
from realtime_core.transports._sockets import SecureSocket, Socket

from .loopback import trusted

pytestmark = pytest.mark.anyio
Pair = tuple[Socket, Socket]


@pytest.fixture(params=["watched", "plain"])
def pair(request: pytest.FixtureRequest, anyio_backend: str) -> Callable[[], Pair]:
    """Give a maker of two connected sockets; plain ones are waited for by anyio on asyncio too."""
    if request.param == "plain":
        if anyio_backend == "trio":
            pytest.skip("on trio there is one way")
        request.getfixturevalue("monkeypatch").setattr(_sockets, "_watch", lambda raw: None)

    def make() -> Pair:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            here = socket.create_connection(listener.getsockname())
            there, _ = listener.accept()
            return Socket(here), Socket(there)

    return make


async def test_bytes_both_ways_and_an_end(pair: Callable[[], Pair]) -> None:
    async with no_leaks():
        here, there = pair()
        await here.send(b"a")
        await here.send(b"b")
        assert await there.receive() == b"ab"
        await there.send(b"c")
        assert await here.receive() == b"c"
        there.close()
        there.close()
        assert await here.receive() == b""
        assert await here.receive() == b""
        here.close()


async def test_much_arrives_whole_though_nobody_reads_at_first(pair: Callable[[], Pair]) -> None:
    here, there = pair()
    much = bytes(range(256)) * 40_000
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.send, much)
        await anyio.wait_all_tasks_blocked()
        got = b""
        while len(got) < len(much):
            got += await there.receive()
            if len(got) % 3 == 0:  # nobody waits while the next bytes come
                await checkpoint()
                await checkpoint()
    assert got == much
    here.close()
    there.close()


@pytest.mark.parametrize("secure", [False, True])
async def test_what_does_not_go_at_once_goes_first_of_what_is_sent(
    pair: Callable[[], Pair], secure: bool
) -> None:
    ours, theirs = await secured(pair()) if secure else pair()
    much = bytes(range(256)) * 40_000
    assert ours.push(b"hello")
    assert await theirs.receive() == b"hello"
    assert not ours.push(much)
    if isinstance(ours, Socket):
        assert not ours.push(ours._rest), "there is no room at all"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ours.send, b"")
        got = b""
        while len(got) < len(much):
            got += await theirs.receive()
    await ours.send(b"more")
    assert (got, await theirs.receive()) == (much, b"more")
    ours.close()
    theirs.close()
    with pytest.raises(anyio.ClosedResourceError):
        ours.push(b"x")


async def secured(pair: Pair) -> tuple[SecureSocket, SecureSocket]:
    """Let both agree on keys."""
    server, client = trusted()
    ours = SecureSocket(pair[0], client, hostname="127.0.0.1")
    theirs = SecureSocket(pair[1], server, server_side=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(theirs.handshake)
        await ours.handshake()
    return ours, theirs


async def test_a_read_that_is_cancelled_loses_nothing(pair: Callable[[], Pair]) -> None:
    here, there = pair()
    got = list[bytes]()

    async def read() -> None:
        got.append(await there.receive())

    for steps in range(6):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await here.send(b"%d" % steps)
            for _ in range(steps):
                await checkpoint()
            tasks.cancel_scope.cancel()
        if len(got) == steps:
            await read()
        assert got[-1] == b"%d" % steps
    here.close()
    there.close()


async def test_a_reset_is_an_error_for_both_ways(pair: Callable[[], Pair]) -> None:
    here, there = pair()
    there.close(reset=True)
    with pytest.raises(ConnectionResetError):
        await here.receive()
    with pytest.raises(OSError, match="pipe"):
        await here.send(b"x")
    here.shut()
    here.close()


async def test_shutting_wakes_who_reads_and_who_writes(pair: Callable[[], Pair]) -> None:
    here, there = pair()

    async def write() -> None:
        with pytest.raises(OSError, match="pipe"):
            await here.send(bytes(50_000_000))

    async def read() -> None:
        assert await here.receive() == b""

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        here.shut()
    here.close()
    there.close()


async def test_closing_wakes_who_reads_and_who_writes(pair: Callable[[], Pair]) -> None:
    async with no_leaks():
        here, there = pair()

        async def write() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await here.send(bytes(50_000_000))

        async def read() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await here.receive()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            here.close()
        for use in (here.receive(), here.send(b"x")):
            with pytest.raises(anyio.ClosedResourceError):
                await use
        there.close()


async def test_closing_and_cancelling_at_once(pair: Callable[[], Pair]) -> None:
    here, there = pair()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.receive)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        here.close()
    there.close()


async def test_what_was_readable_for_a_moment_only(
    pair: Callable[[], Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair()
    problems = [BlockingIOError(), BlockingIOError()]
    recv = socket.socket.recv

    def fails(self: socket.socket, size: int) -> bytes:
        if problems:
            raise problems.pop()
        return recv(self, size)

    monkeypatch.setattr(socket.socket, "recv", fails)
    await here.send(b"x")
    assert await there.receive() == b"x"
    assert problems == []
    here.close()
    there.close()


async def test_loops_that_cannot_watch_sockets(
    monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    if anyio_backend == "asyncio":

        def cannot(*given: object) -> None:
            raise NotImplementedError

        with socket.socket() as raw, monkeypatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "remove_reader", cannot)
            assert _sockets._watch(raw) is None
            patch.setattr(asyncio, "current_task", lambda: None)  # trio as a guest
            assert _sockets._watch(raw) is None


async def test_tls_that_ends_in_the_middle_of_a_record(pair: Callable[[], Pair]) -> None:
    """What was whole is given first."""
    ours, theirs = await secured(pair())
    theirs._tls.write(b"whole")
    theirs._tls.write(b"half")
    await theirs._plain.send(theirs._goes.read()[:-3])
    theirs.close()
    assert await ours.receive() == b"whole"
    with pytest.raises(OSError, match="EOF"):
        await ours.receive()
    ours.shut()
    ours.close()


async def test_tls_that_is_garbled_behind_what_was_whole(pair: Callable[[], Pair]) -> None:
    ours, theirs = await secured(pair())
    theirs._tls.write(b"whole")
    await theirs._plain.send(theirs._goes.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert await ours.receive() == b"whole"
    with pytest.raises(ssl.SSLError):
        await ours.receive()
    ours.close()
    theirs.close(reset=True)


async def test_tls_that_takes_leave(pair: Callable[[], Pair]) -> None:
    ours, theirs = await secured(pair())
    theirs._tls.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        theirs._tls.unwrap()
    await theirs._flush()
    assert await ours.receive() == b"last"
    assert await ours.receive() == b""
    ours.close()
    theirs.close()


async def test_what_has_no_room_at_once_goes_with_the_next_write(
    pair: Callable[[], Pair],
) -> None:
    here, there = pair()
    much = bytes(range(256)) * 40_000
    assert not here.push(much)
    came = b""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.send, b"end")
        while not came.endswith(b"end"):
            came += await there.receive()
    assert came == much + b"end"
    assert here.push(b"more")
    assert await there.receive() == b"more"
    here.close()
    with pytest.raises(anyio.ClosedResourceError):
        here.push(b"x")
    there.close()
