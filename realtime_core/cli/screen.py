"""Where `realtime talk` shows a session: a terminal, a plain stream, or JSON lines.

Each takes every event once, in order, and never waits for anything but the output itself.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..events import RealtimeEvent
from ..timings import Latency
from .captions import Captions, Line, caption, latency_line
from .notation import encode, notation
from .output import ReaderGone, clean, note, put

__all__ = ("Json", "Plain", "Screen", "Terminal", "screen")

_PREFIX = {"you": "  you: ", "voice": "voice: ", "aside": "       "}
_STYLE = {"you": "cyan", "voice": "green", "aside": "dim"}


class Screen(Protocol):
    """Shows one session."""

    def take(self, event: RealtimeEvent) -> None:
        """Show an event; raises `ReaderGone` when nobody reads any more."""
        ...

    def pace(self, latency: Latency) -> None:
        """Show where the time of an answer went."""
        ...

    def say(self, text: str) -> None:
        """Show a remark of the command itself."""
        ...


class Json:
    """One JSON object per event; remarks go to standard error."""

    def take(self, event: RealtimeEvent) -> None:
        """Print the event."""
        put(encode(notation(event)))

    def pace(self, latency: Latency) -> None:
        """Print nothing: the events tell it."""

    def say(self, text: str) -> None:
        """Tell it on standard error."""
        note(text)


class Plain:
    """Finished lines only, for pipes and files."""

    def __init__(self) -> None:
        self._captions = Captions()

    def take(self, event: RealtimeEvent) -> None:
        """Print the lines that this event finished."""
        self._captions = caption(self._captions, event)
        for line in self._captions.finished:
            self._print(line)

    def pace(self, latency: Latency) -> None:
        """Print the line."""
        self._print(latency_line(latency))

    def say(self, text: str) -> None:
        """Print it as an aside."""
        self._print(Line("aside", text))

    def _print(self, line: Line) -> None:
        put(_PREFIX[line.style] + clean(line.text))


class Terminal:
    """Captions that grow in place below the finished lines."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._captions = Captions()

    def take(self, event: RealtimeEvent) -> None:
        """Show what this event changes."""
        before = self._captions.open
        self._captions = caption(self._captions, event)
        self._print(*self._captions.finished)
        if self._captions.open != before:
            self._live.update(Group(*map(_text, self._captions.open)), refresh=True)

    def pace(self, latency: Latency) -> None:
        """Show the line."""
        self._print(latency_line(latency))

    def say(self, text: str) -> None:
        """Show it as an aside."""
        self._print(Line("aside", text))

    def _print(self, *lines: Line) -> None:
        for line in lines:
            self._live.console.print(_text(line))


def _text(line: Line) -> Text:
    style = _STYLE[line.style]
    return Text.assemble((_PREFIX[line.style], f"bold {style}"), (clean(line.text), style))


class _Console(Console):
    """rich's console, but a reader that is gone is our own affair."""

    def on_broken_pipe(self) -> None:
        raise ReaderGone


@contextmanager
def screen(*, json: bool) -> Generator[Screen]:
    """Give the screen that fits: JSON if wished, else what standard output is."""
    if json:
        yield Json()
        return
    console = _Console(highlight=False, markup=False, emoji=False)
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        yield Plain()
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Terminal(live)
