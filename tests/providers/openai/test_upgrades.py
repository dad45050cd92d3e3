"""Doors that stay shut, and connections that are made anew, over real sockets."""

from __future__ import annotations

import json

import anyio
import pytest
from anyio.abc import SocketStream

from realtime_core import (
    AuthFailed,
    InvalidRequest,
    ItemId,
    ProtocolViolation,
    RateLimited,
    RealtimeError,
    RealtimeEvent,
    Reconnected,
    Recurs,
    RequestId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    SessionConfig,
    Spaced,
    ToolCall,
    ToolResult,
    ToolSpec,
    Unavailable,
    open_session,
)
from realtime_core.schedule import Schedule
from realtime_core.testing.conformance import check_trace
from realtime_core.transports.websocket_server import Request, Response
from realtime_openai import client_events as client
from realtime_openai.server import Caller, loopback
from tests.core.transports.loopback import bare, head_of, reset
from tests.providers.openai.watching import ended, items, ours, unopened, until, watched

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("silent")]


def said(**error: str) -> bytes:
    return json.dumps({"error": error}).encode()


async def nobody(caller: Caller) -> None:
    raise AssertionError(caller.path)


# --- refused ----------------------------------------------------------------------------------

REFUSALS: list[tuple[Response, type[RealtimeError], float | None]] = [
    (Response(401, {}, said(message="No.", code="invalid_api_key")), AuthFailed, None),
    (Response(401, {"WWW-Authenticate": "Bearer"}), AuthFailed, None),
    (Response(403, {}, b"<html>"), AuthFailed, None),
    (Response(404, {}, said(message="No.", code="model_not_found")), InvalidRequest, None),
    (Response(307, {"Location": "http://127.0.0.1:1/"}), InvalidRequest, None),
    (Response(429, {"Retry-After": "7"}, said(message="No.")), RateLimited, 7.0),
    (Response(429, {"Retry-After": "soon"}), RateLimited, None),
    (Response(429, {}, said(message="No.", type="insufficient_quota")), AuthFailed, None),
    (Response(500, {}, said(message="No.", type="server_error")), Unavailable, None),
    (Response(503, {"Retry-After": "120"}, b"\xff" * 1_000), Unavailable, 120.0),
    (Response(500, {}, b"[" * 500_000), Unavailable, None),
    (Response(200, {}, b"Welcome."), InvalidRequest, None),
]


@pytest.mark.parametrize(("response", "kind", "wait"), REFUSALS)
async def test_a_refused_upgrade_is_tried_again_only_where_that_may_help(
    response: Response, kind: type[RealtimeError], wait: float | None
) -> None:
    asked = list[Request]()

    def judge(request: Request) -> Response:
        asked.append(request)
        return response

    async with watched(), loopback(nobody, process_request=judge) as here:
        error = await unopened(ours(here.base_url), retry=Recurs(2).within(5.0))
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
    (b"\x15\x03\x01\x00\x02\x02\x16", Unavailable),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, ProtocolViolation),
    (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000, ProtocolViolation),
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
        error = await unopened(ours(f"http://127.0.0.1:{port}/v1"))
    assert type(error) is kind or (how == "reset" and isinstance(error, Unavailable))


# --- made anew --------------------------------------------------------------------------------

HOUR = "Your session hit the maximum duration of 60 minutes."
HALF = ResponseId("half")
WRITTEN = SessionConfig(model="gpt-test", modalities=("text",), tools=(ToolSpec("weather"),))


async def begin(caller: Caller) -> None:
    """Wait for a request, and answer half of it."""
    await caller.until(client.Create)
    waiting = RequestId(next(iter(caller.desk.book.wishes)))
    words = ResponseText(response=HALF, item=ItemId("half"), text="Half of", is_complete=False)
    await caller.say(ResponseStarted(response=HALF, request=waiting), words)


async def break_off(caller: Caller, code: int) -> None:
    if code == 1006:
        caller.abort()
    else:
        await caller.close(code, HOUR)


