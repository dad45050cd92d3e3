"""Parts of a local voice that do as they are told, and a session's side of the link to the engine.

Words are sound here: a word is 320 ms of samples that carry its number, silence is zero.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar, cast

import anyio
import msgspec
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream
from anyio.streams.stapled import StapledObjectStream

from realtime_core.codec import as_message
from realtime_core.config import Message
from realtime_core.link import Link, Wires
from realtime_core.transports.memory import memory_link
from realtime_local import wire
from realtime_local.engine import run
from realtime_local.parts import Parts, ToolChoice
from realtime_local.turns import FRAME

T = TypeVar("T")
WORD = 10 * FRAME
SAMPLES_A_CHARACTER = 100
_CHARACTERS_AT_ONCE = 8
_VOCABULARY = list[str]()
_QUIET = 25
"""Turns of the event loop without a message after which nothing more will come by itself."""


def speech(*texts: str) -> bytes:
    """Say words, one after the other without a pause."""
    pcm = bytearray()
    for word in " ".join(texts).split():
        if word not in _VOCABULARY:
            _VOCABULARY.append(word)
        number = _VOCABULARY.index(word) + 1
        pcm += number.to_bytes(2, "little") * WORD
    return bytes(pcm)


def silence(ms: int) -> bytes:
    return bytes(2 * 16 * ms)


def written(pcm: bytes) -> str:
    """Give the words of which at least half is there."""
    numbers = memoryview(pcm).cast("H").tolist()
    said = list[str]()
    at = 0
    while at < len(numbers):
        end = at
        while end < len(numbers) and numbers[end] == numbers[at] and end - at < WORD:
            end += 1
        if numbers[at] and end - at >= WORD // 2:
            said.append(_VOCABULARY[numbers[at] - 1])
        at = end
    return " ".join(said)


class Gate:
    """Holds up whoever passes while it is shut, and knows how many stand before it."""

    def __init__(self) -> None:
        self._open = anyio.Event()
        self._open.set()
        self.waiting = 0

    def shut(self) -> None:
        if self._open.is_set():
            self._open = anyio.Event()

    def open(self) -> None:
        self._open.set()

    async def passed(self) -> None:
        self.waiting += 1
        try:
            await checkpoint()
            await self._open.wait()
        finally:
            self.waiting -= 1


class FakeEars:
    def __init__(self, *, over: Callable[[str], float] = lambda _: 0.9) -> None:
        self.over = over
        self.gate = Gate()
        self.asked = list[str]()
        self.failure: Exception | None = None

    def detector(self) -> Callable[[bytes], float]:
        return lambda frame: 1.0 if any(frame) else 0.0

    async def transcribe(self, pcm: bytes) -> str:
        await self.gate.passed()
        if self.failure is not None:
            raise self.failure
        self.asked.append(written(pcm))
        return self.asked[-1]

    async def turn_over(self, pcm: bytes) -> float:
        await checkpoint()
        return self.over(written(pcm))


class FakeMind:
    """Answers what is in `answers` by the last user's words, else "I heard" and those words."""

    def __init__(self, answers: Mapping[str, Sequence[str] | Exception] | None = None) -> None:
        self.answers = answers or {}
        self.gate = Gate()
        self.asked = list[tuple[Message, ...]]()
        self.read = list[tuple[Message, ...]]()
        self.running = 0
        self.given = list[str]()
        self.stops_after = -1
        """Number of pieces after which its gate shuts by itself."""

    async def __call__(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        self.asked.append(tuple(messages))
        self.running += 1
        try:
            asked = next((m.text for m in reversed(messages) if m.role == "user"), "")
            answer = self.answers.get(asked, ("I heard ", f"{asked}."))
            if isinstance(answer, Exception):
                raise answer
            for piece in answer:
                if len(self.given) == self.stops_after:
                    self.gate.shut()
                await self.gate.passed()
                self.given.append(piece)
                yield piece
        finally:
            self.running -= 1

    async def prefill(self, messages: Sequence[Message]) -> None:
        await checkpoint()
        self.read.append(tuple(messages))

    def talk(self, number: int = -1) -> list[tuple[str, str]]:
        """Give the conversation it was asked to answer, without the instructions."""
        return [(m.role, m.text) for m in self.asked[number][1:]]


class FakeMouth:
    rate = 22_050

    def __init__(self) -> None:
        self.gate = Gate()
        self.running = 0
        self.said = list[str]()
        self.failure: Exception | None = None

    async def speak(self, clause: str) -> AsyncIterator[bytes]:
        self.running += 1
        self.said.append(clause)
        try:
            for at in range(0, len(clause), _CHARACTERS_AT_ONCE):
                await self.gate.passed()
                if self.failure is not None:
                    raise self.failure
                piece = clause[at : at + _CHARACTERS_AT_ONCE]
                yield b"\x01\x00" * (len(piece) * SAMPLES_A_CHARACTER)
        finally:
            self.running -= 1


class FakeHands:
    def __init__(self, choices: Mapping[str, Sequence[ToolChoice]]) -> None:
        self.choices = choices
        self.gate = Gate()
        self.must = list[bool]()

    async def choose(
        self, messages: Sequence[Message], tools: Sequence[wire.Tool], *, must: bool
    ) -> tuple[ToolChoice, ...]:
        await self.gate.passed()
        self.must.append(must)
        names = {tool.name for tool in tools}
        return tuple(
            choice for choice in self.choices.get(messages[-1].text, ()) if choice.name in names
        )


class FakeEyes:
    def __init__(self) -> None:
        self.gate = Gate()
        self.seen = list[bytes]()
        self.failure: Exception | None = None

    async def look(self, image: bytes) -> str:
        self.seen.append(image)
        await self.gate.passed()
        if self.failure is not None:
            raise self.failure
        return f"text in view: {image.decode()}"


_DECODE = msgspec.json.Decoder[wire.EngineMessage](wire.EngineMessage).decode


class Caller:
    """The session's side: says messages, and gives what came back once all is quiet."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.log = list[wire.EngineMessage]()

    async def send(self, *messages: wire.SessionMessage) -> list[wire.EngineMessage]:
        await self.link.send(tuple(map(msgspec.json.encode, messages)))
        return await self.heard()

    async def audio(self, *parts: bytes, chunk: int = 640) -> list[wire.EngineMessage]:
        """Send audio in pieces of 20 ms, letting all come to rest after each."""
        pcm, heard = b"".join(parts), list[wire.EngineMessage]()
        for at in range(0, len(pcm), chunk):
            heard += await self.send(wire.InputAudio(pcm=pcm[at : at + chunk]))
        return heard

    async def rest(self) -> None:
        """Let all come to rest without reading anything."""
        for _ in range(200):
            await checkpoint()

    async def heard(self) -> list[wire.EngineMessage]:
        stapled = cast("StapledObjectStream[Wires]", self.link)
        receive = cast("MemoryObjectReceiveStream[Wires]", stapled.receive_stream)
        news = list[wire.EngineMessage]()
        quiet = 0
        while quiet < _QUIET:
            await checkpoint()
            quiet += 1
            with suppress(anyio.WouldBlock, anyio.EndOfStream):
                batch = receive.receive_nowait()
                news += map(_DECODE, map(as_message, batch))
                quiet = 0
        self.log += news
        return news


@asynccontextmanager
async def engine(
    parts: Parts,
    settings: wire.Settings | None = None,
    *history: wire.Said,
    buffer: int = 64,
) -> AsyncGenerator[Caller]:
    """Run an engine that has been started, on a link that holds so many batches."""
    ours, theirs = memory_link(buffer)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, parts, theirs)
            caller = Caller(ours)
            await caller.send(wire.Start(settings=settings or wire.Settings(), history=history))
            yield caller
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await ours.aclose()
            await theirs.aclose()


def of(kind: type[T], messages: Sequence[wire.EngineMessage]) -> list[T]:
    return [message for message in messages if isinstance(message, kind)]


def kinds(messages: Sequence[wire.EngineMessage]) -> list[str]:
    """Give the messages' tags, runs of the same one put into one."""
    tags = [type(message).__struct_config__.tag for message in messages]
    return [str(tag) for at, tag in enumerate(tags) if at == 0 or tags[at - 1] != tag]


def texts(messages: Sequence[wire.EngineMessage]) -> list[str]:
    return [said.text for said in of(wire.Spoken, messages) if not said.final]


def samples(messages: Sequence[wire.EngineMessage]) -> int:
    return sum(len(sound.pcm) // 2 for sound in of(wire.AudioDelta, messages))
