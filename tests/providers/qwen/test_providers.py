"""The provider: what it can do, and how sessions reach it over sockets."""

from __future__ import annotations

import logging
import os

import pytest

from realtime_core import open_session
from realtime_core.config import SessionConfig
from realtime_core.errors import (
    AuthFailed,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    RealtimeException,
    SessionExpired,
    Unavailable,
)
from realtime_core.events import Connected
from realtime_core.schedule import RECONNECT
from realtime_core.transports.websocket_server import Request, Response, ServedSocket, serve
from realtime_qwen import DEFAULT_MODEL, qwen
from realtime_qwen.providers import closed
from tests.providers.qwen.wires import FLAT

pytestmark = pytest.mark.anyio
KEY = "sk-quite-a-secret"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.startswith("DASHSCOPE_"):
            monkeypatch.delenv(variable)


def test_made_without_a_key() -> None:
    made = qwen(api_key=KEY)
    assert made.name == made.capabilities.provider == "qwen"
    assert made.defaults.model == DEFAULT_MODEL
    assert made.defaults.retry == RECONNECT
    assert made.variables == ("DASHSCOPE_API_KEY",)
    assert KEY not in repr(made)
    assert qwen(FLAT).capabilities.models[0].name == qwen(FLAT).defaults.model == FLAT


async def test_a_session_opens_with_key_and_model_and_is_taken_leave_of() -> None:
    asked, heard = list[Request](), list[str | bytes]()

    async def handler(socket: ServedSocket) -> None:
        asked.append(socket.request)
        heard.extend(await socket.receive())  # type: ignore[arg-type]
        await socket.send((b'{"type":"session.updated","session":{"voice":"Tina"}}',))
        heard.extend(await socket.receive())  # type: ignore[arg-type]

    async with serve(handler) as (host, port):
        provider = qwen(api_key=KEY, workspace="ws-1", base_url=f"ws://{host}:{port}/api-ws/v1")
        config = SessionConfig(model=FLAT)
        async with open_session(provider, config=config) as session:
            event = await anext(session.events())
            assert isinstance(event, Connected)
            assert (event.config.model, event.config.voice) == (FLAT, "Tina")
    assert asked[0].path == f"/api-ws/v1/realtime?model={FLAT}"
    assert asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert asked[0].headers["x-dashscope-workspace"] == "ws-1"
    assert b"input_audio_format" in bytes(str(heard[0]), "utf-8")
    assert "session.finish" in str(heard[-1])


async def _never(socket: ServedSocket) -> None:
    raise AssertionError(socket)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (Response(401, {}, b'{"code":"InvalidApiKey","message":"sk-quite-a-secret"}'), AuthFailed),
        (Response(403), AuthFailed),
        (Response(404), InvalidRequest),
        (Response(429, {"Retry-After": "3"}), RateLimited),
        (Response(503), Unavailable),
    ],
)
async def test_a_refused_upgrade_is_a_typed_error(
    response: Response, kind: type[RealtimeError], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with serve(_never, process_request=lambda _: response) as (host, port):
            provider = qwen(api_key=KEY, base_url=f"ws://{host}:{port}")
            with pytest.raises(RealtimeException) as caught:
                async with open_session(provider):
                    raise AssertionError
    error = caught.value.error
    assert type(error) is kind
    assert error.cause
    assert error.fix
    assert KEY not in f"{caplog.text} {error!r}"
    assert ("region" in error.fix) is (kind is AuthFailed)


def test_a_connection_that_lay_idle_is_made_again() -> None:
    why = "Your session was closed because no response was generated for 300 seconds."
    for code in (1000, 1007, 1011):
        error = closed(code, why)
        assert isinstance(error, SessionExpired)
        assert error.retryable
    assert closed(1000, "") is None
    assert isinstance(closed(1007, "Voice 'x' is not supported."), InvalidRequest)
