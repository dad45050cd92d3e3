"""Devices and films in a process of their own: in real time, and nothing of it is left.

A pipe that nobody writes to stands for a device that never answers: its read never comes back.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from anyio.abc import Process

from realtime_core.errors import InvalidRequest, RealtimeError, RealtimeException, Unavailable
from realtime_core.testing import no_leaks
from realtime_core.video import Limits, Shot, Source, apart, camera, film, screen
from realtime_core.video.grabber import Taken, Wish
from tests.core.video.clips import film_of, shade

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe with a name"),
]


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    path = tmp_path / "hangs.mp4"
    os.mkfifo(path)
    return path


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    made = list[Process]()
    start = apart._started

    async def started() -> Process:
        made.append(await start())
        return made[-1]

    monkeypatch.setattr(apart, "_started", started)
    return made


@asynccontextmanager
async def nothing_left(processes: list[Process]) -> AsyncGenerator[None]:
    async with no_leaks(within=1.0):
        yield
    assert processes
    assert all(process.returncode is not None for process in processes)


async def test_a_film_is_played_and_ends(tmp_path: Path, processes: list[Process]) -> None:
    path = film_of(tmp_path / "a.mp4", *range(10, 110, 10), fps=20)
    found = list[tuple[Shot, float]]()
    async with nothing_left(processes), film(path).open(Limits(max_side=32)) as shots:
        async for shot in shots:
            found.append((shot, anyio.current_time()))
            await anyio.sleep(0.12)
        with pytest.raises(StopAsyncIteration):
            await anext(shots)
    levels = [shade(shot.image) for shot, _ in found]
    assert levels == sorted(levels)
    assert (levels[0], levels[-1]) == (10, 100)
    assert sum(shot.missed + 1 for shot, _ in found) == 10
    for shot, at in found:
        assert -0.001 < at - shot.at < 1.5


async def test_every_picture_of_a_film_comes_at_pace_0(tmp_path: Path) -> None:
    path = film_of(tmp_path / "a.mp4", *range(10, 60, 10))
    async with film(str(path), 0).open() as shots:
        assert [shade(shot.image) async for shot in shots] == list(range(10, 60, 10))


@pytest.mark.parametrize("after", [0.0, 0.002, 0.02, 0.1, 0.4])
async def test_what_never_opens_is_given_up_at_any_moment(
    hanging: Path, after: float, processes: list[Process]
) -> None:
    begun = time.monotonic()
    async with nothing_left(processes):
        with anyio.move_on_after(after) as waiting:
            async with film(hanging).open():
                pass
        assert waiting.cancelled_caught
    assert time.monotonic() - begun < after + 1.5


async def test_what_does_not_open_in_time_says_so(
    hanging: Path, processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "_OPENING", 0.3)
    async with nothing_left(processes):
        with pytest.raises(RealtimeException, match=r"not open within 0\.3 s") as refused:
            async with film(hanging).open():
                pass
    assert isinstance(refused.value.error, Unavailable)


async def test_a_cancelled_wait_for_a_picture_loses_none(tmp_path: Path) -> None:
    path = film_of(tmp_path / "a.mp4", 10, 20, 30, fps=3)
    async with film(path).open() as shots:
        levels = [shade((await anext(shots)).image)]
        for _ in range(4):
            with anyio.move_on_after(0.05):
                levels.append(shade((await anext(shots)).image))
        levels += [shade(shot.image) async for shot in shots]
    assert levels == [10, 20, 30]


class Slow:
    """A process that answers in pieces, each when the test says so."""

    def __init__(self) -> None:
        self.said, self._hears = anyio.create_memory_object_stream[bytes](9)
        self.asked = 0
        self.stdin = self.stdout = self

    async def send(self, words: bytes) -> None:
        self.asked += words == b"\n"

    async def receive(self, size: int = 0) -> bytes:
        return await self._hears.receive()

    def close(self) -> None:
        self.said.close()
        self._hears.close()


async def test_a_wait_cancelled_in_the_middle_of_a_picture_loses_none() -> None:
    process: Any = Slow()
    shots = apart._Shots(process)
    pieces = (msgspec.json.encode(Taken(4, 0.5, 2)) + b"\n", b"jp", b"eg")
    for piece in pieces:
        with anyio.move_on_after(0.01) as waiting:
            await anext(shots)
        assert waiting.cancelled_caught
        process.said.send_nowait(piece)
    shot = await anext(shots)
    assert (shot.image, shot.missed, process.asked) == (b"jpeg", 2, 1)
    assert shot.at == pytest.approx(anyio.current_time() - 0.5, abs=0.2)
    process.close()


async def test_a_process_that_dies_says_so(tmp_path: Path, processes: list[Process]) -> None:
    path = film_of(tmp_path / "a.mp4", *range(10, 110, 10), fps=1)
    async with nothing_left(processes), film(path).open() as shots:
        await anext(shots)
        processes[0].send_signal(signal.SIGINT)  # Ctrl-C in a terminal: not for it
        with anyio.move_on_after(0.1):
            await anext(shots)
        assert processes[0].returncode is None
        processes[0].kill()
        with pytest.raises(RealtimeException, match="gives no answer"):
            await anext(shots)
        with pytest.raises(RealtimeException, match="gives no answer"):
            await anext(shots)


@pytest.mark.parametrize(
    ("source", "what"),
    [(camera("/dev/no-such-camera"), "There is no camera"), (camera(99), "There is no camera")],
)
async def test_what_is_not_there_says_so(
    source: Source, what: str, processes: list[Process]
) -> None:
    async with nothing_left(processes):
        with pytest.raises(RealtimeException, match=what) as refused:
            async with source.open():
                pass
    assert refused.value.error.fix


async def test_a_screen_is_seen_or_refused_in_words(processes: list[Process]) -> None:
    async with nothing_left(processes), screen().open() as shots:
        error: RealtimeError | None = None
        try:
            assert (await anext(shots)).image
        except RealtimeException as refused:
            error = refused.error
    assert error is None or (error.fix and "The screen cannot be seen" in error.what)


@pytest.mark.parametrize("pace", [-1.0, float("nan"), float("inf")])
def test_a_pace_that_is_none_is_refused(tmp_path: Path, pace: float) -> None:
    with pytest.raises(RealtimeException, match="times its speed") as refused:
        film(film_of(tmp_path / "a.mp4", 10), pace)
    assert isinstance(refused.value.error, InvalidRequest)


def test_a_film_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(RealtimeException, match="There is no video file") as refused:
            film(path)
        assert refused.value.error.fix


async def test_where_no_process_can_be_started_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for python, why in (("", "does not know its own Python"), (str(tmp_path), "denied|directory")):
        monkeypatch.setattr(sys, "executable", python)
        with pytest.raises(RealtimeException, match=why):
            async with screen().open():
                pass


_PROGRAM = """
import anyio, sys
from realtime_core.video import apart, film

start = apart._started

async def started():
    process = await start()
    print(process.pid, flush=True)
    return process

async def main():
    apart._started = started
    async with film(sys.argv[1]).open():
        pass

anyio.run(main)
"""


def test_a_process_whose_master_was_killed_ends_though_it_hangs(hanging: Path) -> None:
    words = [sys.executable, "-c", _PROGRAM, str(hanging)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as master:
        assert master.stdout is not None
        grabber = int(master.stdout.readline())
        time.sleep(0.5)  # it hangs by now; sooner would be no test
        assert alive(grabber)
        master.kill()
    ends = time.monotonic() + 10
    while alive(grabber):
        assert time.monotonic() < ends
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits for its parent does not."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return Path("/proc/self/stat").exists() is False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_wish_is_told_in_one_line() -> None:
    wish = Wish("film", "a\nb.mp4", 2.0)
    line = msgspec.json.encode(wish)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Wish) == wish
