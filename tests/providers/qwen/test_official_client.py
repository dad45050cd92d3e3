"""The vendor's own client holds whole conversations through our server, in both of its forms."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from realtime_core import (
    AgentTranscript,
    AudioFormat,
    AudioOutput,
    CallId,
    CancelResponse,
    CreateResponse,
    ItemId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    ToolResult,
    Usage,
    UserTranscript,
)
from realtime_core.frames import Audio, Text, Video
from realtime_core.testing.scripted import Greeting, Peer, scripted
from realtime_openai import client_events as client
from realtime_qwen.server import AppendImage, Caller, Finish, loopback, serve
from tests.providers.qwen.vendor import BOTH, newer, older, threaded
from tests.providers.qwen.watching import KEY, MODELS

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore:dashscope 2.0 audio API:FutureWarning"),
]

NEWEST, NEW, *_ = MODELS
TONE = bytes(range(256)) * 100
HEARD = b64encode(bytes(3_200)).decode()
JPEG = b"\xff\xd8\xff\xe0picture"
SEEN = b64encode(JPEG).decode()
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def typed(text: str) -> dict[str, Any]:
    return {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": text}],
    }


def result(call: str, output: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call, "output": output}


async def script(caller: Caller) -> None:
    """Play the service: typed, called, spoken, seen, cut."""
    await caller.until(client.Create)
    await caller.answer("Hello there.", pcm=TONE, usage=Usage(3, 2))
    await caller.until(client.Create)
    await caller.answer(calls=[("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})])
    await caller.until(client.Create)
    await caller.answer("Rain, and sun.", pcm=TONE)
    seen = await caller.until(AppendImage)
    assert isinstance(seen, AppendImage)
    assert seen.image == JPEG
    await caller.hear_user("What is this?", at_ms=10, to_ms=90)
    await caller.answer("A cat.", pcm=TONE)
    await caller.until(client.Create)
    await caller.answer("Never heard", pcm=TONE * 4, pieces=40, pace=0.02, stale=1)
    await caller.until(Finish)
    await caller.next()


async def test_the_older_client_holds_a_conversation() -> None:
    async with loopback(script, key=KEY) as here:

        def talk() -> None:
            with older(NEW, here.url, KEY) as one:
                one.until("session.created")
                one.vendor.update_session(BOTH, voice="Ethan", tools=[WEATHER])
                updated = one.until("session.updated")["session"]
                assert (updated["voice"], updated["tools"]) == ("Ethan", [WEATHER])
                assert updated["turn_detection"]["threshold"] == 0.2

                one.vendor.create_item(typed("Hi"))
                one.vendor.create_response()
                done = one.until("response.done")["response"]
                assert done["output"][0]["content"][0]["transcript"] == "Hello there."
                assert done["usage"]["total_tokens"] == 5
                assert one.told.pcm == TONE
                assert one.vendor.get_last_response_id() == done["id"]
                assert one.vendor.get_last_first_audio_delay() >= 0

                one.vendor.create_item(typed("How is the weather?"))
                one.vendor.create_response(instructions="Be brief.", output_modalities=BOTH)
                done = one.until("response.done")["response"]
                for call, text in zip(done["output"], ("rain", "sun"), strict=True):
                    assert "city" in json.loads(call["arguments"])
                    one.vendor.create_item(result(call["call_id"], text))
                one.vendor.create_response()
                done = one.until("response.done")["response"]
                assert done["output"][0]["content"][0]["transcript"] == "Rain, and sun."

                one.vendor.append_audio(HEARD)
                one.vendor.append_video(SEEN)
                one.until("input_audio_buffer.speech_started")
                one.until("input_audio_buffer.speech_stopped")
                said = "conversation.item.input_audio_transcription.completed"
                assert one.until(said)["transcript"] == "What is this?"
                one.until("response.done")
                assert one.told.pcm == TONE

                one.vendor.create_response()
                one.until("response.audio.delta")
                one.vendor.cancel_response()
                assert one.until("response.done")["response"]["status"] == "cancelled"
                one.vendor.clear_appended_audio()
                one.until("input_audio_buffer.cleared")
                one.vendor.end_session(timeout=5)
                one.over()
                assert one.closed == (1000, None)

        await threaded(talk)
        assert here.callers[0].path == f"/api-ws/v1/realtime?model={NEW}"


async def test_the_newer_client_holds_a_conversation_with_the_newest_model() -> None:
    async with loopback(script, key=KEY) as here:

        def talk() -> None:
            with newer(NEWEST, here.url, KEY) as one:
                one.until("session.created")
                one.vendor.update_session(
                    output_modalities=["text", "audio"],
                    voice="longyue",
                    input_audio_config={"type": "pcm", "sample_rate": 16_000},
                    output_audio_config={"type": "pcm", "sample_rate": 24_000},
                    turn_detection_type="semantic_vad",
                    tools=[WEATHER],
                )
                updated = one.until("session.updated")["session"]
                assert updated["audio"]["output"]["voice"] == "longyue"
                assert updated["turn_detection"]["type"] == "semantic_vad"

                one.vendor.create_item(typed("Hi"))
                one.vendor.create_response()
                assert one.until("response.done")["response"]["status"] == "completed"
                assert one.told.pcm == TONE

                one.vendor.create_response(["text", "audio"])
                for call in one.until("response.done")["response"]["output"]:
                    one.vendor.create_item(result(call["call_id"], "rain"))
                one.vendor.create_response()
                one.until("response.done")

                one.vendor.append_audio(bytes(3_200))
                one.vendor.append_video(JPEG)
                one.until("response.done")
                one.vendor.create_response()
                one.until("response.audio.delta")
                one.vendor.cancel_response()
                assert one.until("response.done")["response"]["status"] == "cancelled"
                one.vendor.end_session()
                assert not list(one.vendor.events()), "the newest models say no farewell"

        await threaded(talk)


async def test_the_newer_client_is_told_the_end_and_its_mistakes() -> None:
    async def listen(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("Bye.")
        await caller.until(Finish)
        await caller.next()

    async with loopback(listen, key=KEY, allowed={"invalid_value"}) as here:

        def talk() -> None:
            with newer(NEW, here.url, KEY) as one:
                one.until("session.created")
                one.vendor.update_session(["text"])
                assert one.until("session.updated")["session"]["voice"] == "Tina"
                one.vendor.append_video(JPEG)
                with pytest.raises(Exception, match="Sound has to be appended"):
                    one.until("error")
                one.vendor.create_response(["text"], "Say bye.")
                one.vendor.end_session()
                one.until("session.finished")
                kinds = [event["type"] for event in one.told.events]
                assert kinds[-2:] == ["response.done", "session.finished"]

        await threaded(talk)


async def test_a_wrong_key_is_refused_at_the_door() -> None:
    async def nobody(caller: Caller) -> None:
        raise AssertionError(caller.path)

    async with loopback(nobody, key=KEY) as here:

        def talk() -> None:
            with pytest.raises(Exception, match="401"), newer(NEW, here.url, "wrong"):
                pytest.fail("it opened")

        await threaded(talk)


async def test_any_provider_is_served_to_the_older_client() -> None:
    first, item, form = ResponseId("r1"), ItemId("i1"), AudioFormat()

    async def play(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        assert greeting.config.tools[0].name == "weather"
        assert await peer.until(Text) == Text("Hi", "user", "context")
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        await peer.say(
            ResponseStarted(response=first, request=wish.request),
            ToolCall(response=first, call=CallId("c"), name="weather", arguments='{"city":"X"}'),
            ResponseDone(response=first, status="completed"),
        )
        assert await peer.until(ToolResult) == ToolResult(CallId("c"), "rain")
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        second = ResponseId("r2")
        await peer.say(
            ResponseStarted(response=second, request=wish.request),
            ResponseText(response=second, item=item, text="Rain.", is_complete=True),
            ResponseDone(response=second, status="completed"),
        )
        await peer.until(Audio)
        assert await peer.until(Video) == Video(JPEG, "image/jpeg")
        third, spoken = ResponseId("r3"), ItemId("i3")
        await peer.say(
            SpeechStarted(audio_ms=0),
            SpeechStopped(audio_ms=100),
            UserTranscript(item=ItemId("u"), text="A story!", final=True),
            ResponseStarted(response=third),
            AgentTranscript(response=third, item=spoken, text="Once upon", final=False),
            AudioOutput(response=third, item=spoken, pcm=TONE, format=form),
        )
        assert await peer.until(CancelResponse) == CancelResponse(third)
        await peer.say(ResponseDone(response=third, status="cancelled"))
        await peer.drain()

    async with serve(scripted(play), key=KEY) as here:

        def talk() -> None:
            with older(NEW, here.url, KEY) as one:
                one.vendor.update_session(BOTH, tools=[WEATHER])
                one.until("session.updated")
                one.vendor.create_item(typed("Hi"))
                one.vendor.create_response()
                call = one.until("response.function_call_arguments.done")
                one.until("response.done")
                one.vendor.create_item(result(call["call_id"], "rain"))
                one.vendor.create_response()
                done = one.until("response.done")["response"]
                assert done["output"][0]["content"] == [{"type": "text", "text": "Rain."}]
                one.vendor.append_audio(HEARD)
                one.vendor.append_video(SEEN)
                one.until("response.audio.delta")
                assert one.told.pcm == TONE
                one.vendor.cancel_response()
                assert one.until("response.done")["response"]["status"] == "cancelled"
                one.vendor.end_session(timeout=5)
                one.over()

        await threaded(talk)
