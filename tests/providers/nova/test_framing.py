"""Framing of the event stream, against botocore's decoder and the vectors of its test suite."""

from __future__ import annotations

import struct
from binascii import crc32
from itertools import pairwise
from uuid import UUID

import pytest
from botocore.eventstream import (  # type: ignore[import-untyped]
    EventStreamBuffer,
    ParserError,
)
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import InvalidRequest, ProtocolViolation, RealtimeException
from realtime_nova.framing import (
    MOST_HEADERS,
    MOST_PAYLOAD,
    Header,
    Integer,
    Message,
    Reader,
    Timestamp,
    encode,
    encode_headers,
)

JSON = b"{'foo':'bar'}"
VECTORS: dict[str, tuple[bytes, Message]] = {
    "empty": (b"\0\0\0\x10\0\0\0\0\x05\xc2H\xeb}\x98\xc8\xff", Message()),
    "int8": (
        b"\0\0\0\x17\0\0\0\x07)\x86\x01X\x04byte\x02\xff\xc2\xf8i\xdc",
        Message({"byte": Integer(-1, 1)}),
    ),
    "int16": (
        b"\0\0\0\x19\0\0\0\tq\x0e\x92>\x05short\x03\xff\xff\xb2|\xb6\xcc",
        Message({"short": Integer(-1, 2)}),
    ),
    "int32": (
        b"\0\0\0\x1d\0\0\0\r\x83\xe3\xf0\xe7\x07integer\x04\xff\xff\xff\xff\x8b\x8e\x12\xeb",
        Message({"integer": Integer(-1)}),
    ),
    "int64": (
        b"\0\0\0\x1e\0\0\0\x0e]J\xdb\x8d\x04long\x05" + 8 * b"\xff" + b"K\xc22\xda",
        Message({"long": Integer(-1, 8)}),
    ),
    "payload": (
        b"\0\0\0\x1d\0\0\0\0\xfdR\x8cZ" + JSON + b"\xc3e96",
        Message({}, JSON),
    ),
    "text": (
        b"\0\0\0=\0\0\0 \x07\xfd\x83\x96\x0ccontent-type\x07\0\x10application/json"
        + JSON
        + b"\x8d\x9c\x08\xb1",
        Message({"content-type": "application/json"}, JSON),
    ),
    "all types": (
        (
            b"\0\0\0\x62\0\0\0\x52\x03\xb5\xcb\x9c\x010\0\x011\x01\x012\x02\x02\x013\x03\0\x03"
            b"\x014\x04\0\0\0\x04\x015\x05\0\0\0\0\0\0\0\x05\x016\x06\0\x05bytes\x017\x07\0\x04utf8"
            b"\x018\x08\0\0\0\0\0\0\0\x08\x019\x090123456789abcdef\x63\x35\x36\x71"
        ),
        Message(
            {
                "0": True,
                "1": False,
                "2": Integer(2, 1),
                "3": Integer(3, 2),
                "4": Integer(4),
                "5": Integer(5, 8),
                "6": b"bytes",
                "7": "utf8",
                "8": Timestamp(8),
                "9": UUID(bytes=b"0123456789abcdef"),
            }
        ),
    ),
    "error": (
        (
            b"\0\0\0\x52\0\0\0\x42\xbf\x23\x63\x7e\x0d:message-type\x07\0\x05error"
            b"\x0b:error-code\x07\0\x04code\x0e:error-message\x07\0\x07message\x6b\x6c\xea\x3d"
        ),
        Message({":message-type": "error", ":error-code": "code", ":error-message": "message"}),
    ),
}
"""Published with botocore, whose names they keep."""
BROKEN = {
    "length": b"\x01\0\0\x1d\0\0\0\0\xfdR\x8cZ" + JSON + b"\xc3e96",
    "payload": b"\0\0\0\x1d\0\0\0\0\xfdR\x8cZ{'foo':'bar'\x8d\xc3e96",
    "headers": b"\0\0\0=\0\0\0 \x07\xfd\x83\x96\x0ccontent+type\x07\0\x10application/json"
    + JSON
    + b"\x8d\x9c\x08\xb1",
    "headers' length": b"\0\0\0=\xff\0\x01\x02\x07\xfd\x83\x96\x0ccontent-type\x07\0"
    b"\x10application/json" + JSON + b"\x8d\x9c\x08\xb1",
    "a header twice": b"\0\0\0\x24\0\0\0\x14\x4b\xb9\x82\xd0\x04test\x04asdf\x04test\x04asdf"
    b"\xf3\xf4\x75\x63",
}


