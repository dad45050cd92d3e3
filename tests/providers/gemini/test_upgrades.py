"""Doors that stay shut, or open late, over real sockets."""

from __future__ import annotations

import json

import anyio
import pytest
from anyio.abc import SocketStream

from realtime_core import (
    AuthFailed,
    InvalidRequest,
    ProtocolViolation,
    RateLimited,
    RealtimeError,
    Recurs,
    ResponseDone,
    SessionExpired,
    Spaced,
    Unavailable,
    open_session,
)
from realtime_core.transports.websocket_server import Request, Response
from realtime_gemini.server import Caller, loopback
from tests.core.transports.loopback import bare, head_of, reset
from tests.providers.gemini.watching import Way, ended, ours, unopened, until, watched

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("silent")]


def said(status: str = "", reason: str = "", delay: str = "") -> bytes:
    """Write an error as the service does."""
    details = [{"reason": reason}] if reason else []
    details += [{"retryDelay": delay}] if delay else []
    return json.dumps({"error": {"message": "No.", "status": status, "details": details}}).encode()


async def nobody(caller: Caller) -> None:
    raise AssertionError(caller.number)


# --- refused ----------------------------------------------------------------------------------

REFUSALS: list[tuple[Response, type[RealtimeError], float | None]] = [
    (Response(400, {}, said("INVALID_ARGUMENT", "API_KEY_INVALID")), AuthFailed, None),
    (Response(400, {}, said("INVALID_ARGUMENT")), InvalidRequest, None),
    (Response(401, {"WWW-Authenticate": "Bearer"}, said("UNAUTHENTICATED")), AuthFailed, None),
    (Response(401), AuthFailed, None),
    (Response(403, {}, said("PERMISSION_DENIED")), AuthFailed, None),
    (Response(403, {}, b"<html>"), AuthFailed, None),
    (Response(404, {}, said("NOT_FOUND")), InvalidRequest, None),
    (Response(307, {"Location": "http://127.0.0.1:1/"}), InvalidRequest, None),
    (Response(429, {"Retry-After": "7"}, said("RESOURCE_EXHAUSTED")), RateLimited, 7.0),
    (Response(429, {}, said("RESOURCE_EXHAUSTED", delay="31.5s")), RateLimited, 31.5),
    (Response(429, {"Retry-After": "soon"}), RateLimited, None),
    (Response(500, {}, said("INTERNAL")), Unavailable, None),
    (Response(503, {"Retry-After": "120"}, b"\xff" * 1_000), Unavailable, 120.0),
    (Response(503, {}, said("UNAVAILABLE")), Unavailable, None),
    (Response(500, {}, b"[" * 500_000), Unavailable, None),
    (Response(200, {}, b"Welcome."), InvalidRequest, None),
]


@pytest.mark.parametrize(("response", "kind", "wait"), REFUSALS)
async def test_a_refused_upgrade_is_tried_again_only_where_that_may_help(
    response: Response, kind: type[RealtimeError], wait: float | None, way: Way
) -> None:
    asked = list[Request]()

    def judge(request: Request) -> Response:
        asked.append(request)
        return response

    async with watched(), loopback(nobody, ssl=way.server, process_request=judge) as here:
        error = await unopened(ours(here.base_url, way), retry=Recurs(2).within(5.0))
    assert type(error) is kind
    assert str(response.status) in error.what
    assert getattr(error, "retry_after", None) == wait
    assert len(asked) == (3 if error.retryable and wait is None else 1), "or it is too long to wait"


YES = b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
BARE: list[tuple[bytes, type[RealtimeError]]] = [
    (b"", Unavailable),
    (b"HTTP/1.1 101 Swit", Unavailable),
    (b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nhalf", Unavailable),
    (YES + b"\r\n", ProtocolViolation),
    (YES + b"Sec-WebSocket-Accept: bm90IHRoZSByaWdodCBvbmU=\r\n\r\n", ProtocolViolation),
    (b"SSH-2.0-OpenSSH_9.9\r\n", ProtocolViolation),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, ProtocolViolation),
    (b"HTTP/1.1 500 Oops\r\nContent-Length: 99999999999\r\n\r\n", ProtocolViolation),
]


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize(("answer", "kind"), BARE)
async def test_an_answer_that_is_none(answer: bytes, kind: type[RealtimeError], how: str) -> None:
    async def far(stream: SocketStream) -> None:
        await head_of(stream)
        await stream.send(answer)
        if how == "reset":
            reset(stream)

    async with watched(), bare(far) as port:
        error = await unopened(ours(f"http://127.0.0.1:{port}"))
    assert type(error) is kind or (how == "reset" and isinstance(error, Unavailable))


# --- open late, or no more --------------------------------------------------------------------


async def begin(caller: Caller) -> None:
    """Wait for a typed turn, and begin to answer it."""
    await caller.turn()
    await caller.answer("Once", pcm=bytes(480), pieces=1, complete=False)


async def test_a_server_that_is_busy_at_first_is_waited_for(way: Way) -> None:
    answers = [
        Response(503, {"Retry-After": "0"}),
        Response(429, {}, said(delay="0.05s")),
        None,
    ]
    start = anyio.current_time()

    async def script(caller: Caller) -> None:
        await caller.next()

    def judge(_: Request) -> Response | None:
        return answers.pop(0)

    async with watched(), loopback(script, ssl=way.server, process_request=judge) as here:
        async with open_session(ours(here.base_url, way), retry=Recurs(2)) as session:
            assert session.connected
            assert anyio.current_time() - start >= 0.05
        assert not answers


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (1007, "API key not valid.", AuthFailed),
        (1007, "Request contains an invalid argument.", InvalidRequest),
        (1008, "models/x is not found.", InvalidRequest),
        (1009, "too big", InvalidRequest),
    ],
)
async def test_what_waiting_does_not_heal_is_not_tried_again(
    code: int, reason: str, kind: type[RealtimeError], way: Way
) -> None:
    async def script(caller: Caller) -> None:
        await begin(caller)
        await caller.close(code, reason)

    async with watched(), loopback(script, ssl=way.server) as here:
        async with open_session(ours(here.base_url, way), retry=Recurs(5)) as session:
            await session.simple_response("Hi")
            assert isinstance(await ended(session, session.events(), []), kind)
        assert len(here.callers) == 1


@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [(401, AuthFailed, 1), (403, AuthFailed, 1), (404, InvalidRequest, 1), (500, Unavailable, 2)],
)
async def test_a_door_that_shuts_behind_a_session_ends_it(
    status: int, kind: type[RealtimeError], tries: int, way: Way
) -> None:
    asked = list[Request]()

    def judge(request: Request) -> Response | None:
        asked.append(request)
        return Response(status) if len(asked) > 1 else None

    async def script(caller: Caller) -> None:
        await begin(caller)
        await caller.close(1011, "Internal error encountered.")

    async with watched(), loopback(script, ssl=way.server, process_request=judge) as here:
        async with open_session(ours(here.base_url, way), retry=Recurs(2)) as session:
            await session.simple_response("Hi")
            assert type(await ended(session, session.events(), [])) is kind
        assert len(asked) == 1 + tries


async def test_leaving_does_not_wait_for_the_next_try() -> None:
    async def script(caller: Caller) -> None:
        await begin(caller)
        await caller.close(1001, "going away")

    async with watched(deadline=5.0), loopback(script) as here:
        async with open_session(ours(here.base_url), retry=Spaced(60.0)) as session:
            await session.simple_response("Hi")
            done = await until(session.events(), ResponseDone)
            assert isinstance(done.error, SessionExpired)
            assert not session.connected
        assert len(here.callers) == 1
