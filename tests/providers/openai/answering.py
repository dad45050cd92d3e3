"""A web server on this machine that answers what the test says, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

__all__ = ("Asked", "Site", "answer", "answering")


class Asked(NamedTuple):
    """One request, as it stood on the wire; names of headers in small letters."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Site:
    """Where the server is, and what it was asked so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = list[Asked]()


def answer(status: int, body: bytes | str = b"", **headers: str) -> bytes:
    """Write an answer; `_` in names of headers stands for `-`."""
    content = body.encode() if isinstance(body, str) else body
    given = {"content_length": str(len(content)), **headers}
    lines = (f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status} Said\r\n{''.join(lines)}\r\n".encode() + content


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncGenerator[Site]:
    """Answer each connection's one request with the next of these; then hang up."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.listeners[0].extra(SocketAttribute.local_port)
    site = Site(f"http://127.0.0.1:{port}/v1")
    left = list(answers)

    async def serve(stream: SocketStream) -> None:
        async with stream:
            site.asked.append(await _read(BufferedByteReceiveStream(stream)))
            if left:
                await stream.send(left.pop(0))
            else:
                await anyio.sleep_forever()

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield site
        tasks.cancel_scope.cancel()


async def _read(stream: BufferedByteReceiveStream) -> Asked:
    head = (await stream.receive_until(b"\r\n\r\n", 64_000)).decode()
    line, *lines = head.split("\r\n")
    pairs = (one.split(": ", 1) for one in lines)
    headers = {name.lower(): value for name, value in pairs}
    body = await stream.receive_exactly(int(headers.get("content-length", "0")))
    return Asked(line, headers, body)
