"""Faults between a session and its server, over real sockets: each ends as is stated, and soon."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal, NamedTuple

import anyio
import pytest
from anyio.abc import SocketStream
from websockets.utils import accept_key

from realtime_core import (
    AudioOutput,
    AuthFailed,
    CommitAudio,
    ContentFiltered,
    Disconnected,
    Frame,
    IncompleteTurn,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    ResponseDone,
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
from realtime_core.transports.websocket_server import ServedSocket, serve
from realtime_gemini.server import Caller, Loopback, Script, loopback
from tests.core.transports.loopback import bare, head_of
from tests.providers.gemini.proxy import Fate, How, proxied
from tests.providers.gemini.watching import (
    PLAIN,
    SECURE,
    Way,
    ended,
    ours,
    unopened,
    until,
    watched,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("silent")]

SOUND = bytes(4_800)
READY = b'{"setupComplete":{}}'


@asynccontextmanager
async def scripted(script: Script, way: Way, *, welcome: bool = True) -> AsyncGenerator[Loopback]:
    """Run a server, under watch."""
    async with watched(), loopback(script, ssl=way.server, welcome=welcome) as here:
        yield here


class Close(NamedTuple):
    """How a server breaks off, and what that means; without a code it says nothing."""

    code: int | None
    reason: str
    kind: type[RealtimeError]

    async def by(self, caller: Caller) -> None:
        if self.code is None:
            caller.drop()
        else:
            await caller.close(self.code, self.reason)

    def check(self, error: RealtimeError | None) -> None:
        assert type(error) is self.kind
        assert error.retryable is issubclass(self.kind, Unavailable | SessionExpired | RateLimited)
        if self.code != 1000:
            assert error.code == str(self.code or 1006)
            assert self.reason in error.what
        assert error.cause


CLOSES = [
    Close(1000, "", Unavailable),
    Close(1001, "going away", SessionExpired),
    Close(None, "", Unavailable),
    Close(1007, "Request contains an invalid argument.", InvalidRequest),
    Close(1007, "API key not valid. Please pass a valid API key.", AuthFailed),
    Close(1008, "models/x is not found for API version v1beta.", InvalidRequest),
    Close(1008, "Requested entity was not found.", InvalidRequest),
    Close(1008, "Your project has been denied permission.", AuthFailed),
    Close(1008, "The session duration limit was reached.", SessionExpired),
    Close(1009, "message too big", InvalidRequest),
    Close(1011, "Internal error encountered.", Unavailable),
    Close(1011, "You exceeded your current quota.", RateLimited),
    Close(1011, "Deadline expired before operation could complete.", SessionExpired),
    Close(1012, "", Unavailable),
    Close(4999, "", Unavailable),
]
closes = pytest.mark.parametrize("close", CLOSES, ids=lambda one: f"{one.code} {one.reason}"[:30])


# --- closed -----------------------------------------------------------------------------------


EARLY = [(False, PLAIN), (True, PLAIN), (True, SECURE)]


@closes
@pytest.mark.parametrize(("heard", "way"), EARLY, ids=["at once", "plain", "tls"])
async def test_closed_before_the_setup_is_complete(close: Close, heard: bool, way: Way) -> None:
    async def script(caller: Caller) -> None:
        if heard:
            await caller.until("setup")
        await close.by(caller)

    async with scripted(script, way, welcome=False) as here:
        close.check(await unopened(ours(here.base_url, way)))


@closes
async def test_closed_while_nobody_speaks(close: Close) -> None:
    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.answer("Hello.", pcm=SOUND)
        await caller.until("realtime_input.audio_stream_end")
        await close.by(caller)

    async with (
        scripted(script, SECURE) as here,
        open_session(ours(here.base_url, SECURE)) as session,
    ):
        events, seen = session.events(), list[RealtimeEvent]()
        await session.simple_response("Hi")
        await until(events, ResponseDone, seen)
        await session.send(CommitAudio())
        close.check(await ended(session, events, seen))
        assert [one.status for one in seen if isinstance(one, ResponseDone)] == ["completed"]


async def begin(caller: Caller) -> None:
    """Wait for a typed turn, and begin to answer it."""
    await caller.turn()
    await caller.answer("Once", pcm=SOUND, pieces=1, complete=False)


async def answered(session: RealtimeSession[Frame], events: Events) -> list[RealtimeEvent]:
    """Ask, and take events until the answer sounds."""
    seen = list[RealtimeEvent]()
    await session.simple_response("Hi")
    await until(events, AudioOutput, seen)
    return seen


async def lost(
    script: Callable[[Caller], Awaitable[None]], way: Way
) -> tuple[RealtimeError | None, list[RealtimeEvent]]:
    """Let an answer be lost in its middle; gives what was told, and why it ended."""
    sounds = anyio.Event()

    async def play(caller: Caller) -> None:
        await begin(caller)
        await sounds.wait()
        await script(caller)

    async with scripted(play, way) as here, open_session(ours(here.base_url, way)) as session:
        assert session.connected
        events = session.events()
        seen = await answered(session, events)
        sounds.set()
        error = await ended(session, events, seen)
        (done,) = (event for event in seen if isinstance(event, ResponseDone))
        assert (done.status, done.by_provider, done.error) == ("lost", False, error)
    return error, seen


@closes
async def test_closed_in_the_middle_of_an_answer(close: Close, way: Way) -> None:
    error, _ = await lost(close.by, way)
    close.check(error)


@pytest.mark.parametrize(
    ("reason", "status", "kind"),
    [
        ("PROHIBITED_INPUT_CONTENT", "failed", ContentFiltered),
        ("MALFORMED_FUNCTION_CALL", "failed", IncompleteTurn),
        ("SOMETHING_NEW", "incomplete", IncompleteTurn),
    ],
)
async def test_an_answer_that_ends_badly_fails_alone(
    reason: str, status: str, kind: type[RealtimeError], way: Way
) -> None:
    async def script(caller: Caller) -> None:
        await begin(caller)
        await caller.complete(reason=reason)
        await caller.turn()
        await caller.answer("Hello.")
        await caller.next()

    async with scripted(script, way) as here, open_session(ours(here.base_url, way)) as session:
        events = session.events()
        await answered(session, events)
        done = await until(events, ResponseDone)
        assert (done.status, type(done.error)) == (status, kind)
        assert session.connected
        await session.simple_response("And now?")
        assert (await until(events, ResponseDone)).status == "completed"


# --- no way in --------------------------------------------------------------------------------


@pytest.mark.parametrize("tries", [0, 2])
async def test_a_refused_connection(tries: int, way: Way) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    async with watched():
        error = await unopened(ours(way.base_url(port), way), retry=Recurs(tries))
        assert isinstance(error, Unavailable)
        assert "127.0.0.1" in error.what


@pytest.mark.parametrize("far", ["accepts nothing", "says nothing", "upgrades", "hangs up"])
async def test_a_mute_server(far: str, way: Way) -> None:
    """The session's own deadline holds, whatever the server has not done by then."""

    async def stream(one: SocketStream) -> None:
        if far == "hangs up":
            return
        if far == "upgrades" and not way.secure:
            await one.send(_consent(await head_of(one)))
        while True:
            await one.receive()

    async with watched():
        if far == "accepts nothing":
            full = socket.create_server(("127.0.0.1", 0), backlog=0)
            with full, socket.create_connection(full.getsockname()):
                error = await _mute(full.getsockname()[1], way)
        else:
            async with bare(stream) as port:
                error = await _mute(port, way)
    if far == "hangs up":
        assert isinstance(error, Unavailable)
    else:
        assert isinstance(error, TimedOut)
        assert "did not acknowledge the session within 0.2 s" in error.what