def integers(size: int) -> st.SearchStrategy[Integer]:
    edge = 1 << 8 * size - 1
    return st.builds(Integer, st.integers(-edge, edge - 1), st.just(size))


VALUES: st.SearchStrategy[Header] = st.one_of(
    st.booleans(),
    *(integers(size) for size in (1, 2, 4, 8)),
    st.binary(max_size=50),
    st.text(max_size=50),
    st.builds(Timestamp, st.integers(-(1 << 63), (1 << 63) - 1)),
    st.uuids(),
)
MESSAGES = st.builds(
    Message, st.dictionaries(st.text(max_size=20), VALUES, max_size=5), st.binary(max_size=300)
)


def framed(message: Message) -> bytes:
    return encode(message.headers, message.payload)


def read(*pieces: bytes) -> tuple[list[Message], ProtocolViolation | None]:
    reader, messages = Reader(), list[Message]()
    for piece in pieces:
        messages += reader.feed(piece)
    return messages, reader.fault


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(at)]


def plain(value: Header) -> object:
    """Give a value as botocore does."""
    match value:
        case Integer(number):
            return number
        case Timestamp(ms):
            return ms
        case UUID():
            return value.bytes
        case _:
            return value


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name: str) -> None:
    data, message = VECTORS[name]
    assert read(data) == ([message], None)
    assert framed(message) == data


@pytest.mark.parametrize("name", BROKEN)
def test_vectors_that_are_broken(name: str) -> None:
    sound, message = VECTORS["text"]
    messages, fault = read(sound + BROKEN[name] + sound)
    assert messages == [message]
    assert isinstance(fault, ProtocolViolation)
    assert fault.code == "event-stream"
    buffer = EventStreamBuffer()
    buffer.add_data(BROKEN[name])
    with pytest.raises(ParserError):
        list(buffer)


@given(st.lists(MESSAGES, max_size=4), st.lists(st.integers(0), max_size=12))
def test_any_pieces_of_any_messages_are_the_same_messages(
    messages: list[Message], cuts: list[int]
) -> None:
    data = b"".join(map(framed, messages))
    assert read(*pieces_of(data, cuts)) == (messages, None)
    assert read(*(data[at : at + 1] for at in range(len(data)))) == (messages, None)
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    for seen, message in zip(buffer, messages, strict=True):
        assert seen.headers == {name: plain(value) for name, value in message.headers.items()}
        assert seen.payload == message.payload


@given(MESSAGES, MESSAGES, st.integers(0), st.integers(1, 255), st.lists(st.integers(0)))
def test_a_byte_that_is_not_what_it_was_is_one_fault(
    first: Message, second: Message, at: int, change: int, cuts: list[int]
) -> None:
    sound, bad = framed(first), bytearray(framed(second))
    bad[at % len(bad)] ^= change
    messages, fault = read(*pieces_of(sound + bytes(bad) + sound, cuts))
    assert messages == [first]
    assert isinstance(fault, ProtocolViolation)


@given(st.lists(st.binary(max_size=100) | MESSAGES.map(framed), max_size=5))
def test_any_bytes_are_messages_and_at_most_one_fault(pieces: list[bytes]) -> None:
    reader = Reader()
    for piece in pieces:
        reader.feed(piece)
    fault = reader.fault
    reader.end()
    assert reader.fault is fault or fault is None
    assert reader.feed(b"".join(pieces)) == () or reader.fault is None


