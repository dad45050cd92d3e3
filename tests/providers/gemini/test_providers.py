"""The two providers: what is installed, what each can do, and how sessions reach them."""

from __future__ import annotations

import json
import logging
import os
import tomllib
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
from realtime_core.config import SessionConfig
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
from realtime_core.provider import Provider, resolve
from realtime_core.transports.websocket_server import Request, Response, ServedSocket, serve
from realtime_gemini import DEVELOPER_API, VERTEX, gemini, gemini_vertex

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
KEY = "AIzaQuiteASecret"
TOKEN = "auth_tokens/quite-a-secret"
NAMES = ("gemini", "gemini-vertex")
LIVE = "/ws/google.ai.generativelanguage.{}.GenerativeService.BidiGenerateContent"
ON_VERTEX = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
OPTIONS = {"gemini": "api_key", "gemini-vertex": "token"}


def entries() -> dict[str, EntryPoint]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["entry-points"][registry.GROUP]
    return {name: EntryPoint(name, value, registry.GROUP) for name, value in lines.items()}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give no variable, and this tree's own providers."""
    for variable in os.environ:
        if variable.startswith(("CLOUDSDK_", "GEMINI_", "GOOGLE_")):
            monkeypatch.delenv(variable)
    monkeypatch.setattr(registry, "installed", entries)


async def opened(provider: Provider[Frame], **settings: Any) -> Connected:
    async with open_session(provider, **settings) as session:
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


