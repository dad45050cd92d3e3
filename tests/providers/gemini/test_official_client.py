"""The vendor's own client holds whole conversations through our server.

It is the one client we did not write: what it takes from us, any client of the protocol takes. It
runs on asyncio only, so trio is left out; and it dials `wss` whatever address it is given.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from google import genai
from google.genai import errors, live, types
from websockets.exceptions import ConnectionClosed

from realtime_core import (
    AgentTranscript,
    AudioFormat,
    AudioOutput,
    CallId,
    CreateResponse,
    Frame,
    Interrupted,
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
    Usage,
    UserTranscript,
)
from realtime_core.audio.convert import Conversion
from realtime_core.beside import beside
from realtime_core.frames import ActivityEnd, ActivityStart, Audio, UpdateSession, Video
from realtime_core.provider import Provider
from realtime_core.testing.scripted import Greeting, Peer, scripted
from realtime_gemini.server import Caller, loopback, serve
from realtime_local import local
from tests.core.transports.loopback import trusted
from tests.providers.local.speech import spoken

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]

FORM = AudioFormat(rate=16_000)
SPOKEN = AudioFormat()
TONE = bytes(range(256)) * 40
"""A fifth of a second, nearly."""
MODEL = "gemini-3.8-live"
ROME, OSLO = CallId("Rome"), CallId("Oslo")
R, R2 = ResponseId("r1"), ResponseId("r2")
ITEM, OTHER = ItemId("i1"), ItemId("i2")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The vendor's client knows no other."""
    return "asyncio"


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Give a server's and a client's."""
    return trusted()


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


class Official:
    """The vendor's client in a session, and what it was told."""

    def __init__(self, session: live.AsyncSession) -> None:
        self.session = session
        self.messages: list[types.LiveServerMessage] = []

    async def until(self, name: str) -> Any:
        """Wait for a message with a field of this name, in its content or beside it."""
        while True:
            message = await self.session._receive()
            self.messages.append(message)
            for place in (message, message.server_content):
                found = getattr(place, name, None)
                if found is not None:
                    return found

    async def answered(self) -> str:
        """Wait for the end of a turn, and give its words, or its text."""
        begun = len(self.messages)
        async for message in self.session.receive():
            self.messages.append(message)
        contents = [one.server_content for one in self.messages[begun:] if one.server_content]
        words = [one.output_transcription.text for one in contents if one.output_transcription]
        parts = [p for c in contents if c.model_turn for p in c.model_turn.parts or ()]
        return "".join(w or "" for w in words) or "".join(p.text or "" for p in parts)

    @property
    def pcm(self) -> bytes:
        """All sound so far."""
        return b"".join(message.data or b"" for message in self.messages)

    def kinds(self) -> list[str]:
        """Name what came, in order: pieces of one kind once."""
        names: list[str] = []
        for message in self.messages:
            told = [*message.server_content.model_fields_set] if message.server_content else []
            told += [one for one in type(message).model_fields if one in message.model_fields_set]
            names += [one for one in told if one != "server_content" and one not in names[-1:]]
        return names


def vendor(here: Any, contexts: Contexts, key: str = "test", **more: Any) -> genai.Client:
    options = types.HttpOptions(
        base_url=here.base_url,
        async_client_args={"ssl": contexts[1], "verify": contexts[1]},
        **more,
    )
    return genai.Client(api_key=key, http_options=options)


@asynccontextmanager
async def calling(
    here: Any, contexts: Contexts, key: str = "test", version: str = "v1beta", **config: Any
) -> AsyncGenerator[Official]:
    """Connect as the vendor's documentation says."""
    client = vendor(here, contexts, key, api_version=version)
    wish = types.LiveConnectConfig(**{"response_modalities": [types.Modality.AUDIO], **config})
    try:
        async with client.aio.live.connect(model=MODEL, config=wish) as session:
            yield Official(session)
    finally:
        await client.aio.aclose()
        client.close()


@asynccontextmanager
async def served(
    provider: Provider[Frame], contexts: Contexts, **config: Any
) -> AsyncGenerator[Official]:
    """Serve a provider to the vendor's client."""
    async with serve(provider, ssl=contexts[0]) as here, calling(here, contexts, **config) as one:
        yield one