@pytest.mark.parametrize("cut", [1, 11, 12, 13, 60])
def test_half_a_message_at_the_end(cut: int) -> None:
    data, message = VECTORS["text"]
    reader = Reader()
    assert reader.feed(data + data[:cut]) == (message,)
    assert reader.fault is None
    reader.end()
    assert reader.fault is not None
    assert "middle" in reader.fault.cause
    assert reader.feed(data[cut:]) == ()


def test_the_end_between_two_messages() -> None:
    reader = Reader()
    reader.feed(VECTORS["text"][0])
    reader.end()
    assert reader.fault is None


# --- limits -----------------------------------------------------------------------------------


def prelude(whole: int, headers: int) -> bytes:
    lengths = struct.pack("!II", whole, headers)
    return lengths + struct.pack("!I", crc32(lengths))


@pytest.mark.parametrize(
    ("whole", "headers"),
    [
        (MOST_PAYLOAD + 17, 0),
        (MOST_HEADERS + 17, MOST_HEADERS + 1),
        (0xFFFFFFFF, 0),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (15, 0),
        (0, 0),
        (20, 5),
    ],
)
def test_lengths_are_judged_before_anything_is_kept(whole: int, headers: int) -> None:
    reader = Reader()
    reader.feed(prelude(whole, headers))
    assert reader.fault is not None
    reader.feed(bytes(1000))
    assert not reader._data


@pytest.mark.parametrize(("payload", "headers"), [(MOST_PAYLOAD, 0), (0, MOST_HEADERS)])
def test_the_largest_that_is_taken(payload: int, headers: int) -> None:
    reader = Reader()
    reader.feed(prelude(16 + payload + headers, headers))
    assert reader.fault is None


def test_a_large_message_in_small_pieces() -> None:
    data = encode({"a": "b"}, bytes(4 * 1024 * 1024))
    messages, fault = read(*(data[at : at + 4096] for at in range(0, len(data), 4096)))
    assert fault is None
    assert [len(message.payload) for message in messages] == [4 * 1024 * 1024]


@pytest.mark.parametrize(
    ("headers", "payload"),
    [
        ({}, bytes(MOST_PAYLOAD + 1)),
        (bytes(MOST_HEADERS + 1), b""),
        ({"a": "x" * 32_768}, b""),
        ({"a": bytes(32_768)}, b""),
        ({"a" * 256: True}, b""),
        ({"a": Integer(128, 1)}, b""),
        ({"a": Integer(-32_769, 2)}, b""),
        ({"a": Integer(1 << 31)}, b""),
        ({"a": Integer(1 << 63, 8)}, b""),
    ],
)
def test_what_goes_beyond_a_limit_is_not_sent(
    headers: dict[str, Header] | bytes, payload: bytes
) -> None:
    with pytest.raises(RealtimeException) as caught:
        encode(headers, payload)
    assert isinstance(caught.value.error, InvalidRequest)


@pytest.mark.parametrize(
    "headers",
    [
        b"\x01",
        b"\x05abc",
        b"\x01a",
        b"\x01a\x0a",
        b"\x01a\xff",
        b"\x01\xff\x00",
        b"\x01a\x02",
        b"\x01a\x05\0\0",
        b"\x01a\x07\0",
        b"\x01a\x07\0\x05abc",
        b"\x01a\x06\xff\xffabc",
        b"\x01a\x07\0\x01\xff",
        b"\x01a\x08\0",
        b"\x01a\x09\0",
        b"\x01a\x00\x01a\x01",
    ],
)
def test_headers_that_are_none_behind_sound_checksums(headers: bytes) -> None:
    messages, fault = read(encode(headers, b"x"))
    assert messages == []
    assert isinstance(fault, ProtocolViolation)


def test_text_of_a_header() -> None:
    message = Message({"a": "b", "c": b"d"})
    assert (message.text("a"), message.text("c"), message.text("e")) == ("b", "", "")
    assert encode_headers({"a": "b"}) == b"\x01a\x07\x00\x01b"
