"""Faults between a session and its server, over real sockets: each ends as is stated, and soon."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import time
from typing import Literal, NamedTuple

import anyio
import pytest
from anyio.abc import SocketStream

from realtime_core import (
    AudioOutput,
    AuthFailed,
    Disconnected,
    Frame,
    Heard,
    InvalidRequest,
    ProtocolViolation,
    RateLimited,
    RealtimeError,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    Reconnected,
    ResponseDone,
    ResponseStarted,
    SessionExpired,
    TimedOut,
    Unavailable,
    open_session,
)
from realtime_core.events import Usage
from realtime_core.provider import Provider
from realtime_core.schedule import RECONNECT, Recurs
from realtime_core.session import Events
from realtime_core.testing.conformance import check_trace
from realtime_nova.server import Caller, Loopback, Script, loopback
from realtime_nova.server.telling import Voice, sounding
from tests.core.transports.loopback import bare
from tests.providers.gemini.proxy import Fate, How, proxied
from tests.providers.nova.watching import (
    KEYS,
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
HALF = sounding(Voice(begun=True, sound="content-0-1"), SOUND).events[0]
RETRYABLE = (Unavailable, SessionExpired, RateLimited, TimedOut)
BUSY = {"retry-after": "7"}


@asynccontextmanager
async def scripted(script: Script, way: Way, *, welcome: bool = True) -> AsyncGenerator[Loopback]:
    """Run a server, under watch."""
    here = loopback(script, ssl=way.server, credentials=KEYS, welcome=welcome)
    async with watched(), here as stage:
        yield stage


Act = Callable[[Caller], Awaitable[None]]


class Fault(NamedTuple):
    """What a server does, and what that means."""

    name: str
    act: Act
    kind: type[RealtimeError]
    says: str = ""
    code: str | None = None

    def check(self, error: RealtimeError | None) -> None:
        assert error is not None
        assert type(error) is self.kind
        assert error.retryable is issubclass(self.kind, RETRYABLE)
        assert self.says in str(error)
        assert self.code in {None, error.code}
        assert error.cause


def fails(name: str, kind: type[RealtimeError], message: str = "", says: str = "") -> Fault:
    """End the stream with an exception."""
    exception = f"{name}Exception"
    shown = f"{name} {message}".strip()

    async def act(caller: Caller) -> None:
        await caller.fail(exception, message)

    return Fault(shown, act, kind, says, exception)


def refuses(
    status: int, name: str, kind: type[RealtimeError], message: str = "", says: str = ""
) -> Fault:
    """Refuse the request."""

    async def act(caller: Caller) -> None:
        await caller.refuse(status, f"{name}Exception", message, BUSY)

    return Fault(f"{status} {name}", act, kind, says)


def resets(code: int, kind: type[RealtimeError], name: str) -> Fault:
    """Break the stream off with a code."""

    async def act(caller: Caller) -> None:
        caller.reset(code)

    return Fault(f"RST_STREAM {name}", act, kind, name, name)


def leaves(code: int, kind: type[RealtimeError], name: str) -> Fault:
    """Say GOAWAY, of this stream too, and break the connection off."""

    async def act(caller: Caller) -> None:
        caller.go_away(code, b"tired", last=0)
        await caller.desk.said()
        await caller.gone()

    return Fault(f"GOAWAY {name}", act, kind)


async def _drop(caller: Caller) -> None:
    caller.abort()


async def _close(caller: Caller) -> None:
    await caller.close()


async def _halve(caller: Caller) -> None:
    await caller.halve(HALF)


SILENT = "RST_STREAM closed stream. HTTP/2 error code: NO_ERROR (InternalErrorCode=531)"
FAULTS = [
    fails("throttling", RateLimited, "Too many tokens.", "Too many tokens."),
    fails("validation", InvalidRequest, "Invalid voice.", "Invalid voice."),
    fails("validation", SessionExpired, SILENT),
    fails("modelStreamError", Unavailable, "The model failed.", "The model failed."),
    fails("modelTimeout", TimedOut),
    fails("internalServer", Unavailable),
    fails("serviceUnavailable", Unavailable),
    fails("somethingNew", Unavailable),
    fails("accessDenied", AuthFailed, "arn:aws:iam::1:user/x"),
    resets(2, Unavailable, "INTERNAL_ERROR"),
    resets(7, Unavailable, "REFUSED_STREAM"),
    resets(11, RateLimited, "ENHANCE_YOUR_CALM"),
    resets(1, InvalidRequest, "PROTOCOL_ERROR"),
    leaves(0, Unavailable, "NO_ERROR"),
    leaves(11, RateLimited, "ENHANCE_YOUR_CALM"),
    Fault("cut off", _drop, Unavailable),
    Fault("over", _close, Unavailable),
]
HALVED = Fault("half", _halve, ProtocolViolation, "middle of a message")
REFUSALS = [
    refuses(403, "ExpiredToken", AuthFailed, "The security token is expired"),
    refuses(403, "AccessDenied", AuthFailed, "not authorized"),
    refuses(403, "InvalidSignature", AuthFailed, "does not match"),
    refuses(404, "ResourceNotFound", InvalidRequest, "no model", "no model"),
    refuses(400, "Validation", InvalidRequest, "bad", "bad"),
    refuses(429, "Throttling", RateLimited, "slow down", "slow down"),
    refuses(429, "ModelNotReady", Unavailable, "wait", "wait"),
    refuses(503, "ServiceUnavailable", Unavailable, "later", "later"),
]
SOME = FAULTS[::3]
"""Of each kind one."""


# --- ended by the service ---------------------------------------------------------------------


def each(faults: list[Fault]) -> pytest.MarkDecorator:
    """Try each of these."""
    return pytest.mark.parametrize("fault", faults, ids=[one.name[:40] for one in faults])


@each([*REFUSALS, *SOME, FAULTS[-1]])
async def test_ended_before_it_was_accepted(fault: Fault) -> None:
    async with scripted(fault.act, SECURE, welcome=False) as here:
        error = await unopened(ours(here.base_url, SECURE))
        fault.check(error)
        if fault in REFUSALS and isinstance(error, RateLimited | Unavailable):
            assert error.retry_after == 7.0


@each(SOME)
async def test_ended_while_nobody_speaks(fault: Fault) -> None:
    over = anyio.Event()

    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.answer("Hello.", pcm=SOUND)
        await over.wait()
        await fault.act(caller)

    async with (
        scripted(script, SECURE) as here,
        open_session(ours(here.base_url, SECURE)) as session,
    ):
        events, seen = session.events(), list[RealtimeEvent]()
        await session.simple_response("Hi")
        await until(events, ResponseDone, seen)
        over.set()
        fault.check(await ended(session, events, seen))
        assert [one.status for one in seen if isinstance(one, ResponseDone)] == ["completed"]


async def begin(caller: Caller) -> None:
    """Wait for a typed turn, and begin to answer it."""
    await caller.turn()
    await caller.sound(SOUND)


async def answered(session: RealtimeSession[Frame], events: Events) -> list[RealtimeEvent]:
    """Ask, and take events until the answer sounds."""
    seen = list[RealtimeEvent]()
    await session.simple_response("Hi")
    await until(events, AudioOutput, seen)
    return seen


@each([*FAULTS, HALVED])
async def test_ended_in_the_middle_of_an_answer(fault: Fault) -> None:
    sounds = anyio.Event()

    async def script(caller: Caller) -> None:
        await begin(caller)
        await sounds.wait()
        await fault.act(caller)

    async with scripted(script, PLAIN) as here, open_session(ours(here.base_url)) as session:
        assert session.connected
        events = session.events()
        seen = await answered(session, events)
        sounds.set()
        error = await ended(session, events, seen)
        fault.check(error)
        (done,) = (event for event in seen if isinstance(event, ResponseDone))
        assert (done.status, done.by_provider, done.error) == ("lost", False, error)


async def test_a_farewell_that_spares_the_stream_ends_nothing(way: Way) -> None:
    async def script(caller: Caller) -> None:
        await begin(caller)
        caller.go_away()
        await caller.answer("Hello.", pcm=SOUND)
        await caller.until("session_end")

    async with scripted(script, way) as here, open_session(ours(here.base_url, way)) as session:
        await session.simple_response("Hi")
        assert (await until(session.events(), ResponseDone)).status == "completed"
        assert session.connected


async def test_a_loss_is_made_good_where_it_may_be(way: Way) -> None:
    """With the history, on another stream; what cannot be retried is not."""
    told, done = list[tuple[tuple[str, str], ...]](), anyio.Event()

    async def script(caller: Caller) -> None:
        await caller.turn()
        told.append(caller.told)
        await caller.answer("Hello.", pcm=SOUND)
        await done.wait()
        if caller.number == 0:
            await caller.fail("throttlingException", "Too many requests")
        elif caller.number == 1:
            await caller.fail("validationException", "Invalid.")

    async with scripted(script, way) as here:
        provider = ours(here.base_url, way)
        async with open_session(provider, retry=RECONNECT, random=lambda: 0.0) as session:
            events, seen = session.events(), list[RealtimeEvent]()
            await session.simple_response("Hi")
            await until(events, ResponseDone, seen)
            item = next(one.item for one in seen if isinstance(one, AudioOutput))
            assert item is not None
            await session.send(Heard(item, len(SOUND) // 2))
            done.set()
            await until(events, Reconnected, seen)
            await session.simple_response("And?")
            assert isinstance(await ended(session, events, seen), InvalidRequest)
    assert told == [(), (("USER", "Hi"), ("ASSISTANT", "Hello."))]


@pytest.mark.parametrize("late", [-1_000.0, 1_000.0])
async def test_a_wrong_clock_is_put_right_once(late: float, way: Way) -> None:
    """The clock of the service is the one that counts; it is told by a refusal."""

    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.answer("Hello.")
        await caller.until("session_end")

    stage = loopback(script, ssl=way.server, credentials=KEYS, now=lambda: time() + late)
    async with watched(), stage as here:
        for _ in range(2):
            async with open_session(ours(here.base_url, way)) as session:
                await session.simple_response("Hi")
                assert (await until(session.events(), ResponseDone)).status == "completed"
        assert len(here.refused) == 2
        assert len(here.callers) == 2


# --- no way in --------------------------------------------------------------------------------


@pytest.mark.parametrize("tries", [0, 2])
async def test_a_refused_connection(tries: int, way: Way) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    async with watched():
        error = await unopened(ours(way.base_url(port), way), retry=Recurs(tries))
        assert isinstance(error, Unavailable)
        assert "127.0.0.1" in error.what


@pytest.mark.parametrize("far", ["accepts nothing", "says nothing", "hangs up", "is HTTP/1.1"])
async def test_a_mute_server(far: str, way: Way) -> None:
    """The session's own deadline holds, whatever the server has not done by then."""

    async def stream(one: SocketStream) -> None:
        if far == "hangs up":
            return
        if far == "is HTTP/1.1" and not way.secure:
            await one.receive()
            await one.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        with suppress(anyio.EndOfStream):
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
    elif far == "is HTTP/1.1" and not way.secure:
        assert isinstance(error, ProtocolViolation)
    else:
        assert isinstance(error, TimedOut)
        assert "did not acknowledge the session within 0.2 s" in error.what


