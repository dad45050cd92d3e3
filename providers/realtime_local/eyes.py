"""The built-in eyes: they read the text in a picture, with RapidOCR.

They know nothing of what else a picture shows. One worker thread looks for all sessions; its
models come with the package, so nothing is fetched.
"""

from __future__ import annotations

import importlib
import io
from functools import cache, partial
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from realtime_core.errors import InvalidRequest, RealtimeException

from .worker import Worker

__all__ = ("RapidEyes", "load_eyes")

_MOST_PIXELS = 50_000_000
_SIDE = 1280
"""Pixels of the longer side that are looked at; a larger picture is made smaller first."""
_DETECT_SIDE = 480
"""Pixels of the longer side in which text is searched; it is read at full size."""
_MOST_LINES = 12
_WORKER = Worker("realtime_local.eyes")
Pixels = NDArray[np.uint8]


class _Found(Protocol):
    txts: tuple[str, ...] | None


class _Reader(Protocol):
    """What is used of RapidOCR, which is untyped."""

    def __call__(self, image: Pixels, *, use_cls: bool) -> _Found: ...


class RapidEyes:
    """Eyes on a loaded reader; any number of sessions may share them and take turns."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    async def look(self, image: bytes) -> str:
        """Give a note like `text in view: "EXIT"`, "" where there is no text.

        Takes a tenth of a second and more, in the worker. Raise `InvalidRequest` for bytes that
        are no picture, or one of more than 50 million pixels. When cancelled it returns at once;
        a look that has begun goes on unheard.
        """
        return await _WORKER.run(partial(self._look, image), _nothing)

    def _look(self, image: bytes) -> str:
        found = self._reader(_pixels(image), use_cls=False).txts or ()
        lines = [" ".join(line.split()) for line in found if line.strip()]
        quoted = ", ".join(f'"{line}"' for line in lines[:_MOST_LINES])
        return f"text in view: {quoted}" if quoted else ""


async def load_eyes() -> RapidEyes:
    """Give the eyes of this process, ready to look.

    The first call loads them, in about half a second; the event loop goes on meanwhile. Raise
    `InvalidRequest` where their package is not installed.
    """
    return await _WORKER.run(_loaded, _nothing)


@cache
def _loaded() -> RapidEyes:
    try:
        library: Any = importlib.import_module("rapidocr")
    except ImportError as error:
        raise RealtimeException(_NO_RAPIDOCR) from error
    params = {
        "Global.log_level": "critical",
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "Det.limit_type": "max",
        "Det.limit_side_len": _DETECT_SIDE,
    }
    reader = cast("_Reader", library.RapidOCR(params=params))
    reader(np.full((64, 64, 3), 255, np.uint8), use_cls=False)
    return RapidEyes(reader)


def _pixels(image: bytes) -> Pixels:
    """Decode a picture, upright, as OpenCV orders it: rows, columns, blue-green-red."""
    pillow: Any = importlib.import_module("PIL.Image")
    upright: Any = importlib.import_module("PIL.ImageOps").exif_transpose
    try:
        with pillow.open(io.BytesIO(image)) as picture:
            _check(*picture.size)
            picture.draft("RGB", (_SIDE, _SIDE))
            shown = upright(picture).convert("RGB")
            shown.thumbnail((_SIDE, _SIDE))
            pixels = np.asarray(shown, dtype=np.uint8)
    except RealtimeException:
        raise
    except Exception as error:
        raise RealtimeException(_no_picture(image, error)) from error
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _check(width: int, height: int) -> None:
    if width * height > _MOST_PIXELS:
        raise RealtimeException(_too_large(width, height))


def _nothing() -> None:
    pass


_NO_RAPIDOCR = InvalidRequest(
    what="The local eyes need the package rapidocr, which is not installed.",
    cause="pictures need an extra of their own",
    fix="Type: pip install 'realtime-core[local-eyes]'",
)


def _no_picture(image: bytes, error: Exception) -> InvalidRequest:
    return InvalidRequest(
        what=f"The picture ({len(image)} bytes) cannot be decoded: {type(error).__name__}.",
        cause="a file that is no picture, or one that is cut off",
        fix="Send a whole JPEG or PNG.",
    )


def _too_large(width: int, height: int) -> InvalidRequest:
    return InvalidRequest(
        what=f"The picture has {width} x {height} pixels, more than the eyes look at.",
        fix="Send a smaller picture; 1280 pixels on the longer side lose nothing.",
    )
