"""The family's providers: what is installed, what each can do, and how sessions reach them."""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from returns.result import Success

from realtime_core import open_session
from realtime_core import provider as registry
from realtime_core.cli import app
from realtime_core.config import Secret, SessionConfig
from realtime_core.errors import (
    AuthFailed,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    RealtimeException,
    Unavailable,
)
from realtime_core.events import Connected
from realtime_core.frames import Frame
from realtime_core.link import Link
from realtime_core.plan import Plan
from realtime_core.provider import Provider, resolve
from realtime_core.transports.memory import memory_link
from realtime_core.transports.websocket_server import Request, Response, ServedSocket, serve
from realtime_openai import azure_openai, openai, openai_beta, providers, xai
from tests.providers.openai.answering import answer, answering

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
KEY = "sk-quite-a-secret"
NAMES = ("azure-openai", "azure-voice-live", "openai", "openai-beta", "xai")
UPDATED = b'{"type":"session.updated","event_id":"e","session":{"model":"gpt-told","voice":"v"}}'


def entries() -> dict[str, EntryPoint]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["entry-points"][registry.GROUP]
    return {name: EntryPoint(name, value, registry.GROUP) for name, value in lines.items()}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give no variable, and this tree's own providers."""
    for variable in os.environ:
        if variable.startswith(("OPENAI_", "AZURE_", "XAI_")):
            monkeypatch.delenv(variable)
    monkeypatch.setattr(registry, "installed", entries)


async def opened(provider: Provider[Frame]) -> Connected:
    async with open_session(provider) as session:
        async for event in session.events():
            assert isinstance(event, Connected)
            return event
    raise AssertionError


async def failed(provider: Provider[Frame]) -> RealtimeError:
    with pytest.raises(RealtimeException) as caught:
        await opened(provider)
    assert KEY not in f"{caught.value!r} {caught.value} {caught.value.error!r}"
    error = caught.value.error
    assert error.cause
    assert error.fix
    return error


# --- what is installed ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_provider_is_made_without_a_key(name: str) -> None:
    made = resolve(f"{name}:a-model")
    assert isinstance(made, Success)
    provider = made.unwrap()
    assert provider.name == provider.capabilities.provider == name
    assert provider.defaults.model == "a-model"
    assert provider.variables
    assert KEY not in repr(provider)


@pytest.mark.parametrize("name", NAMES)
def test_no_repr_holds_a_key(name: str) -> None:
    provider = resolve(name, api_key=KEY).unwrap()
    assert KEY not in repr(provider)
    assert KEY not in repr(list(vars(provider.codec).values()))


