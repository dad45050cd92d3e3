"""How far a download is: a bar on a terminal, now and then a line elsewhere. On standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from .output import clean, note

__all__ = ("Stage", "progress")

_TENTHS = 10


class Stage(Protocol):
    """How far something is, in bytes; `total` is 0 where the end cannot be known."""

    @property
    def label(self) -> str:
        """What is being done."""
        ...

    @property
    def done(self) -> int:
        """Bytes so far."""
        ...

    @property
    def total(self) -> int:
        """Bytes in all."""
        ...


@contextmanager
def progress(title: str) -> Generator[Callable[[Stage], None]]:
    """Give a function that shows a stage; what it drew is gone after the block."""
    console = Console(stderr=True)
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield _Lines(title).tell
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task(title)

        def tell(stage: Stage) -> None:
            total = stage.total or None
            bars.update(bar, description=clean(stage.label), completed=stage.done, total=total)

        yield tell


class _Lines:
    """A line for each new label and for each tenth."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last: tuple[str, int] = ("", -1)

    def tell(self, stage: Stage) -> None:
        tenth = stage.done * _TENTHS // stage.total if stage.total else 0
        here = (stage.label, tenth)
        if here == self._last:
            return
        self._last = here
        far = f" ({tenth * 10} % of {stage.total / 1e6:.0f} MB)" if stage.total else ""
        note(f"{self._title}: {stage.label}{far}")
