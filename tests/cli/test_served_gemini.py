"""The command against the library's own server of the Live protocol."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anyio.from_thread import start_blocking_portal

from realtime_core import Frame, Provider
from realtime_core import provider as registry
from realtime_gemini.server import Caller, Script, loopback, serve
from tests.cli.conftest import Realtime, seconds_of, write_wav
from tests.cli.voices import ANSWER, counting, parrot, tone

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def keyless(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("gemini", "realtime_gemini:gemini", "realtime_core.providers")
    monkeypatch.setattr(registry, "installed", lambda: {"gemini": entry})
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def served(far: Provider[Frame] | Script, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Serve a provider or a script in a thread of its own, where the vendor's variable says."""
    serving: Any = serve(far) if isinstance(far, Provider) else loopback(far)
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(serving) as server,
    ):
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.base_url)
        yield


def test_a_recording_is_answered(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    question, out = write_wav(tmp_path / "question.wav", tone(0.5)), tmp_path / "out.wav"
    with served(parrot(), monkeypatch):
        ran = realtime("talk", "gemini", "--audio", question, "--output", out, "--no-speaker")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].strip().startswith("Connected to gemini")
    assert f"voice: {ANSWER}" in lines
    assert seconds_of(out) == pytest.approx(1.2, abs=0.15)


def test_typed_words_are_answered(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(parrot(), monkeypatch):
        ran = realtime("talk", "gemini", "--text", "hi", "--text", "and?", "--no-speaker")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines().count(f"voice: {ANSWER}") == 2


def test_talking_over_it_cuts_it(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out.wav"
    with served(parrot(), monkeypatch):
        ran = realtime(
            *("talk", "gemini", "--text", "hello", "--interrupt-with", "stop it"),
            *("--after", "0.3", "--output", out, "--no-speaker"),
        )
    assert ran.code == 0, ran.err
    (cut,) = (line for line in ran.out.splitlines() if "cut after" in line)
    heard = float(cut.split("cut after ")[1].split(" s;")[0])
    assert 0.3 <= heard < 0.8
    assert seconds_of(out) == pytest.approx(heard + 1.2, abs=0.2)


def test_a_film_is_shown(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="needs the extra `video`")
    from tests.core.video.clips import film_of

    film = film_of(tmp_path / "a.mp4", *range(0, 250, 25), fps=5)
    with served(counting(), monkeypatch):
        ran = realtime("talk", "gemini", "--video", film, "--text", "a", "--no-speaker")
    assert ran.code == 0, ran.err
    (told,) = (line for line in ran.out.splitlines() if line.startswith("voice: "))
    assert int(told.split()[3]) >= 1
    assert "shown: " in ran.out


def test_why_it_is_refused_is_told(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.close(1007, "Request contains an invalid argument.")

    with served(script, monkeypatch):
        ran = realtime("talk", "gemini", "--text", "hi", "--no-speaker")
    assert ran.code == 1
    assert "Request contains an invalid argument." in ran.err


FRAMES: tuple[dict[str, Any], ...] = (
    {"setupComplete": {}},
    {"serverContent": {"inputTranscription": {"text": " Hello"}}},
    {"serverContent": {"outputTranscription": {"text": "Hi "}}},
    {
        "serverContent": {
            "modelTurn": {
                "parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA//8A"}}]
            }
        }
    },
    {"toolCall": {"functionCalls": [{"id": "fc_1", "name": "look", "args": {"at": 1}}]}},
    {"serverContent": {"interrupted": True}},
    {"serverContent": {"turnComplete": True}, "usageMetadata": {"responseTokenCount": 5}},
    {"smile": 1},
)


def test_recorded_frames_are_decoded(realtime: Realtime, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    rows = ({"kind": "message", "direction": "received", "data": one} for one in FRAMES)
    file.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    ran = realtime("decode", "gemini", file, "--json")
    assert ran.code == 0, ran.err
    kinds = [event["type"] for event in ran.events]
    assert kinds[0] == "connected"
    for kind in ("user_transcript", "agent_transcript", "audio_output", "tool_call", "unknown"):
        assert kind in kinds
    (cut,) = ran.of("interrupted")
    (done,) = ran.of("response_done")
    assert (cut["cause"], done["status"], done["usage"]["output_tokens"]) == (
        "provider",
        "interrupted",
        5,
    )
    assert "8 messages received, 0 sent (not decoded)" in ran.err
