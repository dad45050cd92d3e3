"""What is asked over HTTP: requests as the vendor's own, and every answer read or refused."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from realtime_core.config import Secret, SessionConfig
from realtime_core.errors import (
    AuthFailed,
    InvalidRequest,
    ProtocolViolation,
    RateLimited,
    RealtimeError,
    RealtimeException,
    TimedOut,
    Unavailable,
    Unsupported,
)
from realtime_core.plan import Plan
from realtime_openai import (
    AZURE_OPENAI,
    OPENAI,
    XAI_GROK,
    Access,
    Door,
    Service,
    answer_offer,
    calls,
    hang_up,
    mint,
    reach,
)
from realtime_openai.codec import agree
from tests.providers.openai.answering import Asked, answer, answering

pytestmark = pytest.mark.anyio

KEY = "sk-quite-a-secret"
OFFER = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n"
MINTED = json.dumps({"value": "ek_made", "expires_at": 1_784_852_564, "session": {"id": "s"}})
TAKEN = answer(
    201, "v=0\r\n", location="/v1/realtime/calls/rtc_u2_E4xw9", content_type="text/plain"
)

Asks = Callable[[Door], Awaitable[object]]


async def at(url: str, service: Service = OPENAI, key: str = KEY, **given: Any) -> Door:
    return await reach(Access(service=service, base_url=url, key=Secret(key), **given))


def plan(config: SessionConfig | None = None, service: Service = OPENAI) -> Plan:
    return agree(service.dialect.capabilities, config or SessionConfig()).unwrap()


def payload(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def parts(asked: Asked) -> dict[str, EmailMessage]:
    """Read a multipart body with the standard library's parser of mail."""
    head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
    whole = message_from_bytes(head + asked.body, policy=policy.HTTP)
    return {
        str(part.get_param("name", header="content-disposition")): part
        for part in whole.iter_parts()
        if isinstance(part, EmailMessage)
    }


async def error_of(asks: Awaitable[object]) -> RealtimeError:
    with pytest.raises(RealtimeException) as caught:
        await asks
    problem: BaseException | None = caught.value
    while problem is not None:  # what a traceback would show
        assert KEY not in f"{problem!r} {problem}"
        assert "ek_made" not in f"{problem!r} {problem}"
        problem = problem.__cause__ or (
            None if problem.__suppress_context__ else problem.__context__
        )
    return caught.value.error


# --- client secrets -------------------------------------------------------------------------------


async def test_a_client_secret_is_asked_for_a_session_as_configured() -> None:
    async with answering(answer(200, MINTED)) as site:
        headers = (("OpenAI-Safety-Identifier", "user-1"),)
        door = await at(site.url, headers=headers)
        config = SessionConfig(instructions="Be brief.", voice="marin")
        made = await mint(door, config, seconds=60)
    assert made.value.reveal() == "ek_made"
    assert made.expires_at == 1_784_852_564
    assert "ek_made" not in repr(made)
    (asked,) = site.asked
    assert asked.line == "POST /v1/realtime/client_secrets HTTP/1.1"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["openai-safety-identifier"] == "user-1"
    assert asked.headers["content-type"] == "application/json"
    assert asked.json["expires_after"] == {"anchor": "created_at", "seconds": 60}
    session = asked.json["session"]
    assert session["type"] == "realtime"
    assert session["model"] == "gpt-realtime-2.1"
    assert session["instructions"] == "Be brief."
    assert session["audio"]["output"]["voice"] == "marin"


async def test_a_client_secret_serves_as_a_key() -> None:
    async with answering(answer(200, MINTED), TAKEN) as site:
        secret = await mint(await at(site.url))
        door = await reach(Access(service=OPENAI, base_url=site.url, key=secret.value))
        taken = await answer_offer(door, plan(), OFFER)
    assert taken.call_id == "rtc_u2_E4xw9"
    asked = site.asked[1]
    assert asked.headers["authorization"] == "Bearer ek_made"
    assert asked.headers["content-type"] == "application/sdp"
    assert asked.body == OFFER.encode()


async def test_a_session_that_only_writes_down_names_no_model() -> None:
    async with answering(answer(200, MINTED)) as site:
        config = SessionConfig(options={"purpose": "transcription"})
        await mint(await at(site.url), config)
    session = site.asked[0].json["session"]
    assert session["type"] == "transcription"
    assert "model" not in session


async def test_a_session_that_cannot_be_is_refused_at_once() -> None:
    async with answering() as site:
        error = await error_of(mint(await at(site.url), SessionConfig(options={"nonsense": 1})))
    assert isinstance(error, Unsupported)
    assert site.asked == []


# --- calls ----------------------------------------------------------------------------------------


