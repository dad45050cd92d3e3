"""The engine at the far end of a memory link: a session's messages in, the local voice's out.

Every decision is one synchronous step; what takes time runs in tasks beside it and reports back.
Nothing of an answer leaves before its question is over, and nothing after it has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, assert_never, runtime_checkable

import anyio
import msgspec
from anyio.abc import TaskGroup

from realtime_core.codec import as_message
from realtime_core.config import Message
from realtime_core.link import Link

from . import wire
from .complaint import PartFailed, blamed, complaint
from .conversation import begun
from .floor import Floor, Want
from .gaze import Gaze
from .hearing import Doubt, Guess, Heard, Hearing, Onset, Over, Partial, Trouble, Words
from .outbox import Outbox
from .parts import Parts
from .turns import Rules

__all__ = ("Prefills", "run")

_SAMPLES_A_MS = 16
_decode = msgspec.json.Decoder(wire.SessionMessage).decode
_LAST_WORDS = 1.0
"""Seconds given to the link to take the message that tells why the engine ends."""


@runtime_checkable
class Prefills(Protocol):
    """What a mind may offer besides answering: to read ahead what it will be asked."""

    async def prefill(self, messages: Sequence[Message]) -> None:
        """Prepare for a conversation that begins like this; cancelling stops it."""
        ...


async def run(parts: Parts, link: Link) -> None:
    """Serve one session until the link ends, or the voice detector fails.

    Cancelling at any point releases everything. A part that fails is told as `Fault`, and ends at
    most the answer it had a share in. Raises nothing of its own.
    """
    outbox = Outbox()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_send, outbox, link, tasks)
        try:
            await _Engine(parts, tasks, outbox).serve(link)
        except Exception as problem:
            outbox.say(complaint(problem, fatal=True))
            with anyio.move_on_after(_LAST_WORDS):
                await outbox.empty()
        tasks.cancel_scope.cancel()


async def _send(outbox: Outbox, link: Link, tasks: TaskGroup) -> None:
    try:
        await outbox.pump(link)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        tasks.cancel_scope.cancel()


class _Engine:
    """One session: gives each message to its part, and what the ears hear to the floor."""

    def __init__(self, parts: Parts, tasks: TaskGroup, outbox: Outbox) -> None:
        self._parts = parts
        self._tasks = tasks
        self._outbox = outbox
        self._fault: wire.Fault | None = None
        self._announced = False
        self._reading_ahead = anyio.CancelScope()
        self._hearing = Hearing(parts.ears, Rules(), tasks, self._hear)
        self._floor = Floor(
            parts,
            tasks,
            outbox,
            may_start=self._may_start,
            settle=self._settle,
            moved=self._nudge,
        )
        self._mind = _reading_mind(parts.mind)
        self._gaze = self._open_eyes()

    def _open_eyes(self) -> Gaze | None:
        if self._parts.eyes is None:
            return None
        return Gaze(
            self._parts.eyes,
            self._tasks,
            busy=lambda: self._hearing.paused or self._floor.due,
            noted=self._note,
            failed=self._complain,
        )

    async def serve(self, link: Link) -> None:
        """Take messages until the link ends; raises what the voice detector raises."""
        while True:
            try:
                batch = await link.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return
            for data in batch:
                await self._read(as_message(data))

    async def _read(self, data: str | bytes) -> None:
        try:
            message = _decode(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
            self._complain(problem)
            return
        match message:
            case wire.InputAudio():
                await self._hearing.listen(message.pcm)
                self._nudge()
            case wire.Commit():
                self._hearing.commit()
            case wire.Clear():
                self._hearing.clear()
            case wire.Start():
                self._begin(message)
            case wire.Update():
                self._configure(message.settings)
            case wire.Image():
                if self._gaze is not None:
                    self._gaze.show(message.data)
            case _:
                self._converse(message)

    def _converse(
        self,
        message: wire.Typed
        | wire.ToolOutput
        | wire.Create
        | wire.Cancel
        | wire.Truncate
        | wire.Delete,
    ) -> None:
        floor = self._floor
        match message:
            case wire.Typed():
                floor.conversation = floor.conversation.with_message(
                    Message(message.role, message.text)
                )
            case wire.ToolOutput():
                output = f"The tool failed: {message.output}" if message.failed else message.output
                floor.output(message.call, output)
            case wire.Create():
                wish = Want(message.request, message.instructions, modalities=message.modalities)
                floor.ask(wish)
            case wire.Cancel():
                floor.cancel(message.response)
            case wire.Truncate():
                floor.conversation = floor.conversation.cut(message.item, message.text)
            case wire.Delete():
                floor.conversation = floor.conversation.without(message.item)
            case _:
                assert_never(message)

    def _begin(self, start: wire.Start) -> None:
        self._floor.conversation = begun(start.history)
        self._configure(start.settings)
        self._tasks.start_soon(self._warm)

    async def _warm(self) -> None:
        await self._prefill(self._floor.conversation.messages(self._floor.settings.instructions))
        rate = self._parts.mouth.rate
        self._outbox.say(wire.Ready(rate=rate, models=self._parts.names))

    def _configure(self, settings: wire.Settings) -> None:
        self._floor.doubt()
        self._floor.settings = settings
        late = settings.silence_ms * _SAMPLES_A_MS if settings.silence_ms is not None else 12_800
        rules = Rules(
            threshold=settings.threshold,
            prefix=settings.prefix_ms * _SAMPLES_A_MS,
            late=None if settings.manual else late,
        )
        self._hearing.follow(rules)

    def _hear(self, heard: Heard) -> None:
        match heard:
            case Onset():
                self._onset(heard)
            case Partial():
                self._transcript(heard.turn, heard.text, final=False)
                self._read_ahead(heard.text)
            case Guess():
                self._reading_ahead.cancel()
                self._floor.guess(heard.text)
            case Doubt():
                self._floor.doubt()
                self._nudge()
            case Over():
                if self._announced:
                    ended = heard.sample / _SAMPLES_A_MS
                    self._outbox.say(wire.SpeechEnd(audio_ms=ended, item=f"u{heard.turn}"))
            case Words():
                self._words(heard)
            case Trouble():
                self._complain(heard.problem)
            case _:
                assert_never(heard)

    def _onset(self, onset: Onset) -> None:
        self._announced = not self._floor.settings.manual
        if self._announced:
            begun = onset.sample / _SAMPLES_A_MS
            self._outbox.say(wire.Speech(audio_ms=begun, item=f"u{onset.turn}"))
        self._floor.yield_to_user(cut=self._cuts)

    def _words(self, words: Words) -> None:
        self._reading_ahead.cancel()
        self._transcript(words.turn, words.text, final=True)
        if words.text:
            self._floor.heard(words.text, f"u{words.turn}")
            if not self._floor.settings.manual:
                self._floor.ask(Want())
        else:
            self._floor.doubt()
        self._floor.advance()
        self._nudge()

    def _transcript(self, turn: int, text: str, *, final: bool) -> None:
        if self._floor.settings.transcribe:
            self._outbox.say(wire.Transcript(item=f"u{turn}", text=text, final=final))

    def _may_start(self, want: Want) -> bool:
        if self._hearing.pending:
            return False
        return want.request is not None or not (self._hearing.speaking and self._cuts)

    @property
    def _cuts(self) -> bool:
        settings = self._floor.settings
        return settings.barge_in and not settings.manual

    async def _settle(self, want: Want) -> None:
        """Have the newest picture looked at, before the first answer and those asked for."""
        if self._gaze is not None and (want.request is not None or not self._gaze.knows):
            await self._gaze.settle()

    def _note(self, note: str) -> None:
        self._floor.conversation = self._floor.conversation.noted(note)

    def _nudge(self) -> None:
        if self._gaze is not None:
            self._gaze.nudge()

    def _read_ahead(self, text: str) -> None:
        if self._floor.idle and self._mind is not None:
            self._reading_ahead.cancel()
            self._reading_ahead = anyio.CancelScope()
            asked = self._floor.conversation.with_message(Message("user", text))
            messages = asked.messages(self._floor.settings.instructions)
            self._tasks.start_soon(self._read_within, self._reading_ahead, messages)

    async def _read_within(self, scope: anyio.CancelScope, messages: Sequence[Message]) -> None:
        with scope:
            await self._prefill(messages)

    async def _prefill(self, messages: Sequence[Message]) -> None:
        if self._mind is not None:
            try:
                with blamed("mind"):
                    await self._mind.prefill(messages)
            except PartFailed as problem:
                self._complain(problem)

    def _complain(self, problem: Exception) -> None:
        """Tell a failure; one that goes on is told once."""
        fault, before = complaint(problem), self._fault
        if fault != before:
            self._fault = fault
            self._outbox.say(fault)


def _reading_mind(mind: object) -> Prefills | None:
    return mind if isinstance(mind, Prefills) else None
