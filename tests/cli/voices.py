"""Providers for the tests of the command, in the tests' own process and in others.

`parrot` hears by loudness and answers with as many tenths of a second as its answer has words.
"""

from __future__ import annotations

import array
import math
from collections.abc import Awaitable, Callable
from importlib.metadata import EntryPoint
from typing import Any

import anyio
from msgspec.structs import replace

from realtime_core import (
    PCM_24K,
    AgentTranscript,
    Audio,
    AudioOutput,
    AudioOutputDone,
    CreateResponse,
    Disconnected,
    Error,
    Frame,
    IncompleteTurn,
    ItemId,
    Provider,
    RateLimited,
    RequestId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    Text,
    ToolCall,
    ToolResult,
    UserTranscript,
    Video,
)
from realtime_core.epoch import CallId
from realtime_core.testing.scripted import SCRIPTED, Peer, scripted

ANSWER = "I heard you very well indeed and this is my whole answer."
WORD = PCM_24K.rate // 10
"""Samples of one word of an answer."""
_QUIET_FRAMES = 20


def tone(seconds: float, rate: int = 24_000, level: int = 8_000) -> bytes:
    """Something loud."""
    count = int(seconds * rate)
    wave = (int(level * math.sin(i * 440 * math.tau / rate)) for i in range(count))
    return array.array("h", wave).tobytes()


class Bird:
    """One conversation of the parrot."""

    def __init__(self, peer: Peer, answer: str) -> None:
        self.peer = peer
        self.answer = answer
        self.count = 0
        self.turns = 0
        self.pictures = 0
        self.speaking = False
        self.quiet = 0
        self.ms = 0.0

    async def run(self) -> None:
        while True:
            try:
                frame = await self.peer.next()
            except anyio.EndOfStream:
                return
            match frame:
                case Audio():
                    await self.hear(frame)
                case Video():
                    self.pictures += 1
                case CreateResponse():
                    await self.say(frame.request)
                case _:
                    pass

    async def hear(self, frame: Audio) -> None:
        samples = array.array("h", frame.pcm)
        loud = max(samples, default=0) > 1_000
        self.ms += frame.format.milliseconds(len(frame.pcm))
        self.quiet = 0 if loud else self.quiet + 1
        if loud and not self.speaking:
            self.speaking = True
            self.turns += 1
            await self.peer.say(SpeechStarted(audio_ms=self.ms))
        elif self.speaking and self.quiet >= _QUIET_FRAMES:
            self.speaking = False
            words = UserTranscript(
                item=ItemId(f"u{self.turns}"), text=f"tone {self.turns}", final=True
            )
            partial = replace(words, text="to", final=False)
            await self.peer.say(partial, SpeechStopped(audio_ms=self.ms - 400), words)
            await self.say(None)

    async def say(self, request: RequestId | None) -> None:
        self.count += 1
        response, item = ResponseId(f"r{self.count}"), ItemId(f"i{self.count}")
        text = self.answer.format(pictures=self.pictures)
        await self.peer.say(ResponseStarted(response=response, request=request))
        for number, word in enumerate(text.split()):
            span = (number * WORD, (number + 1) * WORD)
            await self.peer.say(
                AgentTranscript(
                    response=response,
                    item=item,
                    text=word if not number else f" {word}",
                    final=False,
                    span=span,
                ),
                AudioOutput(
                    response=response, item=item, pcm=tone(0.1, level=3_000), format=PCM_24K
                ),
            )
        await self.peer.say(
            AudioOutputDone(response=response, item=item),
            AgentTranscript(response=response, item=item, text=text, final=True),
            ResponseDone(response=response, status="completed"),
        )


def parrot(model: str = "", *, answer: str = ANSWER) -> Provider[Frame]:
    """Answer everything, loudly and at once."""

    async def script(peer: Peer) -> None:
        await Bird(peer, answer).run()

    able = replace(SCRIPTED, note="A bird that repeats itself.", voices=("polly", "jack"))
    return _named(scripted(script, able), "parrot")


