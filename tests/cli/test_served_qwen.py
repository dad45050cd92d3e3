"""The command against the library's own server of Qwen-Omni Realtime."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from realtime_core import Frame, Provider
from realtime_core import provider as registry
from realtime_openai import client_events as client
from realtime_qwen.server import Caller, Script, loopback, serve
from tests.cli.conftest import Realtime, seconds_of, write_wav
from tests.cli.voices import ANSWER, parrot, tone

pytestmark = pytest.mark.timeout(120)

KEY = "-".join(("sk", "of", "the", "test"))


@pytest.fixture(autouse=True)
def named(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("qwen", "realtime_qwen:qwen", "realtime_core.providers")
    monkeypatch.setattr(registry, "installed", lambda: {"qwen": entry})
    for name in ("DASHSCOPE_REGION", "DASHSCOPE_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)


@contextmanager
def served(far: Provider[Frame] | Script, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Serve a provider or a script in a thread of its own, where the vendor's variable says."""
    serving: Any = loopback(far, key=KEY) if callable(far) else serve(far, key=KEY)
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(serving) as server,
    ):
        monkeypatch.setenv("DASHSCOPE_WEBSOCKET_BASE_URL", server.base_url)
        yield


@pytest.mark.parametrize("name", ["qwen", "qwen:qwen3-omni-flash-realtime"])
def test_a_recording_is_answered(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    question, out = write_wav(tmp_path / "question.wav", tone(0.5)), tmp_path / "out.wav"
    with served(parrot(), monkeypatch):
        ran = realtime("talk", name, "--audio", question, "--output", out, "--no-speaker")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].strip().startswith("Connected to qwen")
    assert f"voice: {ANSWER}" in lines
    assert seconds_of(out) == pytest.approx(1.2, abs=0.15)


def test_talking_over_it_cuts_it(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out.wav"
    with served(parrot(), monkeypatch):
        ran = realtime(
            *("talk", "qwen", "--text", "hello", "--interrupt-with", "stop it"),
            *("--after", "0.3", "--output", out, "--no-speaker"),
        )
    assert ran.code == 0, ran.err
    (cut,) = (line for line in ran.out.splitlines() if "cut after" in line)
    heard = float(cut.split("cut after ")[1].split(" s;")[0])
    assert 0.3 <= heard < 0.8
    assert seconds_of(out) == pytest.approx(heard + 1.2, abs=0.2)


def test_a_scripted_answer_is_told(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(caller: Caller) -> None:
        await caller.until(client.Create)
        await caller.answer("Hello there.", pcm=tone(0.1))
        await caller.next()

    with served(script, monkeypatch):
        ran = realtime("talk", "qwen", "--text", "hi", "--no-speaker")
    assert ran.code == 0, ran.err
    assert "voice: Hello there." in ran.out.splitlines()


def test_a_wrong_key_is_told(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(parrot(), monkeypatch):
        monkeypatch.setenv("DASHSCOPE_API_KEY", "wrong")
        ran = realtime("talk", "qwen", "--text", "hi", "--no-speaker")
    assert ran.code == 1
    assert "401" in ran.err
