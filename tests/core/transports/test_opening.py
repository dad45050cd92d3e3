"""Opening: what is agreed on the way, and what is not told of it."""

from __future__ import annotations

import socket
import ssl

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.tls import TLSStream

from realtime_core.errors import InvalidRequest, RealtimeException
from realtime_core.testing import no_leaks
from realtime_core.transports._listening import listening
from realtime_core.transports._opening import Way, blotted, opened

from .loopback import bare, trusted

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("offered", "wanted", "fits"),
    [
        (["h2", "http/1.1"], "h2", True),
        (["http/1.1"], "h2", False),
        ([], "h2", False),
        (["h2"], "", True),
        ([], "", True),
    ],
)
async def test_what_is_spoken(offered: list[str], wanted: str, fits: bool) -> None:
    server, client = trusted()
    server.set_alpn_protocols(offered)

    async def script(stream: SocketStream) -> None:
        try:
            secure = await TLSStream.wrap(
                stream, server_side=True, ssl_context=server, standard_compatible=False
            )
            await secure.send(b"hello")
            await secure.receive()
        except ssl.SSLError:
            return

    async with no_leaks(within=1.0), bare(script) as port:
        way = Way("127.0.0.1", port, client, wanted)
        if fits:
            pipe = await opened(way, 5)
            assert await pipe.receive() == b"hello"
            pipe.close()
            return
        with pytest.raises(RealtimeException) as caught:
            await opened(way, 5)
        assert isinstance(caught.value.error, InvalidRequest)


def test_short_secrets_are_words_like_others() -> None:
    assert blotted("an abcd of abc", ("abc", "abcd")) == "an *** of abc"


async def test_a_server_out_of_descriptors_waits_for_some(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = socket.socket.accept
    failures: list[OSError] = [OSError(24, "too many"), ConnectionAbortedError(), BlockingIOError()]

    def fails(self: socket.socket) -> object:
        if failures:
            raise failures.pop()
        return accept(self)

    async def attend(raw: socket.socket) -> None:
        with raw:
            raw.send(b"hello")

    async with no_leaks(within=1.0), listening("127.0.0.1", 0, attend) as (host, port):
        monkeypatch.setattr(socket.socket, "accept", fails)
        async with await anyio.connect_tcp(host, port) as stream:
            assert await stream.receive() == b"hello"
    assert not failures
