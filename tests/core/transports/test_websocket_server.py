"""The WebSocket server: upgrades and plain requests, its connections' lives and its own."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from realtime_core.errors import RealtimeException, Unavailable
from realtime_core.testing import no_leaks
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_core.transports.websocket_server import Request, Response, ServedSocket, serve

from .loopback import PLAN, echo, trusted

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def asked(data: bytes, **named: Any) -> AsyncGenerator[bytes]:
    """Serve, send these bytes, and give all that is answered until the server leaves."""
    async with (
        no_leaks(within=1.0),
        serve(echo, close_timeout=0.05, **named) as (host, port),
        await anyio.connect_tcp(host, port) as stream,
    ):
        await stream.send(data)
        answer = b""
        with anyio.fail_after(5):
            async for more in stream:
                answer += more
        yield answer


async def session(request: Request) -> Response | None:
    """Answer a POST with what it said, and leave all else to others."""
    await anyio.lowlevel.checkpoint()
    if request.method != "POST":
        return None
    body = json.dumps([request.path, request.body.decode()]).encode()
    return Response(201, {"Content-Type": "application/json"}, body)


# --- plain requests ---------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [10, -13, -8])
async def test_a_post_is_answered_on_the_same_port(cut: int) -> None:
    data = b"POST /v1/calls?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nv=0 \nbeyond"
    async with (
        no_leaks(within=1.0),
        serve(echo, process_request=session) as (host, port),
        await anyio.connect_tcp(host, port) as stream,
    ):
        await stream.send(data[:cut])
        await anyio.sleep(0.02)  # for what was sent to be read alone
        await stream.send(data[cut:])
        head, _, body = (await stream.receive()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n")
        assert b"Connection: close" in head
        assert json.loads(body) == ["/v1/calls?a=b", "v=0 \n"]
        await stream.aclose()
        async with websocket(Endpoint(url=f"ws://{host}:{port}"))(PLAN) as link:
            await link.send(("still served",))
            assert await link.receive() == (b"still served",)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400),
        (b"DELETE / HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.0\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname: \x00\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nx: " + 90_000 * b"x", 431),
    ],
)
async def test_what_cannot_be_served(data: bytes, status: int) -> None:
    async with asked(data, max_body=1000) as answer:
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"Connection: close\r\n" in answer


@pytest.mark.parametrize(
    "data", [b"", b"GET / HTTP", b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf"]
)
@pytest.mark.parametrize("leaves", [False, True])
async def test_who_does_not_say_it_all_gets_no_answer(data: bytes, leaves: bool) -> None:
    async with (
        no_leaks(within=1.0),
        serve(echo, open_timeout=0.05) as (host, port),
        await anyio.connect_tcp(host, port) as stream,
    ):
        if data:
            await stream.send(data)
        if leaves:
            await stream.send_eof()
        with pytest.raises(anyio.EndOfStream), anyio.fail_after(5):
            await stream.receive()


async def test_a_secure_server_serves_nobody_in_the_clear() -> None:
    server, _ = trusted()
    async with asked(b"GET / HTTP/1.1\r\n\r\n", ssl=server) as answer:
        assert b"HTTP" not in answer


# --- connections ------------------------------------------------------------------------------


async def test_what_follows_an_upgrade_in_the_same_breath_is_heard() -> None:
    heard = list[object]()

    async def handler(served: ServedSocket) -> None:
        heard.append((await served.receive(), served.subprotocol))
        served.abort()

    upgrade = (
        b"GET /x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    async with serve(handler) as (host, port), await anyio.connect_tcp(host, port) as stream:
        await stream.send(upgrade + b"\x81\x82\x00\x00\x00\x00hi")
        with anyio.fail_after(5), suppress(anyio.BrokenResourceError):
            async for _ in stream:
                pass
    assert heard == [((b"hi",), None)]


@pytest.mark.parametrize(("code", "clean"), [(1000, True), (1001, True), (4000, False)])
async def test_a_client_may_leave(code: int, clean: bool) -> None:
    ended = list[object]()

    async def handler(served: ServedSocket) -> None:
        try:
            await served.receive()
        except (anyio.EndOfStream, RealtimeException) as problem:
            ended.append(type(problem))
            raise

    async with (
        serve(handler) as (host, port),
        websocket(Endpoint(url=f"ws://{host}:{port}"))(PLAN) as link,
    ):
        await link.close(code)  # type: ignore[attr-defined]
    assert ended == [anyio.EndOfStream if clean else RealtimeException]


async def test_a_connection_that_fails_ends_alone() -> None:
    async def handler(served: ServedSocket) -> None:
        if served.request.path == "/bad":
            raise RealtimeException(Unavailable(what="elsewhere"))
        await echo(served)

    async with no_leaks(within=1.0), serve(handler) as (host, port):
        url = f"ws://{host}:{port}/"
        async with websocket(Endpoint(url=url))(PLAN) as good:
            async with websocket(Endpoint(url=f"{url}bad"))(PLAN) as bad:
                with pytest.raises(RealtimeException) as caught:
                    await bad.receive()
                assert caught.value.error.code == "1011"
            await good.send(("still",))
            assert await good.receive() == (b"still",)


async def test_a_defect_of_a_handler_ends_the_server() -> None:
    async def handler(served: ServedSocket) -> None:
        raise KeyError(served.request.path)

    async def program() -> None:
        async with (
            serve(handler) as (host, port),
            websocket(Endpoint(url=f"ws://{host}:{port}/x"))(PLAN),
        ):
            await anyio.sleep_forever()

    async with no_leaks(within=1.0):
        with pytest.raises(KeyError, match="/x"):
            await program()


async def test_leaving_tells_every_client() -> None:
    told = list[str]()

    async def handler(served: ServedSocket) -> None:
        await served.send(("hello",))
        await anyio.sleep_forever()

    async def client(url: str, ready: anyio.Event) -> None:
        async with websocket(Endpoint(url=url))(PLAN) as link:
            await link.receive()
            ready.set()
            with pytest.raises(RealtimeException) as caught:
                await link.receive()
            told.append(caught.value.error.code)

    async with (
        no_leaks(within=1.0),
        anyio.create_task_group() as clients,
        serve(handler) as (host, port),
    ):
        for _ in range(3):
            ready = anyio.Event()
            clients.start_soon(client, f"ws://{host}:{port}", ready)
            await ready.wait()
    assert told == ["1001"] * 3


async def test_fault_injection_keeps_its_turn_and_ends_with_the_connection() -> None:
    done = anyio.Event()

    async def handler(served: ServedSocket) -> None:
        await served.raw(b"\x81\x02")
        await served.raw(b"hi")
        served.abort()
        with pytest.raises(anyio.ClosedResourceError):
            await served.raw(b"more")
        with pytest.raises(anyio.ClosedResourceError):
            await served.receive()
        done.set()

    async with (
        serve(handler) as (host, port),
        websocket(Endpoint(url=f"ws://{host}:{port}"))(PLAN) as link,
    ):
        await done.wait()
        with suppress(RealtimeException):
            assert await link.receive() == (b"hi",)
        with pytest.raises(RealtimeException):
            await link.receive()


async def test_served_over_the_newer_protocol() -> None:
    async with serve(echo, host="::1") as (host, port):
        assert host == "::1"
        async with websocket(Endpoint(url=f"ws://[::1]:{port}"))(PLAN) as link:
            await link.send(("hello",))
            assert await link.receive() == (b"hello",)


async def test_a_server_out_of_descriptors_waits_for_some(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [OSError(24, "Too many open files"), ConnectionAbortedError(), BlockingIOError()]
    accept = socket.socket.accept

    def fails(self: socket.socket) -> tuple[socket.socket, Any]:
        if problems:
            raise problems.pop(0)
        return accept(self)

    async with serve(echo) as (host, port):
        monkeypatch.setattr(socket.socket, "accept", fails)
        async with websocket(Endpoint(url=f"ws://{host}:{port}"))(PLAN) as link:
            await link.send(("hello",))
            assert await link.receive() == (b"hello",)
    assert problems == []
