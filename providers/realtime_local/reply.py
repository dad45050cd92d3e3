"""One answer: from the conversation to calls, or to words and their sound, clause by clause.

It may begin before it is known to be wanted: until `open` everything is held back, and no more
than the first clause is spoken. What comes out are parts without names; the engine names them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from realtime_core.config import Message

from . import clauses
from .complaint import blamed
from .llm import Ending
from .parts import Parts, ToolChoice
from .wire import Tool

__all__ = ("Call", "Closing", "Part", "Phrase", "Plan", "Reply", "Sound", "Tunable")

_CHARACTERS_A_TOKEN = 4
_AHEAD = 4
"""Clauses that may wait to be spoken before the mind is held up."""
T = TypeVar("T")


class Phrase(NamedTuple):
    """Words of the answer, and the sample at which they begin to sound, if they do."""

    text: str
    start: int = 0


class Sound(NamedTuple):
    """A piece of sound."""

    pcm: bytes


class Call(NamedTuple):
    """A tool to call."""

    choice: ToolChoice


class Closing(NamedTuple):
    """The answer's end; nothing comes after it."""

    status: Literal["completed", "incomplete", "failed"]
    problem: Exception | None = None


Part = Phrase | Sound | Call | Closing


class Plan(NamedTuple):
    """How to answer."""

    tools: tuple[Tool, ...] = ()
    must: bool = False
    """At least one tool has to be called."""
    aloud: bool = True
    temperature: float | None = None
    """For a mind that heeds it."""
    most: int | None = None
    """Tokens after which the answer is cut off; a mind that does not count them gives pieces."""


class Reply:
    """An answer in the making; run it once, in a task of its own.

    `compose` gives the conversation to answer, `room` waits until sound can be taken. A part that
    fails ends the answer with `Closing("failed")`. `cut` ends it at once, and nothing comes of it
    any more, not even its end; the work behind it is cancelled.
    """

    def __init__(
        self,
        parts: Parts,
        plan: Plan,
        compose: Callable[[], Awaitable[Sequence[Message]]],
        room: Callable[[], Awaitable[None]],
    ) -> None:
        self._parts = parts
        self._plan = plan
        self._compose = compose
        self._room = room
        self._scope = anyio.CancelScope()
        self._opened = anyio.Event()
        self._held = list[Part]()
        self._tell: Callable[[Part], None] = self._held.append
        self._samples = 0
        self.tokens_in = 0
        """Tokens that the mind was given; an estimate, unless the mind tells."""
        self.tokens_out = 0
        """Tokens that it gave so far; its pieces are counted, unless it tells."""
        self._broken_off = False

    def open(self, tell: Callable[[Part], None]) -> None:
        """Let the answer out: what was held back at once, the rest as it comes."""
        self._tell = tell
        self._opened.set()
        for part in self._held:
            if self._tell is tell:  # not cut meanwhile
                tell(part)
        self._held.clear()

    def cut(self) -> None:
        """End the answer now; twice is the same as once."""
        self._tell = _nowhere
        self._scope.cancel()

    async def run(self) -> None:
        """Make the answer."""
        with self._scope:
            try:
                status = await self._make()
            except Exception as problem:
                self._tell(Closing("failed", problem))
            else:
                self._tell(Closing(status))

    async def _make(self) -> Literal["completed", "incomplete"]:
        messages = await self._compose()
        self.tokens_in = sum(len(message.text) for message in messages) // _CHARACTERS_A_TOKEN
        hands = self._parts.hands
        if hands is not None and self._plan.tools:
            with blamed("hands"):
                choices = await hands.choose(messages, self._plan.tools, must=self._plan.must)
            for choice in choices:
                self._tell(Call(choice))
            if choices:
                return "completed"
        if self._plan.aloud:
            return await self._speak(messages)
        return await self._write(messages)

    async def _write(self, messages: Sequence[Message]) -> Literal["completed", "incomplete"]:
        with blamed("mind"):
            async with _closing(self._thoughts(messages)) as pieces:
                async for piece in pieces:
                    if self._enough():
                        break
                    self._tell(Phrase(piece))
                    await self._room()
        return self._outcome

    async def _speak(self, messages: Sequence[Message]) -> Literal["completed", "incomplete"]:
        give, take = anyio.create_memory_object_stream[str](_AHEAD)
        with give, take:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._think, messages, give)
                await self._voice(take)
        return self._outcome

    async def _think(self, messages: Sequence[Message], give: MemoryObjectSendStream[str]) -> None:
        held = clauses.Clauses()
        with blamed("mind"), give:
            async with _closing(self._thoughts(messages)) as pieces:
                async for piece in pieces:
                    if self._enough():
                        break
                    held, whole = clauses.add(held, piece)
                    await _hand(give, whole)
            await _hand(give, clauses.rest(held))

    async def _voice(self, take: MemoryObjectReceiveStream[str]) -> None:
        async with take:
            async for clause in take:
                self._tell(Phrase(clause, self._samples))
                with blamed("mouth"):
                    await self._pronounce(clause.strip())
                await self._opened.wait()

    async def _pronounce(self, clause: str) -> None:
        async with _closing(self._parts.mouth.speak(clause)) as sounds:
            async for pcm in sounds:
                self._samples += len(pcm) // 2
                self._tell(Sound(pcm))
                await self._room()

    def _thoughts(self, messages: Sequence[Message]) -> AsyncIterator[str]:
        tunable = _tunable(self._parts.mind)
        if tunable is None:
            return self._parts.mind(messages)
        plan = self._plan
        return tunable.answer(
            messages, temperature=plan.temperature, max_tokens=plan.most, ended=self._told
        )

    def _told(self, ending: Ending) -> None:
        self._broken_off = ending.finish == "length"
        self.tokens_in = ending.prompt_tokens or self.tokens_in
        self.tokens_out = ending.answer_tokens or self.tokens_out

    def _enough(self) -> bool:
        self._broken_off = self._plan.most is not None and self.tokens_out >= self._plan.most
        self.tokens_out += not self._broken_off
        return self._broken_off

    @property
    def _outcome(self) -> Literal["completed", "incomplete"]:
        return "incomplete" if self._broken_off else "completed"


async def _hand(give: MemoryObjectSendStream[str], clauses: Iterable[str]) -> None:
    """Hand clauses to the mouth; where it has failed meanwhile, that is told elsewhere."""
    for clause in clauses:
        with suppress(anyio.BrokenResourceError):
            await give.send(clause)


def _nowhere(part: Part) -> None:
    del part


@runtime_checkable
class Tunable(Protocol):
    """What a mind may offer besides answering: to heed settings, and tell what an answer took."""

    def answer(
        self,
        messages: Sequence[Message],
        *,
        temperature: float | None,
        max_tokens: int | None,
        ended: Callable[[Ending], object] | None,
    ) -> AsyncIterator[str]:
        """Give the pieces of an answer, and to `ended` how it ended."""
        ...


def _tunable(mind: object) -> Tunable | None:
    return mind if isinstance(mind, Tunable) else None


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> object: ...


@asynccontextmanager
async def _closing(source: AsyncIterator[T]) -> AsyncGenerator[AsyncIterator[T]]:
    """Close an iterator when it is left, if it can be closed."""
    try:
        yield source
    finally:
        if isinstance(source, _Closable):
            await source.aclose()
