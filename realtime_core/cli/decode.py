"""`realtime decode`: recorded wire frames through a provider's codec and the machine, as events.

No network, no clock: the same file gives the same events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from returns.result import Failure

from ..errors import InvalidRequest, RealtimeException
from ..events import AudioInput, AudioOutput, Error, RealtimeEvent
from ..frames import Frame
from ..machine import step
from ..outlet import Outlet
from ..provider import Provider, resolve
from ..state import Begun, Emit, Fence, Input, Linked, Received, State
from .notation import encode, notation
from .output import clean, note, put

__all__ = ("Recorded", "Replay", "decode", "recorded")

_TICK = 0.02
"""Seconds between two messages that do not say when they came."""


class _Line(msgspec.Struct):
    kind: str
    direction: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    at: float | None = None


class Recorded(msgspec.Struct, frozen=True):
    """One message of a recording."""

    line: int
    received: bool
    wire: str
    """The message as it stood on the wire."""
    at: float | None = None


def recorded(path: Path) -> Iterator[Recorded]:
    """Give the messages of a recording, line by line; other kinds of lines are left out.

    Raises `RealtimeException` naming the line that cannot be read.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                message = _message(path, number, raw)
                if message is not None:
                    yield message


def _message(path: Path, number: int, raw: bytes) -> Recorded | None:
    try:
        line = msgspec.json.decode(raw, type=_Line)
        wire = bytes(line.data).decode()
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        raise RealtimeException(_malformed(path, number, str(problem))) from problem
    if line.kind != "message":
        return None
    if line.direction not in {"received", "sent"}:
        raise RealtimeException(_malformed(path, number, "its direction is neither way"))
    if not wire:
        raise RealtimeException(_malformed(path, number, "it has no data"))
    return Recorded(number, line.direction == "received", wire, line.at)


def _malformed(path: Path, number: int, why: str) -> InvalidRequest:
    return InvalidRequest(
        what=f"{path}, line {number}: {why}.",
        cause="the file is no recording of wire frames, or is damaged there",
        fix='A line looks like {"kind": "message", "direction": "received", "data": {}}.',
    )


class Replay:
    """A machine and an outlet without connection: messages in, stamped events out."""

    def __init__(self, provider: Provider[Frame]) -> None:
        agreed = provider.agree(provider.capabilities, provider.defaults)
        if isinstance(agreed, Failure):
            raise RealtimeException(agreed.failure())
        plan = agreed.unwrap()
        self._codec = provider.codec
        self._state = State(plan, "recording", history=plan.config.history)
        self._outlet = Outlet(plan.config.outlet)
        self._at = 0.0
        self._feed(Begun(at=0.0))
        self._feed(Linked(at=0.0, conn=0))

    def take(self, message: Recorded) -> Iterator[RealtimeEvent]:
        """Decode one received message and give what a consumer would get."""
        self._at = self._at + _TICK if message.at is None else max(self._at, message.at)
        delivered = self._outlet.delivered
        conn = self._state.conn
        self._feed(Received(at=self._at, delivered=delivered, conn=conn, wires=(message.wire,)))
        while (event := self._outlet.take(self._at)) is not None:
            yield event

    def _feed(self, given: Input) -> None:
        transition = step(self._codec, self._state, given)
        self._state = transition.state
        for effect in transition.effects:
            if isinstance(effect, Emit):
                self._outlet.put(effect.event)
            elif isinstance(effect, Fence):
                self._outlet.fence(effect.epoch)


def decode(
    provider: Annotated[str, typer.Argument(help="Whose frames these are.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="Recorded wire frames.")],
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per event, nothing else.")
    ] = False,
) -> int:
    """Print the events that recorded wire frames become; a summary goes to standard error."""
    made = resolve(provider)
    if isinstance(made, Failure):
        raise RealtimeException(made.failure())
    replay, seen = Replay(made.unwrap()), Counter[str]()
    try:
        for message in recorded(file):
            seen["received" if message.received else "sent"] += 1
            for event in replay.take(message) if message.received else ():
                seen["events"] += 1
                seen["unknown"] += event.__struct_config__.tag == "unknown"
                seen["faults"] += isinstance(event, Error)
                put(encode(notation(event)) if json else _told(event))
    except RealtimeException:
        note(_summary(seen))
        raise
    note(_summary(seen))
    return 0


def _summary(seen: Counter[str]) -> str:
    return (
        f"{seen['received']} messages received, {seen['sent']} sent (not decoded); "
        f"{seen['events']} events, {seen['unknown']} unknown, {seen['faults']} faults"
    )


def _told(event: RealtimeEvent) -> str:
    """Give an event as one line for a person; only what differs from the default."""
    shown = notation(event)
    kind, seq, epoch = shown.pop("type"), shown.pop("seq"), shown.pop("epoch")
    shown.pop("at")
    if isinstance(event, AudioInput | AudioOutput):
        shown["format"] = f"{event.format.encoding}@{event.format.rate}"
    words = " ".join(f"{name}={_short(value)}" for name, value in shown.items() if _worth(value))
    return clean(f"{seq:5} epoch {epoch}  {kind:20} {words}")


def _worth(value: Any) -> bool:  # noqa: ANN401 - any field
    return isinstance(value, bool) or value not in (None, (), 0)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else encode(value).decode()
    text = f'"{text}"' if isinstance(value, str) and " " in text else text
    return text if len(text) <= 200 else text[:197] + "..."
