"""The vendor's own client holds whole conversations through our server.

It is the one client we did not write: what it takes from us, any client of the protocol takes. It
runs on asyncio only.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.exceptions import ConnectionClosedOK

from realtime_core import (
    AgentTranscript,
    AudioFormat,
    AudioOutput,
    CallId,
    CancelResponse,
    CreateResponse,
    Frame,
    ItemId,
    Message,
    RequestId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    SpeechStarted,
    SpeechStopped,
    Text,
    ToolCall,
    ToolResult,
    TruncateItem,
    Usage,
    UserTranscript,
)
from realtime_core.audio.convert import Conversion
from realtime_core.beside import beside
from realtime_core.frames import Audio, UpdateSession
from realtime_core.provider import Provider
from realtime_core.testing.scripted import Greeting, Peer, scripted
from realtime_local import local
from realtime_openai import client_events as client
from realtime_openai.server import Caller, loopback, serve
from tests.providers.local.speech import spoken
from tests.providers.openai.grammar import Grammar

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]

FORM = AudioFormat()
TONE = bytes(range(256)) * 188
"""A second, nearly."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The vendor's client knows no other."""
    return "asyncio"


class Official:
    """The vendor's client, and the grammar of all that it was told."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection
        self.grammar = Grammar()
        self.pcm = b""
        """The sound of the newest answer."""

    async def until(self, type: str) -> Any:
        """Wait for an event of a type."""
        while True:
            data = await self.connection.recv_bytes()
            self.grammar.take((data,))
            event: Any = self.connection.parse_event(data)
            if event.type == "response.created":
                self.pcm = b""
            if event.type == "response.output_audio.delta":
                self.pcm += b64decode(event.delta)
            if event.type == "error" and type != "error":
                raise AssertionError(event.error.message)
            if event.type == type:
                return event

    async def answered(self) -> Any:
        """Wait for the end of an answer."""
        return (await self.until("response.done")).response

    async def say(self, text: str) -> None:
        """Type something, and ask for an answer."""
        part: Any = {"type": "input_text", "text": text}
        await self.connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [part]}
        )
        await self.connection.response.create()


@asynccontextmanager
async def calling(base_url: str, **session: Any) -> AsyncGenerator[Official]:
    """Connect as the vendor's documentation says, and give the settings."""
    settings: Any = {"type": "realtime", **session}
    async with (
        AsyncOpenAI(base_url=base_url, api_key="test") as vendor,
        vendor.realtime.connect(model="gpt-test") as connection,
    ):
        one = Official(connection)
        created = await one.until("session.created")
        assert created.session.model == "gpt-test"
        await connection.session.update(session=settings)
        await one.until("session.updated")
        yield one


@asynccontextmanager
async def served(provider: Provider[Frame], **session: Any) -> AsyncGenerator[Official]:
    """Serve a provider to the vendor's client."""
    async with serve(provider) as here, calling(here.base_url, **session) as one:
        yield one


def function(name: str) -> dict[str, Any]:
    field = {"city": {"type": "string"}}
    return {
        "type": "function",
        "name": name,
        "description": "Tell the weather in a city.",
        "parameters": {"type": "object", "properties": field, "required": ["city"]},
    }


# --- a scripted provider ----------------------------------------------------------------------


async def asked(peer: Peer) -> RequestId:
    """Wait until an answer is asked for."""
    wish = await peer.until(CreateResponse)
    assert isinstance(wish, CreateResponse)
    return wish.request


async def test_a_typed_turn() -> None:
    response, item = ResponseId("r1"), ItemId("i1")

    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        assert greeting.config.modalities == ("text",)
        assert await peer.until(Text) == Text("Hi", "user", "context")
        name = await asked(peer)
        await peer.say(
            ResponseStarted(response=response, request=name),
            ResponseText(response=response, item=item, text="Hel", is_complete=False),
            ResponseText(response=response, item=item, text="lo", is_complete=False),
            ResponseText(response=response, item=item, text="Hello", is_complete=True),
            ResponseDone(response=response, status="completed", usage=Usage(3, 2)),
        )
        await peer.drain()

    async with served(scripted(script), output_modalities=["text"]) as one:
        await one.say("Hi")
        done = await one.answered()
        assert done.output[0].content[0].text == "Hello"
        assert (done.status, done.usage.total_tokens) == ("completed", 5)


