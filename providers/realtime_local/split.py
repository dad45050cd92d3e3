"""The cutting of a voice in two, once, when it is installed.

What the two halves say is sample for sample what the whole voice says. Needs the `onnx` package,
which nothing needs later.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

from realtime_core.errors import InvalidRequest, RealtimeException

from . import store
from .models import Split

__all__ = ("split_voice",)


class _Extract(Protocol):
    """`onnx.utils.extract_model`, which is untyped."""

    def __call__(
        self,
        input_path: str,
        output_path: str,
        input_names: list[str],
        output_names: list[str],
        *,
        check_model: bool,
        infer_shapes: bool,
    ) -> None: ...


def split_voice(split: Split, room: Path) -> None:
    """Make the two halves of an installed voice in the cache, each with its digest beside it."""
    whole = store.verified(split.voice)
    extract = _extractor()
    _half(extract, whole, room, split.front, (["input", "input_lengths", "scales"], [split.edge]))
    _half(extract, whole, room, split.decoder, ([split.edge], ["output"]))


def _half(
    extract: _Extract, whole: Path, room: Path, name: str, ends: tuple[list[str], list[str]]
) -> None:
    part, place = room / name, store.path(name)
    extract(str(whole), str(part), *ends, check_model=False, infer_shapes=False)
    record = store.record_of(place)
    record.unlink(missing_ok=True)
    sha256 = store.digest(part)
    part.replace(place)
    written = room / record.name
    written.write_text(sha256 + "\n", "ascii")
    written.replace(record)


def _extractor() -> _Extract:
    try:
        return cast("_Extract", importlib.import_module("onnx.utils").extract_model)
    except ImportError as error:
        raise RealtimeException(_NO_ONNX) from error


_NO_ONNX = InvalidRequest(
    what="The voice could not be prepared: the package onnx is not installed.",
    cause="the local voice's extra was left out",
    fix="Type `pip install 'realtime-core[local]'`.",
)
