"""Event-stream framing: messages of headers and payload, as they stand in a body.

Pure. Every limit is applied before room is made for what it guards, both checksums are checked, and
whatever bytes come are whole messages and at most one fault behind them.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Iterator, Mapping
from typing import Literal
from uuid import UUID

import msgspec

from realtime_core.errors import InvalidRequest, ProtocolViolation, RealtimeException

__all__ = (
    "MOST_HEADERS",
    "MOST_PAYLOAD",
    "Header",
    "Integer",
    "Message",
    "Reader",
    "Timestamp",
    "encode",
    "encode_headers",
)

MOST_HEADERS = 128 * 1024
"""Bytes of the headers of a message."""
MOST_PAYLOAD = 16 * 1024 * 1024
"""Bytes of its payload."""
_MOST_VALUE = 32 * 1024 - 1
_MOST_NAME = 255
_PRELUDE = struct.Struct("!III")
_CRC = struct.Struct("!I")
_AROUND = _PRELUDE.size + _CRC.size
"""Bytes of a message that are neither headers nor payload."""
_Size = Literal[1, 2, 4, 8]
_INTEGERS: dict[int, tuple[str, _Size]] = {2: ("!b", 1), 3: ("!h", 2), 4: ("!i", 4), 5: ("!q", 8)}
_TYPES = {size: kind for kind, (_, size) in _INTEGERS.items()}
_TRUE, _FALSE, _BYTES, _TEXT, _TIME, _UUID = 0, 1, 6, 7, 8, 9


class Integer(msgspec.Struct, frozen=True):
    """A whole number, and in how many bytes it travels."""

    value: int
    size: _Size = 4


class Timestamp(msgspec.Struct, frozen=True):
    """An instant, in milliseconds of Unix time."""

    ms: int


Header = bool | Integer | bytes | str | Timestamp | UUID
"""A value of each of the ten types."""


class Message(msgspec.Struct, frozen=True):
    """One message."""

    headers: Mapping[str, Header] = {}
    payload: bytes = b""

    def text(self, name: str) -> str:
        """Give a header that is text; empty where it is missing or something else."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


# --- out --------------------------------------------------------------------------------------


def encode(headers: Mapping[str, Header] | bytes, payload: bytes) -> bytes:
    """Frame a message; headers may have been encoded before.

    Raises `RealtimeException` (`InvalidRequest`) for what goes beyond a limit.
    """
    head = headers if isinstance(headers, bytes) else encode_headers(headers)
    _check(len(head), MOST_HEADERS, "headers of a message")
    _check(len(payload), MOST_PAYLOAD, "payload of a message")
    lengths = struct.pack("!II", _AROUND + len(head) + len(payload), len(head))
    framed = b"".join((lengths, _CRC.pack(crc32(lengths)), head, payload))
    return framed + _CRC.pack(crc32(framed))


def encode_headers(headers: Mapping[str, Header]) -> bytes:
    """Encode headers in their order, as they stand in a message and as they are signed."""
    return b"".join(_named(name) + _valued(value) for name, value in headers.items())


def _named(name: str) -> bytes:
    data = name.encode()
    _check(len(data), _MOST_NAME, "name of a header")
    return bytes((len(data),)) + data


def _valued(value: Header) -> bytes:
    match value:
        case bool():
            return bytes((_TRUE if value else _FALSE,))
        case Integer(number, size):
            kind = _TYPES[size]
            if not -(1 << 8 * size - 1) <= number < 1 << 8 * size - 1:
                raise RealtimeException(_beyond(f"number {number} of {size} bytes"))
            return bytes((kind,)) + struct.pack(_INTEGERS[kind][0], number)
        case Timestamp(ms):
            return struct.pack("!Bq", _TIME, ms)
        case UUID():
            return bytes((_UUID,)) + value.bytes
        case bytes():
            return _sized(_BYTES, value)
        case str():
            return _sized(_TEXT, value.encode())


def _sized(kind: int, data: bytes) -> bytes:
    _check(len(data), _MOST_VALUE, "value of a header")
    return struct.pack("!BH", kind, len(data)) + data


def _check(length: int, limit: int, what: str) -> None:
    if length > limit:
        raise RealtimeException(_beyond(f"{what} ({length} bytes of at most {limit})"))


def _beyond(what: str) -> InvalidRequest:
    return InvalidRequest(
        what="This cannot be framed as one message.",
        cause=f"a limit of the event stream on the {what}",
        fix="Send less at once.",
    )


