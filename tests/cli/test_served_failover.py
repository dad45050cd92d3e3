"""The command with several providers: one is lost for good, and the next one goes on."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

import realtime_gemini.server as live
import realtime_openai.server as realtime_server
from realtime_core import provider as registry
from realtime_openai import client_events as client
from tests.cli.conftest import Realtime, seconds_of
from tests.cli.voices import ANSWER, parrot

pytestmark = pytest.mark.timeout(120)

ENTRIES = {
    "failover": "realtime_core.takeover:failover_named",
    "gemini": "realtime_gemini:gemini",
    "openai": "realtime_openai:openai",
}


@pytest.fixture(autouse=True)
def keyless(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    group = "realtime_core.providers"
    entries = {name: EntryPoint(name, line, group) for name, line in ENTRIES.items()}
    monkeypatch.setattr(registry, "installed", lambda: entries)
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


async def withdrawn(caller: realtime_server.Caller) -> None:
    """Answer once; then the key is not valid any more."""
    await caller.until(client.Create)
    await caller.answer("Good morning.", pcm=bytes(9_600))
    await caller.until(client.Create)
    await caller.close(3000, "authentication_error.invalid_api_key")


def test_the_next_provider_answers_and_is_told_of(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out.wav"
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(realtime_server.loopback(withdrawn)) as first,
        portal.wrap_async_context_manager(live.serve(parrot())) as second,
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", first.base_url)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", second.base_url)
        ran = realtime(
            *("talk", "failover:openai,gemini", "--text", "hi", "--text", "lost", "--text", "and?"),
            *("--output", out, "--no-speaker"),
        )
    assert ran.code == 0, ran.err
    lines = [line.strip() for line in ran.out.splitlines()]
    assert lines[0].startswith("Connected to openai")
    assert lines.index("voice: Good morning.") < lines.index(f"voice: {ANSWER}")
    (told,) = (line for line in lines if "has taken over" in line)
    assert told.startswith("gemini has taken over by history")
    assert seconds_of(out) == pytest.approx(0.2 + 2 * 1.2, abs=0.15)  # the lost one, and the last


def test_names_that_are_missing_are_asked_for(realtime: Realtime) -> None:
    ran = realtime("talk", "failover:openai", "--text", "hi")
    assert ran.code == 1
    assert "Name them with commas between: failover:openai,local." in ran.err
    listed = realtime("providers")
    assert "Failover needs the names of two providers or more." in listed.out
