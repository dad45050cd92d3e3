"""Serving: what is said keeps its order, and a client inside the process sees how it was closed."""

from __future__ import annotations

import anyio
import pytest

from realtime_core.audio.format import PCM_24K
from realtime_core.beside import beside
from realtime_core.capability import Capabilities
from realtime_core.config import SessionConfig
from realtime_core.errors import RealtimeError, RealtimeException, Unavailable
from realtime_core.link import Wires
from realtime_core.plan import Plan
from realtime_core.serving import ENDS, Outbox, Socket, inside
from realtime_core.testing import run
from realtime_core.transports.memory import memory_link

PLAN = Plan(SessionConfig(), Capabilities(provider="served"), PCM_24K, PCM_24K)


class Far:
    """A client's connection whose other end a test holds."""

    def __init__(self) -> None:
        self.link, self.client = memory_link(buffer=1)
        self.receive = self.link.receive
        self.send = self.link.send
        self.left: tuple[int, str] | None = None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.left = (code, reason)
        await self.link.aclose()

    def abort(self) -> None:
        raise AssertionError("nobody breaks it off")


def closed(code: int, reason: str) -> RealtimeError | None:
    return None if code == 1000 else Unavailable(what=f"{code} {reason}".strip(), cause="planted")


def test_what_is_said_is_written_in_its_order_and_before_the_leave(anyio_backend: str) -> None:
    async def program() -> list[Wires]:
        far, got = Far(), list[Wires]()
        box = Outbox(far)
        async with far.client, beside() as tasks:
            tasks.start_soon(box.write)
            for number in range(3):
                box.put((f"{number}",))
            await box.said()
            box.put(("last",))
            tasks.start_soon(box.leave, 1011, "x" * 200)
            async for wires in far.client:
                got.append(wires)
        assert far.left == (1011, "x" * 120)
        return got

    got = run(program, backend=anyio_backend)
    assert [wire for wires in got for wire in wires] == ["0", "1", "2", "last"]


def test_who_does_not_read_is_not_heard(anyio_backend: str) -> None:
    async def program() -> None:
        far = Far()
        box = Outbox(far)
        async with far.link, far.client, beside() as tasks:
            tasks.start_soon(box.write)
            for _ in range(4):
                box.put((b"x" * (1 << 20),))
                await anyio.sleep(0.1)
            await far.client.send(("a question",))
            with anyio.move_on_after(1.0) as patience:
                await box.receive()
            assert patience.cancelled_caught
            for _ in range(2):
                await far.client.receive()
            assert await box.receive() == ("a question",)

    run(program, backend=anyio_backend)


def test_who_left_without_reading_holds_nobody_up(anyio_backend: str) -> None:
    async def program() -> float:
        far = Far()
        box = Outbox(far)
        async with far.link, beside() as tasks:
            tasks.start_soon(box.write)
            box.put((b"x" * (2 << 20),))
            await far.client.aclose()
            await box.room()
            box.put(("nobody hears this",))
            await box.leave()
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 0.0


def test_leaving_one_who_does_not_read_takes_two_seconds(anyio_backend: str) -> None:
    async def program() -> float:
        far = Far()
        box = Outbox(far)
        async with far.client, beside() as tasks:
            tasks.start_soon(box.write)
            for number in range(3):
                box.put((f"{number}",))
                await anyio.wait_all_tasks_blocked()
            began = anyio.current_time()
            await box.leave()
            assert far.left == (1000, "")
            return anyio.current_time() - began

    assert run(program, backend=anyio_backend) == pytest.approx(2.0)


async def _talk(socket: Socket) -> None:
    assert await socket.receive() == ("hello",)
    await socket.send(("welcome",))
    if await socket.receive() == ("break",):
        socket.abort()
    await socket.close(1011, "trouble")


@pytest.mark.parametrize(("word", "what"), [("break", "1006"), ("go", "1011 trouble")])
def test_inside_the_process_a_client_sees_how_it_was_closed(
    anyio_backend: str, word: str, what: str
) -> None:
    async def program() -> str:
        async with inside(_talk, closed)(PLAN) as link:
            await link.send(("hello",))
            assert await link.receive() == ("welcome",)
            await link.send((word,))
            with pytest.raises(RealtimeException) as caught:
                await link.receive()
            return caught.value.error.what

    assert run(program, backend=anyio_backend) == what


def test_a_good_end_is_an_end_of_stream(anyio_backend: str) -> None:
    async def attend(socket: Socket) -> None:
        while True:
            await socket.send(await socket.receive())

    async def program() -> None:
        async with inside(attend, closed)(PLAN) as link:
            await link.send(("echo",))
            assert await link.receive() == ("echo",)
            await link.send_eof()
            with pytest.raises(anyio.EndOfStream):
                await link.receive()

    run(program, backend=anyio_backend)


def test_a_client_that_leaves_ends_its_server(anyio_backend: str) -> None:
    ended = list[str]()

    async def attend(socket: Socket) -> None:
        try:
            await socket.receive()
        except ENDS as end:
            ended.append(type(end).__name__)
            raise

    async def program() -> None:
        async with inside(attend, closed)(PLAN) as link:
            await anyio.wait_all_tasks_blocked()
            await link.aclose()
            await anyio.wait_all_tasks_blocked()

    run(program, backend=anyio_backend)
    assert ended == ["EndOfStream"]