# --- in ---------------------------------------------------------------------------------------


class Reader:
    """Messages out of the bytes of a body, in whatever pieces these come.

    A fault is the last thing it finds: what comes behind it is not looked at.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._whole = 0
        """Length of the message that has begun, once its prelude is sound."""
        self._headers = 0
        self._last = b"", dict[str, Header]()
        """The headers of the message before, which as a rule are those of the next."""
        self.fault: ProtocolViolation | None = None
        """What is wrong with the body."""

    def feed(self, data: bytes) -> tuple[Message, ...]:
        """Take bytes, and give the messages that they complete; look at `fault` then."""
        if self.fault is not None:
            return ()
        self._data += data
        messages = list[Message]()
        try:
            while (message := self._next()) is not None:
                messages.append(message)
        except _Malformed as problem:
            self.fault = _violation(str(problem))
            self._data = bytearray()
        return tuple(messages)

    def end(self) -> None:
        """Tell that the body is over: half a message is a fault."""
        if self._data:
            self.fault = _violation("the body ended in the middle of a message")
            self._data = bytearray()

    def _next(self) -> Message | None:
        if not self._whole:
            if len(self._data) < _PRELUDE.size:
                return None
            self._measure(*_PRELUDE.unpack_from(self._data))
        if len(self._data) < self._whole:
            return None
        framed = bytes(memoryview(self._data)[: self._whole])
        del self._data[: self._whole]
        self._whole = 0
        if crc32(memoryview(framed)[:-4]) != _CRC.unpack_from(framed, len(framed) - 4)[0]:
            raise _Malformed("the checksum of a message does not fit it")
        begin, end = _PRELUDE.size, _PRELUDE.size + self._headers
        head = framed[begin:end]
        if head != self._last[0]:
            self._last = head, _headers(head)
        return Message(self._last[1], framed[end:-4])

    def _measure(self, whole: int, headers: int, crc: int) -> None:
        """Check the prelude: nothing is kept for lengths that cannot be right."""
        if crc32(memoryview(self._data)[:8]) != crc:
            raise _Malformed("the checksum of a prelude does not fit it")
        if headers > MOST_HEADERS or not 0 <= whole - headers - _AROUND <= MOST_PAYLOAD:
            raise _Malformed(f"a message of {whole} bytes, {headers} of them headers")
        self._whole, self._headers = whole, headers


class _Malformed(Exception):  # noqa: N818 - it becomes a fault
    """These bytes are no message."""


def _headers(data: bytes) -> dict[str, Header]:
    headers = dict[str, Header]()
    for name, value in _pairs(data):
        if name in headers:
            raise _Malformed("a header that comes twice")
        headers[name] = value
    return headers


def _pairs(data: bytes) -> Iterator[tuple[str, Header]]:
    at = 0
    try:
        while at < len(data):
            begin = at + 1
            at = begin + data[at]
            name = data[begin:at].decode()
            value, at = _value(data, at + 1, data[at])
            if at > len(data):
                raise _Malformed("a header that goes beyond the headers")
            yield name, value
    except (IndexError, struct.error):
        raise _Malformed("a header that is cut off") from None
    except UnicodeDecodeError:
        raise _Malformed("a header that is not UTF-8") from None


def _value(data: bytes, at: int, kind: int) -> tuple[Header, int]:
    """Decode a value, and tell where it ends, which may be beyond the data."""
    if kind in {_TRUE, _FALSE}:
        return kind == _TRUE, at
    if kind in _INTEGERS:
        form, size = _INTEGERS[kind]
        (number,) = struct.unpack_from(form, data, at)
        return Integer(number, size), at + size
    if kind == _TIME:
        return Timestamp(struct.unpack_from("!q", data, at)[0]), at + 8
    if kind == _UUID:
        return UUID(bytes=struct.unpack_from("!16s", data, at)[0]), at + 16
    if kind not in {_BYTES, _TEXT}:
        raise _Malformed("a header of a type that is not known")
    (length,) = struct.unpack_from("!H", data, at)
    begin, end = at + 2, at + 2 + length
    raw = data[begin:end]
    return (raw if kind == _BYTES else raw.decode()), end


def _violation(cause: str) -> ProtocolViolation:
    return ProtocolViolation(
        what="The service sent what is no event stream.",
        cause=cause,
        fix="Check the address; else something on the way changes what is sent.",
        code="event-stream",
    )
