"""A connection inside the process: two ends of one link, each the other's peer."""

from __future__ import annotations

import anyio
from anyio.streams.stapled import StapledObjectStream

from ..link import Link, Wires

__all__ = ("memory_link",)


def memory_link(buffer: float = 64) -> tuple[Link, Link]:
    """Give both ends of a link that holds up to `buffer` batches each way, then makes senders wait.

    Closing one end gives `anyio.EndOfStream` to the receiver at the other, behind what was sent.
    """
    there, here = (anyio.create_memory_object_stream[Wires](buffer) for _ in range(2))
    return StapledObjectStream(there[0], here[1]), StapledObjectStream(here[0], there[1])
