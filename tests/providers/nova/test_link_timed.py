"""The link on virtual time: it closes what it opened, however it ends, and is not silent long."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from typing import Any, Literal

import anyio
import msgspec
import pytest
from anyio.lowlevel import checkpoint

from realtime_core import open_session
from realtime_core.beside import beside
from realtime_core.codec import Wire
from realtime_core.config import Secret
from realtime_core.errors import RealtimeException
from realtime_core.events import Reconnected
from realtime_core.frames import Audio, Close
from realtime_core.link import Link
from realtime_core.testing import TICK, Injection, every_point, no_leaks, run
from realtime_core.transports import http2
from realtime_core.transports._opening import Way
from realtime_core.transports.http2_server import Served, _Door, _Here
from realtime_nova import Credentials, nova
from realtime_nova.client_events import AudioInput
from realtime_nova.codec import NovaCodec
from realtime_nova.credentials import Door
from realtime_nova.encoding import client_event
from realtime_nova.link import nova_link
from realtime_nova.memory import Memory
from tests.core.transports.pipes import pipes

from .grammar import judged, names
from .test_link import KEYS, MODEL, REGION, Checked, framed
from .wires import planned

PLAN = planned()
GREETED = NovaCodec().greet(PLAN, None)
GREETING, STATE = GREETED.wires, GREETED.state
CLOSING = ["-", "promptEnd", "sessionEnd"]
ENDS = (anyio.EndOfStream, RealtimeException, anyio.BrokenResourceError)


def audio(ms: int, state: Memory = STATE) -> tuple[Wire, ...]:
    frame = Audio(bytes(32 * ms), PLAN.input_format)
    return NovaCodec().encode(state, frame).unwrap().wires


def sound_in(wire: Wire) -> AudioInput | None:
    assert isinstance(wire, bytes)
    return client_event(wire).audio_input


class Heard:
    """What came to the service on one connection, and when; every signature is checked."""

    def __init__(self) -> None:
        self.at = list[float]()
        self.wires = list[Wire]()
        self.ended = False
        """Whether the signed end came."""

    async def all(self, far: Checked) -> None:
        try:
            while True:
                self.wires.append(await far.next())
                self.at.append(anyio.current_time())
        except ENDS:
            self.ended = far.ended

    @property
    def silences(self) -> list[tuple[float, float]]:
        """When silence came, and how many seconds of it."""
        sounds = dict[float, float]()
        for at, wire in zip(self.at, self.wires, strict=True):
            sound = sound_in(wire)
            if sound is not None and not any(sound.content):
                sounds[at] = sounds.get(at, 0.0) + len(sound.content) / 32_000
        return list(sounds.items())


Scene = Callable[[Checked, Heard], Awaitable[None]]


async def listens(far: Checked, heard: Heard) -> None:
    far.served.respond()
    await heard.all(far)


class Service:
    """Serves whoever connects, without a socket."""

    def __init__(self, scene: Scene = listens, *, limit: int = 1 << 20, window: int = 1 << 20):
        self.heard = list[Heard]()
        self.scene, self.limit, self.window = scene, limit, window
        self.door = Door(url="http://h", region=REGION, model=MODEL, credentials=KEYS)

    async def _serve(self, served: Served) -> None:
        self.heard.append(Heard())
        await self.scene(Checked(served), self.heard[-1])

    @asynccontextmanager
    async def open(self, patch: pytest.MonkeyPatch) -> AsyncGenerator[None]:
        async with beside() as tasks:

            async def opened(way: Way, patience: float) -> object:
                await checkpoint()
                here, there = pipes(self.limit)
                door = _Door(
                    handler=self._serve,
                    ssl=None,
                    window=self.window,
                    open_timeout=1.0,
                    close_timeout=1.0,
                    ping_interval=None,
                    ping_timeout=1.0,
                )
                _Here(there, door, tasks)
                return here

            patch.setattr(http2, "opened", opened)
            yield
            await anyio.sleep(TICK)  # whatever is on its way arrives

    @asynccontextmanager
    async def talk(self, patch: pytest.MonkeyPatch, **door: Any) -> AsyncGenerator[Link]:
        at = msgspec.structs.replace(self.door, **{"ping_interval": None, **door})
        async with self.open(patch), nova_link(lambda _: at)(PLAN) as link:
            yield link


async def taking(link: Link) -> None:
    """Receive as the driver does, to the end."""
    with suppress(*ENDS):
        while True:
            await link.receive()


# --- closing ----------------------------------------------------------------------------------


async def greets(link: Link) -> None:
    await link.send(GREETING)


async def takes_leave(link: Link) -> None:
    await link.send(GREETING)
    await link.send((*audio(20), *NovaCodec().encode(STATE, Close()).unwrap().wires))


async def opens_a_block(link: Link) -> None:
    block = {"promptName": STATE.prompt, "contentName": "x", "type": "TEXT", "interactive": False}
    start = {"contentStart": {**block, "role": "USER"}}
    await link.send((*GREETING, msgspec.json.encode({"event": start})))


async def begins(link: Link) -> None:
    await link.send(GREETING[:1])


async def says_nothing(link: Link) -> None:
    return


async def says_nonsense(link: Link) -> None:
    await link.send((*GREETING, b"no event", "\ud83d no event"[1:], b'{"event":{"promptEnd":5}}'))


@pytest.mark.parametrize(
    ("says", "closings"),
    [
        (greets, CLOSING),
        (takes_leave, CLOSING),
        (opens_a_block, ["-", *CLOSING]),
        (begins, ["sessionEnd"]),
        (says_nothing, []),
    ],
)
@pytest.mark.parametrize("way", ["left", "raised", "refused", "ended"])
def test_what_was_opened_is_closed_once_and_in_order(
    says: Callable[[Link], Awaitable[None]],
    closings: list[str],
    way: Literal["left", "raised", "refused", "ended"],
    anyio_backend: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene(far: Checked, heard: Heard) -> None:
        far.served.respond()
        if way == "refused":
            await far.served.send(framed("exception", "modelTimeoutException", b"{}"))
        if way == "ended":
            await far.served.end()
        await heard.all(far)

    async def main() -> None:
        service = Service(scene)
        with suppress(ZeroDivisionError):
            async with no_leaks(), service.talk(monkeypatch) as link:
                await says(link)
                if way in {"refused", "ended"}:
                    await taking(link)
                if way == "raised":
                    raise ZeroDivisionError
        (heard,) = service.heard
        assert judged(heard.wires, complete=True) == ""
        assert names(heard.wires)[len(heard.wires) - len(closings) :] == closings
        assert heard.ended

    run(main, backend=anyio_backend)


def test_what_is_no_event_does_not_matter(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        service = Service()
        async with service.talk(monkeypatch) as link:
            await says_nonsense(link)
        (heard,) = service.heard
        honest = [*heard.wires[: len(GREETING)], *heard.wires[-3:]]
        assert judged(honest, complete=True) == ""

    run(main, backend=anyio_backend)


@pytest.mark.parametrize("last", [False, True], ids=["cut", "close"])
@pytest.mark.parametrize("limit", [1 << 20, 700])
def test_cancelled_at_any_instant_what_is_open_is_closed(
    limit: int, last: bool, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all fits, all is closed; where it does not, what comes is honest as far as it comes."""

    async def client(service: Service) -> None:
        at = msgspec.structs.replace(service.door, ping_interval=None)
        async with nova_link(lambda _: at)(PLAN) as link, beside() as tasks:
            tasks.start_soon(taking, link)
            await (takes_leave if last else greets)(link)
            for _ in range(0 if last else 3):
                assert link.offer(audio(40)) or limit == 700  # type: ignore[attr-defined]
                await anyio.sleep(TICK)

    async def scene(point: Injection) -> None:
        service = Service(limit=limit)
        async with no_leaks(), service.open(monkeypatch):
            with anyio.CancelScope() as scope:
                await point.drive(client(service), scope.cancel)
        for heard in service.heard:
            assert judged(heard.wires, complete=limit > 700) == ""
            assert not heard.ended or judged(heard.wires, complete=True) == ""

    assert every_point(scene, backend=anyio_backend) > 5


