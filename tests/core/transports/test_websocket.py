"""The WebSocket dial, over real sockets: endpoints, refusals, secrets, TLS, proxies, cancelling."""

from __future__ import annotations

import logging
import socket
import traceback
from base64 import b64encode
from collections.abc import Mapping

import anyio
import pytest
from anyio.abc import SocketStream
from msgspec.structs import replace

from realtime_core import Plan, Secret
from realtime_core.errors import (
    AuthFailed,
    InvalidRequest,
    ProtocolViolation,
    RateLimited,
    RealtimeError,
    RealtimeException,
    TimedOut,
    Unavailable,
)
from realtime_core.link import Link
from realtime_core.testing import no_leaks
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_core.transports.websocket_server import Request, Response, ServedSocket, serve

from .loopback import PLAN, bare, echo, head_of, proxied, refusal_of, reset, trusted

pytestmark = pytest.mark.anyio
KEY = "-".join(("sk", "0123456789abcdef"))
"""Not to be found in a traceback, which quotes the source."""


OF_ANOTHER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: of another\r\n\r\n"
)


async def exchanged(link: Link, *wires: str) -> list[bytes]:
    """Send a batch to who sends it back."""
    await link.send(wires)
    got = list[bytes]()
    while len(got) < len(wires):
        got += [wire for wire in await link.receive() if isinstance(wire, bytes)]
    return got


# --- what is asked ----------------------------------------------------------------------------


async def test_messages_go_both_ways() -> None:
    async with (
        no_leaks(within=1.0),
        serve(echo) as (host, port),
        websocket(Endpoint(url=f"ws://{host}:{port}/"))(PLAN) as link,
    ):
        assert await exchanged(link, "a", "b" * 100_000, "\u00fc") == [
            b"a",
            b"b" * 100_000,
            b"\xc3\xbc",
        ]


async def test_the_upgrade_carries_path_headers_and_subprotocols() -> None:
    seen = list[ServedSocket]()

    async def handler(served: ServedSocket) -> None:
        seen.append(served)

    async with serve(handler, subprotocols=("realtime", "other")) as (host, port):
        endpoint = Endpoint(
            url=f"ws://{host}:{port}/v1/realtime?model=m",
            headers={"Authorization": Secret(lambda: f"Bearer {KEY}"), "X-Plain": "yes"},
            subprotocols=("realtime",),
        )
        async with websocket(endpoint)(PLAN) as link:
            with pytest.raises(anyio.EndOfStream):
                await link.receive()
    (served,) = seen
    assert served.request.path == "/v1/realtime?model=m"
    assert served.request.headers["authorization"] == f"Bearer {KEY}"
    assert served.request.headers["x-plain"] == "yes"
    assert "sec-websocket-extensions" not in served.request.headers
    assert served.subprotocol == "realtime"


@pytest.mark.parametrize("waits", [False, True])
async def test_the_endpoint_may_be_asked_for_at_each_connect(waits: bool) -> None:
    asked = list[Plan]()

    async def handler(served: ServedSocket) -> None:
        await served.send((served.request.headers["x-count"],))

    async with serve(handler) as (host, port):

        def endpoint(plan: Plan) -> Endpoint:
            asked.append(plan)
            return Endpoint(url=f"ws://{host}:{port}", headers={"X-Count": str(len(asked))})

        async def later(plan: Plan) -> Endpoint:
            await anyio.lowlevel.checkpoint()
            return endpoint(plan)

        dial = websocket(later if waits else endpoint)
        for count in (b"1", b"2"):
            async with dial(PLAN) as link:
                assert await link.receive() == (count,)
    assert asked == [PLAN, PLAN]


@pytest.mark.parametrize(
    "url",
    ["http://x", "ws://", "ws://x:y", "ws://x:99999", f"wss://user:{KEY}@x", "ws://x#part", "x"],
)
async def test_an_address_that_cannot_be_dialled(url: str) -> None:
    error = await refusal_of(Endpoint(url=url))
    assert isinstance(error, InvalidRequest)
    assert KEY not in str(error)


