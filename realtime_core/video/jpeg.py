"""Still pictures: knowing them by their first bytes, reading them, and making them small enough.

Nothing here trusts a picture: its size is looked at before it is unpacked, and every way it can be
broken is one `InvalidRequest`. Making a JPEG needs pillow (extra `video`); knowing one does not.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from ..errors import InvalidRequest, RealtimeException

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

    Picture: TypeAlias = bytes | Image | npt.NDArray[np.uint8]

__all__ = ("image_mime", "read_image", "thumbnail", "to_jpeg")

MOST_PIXELS = 50_000_000
"""A picture that unpacks to more than this is refused before it is unpacked (150 MB)."""

_QUALITIES = (85, 70, 55, 40, 25)
_SHRINK = 0.7
_SMALLEST_SIDE = 16
_ORIENTATION = 0x0112
_BOX = 4  # pillow's Resampling.BOX: every pixel counts
_BRANDS = {
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"avif": "image/avif",
}
_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)


def image_mime(data: bytes) -> str | None:
    """Give the media type of a picture by its first bytes, or None where it is not one."""
    for magic, mime in _MAGIC:
        if data.startswith(magic):
            return mime
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[:2] == b"BM" and data[6:10] == bytes(4) and len(data) >= 26:
        return "image/bmp"
    return _BRANDS.get(data[8:12]) if data[4:8] == b"ftyp" else None


def read_image(path: str | PathLike[str]) -> tuple[bytes, str]:
    """Read a picture as it is: its bytes and media type. Blocks.

    Raises `RealtimeException` (`InvalidRequest`) where there is no such file or it is no picture.
    """
    name = str(path)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise _refused(
            f"There is no file {name!r}.", "the name is misspelt", "Check the path."
        ) from error
    except IsADirectoryError as error:
        raise _refused(
            f"{name!r} is a folder.", "a file is meant", "Name one picture in it."
        ) from error
    except (OSError, ValueError) as error:
        raise _refused(
            f"{name!r} cannot be read: {error}.",
            "you may not read it, or the name is not one",
            "Check the name and the file's permissions.",
        ) from error
    mime = image_mime(data)
    if mime is None:
        what = f"{name!r} is not a picture." if data else f"{name!r} is empty."
        raise _refused(what, "the file is damaged or is something else", "Use a JPEG or a PNG.")
    return data, mime


def to_jpeg(image: Picture, max_bytes: int = 250_000, max_side: int = 1280) -> bytes:
    """Make a JPEG of at most `max_bytes` bytes and `max_side` pixels on its longer side.

    Takes an encoded picture, a pillow image, or an array of bytes: grey `(height, width)`, RGB or
    RGBA `(height, width, 3 or 4)`. A JPEG that fits already comes back as the same object. It is
    turned upright, transparency becomes white; first quality is given up, then size. Takes some
    milliseconds of CPU, during which other threads run: call it in a worker thread.
    """
    with _unpacking():
        picture = _open(image)
        picture.load()
        upright = picture.getexif().get(_ORIENTATION, 1) == 1
        fits = upright and picture.format == "JPEG" and max(picture.size) <= max_side
        if fits and isinstance(image, bytes) and len(image) <= max_bytes:
            return image
        flat = _flat(picture, max_side)
    while True:
        for quality in _QUALITIES:
            packed = _packed(flat, quality)
            if len(packed) <= max_bytes:
                return packed
        width, height = flat.size
        if max(width, height) <= _SMALLEST_SIDE:
            raise _refused(
                f"No JPEG of this picture has {max_bytes} bytes or fewer.",
                "the budget is smaller than a JPEG's tables",
                "Allow 1000 bytes or more.",
            )
        flat = flat.resize((max(1, int(width * _SHRINK)), max(1, int(height * _SHRINK))))


def thumbnail(image: bytes, side: int = 32) -> bytes:
    """Give the picture as `side` * `side` bytes of grey, whatever its shape."""
    with _unpacking():
        picture = _open(image)
        picture.draft("L", (side * 2, side * 2))  # a JPEG is unpacked at an eighth of its size
        return picture.convert("L").resize((side, side), resample=_BOX).tobytes()


@contextmanager
def _unpacking() -> Generator[None]:
    """Whatever pillow raises over a broken picture, of which there is no list, is one error."""
    try:
        yield
    except RealtimeException:
        raise
    except Exception as error:
        raise _refused(
            "This is not a picture that can be unpacked.",
            f"damaged, cut off, or of a kind that is not known ({type(error).__name__})",
            "Use a JPEG or a PNG.",
        ) from error


def _open(image: Picture) -> Image:
    try:
        from PIL import Image as pillow  # noqa: PLC0415, N813 - an extra
    except ImportError as error:
        raise _refused(
            "Working on a picture needs the extra `video`.",
            "the package pillow is not installed",
            "Type: pip install 'realtime-core[video]'",
        ) from error
    if isinstance(image, pillow.Image):
        return image
    if not isinstance(image, bytes):
        if not image.size:
            raise ValueError("no pixels")
        return pillow.fromarray(image)
    picture = pillow.open(io.BytesIO(image))
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise _refused(
            f"A picture of {width} x {height} pixels is too large to unpack.",
            f"more than {MOST_PIXELS // 1_000_000} million pixels are refused",
            "Make it smaller first.",
        )
    return picture


def _flat(picture: Image, max_side: int) -> Image:
    """Upright, RGB or grey, no transparency, no longer than allowed."""
    from PIL import Image as pillow  # noqa: PLC0415, N813 - an extra
    from PIL import ImageOps  # noqa: PLC0415

    flat = ImageOps.exif_transpose(picture)
    if "transparency" in flat.info or flat.mode in {"LA", "PA", "La", "RGBA", "RGBa"}:
        clear = flat.convert("RGBA")
        flat = pillow.alpha_composite(pillow.new("RGBA", clear.size, "white"), clear)
    if flat.mode.startswith("I"):  # 16 bits a pixel: the upper 8 of them
        flat = flat.convert("I").point(lambda value: value / 256).convert("L")
    if flat.mode not in {"L", "RGB"}:
        flat = flat.convert("RGB")
    width, height = flat.size
    scale = max_side / max(width, height)
    if scale >= 1:
        return flat
    return flat.resize((max(1, round(width * scale)), max(1, round(height * scale))))


def _packed(flat: Image, quality: int) -> bytes:
    """Encode into a file: only with a descriptor does pillow let other threads run meanwhile."""
    with _scratch() as out:
        flat.save(out, "JPEG", quality=quality)
        out.seek(0)
        return out.read()


def _scratch() -> IO[bytes]:
    in_memory = getattr(os, "memfd_create", None)
    return os.fdopen(in_memory("jpeg"), "w+b") if in_memory else tempfile.TemporaryFile()


def _refused(what: str, cause: str, fix: str) -> RealtimeException:
    return RealtimeException(InvalidRequest(what=what, cause=cause, fix=fix))