async def _mute(port: int, way: Way) -> RealtimeError:
    return await unopened(ours(way.base_url(port), way), connect_timeout=0.2)


def _consent(request: bytes) -> bytes:
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode()
    )


async def test_a_server_that_nobody_vouches_for_is_not_told_the_key() -> None:
    heard = list[Caller]()

    async def script(caller: Caller) -> None:
        heard.append(caller)

    async with scripted(script, SECURE) as here:
        error = await unopened(ours(here.base_url))
        assert isinstance(error, InvalidRequest)
        assert "not trusted" in error.what
    assert not heard


@pytest.mark.parametrize("speaks", [PLAIN, SECURE], ids=["plain", "tls"])
async def test_one_side_speaks_tls_and_the_other_does_not(speaks: Way) -> None:
    async def script(caller: Caller) -> None:
        raise AssertionError(caller.number)

    other = PLAIN if speaks.secure else SECURE
    async with scripted(script, other) as here:
        error = await unopened(ours(speaks.base_url(here.served.port), speaks))
        assert isinstance(error, Unavailable)


# --- half-open --------------------------------------------------------------------------------

PATIENCE = (0.1, 0.2)


async def test_a_heartbeat_keeps_a_session_in_which_nothing_is_said(way: Way) -> None:
    """The server answers pings and says nothing else, for longer than would mean a loss."""

    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.answer("Hello.", pcm=SOUND)
        await caller.next()

    async with (
        scripted(script, way) as here,
        open_session(ours(here.base_url, way, PATIENCE)) as session,
    ):
        await anyio.sleep(1.5 * sum(PATIENCE))
        assert session.connected
        await session.simple_response("Hi")
        assert (await until(session.events(), ResponseDone)).status == "completed"


