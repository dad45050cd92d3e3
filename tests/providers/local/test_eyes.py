"""The built-in eyes: they read what is written in a picture and refuse what is none."""

# pyright: reportPrivateUsage=false
# What was loaded once is forgotten, to see a first load fail.

from __future__ import annotations

import io
import sys
from typing import Literal

import anyio
import pytest
from PIL import Image, ImageDraw, ImageFont

from realtime_core.errors import InvalidRequest, RealtimeException
from realtime_local import eyes
from realtime_local.eyes import load_eyes

Kind = Literal["PNG", "JPEG"]


def picture(*lines: str, kind: Kind = "PNG", size: tuple[int, int] = (640, 480)) -> bytes:
    image = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(48)
    for at, line in enumerate(lines):
        draw.text((40, 60 + 120 * at), line, fill="black", font=font)
    encoded = io.BytesIO()
    image.save(encoded, kind)
    return encoded.getvalue()


def turned(data: bytes) -> bytes:
    """Turn a picture a quarter, and note in it that it is so."""
    image = Image.open(io.BytesIO(data)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", exif=exif)
    return encoded.getvalue()


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
async def test_text_is_read_line_by_line(kind: Kind) -> None:
    own = await load_eyes()
    note = await own.look(picture("EXIT 42", "Gate B is closed", kind=kind))
    assert note == 'text in view: "EXIT 42", "Gate B is closed"'


@pytest.mark.anyio
async def test_a_large_picture_and_a_turned_one_are_read_too() -> None:
    own = await load_eyes()
    assert "EXIT 42" in await own.look(picture("EXIT 42", size=(1900, 1000)))
    assert "EXIT 42" in await own.look(turned(picture("EXIT 42", "Gate B is closed")))


@pytest.mark.anyio
async def test_a_picture_without_text_has_no_note() -> None:
    own = await load_eyes()
    assert await own.look(picture()) == ""
    assert await own.look(picture(size=(1, 1))) == ""


@pytest.mark.anyio
@pytest.mark.parametrize(
    "data",
    [b"", b"not a picture", picture("EXIT 42")[:900], picture("EXIT 42")[:8] + bytes(100)],
    ids=["empty", "text", "cut off", "broken"],
)
async def test_what_is_no_picture_is_refused(data: bytes) -> None:
    own = await load_eyes()
    with pytest.raises(RealtimeException, match="cannot be decoded") as raised:
        await own.look(data)
    assert isinstance(raised.value.error, InvalidRequest)
    assert "EXIT" in await own.look(picture("EXIT 42"))


@pytest.mark.anyio
async def test_a_picture_of_too_many_pixels_is_not_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eyes, "_MOST_PIXELS", 640 * 480 - 1)
    own = await load_eyes()
    with pytest.raises(RealtimeException, match="640 x 480 pixels"):
        await own.look(picture("EXIT 42"))


@pytest.mark.anyio
async def test_looking_can_be_given_up() -> None:
    own = await load_eyes()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await own.look(picture("EXIT 42"))
    assert "EXIT" in await own.look(picture("EXIT 42"))


@pytest.mark.anyio
async def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    eyes._loaded.cache_clear()
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(RealtimeException, match=r"pip install 'realtime-core\[local-eyes\]'"):
        await load_eyes()
