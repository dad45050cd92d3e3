"""The command on a virtual sound card: it plays, it listens, and it gives the devices back."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
import wave
from collections.abc import Callable, Generator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Spawn, seconds_of, write_wav
from tests.cli.voices import tone

NEEDED = ("pulseaudio", "pactl", "paplay", "parec")

pytestmark = [
    pytest.mark.sound,
    pytest.mark.skipif(
        not all(map(shutil.which, NEEDED)) or find_spec("sounddevice") is None,
        reason="needs pulseaudio, its tools and sounddevice",
    ),
]

LIMIT = 30.0
TRIES = 3
"""A virtual card that is opened gives no sign of life now and then."""
SILENT = b"plays on the clock"
MODULES = (
    "module-native-protocol-unix",
    "module-null-sink sink_name=spk rate=48000",
    "module-null-sink sink_name=vmic rate=48000",
    "module-remap-source master=vmic.monitor source_name=mic",
)


@pytest.fixture(scope="module")
def card(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Generator[dict[str, str]]:
    """An environment whose default devices are two null sinks of a sound server of its own."""
    home = tmp_path_factory.mktemp("sound")
    home.chmod(0o700)
    (home / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
    own = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PULSE_LATENCY_MSEC": "40"}
    variables = {**environment, **own}
    words = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"]
    for module in MODULES:
        words += ["-L", module]
    server = subprocess.Popen(
        words, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ends = time.monotonic() + LIMIT
        for choice in (("set-default-sink", "spk"), ("set-default-source", "mic")):
            while subprocess.run(
                ["pactl", *choice], check=False, env=variables, capture_output=True
            ).returncode:
                assert time.monotonic() < ends, "the sound server does not start"
                time.sleep(0.1)
        yield variables
    finally:
        server.terminate()
        server.wait(LIMIT)


def wait_until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def loudness(path: Path) -> int:
    with wave.open(str(path), "rb") as file:
        pcm = file.readframes(file.getnframes())
    return max(memoryview(pcm).cast("h"), default=0)


def test_an_answer_sounds_and_what_sounded_is_kept(
    spawn: Spawn, card: dict[str, str], tmp_path: Path
) -> None:
    out, room = tmp_path / "out.wav", tmp_path / "room.raw"
    shown = SILENT
    for _ in range(TRIES):
        if SILENT not in shown:
            break
        with room.open("wb") as file:
            recorder = subprocess.Popen(
                ["parec", "--device=spk.monitor", "--raw"], env=card, stdout=file
            )
            talk = spawn("talk", "parrot", "--text", "hi", "--speaker", "--output", out, env=card)
            shown, _ = talk.communicate(timeout=LIMIT)
            recorder.terminate()
            recorder.wait(LIMIT)
        assert talk.returncode == 0
    assert SILENT not in shown
    assert seconds_of(out) == pytest.approx(1.2)
    assert max(memoryview(room.read_bytes()[: room.stat().st_size // 2 * 2]).cast("h")) > 1_000


def test_the_microphone_is_heard_until_ctrl_c(
    spawn: Spawn, card: dict[str, str], tmp_path: Path
) -> None:
    out, question = tmp_path / "out.wav", write_wav(tmp_path / "q.wav", tone(1.0))
    shown = tmp_path / "events.jsonl"

    def kinds() -> list[str]:
        whole = shown.read_bytes().rpartition(b"\n")[0]
        return [msgspec.json.decode(line)["type"] for line in whole.splitlines()]

    def listening() -> subprocess.Popen[bytes]:
        with shown.open("wb") as file:
            words = ("talk", "parrot", "--speaker", "--output", out, "--json")
            process = spawn(*words, env=card, stdout=file)
        wait_until(lambda: process.poll() is not None or kinds().count("audio_input") >= 50)
        return process

    talk = listening()
    for _ in range(TRIES - 1):
        if talk.poll() is not None:
            assert b"gave no sign of life" in talk.communicate(timeout=LIMIT)[1]
            talk = listening()
    subprocess.run(["paplay", "--device=vmic", str(question)], check=True, env=card, timeout=LIMIT)
    wait_until(lambda: seconds_of(out) >= 0.2)  # a virtual card may pause for seconds
    talk.send_signal(signal.SIGINT)
    talk.communicate(timeout=LIMIT)
    assert talk.returncode == 130
    assert "user_transcript" in kinds()
    assert kinds()[-1] == "disconnected"
    assert 0.2 <= seconds_of(out) < 1.2
    assert loudness(out) > 1_000
