"""The link over real HTTP/2, before a far end that checks every signature by hand."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256
from time import time

import anyio
import msgspec
import pytest
from anyio.lowlevel import checkpoint
from botocore import auth  # type: ignore[import-untyped]
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials as Theirs  # type: ignore[import-untyped]
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]
from h2 import events as ev

from realtime_core import SessionConfig, negotiate
from realtime_core.beside import beside
from realtime_core.codec import Media, Wire
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
from realtime_core.link import Link
from realtime_core.plan import Plan
from realtime_core.testing import TICK, Injection, every_point, no_leaks
from realtime_core.testing.scripted import SCRIPTED
from realtime_core.transports import http2
from realtime_core.transports._opening import Way
from realtime_core.transports.http2_server import Served, serve
from realtime_nova.clock import Clock
from realtime_nova.credentials import Credentials, Door
from realtime_nova.framing import Header, encode
from realtime_nova.link import ACCEPTED, nova_link
from tests.core.transports.far_http2 import Early, Far
from tests.core.transports.loopback import trusted
from tests.core.transports.pipes import MemoryPipe, pipes

pytestmark = pytest.mark.anyio
PLAN = negotiate(SCRIPTED, SessionConfig()).unwrap()
KEYS = Credentials(Secret("AKIDEXAMPLE"), Secret("sEcReT-key"), Secret("t0ken-of-a-session"))
MODEL = "amazon.nova-2-sonic-v1:0"
REGION = "eu-north-1"


class Checked:
    """The service: takes what is signed well and in order, and nothing else."""

    def __init__(self, served: Served, *, now: Callable[[], float] = time) -> None:
        self.served = served
        self.now = now
        self.ended = False
        self._buffer = EventStreamBuffer()
        self._ready = list[bytes]()
        headers = served.request.headers
        self.at = headers["x-amz-date"]
        self.prior = headers["authorization"].rpartition("Signature=")[2]

    def check_request(self, secure: bool = False) -> None:
        """Let botocore sign the same request, and compare."""
        request, headers = self.served.request, self.served.request.headers
        assert request.method == "POST"
        assert request.path == "/model/amazon.nova-2-sonic-v1%3A0/invoke-with-bidirectional-stream"
        names = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        assert {"host", "content-type", "x-amz-date", "x-amz-content-sha256"} <= set(names)
        assert set(names) == set(headers) - {"authorization"}
        scheme = "https" if secure else "http"
        again = AWSRequest(
            "POST",
            f"{scheme}://{headers['host']}{request.path}",
            {
                name: headers[name]
                for name in names
                if name not in {"host", "x-amz-date", "x-amz-security-token"}
            },
        )
        at = datetime.strptime(self.at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        token = KEYS.session_token
        assert token is not None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(auth, "get_current_datetime", lambda: at)
            keys = Theirs(KEYS.access_key.reveal(), KEYS.secret_key.reveal(), token.reveal())
            SigV4Auth(keys, "bedrock", REGION).add_auth(again)
        assert again.headers["Authorization"] == headers["authorization"]

    @property
    def late(self) -> bool:
        at = datetime.strptime(self.at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return abs(at.timestamp() - self.now()) > 300

    async def next(self) -> bytes:
        """Wait for an event, and give its JSON; raises `EndOfStream` behind the signed end."""
        while not self._ready:
            if self.ended:
                with pytest.raises(anyio.EndOfStream):
                    await self.served.receive()
                raise anyio.EndOfStream
            for piece in await self.served.receive():
                self._buffer.add_data(piece)
            for message in self._buffer:
                self._take(message.headers, message.payload)
        return self._ready.pop(0)

    def _take(self, headers: dict[str, object], payload: bytes) -> None:
        assert not self.ended
        ms = headers[":date"]
        assert isinstance(ms, int)
        assert set(headers) == {":date", ":chunk-signature"}
        moment = datetime.fromtimestamp(ms / 1000, UTC)
        scope = f"{moment:%Y%m%d}/{REGION}/bedrock/aws4_request"
        key = b"AWS4" + KEYS.secret_key.reveal().encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), sha256).digest()
        dated = sha256(b"\x05:date\x08" + ms.to_bytes(8, "big")).hexdigest()
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{moment:%Y%m%dT%H%M%SZ}\n{scope}\n{self.prior}\n"
        text += f"{dated}\n{sha256(payload).hexdigest()}"
        signature = hmac.new(key, text.encode(), sha256).digest()
        assert signature == headers[":chunk-signature"]
        self.prior = signature.hex()
        if not payload:
            self.ended = True
            return
        inner = EventStreamBuffer()
        inner.add_data(payload)
        (message,) = inner
        assert message.headers == {
            ":event-type": "chunk",
            ":message-type": "event",
            ":content-type": "application/json",
        }
        self._ready.append(b64decode(msgspec.json.decode(message.payload)["bytes"]))

    async def say(self, *events: bytes) -> None:
        await self.served.send(b"".join(map(said, events)))


def said(event: bytes) -> bytes:
    payload = msgspec.json.encode({"bytes": b64encode(event).decode(), "p": "abcdef"})
    return framed("event", "chunk", payload)


def framed(kind: str, name: str, payload: bytes) -> bytes:
    headers: dict[str, Header] = {
        f":{kind}-type": name,
        ":content-type": "application/json",
        ":message-type": kind,
    }
    return encode(headers, payload)


Scene = Callable[[Checked], Awaitable[None]]


@asynccontextmanager
async def talking(
    scene: Scene,
    *,
    secure: bool = False,
    now: Callable[[], float] = time,
    **door: object,
) -> AsyncGenerator[Link]:
    async def handler(served: Served) -> None:
        far = Checked(served)
        far.check_request(secure)
        await scene(far)

    server, client = trusted()
    async with no_leaks(within=1.0), serve(handler, ssl=server if secure else None) as (host, port):
        at = Door(
            url=f"http{'s' * secure}://{host}:{port}",
            region=REGION,
            model=MODEL,
            credentials=KEYS,
            ssl=client,
            **door,  # type: ignore[arg-type]
        )
        async with nova_link(lambda _: at, now)(PLAN) as link:
            yield link


async def error_of(link: Link) -> RealtimeError:
    with anyio.fail_after(5):
        while True:
            try:
                await link.receive()
            except RealtimeException as caught:
                return caught.error


async def echo(far: Checked) -> None:
    far.served.respond()
    while True:
        try:
            event = await far.next()
        except anyio.EndOfStream:
            return
        await far.say(event)


async def gathered(link: Link, count: int) -> list[object]:
    got = list[object]()
    while len(got) < count:
        got += await link.receive()
    return got


@pytest.mark.parametrize("secure", [False, True])
async def test_events_both_ways(secure: bool) -> None:
    events: list[Wire] = [
        b'{"event":{}}',
        '{"event":"\u00fc"}',
        b"x" * 200_000,
        Media("audio", b"pcm"),
        b"",
    ]
    async with talking(echo, secure=secure) as link:
        async with beside() as tasks:
            tasks.start_soon(link.send, tuple(events[:2]))
            assert await link.receive() == (ACCEPTED,)
            tasks.start_soon(link.send, tuple(events[2:]))
            assert await gathered(link, 5) == [
                b'{"event":{}}',
                '{"event":"\u00fc"}'.encode(),
                b"x" * 200_000,
                b"pcm",
                b"",
            ]
        assert link.offer((b"at once", "too"))  # type: ignore[attr-defined]
        assert await gathered(link, 2) == [b"at once", b"too"]
        assert not link.offer((bytes(1_000_000),))  # type: ignore[attr-defined]


async def test_the_answer_may_come_when_the_service_likes() -> None:
    """Sending does not wait for it; a batch of many senders stays whole, signed in its order."""

    async def scene(far: Checked) -> None:
        got = [await far.next() for _ in range(60)]
        assert sorted(got[::2]) == sorted(b"%d a" % n for n in range(30))
        assert [event[:-1] + b"a" for event in got[1::2]] == got[::2]
        far.served.respond()
        await far.say(b"done")

    async with talking(scene) as link:
        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(link.send, (b"%d a" % number, b"%d b" % number))
        assert await gathered(link, 2) == [ACCEPTED, b"done"]
        with pytest.raises(anyio.EndOfStream):
            await link.receive()


async def test_leaving_says_so_and_waits_for_the_end() -> None:
    ended = list[bool]()

    async def scene(far: Checked) -> None:
        far.served.respond()
        assert await far.next() == b"only"
        with pytest.raises(anyio.EndOfStream):
            await far.next()
        ended.append(far.ended)
        await far.say(b"completionEnd")

    async with talking(scene) as link:
        await link.send((b"only",))
    assert ended == [True]
    with pytest.raises(anyio.ClosedResourceError):
        await link.send((b"late",))
    assert not link.offer((b"late",))  # type: ignore[attr-defined]
    await link.aclose()


async def test_no_more_is_sent_behind_the_end() -> None:
    async with talking(echo) as link:
        await link.send((b"last",))
        await link.send_eof()
        await link.send_eof()
        with pytest.raises(anyio.ClosedResourceError):
            await link.send((b"late",))
        assert await gathered(link, 2) == [ACCEPTED, b"last"]
        with pytest.raises(anyio.EndOfStream):
            await link.receive()


async def test_cancelling_leaves_at_once() -> None:
    async def scene(far: Checked) -> None:
        far.served.respond()
        await anyio.sleep_forever()

    with anyio.move_on_after(0.2) as scope:
        async with talking(scene, close_timeout=60.0) as link:
            await link.receive()
            await link.receive()
    assert scope.cancelled_caught


async def test_a_service_that_reads_nothing_is_left_in_time() -> None:
    async def scene(far: Checked) -> None:
        far.served.respond()
        await anyio.sleep_forever()

    async with talking(scene, close_timeout=0.1) as link, beside() as tasks:
        await link.receive()
        tasks.start_soon(link.send, (bytes(5_000_000),))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        began = anyio.current_time()
    assert anyio.current_time() - began < 1.0


async def test_giving_up_on_sending_breaks_no_chain() -> None:
    """What was given up before its turn was never signed."""

    async def scene(far: Checked) -> None:
        far.served.respond()
        await go.wait()
        await echo_on(far)

    async def echo_on(far: Checked) -> None:
        while True:
            try:
                await far.say((await far.next())[:3])
            except anyio.EndOfStream:
                return

    go = anyio.Event()
    async with talking(scene) as link, beside() as tasks:
        assert await link.receive() == (ACCEPTED,)
        tasks.start_soon(link.send, (b"one" + bytes(3_000_000),))
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.01) as scope:
            await link.send((b"two",))
        assert scope.cancelled_caught
        go.set()
        await link.send((b"six",))
        assert await gathered(link, 2) == [b"one", b"six"]


# --- faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("internalServerException", Unavailable),
        ("modelStreamErrorException", Unavailable),
        ("validationException", InvalidRequest),
        ("throttlingException", RateLimited),
        ("modelTimeoutException", TimedOut),
        ("serviceUnavailableException", Unavailable),
        ("somethingNewException", Unavailable),
    ],
)
@pytest.mark.parametrize("modelled", [True, False])
async def test_exceptions_in_the_stream(
    name: str, kind: type[RealtimeError], modelled: bool
) -> None:
    async def scene(far: Checked) -> None:
        far.served.respond()
        if modelled:
            data = framed("exception", name, b'{"message":"why it is so"}')
        else:
            data = encode(
                {":message-type": "error", ":error-code": name, ":error-message": "why it is so"},
                b"",
            )
        await far.served.send(said(b"before") + data + said(b"never"))
        await far.next()

    async with talking(scene) as link:
        assert await gathered(link, 2) == [ACCEPTED, b"before"]
        for _ in range(2):
            error = await error_of(link)
            assert isinstance(error, kind)
            assert "why it is so" in error.what
        assert not link.offer((b"late",))  # type: ignore[attr-defined]


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[1]", b"[" * 5_000, b'{"message":5}'])
async def test_an_exception_that_says_nothing(payload: bytes) -> None:
    async def scene(far: Checked) -> None:
        far.served.respond()
        await far.served.send(framed("exception", "throttlingException", payload))

    async with talking(scene) as link:
        assert isinstance(await error_of(link), RateLimited)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 16,
        framed("event", "chunk", b""),
        framed("event", "chunk", b'{"bytes":"%"}'),
        framed("event", "chunk", b'{"bytes":5}'),
        framed("event", "chunk", b"[" * 5_000),
        framed("event", "newKind", b"{"),
        said(b"cut")[:-1],
    ],
)
async def test_what_is_no_event_stream(data: bytes) -> None:
    async def scene(far: Checked) -> None:
        far.served.respond()
        await far.served.send(said(b"before") + data)

    async with talking(scene) as link:
        assert await gathered(link, 2) == [ACCEPTED, b"before"]
        error = await error_of(link)
        assert isinstance(error, ProtocolViolation)


async def test_events_of_a_kind_that_is_not_known_are_handed_on() -> None:
    async def scene(far: Checked) -> None:
        far.served.respond()
        new = framed("event", "newKind", b'{"a": 1}') + framed("event", "initial-response", b"")
        await far.served.send(new)

    async with talking(scene) as link:
        assert await gathered(link, 3) == [
            ACCEPTED,
            b'{"event":{"newKind":{"a": 1}}}',
            b'{"event":{"initial-response":{}}}',
        ]


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "ValidationException", InvalidRequest),
        (403, "AccessDeniedException", AuthFailed),
        (403, "", AuthFailed),
        (404, "ResourceNotFoundException", InvalidRequest),
        (429, "ThrottlingException", RateLimited),
        (429, "ModelNotReadyException", Unavailable),
        (500, "InternalServerException", Unavailable),
        (503, "", Unavailable),
    ],
)
@pytest.mark.parametrize("reads", [False, True])
async def test_refusals(status: int, name: str, kind: type[RealtimeError], reads: bool) -> None:
    """Who sends and who receives are told the same, and no secret."""

    async def scene(far: Checked) -> None:
        if reads:
            await far.next()
        headers = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/"} if name else {}
        far.served.respond(status, {**headers, "date": format_datetime(datetime.now(UTC))})
        await far.served.send(b'{"message":"bad t0ken-of-a-session"}')

    async with talking(scene) as link:
        with pytest.raises(RealtimeException) as caught:
            await sending(link)
        error = caught.value.error
        assert isinstance(error, kind)
        assert "t0ken" not in str(error)
        assert await error_of(link) == error
        with pytest.raises(RealtimeException):
            await link.send((b"late",))


async def sending(link: Link, event: bytes = b"x") -> None:
    while True:
        await link.send((event,))
        await checkpoint()


async def test_a_lost_connection() -> None:
    async def scene(far: Checked) -> None:
        far.served.respond()
        await far.next()
        far.served.abort()

    async with talking(scene) as link:
        await link.send((b"x",))
        assert isinstance(await error_of(link), Unavailable)


async def test_finding_the_door_may_take_time_and_may_fail() -> None:
    async def reach(plan: Plan) -> Door:
        assert plan is PLAN
        await checkpoint()
        raise RealtimeException(AuthFailed(what="no"))

    with pytest.raises(RealtimeException):
        async with nova_link(reach)(PLAN):
            pytest.fail("there is no door")


# --- the clock --------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["send", "receive"])
@pytest.mark.parametrize("off", [-3_600, 7_200])
async def test_a_clock_that_is_wrong_is_corrected_once(first: str, off: float) -> None:
    asked = list[bool]()

    async def handler(served: Served) -> None:
        far = Checked(served)
        far.check_request()
        asked.append(far.late)
        if far.late:
            if first == "send":
                await far.next()
            served.respond(403, _skewed())
            await served.send(b'{"message":"Signature expired"}')
            return
        await echo(far)

    async with no_leaks(within=1.0), serve(handler) as (host, port):
        door = Door(url=f"http://{host}:{port}", region=REGION, model=MODEL, credentials=KEYS)
        dial = nova_link(lambda _: door, lambda: time() + off)
        for _ in range(2):
            async with dial(PLAN) as link, beside() as tasks:
                await link.send((b"one",))
                if first == "send":
                    tasks.start_soon(sent, link, [b"%d" % number for number in range(50)])
                    with anyio.fail_after(5):
                        await anyio.wait_all_tasks_blocked()
                    assert (await gathered(link, 52))[:2] == [ACCEPTED, b"one"]
                else:
                    assert await gathered(link, 2) == [ACCEPTED, b"one"]
    assert asked == [True, False, False], "what was learnt is kept"


def _skewed() -> dict[str, str]:
    return {
        "x-amzn-errortype": "InvalidSignatureException:http://internal.amazon.com/",
        "date": format_datetime(datetime.now(UTC), usegmt=False),
    }


async def sent(link: Link, events: list[bytes]) -> None:
    for event in events:
        await link.send((event,))
        await checkpoint()


@pytest.mark.parametrize("date", ["right", "wrong", "none", ""])
async def test_a_refusal_that_is_not_for_the_clock_is_one(date: str) -> None:
    asked = list[int]()

    async def handler(served: Served) -> None:
        asked.append(1)
        stamps = {
            "right": format_datetime(datetime.now(UTC)),
            "wrong": f"Mon, 01 Jan {2030 + len(asked)} 00:00:00 GMT",  # another one each time
            "none": "yesterday",
        }
        served.respond(403, {**_skewed(), "date": stamps.get(date, "")})

    async with no_leaks(within=1.0), serve(handler) as (host, port):
        door = Door(url=f"http://{host}:{port}", region=REGION, model=MODEL, credentials=KEYS)
        async with nova_link(lambda _: door)(PLAN) as link:
            assert isinstance(await error_of(link), AuthFailed)
    assert len(asked) == (2 if date == "wrong" else 1)


async def test_too_much_to_keep_is_not_sent_twice() -> None:
    asked = list[int]()

    async def handler(served: Served) -> None:
        asked.append(1)
        size = 0
        while size < 7_000_000:
            size += sum(map(len, await served.receive()))
        served.respond(403, _skewed())

    async with no_leaks(within=1.0), serve(handler) as (host, port):
        door = Door(url=f"http://{host}:{port}", region=REGION, model=MODEL, credentials=KEYS)
        async with nova_link(lambda _: door, lambda: time() - 9_999)(PLAN) as link:
            with pytest.raises(RealtimeException) as caught:
                await sending(link, bytes(1_000_000))
            assert isinstance(caught.value.error, AuthFailed)
    assert len(asked) == 1


def test_the_clock() -> None:
    clock = Clock(lambda: 1_000.9)
    assert clock.second == 1_000
    assert not clock.correct("Thu, 01 Jan 1970 00:18:00 GMT")
    assert clock.correct("Thu, 01 Jan 1970 01:00:00 GMT")
    assert clock.second == 3_600
    assert not clock.correct("Thu, 01 Jan 1970 01:00:10 GMT")
    assert not clock.correct("")


# --- cancellation -----------------------------------------------------------------------------


def test_cancelled_at_any_instant_it_leaves_nothing(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(
        url="http://h", region=REGION, model=MODEL, credentials=KEYS, close_timeout=8 * TICK
    )

    async def reach(plan: Plan) -> Door:
        await checkpoint()
        return door

    async def talk() -> None:
        async with nova_link(reach)(PLAN) as link, anyio.create_task_group() as tasks:
            tasks.start_soon(link.send, (b"one",))
            await link.send((b"two" * 100,))
            assert await gathered(link, 2) == [ACCEPTED, b"hello"]

    async def scene(point: Injection) -> None:
        async with no_leaks():
            here, there = pipes(300)
            made = list[MemoryPipe]()

            async def opening(way: Way, patience: float) -> MemoryPipe:
                await checkpoint()
                made.append(here)
                return here

            monkeypatch.setattr(http2, "opened", opening)
            async with beside() as tasks:
                tasks.start_soon(answers, there)
                with anyio.CancelScope() as scope:
                    await point.drive(talk(), scope.cancel)
                assert all(pipe.closed for pipe in made)

    async def answers(pipe: MemoryPipe) -> None:
        far = Far(pipe)
        with suppress(anyio.EndOfStream, BrokenPipeError, Early):
            await far.flush()
            await far.until(ev.RequestReceived)
            await far.accept()
            await far.do("send_data", 1, said(b"hello"))
            await far.until(ev.StreamEnded)
            await far.do("end_stream", 1)
            while True:
                await far.hear()

    assert every_point(scene, backend=anyio_backend) > 5
