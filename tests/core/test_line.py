"""A line: messages leave in order, all at once, and it can be ended from anywhere."""

from __future__ import annotations

import anyio

from realtime_core.line import Line
from realtime_core.link import Wires
from realtime_core.testing import run


def test_messages_wait_in_order_until_they_are_taken_together(anyio_backend: str) -> None:
    async def program() -> None:
        line = Line(0)
        assert not line.waiting
        line.put((b"ab", "cde"))
        line.put(("",))
        assert (line.waiting, line.bytes_waiting, line.backed_up) == (True, 5, True)
        assert line.take() == (b"ab", "cde", "")
        assert (line.waiting, line.bytes_waiting, line.backed_up) == (False, 0, False)

    run(program, backend=anyio_backend)


def test_a_message_without_bytes_waits_too(anyio_backend: str) -> None:
    async def program() -> None:
        line = Line(0)
        line.put(("",))
        assert line.waiting

    run(program, backend=anyio_backend)


def test_a_line_is_backed_up_while_the_connection_has_not_accepted_what_it_got(
    anyio_backend: str,
) -> None:
    async def program() -> None:
        line = Line(0)
        line.sending = True
        assert line.backed_up
        assert not line.waiting

    run(program, backend=anyio_backend)


def test_putting_wakes_who_waits_for_messages(anyio_backend: str) -> None:
    async def program() -> None:
        line = Line(0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(line.filled.wait)
            await anyio.sleep(1.0)
            line.put(("x",))

    run(program, backend=anyio_backend)


def test_hanging_up_before_the_connection_stands_ends_it_at_once(anyio_backend: str) -> None:
    async def program() -> float:
        line = Line(0)
        line.hang_up(anyio.current_time() + 5.0)
        with line.scope:
            await anyio.sleep_forever()
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 0.0


def test_hanging_up_a_connection_that_stands_ends_it_by_the_deadline(anyio_backend: str) -> None:
    async def program() -> float:
        line = Line(0)
        with line.scope:
            with anyio.CancelScope() as line.talk:
                line.hang_up(anyio.current_time() + 5.0)
                assert line.hanging_up
                await anyio.sleep_forever()
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 5.0


def test_messages_go_straight_out_unless_others_wait(anyio_backend: str) -> None:
    async def program() -> None:
        line, sent = Line(0), list[Wires]()

        def takes_one(wires: Wires) -> bool:
            sent.append(wires)
            return len(sent) == 1

        line.straight = takes_one
        for wire in (b"a", b"b", b"c"):
            line.put((wire,))
        assert sent == [(b"a",), (b"b",)]
        assert line.take() == (b"b", b"c")

    run(program, backend=anyio_backend)
