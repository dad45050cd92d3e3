"""Exceptions of the outside world, read as the library's errors."""

from __future__ import annotations

import anyio
import pytest

from realtime_core import InternalFault, RealtimeException, TimedOut, Unavailable
from realtime_core.faults import fault_of, first_cause
from tests.core.short import NO


def group(*problems: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("several", problems)


def test_the_first_cause_is_found_in_any_nesting() -> None:
    cause = ValueError("x")
    assert first_cause(cause) is cause
    assert first_cause(group(group(cause, KeyError()), OSError())) is cause


def test_an_exception_that_carries_an_error_means_that_error() -> None:
    assert fault_of(group(RealtimeException(NO))) is NO


@pytest.mark.parametrize(
    "problem",
    [
        OSError("no route"),
        EOFError(),
        anyio.EndOfStream(),
        anyio.BrokenResourceError(),
        anyio.ClosedResourceError(),
        ConnectionResetError(),
    ],
    ids=repr,
)
def test_a_broken_connection_is_no_defect_and_can_be_tried_again(problem: Exception) -> None:
    fault = fault_of(problem)
    assert isinstance(fault, Unavailable)
    assert fault.cause == (str(problem) or type(problem).__name__)
    assert fault.retryable


def test_a_deadline_that_passed_is_its_own_kind_of_fault() -> None:
    assert isinstance(fault_of(TimeoutError("30 s")), TimedOut)


def test_anything_else_is_a_defect_that_is_named_but_not_quoted() -> None:
    fault = fault_of(ValueError("password=hunter2"))
    assert isinstance(fault, InternalFault)
    assert "ValueError" in fault.what
    assert "hunter2" not in str(fault)
    assert not fault.retryable
