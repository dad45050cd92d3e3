"""The command in this process and in others, with providers of the tests' own."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import pytest

from realtime_core import provider as registry
from realtime_core.audio.format import PCM_24K
from realtime_core.cli import app, converse
from realtime_core.cli.script import Sound
from tests.cli.voices import LINES, entries, tone

ROOT = Path(__file__).resolve().parents[2]


class Ran(NamedTuple):
    """What a run of the command gave."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.out.splitlines()]

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] in kinds]


class Realtime(Protocol):
    def __call__(self, *arguments: str | Path) -> Ran: ...


@pytest.fixture
def voices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the tests' own providers, and a mouth that hums."""
    monkeypatch.setattr(registry, "installed", entries)
    monkeypatch.setattr(converse, "spoken", hum)


async def hum(text: str) -> Sound:
    """Say a word in a tenth of a second."""
    return Sound(tone(0.1 * len(text.split())), PCM_24K)


@pytest.fixture
def realtime(voices: None, capsys: pytest.CaptureFixture[str]) -> Realtime:
    """Run the command in this process."""

    def call(*arguments: str | Path) -> Ran:
        code = app.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the command, run as a process, finds the tests' providers."""
    place = tmp_path_factory.mktemp("installed")
    info = place / "voices_for_tests-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: voices-for-tests\nVersion: 1.2\n")
    lines = (f"{name} = {value}" for name, value in LINES.items() if name != "local")
    (info / "entry_points.txt").write_text("\n".join(("[realtime_core.providers]", *lines)) + "\n")
    path = os.pathsep.join(map(str, (ROOT, ROOT / "providers", place)))
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error", "NO_COLOR": "1"}


Spawn = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def spawn(environment: dict[str, str]) -> Spawn:
    """Start the command as a process."""

    def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "realtime_core.cli", *map(str, arguments)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
        return subprocess.Popen(words, **{**streams, **options})

    return start


def write_wav(path: Path, pcm: bytes, rate: int = 24_000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return path


def seconds_of(path: Path) -> float:
    with wave.open(str(path), "rb") as file:
        return file.getnframes() / file.getframerate()