@pytest.mark.parametrize("value", [f"{KEY}\n", f"{KEY}\r\nX-Other: y", f"{KEY}\u20ac"])
async def test_a_header_that_cannot_be_sent_is_not_quoted(value: str) -> None:
    with pytest.raises(RealtimeException) as caught:
        async with websocket(Endpoint(url="ws://x", headers={"X-Key": Secret(value)}))(PLAN):
            pytest.fail("it could be sent")
    assert isinstance(caught.value.error, InvalidRequest)
    assert "X-Key" in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (200, {}, ProtocolViolation),
        (302, {"Location": "ws://elsewhere"}, InvalidRequest),
        (400, {}, InvalidRequest),
        (401, {}, AuthFailed),
        (403, {}, AuthFailed),
        (404, {}, InvalidRequest),
        (408, {}, Unavailable),
        (429, {"Retry-After": "7"}, RateLimited),
        (500, {}, Unavailable),
        (503, {"Retry-After": "7"}, Unavailable),
        (999, {}, ProtocolViolation),
    ],
)
async def test_a_refused_upgrade(
    status: int, headers: Mapping[str, str], kind: type[RealtimeError]
) -> None:
    def refuse(request: Request) -> Response:
        return Response(status, headers, b"because")

    async with serve(echo, process_request=refuse) as (host, port):
        error = await refusal_of(Endpoint(url=f"ws://{host}:{port}"))
    assert isinstance(error, kind)
    if "Retry-After" in headers:
        assert getattr(error, "retry_after", None) == 7.0


async def test_a_provider_may_read_refusals_and_ends_itself() -> None:
    refused = list[tuple[int, str, bytes]]()
    ended = list[tuple[int, str]]()

    def refusal(status: int, headers: Mapping[str, str], body: bytes) -> RealtimeError:
        refused.append((status, headers["x-echo"], body))
        return InvalidRequest(what="own words")

    def failure(code: int, reason: str) -> RealtimeError | None:
        ended.append((code, reason))
        return None

    def judge(request: Request) -> Response | None:
        if request.path == "/ends":
            return None
        key = request.headers["authorization"]
        return Response(418, {"X-Echo": key}, f"[{key}] [{key.split()[1]}]".encode())

    async def handler(served: ServedSocket) -> None:
        await served.close(4001, f"bad {KEY}")

    async with serve(handler, process_request=judge) as (host, port):
        endpoint = Endpoint(
            url=f"ws://{host}:{port}/",
            headers={"Authorization": Secret(f"Bearer {KEY}"), "X": "1"},
            refusal=refusal,
            failure=failure,
        )
        assert await refusal_of(endpoint) == InvalidRequest(what="own words")
        async with websocket(replace(endpoint, url=f"{endpoint.url}ends"))(PLAN) as link:
            with pytest.raises(anyio.EndOfStream):
                await link.receive()
    assert refused == [(418, "***", b"[***] [***]")]
    assert ended == [(4001, "bad ***")]


async def test_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with no_leaks(within=1.0):
            error = await refusal_of(Endpoint(url=f"ws://127.0.0.1:{port}"))
    assert isinstance(error, Unavailable)
    assert "127.0.0.1" in error.what


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", Unavailable),
        (b"HTTP/1.1 101 Switching", Unavailable),
        (b"SSH-2.0-OpenSSH_9.9\r\n", ProtocolViolation),
        (b"\x00\xff\x00\xff\r\n", ProtocolViolation),
        (b"x" * 10_000, ProtocolViolation),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", ProtocolViolation),
        (OF_ANOTHER, ProtocolViolation),
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ProtocolViolation),
        (b"HTTP/1.1 500 No\r\nContent-Length: 9999999999\r\n\r\n", ProtocolViolation),
        (b"HTTP/1.1 500 No\r\n\r\nuntil the end", Unavailable),
    ],
)
async def test_what_is_no_answer_to_an_upgrade(answer: bytes, kind: type[RealtimeError]) -> None:
    async def script(stream: SocketStream) -> None:
        await head_of(stream)
        if answer:
            await stream.send(answer)
        await stream.send_eof()
        with anyio.move_on_after(1):
            await stream.receive()

    async with no_leaks(within=1.0), bare(script) as port:
        error = await refusal_of(Endpoint(url=f"ws://127.0.0.1:{port}"))
    assert isinstance(error, kind)


async def test_a_server_that_says_nothing() -> None:
    async def script(stream: SocketStream) -> None:
        await anyio.sleep_forever()

    async with no_leaks(within=1.0), bare(script) as port:
        error = await refusal_of(Endpoint(url=f"ws://127.0.0.1:{port}", open_timeout=0.05))
    assert isinstance(error, TimedOut)
    assert "127.0.0.1" in error.what


async def test_a_server_may_speak_in_the_same_breath_as_it_accepts() -> None:
    async def handler(served: ServedSocket) -> None:
        raise AssertionError("not asked")

    async def script(stream: SocketStream) -> None:
        request = await head_of(stream)
        await stream.send(_accepting(request) + b"\x81\x05hello\x81\x05again")
        await stream.receive()

    async with (
        bare(script) as port,
        websocket(Endpoint(url=f"ws://127.0.0.1:{port}"))(PLAN) as link,
    ):
        assert await link.receive() == (b"hello", b"again")


