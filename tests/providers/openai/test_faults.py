"""Faults between a session and its server, over real sockets: each ends as is stated, and soon."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import pytest
from anyio.abc import SocketStream
from websockets.frames import Frame as Piece
from websockets.frames import Opcode
from websockets.utils import accept_key

from realtime_core import (
    AgentTranscript,
    AudioFormat,
    AudioOutput,
    AuthFailed,
    Disconnected,
    Error,
    Frame,
    InvalidRequest,
    ItemId,
    RateLimited,
    RealtimeError,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    RequestId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    SessionExpired,
    TimedOut,
    Unavailable,
    open_session,
)
from realtime_core.provider import Provider
from realtime_core.schedule import Recurs
from realtime_core.session import Events
from realtime_core.testing.conformance import check_trace
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_core.transports.websocket_server import ServedSocket, serve
from realtime_openai import client_events as client
from realtime_openai import server_events as server
from realtime_openai.codec import OpenAICodec, agree
from realtime_openai.dialect import GA
from realtime_openai.failures import closed
from realtime_openai.refusal import refused
from realtime_openai.server import Caller, Loopback, Script, loopback
from tests.core.transports.loopback import bare, head_of, reset
from tests.providers.openai.watching import ended, ours, unopened, until, watched

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("silent")]

R, ITEM = ResponseId("r"), ItemId("i")
SOUND = AudioOutput(response=R, item=ITEM, pcm=bytes(4_800), format=AudioFormat())
UPDATED = b'{"type":"session.updated","session":{}}'
HOUR = "Your session hit the maximum duration of 60 minutes."


@asynccontextmanager
async def scripted(script: Script, *, mirrored: bool = True) -> AsyncGenerator[Loopback]:
    """Run a server, under watch."""
    async with watched(), loopback(script, mirrored=mirrored) as here:
        yield here


class Close(NamedTuple):
    """How a server breaks off, and what that means; without a code it says nothing."""

    code: int | None
    reason: str
    kind: type[RealtimeError]
    named: str = ""

    async def by(self, caller: Caller) -> None:
        if self.code is None:
            await caller.say()
            caller.abort()
        else:
            await caller.close(self.code, self.reason)

    def check(self, error: RealtimeError | None) -> None:
        assert type(error) is self.kind
        assert error.code == (self.named or str(self.code or 1006))
        assert error.retryable is issubclass(self.kind, Unavailable | SessionExpired)
        assert self.reason in error.what
        assert error.cause


CLOSES = [
    Close(1001, HOUR, SessionExpired),
    Close(1001, "going away", Unavailable),
    Close(None, "", Unavailable),
    Close(1008, "policy", AuthFailed),
    Close(1009, "too big", InvalidRequest),
    Close(1011, "keepalive ping timeout", Unavailable),
    Close(1012, "", Unavailable),
    Close(3000, "invalid_request_error.invalid_api_key", AuthFailed, "invalid_api_key"),
    Close(3000, "", AuthFailed),
    Close(4000, "invalid_request_error.invalid_model", InvalidRequest, "invalid_model"),
    Close(4000, "insufficient_quota.insufficient_quota", AuthFailed, "insufficient_quota"),
]
closes = pytest.mark.parametrize("close", CLOSES, ids=lambda one: f"{one.code} {one.reason}")


# --- before the session is acknowledged -------------------------------------------------------


@closes
async def test_closed_before_the_acknowledgement(close: Close) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.UpdateSession)
        await close.by(caller)

    async with scripted(script, mirrored=False) as here:
        close.check(await unopened(ours(here.base_url)))


async def test_closed_in_good_order_before_the_acknowledgement() -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.UpdateSession)

    async with scripted(script, mirrored=False) as here:
        error = await unopened(ours(here.base_url))
        assert isinstance(error, Unavailable)


class Told(NamedTuple):
    """An error event, the close behind it, and what both mean."""

    category: str
    code: str | None
    close: int
    kind: type[RealtimeError]

    async def by(self, caller: Caller) -> None:
        details = server.ErrorDetails(type=self.category, code=self.code, message="No.")
        await caller.say(server.Fault(error=details))
        await caller.close(self.close, f"{self.category}.{self.code or ''}")


REFUSALS = [
    Told("invalid_request_error", "invalid_api_key", 3000, AuthFailed),
    Told("invalid_request_error", "invalid_model", 4000, InvalidRequest),
    Told("invalid_request_error", "beta_api_shape_disabled", 4000, InvalidRequest),
    Told("insufficient_quota", "insufficient_quota", 4000, AuthFailed),
    Told("rate_limit_error", None, 4000, RateLimited),
    Told("server_error", None, 1011, Unavailable),
    Told("session_expired", None, 1001, SessionExpired),
]


refusals = pytest.mark.parametrize("told", REFUSALS, ids=lambda one: f"{one.category} {one.code}")


@pytest.mark.parametrize("crossing", [True, False], ids=["at once", "after our greeting"])
@refusals
async def test_an_error_before_the_acknowledgement_says_more_than_the_close(
    told: Told, crossing: bool
) -> None:
    async def script(caller: Caller) -> None:
        if not crossing:
            await caller.say(server.SessionCreated())
            await caller.until(client.UpdateSession)
        await told.by(caller)

    async with scripted(script, mirrored=False) as here:
        error = await unopened(ours(here.base_url), retry=Recurs(1))
        assert type(error) is told.kind
        assert (error.what, error.code) == ("No.", told.code or told.category)
        assert len(here.callers) == 1 + error.retryable


# --- in the middle of an answer ---------------------------------------------------------------


async def begin(caller: Caller) -> None:
    """Wait for a request, and begin to answer it."""
    await caller.until(client.Create)
    waiting = RequestId(next(iter(caller.desk.book.wishes)))
    words = AgentTranscript(response=R, item=ITEM, text="Once", final=False)
    await caller.say(ResponseStarted(response=R, request=waiting), words, SOUND)


async def answered(session: RealtimeSession[Frame], events: Events) -> list[RealtimeEvent]:
    """Ask, and take events until the answer sounds."""
    seen = list[RealtimeEvent]()
    await session.simple_response("Hi")
    async for event in events:
        seen.append(event)
        if isinstance(event, AudioOutput):
            break
    return seen


async def lost(
    script: Callable[[Caller], Awaitable[None]],
) -> tuple[RealtimeError | None, list[RealtimeEvent]]:
    """Let an answer be lost in its middle; gives what was told, and why it ended."""
    sounds = anyio.Event()

    async def play(caller: Caller) -> None:
        await begin(caller)
        await sounds.wait()
        await script(caller)

    async with scripted(play) as here, open_session(ours(here.base_url)) as session:
        assert session.connected
        events = session.events()
        seen = await answered(session, events)
        sounds.set()
        error = await ended(session, events, seen)
        (done,) = (event for event in seen if isinstance(event, ResponseDone))
        assert (done.response, done.status, done.by_provider) == (R, "lost", False)
        assert done.error == error
    return error, seen


@closes
async def test_closed_in_the_middle_of_an_answer(close: Close) -> None:
    error, _ = await lost(close.by)
    close.check(error)


async def test_closed_in_good_order_in_the_middle_of_an_answer() -> None:
    """The provider may leave when it likes, but an answer that it owes is lost."""
    error, _ = await lost(lambda caller: caller.close(1000, "bye"))
    assert isinstance(error, Unavailable)


@refusals
async def test_an_error_and_a_close_in_the_middle_of_an_answer(told: Told) -> None:
    error, seen = await lost(told.by)
    (complaint,) = (event for event in seen if isinstance(event, Error))
    assert type(error) is type(complaint.error) is told.kind
    assert (complaint.error.what, complaint.recoverable) == ("No.", True)


async def test_an_answer_without_credit_fails_alone() -> None:
    failed = AuthFailed(what="No.", code="insufficient_quota")

    async def script(caller: Caller) -> None:
        await begin(caller)
        await caller.say(ResponseDone(response=R, status="failed", error=failed))
        await caller.until(client.Create)
        await caller.answer("Hello.")
        await caller.next()

    async with scripted(script) as here, open_session(ours(here.base_url)) as session:
        events = session.events()
        await answered(session, events)
        done = await until(events, ResponseDone)
        assert (done.status, type(done.error)) == ("failed", AuthFailed)
        assert session.connected
        await session.simple_response("And now?")
        assert (await until(events, ResponseDone)).status == "completed"


# --- no way in --------------------------------------------------------------------------------


@pytest.mark.parametrize("tries", [0, 2])
async def test_a_refused_connection(tries: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    async with watched():
        error = await unopened(ours(f"http://127.0.0.1:{port}/v1"), retry=Recurs(tries))
        assert isinstance(error, Unavailable)
        assert "127.0.0.1" in error.what


@pytest.mark.parametrize("far", ["accepts nothing", "upgrades nothing", "acknowledges nothing"])
async def test_a_mute_server(far: str) -> None:
    """The session's own deadline holds, whatever the server has not done by then."""

    async def stream(one: SocketStream) -> None:
        while far == "upgrades nothing":
            await one.receive()
        await _upgrade(one)
        while True:
            await one.receive()

    async with watched():
        if far == "accepts nothing":
            full = socket.create_server(("127.0.0.1", 0), backlog=0)
            with full, socket.create_connection(full.getsockname()):
                error = await _mute(full.getsockname()[1])
        else:
            async with bare(stream) as port:
                error = await _mute(port)
    assert isinstance(error, TimedOut)
    assert "did not acknowledge the session within 0.2 s" in error.what


