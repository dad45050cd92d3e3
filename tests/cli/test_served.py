"""The command against the library's own server of the protocol, over a socket and in a call."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from realtime_core import Frame, Provider
from realtime_core import provider as registry
from realtime_core.cli import converse
from realtime_core.cli.local_voice import spoken
from realtime_openai.server import serve
from tests.cli.conftest import Realtime, seconds_of, write_wav
from tests.cli.voices import ANSWER, parrot, tone

ice = pytest.importorskip("aioice.ice", reason="needs the extra `webrtc` (aiortc)")

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def on_loopback(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    def hosts(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(ice, "get_host_addresses", hosts)
    entry = EntryPoint("openai", "realtime_openai:openai", "realtime_core.providers")
    monkeypatch.setattr(registry, "installed", lambda: {"openai": entry})
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def served(provider: Provider[Frame] | str, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Serve a provider in a thread of its own, where the vendor's variable says."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(serve(provider)) as server,
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        yield


@pytest.mark.parametrize("transport", ["websocket", "webrtc"])
def test_a_recording_is_answered(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, transport: str
) -> None:
    question, out = write_wav(tmp_path / "question.wav", tone(0.5)), tmp_path / "out.wav"
    with served(parrot(), monkeypatch):
        ran = realtime(
            *("talk", "openai", "--audio", question, "--transport", transport),
            *("--output", out, "--no-speaker"),
        )
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].strip().startswith("Connected to openai")
    assert f"voice: {ANSWER}" in lines
    assert seconds_of(out) == pytest.approx(1.2, abs=0.15)


def test_talking_over_a_call_cuts_it(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out.wav"
    with served(parrot(), monkeypatch):
        ran = realtime(
            *("talk", "openai", "--text", "hello", "--transport", "webrtc"),
            *("--interrupt-with", "stop it", "--after", "0.3", "--output", out, "--no-speaker"),
        )
    assert ran.code == 0, ran.err
    (cut,) = (line for line in ran.out.splitlines() if "cut after" in line)
    heard = float(cut.split("cut after ")[1].split(" s;")[0])
    assert 0.3 <= heard < 0.8
    assert seconds_of(out) == pytest.approx(heard + 1.2, abs=0.2)


@pytest.mark.models
def test_the_local_voice_answers_in_a_call(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(converse, "spoken", spoken)
    out = tmp_path / "out.wav"
    monkeypatch.setattr(registry, "installed", _both)
    with served("local", monkeypatch):
        ran = realtime(
            *("talk", "openai", "--say", "What do bees make?"),
            *("--transport", "webrtc", "--output", out, "--no-speaker"),
        )
    assert ran.code == 0, ran.err
    (voice,) = (line for line in ran.out.splitlines() if line.startswith("voice: "))
    assert "honey" in voice
    assert seconds_of(out) > 0.3


def _both() -> dict[str, EntryPoint]:
    lines = {"openai": "realtime_openai:openai", "local": "realtime_local:local"}
    group = "realtime_core.providers"
    return {name: EntryPoint(name, line, group) for name, line in lines.items()}
