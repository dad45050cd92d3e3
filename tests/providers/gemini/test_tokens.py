"""Ephemeral tokens: asked for as the vendor's own client does, and every answer read or refused."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import sys
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from realtime_core import ConversationItem, CreateResponse, Text, open_session
from realtime_core.config import Secret, SessionConfig, ToolSpec
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
from realtime_gemini import DEVELOPER_API, VERTEX, Access, Door, gemini, mint, reach, tokens
from realtime_gemini.server import Caller, loopback
from tests.providers.openai.answering import Site, answer, answering

pytestmark = pytest.mark.anyio

KEY = "AIzaQuiteASecret"
MADE = "auth_tokens/just-made"
MINTED = json.dumps({"name": MADE})
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_by_calendar", lambda: NOW)


async def at(site: Site | str, **given: Any) -> Door:
    url = site if isinstance(site, str) else site.url.removesuffix("/v1")
    return await reach(
        Access(**{"service": DEVELOPER_API, "base_url": url, "key": Secret(KEY), **given})
    )


async def error_of(asks: Awaitable[object]) -> RealtimeError:
    with pytest.raises(RealtimeException) as caught:
        await asks
    problem: BaseException | None = caught.value
    while problem is not None:  # what a traceback would show
        assert KEY not in f"{problem!r} {problem}"
        assert MADE not in f"{problem!r} {problem}"
        problem = problem.__cause__ or (
            None if problem.__suppress_context__ else problem.__context__
        )
    error = caught.value.error
    assert error.what
    assert error.cause
    assert error.fix
    return error


# --- what is asked --------------------------------------------------------------------------------


async def test_a_token_for_any_session() -> None:
    async with answering(answer(200, MINTED)) as site:
        made = await mint(await at(site))
    assert made.name.reveal() == MADE
    assert made.expires_at == NOW.timestamp() + 1_800
    assert made.start_until == NOW.timestamp() + 60
    assert MADE not in repr(made)
    (asked,) = site.asked
    assert asked.line == "POST /v1alpha/auth_tokens HTTP/1.1"
    assert asked.headers["x-goog-api-key"] == KEY
    assert asked.headers["content-type"] == "application/json"
    assert asked.json == {
        "uses": 1,
        "expireTime": "2026-11-21T12:30:00Z",
        "newSessionExpireTime": "2026-11-21T12:01:00Z",
    }


async def test_what_a_session_is_set_up_with_is_locked_but_not_how_it_goes_on() -> None:
    async with answering(answer(200, MINTED)) as site:
        config = SessionConfig(instructions="Be brief.", voice="Kore", temperature=0.5)
        await mint(await at(site), config, seconds=600, start_within=600, uses=0)
    wish = site.asked[0].json
    assert (wish["uses"], wish["expireTime"]) == (0, "2026-11-21T12:10:00Z")
    assert wish["newSessionExpireTime"] == wish["expireTime"]
    setup, mask = wish["bidiGenerateContentSetup"], wish["fieldMask"].split(",")
    assert setup["model"] == "models/gemini-3.8-live"
    assert setup["generationConfig"]["temperature"] == 0.5
    assert "Be brief." in json.dumps(setup["systemInstruction"])
    assert {"model", "generationConfig.temperature", "systemInstruction.parts", "tools"} <= {*mask}
    assert not {"sessionResumption", "historyConfig"} & ({*setup} | {*mask})
    assert "generationConfig" not in mask


async def test_the_model_is_the_sessions_or_the_callers() -> None:
    async with answering(answer(200, MINTED), answer(200, MINTED)) as site:
        door = await at(site, model="gemini-3.1-flash-live-preview")
        await mint(door, SessionConfig())
        await mint(door, SessionConfig(model="gemini-3.8-live"))
    told = [asked.json["bidiGenerateContentSetup"]["model"] for asked in site.asked]
    assert told == ["models/gemini-3.1-flash-live-preview", "models/gemini-3.8-live"]


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("tools", [(), (ToolSpec("look"),)])
async def test_the_official_client_locks_the_same_fields(tools: tuple[ToolSpec, ...]) -> None:
    from google.genai import tokens as theirs
    from google.genai import types

    config = SessionConfig(instructions="Be brief.", voice="Kore", tools=tools)
    async with answering(answer(200, MINTED)) as site:
        await mint(await at(site), config)
    ours = site.asked[0].json
    setup = ours["bidiGenerateContentSetup"]
    request: dict[str, Any] = {"bidiGenerateContentSetup": {"setup": setup}}
    request["fieldMask"] = [name for name in ("tools",) if name not in setup]
    locked = types.CreateAuthTokenConfig(lock_additional_fields=request["fieldMask"])
    made = theirs._convert_bidi_setup_to_token_setup(request, locked)
    assert made["bidiGenerateContentSetup"] == setup
    assert ours["fieldMask"] == made["fieldMask"]


@pytest.mark.parametrize(
    "given",
    [
        {"seconds": 0},
        {"seconds": 72_000},
        {"start_within": 0},
        {"seconds": 30},
        {"uses": -1},
    ],
)
async def test_a_token_that_cannot_be_is_refused_at_once(given: dict[str, Any]) -> None:
    async with answering() as site:
        error = await error_of(mint(await at(site), **given))
    assert isinstance(error, InvalidRequest)
    assert site.asked == []


async def test_a_session_that_cannot_be_is_refused_at_once() -> None:
    async with answering() as site:
        error = await error_of(mint(await at(site), SessionConfig(options={"nonsense": 1})))
    assert isinstance(error, Unsupported)
    assert site.asked == []


async def test_vertex_has_none() -> None:
    error = await error_of(mint(await at("http://127.0.0.1:1", service=VERTEX)))
    assert isinstance(error, Unsupported)


async def test_a_token_makes_no_token() -> None:
    door = await at("http://127.0.0.1:1", key=Secret(MADE))
    assert isinstance(await error_of(mint(door)), InvalidRequest)


async def test_a_token_opens_the_session_it_was_made_for_and_another_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokens, "_by_calendar", lambda: datetime.now(UTC))
    setups = list[Any]()

    async def script(caller: Caller) -> None:
        setups.append(caller.setup)
        await caller.turn()

    async with loopback(script) as server:
        config = SessionConfig(instructions="Be brief.", voice="Kore")
        made = await mint(await at(server.base_url), config)
        provider = gemini(base_url=server.base_url, api_key=made.name)
        async with open_session(provider, instructions="Be long.") as session:
            await session.send(Text("Hello"))
            await session.send(CreateResponse())
            async for event in session.events():
                if isinstance(event, ConversationItem):
                    break
        with pytest.raises(RealtimeException) as caught:
            async with open_session(gemini(base_url=server.base_url, api_key=MADE)):
                pass
    assert isinstance(caught.value.error, AuthFailed)
    assert MADE not in f"{caught.value!r} {caught.value}"
    (setup,) = setups
    assert "Be brief." in str(setup.system_instruction)
    assert "Kore" in str(setup.generation_config)
    assert setup.session_resumption == {}


# --- answers that are none ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (answer(401, f'{{"error": {{"message": "Wrong key {KEY}."}}}}'), AuthFailed),
        (answer(403), AuthFailed),
        (answer(404), InvalidRequest),
        (answer(429, retry_after="3"), RateLimited),
        (answer(500, f"{KEY} {MADE}"), Unavailable),
        (answer(200, ""), ProtocolViolation),
        (answer(200, MINTED[:-1]), ProtocolViolation),
        (answer(200, '{"name": 5}'), ProtocolViolation),
        (answer(200, b"\xff\xfe"), ProtocolViolation),
        (answer(200, b"[" * 100_000), ProtocolViolation),
        (answer(200, b" " * ((1 << 20) + 1)), ProtocolViolation),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", Unavailable),
        (b"nonsense\r\n\r\n", Unavailable),
        (b"", Unavailable),
    ],
)
async def test_every_answer_that_is_none_has_its_error(
    said: bytes, kind: type[RealtimeError]
) -> None:
    async with answering(said) as site:
        error = await error_of(mint(await at(site)))
    assert type(error) is kind
    if isinstance(error, RateLimited):
        assert error.retry_after == 3.0


async def test_a_redirect_is_never_followed() -> None:
    async with answering(answer(200, MINTED)) as other:
        moved = answer(307, location=f"{other.url}/auth_tokens")
        async with answering(moved) as site:
            error = await error_of(mint(await at(site)))
    assert isinstance(error, InvalidRequest)
    assert other.asked == []


async def test_nobody_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: whoever connects is refused
        port = taken.getsockname()[1]
        error = await error_of(mint(await at(f"http://127.0.0.1:{port}")))
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
            door = await at(f"https://127.0.0.1:{port}", ssl=ssl.create_default_context())
            assert isinstance(await error_of(mint(door)), Unavailable)
            tasks.cancel_scope.cancel()


async def test_who_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_SECONDS", 0.05)
    async with answering() as site:
        assert isinstance(await error_of(mint(await at(site))), TimedOut)


async def test_asking_can_be_cancelled() -> None:
    async with answering() as site:
        door = await at(site)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mint, door)
            while not site.asked:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()


async def test_a_proxy_is_only_the_one_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(answer(200, MINTED)) as site, answering(answer(200, MINTED)) as proxy:
        between = proxy.url.removesuffix("/v1")
        monkeypatch.setenv("HTTP_PROXY", between)
        await mint(await at(site))
        assert (len(site.asked), len(proxy.asked)) == (1, 0)
        await mint(await at("http://live.example", proxy=Secret(between)))
    assert proxy.asked[0].line.startswith("POST http://live.example/v1alpha/auth_tokens ")


async def test_without_the_extra_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    error = await error_of(mint(await at("http://127.0.0.1:1")))
    assert "pip install 'realtime-core[gemini]'" in error.fix


async def test_no_log_holds_a_key(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with answering(answer(200, MINTED), answer(401, KEY)) as site:
            door = await at(site)
            await mint(door, SessionConfig())
            await error_of(mint(door))
    assert caplog.records
    assert KEY not in caplog.text
    assert MADE not in caplog.text