async def _mute(port: int, way: Way) -> RealtimeError:
    return await unopened(ours(way.base_url(port), way), connect_timeout=0.2)


async def test_a_service_that_never_accepts(way: Way) -> None:
    async with scripted(lambda _: anyio.sleep_forever(), way, welcome=False) as here:
        error = await unopened(ours(here.base_url, way), connect_timeout=0.2)
        assert isinstance(error, TimedOut)


async def test_a_server_that_nobody_vouches_for_is_not_told_the_key() -> None:
    async with scripted(lambda _: anyio.sleep_forever(), SECURE) as here:
        error = await unopened(ours(here.base_url))
        assert isinstance(error, InvalidRequest)
        assert "not trusted" in error.what
        assert not here.callers


@pytest.mark.parametrize("speaks", [PLAIN, SECURE], ids=["plain", "tls"])
async def test_one_side_speaks_tls_and_the_other_does_not(speaks: Way) -> None:
    other = PLAIN if speaks.secure else SECURE
    async with scripted(lambda _: anyio.sleep_forever(), other) as here:
        error = await unopened(ours(speaks.base_url(here.port), speaks))
        assert isinstance(error, Unavailable)
        assert not here.callers


# --- half-open --------------------------------------------------------------------------------

PATIENCE = (0.1, 0.2)