def test_the_providers_are_listed_and_the_keys_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["providers", "--json"]) == 0
    listed = {one["name"]: one for one in msgspec.json.decode(capsys.readouterr().out)}
    for name in NAMES:
        assert listed[name]["error"] is None
        assert listed[name]["capabilities"]["tools"]
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert app.run(["doctor"]) == 0
    told = capsys.readouterr().out
    assert KEY not in told
    lines = [line.split() for line in told.splitlines() if " key " in line]
    assert ["ok", "key", "OPENAI_API_KEY", "set,", "for", "openai,", "openai-beta"] in lines
    assert ["--", "key", "XAI_API_KEY", "not", "set,", "for", "xai"] in lines


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("openai", "openai"),
        ("azure-openai", "azure"),
        ("azure-voice-live", "azure"),
        ("xai", "xai"),
    ],
)
def test_recorded_frames_are_decoded(
    name: str, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wires = os.environ.get("REALTIME_WIRE_DIR")
    if wires is None:
        pytest.skip("no recorded traffic here: REALTIME_WIRE_DIR is not set")
    start = {"azure-openai": "azure_ws", "azure-voice-live": "azure_voice"}.get(name, f"{name}_ws")
    files = sorted(Path(wires, folder).glob(f"{start}*.jsonl"))
    assert files
    for file in files:
        assert app.run(["decode", name, str(file), "--json"]) == 0
        captured = capsys.readouterr()
        kinds = {msgspec.json.decode(line)["type"] for line in captured.out.splitlines()}
        assert {"connected", "response_started", "response_done"} <= kinds
        assert "0 unknown, 0 faults" in captured.err


def test_a_transport_that_is_none_is_refused() -> None:
    with pytest.raises(RealtimeException) as caught:
        openai(transport="pigeon")  # type: ignore[arg-type]
    assert "websocket, webrtc" in str(caught.value)


# --- over a socket --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [openai, xai])
async def test_without_a_key_nothing_is_dialled(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anyio, "connect_tcp", None)
    assert isinstance(await failed(make()), AuthFailed)


async def test_a_session_opens_with_key_and_model() -> None:
    asked = list[Request]()

    async def handler(socket: ServedSocket) -> None:
        asked.append(socket.request)
        await socket.receive()
        await socket.send((UPDATED,))
        await socket.receive()

    async with serve(handler) as (host, port):
        provider = openai(
            "my model",
            api_key=lambda: KEY,
            base_url=f"http://{host}:{port}/v1",
            organization="org-1",
            safety_identifier="user-1",
        )
        connected = await opened(provider)
    assert connected.config.model == "gpt-told"
    (request,) = asked
    assert request.path == "/v1/realtime?model=my+model"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["openai-organization"] == "org-1"
    assert request.headers["openai-safety-identifier"] == "user-1"
    assert "openai-beta" not in request.headers


async def test_the_beta_is_asked_for_by_name() -> None:
    asked = list[Request]()

    def judge(request: Request) -> Response:
        asked.append(request)
        return Response(500)

    async with serve(_never, process_request=judge) as (host, port):
        await failed(openai_beta(base_url=f"ws://{host}:{port}"))
    assert asked[0].path == "/realtime"
    assert asked[0].headers["openai-beta"] == "realtime=v1"
    assert "authorization" not in asked[0].headers


async def _never(socket: ServedSocket) -> None:
    raise AssertionError(socket)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (Response(401, {}, b'{"error": {"message": "Wrong: sk-quite-a-secret"}}'), AuthFailed),
        (Response(403), AuthFailed),
        (Response(404), InvalidRequest),
        (Response(302, {"Location": "http://elsewhere.example"}), InvalidRequest),
        (Response(429, {"Retry-After": "3"}), RateLimited),
        (Response(500, {}, b"sk-quite-a-secret"), Unavailable),
    ],
)
async def test_a_refused_upgrade_is_a_typed_error(
    response: Response, kind: type[RealtimeError], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with serve(_never, process_request=lambda _: response) as (host, port):
            error = await failed(openai(api_key=KEY, base_url=f"http://{host}:{port}/v1"))
    assert type(error) is kind
    if isinstance(error, RateLimited):
        assert error.retry_after == 3.0
    assert KEY not in caplog.text


async def test_a_sideband_joins_a_call_and_sends_no_sound() -> None:
    asked = list[Request]()

    async def handler(socket: ServedSocket) -> None:
        asked.append(socket.request)
        await socket.receive()
        await socket.send((UPDATED,))
        await socket.receive()

    async with serve(handler) as (host, port):
        beside = openai(api_key=KEY, base_url=f"http://{host}:{port}/v1", call_id="rtc_1")
        able = (await opened(beside)).capabilities
    assert asked[0].path == "/v1/realtime?call_id=rtc_1"
    assert able.audio_in == ()
    assert not any((able.images, able.manual_turns, able.commit, able.truncate, able.delete))


# --- over a call ----------------------------------------------------------------------------------


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the engine: offer, and keep what is answered."""
    answers = list[str]()

    def webrtc(exchange: Any, *, video: bool) -> Any:
        @asynccontextmanager
        async def dial(plan: Plan) -> AsyncGenerator[Link]:
            answers.append(await exchange(plan, f"an offer {'with' if video else 'without'} video"))
            ours, theirs = memory_link()
            async with ours, theirs:
                await theirs.send((UPDATED,))
                yield ours

        return dial

    monkeypatch.setattr(providers, "webrtc", webrtc)
    return answers


TAKEN = answer(201, "the answer", location="/v1/realtime/calls/rtc_7")


async def test_a_call_is_offered_and_its_id_told(offers: list[str]) -> None:
    calls = list[str]()
    async with answering(TAKEN) as site:
        provider = openai(
            api_key=KEY, base_url=site.url, transport="webrtc", on_call=calls.append, video=True
        )
        assert provider.capabilities.images
        assert not provider.capabilities.truncate
        assert (await opened(provider)).config.model == "gpt-told"
    assert offers == ["the answer"]
    assert calls == ["rtc_7"]
    assert b"an offer with video" in site.asked[0].body
    assert b'"model":"gpt-realtime-2.1"' in site.asked[0].body


async def test_a_client_secret_is_enough_for_a_call(offers: list[str]) -> None:
    async with answering(answer(201, "the answer")) as site:
        provider = openai(api_key=Secret("ek_1"), base_url=site.url, transport="webrtc")
        assert not provider.capabilities.images
        await opened(provider)
    assert offers == ["the answer"]
    assert site.asked[0].body == b"an offer without video"


async def test_a_call_that_is_refused_is_a_typed_error(offers: list[str]) -> None:
    async with answering(answer(401, KEY)) as site:
        provider = openai(api_key=KEY, base_url=site.url, transport="webrtc")
        assert isinstance(await failed(provider), AuthFailed)
    assert offers == []


async def test_without_a_key_or_model_nothing_is_offered(offers: list[str]) -> None:
    assert isinstance(await failed(openai(transport="webrtc")), AuthFailed)
    somewhere = azure_openai(endpoint="http://127.0.0.1:1", api_key=KEY, transport="webrtc")
    assert isinstance(await failed(somewhere), InvalidRequest)
    assert offers == []


async def test_the_sessions_model_goes_before_the_providers(offers: list[str]) -> None:
    async with answering(TAKEN) as site:
        provider = openai("one", api_key=KEY, base_url=site.url, transport="webrtc")
        async with open_session(provider, config=SessionConfig(model="two")):
            pass
    assert b'"model":"two"' in site.asked[0].body
