"""The server: scripts that judge their clients, and sessions of any provider served to them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from websockets.sync.client import connect

from realtime_core import (
    AgentTranscript,
    AudioFormat,
    AudioOutput,
    AuthFailed,
    CallId,
    CreateResponse,
    Error,
    Frame,
    InvalidRequest,
    ItemId,
    Message,
    RealtimeError,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    Reconnected,
    Recurs,
    RequestId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    SessionConfig,
    SessionExpired,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Unavailable,
    UserTranscript,
    open_session,
)
from realtime_core.beside import beside
from realtime_core.frames import Audio, Interrupt, Video
from realtime_core.link import Dial, Link
from realtime_core.plan import negotiate
from realtime_core.provider import Provider
from realtime_core.testing import TICK, run
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.scripted import SCRIPTED, Greeting, Peer, scripted
from realtime_core.testing.strategies import provider_scripts
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_core.transports.websocket_server import Request, Response
from realtime_gemini.codec import GeminiCodec, agree
from realtime_gemini.failures import closed
from realtime_gemini.models import capabilities
from realtime_gemini.server import Caller, Loopback, Served, loopback, serve
from realtime_gemini.server_messages import ServerContent, ServerMessage, UsageMetadata

Fields = dict[str, Any]

MODEL = "gemini-3.8-live"
PLAN = negotiate(SCRIPTED, SessionConfig()).unwrap()
SETUP = {"model": f"models/{MODEL}"}
R, R2 = ResponseId("r1"), ResponseId("r2")
ITEM = ItemId("i1")
TONE = bytes(range(256)) * 40
SECOND = bytes(48_000)


def ours(dial: Dial, model: str = MODEL) -> Provider[Frame]:
    """Our own client of the protocol, at the other end of this dial."""
    return Provider("gemini", capabilities(model), GeminiCodec(), dial, agree=agree)


class Client:
    """A client by hand: says what the test says."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.heard: list[Fields] = []
        self._unread: list[Fields] = []

    async def say(self, *messages: Fields) -> None:
        await self.link.send(tuple(json.dumps(message) for message in messages))

    async def begin(self, **setup: Any) -> Any:
        await self.say({"setup": {**SETUP, **setup}})
        return await self.until("setupComplete")

    async def next(self) -> Fields:
        while not self._unread:
            wires = await self.link.receive()
            self._unread += [json.loads(w) for w in wires if isinstance(w, str | bytes)]
        message = self._unread.pop(0)
        self.heard.append(message)
        return message

    async def until(self, name: str) -> Any:
        """Wait for a field, in a message or in its content."""
        while True:
            message = await self.next()
            for place in (message, message.get("serverContent", {})):
                if name in place:
                    return place[name]

    async def closed(self) -> RealtimeError:
        """Wait until the server has closed, and give how."""
        try:
            while True:
                await self.next()
        except RealtimeException as end:
            return end.error


def typed(*said: tuple[str, str], complete: bool = True) -> Fields:
    contents = [{"role": role, "parts": [{"text": text}]} for role, text in said]
    return {"clientContent": {"turns": contents, "turnComplete": complete}}


def result(id: str, text: str) -> Fields:
    one = {"id": id, "name": "look", "response": {"output": text}}
    return {"toolResponse": {"functionResponses": [one]}}


def streamed(**given: Any) -> Fields:
    return {"realtimeInput": given}


SOUND = streamed(audio={"data": "AAAA", "mimeType": "audio/pcm;rate=16000"})
PICTURE = streamed(video={"data": "/9j/", "mimeType": "image/jpeg"})


# --- scripts ----------------------------------------------------------------------------------


def staged(
    backend: str,
    script: Callable[[Caller], Awaitable[None]],
    talk: Callable[[Client], Awaitable[None]],
    **options: Any,
) -> Loopback:
    """Let a client by hand talk with a script, on virtual time; gives the stage, not judged."""
    stages = list[Loopback]()

    async def program() -> None:
        async with loopback(script, port=None, **options) as here:
            stages.append(here)
            async with here.dial(PLAN) as link:
                await talk(Client(link))

    run(program, backend=backend)
    return stages[0]


