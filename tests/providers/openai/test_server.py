"""The server: sessions of any provider served to clients, and scripts that judge their clients."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.abc import ObjectStream
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    AgentTranscript,
    AudioFormat,
    AudioOutput,
    AudioOutputDone,
    AuthFailed,
    CallId,
    CancelResponse,
    Connected,
    DeleteItem,
    Error,
    Frame,
    ItemId,
    Message,
    RealtimeError,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    Recurs,
    RequestId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    SessionConfig,
    SessionExpired,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    ToolSpec,
    TruncateItem,
    TurnDetection,
    Unavailable,
    Usage,
    UserTranscript,
    open_session,
)
from realtime_core.beside import beside
from realtime_core.frames import (
    Audio,
    ClearAudio,
    CommitAudio,
    CreateResponse,
    Interrupt,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from realtime_core.link import Dial, Link, Wires
from realtime_core.plan import Plan, negotiate
from realtime_core.provider import Provider
from realtime_core.testing import TICK, run
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.scripted import SCRIPTED, Greeting, Peer, scripted
from realtime_core.testing.strategies import provider_scripts
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_openai import client_events as client
from realtime_openai import server_events as server
from realtime_openai.codec import OpenAICodec, agree
from realtime_openai.dialect import GA
from realtime_openai.failures import closed
from realtime_openai.server import Caller, Loopback, loopback, serve
from tests.providers.openai.grammar import Grammar

Fields = dict[str, Any]

PLAN = negotiate(GA.capabilities, SessionConfig()).unwrap()
R, R2 = ResponseId("r1"), ResponseId("r2")
ITEM = ItemId("i1")
SECOND = bytes(48_000)
LOW = AudioFormat(rate=8_000)


def ours(dial: Dial) -> Provider[Frame]:
    """Our own client of the protocol, at the other end of this dial."""
    return Provider("openai", GA.capabilities, OpenAICodec(GA), dial, agree=agree)


class Client:
    """A client by hand: says what the test says, and checks the grammar of all that it is told."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.grammar = Grammar()
        self._seen = 0

    async def say(self, *events: Fields) -> None:
        await self.link.send(tuple(json.dumps(event).encode() for event in events))

    async def until(self, type: str) -> Fields:
        while True:
            while self._seen < len(self.grammar.events):
                event = self.grammar.events[self._seen]
                self._seen += 1
                if event["type"] == type:
                    return event
            wires = await self.link.receive()
            self.grammar.take(wire for wire in wires if isinstance(wire, str | bytes))


def setting(**given: Any) -> Fields:
    return {"type": "session.update", "session": {"type": "realtime", **given}}


def typed(text: str, role: str = "user") -> Fields:
    kind = "output_text" if role == "assistant" else "input_text"
    part = {"type": kind, "text": text}
    return {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": role, "content": [part]},
    }


def result(call: str, text: str) -> Fields:
    item = {"type": "function_call_output", "call_id": call, "output": text}
    return {"type": "conversation.item.create", "item": item}


CREATE: Fields = {"type": "response.create"}
CANCEL: Fields = {"type": "response.cancel"}
HEARD: Fields = {"type": "input_audio_buffer.append", "audio": "AAAA"}
TEXT_ONLY = setting(output_modalities=["text"])


def truncation(ms: int) -> Fields:
    return {
        "type": "conversation.item.truncate",
        "item_id": ITEM,
        "content_index": 0,
        "audio_end_ms": ms,
    }


def served(
    backend: str,
    script: Callable[[Peer], Awaitable[None]],
    talk: Callable[[Client], Awaitable[None]],
    *,
    config: SessionConfig | None = None,
    **able: Any,
) -> None:
    """Let a client talk with a scripted provider through the server, on virtual time."""

    async def program() -> None:
        provider = scripted(script, replace(SCRIPTED, **able))
        async with serve(provider, config, port=None) as here, here.dial(PLAN) as link:
            await talk(Client(link))

    run(program, backend=backend)


async def spoken(peer: Peer, request: RequestId | None = None, id: ResponseId = R) -> None:
    """Begin an answer, and say a second of it."""
    await peer.say(
        ResponseStarted(response=id, request=request),
        AgentTranscript(response=id, item=ITEM, text="Once upon a time", final=False),
        AudioOutput(response=id, item=ITEM, pcm=SECOND, format=AudioFormat()),
    )


