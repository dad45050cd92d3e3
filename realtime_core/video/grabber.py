"""The grabber: a program that looks through one device or film and gives a JPEG per request.

It is a process of its own because only a process can be ended whatever it waits for, and because
what it unpacks and packs then holds up nobody. It ends when its standard input is closed, however
that came about. `apart` starts it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from threading import Semaphore, Thread
from typing import IO, Literal

import msgspec

from ..errors import InternalFault, InvalidRequest, RealtimeError, RealtimeException
from .devices import Camera, Eye, Film, Screen, devices_of
from .jpeg import to_jpeg
from .sources import Limits

__all__ = ("Answer", "Over", "Ready", "Refused", "Taken", "Wish", "main", "serve")


class Wish(msgspec.Struct, frozen=True):
    """What to look through; the first line that the grabber is given."""

    kind: Literal["camera", "screen", "film"]
    name: str = ""
    pace: float = 1.0
    limits: Limits = Limits()


class Ready(msgspec.Struct, frozen=True, tag=True):
    """It is open, and requests are answered."""


class Taken(msgspec.Struct, frozen=True, tag=True):
    """A picture: this many bytes follow."""

    size: int
    age: float
    """Seconds since it was taken."""
    missed: int


class Over(msgspec.Struct, frozen=True, tag=True):
    """There are no more pictures."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It cannot be looked at, or not any more."""

    error: RealtimeError


Answer = Ready | Taken | Over | Refused
"""The line that answers: to the wish, then to each request, which is one byte."""


def main(asks: int = 0, answers: int = 1, leave: Callable[[int], object] = os._exit) -> None:
    """Serve these descriptors, by default the process's standard ones, and end the process."""
    requests = open(asks, "rb", buffering=0, closefd=False)  # noqa: SIM115 - a descriptor
    line = requests.readline()
    with os.fdopen(os.dup(answers), "wb") as replies:
        os.dup2(2, answers)  # what others print must not come between
        if line.endswith(b"\n"):
            wish = msgspec.json.decode(line, type=Wish)
            serve(wish, requests, replies, lambda: leave(0))
    leave(0)  # a thread that still reads must not hold it up


def serve(wish: Wish, asks: IO[bytes], answers: IO[bytes], gone: Callable[[], object]) -> None:
    """Answer requests until there are no more of them, or of pictures.

    `gone` is called, in another thread, as soon as no more can come, whatever is being waited for.
    """
    asked, last = Semaphore(0), False

    def listen() -> None:
        nonlocal last
        while asks.read(1):
            asked.release()
        last = True
        asked.release()
        gone()

    Thread(target=listen, daemon=True, name="requests").start()
    try:
        eye = _opened(wish)
        _say(answers, Ready())
        while True:
            asked.acquire()
            if last or not _answered(eye, wish.limits, answers):
                return
    except RealtimeException as refusal:
        _say(answers, Refused(refusal.error))
    except ImportError as problem:
        _say(answers, Refused(_missing(problem)))
    except Exception as problem:  # what foreign libraries raise is not known
        _say(answers, Refused(_defect(wish, problem)))


def _answered(eye: Eye, limits: Limits, answers: IO[bytes]) -> bool:
    seen = eye.look()
    if seen is None:
        _say(answers, Over())
        return False
    image = to_jpeg(seen.image, limits.max_bytes, limits.max_side)
    _say(answers, Taken(len(image), time.monotonic() - seen.at, seen.missed), image)
    return True


def _opened(wish: Wish) -> Eye:
    if wish.kind == "camera":
        return Camera(*devices_of(sys.platform, wish.name))
    return Screen() if wish.kind == "screen" else Film(wish.name, wish.pace)


def _say(answers: IO[bytes], answer: Answer, image: bytes = b"") -> None:
    answers.write(msgspec.json.encode(answer) + b"\n" + image)
    answers.flush()


def _missing(problem: ImportError) -> RealtimeError:
    return InvalidRequest(
        what="Cameras, the screen and films need the extra `video`.",
        cause=f"{problem}",
        fix="Type: pip install 'realtime-core[video]'",
    )


def _defect(wish: Wish, problem: Exception) -> RealtimeError:
    return InternalFault(
        what=f"The {wish.kind} cannot be looked at: {type(problem).__name__}: {problem}.",
        cause="a defect, here or in the libraries that read it",
        fix="Try again; where it stays, report it with this text.",
    )
