"""A recording: writes the trace of a session into a file, while it runs.

A recording never harms the session: where it cannot go on, it stops, and that is told once.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from .driver import Watcher
from .errors import InvalidRequest, RealtimeError, RealtimeException
from .marks import Marks
from .provider import Provider
from .session import Opening
from .state import Input, Phase, State, Transition
from .trace import decode, entry, header

__all__ = ("recorded",)

F_contra = TypeVar("F_contra", contravariant=True)


def recorded(opening: Opening[F_contra], path: str | Path) -> Opening[F_contra]:
    """Record a session that is about to open: `async with recorded(open_session(...), path)`.

    A file of that name is overwritten. Entering raises `RealtimeException` where it cannot be
    written. If writing fails later, as on a full disk, the session goes on without; an `Error`
    event tells it, or, where the session is over by then, a `RealtimeException` on leaving. The
    file is whole once the block is left, in any way.
    """
    opening.recorders += (partial(_recording, Path(path)),)
    return opening


@contextmanager
def _recording(path: Path, provider: Provider[Any], state: State) -> Generator[Watcher]:
    file, marks = _begun(path, provider.name, state)
    pen = _Pen(path, file, marks)
    try:
        yield pen.note
    except BaseException:
        with suppress(OSError):
            file.close()
        raise
    try:
        file.close()
    except OSError as problem:
        if pen.stopped is None:
            raise RealtimeException(_unwritten(path, problem)) from problem
    if pen.stopped is not None and not pen.told:
        raise RealtimeException(pen.stopped)


def _begun(path: Path, provider: str, state: State) -> tuple[BinaryIO, Marks]:
    try:
        first = header(provider, state)
        decode(BytesIO(first.data).read, str(path))
    except Exception as problem:  # what a caller's own values may raise is not known
        raise RealtimeException(_unknown(problem)) from problem
    try:
        file = path.open("wb")
        try:
            file.write(first.data)
            file.flush()
        except OSError:
            with suppress(OSError):
                file.close()
            raise
    except (OSError, ValueError) as problem:
        raise RealtimeException(_unwritten(path, problem)) from problem
    return file, first.marks


class _Pen:
    """Writes one entry after the other, until one cannot be written."""

    def __init__(self, path: Path, file: BinaryIO, marks: Marks) -> None:
        self._path = path
        self._file = file
        self._marks = marks
        self.stopped: RealtimeError | None = None
        self.told = True
        """Whether somebody is left to be told why it stopped."""

    def note(self, given: Input, transition: Transition) -> RealtimeError | None:
        """Write; gives why it stopped, when it stops."""
        if self.stopped is not None:
            return None
        try:
            record = entry(self._marks, given, transition)
            self._file.write(record.data)
        except Exception as problem:  # nothing may hit the session
            self.stopped = _unwritten(self._path, problem)
            self.told = transition.state.phase is not Phase.CLOSED
            return self.stopped
        self._marks = record.marks
        return None


def _unwritten(path: Path, problem: Exception) -> RealtimeError:
    why = problem.strerror if isinstance(problem, OSError) else str(problem)
    return InvalidRequest(
        what=f"The session is not recorded in {str(path)!r}: {why}.",
        cause="a full disk, a folder that does not exist, or a place where you may not write",
        fix="Choose another file.",
    )


def _unknown(problem: Exception) -> RealtimeError:
    error = problem.error if isinstance(problem, RealtimeException) else None
    return InvalidRequest(
        what=f"This session cannot be recorded: {error.what if error else problem}",
        cause="a setting that is not of its declared type, or refers to itself",
        fix="Look at the fields of `SessionConfig`, its `options` among them.",
    )
