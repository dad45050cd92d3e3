"""The command against the library's own server of Nova Sonic, over HTTP/2."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anyio.from_thread import start_blocking_portal

from realtime_core import provider as registry
from realtime_nova.server import KEYS, REGION, Caller, Script, loopback
from tests.cli.conftest import Realtime, seconds_of, write_wav
from tests.cli.voices import tone

pytestmark = pytest.mark.timeout(120)

SPEECH = tone(1.2)


@pytest.fixture(autouse=True)
def keyed(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("nova", "realtime_nova:nova", "realtime_core.providers")
    monkeypatch.setattr(registry, "installed", lambda: {"nova": entry})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key.reveal())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key.reveal())
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setenv("AWS_REGION", REGION)


@contextmanager
def served(script: Script, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Play a script in a thread of its own, where the vendor's variable says."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(loopback(script)) as server,
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.base_url)
        yield


async def answering(caller: Caller) -> None:
    """Answer every turn, typed or spoken."""
    while True:
        if not await caller.turn():
            await caller.heard("What is it?")
        await caller.answer("It is an answer.", pcm=SPEECH)


def test_a_recording_is_answered(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    question, out = write_wav(tmp_path / "question.wav", tone(0.5)), tmp_path / "out.wav"
    with served(answering, monkeypatch):
        ran = realtime("talk", "nova", "--audio", question, "--output", out, "--no-speaker")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].strip().startswith("Connected to nova")
    assert "voice: It is an answer." in lines
    assert any("What is it?" in line for line in lines)
    assert seconds_of(out) == pytest.approx(1.2, abs=0.15)


def test_typed_words_are_answered(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(answering, monkeypatch):
        ran = realtime("talk", "nova", "--text", "hi", "--text", "and?", "--no-speaker")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines().count("voice: It is an answer.") == 2


def test_why_it_is_refused_is_told(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(caller: Caller) -> None:
        await caller.turn()
        await caller.fail("validationException", "Invalid voice.")

    with served(script, monkeypatch):
        ran = realtime("talk", "nova", "--text", "hi", "--no-speaker")
    assert ran.code == 1
    assert "Invalid voice." in ran.err


def test_wrong_credentials_are_told_and_not_shown(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "".join(("not", "The", "Right", "One"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    seen = list[tuple[int, str, str]]()

    def talk() -> None:
        with served(answering, monkeypatch):
            ran = realtime("talk", "nova", "--text", "hi", "--no-speaker")
            seen.append((ran.code, ran.err, ran.out))

    with pytest.raises(AssertionError, match="InvalidSignature"):
        talk()
    ((code, err, out),) = seen
    assert code == 1
    assert "credentials" in err
    assert secret not in err + out


FRAMES: tuple[dict[str, Any], ...] = (
    {"completionStart": {}},
    {"contentStart": {"contentId": "u", "type": "TEXT", "role": "USER"}},
    {"textOutput": {"contentId": "u", "role": "USER", "content": "Hello"}},
    {"contentEnd": {"contentId": "u", "type": "TEXT", "stopReason": "PARTIAL_TURN"}},
    {"contentStart": {"contentId": "a", "type": "AUDIO", "role": "ASSISTANT"}},
    {"audioOutput": {"contentId": "a", "content": "AAAA//8A"}},
    {"toolUse": {"contentId": "t", "toolUseId": "tu", "toolName": "look", "content": "{}"}},
    {"usageEvent": {"totalInputTokens": 3, "totalOutputTokens": 5}},
    {"contentEnd": {"contentId": "a", "type": "AUDIO", "stopReason": "INTERRUPTED"}},
    {"smile": {"wide": True}},
)


def test_recorded_frames_are_decoded(realtime: Realtime, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    rows = ({"kind": "message", "direction": "received", "data": {"event": one}} for one in FRAMES)
    file.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    ran = realtime("decode", "nova", file, "--json")
    assert ran.code == 0, ran.err
    kinds = [event["type"] for event in ran.events]
    assert kinds[0] == "connected"
    for kind in ("user_transcript", "audio_output", "tool_call", "unknown"):
        assert kind in kinds
    (cut,) = ran.of("interrupted")
    (done,) = ran.of("response_done")
    assert (cut["cause"], done["status"], done["usage"]["output_tokens"]) == (
        "provider",
        "interrupted",
        5,
    )