@pytest.mark.parametrize("retry", [Recurs(2), Spaced(0.02)], ids=["recurs", "spaced"])
@pytest.mark.parametrize("code", [1001, 1006, 1011])
async def test_the_conversation_goes_on_over_a_new_connection(code: int, retry: Schedule) -> None:
    heard = anyio.Event()

    async def script(caller: Caller) -> None:
        if caller.number == 1:
            await caller.until(client.Create)
            await caller.answer("Where were we?")
            await caller.next()
        await caller.until(client.Create)
        await caller.answer(calls=[("weather", {"city": "Paris"})])
        await caller.until(client.Create)
        await caller.answer("It rains.")
        await begin(caller)
        await heard.wait()
        await break_off(caller, code)

    async with watched(), loopback(script) as here:
        async with open_session(ours(here.base_url), WRITTEN, retry=retry) as session:
            events, seen = session.events(), list[RealtimeEvent]()
            await session.simple_response("How is the weather?")
            call = await until(events, ToolCall, seen)
            await session.send(ToolResult(call.call, "rain"))
            await until(events, ResponseText, seen)
            await session.simple_response("And then?")
            while (await until(events, ResponseText, seen)).response != HALF:
                pass
            heard.set()
            again = await until(events, Reconnected, seen)
            assert (again.restored, again.conn) == ("history", 1)
            (lost,) = (
                one for one in seen if isinstance(one, ResponseDone) and one.response == HALF
            )
            assert (lost.status, lost.by_provider) == ("lost", False)
            await session.simple_response("Go on.")
            while (await until(events, ResponseDone, seen)).conn == 0:
                pass
            assert session.connected
            assert not check_trace(seen)
        first, second = here.callers
        assert isinstance(second.received[0], client.UpdateSession)
        assert items(second) == [
            ("user", "How is the weather?"),
            ("weather", '{"city":"Paris"}'),
            ("output", "rain"),
            ("assistant", "It rains."),
            ("user", "And then?"),
            ("assistant", "Half of"),
            ("user", "Go on."),
        ]
        assert first.path == second.path


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (1008, "policy", AuthFailed),
        (1009, "too big", InvalidRequest),
        (3000, "invalid_request_error.invalid_api_key", AuthFailed),
        (4000, "invalid_request_error.invalid_model", InvalidRequest),
    ],
)
async def test_what_waiting_does_not_heal_is_not_tried_again(
    code: int, reason: str, kind: type[RealtimeError]
) -> None:
    async def script(caller: Caller) -> None:
        await begin(caller)
        await caller.close(code, reason)

    async with watched(), loopback(script) as here:
        async with open_session(ours(here.base_url), WRITTEN, retry=Recurs(5)) as session:
            await session.simple_response("Hi")
            assert isinstance(await ended(session, session.events(), []), kind)
        assert len(here.callers) == 1


@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [(401, AuthFailed, 1), (403, AuthFailed, 1), (404, InvalidRequest, 1), (500, Unavailable, 2)],
)
async def test_a_door_that_shuts_behind_a_session_ends_it(
    status: int, kind: type[RealtimeError], tries: int
) -> None:
    asked = list[Request]()

    def judge(request: Request) -> Response | None:
        asked.append(request)
        return Response(status) if len(asked) > 1 else None

    async def script(caller: Caller) -> None:
        await begin(caller)
        await caller.close(1001, HOUR)

    async with watched(), loopback(script, process_request=judge) as here:
        async with open_session(ours(here.base_url), WRITTEN, retry=Recurs(2)) as session:
            await session.simple_response("Hi")
            assert type(await ended(session, session.events(), [])) is kind
        assert len(asked) == 1 + tries


async def test_a_server_that_is_busy_at_first_is_waited_for() -> None:
    answers = [Response(503, {"Retry-After": "1"}), Response(429), None]

    async def script(caller: Caller) -> None:
        await caller.next()
        await caller.next()

    async with watched(), loopback(script, process_request=lambda _: answers.pop(0)) as here:
        async with open_session(ours(here.base_url), retry=Recurs(2)) as session:
            assert session.connected
        assert not answers


async def test_leaving_does_not_wait_for_the_next_try() -> None:
    async def script(caller: Caller) -> None:
        await begin(caller)
        await caller.close(1001, HOUR)

    async with watched(deadline=5.0), loopback(script) as here:
        async with open_session(ours(here.base_url), WRITTEN, retry=Spaced(60.0)) as session:
            await session.simple_response("Hi")
            await until(session.events(), ResponseDone)
            assert not session.connected
        assert len(here.callers) == 1
