"""Audio files, read into 16-bit samples at the file's own rate and channels.

WAV needs nothing but this library; FLAC, MP3, Ogg and the rest need the extra `cli` (soundfile).
Every way a file can be unreadable is one `InvalidRequest` that says which file and what to do.
All of this blocks: call it in a worker thread where an event loop runs.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Protocol, cast

import msgspec
import numpy as np

from ..errors import InvalidRequest, RealtimeException
from .format import AudioFormat
from .pcm import decode, encode
from .wav import UnknownCoding, WavWriter, parse_wav, write_wav

__all__ = ("Recording", "WavWriter", "read_audio", "write_wav")

_VALUES = 1 << 18


class Recording(msgspec.Struct, frozen=True):
    """A whole piece of audio."""

    pcm: bytes
    format: AudioFormat
    cleaned: int = 0
    """Values that were NaN or infinite in the file and became 0."""

    @property
    def milliseconds(self) -> float:
        """Its duration."""
        return self.format.milliseconds(len(self.pcm))


def read_audio(path: str | PathLike[str]) -> Recording:
    """Read a WAV, FLAC, MP3, Ogg or other audio file of any rate and channel count.

    A file that holds no samples is an empty recording. Raises `RealtimeException` with an
    `InvalidRequest` for everything that is not audio, and for a missing extra.
    """
    data = _bytes(Path(path))
    try:
        if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
            format, pcm, cleaned = parse_wav(data)
            return Recording(pcm, format, cleaned)
    except UnknownCoding:
        pass
    except RealtimeException as refused:
        raise _naming(path, refused) from refused
    return _read_other(path, data)


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise _refused(
            f"There is no file {str(path)!r}.", "the name is misspelt", "Check the path."
        ) from error
    except IsADirectoryError as error:
        raise _refused(
            f"{str(path)!r} is a folder.", "a file is meant", "Name one file in it."
        ) from error
    except (OSError, ValueError) as error:
        raise _refused(
            f"{str(path)!r} cannot be read: {error}.",
            "you may not read it, or the name is not one",
            "Check the name and the file's permissions.",
        ) from error
    if not data:
        raise _refused(
            f"{str(path)!r} is empty.", "recording it failed", "Record or download it again."
        )
    return data


class _Sound(Protocol):
    """An open file, as far as it is used here; soundfile does not carry its types."""

    samplerate: int
    channels: int
    seekable: Callable[[], bool]

    def __enter__(self) -> _Sound: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def buffer_read_into(self, buffer: bytearray, dtype: str) -> int: ...


class _Soundfile(Protocol):
    SoundFileError: type[Exception]

    def SoundFile(self, file: io.BytesIO) -> _Sound: ...  # noqa: N802 - its name there


class _Seekable(io.BytesIO):
    """Bytes in which a seek before the beginning stops there.

    The library asks for such places in damaged files, and an exception cannot pass through it.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self.tell(), len(self.getbuffer()))[whence]
        return super().seek(max(0, base + offset))


def _soundfile(path: str | PathLike[str]) -> _Soundfile:
    try:
        return cast("_Soundfile", importlib.import_module("soundfile"))
    except (ImportError, OSError) as error:
        raise _refused(
            f"Reading {str(path)!r} needs the extra `cli`; without it only WAV can be read.",
            "the package soundfile is not installed",
            "Type: pip install 'realtime-core[cli]'",
        ) from error


def _read_other(path: str | PathLike[str], data: bytes) -> Recording:
    soundfile = _soundfile(path)
    parts, cleaned = list[bytes](), 0
    try:
        with soundfile.SoundFile(_Seekable(data)) as sound:
            for floats in _blocks(sound):
                fine, bad = decode(floats, "f32")
                parts.append(encode(fine, "pcm16"))
                cleaned += bad
            format = AudioFormat(rate=sound.samplerate, channels=sound.channels)
    except soundfile.SoundFileError as error:
        raise _refused(
            f"{str(path)!r} is not audio that can be read: {_reason(error)}.",
            "the file is damaged, or is something else",
            "Use WAV, FLAC, MP3 or Ogg.",
        ) from error
    return Recording(b"".join(parts), format, cleaned)


def _blocks(sound: _Sound) -> Iterator[bytes]:
    """Give little-endian floats, block by block."""
    # Where it can, soundfile seeks to its own position after every read, and an MP3 does not land
    # where it was: read straight on.
    sound.seekable = lambda: False
    size = 4 * sound.channels
    buffer = bytearray(_VALUES // sound.channels * size)
    while frames := sound.buffer_read_into(buffer, "float32"):
        yield np.frombuffer(buffer, np.float32, frames * sound.channels).astype("<f4").tobytes()


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).rstrip(".")


def _naming(path: str | PathLike[str], refused: RealtimeException) -> RealtimeException:
    error = refused.error
    return _refused(f"{str(path)!r}: {error.what}", error.cause, error.fix)


def _refused(what: str, cause: str, fix: str) -> RealtimeException:
    return RealtimeException(InvalidRequest(what=what, cause=cause, fix=fix))