WORDS: dict[str, Any] = {
    "input_audio_transcription": types.AudioTranscriptionConfig(),
    "output_audio_transcription": types.AudioTranscriptionConfig(),
}


def weather(behavior: types.Behavior | None = None) -> list[types.Tool]:
    city = types.Schema(type=types.Type.STRING)
    made = types.FunctionDeclaration(
        name="weather",
        description="Tell the weather in a city.",
        parameters=types.Schema(
            type=types.Type.OBJECT, properties={"city": city}, required=["city"]
        ),
        behavior=behavior,
    )
    return [types.Tool(function_declarations=[made])]


def user(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=text)])


async def asked(peer: Peer) -> RequestId:
    """Wait until an answer is asked for."""
    wish = await peer.until(CreateResponse)
    assert isinstance(wish, CreateResponse)
    return wish.request


# --- a scripted provider ----------------------------------------------------------------------


async def test_a_typed_turn(contexts: Contexts) -> None:
    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        assert greeting.config.modalities == ("text",)
        assert greeting.config.instructions == "Be brief."
        assert greeting.config.temperature == 0.5
        assert await peer.next() == Text("Hi", "user", "context")
        name = await asked(peer)
        await peer.say(
            ResponseStarted(response=R, request=name),
            ResponseText(response=R, item=ITEM, text="Hel", is_complete=False),
            ResponseText(response=R, item=ITEM, text="lo", is_complete=False),
            ResponseText(response=R, item=ITEM, text="Hello", is_complete=True),
            ResponseDone(response=R, status="completed", usage=Usage(3, 2)),
        )
        await peer.drain()

    async with served(
        scripted(script),
        contexts,
        response_modalities=["TEXT"],
        system_instruction="Be brief.",
        temperature=0.5,
    ) as one:
        await one.session.send_client_content(turns=user("Hi"), turn_complete=True)
        assert await one.answered() == "Hello"
        usage = one.messages[-1].usage_metadata
        assert usage is not None
        assert (usage.prompt_token_count, usage.response_token_count) == (3, 2)
        assert one.session.session_id


async def test_a_spoken_turn_with_a_picture_and_a_barge_in(contexts: Contexts) -> None:
    async def script(peer: Peer) -> None:
        assert await peer.until(Video) == Video(b"\xff\xd8\xff", "image/jpeg")
        await peer.until(Audio)
        await peer.say(SpeechStarted(audio_ms=20), SpeechStopped(audio_ms=900))
        await peer.say(
            UserTranscript(item=ItemId("u1"), text="What do", final=False),
            UserTranscript(item=ItemId("u1"), text="What do you see?", final=True),
            ResponseStarted(response=R),
            AgentTranscript(response=R, item=ITEM, text="A dog, and", final=False),
            AudioOutput(response=R, item=ITEM, pcm=TONE * 100, format=SPOKEN),
        )
        await peer.until(Audio)
        await peer.say(SpeechStarted(audio_ms=1_500), Interrupted(cause="provider", response=R))
        await peer.say(ResponseDone(response=R, status="cancelled", usage=Usage(9, 8)))
        await peer.say(
            ResponseStarted(response=R2),
            AgentTranscript(response=R2, item=OTHER, text="Sorry.", final=True),
            AudioOutput(response=R2, item=OTHER, pcm=TONE, format=SPOKEN),
            ResponseDone(response=R2, status="completed"),
        )
        await peer.drain()

    async with served(scripted(script), contexts, **WORDS) as one:
        picture = types.Blob(data=b"\xff\xd8\xff", mime_type="image/jpeg")
        await one.session.send_realtime_input(video=picture)
        speech = types.Blob(data=TONE, mime_type="audio/pcm;rate=16000")
        await one.session.send_realtime_input(audio=speech)
        while len(one.pcm) < len(TONE) * 100:
            await one.until("model_turn")
        assert one.pcm == TONE * 100
        await one.session.send_realtime_input(audio=speech)
        assert await one.answered() == ""  # the rest of the interrupted turn
        assert one.kinds() == [
            "voice_activity",
            "interim_input_transcription",
            "input_transcription",
            "output_transcription",
            "model_turn",
            "voice_activity",
            "interrupted",
            "turn_complete",
            "usage_metadata",
        ]
        assert await one.answered() == "Sorry."
        assert one.kinds()[-3:] == ["model_turn", "generation_complete", "turn_complete"]


