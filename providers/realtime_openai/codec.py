"""The codec of the OpenAI family: one for all dialects, over a socket or a call.

Pure: what a connection has told so far is a value, every event is looked up in a table.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace
from returns.result import Failure, Result, Success

from realtime_core.capability import Capabilities
from realtime_core.codec import (
    CancelResponse,
    Coded,
    DeleteItem,
    Media,
    Outgoing,
    Resume,
    TruncateItem,
    Wire,
    unreadable,
)
from realtime_core.config import SessionConfig
from realtime_core.errors import RealtimeError, Unsupported
from realtime_core.events import Unknown
from realtime_core.frames import ActivityEnd, Audio, CommitAudio, Video
from realtime_core.plan import Plan, negotiate, options_of

from . import client_events as client
from . import server_events as server
from .dialect import DIALECTS, GA, Dialect, unmet
from .failures import quoted
from .memory import Memory
from .playing import heard
from .reading import read
from .writing import greeting, seeded, write

__all__ = ("OpenAICodec", "agree", "agreed")

_SHOWN = 1_000
_BROKEN = (msgspec.DecodeError, UnicodeError, RecursionError)


class _Tag(msgspec.Struct):
    type: str


def agree(capabilities: Capabilities, wish: SessionConfig) -> Result[Plan, Unsupported]:
    """Negotiate as usual; options that are none are refused, what the server lacks is told."""
    return agreed(DIALECTS.get(capabilities.provider, GA), capabilities, wish)


def agreed(
    dialect: Dialect, capabilities: Capabilities, wish: SessionConfig
) -> Result[Plan, Unsupported]:
    """Negotiate in a dialect."""
    options, checked = options_of(wish, dialect.options), dialect.check(wish)
    if isinstance(options, Failure):
        return Failure(options.failure())
    if isinstance(checked, Failure):
        return Failure(checked.failure())
    if options.unwrap().purpose not in dialect.purposes:
        return Failure(
            Unsupported(
                what=f"The provider {capabilities.provider!r} cannot only write down what is said.",
                cause="its sessions are conversations",
                fix="Leave out `purpose`, and set `create_response=False`.",
                field="options.purpose",
            )
        )
    lacks = (*unmet(dialect, wish), *checked.unwrap())
    plan = negotiate(capabilities, wish)
    return plan.map(lambda one: replace(one, warnings=(*one.warnings, *lacks)))


class OpenAICodec:
    """Speaks one dialect. Over a `call` sound and pictures travel on tracks of their own."""

    def __init__(self, dialect: Dialect, carrier: Literal["socket", "call"] = "socket") -> None:
        self._dialect = dialect
        self._carrier = carrier

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[Memory]:
        """Send the settings, and the conversation so far; the server acknowledges the settings."""
        history = resume.history if resume is not None else plan.config.history
        options = options_of(plan.config, self._dialect.options).value_or(self._dialect.options())
        conn = resume.conn if resume is not None else 0
        marks, by_track = self._dialect.marks, self._carrier == "call"
        memory = Memory(plan, options, conn, by_track=by_track, marks=marks)
        events = [greeting(self._dialect, memory)]
        events += [seeded(self._dialect, message) for message in history]
        return Coded(memory, tuple(client.encode(event) for event in events))

    def encode(self, state: Memory, frame: Outgoing) -> Result[Coded[Memory], RealtimeError]:
        """Give the messages for a frame or command."""
        if self._carrier == "socket":
            return write(self._dialect, state, frame)
        match frame:
            case Audio():
                return Success(Coded(state, (Media("audio", frame.pcm),)))
            case Video():
                return Success(Coded(state, (Media("video", frame.image),)))
            case TruncateItem() | DeleteItem():  # the server plays, and knows what was heard
                return Success(Coded(state))
            case CancelResponse():
                after: tuple[Wire, ...] = (client.encode(client.ClearOutput()),)
                return self._around(state, frame, after=after)
            case CommitAudio() | ActivityEnd():
                return self._around(state, frame, before=(Media("audio", b""),))
            case _:
                return write(self._dialect, state, frame)

    def _around(
        self,
        state: Memory,
        frame: Outgoing,
        *,
        before: tuple[Wire, ...] = (),
        after: tuple[Wire, ...] = (),
    ) -> Result[Coded[Memory], RealtimeError]:
        coded = write(self._dialect, state, frame)
        return coded.map(lambda one: one._replace(wires=(*before, *one.wires, *after)))

    def decode(self, state: Memory, wire: Wire) -> Result[Coded[Memory], RealtimeError]:
        """Give what a message of the server means."""
        if not isinstance(wire, (bytes, str)):
            return Success(heard(state, wire.data))
        try:
            event = server.decode(wire)
        except _BROKEN as problem:
            return _unread(state, wire, str(problem))
        return Success(read(state, event) or _passed_on(state, wire, _name(wire) or ""))


def _passed_on(state: Memory, wire: str | bytes, name: str) -> Coded[Memory]:
    text = wire[:_SHOWN] if isinstance(wire, str) else wire[:_SHOWN].decode(errors="replace")
    return Coded(state, (), (Unknown(name=name, data=text),))


def _name(wire: str | bytes) -> str | None:
    try:
        return msgspec.json.decode(wire, type=_Tag).type
    except _BROKEN:
        return None


def _unread(state: Memory, wire: str | bytes, problem: str) -> Result[Coded[Memory], RealtimeError]:
    name = _name(wire)
    if name is not None and name not in server.KNOWN:
        return Success(_passed_on(state, wire, name))
    return Failure(unreadable(quoted(problem), name or "without a type"))