def counting(model: str = "") -> Provider[Frame]:
    """Say how many pictures there were."""
    return parrot(answer="I saw {pictures} pictures.")


def blind(model: str = "") -> Provider[Frame]:
    """Take neither pictures nor speech."""
    able = replace(SCRIPTED, images=False, audio_in=())
    return _named(scripted(_deaf, able), "blind")


def deaf(model: str = "") -> Provider[Frame]:
    """Answer nothing."""
    return scripted(_deaf)


async def _deaf(peer: Peer) -> None:
    await peer.drain()


def _failing(act: Callable[[Peer, CreateResponse], Awaitable[object]]) -> Provider[Frame]:
    async def script(peer: Peer) -> None:
        request = await peer.until(CreateResponse)
        assert isinstance(request, CreateResponse)
        await act(peer, request)
        await peer.drain()

    return scripted(script)


def failing(model: str = "") -> Provider[Frame]:
    """Begin an answer and fail."""

    async def act(peer: Peer, request: CreateResponse) -> None:
        response = ResponseId("r1")
        error = IncompleteTurn(what="The parrot has flown.", cause="open window", fix="Close it.")
        await peer.say(
            ResponseStarted(response=response, request=request.request),
            ResponseDone(response=response, status="failed", error=error),
        )

    return _failing(act)


def refusing(model: str = "") -> Provider[Frame]:
    """Refuse to answer."""

    async def act(peer: Peer, request: CreateResponse) -> None:
        error = RateLimited(what="Too many \x1b[31mwords.", cause="talk", fix="Wait.")
        await peer.say(Error(error=error, recoverable=True, request=request.request))

    return _failing(act)


def losing(model: str = "") -> Provider[Frame]:
    """Say two seconds, then lose the connection after one."""

    async def act(peer: Peer, request: CreateResponse) -> None:
        response, item = ResponseId("r1"), ItemId("i1")
        await peer.say(
            ResponseStarted(response=response, request=request.request),
            AudioOutput(response=response, item=item, pcm=tone(2.0), format=PCM_24K),
        )
        await anyio.sleep(1.0)
        raise ConnectionResetError("the cable was pulled")

    return _failing(act)


def calling(model: str = "") -> Provider[Frame]:
    """Call a tool nobody has, then say what came of it."""

    async def script(peer: Peer) -> None:
        request = await peer.until(CreateResponse)
        assert isinstance(request, CreateResponse)
        response = ResponseId("r0")
        await peer.say(
            ResponseStarted(response=response, request=request.request),
            ToolCall(response=response, item=None, call=CallId("c1"), name="fly", arguments="{}"),
            ResponseDone(response=response, status="completed"),
        )
        result = await peer.until(ToolResult)
        assert isinstance(result, ToolResult)
        await Bird(peer, result.output).run()

    return scripted(script)


def closed(model: str = "") -> Provider[Frame]:
    """Refuse the connection."""

    def dial(plan: object) -> Any:
        raise ConnectionRefusedError("nobody is at home")

    return replace(scripted(_deaf), dial=dial)


def broken(model: str = "") -> Provider[Frame]:
    """Have a defect."""
    raise ZeroDivisionError("a defect")


def _named(provider: Provider[Frame], name: str) -> Provider[Frame]:
    able = replace(provider.capabilities, provider=name)
    return replace(provider, name=name, capabilities=able)


NAMES = (
    "blind",
    "broken",
    "calling",
    "closed",
    "counting",
    "deaf",
    "failing",
    "losing",
    "parrot",
    "refusing",
)
LINES = {
    **{name: f"tests.cli.voices:{name}" for name in NAMES},
    "absent": "tests.cli.no_such_module:made",
    "local": "realtime_local:local",
}


def entries() -> dict[str, EntryPoint]:
    """What `realtime_core.provider.installed` gives in the tests."""
    return {
        name: EntryPoint(name, value, "realtime_core.providers")
        for name, value in sorted(LINES.items())
    }


__all__ = ("ANSWER", "LINES", "WORD", "Disconnected", "Text", "entries", "parrot", "tone")
