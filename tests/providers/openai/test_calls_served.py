"""Calls that the server takes: its HTTP side, the sound both ways, cuts, and those who join."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aioice.ice
import anyio
import httpx2
import numpy as np
import pytest
from msgspec.structs import replace

from realtime_core import (
    PCM_24K,
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    AuthFailed,
    CancelResponse,
    Disconnected,
    Frame,
    Interrupted,
    InvalidRequest,
    ItemId,
    RealtimeError,
    RealtimeException,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    SessionConfig,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    TruncateItem,
    Unsupported,
    UserTranscript,
    open_session,
)
from realtime_core.audio.format import AudioFormat
from realtime_core.config import Secret
from realtime_core.epoch import CallId
from realtime_core.frames import Audio, CreateResponse, Text, ToolResult
from realtime_core.provider import Provider
from realtime_core.testing import no_leaks
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.scripted import SCRIPTED, Greeting, Peer, scripted
from realtime_openai import answer_offer, hang_up, mint, openai
from realtime_openai.server import Served, serve
from realtime_openai.server import calls as calls_served
from tests.providers.local.speech import Room, room, spoken
from tests.providers.openai.calling import LIMIT, PLAN, RATE, called, door, loud, sine, talking

Fields = dict[str, Any]

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

SAID: Fields = {
    "type": "conversation.item.create",
    "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
}
CREATE: Fields = {"type": "response.create"}
CLEAR: Fields = {"type": "output_audio_buffer.clear"}
SLACK = 0.12
"""Seconds of silence that may count as an answer's sound: it ends when nobody can miss any."""


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    def hosts(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(aioice.ice, "get_host_addresses", hosts)
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


calls = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""Their engine is made of asyncio tasks."""


def ours(server: Served, **options: Any) -> Provider[Frame]:
    return openai(base_url=server.base_url, api_key="sk-any", transport="webrtc", **options)


async def silent(peer: Peer) -> None:
    await peer.drain()


async def told(peer: Peer, number: int, pcm: bytes, *, whole: bool = True) -> ResponseId:
    """Answer what was asked for: all of it at once, as models do."""
    wish = await peer.until(CreateResponse)
    assert isinstance(wish, CreateResponse)
    response, item = ResponseId(f"r{number}"), ItemId(f"i{number}")
    await peer.say(
        ResponseStarted(response=response, request=wish.request),
        AgentTranscript(response=response, item=item, text="Once upon", final=False),
        AudioOutput(response=response, item=item, pcm=pcm, format=PCM_24K),
    )
    if whole:
        await peer.say(
            AudioOutputDone(response=response, item=item),
            AgentTranscript(response=response, item=item, text="Once upon a time", final=True),
            ResponseDone(response=response, status="completed"),
        )
    return response


async def error_of(asks: Awaitable[object]) -> RealtimeError:
    with pytest.raises(RealtimeException) as caught:
        await asks
    return caught.value.error


async def opened(provider: Provider[Frame], **config: Any) -> None:
    async with open_session(provider, **config):
        pytest.fail("it opened")


@asynccontextmanager
async def asking(server: Served) -> AsyncGenerator[Callable[..., Awaitable[httpx2.Response]]]:
    """Ask over HTTP by hand."""
    async with httpx2.AsyncClient(trust_env=False) as http:

        async def ask(path: str, **given: Any) -> httpx2.Response:
            return await http.post(f"{server.base_url}/realtime/{path}", **given)

        yield ask


# --- client secrets ---------------------------------------------------------------------------


async def test_a_client_secret_brings_its_settings_to_a_socket() -> None:
    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        assert greeting.config.instructions == "Be brief."
        await peer.drain()

    async with serve(scripted(script)) as server:
        made = await mint(await door(server), SessionConfig(instructions="Be brief."), seconds=60)
        assert made.value.reveal().startswith("ek_")
        assert made.expires_at == pytest.approx(time.time() + 60, abs=5)
        client = openai(base_url=server.base_url, api_key=made.value)
        async with open_session(client) as session:
            await session.send(Text("Hi"))


async def test_a_client_secret_tells_its_session() -> None:
    async with serve(scripted(silent)) as server, asking(server) as ask:
        said = (await ask("client_secrets")).json()
        wish = {"session": {"type": "realtime", "instructions": "Be brief."}}
        more = (await ask("client_secrets", json=wish)).json()
    assert said["session"]["type"] == "realtime"
    assert said["expires_at"] == pytest.approx(time.time() + 600, abs=5)
    assert more["session"]["instructions"] == "Be brief."
    assert more["session"]["expires_at"] == 0
    assert more["value"] != said["value"]


async def test_a_client_secret_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(scripted(silent)) as server:
        made = await mint(await door(server), seconds=60)
        late = anyio.current_time() + 61
        monkeypatch.setattr(calls_served, "current_time", lambda: late)
        for key in (made.value, Secret("ek_made_up")):
            client = openai(base_url=server.base_url, api_key=key)
            assert isinstance(await error_of(opened(client)), AuthFailed)
            offers = answer_offer(await door(server, key.reveal()), PLAN, "v=0")
            assert isinstance(await error_of(offers), AuthFailed)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"[" * 5_000, "invalid_value"),
        (b"[]", "invalid_value"),
        (b'{"expires_after": {"seconds": 1}}', "integer_below_min_value"),
        (b'{"session": {"type": "realtime", "nonsense": 1}}', "unknown_parameter"),
        (b'{"session": {"type": "transcription"}}', "invalid_value"),
    ],
)
async def test_a_client_secret_for_nothing_that_can_be_is_refused(body: bytes, code: str) -> None:
    async with serve(scripted(silent)) as server, asking(server) as ask:
        answer = await ask("client_secrets", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["code"] == code


async def test_what_a_provider_lacks_is_refused() -> None:
    async with serve(scripted(silent, replace(SCRIPTED, tools=False))) as server:
        tool = {"type": "function", "name": "f"}
        async with asking(server) as ask:
            wish = {"session": {"type": "realtime", "tools": [tool]}}
            answer = await ask("client_secrets", json=wish)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "tools"


# --- offers -----------------------------------------------------------------------------------


async def test_on_trio_there_are_no_calls(anyio_backend_name: str) -> None:
    if anyio_backend_name != "trio":
        return
    async with serve(scripted(silent)) as server:
        error = await error_of(opened(ours(server)))
        assert isinstance(error, Unsupported)
        assert error.field == "transport"
        theirs = await error_of(answer_offer(await door(server), PLAN, "v=0"))
        assert isinstance(theirs, InvalidRequest)
        assert "trio" in theirs.what


@calls
@pytest.mark.parametrize(
    "offer",
    [
        "",
        "no offer",
        "v=0\r\n",
        "v=0\r\nm=audio x\r\n",
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
    ],
)
async def test_what_is_no_offer_is_refused(offer: str) -> None:
    async with no_leaks(within=2.0), serve(scripted(silent)) as server:
        error = await error_of(answer_offer(await door(server), PLAN, offer))
        assert isinstance(error, InvalidRequest)
        assert "could not be taken" in error.what


async def test_what_is_no_form_is_refused() -> None:
    async with serve(scripted(silent)) as server, asking(server) as ask:
        form = {"sdp": (None, b"v=0"), "session": (None, b"{")}
        wrong: tuple[dict[str, Any], ...] = (
            {"json": {}},
            {"files": form},
            {"files": {"sdp": (None, b"\xff"), "session": (None, b"{}")}},
            {"files": {"sdp": (None, b"v=0"), "session": (None, b'{"nonsense": 1}')}},
        )
        for given in wrong:
            answer = await ask("calls", **given)
            assert answer.status_code == 400
            assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_a_call_that_is_not_there_is_told() -> None:
    async with serve(scripted(silent)) as server:
        error = await error_of(hang_up(await door(server), "rtc_nobody"))
        assert isinstance(error, InvalidRequest)
        assert error.code == "call_id_not_found"
        beside = openai(base_url=server.base_url, api_key="sk-any", call_id="rtc_nobody")
        assert isinstance(await error_of(opened(beside)), InvalidRequest)


async def test_other_requests_go_where_they_went() -> None:
    async with serve(scripted(silent)) as server, asking(server) as ask:
        assert (await ask("nonsense")).status_code == 405


async def test_who_serves_is_asked_first() -> None:
    from realtime_core.transports.websocket_server import Request, Response

    async def judge(request: Request) -> Response | None:
        return Response(418) if request.path.endswith("/client_secrets") else None

    async with serve(scripted(silent), process_request=judge) as server, asking(server) as ask:
        assert (await ask("client_secrets")).status_code == 418
        assert (await ask("calls/rtc_1/hangup")).status_code == 404


# --- a conversation ---------------------------------------------------------------------------


@calls
async def test_a_typed_turn_is_answered_aloud() -> None:
    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        assert greeting.config.instructions == "Be brief."
        assert await peer.until(Text) == Text("Hi", "user", "context")
        await told(peer, 1, sine(0.5))
        await told(peer, 2, sine(0.3))
        await peer.drain()

    ids = list[str]()
    async with serve(scripted(script)) as server:
        async with talking(ours(server, on_call=ids.append), instructions="Be brief.") as by:
            assert isinstance(by.session.connected, bool)
            for number, seconds in (("r1", 0.5), ("r2", 0.3)):
                await by.session.simple_response("Hi")
                await by.until(ResponseDone)
                heard = len(by.sound(number)) / 2 / RATE
                assert seconds - 0.03 <= heard <= seconds + SLACK
        (words,) = (e.text for e in by.of(AgentTranscript) if e.final and e.response == "r1")
        assert words == "Once upon a time"
        kinds = [message["type"] for message in by.messages("received")]
        assert "response.output_audio.delta" not in kinds
        playing = [kind for kind in kinds if "output_audio_buffer" in kind or "e.done" in kind]
        once = ["response.done", "output_audio_buffer.stopped"]
        assert [kind for kind in playing if kind in once] == once * 2
        assert kinds.count("output_audio_buffer.started") == 2
        assert ids[0].startswith("rtc_")


@calls
async def test_the_events_of_a_call_are_in_the_protocols_grammar() -> None:
    async def script(peer: Peer) -> None:
        await told(peer, 1, sine(0.3))
        await told(peer, 2, sine(0.3))
        await peer.drain()

    async with serve(scripted(script)) as server, called(server) as (phone, _):
        for _ in range(2):
            await phone.say(SAID, CREATE)
            await phone.until("output_audio_buffer.stopped")
        both = [("started", "r1"), ("stopped", "r1"), ("started", "r2"), ("stopped", "r2")]
        assert phone.buffer() == both
        assert phone.heard == pytest.approx(0.6, abs=0.06)
        types = phone.grammar.types
        assert types.index("response.content_part.added") < types.index(
            "output_audio_buffer.started"
        )


@calls
async def test_what_is_spoken_reaches_the_provider() -> None:
    sound, heard = sine(0.6, 1_000), bytearray()

    async def script(peer: Peer) -> None:
        while sum(map(loud, frames(heard))) < 29:
            frame = await peer.until(Audio)
            assert isinstance(frame, Audio)
            assert frame.format == PCM_24K
            heard.extend(frame.pcm)
        item = ItemId("u")
        await peer.say(SpeechStarted(item=item), SpeechStopped(item=item))
        await peer.say(UserTranscript(item=item, text="A whistle", final=True))
        await peer.drain()

    async with serve(scripted(script)) as server, talking(ours(server)) as by:
        await by.session.simple_audio_response(sound)
        said = await by.until(UserTranscript, lambda event: event.final)
        assert said.text == "A whistle"
        await by.session.interrupt()
    (at,) = np.nonzero(np.abs(np.frombuffer(bytes(heard), np.int16).astype(int)) > 4_000)
    assert at[0] < RATE // 10, "no silence opens a session"
    middle = np.frombuffer(bytes(heard), np.int16)[at[0] : at[0] + RATE // 2]
    assert np.abs(np.fft.rfft(middle)).argmax() * 2 == pytest.approx(1_000, abs=4)


def frames(pcm: bytes | bytearray) -> list[bytes]:
    return [bytes(pcm[at : at + 960]) for at in range(0, len(pcm), 960)]


@calls
async def test_tools_are_called() -> None:
    async def script(peer: Peer) -> None:
        wish = await peer.until(CreateResponse)
        assert isinstance(wish, CreateResponse)
        r = ResponseId("r1")
        call = ToolCall(response=r, item=ItemId("c"), call=CallId("c1"), name="f", arguments="{}")
        await peer.say(ResponseStarted(response=r, request=wish.request), call)
        await peer.say(ResponseDone(response=r, status="completed"))
        result = await peer.until(ToolResult)
        assert isinstance(result, ToolResult)
        assert result.output == "four"
        await told(peer, 2, sine(0.2))
        await peer.drain()

    async with serve(scripted(script)) as server, talking(ours(server)) as by:
        await by.session.simple_response("Two and two?")
        call = await by.until(ToolCall)
        assert call.call is not None
        await by.session.send(ToolResult(call.call, "four"))
        done = await by.until(ResponseDone, lambda event: event.response == "r2")
        assert done.status == "completed"
        assert loud(by.sound("r2"))


# --- barge-in ---------------------------------------------------------------------------------


@calls
@pytest.mark.parametrize("whole", [True, False], ids=["made", "in the making"])
async def test_interrupting_cuts_at_once_and_the_next_answer_is_whole(whole: bool) -> None:
    cuts = list[object]()

    async def script(peer: Peer) -> None:
        id = await told(peer, 1, sine(4, 440), whole=whole)
        cuts.append(await peer.until(CancelResponse, TruncateItem))
        if not whole:
            stale = AudioOutput(response=id, item=ItemId("i1"), pcm=sine(1, 440), format=PCM_24K)
            await peer.say(stale, ResponseDone(response=id, status="cancelled"))
        await told(peer, 2, sine(0.5, 1_000))
        await peer.drain()

    async with serve(scripted(script)) as server, talking(ours(server)) as by:
        await by.session.simple_response("Hi")
        await by.until(AudioOutput, lambda _: len(by.sound("r1")) > RATE)
        await by.session.interrupt()
        await by.session.simple_response("And?")
        cut = await by.until(Interrupted)
        assert cut.cause == "app"
        assert [(one.item, one.samples > RATE * 0.4) for one in cut.heard] == [("i1", True)]
        await by.until(ResponseDone, lambda event: event.response == "r2")
    sent = [message["type"] for message in by.messages("sent")]
    place = sent.index("response.cancel")
    assert sent[place : place + 2] == ["response.cancel", "output_audio_buffer.clear"]
    assert "conversation.item.truncate" not in sent
    kinds = [message["type"] for message in by.messages("received")]
    assert kinds.count("output_audio_buffer.cleared") == 1
    sound = np.frombuffer(by.sound("r2"), np.int16)
    assert RATE * 0.47 <= sound.size <= RATE * (0.5 + SLACK)
    assert np.abs(np.fft.rfft(sound, 2 * RATE)).argmax() / 2 == pytest.approx(1_000, abs=5)
    spectrum = np.abs(np.fft.rfft(sound, 2 * RATE))
    assert spectrum[870:890].max() < spectrum.max() / 50, "nothing of the first is in the second"
    if not whole:
        assert isinstance(cuts[0], CancelResponse | TruncateItem)


@calls
async def test_silence_comes_within_200_ms() -> None:
    async def script(peer: Peer) -> None:
        await told(peer, 1, sine(4))
        await told(peer, 2, sine(0.3))
        await peer.drain()

    async with serve(scripted(script)) as server, called(server) as (phone, _):
        await phone.say(SAID, CREATE)
        await phone.hears(lambda seconds: seconds > 0.4)
        cut_at = anyio.current_time()
        await phone.say({"type": "response.cancel"}, CLEAR)
        await phone.until("output_audio_buffer.cleared")
        await phone.say(SAID, CREATE)
        await phone.until("output_audio_buffer.started")
        again = anyio.current_time()
        await phone.until("output_audio_buffer.stopped")
        late = [at - cut_at for at, pcm in phone.sound if loud(pcm) and cut_at < at < again]
        assert max(late, default=0) < 0.2
        assert phone.buffer() == [
            ("started", "r1"),
            ("cleared", "r1"),
            ("started", "r2"),
            ("stopped", "r2"),
        ]
        assert sum(len(p) for at, p in phone.sound if at > again and loud(p)) / 2 / RATE >= 0.28


@calls
async def test_clearing_alone_cuts_what_plays_and_nothing_else() -> None:
    async def script(peer: Peer) -> None:
        await told(peer, 1, sine(4))
        cut = await peer.until(TruncateItem)
        assert isinstance(cut, TruncateItem)
        assert RATE * 0.2 < cut.samples < RATE
        await peer.drain()

    async with serve(scripted(script)) as server, called(server) as (phone, _):
        await phone.say(CLEAR)
        await phone.say(SAID, CREATE)
        await phone.hears(lambda seconds: seconds > 0.3)
        await phone.say(CLEAR, CLEAR)
        await phone.until("output_audio_buffer.cleared")
        assert phone.buffer() == [("started", "r1"), ("cleared", "r1")]
        assert "error" not in phone.grammar.types


@calls
async def test_the_user_cuts_in_by_voice() -> None:
    async def script(peer: Peer) -> None:
        id = await told(peer, 1, sine(4), whole=False)
        while True:
            frame = await peer.until(Audio)
            assert isinstance(frame, Audio)
            if loud(frame.pcm):
                break
        item = ItemId("u")
        await peer.say(SpeechStarted(item=item), ResponseDone(response=id, status="interrupted"))
        cut = await peer.until(TruncateItem)
        assert isinstance(cut, TruncateItem)
        assert RATE * 0.4 < cut.samples < RATE * 2
        await peer.drain()

    async with serve(scripted(script)) as server, talking(ours(server)) as by:
        await by.session.simple_response("Hi")
        await by.until(AudioOutput, lambda _: len(by.sound("r1")) > RATE)
        await by.session.simple_audio_response(sine(0.3))
        cut = await by.until(Interrupted)
        assert cut.cause == "provider"
        done = await by.until(ResponseDone)
        assert done.response == "r1"
    kinds = [message["type"] for message in by.messages("received")]
    assert "output_audio_buffer.cleared" in kinds
    assert "response.cancel" not in [message["type"] for message in by.messages("sent")]


# --- those who join ---------------------------------------------------------------------------


@calls
async def test_a_sideband_sees_everything_but_the_sound_and_may_ask() -> None:
    async def script(peer: Peer) -> None:
        await told(peer, 1, sine(0.2))
        assert await peer.until(Text) == Text("Psst", "user", "context")
        await told(peer, 2, sine(0.2))
        await peer.drain()

    async with serve(scripted(script)) as server, called(server) as (phone, id):
        beside = openai(base_url=server.base_url, api_key="sk-any", call_id=id)
        async with talking(beside, alone=False) as by:
            await phone.say(SAID, CREATE)
            await by.until(ResponseDone)
            await phone.until("output_audio_buffer.stopped")
            await by.session.simple_response("Psst")
            done = await by.until(ResponseDone)
            assert done.response == "r2"
            assert by.of(AudioOutput) == []
            await phone.until("output_audio_buffer.stopped")
        theirs = by.messages("received")
        ids = {event["event_id"]: event for event in phone.grammar.events}
        assert all(event == ids[event["event_id"]] for event in theirs)
        kinds = [event["type"] for event in theirs]
        assert "session.created" not in kinds
        assert kinds.count("output_audio_buffer.started") == 2
        await phone.say({"type": "nonsense", "event_id": "mine"})
        await phone.until("error")


@calls
async def test_a_mistake_is_told_to_who_made_it() -> None:
    async with serve(scripted(silent)) as server, called(server) as (phone, id):
        url = f"{server.url}?call_id={id}"
        from websockets.asyncio.client import connect

        async with connect(url, proxy=None) as socket:
            wrong = {"type": "response.cancel", "event_id": "theirs"}
            update = {"type": "session.update", "session": {"type": "realtime"}}
            await socket.send(json.dumps(wrong))
            await socket.send(json.dumps(update))
            first, second = json.loads(await socket.recv()), json.loads(await socket.recv())
            assert first["error"]["event_id"] == "theirs"
            assert second["type"] == "session.updated"
            await phone.until("session.updated")
            assert "error" not in phone.grammar.types
            await phone.say({"type": "response.cancel", "event_id": "mine"})
            assert (await phone.until("error"))["error"]["event_id"] == "mine"
            await phone.say({"type": "session.update", "session": {"type": "realtime"}})
            assert json.loads(await socket.recv())["type"] == "session.updated"


@calls
async def test_who_joined_is_let_go_when_the_call_is_over() -> None:
    async with serve(scripted(silent)) as server, called(server) as (_, id):
        beside = openai(base_url=server.base_url, api_key="sk-any", call_id=id)
        async with talking(beside, alone=False) as by:
            await hang_up(await door(server), id)
            await by.until(Disconnected)
        assert isinstance(await error_of(opened(beside)), InvalidRequest)


# --- the end ----------------------------------------------------------------------------------


@calls
async def test_a_secret_is_all_a_caller_needs() -> None:
    async def script(peer: Peer) -> None:
        greeting = peer.sent[0]
        assert isinstance(greeting, Greeting)
        assert greeting.config.instructions == "Be brief."
        await told(peer, 1, sine(0.2))
        await peer.drain()

    async with serve(scripted(script)) as server:
        made = await mint(await door(server), SessionConfig(instructions="Be brief."))
        async with called(server, key=made.value.reveal()) as (phone, _):
            (created,) = phone.grammar.of("session.created")
            assert created["session"]["instructions"] == "Be brief."
            await phone.say(SAID, CREATE)
            await phone.until("output_audio_buffer.stopped")


@calls
async def test_a_call_is_hung_up_from_outside() -> None:
    ended = anyio.Event()

    async def script(peer: Peer) -> None:
        try:
            await told(peer, 1, sine(4))
            await peer.drain()
        finally:
            ended.set()

    async with (
        no_leaks(within=2.0),
        serve(scripted(script)) as server,
        called(server) as (phone, id),
    ):
        await phone.say(SAID, CREATE)
        await phone.hears(lambda seconds: seconds > 0.2)
        await hang_up(await door(server), id)
        while not phone.over:
            await phone.news.wait()
        await ended.wait()
        error = await error_of(hang_up(await door(server), id))
        assert isinstance(error, InvalidRequest)


@calls
async def test_the_session_behind_a_call_ends_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.until(Text)

    async with serve(scripted(script)) as server, called(server) as (phone, _):
        await phone.say(SAID, CREATE)
        with anyio.fail_after(LIMIT):
            while not phone.over:
                await phone.news.wait()


@calls
async def test_a_caller_who_never_comes_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime_openai.server import calls as module

    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    async with no_leaks(within=2.0), serve(scripted(silent)) as server:
        here = await door(server)
        from aiortc import RTCConfiguration, RTCPeerConnection

        lonely = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        lonely.addTransceiver("audio")
        lonely.createDataChannel("oai-events")
        await lonely.setLocalDescription(await lonely.createOffer())
        taken = await answer_offer(here, PLAN, lonely.localDescription.sdp)
        with anyio.fail_after(LIMIT):
            while True:
                if isinstance(await hung_up(server, taken.call_id), InvalidRequest):
                    break
        await lonely.close()


async def hung_up(server: Served, id: str) -> RealtimeError | None:
    """Try to join a call, which changes nothing; tell why that failed."""
    beside = openai(base_url=server.base_url, api_key="sk-any", call_id=id)
    with anyio.move_on_after(0.1):
        return await error_of(opened(beside))
    return None


# --- with the local voice ---------------------------------------------------------------------


async def understood(inside: Room, question: bytes, form: AudioFormat) -> None:
    """Ask, and again where a machine that was too busy to play has swallowed words."""
    for _ in range(3):
        inside.say(question, form)
        await inside.answered()
        if "honey" in inside.answer:
            return
    pytest.fail(f"asked {inside.heard_user!r}, it said {inside.answer!r}")


@calls
@pytest.mark.models
async def test_the_local_voice_holds_a_call() -> None:
    question, form = await spoken("What do bees make?")
    async with serve("local") as server:
        with anyio.fail_after(50):
            async with open_session(ours(server)) as session, room(session) as inside:
                await understood(inside, question, form)
                await session.simple_response("Count from one to twenty, please.")
                await inside.until(AudioOutput)
                await anyio.sleep(1)
                inside.say(question, form)
                cut = await inside.until(Interrupted)
                assert isinstance(cut, Interrupted)
                assert cut.cause == "provider"
                await inside.answered()
                await understood(inside, question, form)
            assert check_trace(inside.events) == []
