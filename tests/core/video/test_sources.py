"""Sources of this program: pictures one by one, or the newest of a stream; nothing is left."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import anyio
import numpy as np
import numpy.typing as npt
import pytest

from realtime_core.errors import RealtimeException
from realtime_core.testing import TICK, no_leaks, run
from realtime_core.video import Limits, Shot, image_mime, live, stills
from realtime_core.video.sources import Source
from tests.core.video.clips import flat, jpeg_of, shade


async def all_of(source: Source, limits: Limits | None = None) -> list[Shot]:
    async with no_leaks(), source.open(*([limits] if limits else [])) as shots:
        found = [shot async for shot in shots]
        with pytest.raises(StopAsyncIteration):
            await anext(shots)
        return found


def test_stills_come_in_turn_whatever_they_are(anyio_backend: str, tmp_path: Path) -> None:
    path, data = tmp_path / "a.jpg", jpeg_of(20)
    path.write_bytes(jpeg_of(10))
    shots = run(all_of, stills(path, data, flat(30), str(path)), backend=anyio_backend)
    assert [shade(shot.image) for shot in shots] == [10, 20, 30, 10]
    assert shots[1].image == data
    assert all(shot.missed == 0 and shot.at == 0.0 for shot in shots)
    again = stills(data)
    assert run(all_of, again, backend=anyio_backend) == run(all_of, again, backend=anyio_backend)


def test_pictures_keep_the_limits(anyio_backend: str) -> None:
    limits = Limits(max_bytes=900, max_side=32)
    (shot,) = run(all_of, stills(flat(9, 640, 480)), limits, backend=anyio_backend)
    assert image_mime(shot.image) == "image/jpeg"
    assert len(shot.image) <= 900


def test_what_is_no_picture_says_so(anyio_backend: str, tmp_path: Path) -> None:
    for source in (stills(tmp_path / "none.png"), stills(b"words"), live(iter([b"words"]))):
        with pytest.raises(RealtimeException) as refused:
            run(all_of, source, backend=anyio_backend)
        assert refused.value.error.cause
        assert refused.value.error.fix


def test_an_iterable_is_asked_when_its_turn_comes(anyio_backend: str) -> None:
    asked = list[tuple[int, str]]()

    def pictures() -> Iterator[npt.NDArray[np.uint8]]:
        for level in (10, 20, 30):
            asked.append((level, threading.current_thread().name))
            yield flat(level)

    async def program() -> None:
        async with live(pictures()).open() as shots:
            assert shade((await anext(shots)).image) == 10
            assert len(asked) == 1
            await anyio.sleep(1)
            assert len(asked) == 1
            assert shade((await anext(shots)).image) == 20

    run(program, backend=anyio_backend)
    assert all(name != threading.main_thread().name for _, name in asked)


def test_a_read_that_never_comes_back_holds_up_nobody(anyio_backend: str) -> None:
    gate = threading.Event()

    def pictures() -> Iterator[npt.NDArray[np.uint8]]:
        gate.wait(20)
        yield flat(10)

    async def program() -> None:
        with anyio.move_on_after(0.2) as waiting:
            async with live(pictures()).open() as shots:
                await anext(shots)
        assert waiting.cancelled_caught
        gate.set()

    anyio.run(program, backend=anyio_backend)  # in real time: the thread does not come back


class Stream:
    """A picture each tenth of a second."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.closed = False

    async def pictures(self) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(self.count):
                await anyio.sleep(0.1)
                yield jpeg_of(10 * (number + 1))
        finally:
            self.closed = True


def test_of_a_stream_the_newest_is_given_and_the_rest_counted(anyio_backend: str) -> None:
    stream = Stream(10)

    async def program() -> list[Shot]:
        found = list[Shot]()
        async with no_leaks(), live(stream.pictures()).open() as shots:
            await anyio.sleep(0.35)
            async for shot in shots:
                found.append(shot)
                await anyio.sleep(0.3)
        return found

    found = run(program, backend=anyio_backend)
    assert [shade(shot.image) for shot in found] == [30, 60, 90, 100]
    assert [shot.missed for shot in found] == [2, 2, 2, 0]
    assert [shot.at for shot in found] == pytest.approx([0.3, 0.6, 0.9, 1.0], abs=TICK)
    assert stream.closed


def test_a_stream_is_waited_for_and_closed_at_the_end(anyio_backend: str) -> None:
    stream = Stream(10)

    async def program() -> None:
        async with no_leaks(), live(stream.pictures()).open() as shots:
            assert (await anext(shots)).at == pytest.approx(0.1)
        assert stream.closed

    run(program, backend=anyio_backend)


class Bare:
    """A stream that cannot be closed, and ends with a failure."""

    def __aiter__(self) -> Bare:
        return self

    async def __anext__(self) -> bytes:
        raise ValueError("the camera fell off")


def test_what_a_stream_raises_comes_out(anyio_backend: str) -> None:
    async def program() -> None:
        async with live(Bare()).open() as shots:
            await anext(shots)

    with pytest.raises(ValueError, match="fell off"):
        run(program, backend=anyio_backend)
