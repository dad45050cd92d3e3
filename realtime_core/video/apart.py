"""Cameras, the screen and films as sources, each looked through by a process of its own.

Stopping ends that process, so the device is free and nothing is left, even where a read would never
have come back; decoding and encoding hold up no event loop. Needs the extra `video`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from os import PathLike
from pathlib import Path

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from ..errors import InvalidRequest, RealtimeError, RealtimeException, Unavailable
from .grabber import Answer, Over, Ready, Refused, Taken, Wish
from .sources import DEFAULT, Limits, Shot, Source

__all__ = ("camera", "film", "screen")

_OPENING = 15.0
"""Seconds in which a device or file must be open."""
_LEAVE = 2.0
"""Seconds that the system has to end a process; one that the kernel holds may stay longer."""
_LONGEST = 65_536
"""Bytes of an answer's line."""

_PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import json, sys; "
    "sys.path[:] = json.loads(sys.argv[1]); "
    "from realtime_core.video.grabber import main; main()"
)
"""Ctrl-C is for the program that started it, which ends it."""

_SPEECHLESS = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.DelimiterNotFound,
    anyio.BrokenResourceError,
    msgspec.DecodeError,
)

_ANSWERS = msgspec.json.Decoder[Answer](Answer)


def camera(device: int | str = 0) -> Source:
    """Give a camera's newest picture: by number from 0, or by the system's name for it.

    Some systems ask the user first. Opening raises `RealtimeException` where there is none.
    """
    return _Apart(Wish("camera", str(device)))


def screen() -> Source:
    """Give the whole screen as it is when a picture is wanted."""
    return _Apart(Wish("screen"))


def film(path: str | PathLike[str], pace: float = 1.0) -> Source:
    """Play a video file at `pace` times its speed; at 0, give every picture of it in turn.

    It begins when the first picture is asked for. Raises `RealtimeException` where there is no such
    file or pace; opening it raises where it is no video.
    """
    name = os.fspath(path)
    if not 0 <= pace < float("inf"):
        raise RealtimeException(
            InvalidRequest(
                what=f"A film cannot be played at {pace} times its speed.",
                cause="`pace` is a number that is not negative",
                fix="Use 1.0 for real time, 0 for one picture after another.",
            )
        )
    if not Path(name).exists() or Path(name).is_dir():
        raise RealtimeException(
            InvalidRequest(
                what=f"There is no video file {name!r}.",
                cause="the name is misspelt, or it is a folder",
                fix="Check the path.",
            )
        )
    return _Apart(Wish("film", name, pace))


class _Apart(msgspec.Struct, frozen=True):
    wish: Wish

    @asynccontextmanager
    async def open(self, limits: Limits = DEFAULT) -> AsyncGenerator[AsyncIterator[Shot]]:
        process = await _started()
        try:
            shots = _Shots(process)
            await shots.begin(msgspec.structs.replace(self.wish, limits=limits))
            yield shots
        finally:
            await _ended(process)


async def _started() -> Process:
    if not sys.executable:
        raise RealtimeException(_unseen("this program does not know its own Python"))
    command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path)]
    windowless = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    begun = anyio.open_process(command, stderr=subprocess.DEVNULL, creationflags=windowless)
    process: Process | None = None
    try:
        with anyio.CancelScope(shield=True):  # once begun, it must not be lost
            process = await begun
    except OSError as problem:
        raise RealtimeException(_unseen(str(problem))) from problem
    assert process is not None  # noqa: S101 - a shielded scope is left by an exception only
    return process


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    with anyio.move_on_after(_LEAVE, shield=True):
        await process.aclose()


class _Shots(AsyncIterator[Shot]):
    """For one consumer. Cancelling a pending `__anext__` loses nothing."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        self._asks = process.stdin
        self._answers = BufferedByteReceiveStream(process.stdout)
        self._asked = False
        self._taken: Taken | None = None
        self._over = False

    async def begin(self, wish: Wish) -> None:
        """Say what to look through; raises `RealtimeException` where that cannot be."""
        try:
            with anyio.fail_after(_OPENING):
                await self._ask(msgspec.json.encode(wish) + b"\n")
                await self._answer()
        except TimeoutError as problem:
            late = _unseen(f"it was not open within {_OPENING:g} s")
            raise RealtimeException(late) from problem

    async def __anext__(self) -> Shot:
        if self._over:
            raise StopAsyncIteration
        if not self._asked:
            with anyio.CancelScope(shield=True):  # a byte, for which there is room
                await self._ask(b"\n")
            self._asked = True
        if self._taken is None:
            answer = await self._answer()
            if not isinstance(answer, Taken):
                self._over = True
                raise StopAsyncIteration
            self._taken = answer
        image = await self._image(self._taken.size)
        taken, self._taken, self._asked = self._taken, None, False
        return Shot(image, anyio.current_time() - taken.age, taken.missed)

    async def _ask(self, words: bytes) -> None:
        with suppress(OSError, anyio.BrokenResourceError):  # why it is gone, the answers tell
            await self._asks.send(words)

    async def _answer(self) -> Ready | Taken | Over:
        with _heard():
            answer: Answer = _ANSWERS.decode(await self._answers.receive_until(b"\n", _LONGEST))
        if isinstance(answer, Refused):
            raise RealtimeException(answer.error)
        return answer

    async def _image(self, size: int) -> bytes:
        with _heard():
            return await self._answers.receive_exactly(size)


@contextmanager
def _heard() -> Generator[None]:
    try:
        yield
    except _SPEECHLESS as problem:
        raise RealtimeException(_unseen("the process that looks gives no answer")) from problem


def _unseen(why: str) -> RealtimeError:
    return Unavailable(
        what=f"No picture can be had: {why}.",
        cause="the device or file hangs, or the system ended or forbade the process that looks",
        fix="Try again; where it stays, try another device or file.",
    )
