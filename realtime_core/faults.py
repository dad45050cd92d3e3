"""Exceptions of the outside world, read as the library's errors."""

from __future__ import annotations

import anyio

from .errors import InternalFault, RealtimeError, RealtimeException, TimedOut, Unavailable

__all__ = ("fault_of", "first_cause")

_BROKEN = (
    OSError,
    EOFError,
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)


def first_cause(problem: BaseException) -> BaseException:
    """Give the first single exception inside any nesting of groups."""
    if not isinstance(problem, BaseExceptionGroup):
        return problem
    parts: tuple[BaseException, ...] = problem.exceptions
    return first_cause(parts[0])


def fault_of(problem: BaseException) -> RealtimeError:
    """Tell what an exception of a connection means; what is no fault of the world is internal."""
    cause = first_cause(problem)
    match cause:
        case RealtimeException():
            return cause.error
        case TimeoutError():
            return TimedOut(what="The connection timed out.", cause=str(cause))
        case _ if isinstance(cause, _BROKEN):
            return Unavailable(
                what="The connection to the provider was lost or could not be made.",
                cause=str(cause) or type(cause).__name__,
                fix="Check the network and the address.",
            )
        case _:
            return InternalFault(
                what=f"A task of the session failed: {type(cause).__name__}.",
                cause="a defect in this library, in a provider package, or in code given to it",
                fix="The exception that was raised carries the first cause.",
            )