async def test_a_spoken_turn_and_an_interruption_with_a_truncation() -> None:
    response, item = ResponseId("r1"), ItemId("i1")

    async def script(peer: Peer) -> None:
        await peer.until(Audio)
        await peer.say(SpeechStarted(audio_ms=20), SpeechStopped(audio_ms=900))
        await peer.say(UserTranscript(item=ItemId("u1"), text="Tell me a story.", final=True))
        await peer.say(
            ResponseStarted(response=response),
            AgentTranscript(response=response, item=item, text="Once upon a time", final=False),
            AudioOutput(response=response, item=item, pcm=TONE, format=FORM),
        )
        assert await peer.until(CancelResponse) == CancelResponse(response)
        cut = await peer.next()
        assert isinstance(cut, TruncateItem)
        assert (cut.samples * 1_000 // cut.rate, cut.text) == (500, "Once up"[:4])
        await peer.say(ResponseDone(response=response, status="cancelled"))
        await peer.drain()

    sounds = {"input": {"transcription": {"model": "whisper-1"}}}
    async with served(scripted(script), audio=sounds) as one:
        for start in range(0, len(TONE), 9_600):
            sound = b64encode(TONE[start : start + 9_600]).decode()
            await one.connection.input_audio_buffer.append(audio=sound)
        said = await one.until("conversation.item.input_audio_transcription.completed")
        assert said.transcript == "Tell me a story."
        delta = await one.until("response.output_audio.delta")
        await one.connection.conversation.item.truncate(
            item_id=delta.item_id, content_index=delta.content_index, audio_end_ms=500
        )
        await one.connection.response.cancel(response_id=delta.response_id)
        assert (await one.until("conversation.item.truncated")).audio_end_ms == 500
        done = await one.answered()
        assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
        assert one.pcm == TONE
        await one.connection.conversation.item.retrieve(item_id=item)
        assert (await one.until("conversation.item.retrieved")).item.content[0].transcript is None


async def test_a_tool_round() -> None:
    first, second, call = ResponseId("r1"), ResponseId("r2"), CallId("c1")

    async def script(peer: Peer) -> None:
        name = await asked(peer)
        await peer.say(
            ResponseStarted(response=first, request=name),
            ToolCall(response=first, call=call, name="weather", arguments='{"city":"Paris"}'),
            ResponseDone(response=first, status="completed"),
        )
        assert await peer.next() == ToolResult(call, "It rains.")
        name = await asked(peer)
        text = ResponseText(response=second, item=ItemId("i2"), text="Rain.", is_complete=True)
        done = ResponseDone(response=second, status="completed")
        await peer.say(ResponseStarted(response=second, request=name), text, done)
        await peer.drain()

    async with served(
        scripted(script), tools=[function("weather")], output_modalities=["text"]
    ) as one:
        await one.say("How is the weather in Paris?")
        wanted = await one.until("response.function_call_arguments.done")
        assert (wanted.name, wanted.arguments) == ("weather", '{"city":"Paris"}')
        await one.answered()
        output: Any = {
            "type": "function_call_output",
            "call_id": wanted.call_id,
            "output": "It rains.",
        }
        await one.connection.conversation.item.create(item=output)
        await one.connection.response.create()
        done = await one.answered()
        assert done.output[0].content[0].text == "Rain."


async def test_earlier_turns_and_later_settings() -> None:
    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        assert greeting.config.history == (Message("user", "Hi"), Message("assistant", "Hello"))
        change = await peer.until(UpdateSession)
        assert isinstance(change, UpdateSession)
        assert change.config.instructions == "Be brief."
        await peer.drain()

    async with served(scripted(script)) as one:
        conversation = one.connection.conversation
        for role, kind, text in (
            ("user", "input_text", "Hi"),
            ("assistant", "output_text", "Hello"),
        ):
            item: Any = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
            await conversation.item.create(item=item)
            await one.until("conversation.item.done")
        await one.connection.input_audio_buffer.append(audio="AAAA")
        await one.connection.session.update(
            session={"type": "realtime", "instructions": "Be brief."}
        )
        assert (await one.until("session.updated")).session.instructions == "Be brief."
        await one.connection.response.cancel()
        assert (await one.until("error")).error.code == "response_cancel_not_active"


async def test_a_script_for_the_vendors_client() -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("Hello there.", pcm=TONE)
        await caller.hear_user("And you?")
        await caller.answer("Fine.", pcm=TONE[:9_600])
        await caller.until(client.Create)
        await caller.answer("Never heard", pcm=TONE, pieces=40, pace=0.02, stale=1)
        await caller.next()

    async with loopback(script) as here, calling(here.base_url) as one:
        await one.say("Hi")
        assert (await one.answered()).output[0].content[0].transcript == "Hello there."
        assert one.pcm == TONE
        assert (await one.answered()).output[0].content[0].transcript == "Fine."
        await one.say("Go on")
        await one.until("response.output_audio.delta")
        await one.connection.response.cancel()
        assert (await one.answered()).status == "cancelled"


# --- the embedded voice -----------------------------------------------------------------------


@pytest.mark.models
@pytest.mark.timeout(90)
async def test_the_embedded_voice_holds_a_whole_conversation() -> None:
    sounds = {"input": {"transcription": {"model": "moonshine"}}}
    async with (
        serve("local") as here,
        calling(here.base_url, audio=sounds, tools=[function("weather")]) as one,
        microphone(one.connection) as talk,
    ):
        await one.say("What is the capital of France?")
        done = await one.answered()
        assert "Paris" in done.output[0].content[0].transcript
        assert len(one.pcm) > FORM.rate

        await talk("What is the weather in London?")
        asked_for = await one.until("response.function_call_arguments.done")
        assert (asked_for.name, "London" in asked_for.arguments) == ("weather", True)
        await one.answered()
        output: Any = {"type": "function_call_output", "call_id": asked_for.call_id}
        output["output"] = "It rains in London."
        await one.connection.conversation.item.create(item=output)
        await one.connection.response.create()
        done = await one.answered()
        assert "rain" in done.output[0].content[0].transcript
        words = one.grammar.of("conversation.item.input_audio_transcription.completed")
        assert "weather" in words[-1]["transcript"]
        await one.connection.close()


@pytest.mark.models
@pytest.mark.timeout(90)
async def test_talking_over_the_embedded_voice_cuts_its_answer() -> None:
    async def long_winded(messages: Sequence[Message]) -> AsyncGenerator[str]:
        """Tell the story of every day of a month."""
        for day in range(1, 30):
            await anyio.lowlevel.checkpoint()
            yield f"On day {day} the dog went for a walk in the park. "

    async with (
        serve(local(mind=long_winded)) as here,
        calling(here.base_url) as one,
        microphone(one.connection) as talk,
    ):
        await one.say("Tell me a story.")
        delta = await one.until("response.output_audio.delta")
        begun = anyio.current_time()
        await anyio.sleep(1.0)
        await talk("Stop, please. I have heard enough.")
        await one.until("input_audio_buffer.speech_started")
        heard = int(1_000 * (anyio.current_time() - begun))
        done = await one.answered()
        assert (done.status, done.status_details.reason) == ("cancelled", "turn_detected")
        await one.connection.conversation.item.truncate(
            item_id=delta.item_id, content_index=0, audio_end_ms=heard
        )
        assert (await one.until("conversation.item.truncated")).audio_end_ms == heard
        while len(one.grammar.of("response.created")) < 2:
            await one.until("response.created")
        await one.connection.close()


@asynccontextmanager
async def microphone(
    connection: AsyncRealtimeConnection,
) -> AsyncGenerator[Callable[[str], Awaitable[None]]]:
    """Keep a microphone open, in real time, and speak into it what is given."""
    words = b""
    step = FORM.sample_size * FORM.rate // 50

    async def talk(text: str) -> None:
        nonlocal words
        pcm, form = await spoken(text)
        conversion = Conversion(form, FORM)
        state, words = conversion.step(conversion.start(), pcm)
        words += conversion.finish(state)

    async def stream() -> None:
        nonlocal words
        due = anyio.current_time()
        with suppress(ConnectionClosedOK):  # it is left open until the call is over
            while True:
                piece, words = words[:step].ljust(step, b"\0"), words[step:]
                await connection.input_audio_buffer.append(audio=b64encode(piece).decode())
                due += 0.02
                await anyio.sleep_until(due)

    async with beside() as tasks:
        tasks.start_soon(stream)
        yield talk
