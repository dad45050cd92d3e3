"""Video files and pictures for the tests, made when they are asked for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

av: Any = pytest.importorskip("av", reason="needs the extra video")
Image: Any = pytest.importorskip("PIL.Image", reason="needs the extra video")

__all__ = ("colour", "film_of", "flat", "jpeg_of", "shade")


def flat(level: int, width: int = 64, height: int = 48) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def film_of(path: Path, *levels: int, fps: int = 10) -> Path:
    """Make a film of grey pictures of these levels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in levels:
            frame = av.VideoFrame.from_ndarray(flat(level), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def jpeg_of(level: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(flat(level)).save(out, "JPEG")
    return out.getvalue()


def colour(jpeg: bytes) -> tuple[int, int, int]:
    red, green, blue = Image.open(io.BytesIO(jpeg)).convert("RGB").getpixel((10, 10))
    return red, green, blue


def shade(jpeg: bytes) -> int:
    """Give the level of a grey picture, rounded to tens."""
    return round(colour(jpeg)[0], -1)
