"""`realtime replay`: a recorded session again, through the machine, with its own timing or another.

Nothing is sent anywhere. A decision that differs from the recorded one is a failure.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import anyio
import anyio.lowlevel
import typer

from ..errors import InvalidRequest, RealtimeException
from ..events import Interrupted, ResponseDone
from ..replaying import events, load, replayed
from ..testing.picture import picture as drawn
from ..timings import Timings, observe
from ..trace import Trace
from .output import note
from .screen import Screen, screen
from .stop import stoppable

__all__ = ("replay",)


def replay(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A session that `talk --record` recorded.")
    ],
    *,
    speed: Annotated[
        float, typer.Option(min=0, help="1 is the recorded speed, 0 as fast as it goes.")
    ] = 1.0,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw it instead, into this file.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per event, nothing else.")
    ] = False,
) -> int:
    """Show a recorded session as it went, and check that it would go the same way now."""
    if not math.isfinite(speed):
        raise typer.BadParameter(f"{speed} is no number to count with", param_hint="--speed")
    trace = load(file)
    if picture is not None:
        return _draw(trace, picture)
    with screen(json=json) as shown:
        return anyio.run(stoppable, lambda: _show(trace, speed, shown))


def _draw(trace: Trace, file: Path) -> int:
    try:
        file.write_text(drawn(replayed(trace)), encoding="utf-8")
    except OSError as problem:
        raise RealtimeException(
            InvalidRequest(
                what=f"{str(file)!r} cannot be written: {problem.strerror}.",
                cause="a folder that does not exist, or a place where you may not write",
                fix="Choose another file.",
            )
        ) from problem
    return 0


async def _show(trace: Trace, speed: float, screen: Screen) -> int:
    begun, timings, told = anyio.current_time(), Timings(), 0
    first = trace.entries[0].given.at if trace.entries else 0.0
    for event in events(trace, replayed(trace)):
        if speed:
            await anyio.sleep_until(begun + (event.at - first) / speed)
        else:
            await anyio.lowlevel.checkpoint()
        screen.take(event)
        timings = observe(timings, event)
        if isinstance(event, Interrupted | ResponseDone):
            for latency in timings.latencies[told:]:
                screen.pace(latency)
            told = len(timings.latencies)
    if trace.torn:
        note(f"the recording was cut off: its last {trace.torn} bytes are no whole record")
    return 0
