"""The bytes of an event: `{"event":{...}}` as JSON, and back.

How they are framed and signed is the link's business.
"""

from __future__ import annotations

import msgspec

from .client_events import ClientEvent
from .server_events import ServerEvent

__all__ = ("BROKEN", "client_event", "encode", "server_event")

BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError)
"""What reading raises for bytes that are no event."""


class _FromServer(msgspec.Struct, frozen=True, gc=False):
    event: ServerEvent | None = None


class _FromClient(msgspec.Struct, frozen=True, gc=False):
    event: ClientEvent | None = None


_ENCODER = msgspec.json.Encoder()
_SERVER = msgspec.json.Decoder(_FromServer)
_CLIENT = msgspec.json.Decoder(_FromClient)


def encode(event: ClientEvent | ServerEvent) -> bytes:
    """Write one event; raises `UnicodeEncodeError` for half a character."""
    return _ENCODER.encode({"event": event})


def server_event(wire: str | bytes) -> ServerEvent:
    """Read what the service says; raises one of `BROKEN` for what is no event."""
    return _SERVER.decode(wire).event or ServerEvent()


def client_event(wire: str | bytes) -> ClientEvent:
    """Read what a client says; raises one of `BROKEN` for what is no event."""
    return _CLIENT.decode(wire).event or ClientEvent()
