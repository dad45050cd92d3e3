"""What the command prints: lines on standard output, complaints and notes on standard error.

Text of models, providers and files is shown without control characters, so it cannot steer the
terminal. A reader that closes our output ends the command quietly.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import unicodedata

from ..errors import InvalidRequest, RealtimeError, RealtimeException

__all__ = ("ReaderGone", "clean", "complain", "hush", "note", "put")


class ReaderGone(Exception):  # noqa: N818 - no error: whoever read has seen enough
    """Whoever read our standard output has closed it."""


def put(line: str | bytes) -> None:
    """Print one line, at once; bytes go out as they are.

    Raises `ReaderGone` when nobody reads any more, `RealtimeException` when it cannot be written.
    """
    stream = sys.stdout
    try:
        if isinstance(line, bytes):
            stream.flush()
            stream.buffer.write(line + b"\n")
            stream.buffer.flush()
        else:
            stream.write(line + "\n")
            stream.flush()
    except BrokenPipeError as problem:
        raise ReaderGone from problem
    except OSError as problem:
        if problem.errno in {errno.EPIPE, errno.EIO}:
            raise ReaderGone from problem
        raise RealtimeException(_unwritable(problem)) from problem


def _unwritable(problem: OSError) -> RealtimeError:
    return InvalidRequest(
        what=f"The standard output cannot be written: {problem.strerror}.",
        cause="a full disk, or a device that takes nothing",
        fix="Send the output to another place.",
    )


def note(text: str) -> None:
    """Print a line on standard error; where that is closed, nothing."""
    # A closed or full standard error is no reason to stop.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(clean(text) + "\n")
        sys.stderr.flush()


def complain(error: RealtimeError) -> None:
    """Print the three parts of an error on standard error."""
    note(f"error: {error.what}")
    if error.cause:
        note(f"  cause: {error.cause}")
    if error.fix:
        note(f"  fix:   {error.fix}")


def clean(text: str) -> str:
    """Give the text as one line without control characters (escape sequences among them)."""
    line = " ".join(text.splitlines())
    return "".join(c for c in line if c == "\t" or unicodedata.category(c) not in {"Cc", "Cs"})


def hush() -> None:
    """Let nothing more reach standard output, so that the last flush of Python cannot fail."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
