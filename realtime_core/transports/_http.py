"""HTTP heads: just enough of HTTP/1.1 to be asked by a client and to ask a proxy.

Every limit is applied before what it guards is read. No chunks, no trailers, one message for each
connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from ._sockets import Pipe

__all__ = ("BadHead", "Head", "read_head", "sendable", "written_head")

_LIMIT = 16 * 1024
_END = b"\r\n\r\n"
_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class BadHead(Exception):  # noqa: N818 - it carries the status that answers it
    """What came is no HTTP head; `.status` is the answer to it."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(f"{status.value} {status.phrase}")
        self.status = status


class Head(NamedTuple):
    """The first line, in its three parts, and the headers by their names in small letters."""

    start: tuple[str, str, str]
    headers: dict[str, str]
    """Values of a name that came several times are joined by commas."""
    rest: bytes
    """What the same read brought behind the head."""


async def read_head(pipe: Pipe) -> Head:
    """Wait for a head. Raises `BadHead`, `EOFError` where it never ends, or `OSError`."""
    data = b""
    while _END not in data:
        if len(data) > _LIMIT:
            raise BadHead(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        more = await pipe.receive()
        if not more:
            raise EOFError("the connection ended before the HTTP head did")
        data += more
        if not data[:1].isalpha():  # TLS, perhaps, whose end would never come
            raise BadHead(HTTPStatus.BAD_REQUEST)
    head, _, rest = data.partition(_END)
    first, *lines = head.decode("latin-1").split("\r\n")
    start = [*first.split(" ", 2), ""]  # some leave out the phrase behind a status
    headers = dict[str, str]()
    for line in lines:
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not (colon and sendable(name, value)):
            raise BadHead(HTTPStatus.BAD_REQUEST)
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if len(start) < 3 or not _VALUE.fullmatch(first):
        raise BadHead(HTTPStatus.BAD_REQUEST)
    return Head((start[0], start[1], start[2]), headers, rest)


def written_head(start: str, headers: Mapping[str, str]) -> bytes:
    """Write a head whose headers are all `sendable`."""
    lines = (start, *(f"{name}: {value}" for name, value in headers.items()), "", "")
    return "\r\n".join(lines).encode("latin-1")


def sendable(name: str, value: str) -> bool:
    """Tell whether a header can stand in a head; a line break in it would begin another."""
    return bool(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value))
