"""The codec of Nova Sonic: events of the service to events of the library, frames to events.

Pure: what a connection has told so far is a value. A message on this wire is the JSON of one event;
framing and signatures are the link's. The wire has no word of welcome: an empty message from the
link says that the service has accepted the request; that, or the first event, opens the session.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec.structs import fields, replace
from returns.result import Failure, Result, Success

from realtime_core.capability import Capabilities
from realtime_core.codec import (
    Coded,
    Outgoing,
    Resume,
    Wire,
    as_message,
    unreadable,
    unsendable,
)
from realtime_core.config import SessionConfig
from realtime_core.errors import RealtimeError, Unsupported
from realtime_core.events import Unknown
from realtime_core.plan import Plan, negotiate, options_of

from .encoding import BROKEN, server_event
from .failures import quoted
from .lacking import unmet
from .memory import Memory
from .models import capabilities as capabilities_of
from .models import model_of
from .opening import opened
from .options import Options
from .reading import accepted, read
from .server_events import ServerEvent
from .writing import write

__all__ = ("NovaCodec", "agree")

_SHOWN = 1_000
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KNOWN = frozenset(field.encode_name for field in fields(ServerEvent))


def agree(capabilities: Capabilities, wish: SessionConfig) -> Result[Plan, Unsupported]:
    """Negotiate as usual; what cannot be written is refused, what the model lacks is told."""
    options = options_of(wish, Options)
    if isinstance(options, Failure):
        return Failure(options.failure())
    own = _own(capabilities)
    name = wish.model or own
    able = capabilities if name == own else capabilities_of(name)
    agreed = negotiate(able, replace(wish, model=name))
    if isinstance(agreed, Failure):
        return agreed
    plan, lacks = agreed.unwrap(), unmet(name, model_of(name), wish)
    unwritable = _unwritable(plan)
    if unwritable is not None:
        return Failure(unwritable)
    return Success(replace(plan, warnings=(*plan.warnings, *lacks)))


def _unwritable(plan: Plan) -> Unsupported | None:
    """Write the first events once: what cannot be JSON is refused before anything is dialled."""
    try:
        NovaCodec().greet(plan, None)
    except (TypeError, ValueError, OverflowError, RecursionError) as problem:
        return Unsupported(
            what=f"The tools or the options cannot be written: {quoted(str(problem))[:200]}.",
            cause="a value that JSON does not know, or half a character",
            fix="Look at the names, descriptions and parameters of the tools.",
            field="tools",
        )
    return None


class NovaCodec:
    """Speaks to Nova Sonic."""

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[Memory]:
        """Open session, prompt, the blocks of words, and the audio block, all at once."""
        options = options_of(plan.config, Options).value_or(Options())
        model = model_of(plan.config.model or _own(plan.capabilities))
        conn = resume.conn if resume is not None else 0
        history = resume.history if resume is not None else plan.config.history
        return opened(Memory(plan, options, model, conn=conn), history).coded()

    def encode(self, state: Memory, frame: Outgoing) -> Result[Coded[Memory], RealtimeError]:
        """Give the events for a frame; a command is refused: the wire has none."""
        try:
            return write(state, frame)
        except UnicodeEncodeError as problem:
            return Failure(unsendable(frame, problem))

    def decode(self, state: Memory, wire: Wire) -> Result[Coded[Memory], RealtimeError]:
        """Give what an event of the service means."""
        message = as_message(wire)
        if not message:
            return Success(accepted(state))
        try:
            event = server_event(message)
            coded = read(state, event)
            if event != _NOTHING:
                return Success(coded)
            return Success(coded._replace(events=(*coded.events, *_unknown(message))))
        except BROKEN as problem:
            return Failure(unreadable(quoted(str(problem))))


_NOTHING = ServerEvent()


def _own(capabilities: Capabilities) -> str:
    return capabilities.models[0].name if capabilities.models else ""


def _unknown(message: str | bytes) -> Iterator[Unknown]:
    """Name what a message says that is not known here; an empty one says nothing."""
    for outer, raw in _RAW.decode(message).items():
        inside = outer == "event" and bytes(raw)[:1] == b"{"
        for name, value in (_RAW.decode(raw) if inside else {outer: raw}).items():
            if name not in _KNOWN and not (outer == "event" and not inside):
                data = bytes(value)[:_SHOWN].decode(errors="replace")
                yield Unknown(name=name[:200], data=data)
