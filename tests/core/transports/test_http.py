"""HTTP heads: what is read of them, and what may stand in one."""

from __future__ import annotations

import pytest

from realtime_core.testing import run
from realtime_core.transports._http import BadHead, Head, read_head, sendable, written_head

from .pipes import pipes


def head_of(*reads: bytes) -> Head:
    async def program() -> Head:
        here, there = pipes(1 << 20)
        for read in reads:
            await there.send(read)
        there.shut()
        return await read_head(here)

    return run(program)


def test_a_head_may_come_in_pieces_and_be_followed() -> None:
    data = b"HTTP/1.1 200\r\nA: 1\r\nb:2 \r\na: 3\r\n\r\nrest"
    for cut in range(1, len(data)):
        head = head_of(data[:cut], data[cut:])
        assert head.start == ("HTTP/1.1", "200", "")
        assert head.headers == {"a": "1, 3", "b": "2"}
        assert b"rest".startswith(head.rest)


@pytest.mark.parametrize(
    ("data", "status"), [(b"x" * 20_000, 431), (b"\x16\x03", 400), (b"x\r\n\r\n", 400)]
)
def test_a_head_that_is_none(data: bytes, status: int) -> None:
    with pytest.raises(BadHead) as caught:
        head_of(data, b"more")
    assert caught.value.status == status


def test_a_head_that_never_ends() -> None:
    with pytest.raises(EOFError):
        head_of(b"GET / HTTP/1.1\r\n")


def test_a_head_is_read_as_it_was_written() -> None:
    headers = {"A": "1", "b-c": "\u00fc two"}
    head = head_of(written_head("GET /x HTTP/1.1", headers))
    assert head == Head(("GET", "/x", "HTTP/1.1"), {"a": "1", "b-c": "\u00fc two"}, b"")


@pytest.mark.parametrize(
    ("name", "value"), [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\ny"), ("a", "\u20ac")]
)
def test_a_header_that_would_break_a_head(name: str, value: str) -> None:
    assert not sendable(name, value)
    assert sendable("a", "x")
