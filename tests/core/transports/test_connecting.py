"""Connecting: several addresses, of which some fail and some do not answer."""

from __future__ import annotations

import socket
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream

from realtime_core.testing import no_leaks
from realtime_core.transports import _connecting
from realtime_core.transports._connecting import connect

from .loopback import bare

pytestmark = pytest.mark.anyio
V4 = socket.AF_INET


def named(patch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let a name stand for these addresses."""

    async def found(host: str, port: int, **_: Any) -> list[Any]:
        assert (host, port) == ("name.test", 443)
        return [(V4, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    patch.setattr(anyio, "getaddrinfo", found)


async def hello(stream: SocketStream) -> None:
    await stream.send(b"hello")


@pytest.fixture
def nobody() -> int:
    """Give a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_the_next_address_is_tried_where_one_fails(
    nobody: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with no_leaks(within=1.0), bare(hello) as port:
        named(monkeypatch, ("127.0.0.1", nobody), ("127.0.0.1", port))
        found = await connect("name.test", 443)
        assert await found.receive() == b"hello"
        found.close()


@pytest.mark.parametrize("both", [False, True])
async def test_the_next_address_is_tried_where_one_hangs(
    both: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that answer at once make one connection."""
    reach, second = _connecting._reached, anyio.Event()

    async def reached(address: Any) -> socket.socket:
        if address[1][0] == "127.0.0.2":
            await (second.wait() if both else anyio.sleep_forever())
        else:
            second.set()
        return await reach((V4, ("127.0.0.1", address[1][1])))

    monkeypatch.setattr(_connecting, "_HEAD_START", 0.01)
    monkeypatch.setattr(_connecting, "_reached", reached)
    async with no_leaks(within=1.0), bare(hello) as port:
        named(monkeypatch, ("127.0.0.2", port), ("127.0.0.1", port))
        found = await connect("name.test", 443)
        assert await found.receive() == b"hello"
        found.close()


async def test_where_none_answers_the_first_is_to_blame(
    nobody: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(monkeypatch, ("127.0.0.1", nobody), ("name.invalid", 1))
    async with no_leaks():
        with pytest.raises(ConnectionRefusedError):
            await connect("name.test", 443)


async def test_a_name_that_nobody_has() -> None:
    with pytest.raises(OSError, match=r"."):
        await connect("name.invalid", 443)


async def test_cancelling_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(raw: socket.socket) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(anyio, "wait_writable", never)
    async with no_leaks(within=1.0), bare(hello) as port:
        with anyio.move_on_after(0.05) as scope:
            await connect("127.0.0.1", port)
        assert scope.cancelled_caught


async def test_cancelled_when_it_had_connected(
    nobody: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = _connecting._reached

    async def reached(address: Any) -> socket.socket:
        raw = await reach(address)
        scope.cancel()
        await anyio.lowlevel.cancel_shielded_checkpoint()
        return raw

    monkeypatch.setattr(_connecting, "_reached", reached)
    async with no_leaks(within=1.0), bare(hello) as port:
        named(monkeypatch, ("127.0.0.1", nobody), ("127.0.0.1", port))
        with anyio.CancelScope() as scope:
            await connect("name.test", 443)
            pytest.fail("it went on")
        assert scope.cancelled_caught


async def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(host: str, port: int, **_: Any) -> list[Any]:
        return [(6, 1, 6, "", "a"), (6, 1, 6, "", "b"), (4, 1, 6, "", "c"), (6, 1, 6, "", "d")]

    monkeypatch.setattr(anyio, "getaddrinfo", found)
    addresses = await _connecting._addresses("name.test", 1)
    assert addresses == [(6, "a"), (4, "c"), (6, "b"), (6, "d")]