async def _mute(port: int) -> RealtimeError:
    return await unopened(ours(f"http://127.0.0.1:{port}/v1"), connect_timeout=0.2)


async def _upgrade(stream: SocketStream) -> int:
    """Accept an upgrade; gives how many bytes that took."""
    said = _consent(await head_of(stream))
    await stream.send(said)
    return len(said)


def _consent(request: bytes) -> bytes:
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode()
    )


# --- half-open --------------------------------------------------------------------------------

ANSWER = (
    b'{"type":"response.created","response":{"id":"r"}}',
    b'{"type":"response.output_text.delta","response_id":"r","item_id":"i","delta":"Hi"}',
)


def pinging(host: str, port: int) -> Provider[Frame]:
    """Make the provider with less patience than its own."""
    endpoint = Endpoint(
        url=f"ws://{host}:{port}/v1/realtime",
        failure=closed,
        refusal=refused,
        ping_interval=0.1,
        ping_timeout=0.2,
    )
    return Provider("openai", GA.capabilities, OpenAICodec(GA), websocket(endpoint), agree=agree)


async def test_a_peer_that_falls_silent_in_the_middle_of_an_answer_is_lost() -> None:
    async def deaf(served: ServedSocket) -> None:
        await served.receive()
        await served.send((UPDATED, *ANSWER))
        await anyio.sleep_forever()

    async with watched(), serve(deaf) as address:
        start = anyio.current_time()
        async with open_session(pinging(*address)) as session:
            seen = list[RealtimeEvent]()
            error = await ended(session, session.events(), seen)
        assert 0.2 < anyio.current_time() - start < 5.0
        assert isinstance(error, Unavailable)
        assert "half-open" in error.what
        (done,) = (event for event in seen if isinstance(event, ResponseDone))
        assert (done.status, done.error) == ("lost", error)


