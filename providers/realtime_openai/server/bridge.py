"""A bridge: a client at a desk, and a session of any provider behind it.

The session is opened when something is first asked of it: by then the client has told its settings,
and what it has added to the conversation is the session's history.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Protocol
from uuid import uuid4

from anyio.abc import TaskGroup
from msgspec.structs import replace
from returns.result import Failure

from realtime_core.beside import beside
from realtime_core.capability import Capabilities
from realtime_core.codec import Wire
from realtime_core.config import SessionConfig
from realtime_core.errors import (
    AuthFailed,
    RealtimeError,
    RealtimeException,
    SessionClosed,
    SessionExpired,
    Unsupported,
)
from realtime_core.events import Disconnected, Error, RealtimeEvent
from realtime_core.frames import (
    ClearAudio,
    CommitAudio,
    CreateResponse,
    Frame,
    Heard,
    Interrupt,
    Text,
    UpdateSession,
    Video,
)
from realtime_core.mapping import resampled
from realtime_core.provider import Provider
from realtime_core.serving import ENDS, Socket
from realtime_core.session import RealtimeSession, open_session

from .desk import Desk
from .ear import Ear
from .messages import history_of
from .mirror import Ask, accepted, begin, declined, refused
from .schema import ANY_RATE, Complaint, Fields
from .settings import config_of, default_session, format_of, merged, unfit
from .tongue import GA, Tongue

__all__ = ("Listener", "Playing", "bridge")


class Listener(Protocol):
    """Knows what of a session's sound is heard, and reports it to the session."""

    def take(self, event: RealtimeEvent) -> None:
        """Note an event that the client was told. Never waits."""
        ...

    async def room(self) -> None:
        """Wait while too much sound waits to be heard."""
        ...

    async def run(self) -> None:
        """Report until cancelled."""
        ...


Playing = Callable[[RealtimeSession[Frame], Desk], Listener]
"""Plays a session's sound on the client's track."""


async def bridge(
    socket: Socket,
    provider: Provider[Frame],
    base: SessionConfig,
    model: str = "",
    given: Fields | None = None,
    *,
    playing: Playing | None = None,
    tongue: Tongue = GA,
) -> None:
    """Serve one client until it leaves, or the session behind it ends.

    `given` are settings that it told before it came. With `playing`, sound goes over a track, and
    comes as `Media`. A session that cannot be opened, or ends with an error, is told as an `error`
    event and a close code. Cancelling closes the session and leaves the socket to its owner.
    """
    able = provider.capabilities
    voice = base.voice or next(iter(able.voices), tongue.voice)
    by_track, listen = playing is not None, playing or _far_away
    name = uuid4().hex[:12]
    given = given or tongue.given
    book = begin(name, model or able.provider, voice, base, given, by_track=by_track)
    desk = Desk(socket, book, tongue)
    async with beside() as tasks, AsyncExitStack() as stack:
        tasks.start_soon(desk.write)
        await _Bridge(desk, provider, base, tasks, stack, listen=listen).serve()


def _far_away(session: RealtimeSession[Frame], desk: Desk) -> Listener:
    del desk
    return Ear(session)