class Visit:
    """What a client asked for: the request of its upgrade, and its setup."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self.setup: dict[str, Any] = {}

    async def take(self, socket: ServedSocket) -> None:
        self.request = socket.request
        (setup,) = await socket.receive()
        assert isinstance(setup, (str, bytes))
        self.setup = json.loads(setup)["setup"]
        await socket.send((b'{"setupComplete": {}}',))
        await socket.receive()

    @property
    def path(self) -> str:
        assert self.request is not None
        return self.request.path

    @property
    def headers(self) -> Any:
        assert self.request is not None
        return self.request.headers


# --- what is installed ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_provider_is_made_without_a_key(name: str) -> None:
    made = resolve(name)
    assert isinstance(made, Success)
    provider = made.unwrap()
    assert provider.name == provider.capabilities.provider == name
    assert provider.defaults.model in {DEVELOPER_API.model, VERTEX.model}
    assert resolve(f"{name}:a-model").unwrap().defaults.model == "a-model"


@pytest.mark.parametrize("name", NAMES)
def test_no_repr_holds_a_key(name: str) -> None:
    provider = resolve(name, **{OPTIONS[name]: KEY}).unwrap()
    assert KEY not in repr(provider)
    assert KEY not in repr(provider.agree)


def test_what_a_provider_can_do_depends_on_the_model() -> None:
    one, other = gemini(), gemini("gemini-3.5-live-translate-preview")
    assert one.capabilities.tools
    assert one.capabilities != other.capabilities


def test_the_providers_are_listed_and_the_keys_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["providers", "--json"]) == 0
    listed = {one["name"]: one for one in msgspec.json.decode(capsys.readouterr().out)}
    for name in NAMES:
        assert listed[name]["error"] is None
        assert listed[name]["capabilities"]["tools"]
        assert listed[name]["capabilities"]["resumption"] == "handle"
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    assert app.run(["doctor"]) == 0
    told = capsys.readouterr().out
    assert KEY not in told
    lines = [line.split() for line in told.splitlines() if " key " in line]
    assert ["ok", "key", "GOOGLE_API_KEY", "set,", "for", "gemini"] in lines
    assert ["--", "key", "GEMINI_API_KEY", "not", "set,", "for", "gemini"] in lines


@pytest.mark.parametrize("name", NAMES)
def test_recorded_frames_are_decoded(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    wires = os.environ.get("REALTIME_WIRE_DIR")
    if wires is None:
        pytest.skip("no recorded traffic here: REALTIME_WIRE_DIR is not set")
    files = sorted(Path(wires, "gemini").glob("google_ws*.jsonl"))
    assert files
    for file in files:
        assert app.run(["decode", name, str(file), "--json"]) == 0
        captured = capsys.readouterr()
        kinds = {msgspec.json.decode(line)["type"] for line in captured.out.splitlines()}
        assert {"connected", "response_started", "response_done"} <= kinds
        assert "0 unknown, 0 faults" in captured.err


# --- over a socket --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [gemini, lambda: gemini_vertex(project="mine")])
async def test_without_a_key_nothing_is_dialled(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anyio, "connect_tcp", None)
    assert isinstance(await failed(make()), AuthFailed)


async def test_without_a_project_nothing_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anyio, "connect_tcp", None)
    assert isinstance(await failed(gemini_vertex(token=KEY)), InvalidRequest)


async def test_a_session_opens_with_key_and_model() -> None:
    visit = Visit()
    async with serve(visit.take) as (host, port):
        provider = gemini("gemini-3.8-live", api_key=lambda: KEY, base_url=f"http://{host}:{port}")
        connected = await opened(provider)
    assert connected.config.model == "gemini-3.8-live"
    assert connected.capabilities == provider.capabilities
    assert visit.path == LIVE.format("v1beta")
    assert visit.headers["x-goog-api-key"] == KEY
    assert "authorization" not in visit.headers
    assert visit.setup["model"] == "models/gemini-3.8-live"
    assert "sessionResumption" in visit.setup


async def test_an_ephemeral_token_opens_a_session() -> None:
    visit = Visit()
    async with serve(visit.take) as (host, port):
        await opened(gemini(api_key=TOKEN, base_url=f"http://{host}:{port}"))
    assert visit.path == LIVE.format("v1alpha") + "Constrained"
    assert visit.headers["authorization"] == f"Token {TOKEN}"
    assert "x-goog-api-key" not in visit.headers


async def test_a_session_on_vertex_names_its_project() -> None:
    visit = Visit()
    async with serve(visit.take) as (host, port):
        base = f"http://{host}:{port}"
        provider = gemini_vertex(project="mine", location="us", token=KEY, base_url=base)
        await opened(provider)
    assert visit.path == ON_VERTEX
    assert visit.headers["authorization"] == f"Bearer {KEY}"
    assert visit.setup["model"] == (
        "projects/mine/locations/us/publishers/google/models/gemini-live-2.5-flash-native-audio"
    )


async def test_the_sessions_model_goes_before_the_providers() -> None:
    visit = Visit()
    async with serve(visit.take) as (host, port):
        provider = gemini(base_url=f"http://{host}:{port}")
        other = "gemini-2.5-flash-native-audio-preview-12-2025"
        connected = await opened(provider, config=SessionConfig(model=other))
    assert visit.setup["model"] == f"models/{other}"
    assert connected.capabilities == gemini(other).capabilities != provider.capabilities


async def test_a_config_without_a_model_means_the_providers() -> None:
    visit = Visit()
    async with serve(visit.take) as (host, port):
        provider = gemini("gemini-3.1-flash-live-preview", base_url=f"http://{host}:{port}")
        await opened(provider, config=SessionConfig())
    assert visit.setup["model"] == "models/gemini-3.1-flash-live-preview"


async def _never(socket: ServedSocket) -> None:
    raise AssertionError(socket)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (Response(401, {}, b'{"error": {"message": "Wrong: AIzaQuiteASecret"}}'), AuthFailed),
        (Response(403), AuthFailed),
        (Response(404), InvalidRequest),
        (Response(302, {"Location": "http://elsewhere.example"}), InvalidRequest),
        (Response(429, {"Retry-After": "3"}), RateLimited),
        (Response(500, {}, b"AIzaQuiteASecret"), Unavailable),
    ],
)
async def test_a_refused_upgrade_is_a_typed_error(
    response: Response, kind: type[RealtimeError], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with serve(_never, process_request=lambda _: response) as (host, port):
            error = await failed(gemini(api_key=KEY, base_url=f"http://{host}:{port}"))
    assert type(error) is kind
    if isinstance(error, RateLimited):
        assert error.retry_after == 3.0
    assert KEY not in caplog.text
