"""Where a suspended coroutine stands, in words: its deepest line outside of the event loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from types import FrameType
from typing import Any

__all__ = ("frames", "modules", "place")

_MACHINERY = frozenset({"anyio", "asyncio", "contextlib", "outcome", "trio"})
_HERE = f"{__package__}."


def place(coroutine: object) -> str:
    """Name file, line and function, such as "outlet.py:88 in get"; "?" where there is nothing."""
    of_interest = [frame for frame in frames(coroutine) if _is_of_interest(frame)]
    if not of_interest:
        return "?"
    code = of_interest[-1].f_code
    return f"{PurePath(code.co_filename).name}:{of_interest[-1].f_lineno} in {code.co_name}"


def modules(coroutine: object) -> tuple[str, ...]:
    """Name the modules a suspended coroutine stands in, outermost call first."""
    return tuple(_module(frame) for frame in frames(coroutine))


def frames(coroutine: object) -> Iterator[FrameType]:
    """Give the frames of a suspended coroutine, generator or async generator, outermost first."""
    while coroutine is not None:
        frame: FrameType | None = _first(coroutine, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            yield frame
        coroutine = _first(coroutine, "cr_await", "gi_yieldfrom", "ag_await") or _driven(frame)


def _driven(frame: FrameType | None) -> object:
    """Give what a `Driven` runs: it is stepped, not awaited."""
    if frame is None or frame.f_code.co_name != "_drive" or _module(frame) != f"{_HERE}driven":
        return None
    return frame.f_locals.get("coroutine")


def _first(thing: object, *names: str) -> Any:  # noqa: ANN401 - see `place`
    return next((value for name in names if (value := getattr(thing, name, None))), None)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_of_interest(frame: FrameType) -> bool:
    module = _module(frame)
    return module.partition(".")[0] not in _MACHINERY and not module.startswith(_HERE)
