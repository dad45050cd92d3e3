"""RIFF/WAVE: reading what other programs write, and writing so that a stop loses nothing.

The reader takes the sizes in a header as an upper limit, never as a promise: a recording that was
cut off, or streamed with an unknown length, is read as far as it goes.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from ..errors import InvalidRequest, RealtimeException
from .format import AudioFormat, Encoding
from .pcm import Fine, decode, encode, fine_from_float

__all__ = ("UnknownCoding", "WavWriter", "parse_wav", "write_wav")

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_CODING: dict[Encoding, int] = {"pcm16": _PCM, "f32": _FLOAT, "pcma": _ALAW, "pcmu": _ULAW}
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_LARGEST = 0xFFFF_FFFF
_SLICE = 1 << 18


class UnknownCoding(Exception):  # noqa: N818 - it is an answer: ask another reader
    """The file is a WAV whose samples are coded in a way this reader does not know."""


class _Layout(NamedTuple):
    coding: int
    channels: int
    rate: int
    bits: int


def parse_wav(data: bytes) -> tuple[AudioFormat, bytes, int]:
    """Give format, 16-bit samples, and how many were NaN or infinite and became 0.

    PCM of 8, 16, 24 and 32 bits, floats of 32 and 64, mu-law and A-law, any rate and channels.
    Raises `RealtimeException` (`InvalidRequest`) where it is not WAV or damaged, `UnknownCoding`
    where the samples are compressed.
    """
    chunks = _chunks(data)
    if b"fmt " not in chunks or len(chunks[b"fmt "]) < 16:
        raise _damaged("it has no format chunk")
    layout = _layout(chunks[b"fmt "])
    if not layout.channels or not layout.rate:
        raise _damaged(f"its header says {layout.channels} channels at {layout.rate} Hz")
    format = AudioFormat(rate=layout.rate, channels=layout.channels)
    body = chunks.get(b"data", b"")
    size = layout.bits // 8 * layout.channels
    whole = body[: len(body) // size * size] if size else b""
    pcm, cleaned = _pcm16(whole, layout)
    return format, pcm, cleaned


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Give the first chunk of each name; the last one may be shorter than it says."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise _damaged("it does not begin like a WAV file")
    chunks, at = dict[bytes, bytes](), 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.setdefault(name, data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return chunks


def _layout(chunk: bytes) -> _Layout:
    coding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if coding == _EXTENSIBLE and len(chunk) >= 26:
        coding = int.from_bytes(chunk[24:26], "little")
    return _Layout(coding, channels, rate, bits)


def _pcm16(body: bytes, layout: _Layout) -> tuple[bytes, int]:
    match layout.coding, layout.bits:
        case 1, 16:
            return body, 0
        case (1, 8 | 24 | 32) | (3, 32 | 64) | (6 | 7, 8):
            pass
        case _:
            raise UnknownCoding(f"coding {layout.coding} with {layout.bits} bits")
    parts, cleaned, step = list[bytes](), 0, _SLICE * layout.bits // 8
    for at in range(0, len(body), step):
        fine, bad = _fine(body[at : at + step], layout)
        parts.append(encode(fine, "pcm16"))
        cleaned += bad
    return b"".join(parts), cleaned


def _fine(body: bytes, layout: _Layout) -> tuple[Fine, int]:
    match layout.coding, layout.bits:
        case 1, 8:  # the only width without a sign
            return (np.frombuffer(body, np.uint8).astype(np.float64) - 128) * (1 << 16), 0
        case 1, 24:
            wide = np.zeros((len(body) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(body, np.uint8).reshape(-1, 3)
            return wide.view("<i4").reshape(-1) / 256.0, 0
        case 1, _:
            return np.frombuffer(body, "<i4") / 256.0, 0
        case 3, 64:
            return fine_from_float(np.frombuffer(body, np.dtype("<f8")))
        case 3, _:
            return decode(body, "f32")
        case _:
            return decode(body, "pcma" if layout.coding == _ALAW else "pcmu")


class WavWriter:
    """A WAV file that is whole after every `write`, so that nothing is lost if the process stops.

    Each write appends the samples and then corrects the sizes in the header. A pipe, which cannot
    be corrected, gets the header of a stream of unknown length. Not for use from two threads at
    once; `close` may be called twice.
    """

    def __init__(self, path: str | PathLike[str], format: AudioFormat) -> None:
        """Create or empty the file; raises `RealtimeException` where that cannot be."""
        self.path = Path(path)
        self.format = format
        try:
            self._file = self.path.open("wb", buffering=0)
        except (OSError, ValueError) as error:
            raise self._unwritable(error) from error
        try:
            self._append(_header(format, 0 if self._file.seekable() else _LARGEST))
        except OSError as error:
            self._file.close()
            raise self._unwritable(error) from error

    def write(self, pcm: bytes) -> None:
        """Append samples in this writer's format; blocks for as long as the disk does.

        Raises `RealtimeException` where the disk is full; what fitted is kept.
        """
        if self._file.closed:
            raise RealtimeException(
                InvalidRequest(
                    what=f"{str(self.path)!r} is closed; nothing more can be written to it.",
                    cause="samples came after the end of the recording",
                    fix="Write before leaving the `with` block.",
                )
            )
        try:
            try:
                self._append(pcm)
            finally:
                self._correct()
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """End the file. The samples are there already; only WAV's padding may be missing."""
        if self._file.closed:
            return
        try:
            with self._file, suppress(OSError):
                if self._file.seekable() and self._file.tell() % 2:
                    self._append(b"\0")
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def _correct(self) -> None:
        if not self._file.seekable():
            return
        end = self._file.tell()
        self._file.seek(0)
        self._append(_header(self.format, end - _HEADER.size))
        self._file.seek(end)

    def _unwritable(self, error: OSError | ValueError) -> RealtimeException:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return RealtimeException(
            InvalidRequest(
                what=f"{str(self.path)!r} cannot be written: {why}.",
                cause="the folder is missing, is not yours to write in, or the disk is full",
                fix="Name a file in a folder that exists and that you may write to.",
            )
        )


def write_wav(path: str | PathLike[str], pcm: bytes, format: AudioFormat) -> None:
    """Write a whole recording; raises `RealtimeException` where the file cannot be written."""
    with WavWriter(path, format) as writer:
        writer.write(pcm)


def _header(format: AudioFormat, size: int) -> bytes:
    frame = format.sample_size
    whole = min(size // frame * frame, _LARGEST - _HEADER.size) if size < _LARGEST else _LARGEST
    return _HEADER.pack(
        b"RIFF",
        min(whole + whole % 2 + _HEADER.size - 8, _LARGEST),
        b"WAVE",
        b"fmt ",
        16,
        _CODING[format.encoding],
        format.channels,
        format.rate,
        min(format.rate * frame, _LARGEST),
        frame,
        8 * frame // format.channels,
        b"data",
        whole,
    )


def _damaged(why: str) -> RealtimeException:
    return RealtimeException(
        InvalidRequest(
            what=f"This is not a WAV file that can be read: {why}.",
            cause="the file is damaged, or is something else",
            fix="Play it in another program to see whether it is audio.",
        )
    )