async def test_an_offer_goes_along_with_the_settings() -> None:
    async with answering(TAKEN) as site:
        door = await at(site.url, model="gpt-realtime")
        taken = await answer_offer(door, plan(), OFFER)
    assert taken.sdp == "v=0\r\n"
    assert taken.call_id == "rtc_u2_E4xw9"
    (asked,) = site.asked
    assert asked.line == "POST /v1/realtime/calls HTTP/1.1"
    assert asked.headers["accept"] == "application/sdp"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    found = parts(asked)
    assert set(found) == {"sdp", "session"}
    assert found["sdp"].get_content_type() == "application/sdp"
    assert payload(found["sdp"]) == OFFER.encode()
    assert found["session"].get_content_type() == "application/json"
    session = json.loads(payload(found["session"]))
    assert session["model"] == "gpt-realtime"
    assert session["type"] == "realtime"


async def test_azure_binds_the_settings_to_a_secret_before() -> None:
    async with answering(answer(200, MINTED), answer(201, "v=0\r\n")) as site:
        door = await at(site.url.removesuffix("/v1"), AZURE_OPENAI, model="deployed")
        taken = await answer_offer(door, plan(service=AZURE_OPENAI), OFFER)
    assert taken == calls.Answer("v=0\r\n", "")
    minted, offered = site.asked
    assert minted.line == "POST /openai/v1/realtime/client_secrets HTTP/1.1"
    assert minted.headers["api-key"] == KEY
    assert minted.json.keys() == {"session"}
    assert minted.json["session"]["model"] == "deployed"
    assert offered.line == "POST /openai/v1/realtime/calls HTTP/1.1"
    assert "api-key" not in offered.headers
    assert offered.headers["authorization"] == "Bearer ek_made"
    assert offered.body == OFFER.encode()


@pytest.mark.parametrize("location", ["", "/v1/realtime/calls/", "/calls/..", "/calls/a%2Fb", "é"])
async def test_an_id_that_is_none_is_left_out(location: str) -> None:
    async with answering(answer(201, "v=0\r\n", location=location)) as site:
        assert (await answer_offer(await at(site.url), plan(), OFFER)).call_id == ""


async def test_a_call_is_hung_up() -> None:
    async with answering(answer(200)) as site:
        await hang_up(await at(site.url), "rtc_1")
    assert site.asked[0].line == "POST /v1/realtime/calls/rtc_1/hangup HTTP/1.1"


@pytest.mark.parametrize("call_id", ["", "..", "../client_secrets", "a b", "a?b", "é", "a\n"])
async def test_an_id_that_is_none_is_refused(call_id: str) -> None:
    async with answering() as site:
        assert isinstance(await error_of(hang_up(await at(site.url), call_id)), InvalidRequest)
    assert site.asked == []


@pytest.mark.parametrize(
    "ask", [mint, lambda d: answer_offer(d, plan(), OFFER), lambda d: hang_up(d, "rtc_1")]
)
async def test_a_service_without_calls_says_so(ask: Asks) -> None:
    error = await error_of(ask(await at("http://127.0.0.1:1", XAI_GROK)))
    assert isinstance(error, Unsupported)
    assert error.field == "transport"


# --- answers that are none ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (answer(401, f'{{"error": {{"message": "Wrong key {KEY}."}}}}'), AuthFailed),
        (answer(403), AuthFailed),
        (answer(404), InvalidRequest),
        (answer(429, retry_after="3"), RateLimited),
        (answer(500), Unavailable),
        (answer(503, f"{KEY}"), Unavailable),
        (answer(202), InvalidRequest),
        (answer(200, "no json"), ProtocolViolation),
        (answer(200, "{}"), ProtocolViolation),
        (answer(200, "[" * 100_000), ProtocolViolation),
        (answer(200, b"\xff"), ProtocolViolation),
        (answer(200, "x" * (1 << 20) + "x"), ProtocolViolation),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000 + b"\r\n", Unavailable),
        (b"no HTTP at all\r\n\r\n", Unavailable),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", Unavailable),
        (b"", Unavailable),
    ],
)
async def test_every_answer_that_is_none_has_its_error(
    said: bytes, kind: type[RealtimeError]
) -> None:
    async with answering(said) as site:
        error = await error_of(mint(await at(site.url)))
    assert type(error) is kind
    assert error.cause
    if isinstance(error, RateLimited):
        assert error.retry_after == 3.0


async def test_a_chunked_answer_is_read() -> None:
    text = MINTED.encode()
    said = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    async with answering(said % (len(text), text)) as site:
        assert (await mint(await at(site.url))).value.reveal() == "ek_made"


async def test_a_redirect_is_never_followed() -> None:
    async with answering(answer(200, MINTED)) as other:
        moved = answer(307, location=f"{other.url}/realtime/client_secrets")
        async with answering(moved) as site:
            error = await error_of(mint(await at(site.url)))
    assert isinstance(error, InvalidRequest)
    assert other.asked == []


async def test_an_answer_that_is_no_text_is_told() -> None:
    async with answering(answer(201, b"\xff\xfe")) as site:
        error = await error_of(answer_offer(await at(site.url), plan(), OFFER))
    assert isinstance(error, ProtocolViolation)


