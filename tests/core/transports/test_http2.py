"""HTTP/2 over real sockets: our dial, our server, and h2's own server as an independent judge."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint
from h2 import events as ev
from h2.settings import SettingCodes

from realtime_core.beside import beside
from realtime_core.config import Secret
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
from realtime_core.plan import Plan
from realtime_core.testing import no_leaks
from realtime_core.transports._http2_frames import Cutter, farewell
from realtime_core.transports.http2 import Caller, Endpoint, Stream, connected, http2, stopped
from realtime_core.transports.http2_server import Handler, Served, serve

from .far_http2 import Carried, Far, Judge, body_of, end_of, judged
from .loopback import PLAN, bare, proxied, reset, trusted

pytestmark = pytest.mark.anyio
SIZES = (0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 1_000_000)
MUCH = bytes(range(256)) * 12_000


async def echo(served: Served) -> None:
    """Send back whatever comes, and say how much it was."""
    size = 0
    served.respond(200, {"x-path": served.request.path})
    while True:
        try:
            pieces = await served.receive()
        except anyio.EndOfStream:
            return await served.end({"x-size": str(size)})
        size += sum(map(len, pieces))
        await served.stream.send(pieces)


@asynccontextmanager
async def dialled(handler: Handler, **named: object) -> AsyncGenerator[Stream]:
    async with no_leaks(within=1.0), serve(handler) as (host, port):
        url = f"http://{host}:{port}/x?y=z"
        async with http2(Endpoint(url=url, **named))(PLAN) as link:  # type: ignore[arg-type]
            assert isinstance(link, Stream)
            yield link


@asynccontextmanager
async def calling(handler: Handler, **named: object) -> AsyncGenerator[Caller]:
    async with serve(handler) as (host, port):
        endpoint = Endpoint(url=f"http://{host}:{port}", **named)  # type: ignore[arg-type]
        async with connected(endpoint) as caller:
            yield caller


async def refusal_of(endpoint: Endpoint) -> RealtimeError:
    """Dial what cannot be dialled, and give why."""
    with pytest.raises(RealtimeException) as caught:
        async with http2(endpoint)(PLAN) as link:
            await link.receive()
    return caught.value.error


# --- both ways --------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True])
async def test_bytes_of_any_size_both_ways_at_once(secure: bool) -> None:
    server, client = trusted()
    async with no_leaks(within=1.0), serve(echo, ssl=server if secure else None) as (host, port):
        url = f"http{'s' * secure}://{host}:{port}/x?y=z"
        async with http2(Endpoint(url=url, ssl=client))(PLAN) as link:
            assert isinstance(link, Stream)
            assert (await link.answered()).headers == {"x-path": "/x?y=z"}
            for size in SIZES:
                async with beside() as tasks:
                    tasks.start_soon(link.send, (MUCH[:size],))
                    assert await body_of(link, size) == MUCH[:size]
            await link.send_eof()
            await link.send_eof()
            with pytest.raises(anyio.ClosedResourceError):
                await link.send((b"late",))
            assert not link.offer((b"late",))
            assert await end_of(link) is None
            assert link.trailers == {"x-size": str(sum(SIZES))}
        with pytest.raises(anyio.ClosedResourceError):
            await link.receive()
        await link.aclose()


async def test_an_endpoint_may_be_made_for_the_plan() -> None:
    async def later(plan: Plan) -> Endpoint:
        await checkpoint()
        return now(plan)

    async with no_leaks(within=1.0), serve(echo) as (host, port):

        def now(plan: Plan) -> Endpoint:
            assert plan is PLAN
            return Endpoint(url=f"http://{host}:{port}")

        for endpoint in (now, later):
            async with http2(endpoint)(PLAN) as link:
                await link.send(("text", b"bytes"))
                assert await body_of(link, 9) == b"textbytes"


async def test_many_requests_on_one_connection_do_not_wait_for_each_other() -> None:
    """One that nobody receives stands still; the others go on."""
    async with (
        no_leaks(within=1.0),
        calling(echo, window=65_536) as caller,
        caller.request({}) as still,
        beside() as tasks,
    ):
        tasks.start_soon(still.send, (MUCH,))
        for _ in range(3):
            async with caller.request({}) as link:
                await link.send((b"quick",))
                assert await body_of(link, 5) == b"quick"
        assert await body_of(still, len(MUCH)) == MUCH


# --- an independent judge ---------------------------------------------------------------------


@asynccontextmanager
async def before(judge: Judge, **named: object) -> AsyncGenerator[Stream]:
    async with no_leaks(within=1.0), judged(judge) as port:
        url = f"http://127.0.0.1:{port}/model"
        async with http2(Endpoint(url=url, close_timeout=0.1, **named))(PLAN) as link:  # type: ignore[arg-type]
            assert isinstance(link, Stream)
            yield link


async def test_what_a_judge_sees_of_a_request() -> None:
    seen = list[tuple[str, str]]()
    indexed = dict[str, bool]()

    async def judge(far: Far) -> None:
        asked = await far.until(ev.RequestReceived)
        for header in asked.headers:
            name, text = (bytes(part).decode() for part in header)
            seen.append((name, text))
            indexed[name] = getattr(header, "indexable", True)
        await far.accept(200, x="1")
        assert (await far.until(ev.StreamEnded)).stream_id == 1
        assert far.bodies[1] == b"one" + b"two"
        await far.do("send_data", 1, b"three", end_stream=True)
        await far.until(ev.ConnectionTerminated)
        assert not any(isinstance(event, ev.StreamReset) for event in far.events)
        seen.append(("", "judged"))

    headers: dict[str, str | Secret] = {"X-Open": "o", "X-Key": Secret("s3cret")}
    async with before(judge, headers=headers) as link:
        await link.send((b"one", "two"))
        await link.send_eof()
        assert await link.receive() == (b"three",)
        assert await end_of(link) is None
    assert [name for name, _ in seen][:4] == [":method", ":scheme", ":authority", ":path"]
    assert dict(seen)[":path"] == "/model"
    assert dict(seen)[":authority"].startswith("127.0.0.1:")
    assert (dict(seen)["x-open"], dict(seen)["x-key"]) == ("o", "s3cret")
    assert indexed["x-open"]
    assert not indexed["x-key"], "no table may keep a secret"
    assert seen[-1] == ("", "judged")


async def test_we_wait_for_the_room_that_a_peer_grants() -> None:
    """It reads all the while; what is granted is used up, and no more."""

    async def judge(far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.accept()
        total = 0
        while total < len(MUCH):
            while far.h2.remote_flow_control_window(1):
                await far.hear()
            with anyio.move_on_after(0.02):
                while True:  # h2 raises where more comes than was granted
                    heard = await far.hear()
                    assert not any(isinstance(event, ev.DataReceived) for event in heard)
            total += len(far.bodies[1])
            await far.grant()
        await far.do("end_stream", 1)

    async with before(judge) as link:
        assert not link.offer((MUCH,))
        with anyio.fail_after(10):
            await link.send((MUCH[: 2 * 65_535],))
            await link.send((MUCH[2 * 65_535 :],))


async def test_a_peer_waits_for_the_room_that_we_grant() -> None:
    """Its pings, and those of its frames that need no room, are heard all the while."""
    done = anyio.Event()

    async def judge(far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.accept()
        await far.until(ev.SettingsAcknowledged)
        left = MUCH
        while left:
            room = min(far.h2.local_flow_control_window(1), far.h2.max_outbound_frame_size)
            if room:
                await far.do("send_data", 1, left[:room])
                left = left[room:]
            else:
                await far.do("ping", b"12345678")
                await far.until(ev.PingAckReceived)
                done.set()
                await far.until(ev.WindowUpdated)
        await far.do("end_stream", 1)

    async with before(judge, window=100_000) as link:
        with anyio.fail_after(10):
            await done.wait()
        assert link._unread <= 100_000
        assert await body_of(link, len(MUCH)) == MUCH
        assert await end_of(link) is None


async def test_padding_takes_up_room_as_well() -> None:
    async def judge(far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.accept()
        await far.until(ev.SettingsAcknowledged)
        for _ in range(3_000):
            while far.h2.local_flow_control_window(1) < 300:
                await far.until(ev.WindowUpdated)
            await far.do("send_data", 1, b"", pad_length=250)
        await far.do("send_data", 1, b"x", end_stream=True)

    async with before(judge, window=70_000) as link:
        with anyio.fail_after(10):
            assert await link.receive() == (b"x",)


async def test_settings_of_a_peer_are_kept() -> None:
    sizes = list[int]()

    async def judge(far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.do(
            "update_settings",
            {SettingCodes.INITIAL_WINDOW_SIZE: 10, SettingCodes.MAX_CONCURRENT_STREAMS: 1},
        )
        await far.until(ev.SettingsAcknowledged)
        await far.accept()
        while len(far.bodies.get(1, b"")) < 30:
            for event in await far.hear():
                if isinstance(event, ev.DataReceived):
                    sizes.append(len(event.data))
                    await far.do("increment_flow_control_window", 10, 1)
        await far.do("end_stream", 1)

    async with no_leaks(within=1.0), judged(judge) as port:
        endpoint = Endpoint(url=f"http://127.0.0.1:{port}", close_timeout=0.1)
        async with connected(endpoint) as caller, caller.request({}) as link:
            await link.answered()
            with pytest.raises(RealtimeException) as caught:
                caller.request({})
            assert isinstance(caught.value.error, Unavailable)
            await link.send((bytes(30),))
            assert await end_of(link) is None
    assert sizes == [10, 10, 10]


# --- ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind", "name"),
    [
        (0, Unavailable, ""),
        (1, InvalidRequest, "PROTOCOL_ERROR"),
        (2, Unavailable, "INTERNAL_ERROR"),
        (7, Unavailable, "REFUSED_STREAM"),
        (8, Unavailable, "CANCEL"),
        (11, RateLimited, "ENHANCE_YOUR_CALM"),
        (13, InvalidRequest, "HTTP_1_1_REQUIRED"),
        (99, Unavailable, "code 99"),
    ],
)
async def test_resets(code: int, kind: type[RealtimeError], name: str) -> None:
    async def handler(served: Served) -> None:
        served.respond()
        await served.send(b"last")
        served.reset(code)

    async with dialled(handler) as link:
        assert await body_of(link, 4) == b"last"
        for _ in range(2):
            error = await end_of(link)
            assert isinstance(error, kind)
            assert error.code == name
            with pytest.raises(RealtimeException) as caught:
                await link.send((b"late",))
            assert caught.value.error == error
        assert not link.offer((b"late",))
        with pytest.raises(RealtimeException):
            await link.answered()


async def test_a_reset_behind_the_end_cuts_only_what_we_send() -> None:
    """So does a server that has answered, and wants to hear no more."""

    async def handler(served: Served) -> None:
        served.respond()
        await served.send(b"all")
        await served.end()
        served.reset(0)

    async with dialled(handler) as link:
        assert await body_of(link, 3) == b"all"
        assert await end_of(link) is None
        with pytest.raises(anyio.BrokenResourceError):
            await sending(link)


async def sending(link: Stream) -> None:
    while True:
        await link.send((b"more",))
        await checkpoint()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidRequest), (403, AuthFailed), (429, RateLimited), (503, Unavailable)],
)
@pytest.mark.parametrize("way", ["whole", "cut"])
async def test_refusals(status: int, kind: type[RealtimeError], way: str) -> None:
    """They are told to who sends, too, and quote no secret."""

    async def handler(served: Served) -> None:
        served.respond(status, {"retry-after": "7", "x-echo": "key is s3cret"})
        await served.send(b"your s3cret is bad" + bytes(100_000))
        if way == "whole":
            await served.end()
        else:
            served.reset(0)

    seen = list[tuple[int, dict[str, str], bytes]]()

    async with dialled(handler, headers={"k": Secret("s3cret")}, window=200_000) as link:
        plain = link._refusal
        assert plain is not None

        def refusal(status: int, headers: object, body: bytes) -> RealtimeError:
            assert isinstance(headers, dict)
            seen.append((status, headers, body))
            return plain(status, headers, body)

        link._refusal = refusal
        with pytest.raises(RealtimeException) as caught:
            await link.answered()
        error = caught.value.error
        assert isinstance(error, kind)
        assert error.code == str(status)
        if isinstance(error, RateLimited | Unavailable):
            assert error.retry_after == 7.0
        assert await end_of(link) == error
        with pytest.raises(RealtimeException) as caught:
            await link.send((b"late",))
        assert caught.value.error == error
    ((_, headers, body),) = seen
    assert headers["x-echo"] == "key is ***"
    assert body.startswith(b"your *** is bad")
    assert len(body) <= 65_536


@pytest.mark.parametrize("way", ["reset", "end"])
async def test_an_end_without_a_word(way: str) -> None:
    async def handler(served: Served) -> None:
        await served.receive()
        served.abort(reset=way == "reset")

    async with dialled(handler) as link:
        await link.send((b"go",))
        error = await end_of(link)
        assert isinstance(error, Unavailable)
        with pytest.raises(RealtimeException) as caught:
            await link.send((b"late",))
        assert caught.value.error == error


async def test_goaway_in_good_order_lets_what_has_begun_go_on() -> None:
    async def handler(served: Served) -> None:
        served.respond()
        served.farewell()
        await served.stream.send(await served.receive())
        await served.end()

    async with no_leaks(within=1.0), calling(handler) as caller, caller.request({}) as link:
        await link.answered()
        await link.send((b"after it",))
        assert await body_of(link, 8) == b"after it"
        assert await end_of(link) is None
        with pytest.raises(RealtimeException) as caught:
            caller.request({})
        assert isinstance(caught.value.error, Unavailable)


@pytest.mark.parametrize(
    ("code", "last", "kind"),
    [(0, 0, Unavailable), (11, None, RateLimited), (1, None, InvalidRequest), (2, 0, Unavailable)],
)
async def test_goaway_that_leaves_us_behind(
    code: int, last: int | None, kind: type[RealtimeError]
) -> None:
    async def handler(served: Served) -> None:
        served.respond()
        served.farewell(code, last, b"too many words")
        await anyio.sleep_forever()

    async with dialled(handler, close_timeout=0.05) as link:
        error = await end_of(link)
        assert isinstance(error, kind)
        assert error.cause == "too many words"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\x40\x01\x00\x00\x00\x00\x00\x01",  # longer than is allowed: no room is made
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00",  # DATA of no stream
        b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff",  # a header block that is none
        b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",  # no room granted
        b"\x00\x00\x02\x07\x00\x00\x00\x00\x00\x00\x00",  # GOAWAY, cut short
        b"\x00\x00\x05\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",  # PING, cut short
        b"\x00\x00\x00\x05\x04\x00\x00\x00\x01",  # PUSH_PROMISE
        b"\x00\x00\x01\x00\x08\x00\x00\x00\x01\x05",  # padding that is longer than its frame
    ],
)
async def test_what_breaks_the_protocol(data: bytes) -> None:
    async def handler(served: Served) -> None:
        served.respond()
        await served.send(b"last")
        served.raw(data)
        await anyio.sleep_forever()

    async with dialled(handler, close_timeout=0.05) as link:
        assert await body_of(link, 4) == b"last"
        error = await end_of(link)
        assert isinstance(error, ProtocolViolation)


async def test_headers_beyond_the_limit() -> None:
    async def handler(served: Served) -> None:
        served.respond(200, {f"x-{number}": "x" * 8_000 for number in range(10)})
        await anyio.sleep_forever()

    async with dialled(handler, close_timeout=0.05) as link:
        assert isinstance(await end_of(link), ProtocolViolation)


SESSION = [
    (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", b""),
    (b"\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88", b""),
    (b"\x00\x00\x05\x00\x00\x00\x00\x00\x01hello", b"hello"),
    (b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678", b""),
    (b"\x00\x00\x84\x00\x08\x00\x00\x00\x01\x03" + 128 * b"m" + bytes(3), 128 * b"m"),
    (b"\x00\x00\x00\x00\x01\x00\x00\x00\x01", b""),
]
"""A short exchange as a server says it, frame by frame, and what each brings of the body."""


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_lost_at_every_byte(how: str) -> None:
    said = b"".join(frame for frame, _ in SESSION)
    cut = len(said)

    async def script(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(said[:cut])
        if how == "reset":
            reset(stream)
        else:
            await stream.send_eof()
            with anyio.move_on_after(1):
                while True:
                    await stream.receive()

    async def talk(port: int) -> tuple[bytes, RealtimeError | None]:
        got = b""
        try:
            with anyio.fail_after(5):
                endpoint = Endpoint(url=f"http://127.0.0.1:{port}", close_timeout=0.2)
                async with http2(endpoint)(PLAN) as link:
                    while True:
                        got += b"".join(await link.receive())  # type: ignore[arg-type]
        except anyio.EndOfStream:
            return got, None
        except RealtimeException as caught:
            return got, caught.error

    async with no_leaks(within=1.0), bare(script) as port:
        for cut in range(len(said) + 1):
            got, error = await talk(port)
            whole, left = b"", cut
            for frame, body in SESSION:
                left -= len(frame)
                whole += body if left >= 0 else b""
            if how == "end":
                assert got == whole, cut
                assert (error is None) is (cut == len(said)), cut
            assert whole.startswith(got), cut
            assert error is None or isinstance(error, Unavailable), cut


# --- silence ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", [False, True])
async def test_a_peer_that_stops_answering_is_noticed(reads: bool) -> None:
    async def judge(far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.accept()
        while reads:
            await far.hear(answer=False)
        await anyio.sleep_forever()

    async with before(judge, ping_interval=0.05, ping_timeout=0.05) as link:
        began = anyio.current_time()
        error = await end_of(link)
        assert isinstance(error, Unavailable)
        assert "half-open" in error.what
        assert anyio.current_time() - began < 0.1 + 1.0, "a busy machine is granted much"


async def test_a_peer_that_answers_pings_may_be_silent() -> None:
    async def judge(far: Far) -> None:
        await far.until(ev.RequestReceived)
        for _ in range(5):
            await far.until(ev.PingReceived)
        await far.accept()
        await far.do("send_data", 1, b"here", end_stream=True)
        await end(far)

    async with before(judge, ping_interval=0.02, ping_timeout=0.5) as link:
        assert await link.receive() == (b"here",)


async def end(far: Far) -> None:
    with suppress(anyio.EndOfStream):
        while True:
            await far.hear()


@pytest.mark.parametrize("way", ["mute", "cancelled"])
async def test_a_peer_that_never_ends_is_left_behind_in_time(way: str) -> None:
    told = anyio.Event()

    async def judge(far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.accept()
        await far.do("send_data", 1, b"x")
        assert (await far.until(ev.StreamReset)).error_code == 8
        await far.until(ev.ConnectionTerminated)
        told.set()

    async with no_leaks(within=1.0), judged(judge) as port:
        patience = 60 if way == "cancelled" else 0.1
        endpoint = Endpoint(url=f"http://127.0.0.1:{port}", close_timeout=patience)
        began = anyio.current_time()
        with anyio.move_on_after(0.1 if way == "cancelled" else 60) as scope:
            async with http2(endpoint)(PLAN) as link:
                await link.receive()
                if way == "cancelled":
                    await link.receive()
        assert scope.cancelled_caught is (way == "cancelled")
        assert 0.1 <= anyio.current_time() - began < 1.1
        with anyio.fail_after(5):
            await told.wait()


# --- the way there ----------------------------------------------------------------------------


async def test_a_proxy() -> None:
    server, client = trusted()
    heads = list[bytes]()
    async with no_leaks(within=1.0), serve(echo, ssl=server) as (host, port), proxied(heads) as by:
        endpoint = Endpoint(
            url=f"https://{host}:{port}", ssl=client, proxy=f"http://u:pw@127.0.0.1:{by}"
        )
        async with http2(endpoint)(PLAN) as link:
            await link.send((b"through",))
            assert await body_of(link, 7) == b"through"
    assert heads[0].startswith(f"CONNECT {host}:{port} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    "url",
    ["ws://h", "http://", "h:1", "http://u:p@h", "http://h:x", "http://h/\n", "http://h/ x", ""],
)
async def test_addresses_that_are_none(url: str) -> None:
    assert isinstance(await refusal_of(Endpoint(url=url)), InvalidRequest)


async def test_headers_that_cannot_be_sent() -> None:
    async with serve(echo) as (host, port):
        url = f"http://{host}:{port}"
        for value in ("a\nb", Secret("a\nb"), "\u20ac"):
            error = await refusal_of(Endpoint(url=url, headers={"k": value}))
            assert isinstance(error, InvalidRequest)


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = await refusal_of(Endpoint(url=f"http://127.0.0.1:{port}"))
    assert isinstance(error, Unavailable)


async def test_a_server_that_hangs_and_one_that_is_not_trusted() -> None:
    server, client = trusted()

    async def mute(stream: SocketStream) -> None:
        await stream.receive()
        await anyio.sleep_forever()

    async with no_leaks(within=1.0), bare(mute) as port:
        endpoint = Endpoint(url=f"https://127.0.0.1:{port}", ssl=client, open_timeout=0.1)
        assert isinstance(await refusal_of(endpoint), TimedOut)
    async with no_leaks(within=1.0), serve(echo, ssl=server) as (host, port):
        error = await refusal_of(Endpoint(url=f"https://{host}:{port}"))
        assert isinstance(error, InvalidRequest)
        assert "trusted" in error.what


@pytest.mark.parametrize("offered", [[], ["http/1.1"]])
async def test_a_server_that_does_not_speak_it(offered: list[str]) -> None:
    server, client = trusted()
    server.set_alpn_protocols(offered)
    async with no_leaks(within=1.0), tls_only(server) as port:
        error = await refusal_of(Endpoint(url=f"https://127.0.0.1:{port}", ssl=client))
        assert isinstance(error, InvalidRequest | Unavailable)


@asynccontextmanager
async def tls_only(context: ssl.SSLContext) -> AsyncGenerator[int]:
    from anyio.streams.tls import TLSStream

    async def script(stream: SocketStream) -> None:
        try:
            secure = await TLSStream.wrap(
                stream, server_side=True, ssl_context=context, standard_compatible=False
            )
            await secure.receive()
        except ssl.SSLError:
            return

    async with bare(script) as port:
        yield port


async def test_the_name_of_a_proxy_password_does_not_show() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    endpoint = Endpoint(url="https://h", proxy=f"http://u:s3cret@127.0.0.1:{port}")
    assert "s3cret" not in str(await refusal_of(endpoint))


async def test_no_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(served: Served) -> None:
        served.respond(200, {"x-back": served.request.headers["k"]})

    with caplog.at_level(logging.DEBUG):
        async with dialled(handler, headers={"k": Secret("s3cret")}) as link:
            assert (await link.answered()).headers["x-back"] == "s3cret"
            assert await end_of(link) is None
    assert "s3cret" not in caplog.text
    assert "Decoded" not in caplog.text


# --- the server -------------------------------------------------------------------------------


async def test_a_client_of_h2_s_own_at_our_server() -> None:
    """A server that has answered, and wants to hear no more, says that nothing is wrong."""

    async def handler(served: Served) -> None:
        request = served.request
        assert (request.method, request.path, request.headers["x"]) == ("POST", "/p?q", "1, 2")
        served.respond(201, {"y": "z"})
        await served.send(*[bytes(piece) async for piece in pieces(served, 100_000)])
        await served.end({"t": "u"})

    async def pieces(served: Served, size: int) -> AsyncGenerator[bytes]:
        while size > 0:
            for piece in await served.receive():
                assert isinstance(piece, bytes)
                size -= len(piece)
                yield piece

    async with (
        no_leaks(within=1.0),
        serve(handler, close_timeout=0.1) as (host, port),
        await anyio.connect_tcp(host, port) as stream,
    ):
        far = Far(Carried(stream), client=True)
        head = {":method": "POST", ":scheme": "http", ":authority": "h", ":path": "/p?q"}
        await far.do("send_headers", 1, [*head.items(), ("x", "1"), ("x", "2")])
        await far.until(ev.RemoteSettingsChanged)
        left = MUCH[:110_000]
        while left:
            await far.do("send_data", 1, left[:10_000])
            left = left[10_000:]
        answer = await far.until(ev.ResponseReceived)
        assert dict(answer.headers) == {b":status": b"201", b"y": b"z"}
        while len(far.bodies.get(1, b"")) < 100_000:
            await far.hear()
            await far.do("increment_flow_control_window", 60_000, 1)
            await far.do("increment_flow_control_window", 60_000)
        assert MUCH.startswith(far.bodies[1])
        assert dict((await far.until(ev.TrailersReceived)).headers) == {b"t": b"u"}
        assert (await far.until(ev.StreamReset)).error_code == 0


@pytest.mark.parametrize("size", [1, 8, 23, 24])
async def test_a_greeting_that_comes_in_pieces_takes_no_leave(size: int) -> None:
    cutter, data = Cutter(preface=True), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    frames = [frame for piece in pieces for frame in cutter.cut(piece)]
    assert b"".join(frames) == data
    assert not any(map(farewell, frames))


async def test_a_client_that_breaks_the_protocol_leaves_alone() -> None:
    async with no_leaks(within=1.0), serve(echo) as (host, port):
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"x" * 50):
            async with await anyio.connect_tcp(host, port) as stream:
                await stream.send(data)
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    while True:
                        await stream.receive()
        async with http2(Endpoint(url=f"http://{host}:{port}"))(PLAN) as link:
            await link.send((b"x",))
            assert await body_of(link, 1) == b"x"


async def test_a_client_with_which_no_keys_are_agreed_leaves_alone() -> None:
    server, client = trusted()
    async with no_leaks(within=1.0), serve(echo, ssl=server, open_timeout=0.1) as (host, port):
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16"):
            async with await anyio.connect_tcp(host, port) as stream:
                await stream.send(data)
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    while True:
                        await stream.receive()
        async with http2(Endpoint(url=f"https://{host}:{port}", ssl=client))(PLAN) as link:
            await link.send((b"x",))
            assert await body_of(link, 1) == b"x"


async def test_a_fault_of_a_handler_ends_the_server() -> None:
    async def handler(served: Served) -> None:
        raise ZeroDivisionError

    async def program() -> None:
        async with calling(handler) as caller, caller.request({}) as link:
            assert isinstance(await end_of(link), Unavailable)
            await anyio.sleep_forever()

    async with no_leaks(within=1.0):
        with pytest.raises(ZeroDivisionError):
            await program()


async def test_a_handler_that_does_not_answer() -> None:
    async def handler(served: Served) -> None:
        await served.receive()

    async with dialled(handler) as link:
        await link.send((b"x",))
        error = await end_of(link)
        assert isinstance(error, Unavailable)
        assert error.code == "INTERNAL_ERROR"


async def test_answering_somebody_who_is_gone() -> None:
    gone = anyio.Event()

    async def handler(served: Served) -> None:
        with pytest.raises(RealtimeException):
            await served.receive()
        with pytest.raises(anyio.BrokenResourceError):
            served.respond()
        gone.set()

    async with no_leaks(within=1.0), calling(handler) as caller:
        caller.request({}).reset()
        with anyio.fail_after(5):
            await gone.wait()


async def test_leaving_the_server_closes_what_is_open() -> None:
    async with no_leaks(within=1.0):
        asked = anyio.Event()

        async def handler(served: Served) -> None:
            asked.set()
            await anyio.sleep_forever()

        async def client(url: str) -> None:
            async with http2(Endpoint(url=url))(PLAN) as link:
                assert isinstance(await end_of(link), Unavailable)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks, serve(handler, host="::1") as at:
                tasks.start_soon(client, f"http://[{at[0]}]:{at[1]}")
                await asked.wait()


def test_codes() -> None:
    assert stopped(0, "bye") is None
    error = stopped(2, "why\nso")
    assert error is not None
    assert error.cause == "why so"
