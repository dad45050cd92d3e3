"""The command as a process: pipes that close, Ctrl-C at any moment, a terminal, a missing extra."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Spawn, seconds_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and ptys are POSIX's")

LIMIT = 20.0
TALK = ("talk", "parrot", "--no-speaker")


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=LIMIT)
    return process.returncode, (out or b"").decode(), err.decode()


def closing(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """Close its standard output; give its exit code and what it complained of."""
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=LIMIT)
    return process.returncode, err


def until(process: subprocess.Popen[bytes], words: bytes) -> bytes:
    """Read standard output until these words came."""
    assert process.stdout is not None
    read = b""
    while words not in read:
        piece = os.read(process.stdout.fileno(), 65_536)
        assert piece, read
        read += piece
    return read


def test_it_runs_as_a_module_and_says_its_version(spawn: Spawn) -> None:
    code, out, err = finish(spawn("--version"))
    assert (code, err) == (0, "")
    assert out.startswith("realtime-core")


def test_json_can_be_read_by_a_program(spawn: Spawn) -> None:
    code, out, err = finish(spawn(*TALK, "--text", "grüße", "--json", "--pace", "0"))
    assert (code, err) == (0, "")
    events = [msgspec.json.decode(line) for line in out.splitlines()]
    assert events[-1]["type"] == "disconnected"
    assert "grüße" in out


@pytest.mark.parametrize("words", [("--json",), ()])
@pytest.mark.parametrize("lines", [0, 1, 3])
def test_a_reader_that_closes_ends_it_quietly(
    spawn: Spawn, words: tuple[str, ...], lines: int
) -> None:
    process = spawn(*TALK, "--text", "one", "--text", "two", *words)
    assert process.stdout is not None
    for _ in range(lines):
        assert process.stdout.readline()
    assert closing(process) == (0, b"")


@pytest.mark.parametrize("command", ["--help", "doctor", "providers"])
def test_any_output_may_be_cut(spawn: Spawn, command: str) -> None:
    assert closing(spawn(command)) == (0, b"")


def test_a_full_disk_is_told(spawn: Spawn) -> None:
    with Path("/dev/full").open("wb") as full:
        code, _, err = finish(spawn(*TALK, "--text", "hi", "--json", stdout=full))
    assert code == 1
    assert "error: The standard output cannot be written: No space left" in err
    assert "Traceback" not in err
    assert "Exception" not in err


def test_closed_streams_are_no_failure(environment: dict[str, str]) -> None:
    words = " ".join((sys.executable, "-m", "realtime_core.cli", *TALK, "--text hi --pace 0"))
    for closed in (">&-", "2>&-", ">&- 2>&-", "<&-"):
        ran = subprocess.run(
            ["/bin/sh", "-c", f"{words} {closed}"],
            check=False,
            env=environment,
            capture_output=True,
            timeout=LIMIT,
        )
        assert ran.returncode == 0, ran
        assert ran.stderr == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_middle_of_an_answer_keeps_what_was_heard(
    spawn: Spawn, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out.wav"
    process = spawn(*TALK, "--text", "hi", "--json", "--output", out)
    read = until(process, b'"audio_output_done"')
    time.sleep(0.3)
    process.send_signal(number)
    code, rest, err = finish(process)
    assert code == 128 + number
    assert err == ""
    events = [msgspec.json.decode(line) for line in (read.decode() + rest).splitlines()]
    assert events[-1]["type"] == "disconnected"
    (cut,) = (event for event in events if event["type"] == "interrupted")
    heard = cut["heard"][0]["samples"] / 24_000
    assert 0.1 < heard < 1.2
    assert seconds_of(out) == pytest.approx(heard, abs=0.03)


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.2])
def test_ctrl_c_at_any_moment(environment: dict[str, str], wait: float) -> None:
    program = (
        "import sys\n"
        "from realtime_core.cli import main\n"
        "print('ready', flush=True)\n"
        "sys.exit(main())\n"
    )
    words = [sys.executable, "-c", program, *TALK, "--text", "one", "--text", "two"]
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until(process, b"ready")
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert (code, err) == (130, "")


def test_a_second_ctrl_c_leaves_at_once(spawn: Spawn) -> None:
    process = spawn(*TALK, "--text", "hi", "--text", "more", "--json")
    until(process, b'"audio_output"')
    for _ in range(5):
        process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert err == ""


@pytest.mark.parametrize(
    ("hidden", "what"),
    [(("typer",), "needs typer"), (("rich",), "needs rich"), (("typer", "rich"), "typer and rich")],
)
def test_without_its_extra_it_says_what_to_type(
    environment: dict[str, str], hidden: Sequence[str], what: str
) -> None:
    gone = repr(tuple(hidden))
    program = (
        "import sys, importlib.abc\n"
        "class Hide(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name.split('.')[0] in {gone}: raise ModuleNotFoundError(name=name)\n"
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda n, p=None: None if n in {gone} else real(n, p)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "from realtime_core.cli import main\n"
        "sys.exit(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env=environment,
        capture_output=True,
        timeout=LIMIT,
    )
    assert ran.returncode == 1
    err = ran.stderr.decode()
    assert what in err
    assert "pip install 'realtime-core[cli]'" in err
    assert "Traceback" not in err


# --- on a terminal --------------------------------------------------------------------------------


def on_terminal(spawn: Spawn, *words: str, **more: str) -> tuple[int, str]:
    """Run it with a terminal for standard output, and give what arrived there."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **more}
    environment.pop("NO_COLOR", None) if "NO_COLOR" not in more else None
    process = spawn(*words, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    ends = time.monotonic() + LIMIT
    while time.monotonic() < ends:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                piece = os.read(ours, 65_536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        elif process.poll() is not None:
            break
    os.close(ours)
    return process.wait(LIMIT), shown.decode()


def test_captions_grow_in_place_on_a_terminal(spawn: Spawn, environment: dict[str, str]) -> None:
    code, shown = on_terminal(spawn, *TALK, "--text", "hello", PYTHONPATH=environment["PYTHONPATH"])
    assert code == 0
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "  you: hello" in plain
    assert plain.count("voice: I heard you") > 2
    assert "first sound after" in plain
    assert shown.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in shown


def test_a_dumb_terminal_gets_plain_lines(spawn: Spawn, environment: dict[str, str]) -> None:
    code, shown = on_terminal(
        spawn, *TALK, "--text", "hello", PYTHONPATH=environment["PYTHONPATH"], TERM="dumb"
    )
    assert code == 0
    assert "\x1b" not in shown
    assert shown.count("voice: ") == 1


def test_no_color_is_respected(spawn: Spawn, environment: dict[str, str]) -> None:
    code, shown = on_terminal(
        spawn, *TALK, "--text", "hello", PYTHONPATH=environment["PYTHONPATH"], NO_COLOR="1"
    )
    assert code == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)