async def test_a_peer_that_falls_silent_before_the_acknowledgement_is_lost() -> None:
    async def deaf(served: ServedSocket) -> None:
        await anyio.sleep_forever()

    async with watched(), serve(deaf) as address:
        error = await unopened(pinging(*address))
        assert isinstance(error, Unavailable)
        assert "half-open" in error.what


# --- cut at every byte ------------------------------------------------------------------------


DONE = b'{"type":"response.done","response":{"id":"r","status":"completed"}}'
SAID = [Piece(Opcode.TEXT, one).serialize(mask=False) for one in (UPDATED, *ANSWER, DONE)]
BYE = Piece(Opcode.CLOSE, b"\x03\xe8bye").serialize(mask=False)


@pytest.mark.parametrize("how", ["reset", "end"])
async def test_cut_at_every_byte(how: str) -> None:
    """The upgrade included. What was whole counts, and nothing else; a reset may eat some of it."""
    cut, upgrade = 0, [0]

    async def far(stream: SocketStream) -> None:
        consent = _consent(await head_of(stream))
        upgrade[:] = [len(consent)]
        await stream.send((consent + b"".join(SAID) + BYE)[:cut])
        if how == "reset":
            reset(stream)
        else:
            await stream.send_eof()
            await stream.receive()

    async with watched(60.0), bare(far) as port:
        provider = ours(f"http://127.0.0.1:{port}/v1")
        while cut <= upgrade[0] + len(b"".join(SAID)):
            whole = _whole(cut - upgrade[0]) if cut else -1
            await _cut(provider, whole, exact=how == "end")
            cut += 1


def _whole(length: int) -> int:
    """Count the messages that are whole in so many bytes."""
    ends = (sum(map(len, SAID[: place + 1])) for place in range(len(SAID)))
    return sum(end <= length for end in ends)


async def _cut(provider: Provider[Frame], whole: int, *, exact: bool) -> None:
    seen = list[RealtimeEvent]()
    error: RealtimeError | None = None
    try:
        async with open_session(provider) as session:
            async for event in session.events():
                seen.append(event)
            assert not session.connected
    except RealtimeException as refusal:
        error = refusal.error
    if seen:
        assert not check_trace(seen, complete=True)
        last = seen[-1]
        assert isinstance(last, Disconnected)
        error = last.error
    assert isinstance(error, Unavailable)
    assert bool(seen) is (whole >= 1) or (not seen and not exact)
    begun = [event for event in seen if isinstance(event, ResponseStarted)]
    ends = [event.status for event in seen if isinstance(event, ResponseDone)]
    assert len(begun) <= len(ends)
    if exact:
        assert ends == ([] if whole < 2 else ["completed"] if whole == 4 else ["lost"])
