"""Exceptions as what the command says of them, and as its exit codes.

Whatever is raised, a person reads three parts: what happened, the likely cause, what to type.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from ..errors import InternalFault, InvalidRequest, RealtimeError, RealtimeException
from .extras import EXTRAS, install_line
from .output import ReaderGone, complain, note

__all__ = ("DEBUG", "code_of", "error_of")

DEBUG = "REALTIME_DEBUG"
"""The variable that, set to anything, shows the traceback of an unforeseen failure."""


def code_of(problem: BaseException) -> int:
    """Print what is to be said of an exception, and give the exit code."""
    causes = tuple(_leaves(problem))
    if any(isinstance(cause, KeyboardInterrupt) for cause in causes):
        return 130
    if any(isinstance(cause, ReaderGone) for cause in causes):
        return 0
    error = error_of(causes[0])
    complain(error)
    if os.environ.get(DEBUG) and not isinstance(causes[0], RealtimeException):
        for line in "".join(traceback.format_exception(problem)).splitlines():
            note(line)
    return 1


def _leaves(problem: BaseException) -> Iterator[BaseException]:
    if isinstance(problem, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", problem).exceptions:
            yield from _leaves(inner)
    else:
        yield problem


def error_of(problem: BaseException) -> RealtimeError:
    """Tell what an exception means to a person."""
    match problem:
        case RealtimeException():
            return problem.error
        case ImportError():
            return _no_package(problem)
        case OSError():
            name = f": {problem.filename!s}" if problem.filename is not None else ""
            return InvalidRequest(
                what=f"{problem.strerror or problem}{name}.",
                cause="a file, a device or the network refused what was asked",
                fix="Look at the name and its permissions, then try again.",
            )
        case _:
            return InternalFault(
                what=f"Something failed that never should: {type(problem).__name__}"
                f"{_place(problem)}.",
                cause="a defect in this library, in a provider package, or in an installed package",
                fix=f"Type `realtime doctor`; with {DEBUG}=1 in front, your command tells more.",
            )


def _no_package(problem: ImportError) -> RealtimeError:
    name = (problem.name or "").partition(".")[0]
    extra = next((extra for extra, names in EXTRAS.items() if name in names), None)
    return InvalidRequest(
        what=f"A package cannot be loaded: {problem}.",
        cause="an extra is not installed" if extra else "a broken or incomplete installation",
        fix=f"Type: {install_line(extra)}" if extra else "Type `realtime doctor`.",
    )


def _place(problem: BaseException) -> str:
    frames = traceback.extract_tb(problem.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
