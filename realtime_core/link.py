"""The way to a provider: batches of messages, both ways.

A link is anyio's own `ObjectStream` over tuples of wires: `receive` gives all messages that one
read brought, `send` writes all it is given at once. A dial is an async context manager that owns
whatever the link needs (socket, pings, engine tasks) and is left when the connection is over.

A link may also have `offer(wires) -> bool`, which takes a batch at once or, where it would
have to wait, not at all: then nobody needs to be woken for it.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from anyio.abc import ObjectStream

from .codec import Wire
from .plan import Plan

__all__ = ("Dial", "Link", "Wires")

Wires = tuple[Wire, ...]
Link = ObjectStream[Wires]


class Dial(Protocol):
    """Opens one connection.

    Entering connects; a failure raises `RealtimeException` with a typed error (an `OSError` counts
    as `Unavailable`). The link ends with `anyio.EndOfStream` when the peer closed in good order;
    any other end raises `RealtimeException` or `anyio.BrokenResourceError`. Cancelling at any point
    releases everything.
    """

    def __call__(self, plan: Plan) -> AbstractAsyncContextManager[Link]:
        """Give the context manager that holds one connection."""
        ...
