"""The codec of the Live API, for the Developer API and for Vertex.

Pure: what a connection has told so far is a value; every message is read in one fixed order. Which
service and which model is spoken to stands in the plan.
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

from .encoding import BROKEN, plain, server_message
from .failures import quoted
from .lacking import unmet
from .memory import Memory
from .models import model_of
from .options import Options
from .reading import read
from .server_messages import ServerContent, ServerMessage
from .setup import fitting, name_of, service_of, setup, with_raw
from .writing import write

__all__ = ("GeminiCodec", "agree")

_SHOWN = 1_000
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KNOWN = frozenset(field.encode_name for field in fields(ServerMessage))
_INNER = frozenset(field.encode_name for field in fields(ServerContent))


def agree(capabilities: Capabilities, wish: SessionConfig) -> Result[Plan, Unsupported]:
    """Negotiate as usual; options that are none are refused, what the model lacks is told.

    What remains possible with the wish's options and turns stands in the plan's capabilities.
    """
    options = options_of(wish, Options)
    if isinstance(options, Failure):
        return Failure(options.failure())
    given = options.unwrap()
    agreed = negotiate(fitting(capabilities, wish, given), wish)
    lacks = unmet(capabilities, wish, given)
    return agreed.map(lambda plan: replace(plan, warnings=(*plan.warnings, *lacks)))


class GeminiCodec:
    """Speaks the Live API."""

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[Memory]:
        """Send the setup; everything else waits for the server's word that it is complete."""
        options = options_of(plan.config, Options).value_or(Options())
        model = model_of(name_of(plan.config, plan.capabilities))
        service = service_of(plan.capabilities)
        handle = resume.handle if resume is not None and options.resumption else None
        history = plan.config.history if resume is None else resume.history
        left = resume.left if resume is not None and handle is not None else None
        memory = Memory(
            plan,
            options,
            model,
            service,
            conn=resume.conn if resume is not None else 0,
            history=history if handle is None and model.converses else (),
            unanswered=resume.unanswered if resume is not None and handle is not None else (),
            held=left.held if isinstance(left, Memory) else (),
        )
        seeds = bool(memory.history) and model.seeds and service == "developer"
        shown = handle.reveal() if handle is not None else None
        made = setup(plan, options, handle=shown, seeds=seeds)
        return Coded(memory, (with_raw(made, options),))

    def encode(self, state: Memory, frame: Outgoing) -> Result[Coded[Memory], RealtimeError]:
        """Give the messages for a frame or command."""
        try:
            return write(state, frame)
        except UnicodeEncodeError as problem:
            return Failure(unsendable(frame, problem))

    def decode(self, state: Memory, wire: Wire) -> Result[Coded[Memory], RealtimeError]:
        """Give what a message of the server means."""
        message = as_message(wire)
        try:
            coded = read(state, server_message(message))
            if coded.events or coded.wires or coded.state is not state:
                return Success(coded)
            return Success(Coded(state, (), tuple(_unknown(message))))
        except BROKEN as problem:
            return Failure(unreadable(quoted(str(problem))))


def _unknown(message: str | bytes) -> Iterator[Unknown]:
    """Name what a message says that is not known here; an empty one says nothing."""
    for name, raw in _RAW.decode(message).items():
        told = _canonical(name)
        if told not in _KNOWN:
            yield _passed_on(name, raw)
        elif told == "serverContent" and bytes(raw)[:1] == b"{":
            for inner, value in _RAW.decode(raw).items():
                if _canonical(inner) not in _INNER:
                    yield _passed_on(f"{name}.{inner}", value)


def _canonical(name: str) -> str:
    return str(next(iter(plain({name: None}))))


def _passed_on(name: str, raw: msgspec.Raw) -> Unknown:
    return Unknown(name=name[:200], data=bytes(raw)[:_SHOWN].decode(errors="replace"))
