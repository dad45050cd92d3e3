"""A connection inside the process: two ends of one link, each the other's peer."""

from __future__ import annotations

import anyio
import pytest

from realtime_core.testing import run
from realtime_core.transports.memory import memory_link


def test_what_one_end_sends_the_other_receives_batch_by_batch(anyio_backend: str) -> None:
    async def program() -> None:
        ours, theirs = memory_link()
        async with ours, theirs:
            await ours.send(("a", b"b"))
            await theirs.send(("c",))
            await ours.send(("d",))
            assert await theirs.receive() == ("a", b"b")
            assert await theirs.receive() == ("d",)
            assert await ours.receive() == ("c",)

    run(program, backend=anyio_backend)


def test_a_full_link_makes_its_sender_wait(anyio_backend: str) -> None:
    async def program() -> None:
        ours, theirs = memory_link(buffer=1)
        async with ours, theirs:
            await ours.send(("a",))
            with anyio.move_on_after(1.0) as patience:
                await ours.send(("b",))
            assert patience.cancelled_caught
            assert await theirs.receive() == ("a",)
            await ours.send(("c",))
            assert await theirs.receive() == ("c",)

    run(program, backend=anyio_backend)


def test_closing_one_end_ends_the_other_behind_what_was_sent(anyio_backend: str) -> None:
    async def program() -> None:
        ours, theirs = memory_link()
        await ours.send(("last",))
        await ours.aclose()
        assert await theirs.receive() == ("last",)
        with pytest.raises(anyio.EndOfStream):
            await theirs.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await theirs.send(("x",))
        await theirs.aclose()

    run(program, backend=anyio_backend)