@pytest.mark.parametrize("reads", [False, True])
def test_leaving_takes_no_longer_than_it_may(
    reads: bool, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that does not end, or does not even read, and nobody takes what it says."""

    async def scene(far: Checked, heard: Heard) -> None:
        far.served.respond()
        async with beside() as tasks:
            if reads:
                tasks.start_soon(heard.all, far)
            while True:
                await far.say(bytes(10_000))
                await anyio.sleep(TICK)

    async def main() -> None:
        service = Service(scene, window=1 << 16)
        with suppress(*ENDS):
            async with service.talk(monkeypatch, close_timeout=1.0) as link, beside() as tasks:
                tasks.start_soon(link.send, (*GREETING, *[spoken(100)] * 20))
                await anyio.sleep(0.5)
                tasks.cancel_scope.cancel()
                began = anyio.current_time()
        assert anyio.current_time() - began <= 1.0 + 2 * TICK
        assert judged(service.heard[0].wires, complete=reads) == ""

    run(main, backend=anyio_backend)


# --- silence ----------------------------------------------------------------------------------


def silences(
    say: Callable[[Link], Awaitable[None]],
    backend: str,
    patch: pytest.MonkeyPatch,
    service: Service | None = None,
) -> Heard:
    """Give what the service heard of somebody who says this at second 0."""
    service = service or Service()

    async def main() -> None:
        async with service.talk(patch) as link, beside() as tasks:
            tasks.start_soon(taking, link)
            await say(link)
        assert judged(service.heard[0].wires, complete=True) == ""

    run(main, backend=backend)
    return service.heard[0]


def test_a_session_at_rest_sends_a_little(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say(link: Link) -> None:
        await link.send(GREETING)
        await anyio.sleep(110.0)

    heard = silences(say, anyio_backend, monkeypatch)
    assert heard.silences == [(20.0 * n, 0.1) for n in range(1, 6)]


def test_before_the_audio_block_there_is_none(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say(link: Link) -> None:
        await anyio.sleep(50.0)
        await link.send(GREETING)
        await anyio.sleep(1.0)

    heard = silences(say, anyio_backend, monkeypatch)
    ((at, seconds),) = heard.silences
    assert 50.0 <= at <= 50.5
    assert seconds == 0.1


def test_who_stops_talking_is_followed_by_silence(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after twenty seconds of rest as soon as it would at once."""

    async def say(link: Link) -> None:
        await link.send(GREETING)
        await anyio.sleep(30.0)
        for _ in range(32):
            assert link.offer((spoken(125),))  # type: ignore[attr-defined]
            await anyio.sleep(0.125)
        await anyio.sleep(31.0)

    heard = silences(say, anyio_backend, monkeypatch)
    assert heard.silences[0] == (20.0, 0.1)
    at, seconds = heard.silences[1]
    assert at == 35.0, "it was said until 34.0"
    assert seconds == pytest.approx(1.0)
    assert sum(seconds for at, seconds in heard.silences if 34 < at < 38) == pytest.approx(2.5)
    assert [seconds for at, seconds in heard.silences if at > 38] == [0.1]


def spoken(ms: int) -> bytes:
    sound = AudioInput(STATE.prompt, STATE.audio, b"\1\0" * (16 * ms))
    return msgspec.json.encode({"event": {"audioInput": sound}})


def test_it_waits_for_its_turn(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch waits for room none is sent, nor within it; then as much as there is room."""

    async def slow(far: Checked, heard: Heard) -> None:
        far.served.respond()
        await anyio.sleep(25.0)
        await heard.all(far)

    async def say(link: Link) -> None:
        await link.send(GREETING)
        await link.send(tuple(spoken(100) for _ in range(20)))
        await anyio.sleep(10.0)

    heard = silences(say, anyio_backend, monkeypatch, Service(slow, window=1 << 16))
    assert sum(seconds for _, seconds in heard.silences) == pytest.approx(2.5)
    quiet = [any(sound.content) for wire in heard.wires if (sound := sound_in(wire))]
    assert quiet == [True] * 20 + [False] * 25


def test_it_goes_before_nobody_who_waits(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even in the moment in which there is room, and who waited for it has not gone on."""

    async def slow(far: Checked, heard: Heard) -> None:
        far.served.respond()
        await anyio.sleep(30.0)
        await heard.all(far)

    async def scene(point: Injection) -> None:
        service = Service(slow, window=1 << 16)
        async with service.talk(monkeypatch) as link, beside() as tasks:
            await link.send(GREETING)
            tasks.start_soon(link.send, (spoken(100),) * 20)
            await anyio.sleep(10.0)
            tasks.start_soon(taking, link)
            last = link.send((spoken(100),) * 4)
            await point.drive(last, link.hush)  # type: ignore[attr-defined]
        sounds = [sound for wire in service.heard[0].wires if (sound := sound_in(wire))]
        assert all(any(sound.content) for sound in sounds[:24])

    assert every_point(scene, backend=anyio_backend) > 1


# --- a session --------------------------------------------------------------------------------


def test_connections_that_are_changed_are_closed_and_asked_for_keys(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of them, one after the other, as long as each may last."""
    asked = list[float]()

    async def keys() -> Credentials:
        await checkpoint()
        asked.append(anyio.current_time())
        return msgspec.structs.replace(KEYS, access_key=Secret(f"AKID{len(asked)}"))

    async def main() -> None:
        service = Service()
        provider = nova(region=REGION, credentials=keys, base_url="http://h")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(service.open(monkeypatch))
            session = await stack.enter_async_context(open_session(provider))
            changed = 0
            async for event in session.events():
                changed += isinstance(event, Reconnected)
                if changed == 2:
                    break
        assert len(service.heard) == len(asked) == 3
        for number, heard in enumerate(service.heard, start=1):
            assert judged(heard.wires, complete=True) == ""
            assert heard.ended
            times = [at for at, _ in heard.silences]
            assert all(20.0 <= then - at <= 20.5 for at, then in pairwise(times))
            assert len(times) > 15 or number == 3

    run(main, backend=anyio_backend)
