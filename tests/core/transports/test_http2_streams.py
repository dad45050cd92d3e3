"""HTTP/2 in use, over pipes in virtual time: writes, turns, room, silence, faults, cancellation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import ceil

import anyio
import pytest
from h2 import events as ev
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_core.beside import beside
from realtime_core.codec import Media
from realtime_core.errors import ProtocolViolation, RealtimeException, Unavailable
from realtime_core.link import Link
from realtime_core.testing import TICK, Injection, every_point, no_leaks, run
from realtime_core.transports import http2 as module
from realtime_core.transports._http2 import Connection
from realtime_core.transports._http2_stream import Stream
from realtime_core.transports._opening import Way
from realtime_core.transports.http2 import Endpoint, http2
from realtime_core.transports.verdicts import refused

from .far_http2 import HEAD, Early, Far, body_of, end_of, opened
from .loopback import PLAN
from .pipes import MemoryPipe, pipes

Scene = Callable[[Connection, Stream, Far], Awaitable[None]]


def played(scene: Scene, backend: str, **named: object) -> None:
    async def program() -> None:
        async with no_leaks(), opened(**named) as (connection, stream, far):  # type: ignore[arg-type]
            await scene(connection, stream, far)

    run(program, backend=backend)


# --- out --------------------------------------------------------------------------------------


def test_a_batch_is_one_write(anyio_backend: str) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        assert isinstance(far.carrier, MemoryPipe)
        await far.until(ev.RequestReceived)
        before = far.carrier.peer.sends
        await stream.send(("a", b"b", "\u00fc", Media("audio", b"pcm")))
        await stream.send(())
        assert stream.offer((bytes(20_000),))
        assert far.carrier.peer.sends == before + 2
        while len(far.bodies.get(1, b"")) < 20_007:
            await far.hear()
        assert far.bodies[1] == b"ab\xc3\xbcpcm" + bytes(20_000)

    played(scene, anyio_backend)


def test_what_does_not_go_at_once_goes_on_by_itself(anyio_backend: str) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        assert stream.offer((b"x" * 2_000,))
        assert not stream.offer((b"y",))
        async with beside() as tasks:
            tasks.start_soon(stream.send, (b"z",))
            while len(far.bodies.get(1, b"")) < 2_001:
                await far.hear()
        assert far.bodies[1] == b"x" * 2_000 + b"z"

    played(scene, anyio_backend, limit=100)


@pytest.mark.parametrize("slow", [False, True])
def test_senders_take_turns_and_batches_stay_whole(anyio_backend: str, slow: bool) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        if slow:
            await far.do("update_settings", {SettingCodes.INITIAL_WINDOW_SIZE: 700})
            await far.until(ev.SettingsAcknowledged)
        async with anyio.create_task_group() as tasks:
            for letter in (b"a", b"b", b"c"):
                tasks.start_soon(stream.send, (letter * 1_000, letter * 500))
            while len(far.bodies.get(1, b"")) < 4_500:
                await far.hear()
                await far.do("increment_flow_control_window", 100, 1)
        said = far.bodies[1]
        assert sorted(said[at : at + 1_500] for at in (0, 1_500, 3_000)) == [
            1_500 * b"a",
            1_500 * b"b",
            1_500 * b"c",
        ]

    played(scene, anyio_backend, limit=100)


@pytest.mark.parametrize("posted", [False, True])
def test_a_batch_that_is_given_up_goes_whole_or_not_at_all(
    anyio_backend: str, posted: bool
) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        async with beside() as tasks:
            if not posted:
                tasks.start_soon(stream.send, (b"x" * 500,))
                await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(1.0) as scope:
                await stream.send((b"y" * 1_000,))
            assert scope.cancelled_caught
            tasks.start_soon(stream.send, (b"end",))
            while not far.bodies.get(1, b"").endswith(b"end"):
                await far.hear()
        # A batch of which nothing waits for room is its sender's turn, whatever waits for the peer.
        assert far.bodies[1].replace(b"x" * 500, b"") in {b"y" * 1_000 + b"end", b"end"}

    played(scene, anyio_backend, limit=100)


def test_a_batch_that_waits_for_its_turn_and_is_given_up_is_not_sent(anyio_backend: str) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.do("update_settings", {SettingCodes.INITIAL_WINDOW_SIZE: 0})
        await far.until(ev.SettingsAcknowledged)
        async with beside() as tasks:
            tasks.start_soon(stream.send, (b"x" * 500,))
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(1.0) as scope:
                await stream.send((b"y" * 1_000,))
            assert scope.cancelled_caught
            await far.do("increment_flow_control_window", 10_000, 1)
            while far.bodies.get(1, b"") != b"x" * 500:
                await far.hear()
            await stream.send_eof({"x-t": "1"})
            trailers = await far.until(ev.TrailersReceived)
            assert dict(trailers.headers) == {b"x-t": b"1"}

    played(scene, anyio_backend)


def test_the_end_waits_for_what_was_posted(anyio_backend: str) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.do("update_settings", {SettingCodes.INITIAL_WINDOW_SIZE: 0})
        await far.until(ev.SettingsAcknowledged)
        async with beside() as tasks:
            tasks.start_soon(stream.send, (b"x" * 500,))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(stream.send_eof)
            await anyio.wait_all_tasks_blocked()
            await far.do("increment_flow_control_window", 10_000, 1)
            await far.until(ev.StreamEnded)
        assert far.bodies[1] == b"x" * 500

    played(scene, anyio_backend)


def test_one_stream_does_not_hold_up_another(anyio_backend: str) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.do("increment_flow_control_window", 1 << 24)
        await far.do("update_settings", {SettingCodes.INITIAL_WINDOW_SIZE: 1 << 24})
        await far.until(ev.SettingsAcknowledged)
        async with connection.ask(HEAD, refused) as other, beside() as tasks:
            tasks.start_soon(stream.send, (bytes(2_000_000),))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(other.send, (b"small",))
            while far.bodies.get(3) != b"small":
                await far.hear()
            assert len(far.bodies[1]) <= 2 * 256 * 1024

    played(scene, anyio_backend)


def test_a_peer_that_does_not_read_makes_us_wait_and_nothing_grow(anyio_backend: str) -> None:
    """What we owe it for its pings does not grow either: then it is not read."""

    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        async with beside() as tasks:
            tasks.start_soon(stream.send, (b"x" * 5_000,))
            await anyio.wait_all_tasks_blocked()
            assert connection.busy
            assert not stream.offer((b"y",))
            with anyio.move_on_after(1.0) as scope:
                while True:
                    await far.do("ping", b"12345678")
            assert scope.cancelled_caught
            assert 64 * 1024 < len(connection._pending) < 3 * 64 * 1024
            tasks.start_soon(far.do, "ping", b"87654321")
            while (await far.until(ev.PingAckReceived)).ping_data != b"87654321":
                pass

    played(scene, anyio_backend, limit=1_000, ping_interval=None)


# --- in ---------------------------------------------------------------------------------------


def test_all_that_waits_is_one_batch_and_giving_up_loses_none(anyio_backend: str) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.accept()
        for patience in (0.5, 1.0):
            with anyio.move_on_after(patience) as scope:
                await stream.receive()
            assert scope.cancelled_caught
        for piece in (b"a", b"", b"b"):
            await far.do("send_data", 1, piece)
        await anyio.sleep(TICK)
        await far.do("send_headers", 1, [("x-t", "1")], end_stream=True)
        await anyio.sleep(TICK)
        assert await stream.receive() == (b"a", b"b")
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        assert stream.trailers == {"x-t": "1"}

    played(scene, anyio_backend)


def test_heads_that_come_before_the_answer_and_headers_that_come_twice(anyio_backend: str) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.do("send_headers", 1, [(":status", "100")])
        await anyio.sleep(TICK)
        assert stream.answer is None
        await far.do("send_headers", 1, [(":status", "200"), ("a", "b"), ("a", "c")])
        assert (await stream.answered()).headers == {"a": "b, c"}

    played(scene, anyio_backend)


@pytest.mark.parametrize("late", [False, True])
def test_what_comes_for_a_stream_that_was_left_takes_no_room_for_good(
    anyio_backend: str, late: bool
) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.accept()
        await far.until(ev.SettingsAcknowledged)
        for number in range(3, 40, 2):
            other = connection.ask(HEAD, refused)
            await far.until(ev.RequestReceived)
            await far.accept(number=number)
            if late:
                other.reset()
            for _ in range(4):
                await far.do("send_data", number, bytes(16_000))
            await anyio.sleep(TICK)
            if not late:
                await other.receive()
                other.reset()
            await far.until(ev.StreamReset)
        assert far.h2.outbound_flow_control_window > 4 * 16_000

    played(scene, anyio_backend, window=65_535)


def test_a_body_that_is_not_received_when_we_leave_is_let_go(anyio_backend: str) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.accept()
        await far.until(ev.SettingsAcknowledged)
        await far.do("send_data", 1, bytes(10_000))
        await anyio.sleep(TICK)
        async with beside() as tasks:
            tasks.start_soon(stream.aclose)
            await far.until(ev.StreamEnded)
            await far.do("send_data", 1, bytes(10_000), end_stream=True)
            await anyio.sleep(TICK)
        assert anyio.current_time() < 0.5
        await stream.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await stream.receive()
        with pytest.raises(anyio.ClosedResourceError):
            stream.post(b"late")

    played(scene, anyio_backend)


def test_who_receives_while_another_closes_is_told(anyio_backend: str) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        async with anyio.create_task_group() as tasks:

            async def receive(what: Callable[[], Awaitable[object]]) -> None:
                with pytest.raises(anyio.ClosedResourceError):
                    await what()

            tasks.start_soon(receive, stream.receive)
            tasks.start_soon(receive, stream.answered)
            await anyio.wait_all_tasks_blocked()
            await stream.aclose()

    played(scene, anyio_backend)


# --- ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["push", "send"])
def test_a_write_that_fails_is_told_once_nothing_more_can_be_read(
    anyio_backend: str, how: str
) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        pipe = connection._pipe
        assert isinstance(pipe, MemoryPipe)
        async with beside() as tasks:
            if how == "send":
                tasks.start_soon(fails, stream)
                await anyio.wait_all_tasks_blocked()
                assert connection.busy
                pipe.shut()
            else:
                pipe.lost = True
                tasks.start_soon(fails, stream)
                await anyio.wait_all_tasks_blocked()
                assert connection._torn
                pipe.news.give()
            assert isinstance(await end_of(stream), Unavailable)
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(RealtimeException):
            connection.ask(HEAD, refused)

    async def fails(stream: Stream) -> None:
        with pytest.raises(RealtimeException) as caught:
            await stream.send((b"x" * 5_000,))
        assert isinstance(caught.value.error, Unavailable)

    played(scene, anyio_backend, limit=500)


def test_what_comes_for_a_stream_that_was_left_behind_is_let_go(anyio_backend: str) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.accept()
        await far.until(ev.SettingsAcknowledged)
        goaway = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8)
        await far.carrier.send(goaway)
        assert isinstance(await end_of(stream), Unavailable)
        await stream.aclose()
        for _ in range(3):
            await far.do("send_data", 1, bytes(4_000))
        await far.do("ping", bytes(8))
        await far.until(ev.PingAckReceived)
        assert far.h2.local_flow_control_window(1) > 16_384 - 12_000

    played(scene, anyio_backend, window=16_384)


def test_room_that_is_granted_beyond_what_can_be_is_a_violation(anyio_backend: str) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        update = b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff"
        await far.carrier.send(update)
        assert isinstance(await end_of(stream), ProtocolViolation)
        await far.until(ev.ConnectionTerminated)

    played(scene, anyio_backend)


FRAMES = st.builds(
    lambda kind, flags, number, body: (
        len(body).to_bytes(3, "big") + bytes((kind, flags)) + number.to_bytes(4, "big") + body
    ),
    st.integers(0, 12),
    st.sampled_from([0, 1, 4, 5, 8, 0x20, 0xFF]),
    st.sampled_from([0, 1, 2, 3, 0x8000_0001]),
    st.binary(max_size=40) | st.sampled_from([b"\x88", b"\x88\x00\x01a\x01b", bytes(8), bytes(4)]),
)


@settings(max_examples=max(100, settings().max_examples))
@given(st.lists(st.binary(max_size=60) | FRAMES, max_size=6))
def test_any_bytes_end_as_pieces_or_a_typed_error(reads: list[bytes]) -> None:
    async def program() -> None:
        async with no_leaks(), opened(close_timeout=TICK) as (_, stream, far):
            await far.until(ev.RequestReceived)
            for read in filter(None, reads):
                await far.carrier.send(read)
                await anyio.sleep(TICK)
            assert isinstance(far.carrier, MemoryPipe)
            far.carrier.shut()
            await end_of(stream)

    run(program)


# --- silence ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "timeout", "gaps"),
    [(64, 64, []), (200, 7, [3, 150]), (5, 90, [40, 40]), (1, 1, [0])],
)
def test_silence_is_noticed_in_time_and_not_sooner(
    anyio_backend: str, interval: int, timeout: int, gaps: list[int]
) -> None:
    async def scene(connection: Connection, stream: Stream, far: Far) -> None:
        await far.until(ev.RequestReceived)
        await far.accept()
        async with beside() as tasks:
            hearing = anyio.CancelScope()

            async def hear() -> None:
                with hearing:
                    while True:
                        await far.hear()

            tasks.start_soon(hear)
            for gap in gaps:
                await anyio.sleep(gap * TICK)
                await far.do("send_data", 1, b"x")
                await stream.receive()
            hearing.cancel()
            last = anyio.current_time()
            error = await end_of(stream, 1_000)
            assert isinstance(error, Unavailable)
            assert "half-open" in error.what
            waited = (anyio.current_time() - last) / TICK
            beat = timeout / ceil(4 * timeout / min(interval, timeout))
            assert timeout <= waited + beat
            assert waited <= interval + timeout + beat

    played(scene, anyio_backend, ping_interval=interval * TICK, ping_timeout=timeout * TICK)


# --- cancellation -----------------------------------------------------------------------------


async def answering(far: Far) -> None:
    """Send back what comes, slowly granting room, to the end."""
    await far.flush()
    asked = await far.until(ev.RequestReceived)
    await far.accept(number=asked.stream_id)
    done = False
    while not done:
        for event in await far.hear():
            if isinstance(event, ev.DataReceived) and event.data:
                await far.do(
                    "acknowledge_received_data", event.flow_controlled_length, event.stream_id
                )
                await far.do("send_data", event.stream_id, event.data[:500])
            done = done or isinstance(event, ev.StreamEnded | ev.StreamReset)
    if far.h2.streams and not far.h2.streams[1].closed:
        await far.do("end_stream", 1)


async def talking(endpoint: Endpoint) -> None:
    async with http2(endpoint)(PLAN) as link:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.send, (b"x" * 900,))
            await link.send((b"y" * 300,))
            await body_of(link, 500)
        await leaving(link)


async def leaving(link: Link) -> None:
    await link.send_eof()
    assert await end_of(link, 100) is None


@pytest.mark.parametrize("stalled", [False, True])
def test_cancelled_at_any_instant_it_leaves_nothing(
    anyio_backend: str, stalled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(point: Injection) -> None:
        async with no_leaks():
            here, there = pipes(200)
            made = list[MemoryPipe]()

            async def opening(way: Way, patience: float) -> MemoryPipe:
                await anyio.lowlevel.checkpoint()
                made.append(here)
                return here

            monkeypatch.setattr(module, "opened", opening)
            endpoint = Endpoint(url="http://h", close_timeout=8 * TICK, ping_interval=None)
            async with beside() as tasks:
                tasks.start_soon(answers, there)
                with anyio.CancelScope() as scope:
                    if stalled:
                        with anyio.move_on_after(64 * TICK):
                            await point.drive(talking(endpoint), scope.cancel)
                    else:
                        await point.drive(talking(endpoint), scope.cancel)
                assert all(pipe.closed for pipe in made)

    async def answers(pipe: MemoryPipe) -> None:
        if stalled:
            await anyio.sleep_forever()
        far = Far(pipe)
        with suppress(anyio.EndOfStream, BrokenPipeError, Early):
            await answering(far)
            while True:
                await far.hear()

    instants = every_point(scene, backend=anyio_backend)
    assert instants > 5