async def test_a_heartbeat_keeps_a_session_in_which_nothing_is_said(way: Way) -> None:
    """The server answers pings and says nothing else, for longer than would mean a loss."""

    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.answer("Hello.", pcm=SOUND)
        await caller.until("session_end")

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
        await caller.gone()

    async with scripted(script, way) as here, proxied(here.port) as proxy:
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


async def test_a_service_that_no_longer_reads_is_left_in_time() -> None:
    """Pings are answered, so it is no loss; it can be spoken over and left all the same."""

    async def script(caller: Caller) -> None:
        await begin(caller)
        caller.mute()
        await anyio.sleep_forever()

    async with scripted(script, SECURE) as here:
        async with open_session(ours(here.base_url, SECURE)) as session:
            await answered(session, session.events())
            await session.interrupt()
            start = anyio.current_time()
        assert anyio.current_time() - start < 5.0


# --- slow, and cut at every byte --------------------------------------------------------------


SAMPLE = 8


async def short(caller: Caller) -> None:
    """A short session: one turn, answered in two messages and the ends, what it cost, the end."""
    await caller.turn()
    await caller.answer("Hi you", pcm=SOUND[:48], pieces=2)
    for _ in range(4):
        await caller.usage(Usage(1, 2))


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
    """Bytes in handfuls: frames of TLS and of HTTP/2, heads and messages, all are torn."""
    async with scripted(short, way) as here, proxied(here.port) as proxy:
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
    async with scripted(short, way) as here, proxied(here.port) as proxy:
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
        here.failures.clear()
    if how == "end" and side == "down":
        assert ranks == sorted(ranks), "more bytes never tell less"
        assert set(ranks) == {0, 1, 2}