def test_a_script_hears_everything_and_says_whatever_it_likes(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        assert (caller.number, caller.setup.model) == (0, "models/gemini-3.8-live")
        assert await caller.until("realtime_input.audio.data") == bytes(3)
        assert await caller.turn() == "Hi"
        assert await caller.turn() == "And?"
        await caller.answer("Hello", pieces=2, thought="Hm.", complete=False)
        await caller.complete(UsageMetadata(total_token_count=3), status="IDLE")
        both = ServerContent(generation_complete=True, turn_complete=True)
        await caller.say(ServerMessage(server_content=both))
        await caller.complete(reason="MALFORMED_FUNCTION_CALL")
        await caller.handle("h")
        await caller.handle(resumable=False)
        await caller.hear_user("a", "b", start="0.5s", end="1s")
        await caller.go_away(2.5)
        await caller.raw('{"surprise":1}')
        assert len(caller.received) == 4

    async def talk(one: Client) -> None:
        assert await one.begin() == {}
        await one.say(SOUND, streamed(text="Hi"), typed(("user", "And?")))
        for _ in range(15):
            await one.next()
        assert [[*message] for message in one.heard[-3:]] == [
            ["voiceActivity"],
            ["goAway"],
            ["surprise"],
        ]
        contents = [one["serverContent"] for one in one.heard if "serverContent" in one]
        thought, *texts = (c["modelTurn"]["parts"][0] for c in contents[:3])
        assert (thought, texts) == (
            {"text": "Hm.", "thought": True},
            [{"text": "He"}, {"text": "llo"}],
        )
        assert contents[3:7] == [
            {"generationComplete": True},
            {"turnComplete": True, "interactionStatus": "IDLE"},
            {"generationComplete": True, "turnComplete": True},
            {"turnComplete": True, "turnCompleteReason": "MALFORMED_FUNCTION_CALL"},
        ]

    assert staged(anyio_backend, script, talk).violations == []


def test_an_answer_may_be_cut_with_more_of_it_still_on_its_way(anyio_backend: str) -> None:
    whole = list[bool]()

    async def script(caller: Caller) -> None:
        await caller.turn()
        whole.append(await caller.answer("abcdef", pcm=TONE, pieces=6, pace=0.5, stale=2))
        await caller.turn()
        whole.append(await caller.answer("x", pcm=TONE, pieces=1, together=True))
        await caller.next()

    async def talk(one: Client) -> None:
        await one.begin(outputAudioTranscription={})
        await one.say(typed(("user", "Hi")))
        await one.until("modelTurn")
        await one.say(typed(("user", "Stop"), complete=True))
        await one.until("turnComplete")
        words = [
            message["serverContent"]["outputTranscription"]["text"]
            for message in one.heard
            if "outputTranscription" in message.get("serverContent", {})
        ]
        assert words == ["a", "b", "c"]
        kinds = [[*message.get("serverContent", {})] for message in one.heard[-2:]]
        assert kinds == [["interrupted"], ["turnComplete"]]
        await one.say(streamed(text="Go on"))
        together = await one.next()
        assert {*together["serverContent"]} == {"modelTurn", "outputTranscription"}
        await one.until("turnComplete")

    staged(anyio_backend, script, talk)
    assert whole == [False, True]


def test_who_wants_no_interruption_hears_an_answer_to_its_end(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.turn()
        assert await caller.answer("ab", pcm=TONE, pieces=2, pace=0.5)
        await caller.next()

    async def talk(one: Client) -> None:
        await one.begin(realtimeInputConfig={"activityHandling": "NO_INTERRUPTION"})
        await one.say(typed(("user", "Hi")), typed(("user", "Stop")))
        await one.until("turnComplete")
        assert not any("interrupted" in one.get("serverContent", {}) for one in one.heard)
        assert not any("outputTranscription" in one.get("serverContent", {}) for one in one.heard)

    staged(anyio_backend, script, talk)


def test_calls_are_made_and_taken_back(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        one, two = await caller.call(("look", {"a": 1}), ("look", {}))
        (first,) = await caller.results(one)
        assert first.response == {"output": "1"}
        await caller.cancel(two)
        await caller.turn()

    async def talk(one: Client) -> None:
        await one.begin()
        calls = (await one.until("toolCall"))["functionCalls"]
        assert [call["args"] for call in calls] == [{"a": 1}, {}]
        await one.say(result(calls[0]["id"], "1"))
        cancelled = await one.until("toolCallCancellation")
        assert cancelled == {"ids": [calls[1]["id"]]}
        await one.say(result(calls[1]["id"], "late"), streamed(text="Hi"))

    assert staged(anyio_backend, script, talk).violations == []


def test_a_mistake_closes_the_connection_and_is_remembered(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.turn()
        raise AssertionError("the client was to be gone")

    async def talk(one: Client) -> None:
        await one.begin()
        await one.say({"clientContent": {}, "realtimeInput": {}})
        error = await one.closed()
        assert error.code == "1007"
        assert "one field" in error.what

    with pytest.raises(AssertionError, match="connection 0: 1007: A message has one field"):
        staged(anyio_backend, script, talk)

    async def rude(one: Client) -> None:
        await one.say(SOUND)
        assert (await one.closed()).code == "1007"

    with pytest.raises(AssertionError, match="must be the first"):
        staged(anyio_backend, script, rude)


def test_without_a_mirror_nothing_is_judged(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        await caller.until("realtime_input")
        await caller.welcome()
        await caller.answer("Hello", pcm=TONE, pieces=1)

    async def bare(caller: Caller) -> None:
        await caller.until("realtime_input")
        await caller.answer("Hello", pcm=TONE, pieces=1)

    async def rude(one: Client) -> None:
        await one.say(SOUND)
        assert (await one.until("outputTranscription"))["text"] == "Hello"

    async def polite(one: Client) -> None:
        await one.say({"setup": {"model": "m", "outputAudioTranscription": {}}}, SOUND)
        await one.until("setupComplete")
        assert (await one.until("outputTranscription"))["text"] == "Hello"

    staged(anyio_backend, script, polite, mirrored=False, welcome=False)
    stage = staged(anyio_backend, bare, rude, mirrored=False, welcome=False)
    assert stage.violations == []


def test_what_a_script_raises_comes_out(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        raise LookupError("mine")

    async def talk(one: Client) -> None:
        await one.begin()
        assert isinstance(await one.closed(), Unavailable)

    with pytest.raises(LookupError, match="mine"):
        staged(anyio_backend, script, talk)


def test_a_script_may_refuse_a_handle_or_take_a_session_up_with_its_calls(
    anyio_backend: str,
) -> None:
    async def script(caller: Caller) -> None:
        setup = await caller.until("setup")
        assert setup == caller.setup
        if caller.resumed == "old":
            await caller.close(1008, "BidiGenerateContent session not found.")
            return
        await caller.welcome("s")
        if caller.number == 0:
            await caller.handle("h1")
            await caller.call(("look", {}))
            await caller.next()
        assert caller.resumed == "h1"
        await caller.results("call_0_1")

    async def program() -> None:
        async with loopback(script, port=None, welcome=False) as here:
            async with here.dial(PLAN) as link:
                one = Client(link)
                assert await one.begin(sessionResumption={}) == {"sessionId": "s"}
                await one.until("toolCall")
            async with here.dial(PLAN) as link:
                one = Client(link)
                await one.say({"setup": {**SETUP, "sessionResumption": {"handle": "old"}}})
                assert (await one.closed()).code == "1008"
            async with here.dial(PLAN) as link:
                one = Client(link)
                await one.begin(sessionResumption={"handle": "h1"})
                await one.say(result("call_0_1", "lost"))
                with pytest.raises(anyio.EndOfStream):
                    await one.closed()

    run(program, backend=anyio_backend)


# --- over sockets -----------------------------------------------------------------------------


@asynccontextmanager
async def dialled(url: str) -> AsyncGenerator[Client]:
    endpoint = websocket(Endpoint(url=url, failure=closed))
    async with endpoint(PLAN) as link:
        yield Client(link)


@pytest.mark.anyio
async def test_messages_are_binary_unless_a_script_wants_it_otherwise() -> None:
    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.answer("a", pieces=1, complete=False)
        caller.write(text=True, snake=True, empty=True)
        await caller.call(("look", {"someCity": "Rome"}))
        await caller.raw("{}", b"{}")

    def talk(url: str) -> list[str | bytes]:
        with connect(url) as socket:
            socket.send(json.dumps({"setup": SETUP}))
            socket.recv()
            socket.send(json.dumps(streamed(text="Hi")))
            return list(socket)

    async with loopback(script) as here:
        said = await anyio.to_thread.run_sync(talk, here.url)
    assert said[0] == b'{"serverContent":{"modelTurn":{"parts":[{"text":"a"}],"role":"model"}}}'
    assert said[2:] == [
        "{}",
        '{"tool_call":{"function_calls":[{"name":"look","args":{"someCity":"Rome"},"id":"call_0_1"}]}}',
        "{}",
        b"{}",
    ]


@pytest.mark.anyio
async def test_a_connection_ends_as_the_script_says() -> None:
    async def script(caller: Caller) -> None:
        if "drop" in caller.request.path:
            caller.drop()
        await caller.close(1011, "Internal error encountered.")

    async with loopback(script) as here:
        for path, code in (("", "1011"), ("?drop", "1006")):
            async with dialled(here.url + path) as one:
                await one.say({"setup": SETUP})
                error = await one.closed()
                assert isinstance(error, Unavailable)
                assert error.code == code
        assert here.base_url == f"http://127.0.0.1:{here.served.port}"


async def http(here: Served, request: str, body: bytes = b"") -> tuple[int, Any]:
    head = f"{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    async with await anyio.connect_tcp(here.host, here.port) as stream:
        await stream.send(head.encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            answer += await stream.receive()
    head_lines, _, content = answer.partition(b"\r\n\r\n")
    return int(head_lines.split()[1]), json.loads(content)


@pytest.mark.anyio
async def test_tokens_are_made_and_open_the_other_path() -> None:
    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        assert greeting.config.instructions == "Be kind."
        await peer.drain()

    path = "/v1alpha/auth_tokens"
    fixed = {"model": f"models/{MODEL}", "system_instruction": {"parts": [{"text": "Be kind."}]}}
    soon, late = (datetime.now(UTC) + timedelta(hours=hours) for hours in (1, 30))
    async with serve(scripted(script)) as here:
        wish = {"uses": 1, "expireTime": soon.isoformat(), "bidiGenerateContentSetup": fixed}
        status, token = await http(here, f"POST {path}", json.dumps(wish).encode())
        assert status == 200
        assert token["name"].startswith("auth_tokens/")
        url = here.url.replace("v1beta", "v1alpha") + "Constrained"
        shown = f"{url}?access_token={token['name']}"
        async with dialled(shown) as one:
            await one.begin(sessionResumption={}, systemInstruction={"parts": [{"text": "x"}]})
            handle = (await one.until("sessionResumptionUpdate"))["newHandle"]
        async with dialled(shown) as one:
            await one.say({"setup": SETUP})
            assert (await one.closed()).code == "1008"
        async with dialled(shown) as one:
            await one.begin(sessionResumption={"handle": handle})
        for request, body, code in (
            (f"POST {path}", b"{", 400),
            (f"POST {path}", json.dumps({"expireTime": late.isoformat()}).encode(), 400),
            (f"POST {path}", b'{"newSessionExpireTime":"2001-01-01T00:00:00Z"}', 400),
            ("POST /v1beta/models", b"", 404),
            ("GET /", b"", 404),
            (f"GET /ws/{url.partition('/ws/')[2]}", b"", 401),
            (f"GET /ws/{url.partition('/ws/')[2]}?access_token=auth_tokens/x", b"", 401),
        ):  # fmt: skip
            status, answer = await http(here, request, body)
            assert (status, answer["error"]["code"]) == (code, code)


@pytest.mark.anyio
async def test_the_door_may_be_kept_by_somebody_else() -> None:
    async def judge(request: Request) -> Response | None:
        if request.headers.get("x-goog-api-key") != "right":
            return Response(403, {}, b'{"error":{"code":403}}')
        return None

    async def script(caller: Caller) -> None:
        assert caller.request.headers["x-goog-api-key"] == "right"
        await caller.next()

    async with loopback(script, process_request=judge) as here:
        status, _ = await http(here.served, "GET /")
        assert status == 403
        with pytest.raises(RealtimeException) as refusal:
            async with dialled(here.url):
                pass
        assert isinstance(refusal.value.error, AuthFailed)
        endpoint = Endpoint(url=here.url, headers={"x-goog-api-key": "right"}, failure=closed)
        async with websocket(endpoint)(PLAN) as link:
            await Client(link).begin()


# --- a session of any provider ----------------------------------------------------------------


def served(
    backend: str,
    script: Callable[[Peer], Awaitable[None]],
    talk: Callable[[Client], Awaitable[None]],
    *,
    config: SessionConfig | None = None,
    **able: Any,
) -> None:
    """Let a client by hand talk with a scripted provider through the server, on virtual time."""

    async def program() -> None:
        provider = scripted(script, replace(SCRIPTED, **able))
        async with serve(provider, config, port=None) as here, here.dial(PLAN) as link:
            await talk(Client(link))

    run(program, backend=backend)


async def asked(peer: Peer) -> RequestId:
    """Wait until an answer is asked for."""
    wish = await peer.until(CreateResponse)
    assert isinstance(wish, CreateResponse)
    return wish.request


def test_a_turn_is_over_when_its_sound_is(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        name = await asked(peer)
        await peer.say(
            ResponseStarted(response=R, request=name),
            AgentTranscript(response=R, item=ITEM, text="Once", final=False),
            AudioOutput(response=R, item=ITEM, pcm=SECOND * 2, format=AudioFormat()),
            ResponseDone(response=R, status="completed"),
        )
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.begin(outputAudioTranscription={})
        await one.say(typed(("user", "Hi")))
        assert await one.until("outputTranscription") == {"text": "Once"}
        begun = anyio.current_time()
        await one.until("generationComplete")
        assert anyio.current_time() - begun < 0.1
        await one.until("turnComplete")
        assert 1.9 < anyio.current_time() - begun < 2.1
        sizes = [
            len(base64.b64decode(part["inlineData"]["data"]))
            for message in one.heard
            for part in message.get("serverContent", {}).get("modelTurn", {}).get("parts", [])
        ]
        assert sizes == [48_000, 48_000]

    served(anyio_backend, script, talk)


def test_a_typed_turn_cuts_what_is_still_played(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        name = await asked(peer)
        await peer.say(
            ResponseStarted(response=R, request=name),
            AudioOutput(response=R, item=ITEM, pcm=SECOND * 9, format=AudioFormat()),
            ResponseDone(response=R, status="completed"),
        )
        name = await asked(peer)
        text = ResponseText(response=R2, item=ItemId("i2"), text="Yes?", is_complete=True)
        done = ResponseDone(response=R2, status="completed")
        await peer.say(ResponseStarted(response=R2, request=name), text, done)
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.begin()
        await one.say(typed(("user", "Hi")))
        await one.until("generationComplete")
        await anyio.sleep(3)
        await one.say(typed(("user", "Stop")))
        await one.until("interrupted")
        await one.until("turnComplete")
        assert (await one.until("modelTurn"))["parts"] == [{"text": "Yes?"}]
        await one.until("turnComplete")

    served(anyio_backend, script, talk)


def test_the_model_is_told_what_it_has_said_before(anyio_backend: str) -> None:
    histories = list[tuple[Message, ...]]()

    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        histories.append(greeting.config.history)
        name = await asked(peer)
        call = ToolCall(response=R, call=CallId("c"), name="look", arguments="{}")
        await peer.say(ResponseStarted(response=R, request=name), call)
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.begin(tools=[{"functionDeclarations": [{"name": "look"}]}])
        await one.say(typed(("user", "Look.")))
        await one.until("toolCall")
        await one.say(typed(("user", "Hi"), ("model", "Hello"), ("user", "And?")))
        await one.until("toolCallCancellation")
        await one.until("turnComplete")
        await one.say(result("c", "late"))
        await one.until("toolCall")

    served(anyio_backend, script, talk, config=SessionConfig(history=(Message("system", "Be."),)))
    first, second = histories
    assert first == (Message("system", "Be."),)
    assert [(m.role, m.text) for m in second] == [
        ("system", "Be."),
        ("user", "Look."),
        ("user", "Hi"),
        ("assistant", "Hello"),
    ]


def test_a_provider_without_history_is_told_in_words(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        if peer.conn == 0:
            await peer.drain()
            return
        assert await peer.next() == Text("Hi", "user", "context")
        told = await peer.next()
        assert isinstance(told, Text)
        assert (told.role, told.text) == ("system", "Before, the assistant was: Hello")
        await asked(peer)
        await peer.say(UserTranscript(text="x", final=True))
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.begin(inputAudioTranscription={})
        await one.say(typed(("user", "Hi"), ("model", "Hello")))
        await one.until("inputTranscription")

    served(anyio_backend, script, talk, history=False, commit=False)


def test_a_muted_microphone_is_silence_for_the_provider(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        heard = 0
        while heard < 48_000:
            sound = await peer.until(Audio)
            assert isinstance(sound, Audio)
            heard += len(sound.pcm)
        await peer.say(UserTranscript(text="x", final=True))
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.begin(inputAudioTranscription={})
        await one.say(streamed(audioStreamEnd=True))
        await one.until("inputTranscription")

    served(anyio_backend, script, talk, closing_silence_ms=1_040)


@pytest.mark.parametrize(
    ("setup", "message", "able", "code"),
    [
        ({"tools": [{"googleSearch": {}}]}, None, {}, "1007"),
        ({"tools": [{"functionDeclarations": [{"name": "f"}]}]}, None, {"tools": False}, "1007"),
        ({"sessionResumption": {"handle": "x.1"}}, None, {}, "1008"),
        ({}, PICTURE, {"images": False}, "1007"),
        ({}, {"contextUpdate": {}}, {"update": False}, "1007"),
        ({}, {"setup": SETUP}, {}, "1007"),
        ({}, typed(("user", "Hi")), {"text_in": False}, "1007"),
        ({}, typed(("user", "a"), ("model", "b")), {"text_in": False, "history": False}, ""),
    ],
)
def test_what_a_provider_does_not_take_closes_the_connection(
    anyio_backend: str, setup: Fields, message: Fields | None, able: Fields, code: str
) -> None:
    async def talk(one: Client) -> None:
        await one.say({"setup": {**SETUP, **setup}})
        if message is not None:
            await one.until("setupComplete")
            await one.say(message)
        if code:
            error = await one.closed()
            assert error.code == code
            assert "connection" in error.what

    served(anyio_backend, Peer.drain, talk, **able)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AuthFailed(what="no"), "1008"),
        (InvalidRequest(what="no"), "1007"),
        (SessionExpired(what="no"), "1001"),
        (Unavailable(what="no"), "1011"),
    ],
)
def test_how_a_session_ends_is_told_by_a_code(
    anyio_backend: str, error: RealtimeError, code: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.until(Audio)
        await peer.say(Error(error=error, recoverable=False))
        await peer.drain()

    async def talk(one: Client) -> None:
        await one.begin()
        await one.say(streamed(audio={"data": "AAAA" * 400, "mimeType": "audio/pcm;rate=16000"}))
        assert (await one.closed()).code == code

    served(anyio_backend, script, talk)


def test_a_session_that_cannot_be_opened_is_no_setup(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.next()
        await peer.say(Error(error=AuthFailed(what="no"), recoverable=False))
        await peer.drain()

    async def program() -> None:
        provider = scripted(script, welcome=False)
        async with serve(provider, port=None) as here, here.dial(PLAN) as link:
            one = Client(link)
            await one.say({"setup": SETUP})
            assert (await one.closed()).code == "1008"

    run(program, backend=anyio_backend)


def test_a_voice_that_is_not_here_gives_way_to_the_servers_own(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        assert greeting.config.voice == "joe"
        await peer.drain()

    async def talk(one: Client) -> None:
        voice = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}
        await one.begin(generationConfig={"speechConfig": voice})

    served(anyio_backend, script, talk, config=SessionConfig(voice="joe"), voices=("joe",))


def test_a_conversation_is_kept_for_a_while(anyio_backend: str) -> None:
    histories = list[list[str]]()

    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        histories.append([message.text for message in greeting.config.history])
        if peer.conn == 0:
            name = await asked(peer)
            calls = (
                ToolCall(response=R, call=CallId(id), name="look", arguments="{}")
                for id in ("c1", "c2")
            )
            await peer.say(ResponseStarted(response=R, request=name), *calls)
            assert await peer.next() == ToolResult(CallId("c1"), "42")
        await peer.drain()

    async def program() -> None:
        async with serve(scripted(script), port=None, resumable_for=60) as here:
            async with here.dial(PLAN) as link, here.dial(PLAN) as other:
                one, two = Client(link), Client(other)
                await one.begin(sessionResumption={})
                handle = (await one.until("sessionResumptionUpdate"))["newHandle"]
                await one.say(typed(("user", "Look.")))
                await one.until("toolCall")
                await one.until("toolCall")
                await one.say(result("c1", "42"))
                await anyio.sleep(1)
                await two.begin(sessionResumption={"handle": handle})  # while the first one stands
                await two.say(result("c2", "lost"))
                other_handle = (await two.until("sessionResumptionUpdate"))["newHandle"]
                assert other_handle != handle
            await anyio.sleep(50)
            async with here.dial(PLAN) as link:
                await Client(link).begin(sessionResumption={"handle": other_handle})
            await anyio.sleep(61)
            async with here.dial(PLAN) as link:
                one = Client(link)
                await one.say({"setup": {**SETUP, "sessionResumption": {"handle": handle}}})
                assert "not found" in (await one.closed()).what

    run(program, backend=anyio_backend)
    assert histories == [[], ["Look.", "{}", "42"], ["Look.", "{}", "42"]]


def test_there_is_no_server_without_a_provider(anyio_backend: str) -> None:
    async def program() -> None:
        with pytest.raises(RealtimeException, match="no provider named"):
            async with serve("nobody", port=None):
                pass

    run(program, backend=anyio_backend)


# --- our own client ---------------------------------------------------------------------------


async def answered(session: RealtimeSession[Frame]) -> str:
    """Wait for the end of an answer, and give its words."""
    words = ""
    async for event in session.events():
        if isinstance(event, AgentTranscript | ResponseText):
            words = event.text
        if isinstance(event, ResponseDone):
            assert event.status == "completed"
            return words
    raise AssertionError("it ended")


def test_our_own_client_talks_with_a_script(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        assert await caller.turn() == "Hi"
        assert await caller.answer("Hello there.", pcm=TONE, together=True)
        (id,) = await caller.call(("look", {"a": 1}))
        (found,) = await caller.results(id)
        assert found.id == id
        await caller.answer("It is 42.", pcm=TONE)
        await caller.next()

    async def program() -> None:
        tools = (ToolSpec("look"),)
        async with loopback(script, port=None) as here:
            async with open_session(ours(here.dial), tools=tools) as session:
                await session.simple_response("Hi")
                assert await answered(session) == "Hello there."
                async for event in session.events():
                    if isinstance(event, ToolCall):
                        await session.send(ToolResult(event.call, "42"))
                        break
                assert await answered(session) == "It is 42."
            assert here.violations == []

    run(program, backend=anyio_backend)


def test_our_own_client_talks_with_any_provider(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        name = await asked(peer)
        await peer.say(
            ResponseStarted(response=R, request=name),
            AgentTranscript(response=R, item=ITEM, text="Hello.", final=False),
            AudioOutput(response=R, item=ITEM, pcm=TONE, format=AudioFormat()),
            ResponseDone(response=R, status="completed"),
        )
        assert await peer.until(Video) == Video(b"\xff\xd8\xff", "image/jpeg")
        await peer.say(UserTranscript(item=ItemId("u"), text="What is it?", final=True))
        await peer.drain()

    async def program() -> None:
        async with (
            serve(scripted(script), port=None) as here,
            open_session(ours(here.dial)) as session,
        ):
            await session.simple_response("Hi")
            assert await answered(session) == "Hello."
            await session.send(Video(b"\xff\xd8\xff", "image/jpeg"))
            async for event in session.events():
                if isinstance(event, UserTranscript):
                    assert event.text == "What is it?"
                    break

    run(program, backend=anyio_backend)


_FRAMES: st.SearchStrategy[Frame] = st.sampled_from(
    (
        Text("Hello"),
        Text("Stop", turn="interrupt"),
        Text("By the way", turn="context"),
        CreateResponse(),
        Interrupt(),
        Audio(bytes(960)),
        Video(b"\xff\xd8\xff"),
    )
)


async def taken(session: RealtimeSession[Frame], events: list[RealtimeEvent]) -> None:
    async for event in session.events():
        events.append(event)  # noqa: PERF401 - so far, whenever it ends


@given(provider_scripts(max_size=12), st.lists(_FRAMES, min_size=12, max_size=12))
def test_through_the_server_every_session_keeps_the_grammar(
    anyio_backend: str, said: Any, pushed: list[Frame]
) -> None:
    async def script(peer: Peer) -> None:
        for burst in said:
            await peer.say(*burst)
            await anyio.sleep(3 * TICK)
        await peer.drain()

    async def program() -> None:
        async with serve(scripted(script), port=None) as here:
            events = list[RealtimeEvent]()
            async with open_session(ours(here.dial)) as session, beside() as tasks:
                tasks.start_soon(taken, session, events)
                for frame in pushed:
                    with suppress(RealtimeException):
                        await session.send(frame)
                    await anyio.sleep(4 * TICK)
            await taken(session, events)
            assert check_trace(events, complete=True) == []

    run(program, backend=anyio_backend)


def test_our_own_client_takes_a_session_up_again(anyio_backend: str) -> None:
    async def script(caller: Caller) -> None:
        if caller.number == 0:
            await caller.handle("h1")
            assert await caller.turn() == "Hi"
            await caller.answer("Hello.", pcm=TONE)
            await caller.call(("look", {}))
            await caller.until("realtime_input.audio")
            caller.drop()
            return
        assert caller.resumed == "h1"
        assert caller.setup.model == "models/gemini-3.8-live"
        assert await caller.turn() == "And?"
        await caller.answer("Well.", pcm=TONE)
        await caller.next()

    async def program() -> None:
        async with loopback(script, port=None) as here:
            async with open_session(
                ours(here.dial), tools=(ToolSpec("look"),), retry=Recurs(2)
            ) as session:
                await session.simple_response("Hi")
                assert await answered(session) == "Hello."
                async for event in session.events():
                    if isinstance(event, ToolCall):
                        await session.send(Audio(bytes(9_600)))
                    if isinstance(event, Reconnected):
                        assert event.restored == "handle"
                        break
                await session.simple_response("And?")
                assert await answered(session) == "Well."
            assert here.violations == []

    run(program, backend=anyio_backend)
