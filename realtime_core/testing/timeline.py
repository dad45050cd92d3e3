"""Timelines: what happens to a session and when, as values that print, shrink and play.

The same timeline plays on a session folded by hand (`act`) and on a real one on virtual time
(`live.perform`). Times are ticks of 1/64 s, exact in binary, so that things can meet.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..codec import Wire
from ..config import SessionConfig
from ..errors import RealtimeError
from ..events import Connected, RealtimeEvent
from ..frames import Frame
from .clock import TICK
from .fold import Fold
from .scripted import written

__all__ = (
    "Fails",
    "Happening",
    "Loses",
    "Pushes",
    "Raw",
    "Says",
    "Stale",
    "Takes",
    "Timeline",
    "Waits",
    "act",
    "welcome",
)


class Says(msgspec.Struct, frozen=True, tag=True):
    """The provider says these events in one burst: one read brings them all."""

    events: tuple[RealtimeEvent, ...]


class Raw(msgspec.Struct, frozen=True, tag=True):
    """The provider sends these messages as they are."""

    wires: tuple[Wire, ...]


class Stale(msgspec.Struct, frozen=True, tag=True):
    """Events of the connection before the present one, read late."""

    events: tuple[RealtimeEvent, ...]


class Pushes(msgspec.Struct, frozen=True, tag=True):
    """The caller pushes a frame: input, `Interrupt`, `Heard` (an ack of the sink), `Close`."""

    frame: Frame


class Takes(msgspec.Struct, frozen=True, tag=True):
    """The consumer takes up to so many events, as far as any wait."""

    count: int


class Waits(msgspec.Struct, frozen=True, tag=True):
    """Time passes; timers ring."""

    ticks: int


class Loses(msgspec.Struct, frozen=True, tag=True):
    """The connection ends: in good order (`error` is None) or not; or an older one does, again."""

    error: RealtimeError | None = None
    old: bool = False


class Fails(msgspec.Struct, frozen=True, tag=True):
    """The connection that is made beside the present one ends before it is in use."""

    error: RealtimeError | None = None


Happening = Says | Raw | Stale | Pushes | Takes | Waits | Loses | Fails
Timeline = tuple[Happening, ...]


def welcome(fold: Fold) -> None:
    """Let a dialled connection stand, and the provider acknowledge a session that greets it."""
    fold.link()
    if fold.stands is None or not fold.state.phase.waiting:
        return
    plan = fold.state.plan
    said = Connected(session_id="", config=SessionConfig(), capabilities=plan.capabilities)
    fold.receive(*written(said))


def act(fold: Fold, timeline: Iterable[Happening]) -> None:
    """Play a timeline on a folded session of the scripted codec.

    A connection that was dialled stands, and is acknowledged, before the next thing that happens
    at the provider, and when time passes.
    """
    for happening in timeline:
        if isinstance(happening, Says | Raw | Waits):
            welcome(fold)
        _one(fold, happening)


def _one(fold: Fold, happening: Happening) -> None:
    match happening:
        case Says():
            fold.receive(*written(*happening.events))
        case Raw():
            fold.receive(*happening.wires)
        case Stale():
            fold.receive(*written(*happening.events), conn=fold.state.conn - 1)
        case Pushes():
            fold.push(happening.frame)
        case Takes():
            fold.take(happening.count)
        case Waits():
            fold.wait(happening.ticks * TICK)
        case Loses():
            fold.lose(happening.error, conn=fold.state.conn - 1 if happening.old else None)
        case _ if {fold.beside, fold.ready} != {None}:
            fold.lose(happening.error, conn=fold.state.conn + 1)
        case _:
            pass