# --- a session of any provider ----------------------------------------------------------------


def test_a_typed_turn_reaches_the_session_and_its_answer_the_client(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        assert await peer.until(Text) == Text("Hi", "user", "context")
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        assert wish.metadata == {"a": "b"}
        await peer.say(
            ResponseStarted(response=R, request=wish.request),
            ResponseText(response=R, item=ITEM, text="Hello", is_complete=False),
            ResponseText(response=R, item=ITEM, text="Hello", is_complete=True),
            ResponseDone(response=R, status="completed"),
        )
        await peer.drain()

    async def talk(one: Client) -> None:
        created = await one.until("session.created")
        assert created["session"]["model"] == "scripted"
        await one.say(TEXT_ONLY, typed("Hi"), {**CREATE, "response": {"metadata": {"a": "b"}}})
        done = await one.until("response.done")
        assert done["response"]["metadata"] == {"a": "b"}
        assert done["response"]["output"][0]["content"] == [
            {"type": "output_text", "text": "Hello"}
        ]

    served(anyio_backend, script, talk)


def test_the_session_is_opened_with_what_the_client_has_told_by_then(anyio_backend: str) -> None:
    tools = (ToolSpec("f", policy="finish"),)

    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        config = greeting.config
        assert (config.voice, config.instructions) == ("joe", "Be brief.")
        assert (config.tools, config.turn_detection.mode) == (tools, "manual")
        assert config.history == (Message("user", "Hi"), Message("assistant", "Hello"))
        assert await peer.next() == Video(b"\xff\xd8")
        assert await peer.next() == Text("And?", "user", "context")
        assert isinstance(await peer.next(), Audio)
        assert isinstance(await peer.next(), CommitAudio)
        assert isinstance(await peer.next(), ClearAudio)
        await peer.say(SpeechStarted())
        await peer.drain()

    async def talk(one: Client) -> None:
        function = {"type": "function", "name": "f"}
        sounds = {"input": {"turn_detection": None}, "output": {"voice": "joe"}}
        await one.say(setting(instructions="Be brief.", tools=[function], audio=sounds))
        await one.until("session.updated")
        seen = {"type": "input_image", "image_url": "data:image/jpeg;base64,/9g="}
        pictured = typed("Hi")
        pictured["item"]["content"].append(seen)
        await one.say(pictured)
        await one.say(typed("Hello", "assistant"))
        await one.say(typed("And?"))
        await one.say({"type": "input_audio_buffer.clear"})
        await one.say(HEARD, {"type": "input_audio_buffer.commit"})
        await one.say({"type": "input_audio_buffer.clear"})
        await one.until("input_audio_buffer.speech_started")

    served(anyio_backend, script, talk, voices=("joe",))


def test_a_provider_without_history_is_told_what_the_user_said(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        assert await peer.next() == Text("Hi", "user", "context")
        assert await peer.next() == Text("Quietly.", "system", "context")
        await peer.say(SpeechStarted())
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.say(typed("Hi"), typed("Quietly.", "system"), typed("Hello", "assistant"), HEARD)
        await one.until("input_audio_buffer.speech_started")

    served(anyio_backend, script, talk, history=False)


def test_settings_that_cannot_be_are_refused_and_nothing_is_opened(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        raise AssertionError("nobody was to be called")

    async def talk(one: Client) -> None:
        vad = {"type": "server_vad", "create_response": False}
        for asked, param in (
            ({"tools": [{"type": "mcp", "server_label": "x"}]}, "session.tools"),
            ({"audio": {"input": {"turn_detection": vad}}}, "session.audio.input.turn_detection"),
            ({"prompt": {"id": "x"}}, "session.prompt"),
            ({"audio": {"input": {"turn_detection": None}}}, "turn_detection.mode"),
            ({"foo": 1}, "session.foo"),
        ):
            await one.say({**setting(**asked), "event_id": "mine"})
            error = (await one.until("error"))["error"]
            assert error["event_id"] == "mine"
            assert error["param"].startswith(param)
        await one.say({"type": "session.update", "session": {"type": "transcription"}})
        assert (await one.until("error"))["error"]["param"] == "session.type"
        await one.say(setting(audio={"output": {"voice": "marin"}}))
        updated = await one.until("session.updated")
        assert updated["session"]["audio"]["output"]["voice"] == "joe"  # there is no other here

    served(anyio_backend, script, talk, manual_turns=False, voices=("joe",))


def test_settings_change_while_the_session_runs(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        change = await peer.until(UpdateSession)
        assert isinstance(change, UpdateSession)
        assert change.config.instructions == "Be kind."
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.say(HEARD, setting(instructions="Be kind."))
        updated = await one.until("session.updated")
        assert updated["session"]["instructions"] == "Be kind."
        await one.say(setting(audio={"output": {"format": {"type": "audio/pcmu"}}}))
        assert (await one.until("error"))["error"]["code"] == "invalid_value"

    served(anyio_backend, script, talk)


def test_a_change_that_the_session_refuses_does_not_hold(anyio_backend: str) -> None:
    async def talk(one: Client) -> None:
        await one.say(HEARD, setting(instructions="Be kind."))
        await one.until("error")
        assert "session.updated" not in one.grammar.types

    served(anyio_backend, Peer.drain, talk, update=False)


def test_sound_goes_both_ways_in_the_clients_format(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        heard = 0
        while heard < 800:
            sound = await peer.until(Audio)
            assert isinstance(sound, Audio)
            heard += len(sound.pcm)
        half = AudioOutput(response=R, item=ITEM, pcm=bytes(8_000), format=LOW)
        end = AudioOutputDone(response=R, item=ITEM)
        done = ResponseDone(response=R, status="completed")
        await peer.say(ResponseStarted(response=R), half, end, done)
        await peer.drain()

    async def talk(one: Client) -> None:
        for _ in range(20):
            await one.say({**HEARD, "audio": "AAAA" * 64})
        await one.until("response.done")
        deltas = one.grammar.of("response.output_audio.delta")
        size = sum(len(event["delta"]) * 3 // 4 for event in deltas)
        assert 23_950 <= size <= 24_010  # half a second at 24 kHz
        await one.say({**truncation(500)})
        await one.until("conversation.item.truncated")

    served(anyio_backend, script, talk, audio_in=(LOW,), audio_out=(LOW,))


def test_the_user_cuts_in_and_what_was_heard_errs_low(anyio_backend: str) -> None:
    cuts = list[TruncateItem]()

    async def script(peer: Peer) -> None:
        await peer.until(Audio)
        await spoken(peer)
        await anyio.sleep(0.75)
        await peer.say(SpeechStarted(audio_ms=750))
        cut = await peer.until(TruncateItem)
        assert isinstance(cut, TruncateItem)
        cuts.append(cut)
        await peer.say(ResponseDone(response=R, status="cancelled"))
        await anyio.sleep(0.15)
        await peer.say(SpeechStopped(audio_ms=900))
        await peer.say(UserTranscript(text="Stop", final=True))
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.say(setting(audio={"input": {"transcription": {"model": "m"}}}), HEARD)
        started = await one.until("input_audio_buffer.speech_started")
        assert started["audio_start_ms"] == 750
        done = await one.until("response.done")
        assert done["response"]["status_details"]["reason"] == "turn_detected"
        said = await one.until("conversation.item.input_audio_transcription.completed")
        assert said["item_id"] == started["item_id"]
        await one.say(truncation(600))
        await one.until("conversation.item.truncated")

    served(anyio_backend, script, talk)
    (cut,) = cuts
    assert 400 <= cut.samples * 1_000 // cut.rate <= 550


def test_what_was_heard_to_its_end_is_not_cut(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.until(Audio)
        await spoken(peer)
        done = ResponseDone(response=R, status="completed")
        await peer.say(AudioOutputDone(response=R, item=ITEM), done)
        await anyio.sleep(1.5)
        await peer.say(SpeechStarted())
        assert isinstance(await peer.next(), Audio)
        await peer.say(SpeechStopped())
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.say(HEARD)
        await one.until("input_audio_buffer.speech_started")
        await one.say(HEARD)
        await one.until("input_audio_buffer.speech_stopped")

    served(anyio_backend, script, talk)


@pytest.mark.parametrize("order", [(CANCEL, truncation(320)), (truncation(320), CANCEL)])
def test_the_clients_word_of_what_was_heard_is_what_the_model_knows(
    anyio_backend: str, order: tuple[Fields, ...]
) -> None:
    async def script(peer: Peer) -> None:
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        await spoken(peer, wish.request)
        assert await peer.until(CancelResponse) == CancelResponse(R)
        cut = await peer.next()
        assert isinstance(cut, TruncateItem)
        assert (cut.samples, cut.rate) == (7_680, 24_000)
        await peer.say(ResponseDone(response=R, status="cancelled"))
        again = await peer.until(CreateResponse)
        assert isinstance(again, CreateResponse)
        await spoken(peer, again.request, R2)
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.say(CREATE)
        await one.until("response.output_audio.delta")
        await one.say(*order)
        await one.until("conversation.item.truncated")
        done = await one.until("response.done")
        assert done["response"]["status_details"]["reason"] == "client_cancelled"
        await one.say(CREATE)
        await one.until("response.created")

    served(anyio_backend, script, talk)


@pytest.mark.parametrize("at_once", [True, False])
def test_what_is_asked_right_after_a_cut_is_answered(anyio_backend: str, at_once: bool) -> None:
    async def script(peer: Peer) -> None:
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        await spoken(peer, wish.request)
        await peer.say(ResponseDone(response=R, status="completed"))
        assert isinstance(await peer.next(), TruncateItem)
        assert await peer.next() == Text("No, wait.", "user", "context")
        again = await peer.next()
        assert isinstance(again, CreateResponse)
        started = ResponseStarted(response=R2, request=again.request)
        await peer.say(started, ResponseDone(response=R2, status="completed"))
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.say(CREATE)
        await one.until("response.done")
        await anyio.sleep(0.4)
        wish = {**CREATE, "response": {"metadata": {"turn": "2"}}}
        if at_once:
            await one.say(truncation(320), typed("No, wait."), wish)
        else:
            for event in (truncation(320), typed("No, wait."), wish):
                await one.say(event)
        done = await one.until("response.done")
        assert done["response"]["id"] == R2
        assert done["response"]["metadata"] == {"turn": "2"}

    served(anyio_backend, script, talk)


def test_a_spoken_item_is_told_once(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        assert await peer.next() == Text("Listen:", "user", "context")
        assert isinstance(await peer.next(), Audio)
        assert isinstance(await peer.next(), CommitAudio)
        assert isinstance(await peer.next(), CreateResponse)
        await peer.say(SpeechStarted())
        await peer.drain()

    async def talk(one: Client) -> None:
        heard = typed("")
        heard["item"]["content"] = [{"type": "input_audio", "audio": "AAAA"}]
        await one.say(typed("Listen:"), heard, CREATE)
        await one.until("input_audio_buffer.speech_started")

    served(anyio_backend, script, talk)


def test_nothing_heard_is_forgotten_whole(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.until(CreateResponse)
        await spoken(peer)
        await peer.until(CancelResponse)
        assert await peer.next() == DeleteItem(ITEM)
        await peer.say(ResponseDone(response=R, status="cancelled"))
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.say(CREATE)
        await one.until("response.output_audio.delta")
        await one.say(CANCEL, {"type": "conversation.item.delete", "item_id": ITEM})
        await one.until("response.done")

    served(anyio_backend, script, talk)


@pytest.mark.parametrize("reply", ["create", "automatic"])
def test_a_tool_round_has_one_continuation(anyio_backend: str, reply: Any) -> None:
    calls = [ToolCall(response=R, call=CallId(c), name="f", arguments="{}") for c in "ab"]

    async def script(peer: Peer) -> None:
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        started = ResponseStarted(response=R, request=wish.request)
        await peer.say(started, *calls, ResponseDone(response=R, status="completed"))
        assert await peer.next() == ToolResult(CallId("a"), "rain")
        assert await peer.next() == ToolResult(CallId("b"), "snow")
        name: RequestId | None = None
        if reply == "create":
            again = await peer.next()
            assert isinstance(again, CreateResponse)
            name = again.request
        done = ResponseDone(response=R2, status="completed")
        await peer.say(ResponseStarted(response=R2, request=name), done)
        await peer.drain()
        assert len([one for one in peer.sent if isinstance(one, CreateResponse)]) <= 2

    async def talk(one: Client) -> None:
        await one.say(setting(tools=[{"type": "function", "name": "f"}]), CREATE)
        await one.until("response.done")
        await one.say(result("a", "rain"))
        await one.say(result("b", "snow"))
        await one.say({**CREATE, "response": {"metadata": {"turn": "2"}}})
        done = await one.until("response.done")
        assert done["response"]["metadata"] == {"turn": "2"}
        assert one.grammar.types.count("response.created") == 2

    served(anyio_backend, script, talk, tool_reply=reply)


def test_a_result_after_an_interruption_is_still_wanted(anyio_backend: str) -> None:
    call = ToolCall(response=R, call=CallId("a"), name="f", arguments="{}")

    async def script(peer: Peer) -> None:
        await peer.until(CreateResponse)
        done = ResponseDone(response=R, status="completed")
        await peer.say(ResponseStarted(response=R), call, done)
        await anyio.sleep(1)
        await peer.say(SpeechStarted(), SpeechStopped())
        assert await peer.until(ToolResult) == ToolResult(CallId("a"), "rain")
        assert isinstance(await peer.until(CreateResponse), CreateResponse)
        await peer.say(ResponseStarted(response=R2), ResponseDone(response=R2, status="completed"))
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.say(setting(tools=[{"type": "function", "name": "f"}]), CREATE)
        await one.until("input_audio_buffer.speech_stopped")
        await one.say(result("a", "rain"), CREATE)
        await one.until("response.done")

    served(anyio_backend, script, talk)


def test_a_frame_that_is_refused_is_an_error_and_the_session_goes_on(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.until(Text)
        await peer.say(SpeechStarted())
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.say({**HEARD, "event_id": "a"}, {**CREATE, "response": {"conversation": "none"}})
        await one.say({"type": "input_audio_buffer.commit", "event_id": "c"})
        assert (await one.until("error"))["error"]["type"] == "invalid_request_error"
        assert (await one.until("error"))["error"]["event_id"] == "c"
        await one.say(typed("Hi"))
        await one.until("input_audio_buffer.speech_started")

    served(anyio_backend, script, talk, side_responses=False, commit=False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AuthFailed(what="No."), "invalid_api_key"),
        (SessionExpired(what="Over."), "session_expired"),
        (Unavailable(what="Down."), "internal_error"),
    ],
)
def test_a_session_that_ends_ends_the_connection(
    anyio_backend: str, error: RealtimeError, code: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.until(Audio)
        await peer.say(Error(error=error, recoverable=False))
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.say(HEARD)
        assert (await one.until("error"))["error"]["code"] == code
        with pytest.raises(RealtimeException) as caught:
            await one.until("no more")
        assert type(caught.value.error) is type(error)

    served(anyio_backend, script, talk)


def test_a_session_that_cannot_be_opened_is_told_and_ends_the_connection(
    anyio_backend: str,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(Error(error=AuthFailed(what="No key."), recoverable=False))

    async def program() -> None:
        provider = scripted(script, welcome=False)
        async with serve(provider, port=None) as here, here.dial(PLAN) as link:
            one = Client(link)
            await one.say(HEARD)
            assert "No key." in (await one.until("error"))["error"]["message"]
            with pytest.raises(RealtimeException) as caught:
                await one.until("no more")
            assert isinstance(caught.value.error, AuthFailed)

    run(program, backend=anyio_backend)


def test_a_session_ends_with_its_client(anyio_backend: str) -> None:
    ended = list[int]()

    async def program() -> None:
        async def script(peer: Peer) -> None:
            try:
                await peer.drain()
            finally:
                ended.append(peer.conn)

        async with serve(scripted(script), port=None) as here:
            for _ in range(2):
                async with here.dial(PLAN) as link:
                    await Client(link).say(HEARD, HEARD)
                    await anyio.sleep(1)
                    await link.send_eof()
                    await anyio.sleep(1)
        assert ended == [0, 1]

    run(program, backend=anyio_backend)


def test_our_own_client_holds_a_conversation_through_the_server(anyio_backend: str) -> None:
    config = SessionConfig(instructions="Be kind.", turn_detection=TurnDetection(mode="semantic"))

    async def script(peer: Peer) -> None:
        assert await peer.until(Text) == Text("Hi", "user", "context")
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        await spoken(peer, wish.request)
        await peer.say(AudioOutputDone(response=R, item=ITEM))
        await peer.say(ResponseDone(response=R, status="completed"))
        await peer.drain()

    async def program() -> None:
        async with (
            serve(scripted(script), port=None) as here,
            open_session(ours(here.dial), config) as session,
        ):
            await session.simple_response("Hi")
            async for event in session.events():
                if isinstance(event, Connected):
                    assert event.config.model == "scripted"
                if isinstance(event, ResponseDone):
                    break
            assert session.history[-1] == Message("assistant", "Once upon a time", item=ITEM)

    run(program, backend=anyio_backend)


# --- generated --------------------------------------------------------------------------------


class Tap(ObjectStream[Wires]):
    """A link, and the grammar of all that comes over it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.grammar = Grammar()

    async def receive(self) -> Wires:
        wires = await self.link.receive()
        self.grammar.take(wire for wire in wires if isinstance(wire, str | bytes))
        return wires

    async def send(self, item: Wires) -> None:
        await self.link.send(item)

    async def send_eof(self) -> None:
        await self.link.send_eof()

    async def aclose(self) -> None:
        await self.link.aclose()


_FRAMES: st.SearchStrategy[Frame] = st.sampled_from(
    (
        Text("Hello"),
        Text("Stop", turn="interrupt"),
        Text("By the way", turn="context"),
        CreateResponse(),
        CreateResponse(conversation="none"),
        Interrupt(),
        Audio(bytes(960)),
        ClearAudio(),
        CommitAudio(),
    )
)


@given(provider_scripts(max_size=12), st.lists(_FRAMES, min_size=12, max_size=12))
def test_through_the_server_every_session_keeps_the_grammar(
    anyio_backend: str, said: Any, pushed: list[Frame]
) -> None:
    async def script(peer: Peer) -> None:
        for burst in said:
            await peer.say(*map(_low, burst))
            await anyio.sleep(3 * TICK)
        await peer.drain()

    async def program() -> None:
        taps = list[Tap]()
        provider = scripted(script, replace(SCRIPTED, audio_out=(LOW,)))

        @asynccontextmanager
        async def tapped(plan: Plan) -> AsyncGenerator[Link]:
            async with here.dial(plan) as link:
                taps.append(Tap(link))
                yield taps[-1]

        async with serve(provider, port=None) as here:
            events = list[RealtimeEvent]()
            async with (
                open_session(ours(tapped), retry=Recurs(1)) as session,
                beside() as tasks,
            ):
                tasks.start_soon(_taken, session, events)
                for frame in pushed:
                    with suppress(RealtimeException):
                        await session.send(frame)
                    await anyio.sleep(4 * TICK)
            await _taken(session, events)
            assert check_trace(events, complete=True) == []

    run(program, backend=anyio_backend)


def _low(event: RealtimeEvent) -> RealtimeEvent:
    return replace(event, format=LOW) if isinstance(event, AudioOutput) else event


async def _taken(session: RealtimeSession[Frame], events: list[RealtimeEvent]) -> None:
    async for event in session.events():
        events.append(event)  # noqa: PERF401 - so far, whenever it ends


# --- a script ---------------------------------------------------------------------------------


def scripting(
    backend: str,
    script: Callable[[Caller], Awaitable[None]],
    talk: Callable[[Loopback], Awaitable[None]],
    **how: Any,
) -> None:
    """Let a test talk with a scripted server, on virtual time."""

    async def program() -> None:
        async with loopback(script, port=None, **how) as here:
            await talk(here)

    run(program, backend=backend)


async def obey(caller: Caller) -> None:
    """Answer every request, until the client is gone."""
    while True:
        await caller.until(client.Create)
        await caller.answer("Hello there.", pcm=SECOND)


def by_hand(*events: Fields, last: str = "") -> Callable[[Loopback], Awaitable[None]]:
    """Say these things over one connection, and wait for an event."""

    async def talk(here: Loopback) -> None:
        async with here.dial(PLAN) as link:
            one = Client(link)
            for event in events:
                await one.say(event)
            if last:
                await one.until(last)

    return talk


def test_a_script_answers_a_session_of_ours(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        assert isinstance(await caller.next(), client.UpdateSession)
        assert caller.session["instructions"] == "Be kind."
        await caller.until(client.Create)
        await caller.answer(calls=[("weather", {"city": "Paris"})])
        await caller.until(client.Create)
        await caller.answer("It rains.", pcm=SECOND, usage=Usage(output_tokens=7))
        await anyio.sleep(1.5)
        await caller.hear_user("Thank you", at_ms=10, to_ms=90)
        await caller.next()

    async def talk(here: Loopback) -> None:
        tools = (ToolSpec("weather"),)
        opening = open_session(ours(here.dial), instructions="Be kind.", tools=tools)
        async with opening as session:
            await session.simple_response("How is the weather?")
            async for event in session.events():
                if isinstance(event, ToolCall):
                    assert event.arguments == '{"city":"Paris"}'
                    await session.send(ToolResult(event.call, "rain"))
                if isinstance(event, UserTranscript) and event.final:
                    assert event.text == "Thank you"
                    break
            said = [message.text for message in session.history]
            assert said[-2:] == ["It rains.", "Thank you"]

    scripting(anyio_backend, script, talk)


def test_an_answer_stops_at_a_cancel_after_stale_pieces(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("One two three four", pcm=SECOND * 4, pieces=8, pace=0.25, stale=2)
        await caller.next()

    async def talk(here: Loopback) -> None:
        async with here.dial(PLAN) as link:
            one = Client(link)
            await one.say(CREATE)
            for _ in range(3):
                await one.until("response.output_audio.delta")
            await one.say(CANCEL)
            done = await one.until("response.done")
            assert done["response"]["status"] == "cancelled"
            assert one.grammar.types.count("response.output_audio.delta") == 5
        async with open_session(ours(here.dial)) as session:
            await session.simple_response("Hi")
            events = session.events()
            while not isinstance(event := await anext(events), AudioOutput):
                pass
            await session.interrupt()
            while not isinstance(event := await anext(events), ResponseDone):
                assert not isinstance(event, AudioOutput)
            assert (event.status, event.by_provider) == ("cancelled", True)

    scripting(anyio_backend, script, talk)


def test_a_script_can_let_the_user_cut_in(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(caller.answer, "One two", pcm=SECOND, pace=0.25))
            await anyio.sleep(0.6)
            await caller.barge_in(at_ms=600)
        await caller.barge_in()
        await caller.next()

    async def talk(here: Loopback) -> None:
        async with open_session(ours(here.dial)) as session:
            await session.simple_response("Hi")
            async for event in session.events():
                if isinstance(event, ResponseDone):
                    assert event.status == "interrupted"
                    break
            assert session.epoch == 1

    scripting(anyio_backend, script, talk)


def test_a_script_writes_and_breaks_off_where_it_likes(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("Hello.", status="incomplete")
        await caller.answer()
        await caller.next()

    async def talk(here: Loopback) -> None:
        async with here.dial(PLAN) as link:
            one = Client(link)
            await one.say(CREATE)
            done = await one.until("response.done")
            assert done["response"]["status"] == "incomplete"
            (said,) = done["response"]["output"]
            assert said["content"] == [{"type": "output_text", "text": "Hello."}]
            assert (await one.until("response.done"))["response"]["output"] == []

    scripting(anyio_backend, script, talk)


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ((CREATE, CREATE), "conversation_already_has_active_response"),
        (({"type": "no.such.event"},), "invalid_event"),
        ((truncation(1),), "item_truncate_invalid_item_id"),
        ((setting(foo=1),), "unknown_parameter"),
    ],
)
def test_a_client_that_breaks_the_rules_is_found_out(
    anyio_backend: str, events: tuple[Fields, ...], code: str
) -> None:
    async def script(caller: Caller) -> None:
        while True:
            await caller.next()

    talk = by_hand(*events, last="error")
    with pytest.raises(AssertionError, match=f"connection 0: {code}: "):
        scripting(anyio_backend, script, talk)
    scripting(anyio_backend, script, talk, allowed={code})


def test_messages_that_cross_are_no_mistakes(anyio_backend: str) -> None:
    scripting(anyio_backend, obey, by_hand(CANCEL, last="error"))


def test_what_the_script_raises_comes_out(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.next()
        raise ValueError("a slip")

    async def talk(here: Loopback) -> None:
        async with here.dial(PLAN) as link:
            one = Client(link)
            await one.say(HEARD)
            with pytest.raises(RealtimeException, match="the script failed"):
                await one.until("no more")

    with pytest.raises(ValueError, match="a slip"):
        scripting(anyio_backend, script, talk)


@pytest.mark.parametrize("code", [1001, 1008, 1011, 3000, 4000])
def test_a_script_closes_with_a_code(anyio_backend: str, code: int) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.UpdateSession)
        await caller.close(code, "because")

    async def talk(here: Loopback) -> None:
        async with open_session(ours(here.dial)) as session:
            end = (await session.outcome()).failure()
            assert end == closed(code, "because")

    scripting(anyio_backend, script, talk)


def test_a_script_breaks_off(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.UpdateSession)
        await caller.say()
        caller.abort()
        await caller.next()

    async def talk(here: Loopback) -> None:
        async with open_session(ours(here.dial)) as session:
            end = (await session.outcome()).failure()
            assert isinstance(end, Unavailable)

    scripting(anyio_backend, script, talk)


def test_a_script_says_what_no_server_says(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.UpdateSession)
        await caller.raw('{"type":"new.thing"}', b"{")
        late = server.AudioDelta(response_id="gone", item_id="gone", delta=b"\0\0")
        await caller.say(late, server.Fault(error=server.ErrorDetails(message="Odd.")))
        await caller.next()

    async def talk(here: Loopback) -> None:
        async with open_session(ours(here.dial)) as session:
            seen = list[str]()
            async for event in session.events():
                seen.append(type(event).__name__)
                if isinstance(event, Error) and "Odd." in event.error.what:
                    break
            assert "Unknown" in seen

    scripting(anyio_backend, script, talk)


def test_a_script_without_manners_says_everything_itself(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        assert isinstance(await caller.next(), client.Create)
        await caller.raw('{"type":"session.created","event_id":"e","session":{"type":"realtime"}}')
        await caller.next()

    async def talk(here: Loopback) -> None:
        async with here.dial(PLAN) as link:
            one = Client(link)
            await one.say({"type": "nonsense"}, CREATE)
            await one.until("session.created")
            assert one.grammar.types == ["session.created"]

    scripting(anyio_backend, script, talk, mirrored=False)


# --- sockets ----------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_clients_call_over_loopback() -> None:
    async with loopback(obey) as here:
        assert here.base_url == f"http://{here.host}:{here.port}/v1"
        dial = websocket(Endpoint(url=f"{here.url}?model=gpt-test"))
        async with open_session(ours(dial)) as session:
            await session.simple_response("Hi")
            async for event in session.events():
                if isinstance(event, Connected):
                    assert event.config.model == "gpt-test"
                if isinstance(event, ResponseDone):
                    break
        assert here.callers[0].path.endswith("?model=gpt-test")


@pytest.mark.anyio
async def test_a_provider_is_served_over_loopback() -> None:
    async def script(peer: Peer) -> None:
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        await spoken(peer, wish.request)
        await peer.say(ResponseDone(response=R, status="completed"))
        await peer.drain()

    async with serve(scripted(script)) as here:
        dial = websocket(Endpoint(url=f"{here.url}?model=mine"))
        async with dial(PLAN) as link:
            one = Client(link)
            assert (await one.until("session.created"))["session"]["model"] == "mine"
            await one.say(typed("Hi"), CREATE)
            await one.until("response.done")
        assert here.base_url.endswith("/v1")


@pytest.mark.anyio
@pytest.mark.parametrize("way", ["abort", "close"])
async def test_a_script_ends_a_socket(way: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.next()
        if way == "abort":
            caller.abort()
        else:
            await caller.close(4000, "invalid_request_error.invalid_model")

    async with loopback(script) as here, websocket(Endpoint(url=here.url))(PLAN) as link:
        one = Client(link)
        await one.say(HEARD)
        with pytest.raises(RealtimeException):
            await one.until("no more")


@pytest.mark.anyio
async def test_a_provider_that_is_none_is_told_at_once() -> None:
    with pytest.raises(RealtimeException, match="no provider named"):
        async with serve("no such provider"):
            pass