class _Bridge:
    """Carries between a desk and its session."""

    def __init__(
        self,
        desk: Desk,
        provider: Provider[Frame],
        base: SessionConfig,
        tasks: TaskGroup,
        stack: AsyncExitStack,
        *,
        listen: Playing,
    ) -> None:
        self._desk = desk
        self._provider = provider
        self._base = base
        self._listen = listen
        self._tasks = tasks
        self._stack = stack
        self._session: RealtimeSession[Frame] | None = None

    async def serve(self) -> None:
        """Read until the client, or the session, has gone."""
        try:
            while True:
                await self._hear(await self._desk.receive())
        except ENDS:
            return
        except _Closed as refusal:
            await self._part(refusal.error)

    async def _hear(self, wires: tuple[Wire, ...]) -> None:
        """Do what one read asks; a cut waits for what the same read tells of what was heard."""
        desk = self._desk
        cut: Ask | None = None
        for wire in wires:
            asks = desk.tongue.hear(desk.book, wire).asks if cut is not None else ()
            if cut is not None and not (asks and all(isinstance(a.frame, Heard) for a in asks)):
                await self._do(cut)
                cut = None
            if self._session is not None:
                desk.book = replace(desk.book, epoch=self._session.epoch)
            for ask in desk.hear(wire):
                if isinstance(ask.frame, Interrupt):
                    cut = ask
                else:
                    await self._do(ask)
        if cut is not None:
            await self._do(cut)

    async def _do(self, ask: Ask) -> None:
        if ask.given is not None:
            await self._set(ask, ask.given)
            return
        if self._session is None:
            await self._open()
        error = await self._taken(ask.frame)
        if error is not None and not isinstance(error, SessionClosed):  # the end is told elsewhere
            told = refused(self._desk.book, ask.frame, error, ask.event_id)
            for again in self._desk.take(told):
                await self._do(again)

    async def _taken(self, frame: Frame) -> RealtimeError | None:
        """Push a frame, if a session is there; gives why it was refused.

        One that has to wait in a lane is refused too late for this: what is known is asked before.
        """
        if self._session is None:
            return None
        lacking = _lacking(self._provider.capabilities, frame)
        if lacking:
            return Unsupported(what=f"This server does not offer {lacking}.", field=lacking)
        try:
            await self._session.send(frame)
        except RealtimeException as refusal:
            return refusal.error
        return None

    # --- settings -----------------------------------------------------------------------------

    async def _set(self, ask: Ask, given: Fields) -> None:
        """Let new settings hold, if the session takes them."""
        desk, provider = self._desk, self._provider
        why = unfit(given, ANY_RATE) or self._unchangeable(given)
        if why is not None:
            desk.take(declined(desk.book, why, ask.event_id))
            return
        config = config_of(given, self._base, provider.capabilities)
        agreed = provider.agree(provider.capabilities, config)
        error = agreed.failure() if isinstance(agreed, Failure) else await self._taken(ask.frame)
        if error is not None:
            desk.take(refused(desk.book, ask.frame, error, ask.event_id))
            return
        if agreed.unwrap().config.voice != config.voice:  # there is no such voice here
            given = merged(given, {"audio": {"output": {"voice": desk.book.voice}}})
        desk.take(accepted(desk.book, given))

    def _unchangeable(self, given: Fields) -> Complaint | None:
        book = self._desk.book
        new = default_session(book.name, book.model, book.voice, given)
        same = (format_of(new, "input"), format_of(new, "output")) == (
            book.input_format,
            book.output_format,
        )
        if same or book.by_track or self._session is None:
            return None
        return Complaint("invalid_value", "Formats are fixed once sound has been sent.", "session")

    # --- the session --------------------------------------------------------------------------

    async def _open(self) -> None:
        able, book = self._provider.capabilities, self._desk.book
        history, frames = history_of(book)
        config = config_of(book.given, self._base, able)
        if able.history:
            config = replace(config, history=(*config.history, *history))
        else:
            said = (m for m in history if m.role in {"user", "system"})
            told = (Text(m.text, "user" if m.role == "user" else "system", "context") for m in said)
            frames = (*told, *frames)
        self._desk.book = replace(book, begun=True)
        try:
            opened = await self._stack.enter_async_context(open_session(self._provider, config))
            session = opened
            if opened.output_format != book.output_format:
                session = resampled(opened, book.output_format)
        except RealtimeException as refusal:
            raise _Closed(refusal.error) from refusal
        self._session = session
        ear = self._listen(session, self._desk)
        self._tasks.start_soon(ear.run)
        self._tasks.start_soon(self._tell, session, ear)
        for frame in frames:
            await self._do(Ask(frame))

    async def _tell(self, session: RealtimeSession[Frame], ear: Listener) -> None:
        async for event in session.events():
            for ask in self._desk.tell(event):
                await self._do(ask)
            ear.take(event)
            if isinstance(event, Disconnected):
                await self._part(event.error)
                return
            await self._desk.room()
            await ear.room()

    async def _part(self, error: RealtimeError | None) -> None:
        """Tell the client why this is the end."""
        code, reason = 1000, ""
        if error is not None:
            self._desk.tell(Error(error=error, recoverable=False))
            code, reason = 1011, error.what
        if isinstance(error, AuthFailed):
            code, reason = 3000, "authentication_error.invalid_api_key"
        if isinstance(error, SessionExpired):
            code, reason = 1001, "Your session hit the maximum duration of 60 minutes."
        await self._desk.leave(code, reason)


def _lacking(able: Capabilities, frame: Frame) -> str:
    match frame:
        case UpdateSession() if not able.update:
            return "changes of a running session"
        case Video() if not able.images:
            return "pictures"
        case Text() if not able.text_in:
            return "typed text"
        case CommitAudio() | ClearAudio() if not able.commit:
            return "sound committed or cleared by hand"
        case CreateResponse(conversation="none") if not able.side_responses:
            return "responses outside the conversation"
        case CreateResponse(modalities=("text",)) if not able.text_out:
            return "responses in text alone"
        case CreateResponse(modalities=("audio",)) if not able.audio_out:
            return "responses in audio"
        case _:
            return ""


class _Closed(Exception):  # noqa: N818 - it tells an end
    """The session could not be opened."""

    def __init__(self, error: RealtimeError) -> None:
        super().__init__(error.what)
        self.error = error
