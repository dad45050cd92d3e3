"""What a person brings to `realtime talk`: turns, each with the pictures shown before it.

Files are read here, before anything is opened, so that a wrong one is found at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

import msgspec

from ..audio.files import read_audio
from ..audio.format import AudioFormat
from ..errors import InvalidRequest, RealtimeException
from ..video import read_image, to_jpeg
from .output import note

__all__ = ("Given", "Say", "Sound", "Turn", "Typed", "read")

Given = tuple[Literal["say", "audio", "text", "image"], str]
"""An input as it stood on the command line: its option, and the text or path."""

_LAST_PICTURE = "What do you see?"


class Say(msgspec.Struct, frozen=True):
    """Words that the local voice speaks into the session."""

    text: str


class Sound(msgspec.Struct, frozen=True):
    """A recording, spoken into the session."""

    pcm: bytes
    format: AudioFormat


class Typed(msgspec.Struct, frozen=True):
    """Words that are typed."""

    text: str


class Turn(msgspec.Struct, frozen=True):
    """One turn of the user: pictures first, then what is said."""

    ask: Say | Sound | Typed
    pictures: tuple[bytes, ...] = ()
    """JPEGs."""


def read(inputs: Iterable[Given], image_bytes: int | None = None) -> tuple[Turn, ...]:
    """Make turns of the inputs, in order; a picture belongs to the next turn.

    Pictures at the end get the typed question "What do you see?", and none has more than
    `image_bytes`. Blocks; raises `RealtimeException` naming the file that cannot be used.
    """
    turns, pictures = list[Turn](), tuple[bytes, ...]()
    for kind, value in inputs:
        match kind:
            case "image":
                pictures = (*pictures, _picture(value, image_bytes))
                continue
            case "say":
                ask: Say | Sound | Typed = Say(_words(value))
            case "text":
                ask = Typed(_words(value))
            case _:
                ask = _sound(value)
        turns.append(Turn(ask, pictures))
        pictures = ()
    if pictures:
        turns.append(Turn(Typed(_LAST_PICTURE), pictures))
    return tuple(turns)


def _words(text: str) -> str:
    """Make sure that the text can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _sound(path: str) -> Sound:
    recording = read_audio(path)
    if recording.cleaned:
        note(f"{path}: {recording.cleaned} samples were no numbers and became silence.")
    return Sound(recording.pcm, recording.format)


def _picture(path: str, most: int | None) -> bytes:
    data, _ = read_image(path)
    try:
        return to_jpeg(data) if most is None else to_jpeg(data, most)
    except RealtimeException as refusal:
        error = refusal.error
        what = f"{path!r}: {error.what}"
        raise RealtimeException(
            cast("InvalidRequest", msgspec.structs.replace(error, what=what))
        ) from refusal
