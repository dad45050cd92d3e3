"""Short words for what the tests of the core say over and over."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeVar

import anyio
from returns.result import Failure, Result

from realtime_core import (
    PCM_24K,
    AgentTranscript,
    AudioOutput,
    CallId,
    Capabilities,
    Coded,
    Connected,
    Epoch,
    ItemId,
    Plan,
    RealtimeError,
    RealtimeEvent,
    RequestId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    SessionConfig,
    ToolCall,
    ToolSpec,
    Unsupported,
    negotiate,
)
from realtime_core.codec import Outgoing
from realtime_core.events import Status
from realtime_core.testing.fold import Fold
from realtime_core.testing.scripted import (
    SCRIPTED,
    Greeting,
    Peer,
    Script,
    ScriptedCodec,
    read,
    written,
)

R1, R2, R3 = (ResponseId(name) for name in ("r1", "r2", "r3"))
I1, I2, I3 = (ItemId(name) for name in ("i1", "i2", "i3"))
C1, C2 = (CallId(name) for name in ("c1", "c2"))
E0, E1, E2 = (Epoch(number) for number in (0, 1, 2))

SECOND = 24_000
"""Samples."""

NO = Unsupported(what="No.")

TOOLS = tuple(ToolSpec(name=policy, policy=policy) for policy in ("cancel", "finish", "detach"))

T = TypeVar("T")


class Refusing(ScriptedCodec):
    """The scripted codec, except that it cannot say some things."""

    def __init__(self, *kinds: type) -> None:
        self._kinds = kinds

    def encode(self, state: int, frame: Outgoing) -> Result[Coded[int], RealtimeError]:
        return Failure(NO) if isinstance(frame, self._kinds) else super().encode(state, frame)


def plan(capabilities: Capabilities = SCRIPTED, **settings: Any) -> Plan:
    return negotiate(capabilities, SessionConfig(**settings)).unwrap()


def dialled(capabilities: Capabilities = SCRIPTED, **settings: Any) -> Fold:
    """Give a session that has just dialled for the first time."""
    return Fold(ScriptedCodec(), plan(capabilities, **settings))


def opened(capabilities: Capabilities = SCRIPTED, **settings: Any) -> Fold:
    """Give a session that is open; its first events are taken, its greeting is not counted."""
    session = dialled(capabilities, **settings)
    welcome(session)
    session.drain()
    session.trace.clear()
    session.steps.clear()
    return session


def welcome(session: Fold) -> None:
    """Let the connection that was dialled stand, and the provider acknowledge the session."""
    session.link()
    able = session.state.plan.capabilities
    say(session, Connected(session_id="", config=SessionConfig(), capabilities=able))


def say(session: Fold, *events: RealtimeEvent) -> None:
    """Let the provider say these events in one burst."""
    session.receive(*written(*events))


def sent(session: Fold) -> list[Outgoing | Greeting]:
    """Give what the provider was sent, and forget it."""
    wires = [read(wire) for wire in session.sent]
    session.steps.clear()
    return wires


def taken(session: Fold) -> list[RealtimeEvent]:
    """Take and give all events that wait."""
    return [returned.event for returned in session.drain()]


def of(kind: type[T], things: Iterable[object]) -> list[T]:
    return [thing for thing in things if isinstance(thing, kind)]


def names(things: Iterable[object]) -> list[str]:
    return [type(thing).__name__ for thing in things]


def started(response: ResponseId = R1, request: str | None = None) -> ResponseStarted:
    return ResponseStarted(response=response, request=RequestId(request) if request else None)


def sound(
    samples: int = SECOND // 50, item: ItemId | None = I1, response: ResponseId | None = R1
) -> AudioOutput:
    return AudioOutput(response=response, item=item, pcm=bytes(2 * samples), format=PCM_24K)


def words(
    text: str,
    item: ItemId | None = I1,
    response: ResponseId = R1,
    *,
    final: bool = False,
    span: tuple[int, int] | None = None,
) -> AgentTranscript:
    return AgentTranscript(response=response, item=item, text=text, final=final, span=span)


def call(id: CallId = C1, name: str = "cancel", response: ResponseId = R1) -> ToolCall:
    return ToolCall(response=response, call=id, name=name, arguments="{}")


def done(response: ResponseId = R1, status: Status = "completed") -> ResponseDone:
    return ResponseDone(response=response, status=status)


def listening(heard: list[tuple[float, Outgoing]], *, deaf_until: float = 0.0) -> Script:
    """Give a provider that only listens, and to nothing before the given time."""

    async def script(peer: Peer) -> None:
        await anyio.sleep_until(deaf_until)
        with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            while True:
                frame = await peer.next()
                assert not isinstance(frame, Greeting)
                heard.append((anyio.current_time(), frame))

    return script
