"""Sides: two servers and what each has to be told, in the same few words.

What a session does when its connection breaks is the library's, and the same with every provider;
only what the next one takes up differs: by a handle, or by the history.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

from msgspec.structs import replace

from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.events import AgentTranscript, AudioOutput, ResponseStarted
from realtime_core.frames import Frame
from realtime_core.provider import Provider
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_core.transports.websocket_server import Judge
from realtime_gemini import server as gemini
from realtime_gemini.parts import Blob, Content, Part
from realtime_gemini.server_messages import Transcription
from realtime_openai import client_events as client
from realtime_openai import server as openai
from realtime_openai.failures import closed
from realtime_openai.refusal import refused
from tests.providers.gemini.watching import PLAIN, SECURE, Way, ours
from tests.providers.openai.watching import items
from tests.providers.openai.watching import ours as ours_of_openai

__all__ = ("GEMINI", "HANDLE", "OPENAI", "SIDES", "Side")

HANDLE = "handle-1"
Play = Callable[[Any], Awaitable[None]]


class Side(Protocol):
    """A provider and its server."""

    name: str
    restored: Literal["handle", "history"]
    """By what a new connection goes on."""

    def provider(self, port: int, ping: tuple[float, float] | None = None) -> Provider[Frame]:
        """Make the provider for a port; a loss ends its sessions, unless they say otherwise."""
        ...

    def serve(self, play: Play, judge: Judge | None = None) -> AbstractAsyncContextManager[Any]:
        """Run a server that plays this for each client."""
        ...

    def port(self, here: Any) -> int:
        """Give the port of that server."""
        ...

    async def asked(self, caller: Any) -> None:
        """Wait until the client asks for an answer; what it may go on with was given before."""
        ...

    async def answer(self, caller: Any, text: str, pcm: bytes) -> None:
        """Give a whole answer."""
        ...

    async def begin(self, caller: Any, text: str, pcm: bytes) -> None:
        """Begin an answer, and leave it at that."""
        ...

    async def call(self, caller: Any, name: str) -> CallId:
        """Have a tool called."""
        ...

    async def sound(self, caller: Any) -> bytes:
        """Wait for more of the microphone's sound."""
        ...

    def remembered(self, caller: Any) -> list[tuple[str, str]]:
        """Give what the client told of earlier, and what it has typed since."""
        ...


class _Gemini:
    restored: Literal["handle", "history"] = "handle"

    def __init__(self, way: Way) -> None:
        self.way = way
        self.name = f"gemini-{'tls' if way.secure else 'plain'}"

    def provider(self, port: int, ping: tuple[float, float] | None = None) -> Provider[Frame]:
        return ours(self.way.base_url(port), self.way, ping)

    def serve(self, play: Play, judge: Judge | None = None) -> AbstractAsyncContextManager[Any]:
        async def script(caller: gemini.Caller) -> None:
            await caller.handle(HANDLE)
            await play(caller)

        return gemini.loopback(script, ssl=self.way.server, process_request=judge)

    def port(self, here: gemini.Loopback) -> int:
        return here.served.port

    async def asked(self, caller: gemini.Caller) -> None:
        await caller.turn()

    async def answer(self, caller: gemini.Caller, text: str, pcm: bytes) -> None:
        await caller.answer(text, pcm=pcm)

    async def begin(self, caller: gemini.Caller, text: str, pcm: bytes) -> None:
        sound = Part(inline_data=Blob(mime_type="audio/pcm;rate=24000", data=pcm))
        await caller.content(
            output_transcription=Transcription(text), model_turn=Content((sound,), "model")
        )

    async def call(self, caller: gemini.Caller, name: str) -> CallId:
        (id,) = await caller.call((name, {}))
        return CallId(id)

    async def sound(self, caller: gemini.Caller) -> bytes:
        data = await caller.until("realtime_input.audio.data")
        assert isinstance(data, bytes)
        return data

    def remembered(self, caller: gemini.Caller) -> list[tuple[str, str]]:
        contents = [one.client_content for one in caller.received if one.client_content]
        turns = [turn for one in contents for turn in one.turns or ()]
        return [(turn.role or "", part.text or "") for turn in turns for part in turn.parts or ()]


class _OpenAI:
    name = "openai"
    restored: Literal["handle", "history"] = "history"

    def provider(self, port: int, ping: tuple[float, float] | None = None) -> Provider[Frame]:
        made = ours_of_openai(f"http://127.0.0.1:{port}/v1")
        if ping is None:
            return made
        endpoint = Endpoint(
            url=f"ws://127.0.0.1:{port}/v1/realtime",
            failure=closed,
            refusal=refused,
            ping_interval=ping[0],
            ping_timeout=ping[1],
        )
        return replace(made, dial=websocket(endpoint))

    def serve(self, play: Play, judge: Judge | None = None) -> AbstractAsyncContextManager[Any]:
        return openai.loopback(play, process_request=judge)

    def port(self, here: openai.Loopback) -> int:
        return here.port

    async def asked(self, caller: openai.Caller) -> None:
        await caller.until(client.Create)

    async def answer(self, caller: openai.Caller, text: str, pcm: bytes) -> None:
        await caller.answer(text, pcm=pcm)

    async def begin(self, caller: openai.Caller, text: str, pcm: bytes) -> None:
        id, item = ResponseId(f"half-{caller.number}"), ItemId(f"half-{caller.number}")
        waiting = RequestId(next(iter(caller.desk.book.wishes)))
        form = caller.desk.book.output_format
        words = AgentTranscript(response=id, item=item, text=text, final=False)
        sound = AudioOutput(response=id, item=item, pcm=pcm, format=form)
        await caller.say(ResponseStarted(response=id, request=waiting), words, sound)

    async def call(self, caller: openai.Caller, name: str) -> CallId:
        await caller.answer(calls=[(name, {})])
        return CallId([*caller.desk.book.calls][-1])

    async def sound(self, caller: openai.Caller) -> bytes:
        event = await caller.until(client.Append)
        assert isinstance(event, client.Append)
        return event.audio

    def remembered(self, caller: openai.Caller) -> list[tuple[str, str]]:
        return [("model" if role == "assistant" else role, text) for role, text in items(caller)]


GEMINI: Side = _Gemini(PLAIN)
OPENAI: Side = _OpenAI()
SIDES: tuple[Side, ...] = (GEMINI, _Gemini(SECURE), OPENAI)
