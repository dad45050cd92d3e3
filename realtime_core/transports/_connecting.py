"""Connecting: whichever of a host's addresses answers first.

Not anyio's own way: that ends in a stream whose socket cannot be had back.
"""

from __future__ import annotations

import os
import socket
from itertools import zip_longest
from typing import Any

import anyio

from ._sockets import Socket

__all__ = ("connect",)

_HEAD_START = 0.25
"""Seconds until the next address of a host is tried as well."""
_Address = tuple[int, Any]
"""A family, and an address as it has them."""


async def connect(host: str, port: int) -> Socket:
    """Connect to a host of this name or number.

    Raises `OSError`, that of the first address, where none answers. Cancelling leaves nothing.
    """
    addresses = await _addresses(host, port)
    if len(addresses) == 1:
        return Socket(await _reached(addresses[0]))
    reached, problems = list[socket.socket](), list[OSError]()

    async def attempt(address: _Address, failed: anyio.Event) -> None:
        try:
            reached.append(await _reached(address))
            tasks.cancel_scope.cancel()
        except OSError as problem:
            problems.append(problem)
            failed.set()

    try:
        async with anyio.create_task_group() as tasks:
            for address in addresses:
                failed = anyio.Event()
                tasks.start_soon(attempt, address, failed)
                with anyio.move_on_after(_HEAD_START):
                    await failed.wait()
        if reached:
            return Socket(reached.pop(0))
    finally:
        for late in reached:
            late.close()
    raise problems[0]


async def _addresses(host: str, port: int) -> list[_Address]:
    """Give where a host may be, one family after the other in turns."""
    try:
        numeric = socket.AI_NUMERICHOST
        found: Any = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)
    except socket.gaierror:  # it is a name
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families = dict[int, list[_Address]]()
    for family, _, _, _, address in found:
        families.setdefault(family, []).append((family, address))
    return [address for turn in zip_longest(*families.values()) for address in turn if address]


async def _reached(address: _Address) -> socket.socket:
    family, at = address
    raw = socket.socket(family, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        try:
            raw.connect(at)
        except BlockingIOError:
            await anyio.wait_writable(raw)
            _check(raw)
    except BaseException:
        raw.close()
        raise
    return raw


def _check(raw: socket.socket) -> None:
    code = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