async def test_functions_called_together(contexts: Contexts) -> None:
    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        (tool,) = greeting.config.tools
        assert tool.name == "weather"
        assert tool.parameters["properties"] == {"city": {"type": "string"}}
        name = await asked(peer)
        await peer.say(
            ResponseStarted(response=R, request=name),
            ToolCall(response=R, call=ROME, name="weather", arguments='{"city":"Rome"}'),
            ToolCall(response=R, call=OSLO, name="weather", arguments='{"city":"Oslo"}'),
            ResponseDone(response=R, status="completed", usage=Usage(1, 1)),
        )
        results = [await peer.next(), await peer.next()]
        assert results == [
            ToolResult(OSLO, "Snow."),
            ToolResult(ROME, "no such city", failed=True),
        ]
        name = await asked(peer)
        await peer.say(
            ResponseStarted(response=R2, request=name),
            ResponseText(response=R2, item=OTHER, text="It snows.", is_complete=True),
            ResponseDone(response=R2, status="completed", usage=Usage(2, 2)),
        )
        await peer.drain()

    tools = weather(types.Behavior.BLOCKING)
    async with served(scripted(script), contexts, tools=tools) as one:
        await one.session.send_client_content(turns=user("How is the weather?"))
        calls = [*(await one.until("tool_call")).function_calls]
        calls += (await one.until("tool_call")).function_calls
        assert [(call.name, call.args) for call in calls] == [
            ("weather", {"city": "Rome"}),
            ("weather", {"city": "Oslo"}),
        ]
        outcomes = ({"error": "no such city"}, {"output": "Snow."})
        results = [
            types.FunctionResponse(id=call.id, name=call.name, response=outcome)
            for call, outcome in zip(calls, outcomes, strict=True)
        ]
        await one.session.send_tool_response(function_responses=results[::-1])
        assert await one.answered() == "It snows."  # one turn, from the question to the end
        usage = one.messages[-1].usage_metadata
        assert usage is not None
        assert usage.total_token_count == 6


async def test_marked_turns(contexts: Contexts) -> None:
    async def script(peer: Peer) -> None:
        assert isinstance(await peer.next(), ActivityStart)
        assert isinstance(await peer.next(), Audio)
        await peer.until(ActivityEnd)
        name = await asked(peer)
        await peer.say(
            ResponseStarted(response=R, request=name),
            AudioOutput(response=R, item=ITEM, pcm=TONE, format=SPOKEN),
        )
        await peer.until(ActivityStart)
        await peer.say(ResponseDone(response=R, status="cancelled"))
        await peer.drain()

    detection = types.AutomaticActivityDetection(disabled=True)
    config = types.RealtimeInputConfig(automatic_activity_detection=detection)
    async with served(scripted(script), contexts, realtime_input_config=config) as one:
        await one.session.send_realtime_input(activity_start=types.ActivityStart())
        speech = types.Blob(data=TONE, mime_type="audio/pcm;rate=16000")
        await one.session.send_realtime_input(audio=speech)
        await one.session.send_realtime_input(activity_end=types.ActivityEnd())
        await one.until("model_turn")
        await one.session.send_realtime_input(activity_start=types.ActivityStart())
        await one.answered()
        assert one.kinds() == ["model_turn", "interrupted", "turn_complete"]


async def test_a_history_and_other_instructions(contexts: Contexts) -> None:
    greetings = list[Greeting]()

    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        greetings.append(greeting)
        if len(greetings) < 2:
            await peer.drain()
            return
        assert greeting.config.history == (Message("user", "Hi"), Message("assistant", "Hello"))
        assert await peer.until(Text) == Text("And?", "user", "context")
        name = await asked(peer)
        await peer.say(ResponseStarted(response=R, request=name))
        await peer.say(ResponseDone(response=R, status="completed"))
        change = await peer.until(UpdateSession)
        assert isinstance(change, UpdateSession)
        assert change.config.instructions == "Be kind."
        await peer.drain()

    async with served(scripted(script), contexts) as one:
        said = [user("Hi"), types.Content(role="model", parts=[types.Part(text="Hello")])]
        await one.session.send_client_content(turns=[*said, user("And?")])
        await one.answered()
        await one.session.send_context_update(system_instruction="Be kind.")
        await one.session.send_realtime_input(audio_stream_end=True)
    assert len(greetings) == 2


