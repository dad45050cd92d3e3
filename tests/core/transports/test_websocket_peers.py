"""Independent judges: the asyncio client and server of `websockets` against our ends."""

from __future__ import annotations

import logging

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus

from realtime_core.errors import ProtocolViolation, RealtimeException
from realtime_core.transports import websocket_server
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_core.transports.websocket_server import Request, Response, ServedSocket

from .loopback import PLAN, echo, trusted

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default::DeprecationWarning")]
QUIET = logging.getLogger("quiet")
SIZES = (0, 1, 125, 126, 65_535, 65_536, 500_000)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("secure", [False, True])
async def test_our_dial_at_their_server(secure: bool) -> None:
    server, client = trusted()
    heard = list[object]()

    async def handler(peer: ServerConnection) -> None:
        assert peer.request is not None
        assert peer.request.headers["X-Key"] == "k"
        async for message in peer:
            heard.append(message)
            await peer.send(message)
        await peer.wait_closed()
        heard.append(peer.close_code)

    async with serve(handler, "127.0.0.1", 0, ssl=server if secure else None, logger=QUIET) as far:
        port = far.sockets[0].getsockname()[1]
        url = f"{'wss' if secure else 'ws'}://127.0.0.1:{port}/x"
        endpoint = Endpoint(url=url, headers={"X-Key": "k"}, ssl=client, ping_interval=0.01)
        sent = tuple("\u00fc" * size for size in SIZES)
        async with websocket(endpoint)(PLAN) as link:
            await link.send(sent)
            got = list[object]()
            while len(got) < len(sent):
                got += await link.receive()
            with anyio.move_on_after(0.1):
                await link.receive()  # for pings to go both ways
    assert got == [text.encode() for text in sent]
    assert heard == [*sent, 1000]


@pytest.mark.parametrize("secure", [False, True])
async def test_their_client_at_our_server(secure: bool) -> None:
    server, client = trusted()
    async with websocket_server.serve(echo, ssl=server if secure else None) as (host, port):
        url = f"{'wss' if secure else 'ws'}://{host}:{port}/x"
        context = client if secure else None
        async with connect(
            url, proxy=None, ssl=context, logger=QUIET, max_size=None, ping_interval=0.01
        ) as peer:
            for size in SIZES:
                await peer.send(iter(["\u00fc" * (size // 2), "\u00fc" * (size - size // 2)]))
                assert await peer.recv(decode=True) == "\u00fc" * size
            await (await peer.ping())
        assert peer.close_code == 1000


async def test_our_ends_and_refusals_as_they_see_them() -> None:
    async def handler(served: ServedSocket) -> None:
        match served.request.path:
            case "/good":
                await served.close()
            case "/bad":
                await served.close(4000, "why")
            case _:
                with pytest.raises(RealtimeException) as caught:
                    await served.receive()
                assert isinstance(caught.value.error, ProtocolViolation)

    def judge(request: Request) -> Response | None:
        return Response(429, {"Retry-After": "3"}, b"slow") if request.path == "/429" else None

    async with websocket_server.serve(handler, process_request=judge, max_size=100) as (host, port):
        url = f"ws://{host}:{port}"
        async with connect(f"{url}/good", proxy=None, logger=QUIET) as peer:
            with pytest.raises(ConnectionClosedOK):
                await peer.recv()
        async with connect(f"{url}/bad", proxy=None, logger=QUIET) as peer:
            with pytest.raises(ConnectionClosedError) as ended:
                await peer.recv()
            assert ended.value.rcvd is not None
            assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (4000, "why")
        async with connect(f"{url}/large", proxy=None, logger=QUIET) as peer:
            await peer.send("x" * 101)
            with pytest.raises(ConnectionClosedError) as ended:
                await peer.recv()
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == 1009
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{url}/429", proxy=None, logger=QUIET)
        answer = refused.value.response
        assert (answer.status_code, answer.headers["Retry-After"], answer.body) == (
            429,
            "3",
            b"slow",
        )
