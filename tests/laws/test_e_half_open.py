"""E. Life cycle and cancellation, 44: a peer that is gone without a word."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode

from realtime_core import Disconnected, Recurs, SessionConfig, negotiate, open_session
from realtime_core.errors import RealtimeException, Unavailable
from realtime_core.events import Reconnected
from realtime_core.frames import Frame
from realtime_core.provider import Provider
from realtime_core.testing import TICK, no_leaks, run
from realtime_core.testing.scripted import SCRIPTED, Peer, ScriptedCodec
from realtime_core.transports._messages import WebSocket
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_core.transports.websocket_server import ServedSocket, serve
from tests.core.transports.pipes import Far, opened
from tests.laws.stories import BACKENDS, catches

pytestmark = pytest.mark.anyio
PLAN = negotiate(SCRIPTED, SessionConfig()).unwrap()


class Silence(NamedTuple):
    """How long who waits, in ticks, and what is heard until nothing is."""

    interval: int
    timeout: int
    gaps: tuple[int, ...]
    """Between one message and the next; pings are answered all the while."""
    reads: bool
    """Whether the peer that says nothing any more reads on."""


SILENCES = st.builds(
    Silence,
    interval=st.integers(1, 200),
    timeout=st.integers(1, 200),
    gaps=st.lists(st.integers(0, 300), max_size=4).map(tuple),
    reads=st.booleans(),
)


class TestHalfOpen:
    """44. A peer that stops answering is lost within ping interval plus timeout, never sooner."""

    @staticmethod
    def law(case: Silence, backend: str = "asyncio") -> None:
        run(noticed, case, backend=backend)

    @pytest.mark.parametrize("backend", BACKENDS)
    @settings(max_examples=max(100, settings().max_examples))
    @given(SILENCES)
    def test_timed(self, backend: str, case: Silence) -> None:
        self.law(case, backend)

    @pytest.mark.parametrize("again", [False, True])
    async def test_live(self, again: bool) -> None:
        """Over real sockets: the session is lost, or goes on over a connection that answers."""
        conns = list[int]()

        async def handler(served: ServedSocket) -> None:
            peer = Peer(len(conns), PLAN, served)
            conns.append(peer.conn)
            await peer.next()
            await peer.welcome()
            if peer.conn == 0:
                await anyio.sleep_forever()
            await peer.drain()

        retry = Recurs(1) if again else Recurs(0)
        async with no_leaks(within=1.0), serve(handler, close_timeout=0.05) as (host, port):
            endpoint = Endpoint(
                url=f"ws://{host}:{port}",
                ping_interval=0.05,
                ping_timeout=0.05,
                close_timeout=0.05,
            )
            provider = Provider[Frame]("mute", SCRIPTED, ScriptedCodec(), websocket(endpoint))
            async with open_session(provider, SessionConfig(retry=retry)) as session:
                began = anyio.current_time()
                async for event in session.events():
                    if isinstance(event, Reconnected):
                        break
                    if isinstance(event, Disconnected):
                        assert isinstance(event.error, Unavailable)
                        assert "half-open" in event.error.what
                assert anyio.current_time() - began < 0.1 + 1.0, "a busy machine is granted much"
                assert session.connected is again

    def test_fault_only_pings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def keep(self: WebSocket, interval: float, patience: float) -> None:
            while True:
                await anyio.sleep(interval)
                self._protocol.send_ping(b"")
                self._respond(self._protocol.data_to_send())

        monkeypatch.setattr(WebSocket, "_keep", keep)
        catches(self.law, SILENCES)

    def test_fault_takes_its_own_pings_for_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        respond = WebSocket._respond

        def heard(self: WebSocket, frames: list[bytes]) -> None:
            self._reads += 1
            respond(self, frames)

        monkeypatch.setattr(WebSocket, "_respond", heard)
        catches(self.law, SILENCES)

    @pytest.mark.parametrize(("slow", "patient"), [(2.0, 1.0), (1.0, 2.0), (1.0, 0.5)])
    def test_fault_waits_for_another_time(
        self, slow: float, patient: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep: Callable[[WebSocket, float, float], Awaitable[None]] = WebSocket._keep

        async def wrong(self: WebSocket, interval: float, patience: float) -> None:
            await keep(self, interval * slow, patience * patient)

        monkeypatch.setattr(WebSocket, "_keep", wrong)
        catches(self.law, SILENCES)


async def noticed(case: Silence) -> None:
    """Require that the peer's silence is noticed in time."""
    interval, timeout = case.interval * TICK, case.timeout * TICK
    limit = 2_000 if case.reads else 64
    async with (
        opened(ping_interval=interval, ping_timeout=timeout, limit=limit) as (ours, far),
        anyio.create_task_group() as tasks,
    ):
        heard = list[float]([0.0])
        tasks.start_soon(lives, far, case, heard)
        with anyio.fail_after(10 * (interval + timeout) + 2_000 * TICK):
            with pytest.raises(RealtimeException) as lost:
                await told(ours)
            noticed = anyio.current_time()
            with pytest.raises(RealtimeException):
                await ours.send(("too late",))
        assert isinstance(lost.value.error, Unavailable)
        assert timeout <= noticed - heard[-1] <= interval + timeout
        assert noticed >= sum(case.gaps) * TICK
        tasks.cancel_scope.cancel()


async def told(ours: WebSocket) -> None:
    while True:
        await ours.receive()


async def lives(far: Far, case: Silence, heard: list[float]) -> None:
    """Be heard, at the moments that are written down, and then not any more."""

    async def answers() -> None:
        while True:
            for frame in await far.hear():
                if frame.opcode is Opcode.PING:
                    heard.append(anyio.current_time())
                    await far.do("send_pong", frame.data)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answers)
        for gap in case.gaps:
            await anyio.sleep(gap * TICK)
            heard.append(anyio.current_time())
            await far.say(b"x")
        tasks.cancel_scope.cancel()
    with suppress(anyio.EndOfStream):
        while case.reads:
            await far.hear()