async def test_a_conversation_is_taken_up_again(contexts: Contexts) -> None:
    histories = list[tuple[Message, ...]]()

    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        histories.append(greeting.config.history)
        name = await asked(peer)
        await peer.say(
            ResponseStarted(response=R, request=name),
            ResponseText(response=R, item=ITEM, text="Nice to meet you.", is_complete=True),
            ResponseDone(response=R, status="completed"),
        )
        await peer.drain()

    async with serve(scripted(script), ssl=contexts[0]) as here:
        wish = types.SessionResumptionConfig()
        async with calling(here, contexts, session_resumption=wish) as one:
            assert (await one.until("session_resumption_update")).resumable
            await one.session.send_client_content(turns=user("I am Ann."))
            await one.answered()
            handle = (await one.until("session_resumption_update")).new_handle
        wish = types.SessionResumptionConfig(handle=handle)
        async with calling(here, contexts, session_resumption=wish) as again:
            await again.session.send_client_content(turns=user("Who am I?"))
            await again.answered()
        assert histories == [
            (),
            (Message("user", "I am Ann."), Message("assistant", "Nice to meet you.", item=ITEM)),
        ]
        wish = types.SessionResumptionConfig(handle="h.1")
        with pytest.raises(errors.APIError, match=r"1008.*not found"):
            async with calling(here, contexts, session_resumption=wish) as lost:
                await lost.until("setup_complete")


@pytest.mark.filterwarnings("ignore::google.genai.errors.ExperimentalWarning")
@pytest.mark.filterwarnings(  # where aiohttp is installed, the vendor's client makes a class of its
    "ignore:Inheritance class AiohttpClientSession:DeprecationWarning"
)
async def test_a_token_for_a_browser(contexts: Contexts) -> None:
    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        assert (greeting.config.instructions, greeting.config.temperature) == ("Be kind.", 1.5)
        await peer.drain()

    async with serve(scripted(script), ssl=contexts[0]) as here:
        client = vendor(here, contexts, api_version="v1alpha")
        fixed = types.LiveConnectConfig(
            system_instruction="Be kind.", response_modalities=[types.Modality.AUDIO]
        )
        limits = types.LiveConnectConstraints(model=MODEL, config=fixed)
        token = await client.aio.auth_tokens.create(
            config=types.CreateAuthTokenConfig(
                uses=1, live_connect_constraints=limits, lock_additional_fields=[]
            )
        )
        await client.aio.aclose()
        client.close()
        assert token.name is not None
        wish = {"system_instruction": "Be rude.", "temperature": 1.5}
        async with calling(here, contexts, token.name, "v1alpha", **wish) as one:
            assert one.session.session_id
        with pytest.raises(errors.APIError, match="1008"):
            async with calling(here, contexts, token.name, "v1alpha") as spent:
                await spent.until("setup_complete")


async def test_a_keyless_client_at_an_address_of_its_own(contexts: Contexts) -> None:
    """Without key and project the vendor's client dials any address, and speaks as to Vertex."""

    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.answer("Hello.", pcm=TONE)
        await caller.next()

    async with loopback(script, ssl=contexts[0], mirrored=False) as here:
        trust = {"ssl": contexts[1]}
        options = types.HttpOptions(base_url=here.url, async_client_args=trust)
        client = genai.Client(enterprise=True, http_options=options)
        config = types.LiveConnectConfig(**WORDS)
        async with client.aio.live.connect(model=MODEL, config=config) as session:
            one = Official(session)
            await session.send_realtime_input(text="Hi")
            assert await one.answered() == "Hello."
            assert one.pcm == TONE


# --- scripts ----------------------------------------------------------------------------------