async def test_bytes_that_vanish_in_the_middle_of_an_answer(way: Way) -> None:
    """Neither side hears of it; the session does by its heartbeat."""

    async def script(caller: Caller) -> None:
        await begin(caller)
        await caller.next()

    async with scripted(script, way) as here, proxied(here.served.port) as proxy:
        provider = ours(way.base_url(proxy.port), way, PATIENCE)
        async with open_session(provider) as session:
            events = session.events()
            seen = await answered(session, events)
            proxy.breaks("vanish")
            start = anyio.current_time()
            error = await ended(session, events, seen)
            assert 0.1 < anyio.current_time() - start < 5.0
        assert isinstance(error, Unavailable)
        assert "half-open" in error.what
        (done,) = (event for event in seen if isinstance(event, ResponseDone))
        assert (done.status, done.error) == ("lost", error)


async def test_a_peer_that_falls_silent_before_the_setup_is_complete(way: Way) -> None:
    async def deaf(served: ServedSocket) -> None:
        await anyio.sleep_forever()

    async with watched(), serve(deaf, ssl=way.server) as (_, port):
        error = await unopened(ours(way.base_url(port), way, PATIENCE))
        assert isinstance(error, Unavailable)
        assert "half-open" in error.what


# --- slow, and cut at every byte --------------------------------------------------------------


SAMPLE = 40


async def short(caller: Caller) -> None:
    """A short session: one turn, answered in three messages and the ends, then a farewell."""
    await caller.turn()
    await caller.answer("Hi you", pcm=SOUND[:48], pieces=2)


async def converse(provider: Provider[Frame]) -> list[RealtimeEvent]:
    """Hold that session, however it ends; gives its events, or the error in a last one."""
    seen = list[RealtimeEvent]()
    try:
        async with open_session(provider) as session:
            events = session.events()
            with suppress(RealtimeException):
                await session.simple_response("Hi")
            seen += [event async for event in events]
            assert not session.connected
    except RealtimeException as refusal:
        error = refusal.error
        return [Disconnected(reason=error.what, clean=False, error=error)]
    assert not check_trace(seen, complete=True)
    return seen


@pytest.mark.parametrize("fate", [Fate(piece=7), Fate(piece=70, pace=0.001)])
async def test_a_slow_way_loses_nothing(fate: Fate, way: Way) -> None:
    """Bytes in handfuls: frames of TLS and of the WebSocket, heads and messages, all are torn."""
    async with scripted(short, way) as here, proxied(here.served.port) as proxy:
        proxy.fates.append(fate)
        seen = await converse(ours(way.base_url(proxy.port), way))
        assert sum(len(one.pcm) for one in seen if isinstance(one, AudioOutput)) == 48
        (done,) = (one for one in seen if isinstance(one, ResponseDone))
        assert done.status == "completed"


@pytest.mark.parametrize("how", ["reset", "end"])
@pytest.mark.parametrize("side", ["down", "up"])
async def test_cut_at_every_byte(side: Literal["down", "up"], how: How, way: Way) -> None:
    """Handshakes included: of whatever is lost, the session knows soon, and says so once.

    Of all bytes a sample is tried, spread evenly.
    """
    ranks = list[int]()
    async with scripted(short, way) as here, proxied(here.served.port) as proxy:
        provider = ours(way.base_url(proxy.port), way)
        await converse(provider)
        whole = getattr(proxy.passages[0], side)
        for cut in sorted({*range(1, whole, max(1, whole // SAMPLE)), whole - 1}):
            proxy.fates.append(Fate(how, **{side: cut}))
            seen = await converse(provider)
            assert isinstance(seen[-1], Disconnected)
            assert isinstance(seen[-1].error, Unavailable)
            ends = [one.status for one in seen if isinstance(one, ResponseDone)]
            assert len([one for one in seen if isinstance(one, ResponseStarted)]) <= len(ends)
            ranks.append(["", "lost", "completed"].index("".join(ends)))
    if how == "end" and side == "down":
        assert ranks == sorted(ranks), "more bytes never tell less"
        assert set(ranks) == {0, 1, 2}
