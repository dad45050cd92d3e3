"""Pictures: known by their first bytes, read, made to fit; and what is none says so."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_core.errors import InvalidRequest, RealtimeException
from realtime_core.video import image_mime, read_image, to_jpeg
from realtime_core.video.jpeg import thumbnail

Image = pytest.importorskip("PIL.Image", reason="needs the extra cli")

PNG = b"\x89PNG\r\n\x1a\n"


def picture(width: int = 320, height: int = 200, mode: str = "RGB") -> Any:
    ramp = np.linspace(0, 255, width * height * 3).reshape(height, width, 3).astype(np.uint8)
    return Image.fromarray(ramp).convert(mode)


def noise(width: int, height: int) -> Any:
    random = np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Image.fromarray(random)


def packed(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def opened(jpeg: bytes) -> Any:
    assert image_mime(jpeg) == "image/jpeg"
    return Image.open(io.BytesIO(jpeg))


def refusal(image: Any, **limits: int) -> InvalidRequest:
    with pytest.raises(RealtimeException) as refused:
        to_jpeg(image, **limits)
    error = refused.value.error
    assert isinstance(error, InvalidRequest)
    assert error.what
    assert error.cause
    assert error.fix
    return error


@pytest.mark.parametrize(
    ("kind", "mime"),
    [
        ("JPEG", "jpeg"),
        ("PNG", "png"),
        ("GIF", "gif"),
        ("WEBP", "webp"),
        ("BMP", "bmp"),
        ("TIFF", "tiff"),
    ],
)
def test_a_picture_is_known_by_its_first_bytes(kind: str, mime: str) -> None:
    data = packed(picture(), kind)
    assert image_mime(data) == f"image/{mime}"
    assert image_mime(data[:40]) == f"image/{mime}"
    assert opened(to_jpeg(data)).size == (320, 200)


@pytest.mark.parametrize(
    ("start", "mime"),
    [
        (b"GIF87a", "image/gif"),
        (b"MM\0*", "image/tiff"),
        (b"\0\0\0\x18ftypheic", "image/heic"),
        (b"\0\0\0\x18ftypavif", "image/avif"),
        (b"\0\0\0\x18ftypmp42", None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"BMW is a car, not a picture, and that is all", None),
        (b"", None),
        (b"\xff\xd8", None),
    ],
)
def test_other_beginnings(start: bytes, mime: str | None) -> None:
    assert image_mime(start) == mime


def test_a_picture_is_read_as_it_is(tmp_path: Path) -> None:
    path, data = tmp_path / "a.jpg", packed(picture())
    path.write_bytes(data)
    assert read_image(path) == (data, "image/png")


def test_what_is_no_picture_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "words.png").write_text("These are words.")
    for path, word in (
        (tmp_path / "empty.png", "is empty"),
        (tmp_path / "words.png", "is not a picture"),
        (tmp_path / "missing.png", "There is no file"),
        (tmp_path, "is a folder"),
        ("nul\0byte.png", "cannot be read"),
    ):
        with pytest.raises(RealtimeException, match=word) as refused:
            read_image(path)
        assert isinstance(refused.value.error, InvalidRequest)
        assert refused.value.error.fix


def test_a_jpeg_that_fits_is_the_same_object() -> None:
    data = packed(picture(), "JPEG")
    assert to_jpeg(data) is data
    assert to_jpeg(data, max_bytes=len(data) - 1) is not data
    assert opened(to_jpeg(data, max_side=100)).size == (100, 62)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1200, 20_000), st.integers(8, 300))
def test_every_limit_is_kept(width: int, height: int, limit: int, side: int) -> None:
    jpeg = to_jpeg(packed(noise(width, height)), max_bytes=limit, max_side=side)
    assert len(jpeg) <= limit
    assert max(opened(jpeg).size) <= side


def test_size_is_given_up_last() -> None:
    data = packed(noise(256, 256))
    assert opened(to_jpeg(data, max_bytes=40_000)).size == (256, 256)
    assert max(opened(to_jpeg(data, max_bytes=4000)).size) < 256


def test_a_budget_no_jpeg_can_keep() -> None:
    assert "100 bytes" in refusal(packed(picture()), max_bytes=100).what


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "CMYK", "I", "F", "I;16"])
def test_every_kind_of_pixel(mode: str) -> None:
    image = (
        picture().convert("L").convert("I").convert("I;16")
        if mode == "I;16"
        else picture(mode=mode)
    )
    assert opened(to_jpeg(image)).size == (320, 200)


def test_sixteen_bits_keep_their_brightness() -> None:
    deep = Image.fromarray(np.full((20, 20), 40_000, np.uint16))
    assert opened(to_jpeg(packed(deep))).getpixel((5, 5)) == pytest.approx(40_000 // 256, abs=2)


def test_transparency_becomes_white() -> None:
    for clear in (Image.new("RGBA", (20, 20), (0, 0, 0, 0)), Image.new("P", (20, 20), 0)):
        data = packed(clear, transparency=0) if clear.mode == "P" else packed(clear)
        assert opened(to_jpeg(data)).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4)])
def test_arrays(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.uint8)
    assert opened(to_jpeg(array)).size == (30, 20)


@pytest.mark.parametrize("shape", [(0, 0, 3), (2, 2, 7), (0,)])
def test_arrays_that_are_no_picture(shape: tuple[int, ...]) -> None:
    assert "not a picture" in refusal(np.zeros(shape, np.uint8)).what


def test_a_picture_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = packed(picture(), "JPEG", exif=exif)
    assert opened(to_jpeg(lying)).size == (200, 320)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_cut_off_or_damaged(kind: str) -> None:
    data, random = packed(picture(), kind), np.random.default_rng(5)
    assert "not a picture" in refusal(data[: len(data) // 2]).what
    for _ in range(20):
        damaged = bytearray(data)
        for at in random.integers(0, min(len(data), 300), 4):
            damaged[at] = random.integers(0, 256)
        with suppress(RealtimeException):
            assert image_mime(to_jpeg(bytes(damaged))) == "image/jpeg"


def test_words_are_no_picture() -> None:
    assert "not a picture" in refusal(b"These are words.").what


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    assert "too large" in refusal(packed(Image.new("1", (9000, 9000)))).what


def test_without_the_extra_the_line_to_type_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed(picture())
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert refusal(data).fix == "Type: pip install 'realtime-core[video]'"


def test_other_systems_have_files_too(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed(picture())
    here = to_jpeg(data)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert to_jpeg(data) == here


def test_a_thumbnail_is_small_and_grey() -> None:
    for data in (packed(picture()), packed(picture(), "JPEG"), packed(picture(3, 900))):
        assert len(thumbnail(data, 8)) == 64