def _accepting(request: bytes) -> bytes:
    from websockets.utils import accept_key

    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    ).encode()


async def test_what_the_block_raises_comes_out_as_it_was_raised() -> None:
    async with serve(echo) as (host, port):
        with pytest.raises(KeyError):
            async with websocket(Endpoint(url=f"ws://{host}:{port}"))(PLAN):
                raise KeyError


# --- secrets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["ok", "401", "418", "header", "reason", "proxy", "refused"])
async def test_no_secret_is_logged_or_raised(way: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.client", "websockets.server", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    basic = b64encode(f"me:{KEY}".encode()).decode()

    async def handler(served: ServedSocket) -> None:
        if way == "reason":
            await served.close(3000, f"invalid key {KEY}")
        await echo(served)

    def judge(request: Request) -> Response | None:
        if way in {"401", "418"}:
            return Response(int(way), {"X-Key": KEY}, f"wrong key {KEY}".encode())
        return None

    async def garbled(stream: SocketStream) -> None:
        await head_of(stream)
        if way == "proxy":
            await stream.send(f"HTTP/1.1 403 {KEY} {basic}\r\n\r\n".encode())
        else:
            await stream.send(
                b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %s\r\n\r\n" % KEY.encode()
            )

    problem: BaseException | None = None
    async with serve(handler, process_request=judge) as (host, port), bare(garbled) as other:
        url = f"ws://{host}:{other if way == 'header' else 1 if way == 'refused' else port}"
        proxy = Secret(f"http://me:{KEY}@127.0.0.1:{other}") if way == "proxy" else None
        endpoint = Endpoint(url=url, headers={"Authorization": Secret(KEY)}, proxy=proxy)
        try:
            async with websocket(endpoint)(PLAN) as link:
                assert await exchanged(link, "hello") == [b"hello"]
        except RealtimeException as caught:
            problem = caught
    assert (problem is None) == (way == "ok")
    while problem is not None:
        said = "".join(traceback.format_exception(problem)) + repr(vars(problem)) + repr(problem)
        assert KEY not in said
        assert basic not in said
        problem = problem.__cause__ or problem.__context__
    assert KEY not in repr(endpoint)
    assert KEY not in caplog.text
    assert basic not in caplog.text


# --- TLS --------------------------------------------------------------------------------------


async def test_tls() -> None:
    server, client = trusted()
    async with no_leaks(within=1.0), serve(echo, ssl=server) as (host, port):
        endpoint = Endpoint(url=f"wss://{host}:{port}", ssl=client)
        async with websocket(endpoint)(PLAN) as link:
            assert await exchanged(link, "a", "b" * 500_000) == [b"a", b"b" * 500_000]


async def test_the_records_that_came_together_are_one_batch() -> None:
    server, client = trusted()

    async def handler(served: ServedSocket) -> None:
        for number in range(5):
            await served.send((str(number),))
        await served.receive()

    async with (
        serve(handler, ssl=server) as (host, port),
        websocket(Endpoint(url=f"wss://{host}:{port}", ssl=client))(PLAN) as link,
    ):
        await anyio.sleep(0.1)  # for the system to have all of it
        assert await link.receive() == (b"0", b"1", b"2", b"3", b"4")


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_a_certificate_that_is_not_trusted(wrong: str) -> None:
    server, client = trusted("127.0.0.1" if wrong == "authority" else "elsewhere.test")
    async with no_leaks(within=1.0), serve(echo, ssl=server) as (host, port):
        endpoint = Endpoint(
            url=f"wss://{host}:{port}", ssl=None if wrong == "authority" else client
        )
        error = await refusal_of(endpoint)
    assert isinstance(error, InvalidRequest)
    assert "certificate" in error.what


async def test_tls_where_there_is_none() -> None:
    async with serve(echo) as (host, port):
        assert isinstance(await refusal_of(Endpoint(url=f"wss://{host}:{port}")), Unavailable)


@pytest.mark.parametrize("way", ["end", "reset"])
async def test_a_tls_connection_that_is_lost(way: str) -> None:
    server, client = trusted()

    async def handler(served: ServedSocket) -> None:
        await served.send(("last",))
        await served.receive()
        if way == "reset":
            served.abort()
        else:
            served._pipe.shut()

    async with (
        no_leaks(within=1.0),
        serve(handler, ssl=server) as (host, port),
        websocket(Endpoint(url=f"wss://{host}:{port}", ssl=client))(PLAN) as link,
    ):
        assert await link.receive() == (b"last",)
        await link.send(("go",))
        with pytest.raises(RealtimeException) as caught:
            await link.receive()
        assert caught.value.error.code == "1006"


# --- proxies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["", "me:p%40ss@"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_through_a_proxy(scheme: str, user: str) -> None:
    heads = list[bytes]()
    server, client = trusted()
    async with (
        no_leaks(within=1.0),
        serve(echo, ssl=server if scheme == "wss" else None) as (host, port),
        proxied(heads) as via,
    ):
        endpoint = Endpoint(
            url=f"{scheme}://{host}:{port}",
            headers={"Authorization": Secret(KEY)},
            ssl=client,
            proxy=f"http://{user}127.0.0.1:{via}",
        )
        async with websocket(endpoint)(PLAN) as link:
            assert await exchanged(link, "hello") == [b"hello"]
    (head,) = heads
    to = b"127.0.0.1:%d" % port
    assert head.startswith(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n" % (to, to))
    assert (b"Basic " + b64encode(b"me:p@ss") in head) is bool(user)
    assert KEY.encode() not in head


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", Unavailable),
        (b"HTTP/1.1 407\r\nProxy-Authenticate: Basic\r\n\r\n", AuthFailed),
        (b"HTTP/1.1\r\n\r\n", Unavailable),
        (b"no: http\r\nbut lines\r\n\r\n", Unavailable),
        (b"x" * 20_000, Unavailable),
        (b"", Unavailable),
    ],
)
async def test_a_proxy_that_refuses(answer: bytes, kind: type[RealtimeError]) -> None:
    async def script(stream: SocketStream) -> None:
        await head_of(stream)
        if answer:
            await stream.send(answer)

    async with no_leaks(within=1.0), bare(script) as port:
        endpoint = Endpoint(url="ws://127.0.0.1:1", proxy=f"http://127.0.0.1:{port}")
        error = await refusal_of(endpoint)
    assert isinstance(error, kind)


