"""The server: it speaks as the protocol sheet says, and the codec holds conversations with it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    PCM_16K,
    AgentTranscript,
    AudioFormat,
    AudioOutput,
    AudioOutputDone,
    CallId,
    Connected,
    Frame,
    Interrupted,
    ItemId,
    Message,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    Reconnected,
    Recurs,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    SessionConfig,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    ToolResult,
    ToolSpec,
    TurnDetection,
    Usage,
    UserTranscript,
    open_session,
)
from realtime_core.beside import beside
from realtime_core.frames import Audio, CommitAudio, CreateResponse, Text, UpdateSession, Video
from realtime_core.link import Wires
from realtime_core.plan import Plan, negotiate
from realtime_core.signals import Signal
from realtime_core.testing import run
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.scripted import SCRIPTED, Greeting, Peer, scripted
from realtime_openai import client_events as client
from realtime_openai import server_events as server
from realtime_openai.server.book import Reply, begin
from realtime_openai.server.desk import Desk
from realtime_qwen.models import capabilities
from realtime_qwen.server import AppendImage, Caller, Finish, Loopback, loopback, serve
from tests.providers.qwen.watching import MODELS, Client, at, items, waiting

Fields = dict[str, Any]
E = TypeVar("E", bound=RealtimeEvent)
NEWEST, NEW, OLD, _ = MODELS
models = pytest.mark.parametrize("model", MODELS)

SECOND = bytes(48_000)
JPEG = b"\xff\xd8\xff\xe0picture"
R, ITEM = ResponseId("r1"), ItemId("i1")


def plan(model: str) -> Plan:
    return negotiate(capabilities(model), SessionConfig(model=model)).unwrap()


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


def by_hand(
    backend: str,
    talk: Callable[[Client], Awaitable[None]],
    script: Callable[[Caller], Awaitable[None]] | None = None,
    model: str = NEW,
    **how: Any,
) -> Loopback:
    """Let a client by hand talk with a scripted server."""
    stages = list[Loopback]()

    async def calling(here: Loopback) -> None:
        stages.append(here)
        async with here.dial(plan(model)) as link:
            await talk(Client(link))

    scripting(backend, script or listen, calling, **how)
    return stages[0]


async def listen(caller: Caller) -> None:
    """Say nothing, until the client is gone."""
    while True:
        await caller.next()


async def greet(caller: Caller) -> None:
    """Answer everything in writing."""
    while True:
        await caller.until(client.Create)
        await caller.answer("Hello", usage=Usage(3, 2, 1))


def setting(**given: Any) -> Fields:
    return {"type": "session.update", "session": given}


def adding(**item: Any) -> Fields:
    return {"type": "conversation.item.create", "item": item}


def typed(text: str, role: str = "user", kind: str = "input_text") -> Fields:
    return adding(type="message", role=role, content=[{"type": kind, "text": text}])


def shown(image: bytes) -> Fields:
    return {"type": "input_image_buffer.append", "image": b64encode(image).decode()}


CREATE: Fields = {"type": "response.create"}
CANCEL: Fields = {"type": "response.cancel"}
FINISH: Fields = {"type": "session.finish"}
HEARD: Fields = {"type": "input_audio_buffer.append", "audio": b64encode(bytes(3_200)).decode()}
COMMIT: Fields = {"type": "input_audio_buffer.commit"}
CLEAR: Fields = {"type": "input_audio_buffer.clear"}
FUNCTION: Fields = {"type": "function", "function": {"name": "weather", "description": "It."}}


# --- what it says, by hand --------------------------------------------------------------------


def test_it_greets_as_the_recorded_session_does(anyio_backend: str) -> None:
    async def talk(one: Client) -> None:
        created = await one.until("session.created")
        assert created["session"] == {
            "object": "realtime.session",
            "model": OLD,
            "modalities": ["text", "audio"],
            "voice": "Cherry",
            "input_audio_format": "pcm16",
            "output_audio_format": "pcm24",
            "input_audio_transcription": {"model": "gummy-realtime-v1"},
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 800,
                "create_response": True,
                "interrupt_response": True,
            },
            "id": created["session"]["id"],
        }

    by_hand(anyio_backend, talk, model=OLD)


def test_settings_side_by_side_are_echoed(anyio_backend: str) -> None:
    async def talk(one: Client) -> None:
        await one.say(setting(voice=None, input_audio_transcription={"model": None}, seed=0))
        now = (await one.until("session.updated"))["session"]
        assert now["voice"] == "Tina"
        assert now["input_audio_transcription"] == {"model": "qwen3-asr-flash-realtime"}
        assert now["seed"] == 0
        await one.say(
            setting(
                modalities=["text"],
                voice="Ethan",
                input_audio_format="pcm",
                turn_detection={"type": "semantic_vad", "threshold": -0.5},
                tools=[FUNCTION],
            )
        )
        now = (await one.until("session.updated"))["session"]
        assert (now["voice"], now["modalities"], now["tools"]) == ("Ethan", ["text"], [FUNCTION])
        assert now["turn_detection"]["type"] == "semantic_vad"
        assert now["turn_detection"]["threshold"] == -0.5
        await one.say(setting(turn_detection=None, input_audio_transcription=None))
        now = (await one.until("session.updated"))["session"]
        assert "turn_detection" not in now
        assert "input_audio_transcription" not in now

    by_hand(anyio_backend, talk)


def test_settings_of_sound_by_direction_are_echoed(anyio_backend: str) -> None:
    slow = {"format": {"type": "pcm", "sample_rate": 8_000}}

    async def talk(one: Client) -> None:
        created = await one.until("session.created")
        assert created["session"]["audio"]["output"]["voice"] == "longanlingxin"
        assert "input_audio_format" not in created["session"]
        await one.say(setting(audio={"input": slow, "output": {"voice": "longyue"}}))
        now = (await one.until("session.updated"))["session"]
        assert now["audio"] == {
            "input": slow,
            "output": {"format": {"type": "pcm", "sample_rate": 24_000}, "voice": "longyue"},
        }

    here = by_hand(anyio_backend, talk, model=NEWEST)
    assert here.callers[0].desk.book.input_format.rate == 8_000


MISTAKES: list[tuple[str, Fields, str | None]] = [
    (NEW, {"type": "conversation.item.truncate", "item_id": "i"}, "type"),
    (NEW, {"type": "conversation.item.delete", "item_id": "i"}, "type"),
    (NEW, {"type": "output_audio_buffer.clear"}, "type"),
    (NEW, {"type": "no.such.event"}, "type"),
    (NEW, {**CANCEL, "response_id": "r"}, "response_id"),
    (NEW, {**CREATE, "response": {"metadata": {}}}, "response.metadata"),
    (NEW, {**CREATE, "response": {"modalities": ["smell"]}}, "response.modalities[0]"),
    (NEW, setting(output_modalities=["text"]), "session.output_modalities"),
    (NEW, setting(modalities=["audio"]), "session.modalities"),
    (NEW, setting(tool_choice="auto"), "session.tool_choice"),
    (NEW, setting(audio={"output": {"voice": "Tina"}}), "session.audio.output.voice"),
    (NEW, setting(input_audio_format="pcm", audio={}), "session.audio"),
    (NEW, setting(input_audio_format="opus"), "session.input_audio_format"),
    (NEW, setting(turn_detection={"type": "server_vad", "threshold": 2}), None),
    (NEW, setting(tools=[FUNCTION["function"]]), "session.tools[0].name"),
    (NEW, setting(tools=[FUNCTION], enable_search=True), "session.enable_search"),
    (NEW, setting(smooth_output=True), "session.smooth_output"),
    (NEWEST, setting(voice="Tina"), "session.voice"),
    (OLD, setting(turn_detection={"type": "semantic_vad"}), "session.turn_detection.type"),
    (OLD, setting(enable_search=True), "session.enable_search"),
    (OLD, setting(tools=[FUNCTION]), "session.tools"),
    (NEW, typed("", kind="input_image"), "item.content[0].type"),
    (NEW, adding(type="message", role="user", content=["Hi"]), "item.content[0].type"),
    (NEW, adding(type="function_call_output", call_id="c", output=""), "item.call_id"),
    (NEW, shown(JPEG), "image"),
]


@pytest.mark.parametrize(("model", "event", "param"), MISTAKES)
def test_what_the_service_refuses_breaks_the_rules(
    anyio_backend: str, model: str, event: Fields, param: str | None
) -> None:
    async def talk(one: Client) -> None:
        await one.say({**event, "event_id": "mine"})
        error = (await one.until("error"))["error"]
        assert (error["type"], error["event_id"]) == ("invalid_request_error", "")
        assert param is None or error["param"] == param

    with pytest.raises(AssertionError, match="connection 0: "):
        by_hand(anyio_backend, talk, model=model)


@pytest.mark.parametrize("wire", [b"{", b"[]", b'{"type":7}', b'{"type":"session.update"}'])
def test_what_cannot_be_read_breaks_the_rules(anyio_backend: str, wire: bytes) -> None:
    async def talk(one: Client) -> None:
        await one.link.send((wire,))
        await one.until("error")

    with pytest.raises(AssertionError, match="connection 0: "):
        by_hand(anyio_backend, talk)


def test_pictures_are_jpeg_small_and_behind_sound(anyio_backend: str) -> None:
    async def talk(one: Client) -> None:
        await one.say(HEARD, shown(JPEG), shown(b"\x89PNG"), shown(JPEG + bytes(256 * 1024)))
        assert "JPEG" in (await one.until("error"))["error"]["message"]
        assert "256 KB" in (await one.until("error"))["error"]["message"]

    here = by_hand(anyio_backend, talk, allowed={"invalid_value"})
    seen = [event for event in here.callers[0].received if isinstance(event, AppendImage)]
    assert seen[0].image == JPEG


def test_idle_answers_and_search_can_be_taken_back(anyio_backend: str) -> None:
    async def talk(session: RealtimeSession[Frame], told: Told) -> None:
        for idle, search in ((6_000, {"enable_source": True}), (None, True), (None, False)):
            turns = TurnDetection(idle_timeout_ms=idle)
            wish = SessionConfig(model=NEW, turn_detection=turns, options={"search": search})
            await session.send(UpdateSession(wish))
        await session.simple_response("Hi")
        await told.came(ResponseDone)

    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("Hello.")
        await caller.next()

    shown = conversing(anyio_backend, script, talk, NEW).callers[0].desk.book.own
    assert shown["turn_detection"] == {"type": "server_vad", "idle_timeout_ms": None}
    assert (shown["enable_search"], shown["search_options"]) == (False, {"enable_source": False})


def test_formats_stay_once_there_was_sound(anyio_backend: str) -> None:
    slow = {"input": {"format": {"type": "pcm", "sample_rate": 8_000}}}

    async def talk(one: Client) -> None:
        await one.say(HEARD, setting(audio=slow), setting(instructions="Be kind."))
        assert (await one.until("error"))["error"]["param"] == "session.audio"
        assert (await one.until("session.updated"))["session"]["instructions"] == "Be kind."

    by_hand(anyio_backend, talk, allowed={"invalid_value"})


def test_a_typed_turn_in_its_order(anyio_backend: str) -> None:
    async def talk(one: Client) -> None:
        mine = typed("Hi")
        mine["item"]["id"] = "mine"
        await one.say(mine, {**CREATE, "response": {"instructions": None, "modalities": ["text"]}})
        done = (await one.until("response.done"))["response"]
        assert one.types() == [
            "session.created",
            "conversation.item.created",
            "response.created",
            "response.output_item.added",
            "conversation.item.created",
            "response.content_part.added",
            "response.text.delta",
            "response.text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
        ]
        user, agent = (event["item"] for event in one.of("conversation.item.created"))
        assert user["id"] != "mine"
        assert (agent["role"], agent["status"]) == ("assistant", "in_progress")
        assert (done["status"], done["modalities"], done["voice"]) == (
            "completed",
            ["text"],
            "Tina",
        )
        assert done["output"][0]["content"] == [{"type": "text", "text": "Hello"}]
        assert done["usage"] == {
            "total_tokens": 5,
            "input_tokens": 3,
            "output_tokens": 2,
            "input_tokens_details": {
                "text_tokens": 2,
                "audio_tokens": 1,
                "image_tokens": 0,
                "cached_tokens": 0,
            },
            "output_tokens_details": {"text_tokens": 2, "audio_tokens": 0},
        }

    by_hand(anyio_backend, talk, greet)


def test_a_spoken_turn_in_its_order(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Append)
        await caller.hear_user("Hi", at_ms=10, to_ms=90)
        await caller.answer("Hello", pcm=SECOND, pieces=1)
        await caller.next()

    async def talk(one: Client) -> None:
        await one.say(HEARD)
        await one.until("response.done")
        written = "conversation.item.input_audio_transcription.completed"
        assert one.types(written, "conversation.item.input_audio_transcription.delta") == [
            "session.created",
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.created",
            "response.created",
            "response.output_item.added",
            "conversation.item.created",
            "response.content_part.added",
            "response.audio_transcript.delta",
            "response.audio.delta",
            "response.audio.done",
            "response.audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
        ]
        (said,) = one.of(written)
        assert said["transcript"] == "Hi"
        assert "usage" not in said

    by_hand(anyio_backend, talk, script)


def test_of_parallel_calls_all_but_the_first_come_whole(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer(calls=[("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})])
        await caller.next()

    async def talk(one: Client) -> None:
        await one.say(setting(tools=[FUNCTION]), CREATE)
        await one.until("response.done")
        assert len(one.of("response.function_call_arguments.delta")) == 1
        first, second = one.of("response.function_call_arguments.done")
        assert (first["name"], second["name"]) == ("weather", "weather")
        assert json.loads(second["arguments"]) == {"city": "Rome"}
        assert (first["output_index"], second["output_index"]) == (0, 1)

    by_hand(anyio_backend, talk, script)


def test_a_cancel_names_nothing(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("One two three four", pcm=SECOND * 4, pieces=8, pace=0.25, stale=2)
        await caller.next()

    async def talk(one: Client) -> None:
        await one.say(CANCEL)
        assert (await one.until("error"))["error"]["type"] == "invalid_request_error"
        await one.say(CREATE)
        for _ in range(3):
            await one.until("response.audio.delta")
        await one.say(CANCEL)
        assert (await one.until("response.done"))["response"]["status"] == "cancelled"
        assert len(one.of("response.audio.delta")) == 5

    by_hand(anyio_backend, talk, script)


@pytest.mark.parametrize("model", [NEWEST, NEW])
def test_who_has_said_all_gets_the_answer_and_a_farewell(anyio_backend: str, model: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("One two", pcm=SECOND, pace=0.25)
        await caller.next()
        await caller.next()

    async def talk(one: Client) -> None:
        await one.say(CREATE, FINISH)
        await one.until("response.done")
        with pytest.raises(anyio.EndOfStream):
            await one.until("no more")
        assert len(one.of("session.finished")) == (model == NEW)

    here = by_hand(anyio_backend, talk, script, model)
    assert isinstance(here.callers[0].received[-1], Finish)


def test_who_leaves_before_the_answer_ends_is_gone(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.say(ResponseStarted(response=R, request=waiting(caller)))
        await caller.until(Finish)
        with pytest.raises(anyio.EndOfStream):
            await caller.next()
        ended.append(caller.number)

    async def talk(one: Client) -> None:
        await one.say(CREATE)
        await one.until("response.created")
        await one.say(FINISH)
        await anyio.sleep(1)
        await one.link.send_eof()
        await anyio.sleep(1)
        assert ended == [0]

    ended = list[int]()
    by_hand(anyio_backend, talk, script)


def test_a_server_without_manners_says_no_farewell(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(Finish)
        await caller.say(server.TextDelta(response_id="r", item_id="i", delta="Hi"))
        await caller.say(server.RateLimitsUpdated())

    async def talk(one: Client) -> None:
        await one.say({"type": "nonsense"}, FINISH)
        with pytest.raises(anyio.EndOfStream):
            await one.until("no more")
        assert one.types() == ["response.text.delta"]

    by_hand(anyio_backend, talk, script, mirrored=False)


# --- sessions of the codec --------------------------------------------------------------------


class Told:
    """What a session tells, as it comes."""

    def __init__(self) -> None:
        self.events: list[RealtimeEvent] = []
        self._more = Signal()

    async def take(self, session: RealtimeSession[Frame]) -> None:
        async for event in session.events():
            self.events.append(event)
            self._more.give()

    async def came(self, kind: type[E], count: int = 1) -> list[E]:
        """Wait until so many events of a kind were told; gives all of them so far."""
        while True:
            found: list[E] = [event for event in self.events if isinstance(event, kind)]
            if len(found) >= count:
                return found
            await self._more.wait()


Talk = Callable[[RealtimeSession[Frame], Told], Awaitable[None]]


def conversing(
    backend: str,
    script: Callable[[Caller], Awaitable[None]],
    talk: Talk,
    model: str = NEW,
    config: SessionConfig | None = None,
) -> Loopback:
    """Let a session talk with a scripted server, and check all that it tells."""
    stages, told = list[Loopback](), Told()

    async def calling(here: Loopback) -> None:
        stages.append(here)
        settings = replace(config or SessionConfig(), model=model, retry=Recurs(1))
        async with open_session(at(here.dial, model), settings) as session, beside() as tasks:
            tasks.start_soon(told.take, session)
            await talk(session, told)
        assert not check_trace(told.events)

    scripting(backend, script, calling)
    return stages[0]


@models
def test_typed_turns_in_every_form(anyio_backend: str, model: str) -> None:
    config = SessionConfig(
        instructions="Be kind.",
        temperature=0.5,
        max_output_tokens=100,
        turn_detection=TurnDetection(threshold=0.5, silence_ms=100, prefix_ms=200),
    )

    async def script(caller: Caller) -> None:
        for _ in range(2):
            await caller.until(client.Create)
            await caller.answer("Hello", usage=Usage(3, 2, 1))
        await caller.until(client.UpdateSession)
        assert caller.session["instructions"] == "Be brief."
        await caller.answer("As you like.")
        await caller.next()

    async def talk(session: RealtimeSession[Frame], told: Told) -> None:
        for count in (1, 2):
            await session.simple_response("Hi")
            done = (await told.came(ResponseDone, count))[-1]
            assert done.usage == Usage(3, 2, 1)
        assert session.history[-1].text == "Hello"
        (connected,) = await told.came(Connected)
        assert connected.config.model == model
        await session.send(UpdateSession(replace(session.config, instructions="Be brief.")))
        await told.came(ResponseDone, 3)

    conversing(anyio_backend, script, talk, model, config)


@pytest.mark.parametrize("mode", ["server", "semantic", "manual"])
def test_spoken_turns(anyio_backend: str, mode: Any) -> None:
    async def script(caller: Caller) -> None:
        if mode == "manual":
            await caller.until(client.Commit)
            await caller.until(client.Create)
            await caller.say(UserTranscript(text="Hi there", final=True))
        else:
            await caller.until(client.Append)
            await caller.hear_user("Hi there", at_ms=0, to_ms=100)
        await caller.answer("Hello", pcm=SECOND)
        await anyio.sleep(1.5)
        await caller.answer("Are you still there?", pcm=SECOND)
        await caller.next()

    async def talk(session: RealtimeSession[Frame], told: Told) -> None:
        await session.send(Audio(bytes(3_200), PCM_16K))
        if mode == "manual":
            await session.send(CommitAudio())
            await session.send(CreateResponse())
        done = await told.came(ResponseDone, 2)  # the second, nobody has asked for
        assert {one.status for one in done} == {"completed"}
        (said,) = [one for one in await told.came(UserTranscript) if one.final]
        assert said.text == "Hi there"
        samples = sum(len(event.pcm) // 2 for event in await told.came(AudioOutput))
        assert samples == 48_000

    config = SessionConfig(turn_detection=TurnDetection(mode=mode))
    conversing(anyio_backend, script, talk, config=config)


@pytest.mark.parametrize("model", [NEWEST, NEW])
def test_a_round_of_parallel_tools(anyio_backend: str, model: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer(calls=[("weather", {"city": "Paris"}), ("weather", {"city": "Rome"})])
        await caller.until(client.Create)
        assert items(caller)[-2:] == [("output", "rain"), ("output", "sun")]
        await caller.answer("Rain, and sun.")
        await caller.next()

    async def talk(session: RealtimeSession[Frame], told: Told) -> None:
        await session.simple_response("How is the weather?")
        for call, text in zip(await told.came(ToolCall, 2), ("rain", "sun"), strict=True):
            await session.send(ToolResult(call.call, text))
        await told.came(ResponseDone, 2)
        assert session.history[-1].text == "Rain, and sun."

    config = SessionConfig(tools=(ToolSpec("weather"),))
    here = conversing(anyio_backend, script, talk, model, config)
    assert len([one for one in here.callers[0].received if isinstance(one, client.Create)]) == 2


def test_a_picture_goes_behind_sound(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        seen = await caller.until(AppendImage)
        assert isinstance(seen, AppendImage)
        assert seen.image == JPEG
        assert isinstance(await caller.next(), client.Append)
        await caller.until(client.Create)
        await caller.answer("A cat.")
        await caller.next()

    async def talk(session: RealtimeSession[Frame], told: Told) -> None:
        await session.send(Video(JPEG, "image/jpeg"))
        await session.send(Audio(bytes(3_200), PCM_16K))
        await session.send(CommitAudio())
        await session.send(CreateResponse())
        await told.came(ResponseDone)

    config = SessionConfig(turn_detection=TurnDetection(mode="manual"))
    here = conversing(anyio_backend, script, talk, NEWEST, config)
    assert isinstance(here.callers[0].received[1], client.Append), "silence, as there was none"


def test_talking_over_an_answer_cuts_it(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Append)
        request, stale = waiting(caller), AudioFormat()
        words = AgentTranscript(response=R, item=ITEM, text="Once upon", final=False)
        sound = AudioOutput(response=R, item=ITEM, pcm=SECOND, format=stale)
        await caller.say(ResponseStarted(response=R, request=request), words, sound)
        await anyio.sleep(0.5)
        await caller.say(SpeechStarted(audio_ms=500), Interrupted(cause="provider", fenced=(R,)))
        await anyio.sleep(0.1)
        await caller.say(sound, ResponseDone(response=R, status="cancelled"))
        await caller.say(SpeechStopped(audio_ms=900), UserTranscript(text="Stop", final=True))
        await caller.answer("Fine.")
        await caller.next()

    async def talk(session: RealtimeSession[Frame], told: Told) -> None:
        await session.send(Audio(bytes(3_200), PCM_16K))
        cut, _ = await told.came(ResponseDone, 2)
        assert cut.status == "interrupted"
        (rise,) = await told.came(Interrupted)
        assert rise.cause == "provider"
        assert len(await told.came(AudioOutput)) == 1, "what came later is stale"
        assert session.history[-1].text == "Fine."

    conversing(anyio_backend, script, talk)


def test_a_button_cuts_an_answer(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("One two three four", pcm=SECOND * 4, pieces=8, pace=0.25, stale=2)
        await caller.until(client.Create)
        await caller.answer("Fine.")
        await caller.next()

    async def talk(session: RealtimeSession[Frame], told: Told) -> None:
        await session.simple_response("Count")
        await told.came(AudioOutput, 2)
        await session.interrupt()
        heard = len(await told.came(AudioOutput))
        await session.simple_response("And?")
        cut, _ = await told.came(ResponseDone, 2)
        assert (cut.status, cut.by_provider) == ("cancelled", True)
        assert len(await told.came(AudioOutput)) == heard

    here = conversing(anyio_backend, script, talk)
    assert [one for one in here.callers[0].received if isinstance(one, client.Cancel)]


def test_earlier_turns_are_told(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        assert items(caller)[0] == ("user", "I am Ann.")
        assert "Hello, Ann." in items(caller)[1][1]
        await caller.answer("You are Ann.")
        await caller.next()

    async def talk(session: RealtimeSession[Frame], told: Told) -> None:
        await session.simple_response("Who am I?")
        await told.came(ResponseDone)

    history = (Message("user", "I am Ann."), Message("assistant", "Hello, Ann."))
    conversing(anyio_backend, script, talk, config=SessionConfig(history=history))


@models
def test_a_conversation_goes_on_over_a_new_connection(anyio_backend: str, model: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("Hello")
        if caller.number == 0:
            caller.abort()
        await caller.next()

    async def talk(session: RealtimeSession[Frame], told: Told) -> None:
        await session.simple_response("Hi")
        (again,) = await told.came(Reconnected)
        assert (again.restored, again.conn) == ("history", 1)
        await session.simple_response("And now?")
        await told.came(ResponseDone, 2)

    here = conversing(anyio_backend, script, talk, model)
    assert isinstance(here.callers[1].received[0], client.UpdateSession)
    assert [text for _, text in items(here.callers[1])][::2] == ["Hi", "And now?"]


# --- a session of any provider ----------------------------------------------------------------


def test_a_provider_is_served(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        config = greeting.config
        assert (config.voice, config.instructions) == ("joe", "Be kind.")
        assert (config.tools[0].name, config.turn_detection.mode) == ("weather", "manual")
        assert config.history == (Message("user", "Hi"), Message("assistant", "Hello"))
        heard = await peer.next()
        assert isinstance(heard, Audio)
        assert heard.format == PCM_16K
        assert await peer.next() == Video(JPEG, "image/jpeg")
        assert isinstance(await peer.next(), CommitAudio)
        wish = await peer.next()
        assert isinstance(wish, CreateResponse)
        assert wish.instructions == "Quick."
        await peer.say(
            ResponseStarted(response=R, request=wish.request),
            ToolCall(response=R, call=CallId("c"), name="weather", arguments="{}"),
            ResponseDone(response=R, status="completed"),
        )
        assert await peer.until(ToolResult) == ToolResult(CallId("c"), "rain")
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        id = ResponseId("r2")
        await peer.say(
            ResponseStarted(response=id, request=wish.request),
            AgentTranscript(response=id, item=ITEM, text="It rains.", final=True),
            AudioOutput(response=id, item=ITEM, pcm=SECOND, format=AudioFormat()),
            AudioOutputDone(response=id, item=ITEM),
            ResponseDone(response=id, status="completed"),
        )
        change = await peer.until(UpdateSession)
        assert isinstance(change, UpdateSession)
        assert change.config.modalities == ("text",)
        await peer.say(ResponseText(response=id, item=ITEM, text="late", is_complete=True))
        await peer.drain()

    async def program() -> None:
        able = replace(SCRIPTED, voices=("joe",), audio_in=(PCM_16K,))
        async with (
            serve(scripted(script, able), port=None) as here,
            here.dial(plan(NEW)) as link,
        ):
            one = Client(link)
            await one.say(
                setting(
                    voice="nobody",
                    instructions="Be kind.",
                    tools=[FUNCTION],
                    turn_detection=None,
                    temperature=1,
                )
            )
            updated = await one.until("session.updated")
            assert updated["session"]["voice"] == "joe", "there is no other here"
            wish = {**CREATE, "response": {"instructions": "Quick."}}
            await one.say(typed("Hi"), typed("Hello", "assistant", "text"))
            await one.say(HEARD, shown(JPEG), COMMIT, wish)
            await one.until("response.done")
            await one.say(adding(type="function_call_output", call_id="c", output="rain"), CREATE)
            done = await one.until("response.done")
            said = done["response"]["output"][0]["content"]
            assert said == [{"type": "audio", "transcript": "It rains."}]
            await one.say(setting(modalities=["text"], voice="joe"))
            await one.until("session.updated")
            await one.say(CLEAR, FINISH)
            await one.until("session.finished")

    run(program, backend=anyio_backend)


def test_a_session_that_cannot_be_had_is_told(anyio_backend: str) -> None:
    async def program() -> None:
        provider = scripted(listen_to, replace(SCRIPTED, manual_turns=False))
        async with serve(provider, port=None) as here, here.dial(plan(NEW)) as link:
            one = Client(link)
            await one.say(setting(turn_detection=None, seed=1))
            assert (await one.until("error"))["error"]["param"] == "turn_detection.mode"
            await one.say(setting(top_k=1))
            updated = await one.until("session.updated")
            assert "seed" not in updated["session"], "what was refused does not hold"
            assert updated["session"]["turn_detection"]["type"] == "server_vad"

    async def listen_to(peer: Peer) -> None:
        await peer.drain()

    run(program, backend=anyio_backend)


def test_our_own_client_holds_a_conversation_through_the_server(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        assert await peer.until(Text) == Text("Hi", "user", "context")
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        await peer.say(
            ResponseStarted(response=R, request=wish.request),
            ResponseText(response=R, item=ITEM, text="Hello", is_complete=True),
            ResponseDone(response=R, status="completed"),
        )
        await peer.drain()

    async def program() -> None:
        async with (
            serve(scripted(script), port=None) as here,
            open_session(at(here.dial)) as session,
        ):
            await session.simple_response("Hi")
            async for event in session.events():
                if isinstance(event, ResponseDone):
                    break
            assert session.history[-1].text == "Hello"

    run(program, backend=anyio_backend)


@pytest.mark.anyio
async def test_a_provider_that_is_none_is_told_at_once() -> None:
    with pytest.raises(RealtimeException, match="no provider named"):
        async with serve("no such provider"):
            pass


def test_a_client_that_leaves_while_its_server_is_cancelled_leaves_alone(
    anyio_backend: str,
) -> None:
    """On trio its end and the cancellation come together; neither hides the other."""

    class Leaving:
        def __init__(self, scope: anyio.CancelScope) -> None:
            self._scope = scope

        async def receive(self) -> Wires:
            await anyio.wait_all_tasks_blocked()
            self._scope.cancel()
            raise anyio.EndOfStream

        async def send(self, item: Wires) -> None:
            raise AssertionError(item)

        async def close(self, code: int = 1000, reason: str = "") -> None:
            raise AssertionError(code)

        def abort(self) -> None:
            raise AssertionError

    async def program() -> None:
        with anyio.CancelScope() as scope:
            desk = Desk(Leaving(scope), replace(begin("0", "m", "v"), finishing=True))
            desk.book = replace(desk.book, replies={ResponseId("r"): Reply()})
            with suppress(anyio.EndOfStream):
                await desk.receive()

    run(program, backend=anyio_backend)
