"""Exceptions of the outside world, read as the library's errors."""

from __future__ import annotations

from typing import cast

import anyio

from .errors import InternalFault, RealtimeError, RealtimeException, TimedOut, Unavailable

__all__ = ("fault_of", "first_cause", "uncancelled")

_BROKEN = (
    OSError,
    EOFError,
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)


def first_cause(problem: BaseException) -> BaseException:
    """Give the first single exception inside any nesting of groups."""
    while isinstance(problem, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", problem)
        problem = group.exceptions[0]
    return problem


def uncancelled(
    problem: BaseExceptionGroup[BaseException],
) -> tuple[BaseException, BaseException | None]:
    """Tell what failed in a group from a cancellation that went through it at the same time."""
    cancelled, failed = problem.split(anyio.get_cancelled_exc_class())
    return (problem, None) if failed is None else (failed, cancelled)


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