@pytest.mark.parametrize("address", ["socks5://x", "http://", "http://x:y", "http://x:99999", "x"])
async def test_a_proxy_that_cannot_be_used(address: str) -> None:
    error = await refusal_of(Endpoint(url="ws://x", proxy=address))
    assert isinstance(error, InvalidRequest)
    assert "proxy" in error.what


# --- cancelling -------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["tcp", "proxy", "tls", "upgrade", "receive", "send"])
async def test_cancelling_leaves_nothing_behind(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = trusted()

    async def mute(served: ServedSocket) -> None:
        await anyio.sleep_forever()

    async def silent(stream: SocketStream) -> None:
        await anyio.sleep_forever()

    async def never(raw: socket.socket) -> None:
        await anyio.sleep_forever()

    if at == "tcp":
        monkeypatch.setattr(anyio, "wait_writable", never)
    async with no_leaks(within=1.0), serve(mute, ssl=server) as (host, port), bare(silent) as other:
        away = "wss" if at in {"tls", "receive", "send"} else "ws"
        to = port if at in {"receive", "send"} else other
        endpoint = Endpoint(
            url=f"{away}://{host}:{to}",
            ssl=client,
            proxy=f"http://127.0.0.1:{other}" if at == "proxy" else None,
        )
        began = anyio.current_time()
        with anyio.move_on_after(0.1) as scope:
            async with websocket(endpoint)(PLAN) as link:
                if at == "receive":
                    await link.receive()
                while True:
                    await link.send(("x" * 100_000,))
        assert scope.cancelled_caught
        assert anyio.current_time() - began < 0.9, "nobody waits for the answer to a farewell"


async def test_cancelling_a_send_that_waits_ends_what_can_be_sent() -> None:
    async def mute(served: ServedSocket) -> None:
        await anyio.sleep_forever()

    async with (
        no_leaks(within=1.0),
        serve(mute) as (host, port),
        websocket(Endpoint(url=f"ws://{host}:{port}"))(PLAN) as link,
    ):
        with anyio.move_on_after(0.1) as scope:
            while True:
                await link.send(("x" * 1_000_000,))
        assert scope.cancelled_caught
        with pytest.raises(anyio.BrokenResourceError):
            await link.send(("x",))


async def test_a_reset_while_upgrading() -> None:
    async def script(stream: SocketStream) -> None:
        await head_of(stream)
        reset(stream)

    async with bare(script) as port:
        error = await refusal_of(Endpoint(url=f"ws://127.0.0.1:{port}"))
    assert isinstance(error, Unavailable)
