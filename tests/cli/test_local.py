"""The command with the real local voice: a spoken question, a spoken answer, a barge-in."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Spawn, seconds_of

pytestmark = pytest.mark.models

LIMIT = 100.0


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """As ever, with the local voice among the providers, and warnings of its libraries allowed."""
    place = Path(environment["PYTHONPATH"].rsplit(":", 1)[1]) / "local_voice-1.0.dist-info"
    place.mkdir(exist_ok=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: local-voice\nVersion: 1.0\n")
    (place / "entry_points.txt").write_text(
        "[realtime_core.providers]\nlocal = realtime_local:local\n"
    )
    return {name: value for name, value in environment.items() if name != "PYTHONWARNINGS"}


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=LIMIT)
    return process.returncode, out.decode(), err.decode()


def test_a_question_is_spoken_and_answered_aloud(spawn: Spawn, tmp_path: Path) -> None:
    out = tmp_path / "answer.wav"
    words = ("talk", "--say", "What is the capital of France?", "--output", out, "--no-speaker")
    code, shown, err = finish(spawn(*words))
    assert code == 0, err
    assert err == ""
    lines = shown.splitlines()
    assert "local" in lines[0]
    assert "often wrong" in lines[0]
    assert lines[1] == "  you: What is the capital of France?"
    assert lines[2].startswith("voice: ")
    assert "first sound after" in lines[3]
    assert seconds_of(out) > 0.3


def test_talking_over_it_cuts_it_and_gets_an_answer_too(spawn: Spawn, tmp_path: Path) -> None:
    out = tmp_path / "answer.wav"
    code, shown, err = finish(
        spawn(
            *("talk", "local", "--text", "Count from one to twenty, please.", "--json"),
            *("--interrupt-with", "Stop. What is the capital of Italy?", "--after", "0.6"),
            *("--output", out, "--no-speaker"),
        )
    )
    assert code == 0, err
    events = [msgspec.json.decode(line) for line in shown.splitlines()]
    (cut,) = (e for e in events if e["type"] == "interrupted" and e["cause"] == "provider")
    heard = sum(part["samples"] / part["rate"] for part in cut["heard"])
    assert 0.5 < heard < 2.0
    said = [e["text"] for e in events if e["type"] == "user_transcript" and e["final"]]
    assert "Italy" in said[-1]
    after = [e for e in events if e["type"] == "audio_output" and e["seq"] > cut["seq"]]
    assert after
    assert seconds_of(out) == pytest.approx(
        heard + sum(e["samples"] / e["format"]["rate"] for e in after), abs=0.1
    )


def test_as_fast_as_it_goes(spawn: Spawn, tmp_path: Path) -> None:
    words = ("talk", "local", "--say", "What is your name?", "--pace", "0", "--no-speaker")
    started = time.monotonic()
    code, shown, err = finish(spawn(*words, "--json"))
    assert code == 0, err
    assert time.monotonic() - started < LIMIT
    events = [msgspec.json.decode(line) for line in shown.splitlines()]
    said = [e["text"] for e in events if e["type"] == "user_transcript" and e["final"]]
    assert len(said) == 1
    assert "name" in said[0]
    assert any(e["type"] == "audio_output" for e in events)


@pytest.mark.parametrize("wait", [0.5, 1.5, 3.0])
def test_ctrl_c_while_the_models_load(spawn: Spawn, wait: float) -> None:
    process = spawn("talk", "local", "--say", "What is the capital of France?", "--no-speaker")
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert (code, err) == (130, "")


def test_missing_models_say_what_to_type(
    spawn: Spawn, environment: dict[str, str], tmp_path: Path
) -> None:
    nowhere = {**environment, "REALTIME_MODELS_DIR": str(tmp_path)}
    for words in (("--text", "hi"), ("--say", "hi")):
        code, shown, err = finish(spawn("talk", "local", *words, "--no-speaker", env=nowhere))
        assert code == 1
        assert shown == ""
        assert "realtime models install" in err
        assert err.count("error:") == 1


def test_a_mind_that_is_none_is_told(spawn: Spawn, tmp_path: Path) -> None:
    file = tmp_path / "mind.gguf"
    file.write_text("not a model")
    for mind in (str(file), "nobody"):
        code, _, err = finish(spawn("talk", "--text", "hi", "--mind", mind, "--no-speaker"))
        assert code == 1
        assert f"There is no mind '{mind}'" in err
