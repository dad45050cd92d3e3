"""What failed in the engine, in words for the user: what, likely cause, what to do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from realtime_core.errors import RealtimeException
from realtime_core.faults import first_cause

from .wire import Fault

__all__ = ("PartFailed", "blamed", "complaint")


class PartFailed(Exception):  # noqa: N818 - it says which part, its cause says what
    """A part of the voice raised: the ears, the mind, the mouth, the hands, the eyes."""

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part


@contextmanager
def blamed(part: str) -> Generator[None]:
    """Have what is raised in the block known as a failure of this part."""
    try:
        yield
    except Exception as problem:
        raise PartFailed(part) from problem


def complaint(problem: BaseException, *, fatal: bool = False) -> Fault:
    """Tell what an exception means; one that no part is blamed for is the engine's own."""
    cause, part = first_cause(problem), "engine"
    if isinstance(cause, PartFailed):
        part = cause.part
        cause = first_cause(cause.__cause__ or cause)
    if isinstance(cause, RealtimeException):
        error = cause.error
        return Fault(message=error.what, cause=error.cause, fix=error.fix, fatal=fatal)
    return Fault(
        message=f"The {part} of the local voice failed: {type(cause).__name__}: {cause}.",
        cause=f"a defect in the {part}, or input that it cannot take",
        fix="Try again; where the part is your own, look into what it raised.",
        fatal=fatal,
    )
