"""Tongues: how a kindred service speaks, as translations at the wire around the one mirror.

What a client says is turned into what the mirror hears, and what the mirror writes into what the
client is told; in between there is one server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from realtime_core.codec import Wire

from .. import client_events as client
from . import mirror
from .book import Book
from .page import Told
from .schema import Fields

__all__ = ("GA", "Tongue")


def _as_it_is(book: Book, wires: tuple[bytes, ...]) -> tuple[bytes, ...]:
    del book
    return wires


class Tongue(msgspec.Struct, frozen=True, kw_only=True):
    """One way of speaking to clients: pure functions, and what differs at the start."""

    hear: Callable[[Book, Wire], Told] = mirror.hear
    """Reads what a client sent."""
    say: Callable[[Book, tuple[bytes, ...]], tuple[bytes, ...]] = _as_it_is
    """Gives the mirror's messages as the client gets them."""
    decode: Callable[[str | bytes], client.ClientEvent] = client.decode
    """Gives what a client sent as a script sees it; raises what msgspec raises."""
    given: Fields = msgspec.field(default_factory=dict[str, Any])
    """Settings that hold where a client says nothing, in the mirror's words."""
    voice: str = "alloy"
    """What speaks where nobody chose."""
    prefix: str = "/v1"
    """What the address of the WebSocket begins with, before `/realtime`."""


GA = Tongue()
"""OpenAI since August 2025: the mirror's own."""