async def test_a_script_for_the_vendors_client(contexts: Contexts) -> None:
    async def script(caller: Caller) -> None:
        caller.write(empty=True)
        assert await caller.turn() == "Hi"
        await caller.answer("Hello there.", pcm=TONE, thought="Hm.", together=True)
        await caller.hear_user("And", " you?", start="0.1s", end="0.9s")
        ids = await caller.call(("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"}))
        first, second = await caller.results(*ids)
        assert (first.response, second.response) == ({"output": "0"}, {"output": "1"})
        await caller.answer("Rain.", pcm=TONE)
        await caller.turn()
        assert not await caller.answer("Never heard", pcm=TONE, pieces=40, pace=0.02, stale=2)
        await caller.handle("h1")
        await caller.go_away(5)
        await caller.close(1011, "Internal error encountered.")

    tools = weather(types.Behavior.BLOCKING)
    async with (
        loopback(script, ssl=contexts[0]) as here,
        calling(here, contexts, tools=tools, **WORDS) as one,
    ):
        await one.session.send_client_content(turns=user("Hi"))
        assert await one.answered() == "Hello there."
        assert one.pcm == TONE
        calls = (await one.until("tool_call")).function_calls
        results = [
            types.FunctionResponse(id=call.id, name=call.name, response={"output": str(place)})
            for place, call in enumerate(calls)
        ]
        await one.session.send_tool_response(function_responses=results)
        assert await one.answered() == "Rain."
        await one.session.send_realtime_input(text="Go on")
        await one.until("model_turn")
        await one.session.send_client_content(turns=user("Stop"))
        await one.until("interrupted")
        assert (await one.until("session_resumption_update")).new_handle == "h1"
        assert (await one.until("go_away")).time_left == "5s"
        with pytest.raises(errors.APIError, match="1011"):
            await one.until("nothing")


async def test_mistakes_of_the_vendors_client_are_told_as_the_service_tells_them(
    contexts: Contexts,
) -> None:
    async def script(caller: Caller) -> None:
        await caller.next()

    stage = loopback(script, ssl=contexts[0])
    here = await stage.__aenter__()
    with pytest.raises(errors.APIError, match=r"1007.*TEXT is not supported"):
        async with calling(here, contexts, response_modalities=["TEXT"]) as one:
            await one.until("nothing")
    with pytest.raises(AssertionError, match="TEXT is not supported"):
        await stage.__aexit__(None, None, None)


# --- the embedded voice -----------------------------------------------------------------------


@pytest.mark.models
@pytest.mark.timeout(90)
async def test_the_embedded_voice_holds_a_whole_conversation(contexts: Contexts) -> None:
    async with (
        serve("local", ssl=contexts[0]) as here,
        calling(here, contexts, tools=weather(types.Behavior.BLOCKING), **WORDS) as one,
        microphone(one.session) as talk,
    ):
        await one.session.send_client_content(turns=user("What is the capital of France?"))
        assert "Paris" in await one.answered()
        assert len(one.pcm) > SPOKEN.rate

        await talk("What is the weather in London?")
        (call,) = (await one.until("tool_call")).function_calls
        assert (call.name, "London" in call.args["city"]) == ("weather", True)
        rain = types.FunctionResponse(
            id=call.id, name=call.name, response={"output": "It rains in London."}
        )
        await one.session.send_tool_response(function_responses=rain)
        assert "rain" in await one.answered()
        contents = [m.server_content for m in one.messages if m.server_content is not None]
        words = [c.input_transcription.text or "" for c in contents if c.input_transcription]
        assert "weather" in "".join(words)


@pytest.mark.models
@pytest.mark.timeout(90)
async def test_talking_over_the_embedded_voice_cuts_its_answer(contexts: Contexts) -> None:
    async def long_winded(messages: Sequence[Message]) -> AsyncGenerator[str]:
        """Tell the story of every day of a month."""
        for day in range(1, 30):
            await anyio.lowlevel.checkpoint()
            yield f"On day {day} the dog went for a walk in the park. "

    async with (
        serve(local(mind=long_winded), ssl=contexts[0]) as here,
        calling(here, contexts, **WORDS) as one,
        microphone(one.session) as talk,
    ):
        await one.session.send_client_content(turns=user("Tell me a story."))
        await one.until("model_turn")
        await talk("Stop, please. I have heard enough.")
        await one.until("interrupted")
        await one.until("turn_complete")
        await one.until("model_turn")


@asynccontextmanager
async def microphone(
    session: live.AsyncSession,
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
        with suppress(ConnectionClosed):  # it is left open until the call is over
            while True:
                piece, words = words[:step].ljust(step, b"\0"), words[step:]
                blob = types.Blob(data=piece, mime_type="audio/pcm;rate=16000")
                await session.send_realtime_input(audio=blob)
                due += 0.02
                await anyio.sleep_until(due)

    async with beside() as tasks:
        tasks.start_soon(stream)
        yield talk
