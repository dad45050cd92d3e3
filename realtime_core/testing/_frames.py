"""Where a suspended coroutine stands, in words: the deepest line that is not the event loop's own."""

from __future__ import annotations

from pathlib import PurePath
from types import CodeType, FrameType
from typing import Any

__all__ = ("place",)

_MACHINERY = frozenset({"anyio", "asyncio", "contextlib", "outcome", "trio"})
_HERE = f"{__package__}."


def place(coroutine: Any) -> str:  # noqa: ANN401 - coroutines, generators and awaitables of any kind
    """Name file, line and function, such as "outlet.py:88 in get"; "?" where there is nothing."""
    found = "?"
    while coroutine is not None:
        frame: FrameType | None = _first(coroutine, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None and _is_of_interest(frame):
            code: CodeType = frame.f_code
            found = f"{PurePath(code.co_filename).name}:{frame.f_lineno} in {code.co_name}"
        coroutine = _first(coroutine, "cr_await", "gi_yieldfrom", "ag_await")
    return found


def _first(thing: object, *names: str) -> Any:  # noqa: ANN401 - see `place`
    return next((value for name in names if (value := getattr(thing, name, None))), None)


def _is_of_interest(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] not in _MACHINERY and not module.startswith(_HERE)
