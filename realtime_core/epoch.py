"""Identities of a session, and the one comparison that matters.

An epoch is the interrupt fence: it starts at 0 and rises by one at each interruption. Whatever
belongs to an older epoch is stale and never reaches the consumer.
"""

from __future__ import annotations

from typing import NewType

__all__ = ("CallId", "Epoch", "ItemId", "RequestId", "ResponseId", "is_stale")

Epoch = NewType("Epoch", int)
ResponseId = NewType("ResponseId", str)
ItemId = NewType("ItemId", str)
CallId = NewType("CallId", str)
RequestId = NewType("RequestId", str)


def is_stale(belongs_to: Epoch, current: Epoch) -> bool:
    """Tell whether output bound to one epoch is too old for a session that stands at another."""
    return belongs_to < current
