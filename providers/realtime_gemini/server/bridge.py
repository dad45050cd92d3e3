"""A bridge: a client at a desk, and a session of any provider behind it.

The session is opened with the client's setup, and opened anew when the client tells what the model
is to have said: no session can be told of that while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup, TaskStatus
from msgspec.structs import replace

from realtime_core.audio.format import PCM_16K, PCM_24K
from realtime_core.beside import beside
from realtime_core.codec import Wire
from realtime_core.config import Message, SessionConfig
from realtime_core.errors import (
    AuthFailed,
    ContentFiltered,
    InvalidRequest,
    RealtimeError,
    RealtimeException,
    SessionExpired,
    Unsupported,
)
from realtime_core.events import Disconnected
from realtime_core.frames import Audio, CommitAudio, Frame, Text, Video
from realtime_core.mapping import resampled
from realtime_core.provider import Provider
from realtime_core.serving import ENDS, Socket
from realtime_core.session import RealtimeSession, open_session

from .book import Book, Call
from .desk import Desk
from .mirror import cut_short, ended, welcome
from .page import Ask, Muted, Recall
from .settings import config_of, unfit
from .shelf import Shelf, answerable

__all__ = ("Bridge",)

_LOST = "BidiGenerateContent session not found."
_SPENT = "This token begins no session any more."
_STEP_MS = 20
_SILENCE = Audio(bytes(PCM_16K.sample_size * PCM_16K.rate * _STEP_MS // 1_000), PCM_16K)


class Bridge:
    """Serves one client; `serve` is for one use."""

    def __init__(
        self,
        socket: Socket,
        provider: Provider[Frame],
        book: Book,
        shelf: Shelf,
        begin: Callable[[], bool],
    ) -> None:
        """Stand between a socket and a provider; `begin` counts a session that is no old one."""
        self._desk = Desk(socket, book)
        self._provider = provider
        self._shelf = shelf
        self._begin = begin
        self._session: RealtimeSession[Frame] | None = None
        self._past = book.base.history
        """The conversation, while no session runs."""
        self._scope = CancelScope()
        self._over = anyio.Event()

    async def serve(self) -> None:
        """Carry until the client, or the session, has gone; the end is told by a close code."""
        desk = self._desk
        async with beside() as tasks:
            tasks.start_soon(desk.write)
            tasks.start_soon(self._end_turns)
            try:
                with suppress(*ENDS):
                    while True:
                        for wire in await desk.receive():
                            if not await self._hear(wire, tasks):
                                return
            finally:
                self._shelf.leave(desk.book.handle)

    async def _hear(self, wire: Wire, tasks: TaskGroup) -> bool:
        """Do what a message asks; False where it ends the connection."""
        desk, fresh = self._desk, self._desk.book.setup is None
        _, told = desk.hear(wire)
        end: tuple[int, str] | None = told.fault
        if end is None and fresh:
            end = await self._set_up(tasks)
        for ask in told.asks:
            end = end or await self._do(ask, tasks)
        if end is not None:
            await desk.leave(*end)
        return end is None

    async def _end_turns(self) -> None:
        """Tell the end of each turn when its sound must be over."""
        desk = self._desk
        while True:
            due = desk.book.due
            left = None if due is None else due - anyio.current_time()
            if left is None:
                await desk.changed.wait()
            elif left <= 0:
                desk.take(ended(desk.book))
            else:
                with anyio.move_on_after(left):
                    await desk.changed.wait()

    # --- what the client asks -----------------------------------------------------------------

    async def _set_up(self, tasks: TaskGroup) -> tuple[int, str] | None:
        desk, setup = self._desk, self._desk.book.setup
        assert setup is not None  # noqa: S101 - it was heard
        why = unfit(setup)
        if why is not None:
            return why
        wish = desk.book.wish
        if wish.handle:
            found = self._shelf.find(wish.handle)
            if found is None:
                return 1008, _LOST
            self._past = answerable(found)
            desk.book = desk.book.with_calls(_void(found))
        elif not self._begin():
            return 1008, _SPENT
        if wish.session_resumption is not None:
            desk.book = replace(desk.book, handle=self._shelf.begin(self._conversation))
        refused = await self._open(tasks)
        if refused is not None:
            return _end_of(refused)
        desk.take(welcome(desk.book, self._session.session_id if self._session else ""))
        return None

    async def _do(self, ask: Ask, tasks: TaskGroup) -> tuple[int, str] | None:
        """Ask something of the session; gives how the connection ends, if that is the end of it."""
        match ask:
            case Recall():
                return await self._recall(ask.messages, tasks)
            case Muted():
                for _ in range(self._provider.capabilities.closing_silence_ms // _STEP_MS):
                    await self._push(_SILENCE)
                return None
            case CommitAudio() if not self._provider.capabilities.commit:
                return None
            case _:
                error = await self._push(ask)
        if isinstance(error, Unsupported) or (
            isinstance(error, InvalidRequest) and not error.code.startswith("call_")
        ):
            return _end_of(error)
        return None  # the end of a session is told elsewhere, and what crossed is nobody's fault

    async def _push(self, frame: Frame) -> RealtimeError | None:
        """Push a frame, if a session is there; gives why it was refused."""
        if isinstance(frame, Video) and not self._provider.capabilities.images:
            return Unsupported(what="This server takes no pictures.", field="video")
        if self._session is None:
            return None
        try:
            await self._session.send(frame)
        except RealtimeException as refusal:
            return refusal.error
        return None

    # --- the session --------------------------------------------------------------------------

    def _conversation(self) -> tuple[Message, ...]:
        return self._past if self._session is None else self._session.history

    async def _recall(
        self, messages: tuple[Message, ...], tasks: TaskGroup
    ) -> tuple[int, str] | None:
        """Go on with a new session that knows of these messages as well."""
        self._scope.cancel()
        await self._over.wait()
        self._desk.take(cut_short(self._desk.book))
        self._past = answerable((*self._past, *messages))
        refused = await self._open(tasks)
        return None if refused is None else _end_of(refused)

    async def _open(self, tasks: TaskGroup) -> RealtimeError | None:
        """Open a session that knows the conversation so far; gives why it could not."""
        able, past = self._provider.capabilities, self._past
        self._over = anyio.Event()
        config = replace(self._config(), history=past if able.history else ())
        refused: RealtimeError | None = await tasks.start(self._converse, config)
        if refused is None and not able.history:
            for message in past:
                await self._push(_told(message))
        return refused

    def _config(self) -> SessionConfig:
        book, able = self._desk.book, self._provider.capabilities
        assert book.setup is not None  # noqa: S101 - it was heard
        config = config_of(book.setup, book.wish, book.base)
        unknown = able.voices and config.voice not in able.voices
        return replace(config, voice=book.base.voice) if unknown else config

    async def _converse(
        self, config: SessionConfig, *, task_status: TaskStatus[RealtimeError | None]
    ) -> None:
        """Hold a session, and tell the client what comes of it, until either is over."""
        begun = False
        with CancelScope() as self._scope:
            try:
                async with open_session(self._provider, config) as opened:
                    self._session, begun = _at_24k(opened), True
                    task_status.started(None)
                    await self._tell(self._session)
            except RealtimeException as refusal:
                if not begun:
                    task_status.started(refusal.error)
            finally:
                self._past, self._session = self._conversation(), None
                self._over.set()

    async def _tell(self, session: RealtimeSession[Frame]) -> None:
        async for event in session.events():
            self._desk.tell(event)
            if isinstance(event, Disconnected):
                await self._desk.leave(*_end_of(event.error))
                return
            await self._desk.room()


def _void(messages: tuple[Message, ...]) -> dict[str, Call]:
    """Give the calls of a conversation, whose results are no longer wanted."""
    calls = (message for message in messages if message.role == "tool_call" and message.call)
    return {str(one.call): Call(one.name, "void") for one in calls}


def _at_24k(session: RealtimeSession[Frame]) -> RealtimeSession[Frame]:
    """Give a session that speaks as clients of the vendor expect it."""
    if session.output_format == PCM_24K or not session.capabilities.audio_out:
        return session
    return resampled(session, PCM_24K)


def _told(message: Message) -> Text:
    """Give a message of the past to a session that cannot know it."""
    if message.role in {"user", "system"}:
        return Text(message.text, "user" if message.role == "user" else "system", "context")
    return Text(
        f"Before, the {message.role.replace('_', ' ')} was: {message.text}", "system", "context"
    )


def _end_of(error: RealtimeError | None) -> tuple[int, str]:
    """Tell how a connection is closed for an error of its session."""
    match error:
        case None:
            return 1000, ""
        case Unsupported() | InvalidRequest():
            return 1007, error.what
        case AuthFailed() | ContentFiltered():
            return 1008, error.what
        case SessionExpired():
            return 1001, error.what
        case _:
            return 1011, error.what