async def test_nobody_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: whoever connects is refused
        port = taken.getsockname()[1]
        error = await error_of(mint(await at(f"http://127.0.0.1:{port}/v1")))
    assert isinstance(error, Unavailable)


async def test_who_speaks_no_tls_is_told() -> None:
    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.listeners[0].extra(SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            door = await at(f"https://127.0.0.1:{port}/v1", ssl=ssl.create_default_context())
            assert isinstance(await error_of(mint(door)), Unavailable)
            tasks.cancel_scope.cancel()


async def test_who_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_SECONDS", 0.05)
    async with answering() as site:
        assert isinstance(await error_of(mint(await at(site.url))), TimedOut)


async def test_asking_can_be_cancelled() -> None:
    async with answering() as site:
        door = await at(site.url)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mint, door)
            while not site.asked:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()


async def test_a_proxy_is_only_the_one_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(answer(200, MINTED)) as site, answering(answer(200, MINTED)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        await mint(await at(site.url))
        assert (len(site.asked), len(proxy.asked)) == (1, 0)
        await mint(await at("http://voice.example/v1", proxy=Secret(proxy.url.removesuffix("/v1"))))
    assert proxy.asked[0].line.startswith("POST http://voice.example/v1/realtime/client_secrets ")


async def test_without_the_extra_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    error = await error_of(mint(await at("http://127.0.0.1:1")))
    assert "pip install 'realtime-core[openai]'" in error.fix


async def test_no_log_holds_a_key(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with answering(answer(200, MINTED), TAKEN, answer(401, KEY)) as site:
            door = await at(site.url)
            await mint(door)
            await answer_offer(door, plan(), OFFER)
            await error_of(hang_up(door, "rtc_1"))
    assert caplog.records
    assert KEY not in caplog.text
    assert "ek_made" not in caplog.text


# --- against what was recorded --------------------------------------------------------------------


def recorded(name: str) -> dict[str, Any]:
    folder = os.environ.get("REALTIME_WIRE_DIR")
    if folder is None:
        pytest.skip("no recorded traffic here: REALTIME_WIRE_DIR is not set")
    line = Path(folder, "openai", name).read_text().splitlines()[0]
    return dict(json.loads(line))


def shape(value: Any) -> Any:
    """Names and kinds, without values."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return type(value).__name__


def within(some: Any, more: Any) -> bool:
    """Whether everything that was recorded is in ours, in the same place."""
    if isinstance(some, dict):
        return isinstance(more, dict) and all(
            name in more and within(inner, more[name]) for name, inner in some.items()
        )
    return bool(some == more)


CONFIG = SessionConfig(
    instructions="Be brief.",
    voice="marin",
    options={"transcription": {"model": "gpt-realtime-whisper"}},
)


async def test_a_secret_is_asked_for_as_it_was_recorded() -> None:
    request = recorded("webrtc__create_client_secret.jsonl")["request"]
    response = recorded("webrtc__create_client_secret.jsonl")["response"]
    said = answer(response["status"]["code"], json.dumps(response["parsed_body"]))
    async with answering(said) as site:
        made = await mint(await at(site.url, model="gpt-realtime"), CONFIG, seconds=60)
    (asked,) = site.asked
    assert request["uri"].endswith(asked.line.split()[1])
    assert asked.line.startswith(request["method"])
    assert asked.headers["content-type"] == request["headers"]["content-type"][0]
    assert within(request["parsed_body"], asked.json)
    assert made.value.reveal() == response["parsed_body"]["value"]
    assert made.expires_at == response["parsed_body"]["expires_at"]


async def test_an_offer_is_made_as_it_was_recorded() -> None:
    whole = recorded("webrtc__answer_webrtc_offer.jsonl")
    request, response = whole["request"], whole["response"]
    kind = request["headers"]["content-type"][0]
    theirs = parts(Asked("", {"content-type": kind}, request["body"].encode()))
    sdp = payload(theirs["sdp"]).decode()
    said = answer(201, response["body"]["string"], location=response["headers"]["location"][0])
    async with answering(said) as site:
        door = await at(site.url, model="gpt-realtime")
        taken = await answer_offer(door, plan(CONFIG), sdp)
    (asked,) = site.asked
    ours = parts(asked)
    assert request["uri"].endswith(asked.line.split()[1])
    assert asked.headers["accept"] == request["headers"]["accept"][0]
    assert re.sub(r"=.*", "", asked.headers["content-type"]) == re.sub(r"=.*", "", kind)
    assert [(name, part.items()) for name, part in ours.items()] == [
        (name, part.items()) for name, part in theirs.items()
    ]
    assert ours["sdp"].get_payload() == theirs["sdp"].get_payload()
    sessions = [json.loads(payload(one["session"])) for one in (theirs, ours)]
    assert within(shape(sessions[0]), shape(sessions[1]))
    assert taken.sdp == response["body"]["string"]
    assert taken.call_id == "rtc_u2_E4xw9V7Wm6BbwNyTjXvsL"
