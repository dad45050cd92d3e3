"""A provider for tests: its wire speaks the library's own vocabulary, its far end is a script.

The script gets a `Peer` for each connection, reads the frames and commands the session sent, and
says events. Everything passes through a real codec, link and machine, as JSON.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import anyio
import msgspec
from returns.result import Failure, Result, Success

from ..audio.format import PCM_24K
from ..capability import Capabilities
from ..codec import Coded, Command, Outgoing, Resume, Wire, as_message
from ..config import Secret, SessionConfig
from ..errors import ProtocolViolation, RealtimeError
from ..events import Connected, Event, RealtimeEvent, ResumptionHandle, Unknown
from ..frames import Frame
from ..link import Link, Wires
from ..plan import Plan
from ..provider import Provider
from ..transports.memory import memory_link

__all__ = (
    "SCRIPTED",
    "Greeting",
    "Peer",
    "Script",
    "ScriptedCodec",
    "read",
    "scripted",
    "written",
)

SCRIPTED = Capabilities(
    provider="scripted",
    audio_in=(PCM_24K,),
    audio_out=(PCM_24K,),
    text_out=True,
    images=True,
    tools=True,
    parallel_tools=True,
    tool_reply="create",
    user_transcripts=True,
    agent_transcripts=True,
    speech_events=True,
    authorities=("provider", "local", "application"),
    manual_turns=True,
    commit=True,
    cancel=True,
    truncate=True,
    delete=True,
    side_responses=True,
    update=True,
    history=True,
    resumption="handle",
)
"""All abilities at once; `structs.replace` takes some away."""


class Greeting(msgspec.Struct, frozen=True, tag_field="type", tag=True):
    """First message of a connection: the configuration, and what it takes up again."""

    config: SessionConfig
    handle: str | None = None
    history: int = 0
    """How many messages of history came along."""
    unanswered: int = 0
    """How many tool calls nobody will answer."""


def _handed(value: Secret) -> str:
    return value.reveal()


def _heard(kind: type[Secret], value: object) -> Secret:
    if not isinstance(value, str):
        raise TypeError("a secret is text")
    return kind(value)


_ENCODER = msgspec.json.Encoder(enc_hook=str)
_HANDLE = msgspec.json.Encoder(enc_hook=_handed)
_SENT: msgspec.json.Decoder[Outgoing | Greeting] = msgspec.json.Decoder(Frame | Command | Greeting)
_SAID = msgspec.json.Decoder(RealtimeEvent, dec_hook=_heard)


def written(*events: RealtimeEvent) -> Wires:
    """Give the messages with which the peer says these events; only a handle is told openly."""
    return tuple(
        (_HANDLE if isinstance(event, ResumptionHandle) else _ENCODER).encode(event)
        for event in events
    )


def read(wire: Wire) -> Outgoing | Greeting:
    """Give what the session said in one of its messages."""
    return _SENT.decode(as_message(wire))


_BROKEN = (msgspec.DecodeError, RecursionError, UnicodeError)
"""What reading a made-up message raises; text need not be encodable."""


class _Tag(msgspec.Struct):
    type: str


class ScriptedCodec:
    """Carries frames and events as the JSON of their own structs; its state counts messages."""

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[int]:
        """Send a `Greeting`; the peer answers with `Connected`."""
        handle = resume.handle.reveal() if resume is not None and resume.handle else None
        history = len(resume.history) if resume is not None else len(plan.config.history)
        unanswered = len(resume.unanswered) if resume is not None else 0
        return Coded(0, (_ENCODER.encode(Greeting(plan.config, handle, history, unanswered)),))

    def encode(self, state: int, frame: Outgoing) -> Result[Coded[int], RealtimeError]:
        """Give the frame as JSON."""
        return Success(Coded(state + 1, (_ENCODER.encode(frame),)))

    def decode(self, state: int, wire: Wire) -> Result[Coded[int], RealtimeError]:
        """Give the event that the JSON holds, an `Unknown`, or a `ProtocolViolation`."""
        try:
            return Success(Coded(state + 1, (), (_SAID.decode(as_message(wire)),)))
        except _BROKEN as problem:
            name = _tag(wire)
            if name is not None and name not in _KNOWN:
                event = Unknown(name=name, data=str(wire)[:1000])
                return Success(Coded(state + 1, (), (event,)))
            return Failure(
                ProtocolViolation(what="A message could not be read.", cause=str(problem)[:200])
            )


_KNOWN = frozenset(
    str(kind.__struct_config__.tag)
    for kind in cast("tuple[type[Event], ...]", RealtimeEvent.__args__)
)


def _tag(wire: Wire) -> str | None:
    try:
        return msgspec.json.decode(as_message(wire), type=_Tag).type
    except _BROKEN:
        return None


class Peer:
    """The far end of one connection, in a script's hands."""

    def __init__(self, conn: int, plan: Plan, link: Link) -> None:
        self.conn = conn
        self.plan = plan
        self.link = link
        self.sent: list[Outgoing | Greeting] = []
        """Everything the session has sent that was read by `next` or `until`."""
        self._unread: list[Outgoing | Greeting] = []

    async def next(self) -> Outgoing | Greeting:
        """Wait for the next frame or command; `anyio.EndOfStream` when the session hung up."""
        while not self._unread:
            self._unread.extend(read(wire) for wire in await self.link.receive())
        self.sent.append(self._unread.pop(0))
        return self.sent[-1]

    async def until(self, *kinds: type) -> Outgoing | Greeting:
        """Read until a frame or command of one of these kinds comes."""
        while not isinstance(frame := await self.next(), kinds):
            pass
        return frame

    async def say(self, *events: RealtimeEvent) -> None:
        """Send events as one batch, as one read would bring them."""
        await self.link.send(written(*events))

    async def raw(self, *wires: Wire) -> None:
        """Send bytes as they are."""
        await self.link.send(wires)

    async def welcome(self) -> None:
        """Acknowledge the session."""
        await self.say(
            Connected(session_id="", config=self.plan.config, capabilities=self.plan.capabilities)
        )

    async def drain(self) -> None:
        """Read until the session hangs up."""
        try:
            await self.until(type(None))
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            return


Script = Callable[[Peer], Awaitable[None]]
"""Plays the provider on one connection; returning closes it, raising loses it."""


def scripted(
    script: Script,
    capabilities: Capabilities = SCRIPTED,
    *,
    welcome: bool = True,
    buffer: float = 64,
) -> Provider[Frame]:
    """Make a provider whose far end runs `script` for each connection, greeted first.

    With `welcome=False` the script does the greeting. The connection holds `buffer` batches each
    way that nobody has read, then it makes its senders wait.
    """
    conns = iter(range(1_000_000))

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        ours, theirs = memory_link(buffer)
        peer = Peer(next(conns), plan, theirs)

        async def play() -> None:
            async with theirs:
                if welcome:
                    await peer.next()
                    await peer.welcome()
                await script(peer)

        async with anyio.create_task_group() as tasks, ours:
            tasks.start_soon(play)
            yield ours
            tasks.cancel_scope.cancel()

    return Provider("scripted", capabilities, ScriptedCodec(), dial)
