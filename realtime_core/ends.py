"""Ends: where frames go into a session, where events come out, and what can stand in between.

A function from session to session puts other ends in place of these; the rest is the same session.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from .audio.format import AudioFormat
from .events import RealtimeEvent
from .frames import Frame
from .signals import Signal

__all__ = ("Ends", "Entrance", "Exit", "Pollable")


class Entrance(Protocol):
    """Takes the frames of every push that is a call."""

    async def send(self, frame: Frame, *, patient: bool = False) -> None:
        """Push a frame; waits where its lane's policy says so, or when `patient`."""
        ...

    def send_nowait(self, frame: Frame) -> None:
        """Push a frame without ever waiting."""
        ...

    def check(self, frame: Frame) -> None:
        """Refuse what can never be sent, before any of it is."""
        ...


class Exit(Protocol):
    """Holds events until they are taken."""

    @property
    def filled(self) -> Signal:
        """Given when something can be taken, or it is over."""
        ...

    @property
    def over(self) -> bool:
        """Whether the last event was taken."""
        ...

    def take(self, at: float) -> RealtimeEvent | None:
        """Give the next event that is not stale, or None if nothing waits.

        `at` is the time on a clock that stands still during holds.
        """
        ...

    def stale(self, event: RealtimeEvent) -> bool:
        """Tell whether an event that was taken has become stale since."""
        ...


class Ends(NamedTuple):
    """What a session is wired to."""

    entrance: Entrance
    exit: Exit
    output_format: AudioFormat | None = None
    """The format of `AudioOutput`, where it is not the one agreed with the provider."""


@runtime_checkable
class Pollable(Protocol):
    """A stream of events that can be asked without waiting: a session's, or one subscriber's."""

    @property
    def filled(self) -> Signal:
        """Given when something can be taken, or it is over."""
        ...

    @property
    def over(self) -> bool:
        """Whether there is nothing to take any more, for ever."""
        ...

    def poll(self) -> RealtimeEvent | None:
        """Give the next event, or None if nothing waits. Never waits itself."""
        ...

    def stale(self, event: RealtimeEvent) -> bool:
        """Tell whether an event that was taken has become stale since."""
        ...
