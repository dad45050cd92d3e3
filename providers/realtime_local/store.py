"""The cache of model files, one for all checkouts: a path is given out only for the right bytes.

Files lie under their digest, so two versions of this library never overwrite each other's. Nothing
here fetches: a missing file is an error that says what to type.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Literal

import msgspec

from realtime_core.errors import InvalidRequest, RealtimeException

from .models import FILES, SETS, SPLITS, ModelFile, Split

__all__ = (
    "ENVIRONMENT",
    "FileStatus",
    "cache",
    "digest",
    "files_of",
    "path",
    "record_of",
    "splits_of",
    "status",
    "verified",
)

ENVIRONMENT = "REALTIME_MODELS_DIR"
"""The variable that moves the cache."""
_KNOWN = {file.name: file for file in FILES}


class FileStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one file of the cache; `size` in bytes, 0 where it is missing."""

    name: str
    path: Path
    state: Literal["ok", "missing", "wrong"]
    size: int


def cache() -> Path:
    """Give the directory of the cache, which need not exist: `REALTIME_MODELS_DIR`, or the user's.

    This is the one place that reads the environment.
    """
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "realtime-core" / "models"


def files_of(what: str) -> tuple[ModelFile, ...]:
    """Give the files of a set; raise `InvalidRequest` for a set that is not known."""
    names = SETS.get(what)
    if names is None:
        known = ", ".join(SETS)
        raise RealtimeException(
            InvalidRequest(
                what=f"There is no model set {what!r}.",
                cause="a typing mistake",
                fix=f"Choose one of: {known}.",
            )
        )
    return tuple(_KNOWN[name] for name in names)


def splits_of(files: tuple[ModelFile, ...]) -> tuple[Split, ...]:
    """Give what is to be made of these files at install."""
    names = {file.name for file in files}
    return tuple(split for split in SPLITS if split.voice in names)


def path(name: str) -> Path:
    """Give the place of a file, whether it is there or not."""
    origin = next((split.voice for split in SPLITS if name in {split.front, split.decoder}), name)
    return cache() / _KNOWN[origin].sha256[:12] / name


def record_of(made: Path) -> Path:
    """Give the place where the digest of a file that was made here is written down."""
    return made.with_name(made.name + ".sha256")


def digest(file: Path) -> str:
    """Give the SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def status(what: str = "small", *, hashes: bool = True) -> tuple[FileStatus, ...]:
    """Give the state of every file of a set, those made at install too.

    Every byte is read unless `hashes` is false; then the size alone decides what is wrong.
    """
    files = files_of(what)
    made = (name for split in splits_of(files) for name in (split.front, split.decoder))
    return tuple(_look(name, hashes=hashes) for name in (*(file.name for file in files), *made))


def verified(name: str) -> Path:
    """Give the path of a file whose bytes were all just checked against its SHA-256.

    Call it before each load, on a thread (about 1 ms per megabyte). Raise `InvalidRequest`, with
    code `model_missing` or `model_wrong`, when it cannot be loaded as it is.
    """
    found = _look(name, hashes=True)
    if found.state == "ok":
        return found.path
    raise RealtimeException(_missing(name) if found.state == "missing" else _wrong(found))


def _look(name: str, *, hashes: bool) -> FileStatus:
    place = path(name)
    try:
        size = place.stat().st_size
    except OSError:
        return FileStatus(name=name, path=place, state="missing", size=0)
    right = _right(name, place, size, hashes=hashes)
    return FileStatus(name=name, path=place, state="ok" if right else "wrong", size=size)


def _right(name: str, place: Path, size: int, *, hashes: bool) -> bool:
    known = _KNOWN.get(name)
    if known is not None and known.bytes != size:
        return False
    if not hashes:
        return True
    try:
        expected = known.sha256 if known else record_of(place).read_text("ascii").strip()
        return digest(place) == expected
    except (OSError, UnicodeDecodeError):
        return False


def _line(name: str) -> str:
    small = {*SETS["small"], *(name for split in SPLITS for name in (split.front, split.decoder))}
    return "realtime models install" + ("" if name in small else " better")


def _missing(name: str) -> InvalidRequest:
    return InvalidRequest(
        what=f"The model file {name} is not installed.",
        cause="the models of the local voice were not fetched yet, or their cache was moved",
        fix=f"Type `{_line(name)}`.",
        code="model_missing",
    )


def _wrong(found: FileStatus) -> InvalidRequest:
    return InvalidRequest(
        what=f"The model file {found.path} is not what it should be, so it was not loaded.",
        cause="a broken disk or copy, or a changed file: its SHA-256 is wrong",
        fix=f"Type `{_line(found.name)}`: it replaces what is wrong.",
        code="model_wrong",
    )
