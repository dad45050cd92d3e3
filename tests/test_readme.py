"""The README: its programs run, its commands exist, and what it shows of the code is true."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    Audio,
    CreateResponse,
    ItemId,
    RealtimeSession,
    SpeechStarted,
    SpeechStopped,
    ToolResult,
    UserTranscript,
)
from realtime_core.provider import GROUP
from realtime_core.testing import run
from realtime_core.testing.scripted import Peer, scripted
from tests.core.short import C1, R1, R2, SECOND, call, done, sound, started, words
from tests.parity.matrix import matrix
from tests.stand_in import stand_in
from tests.tree import laws, providers, tree

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
SPANS = re.findall(r"`([^`]+)`", PROSE.replace("\\|", "|"))
TYPED = [line[2:] for _, text in BLOCKS for line in text.splitlines() if line.startswith("$ ")]


def blocks(kind: str) -> list[str]:
    return [text for language, text in BLOCKS if language == kind]


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


# --- programs ---------------------------------------------------------------------------------


async def typed_to(peer: Peer, request: str) -> None:
    await peer.say(started(R1, request), words("It is "), words("Paris."), sound(), done(R1))
    await peer.drain()


async def asked_for_a_tool(peer: Peer, request: str) -> None:
    wanted = replace(call(C1, "weather"), arguments='{"city": "Paris"}')
    await peer.say(started(R1, request), wanted, done(R1))
    result = await peer.until(ToolResult)
    assert isinstance(result, ToolResult)
    create = await peer.until(CreateResponse)
    assert isinstance(create, CreateResponse)
    said = words(result.output, response=R2, final=True)
    await peer.say(started(R2, create.request), said, done(R2))
    assert (result.output, result.failed) == ("It rains in Paris.", False)


async def spoken_to(peer: Peer) -> None:
    transcript = UserTranscript(item=ItemId("u"), text="Hello.", final=True)
    await peer.say(SpeechStarted(), SpeechStopped(), transcript)
    answer = words("Hello to you.", span=(0, 2 * SECOND))
    await peer.say(started(R1), answer, *[sound(SECOND)] * 2)
    await anyio.sleep(1.5)
    await peer.say(SpeechStarted(), done(R1, "cancelled"))


async def voice(peer: Peer) -> None:
    """Answer whatever a program of the README asks, and hang up."""
    asked = await peer.until(Audio, CreateResponse)
    if isinstance(asked, Audio):
        await spoken_to(peer)
    elif isinstance(asked, CreateResponse) and peer.plan.config.tools:
        await asked_for_a_tool(peer, asked.request)
    elif isinstance(asked, CreateResponse):
        await typed_to(peer, asked.request)


async def microphone() -> AsyncIterator[bytes]:
    """Give a fifth of a second of stereo at 48 kHz."""
    for _ in range(10):
        yield bytes(4 * 960)


def program(block: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[None]]:
    """Give the `main` of a block; where the block runs it itself, that is put off."""
    names: dict[str, Any] = {"__name__": "readme"}
    with monkeypatch.context() as patch:
        patch.setattr(anyio, "run", lambda _: None)
        exec(compile(block, "README.md", "exec", dont_inherit=True), names)
    main: Callable[..., Awaitable[None]] = names["main"]
    return main


PRINTED = ("It is Paris.", "you: Hello. heard: ['Hello to']", "", "It is Paris. whole")


def test_every_program_is_tested() -> None:
    assert len(blocks("python")) == len(PRINTED)


@pytest.mark.parametrize(("block", "printed"), list(zip(blocks("python"), PRINTED, strict=False)))
def test_a_program_runs_and_does_what_it_says(
    anyio_backend: str,
    block: str,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_in(monkeypatch, scripted(voice))
    main = program(block, monkeypatch)
    given = [microphone()] if inspect.signature(main).parameters else []

    async def bounded() -> None:
        with anyio.fail_after(60):
            await main(*given)

    run(bounded, backend=anyio_backend)
    assert capsys.readouterr().out.split() == printed.split()


def test_what_is_named_exists() -> None:
    for span in SPANS:
        for name in re.findall(r"\bsession\.(\w+)", span):
            assert hasattr(RealtimeSession, name) or name in RealtimeSession.__slots__, span
        for name in re.findall(r"\brealtime_core(?:\.\w+)+", span):
            assert name == GROUP or find_spec(name) is not None, span
        for path in re.findall(r"\b(?:tests|benchmarks)/[\w/]+\.\w+", span):
            assert (ROOT / path).exists(), path


def test_nothing_is_left_to_be_filled_in() -> None:
    assert re.findall(r"^[A-Z]+$", README, re.MULTILINE) == []


# --- commands ---------------------------------------------------------------------------------


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
    named = {name for text in (*SPANS, *TYPED) for name in re.findall(r"^make ([\w-]+)", text)}
    assert named >= {"talk", "test", "check", "laws", "bench"}
    assert named <= targets


def test_the_lines_to_type_are_those_that_make_runs() -> None:
    question = re.search(r"^QUESTION \?= (.*)$", MAKEFILE, re.MULTILINE)
    assert question is not None
    recipes = MAKEFILE.replace("$(BIN)", ".venv/bin").replace("$(PYTHON)", "python3")
    recipes = recipes.replace("$(QUESTION)", question[1]).replace(" --quiet", "")
    runs = {line.strip() for line in recipes.splitlines() if line.startswith("\t")}
    assert {line for line in TYPED if not line.startswith("make ")} <= runs


def test_every_extra_exists() -> None:
    extras = set(PROJECT["optional-dependencies"])
    text = "\n".join((*SPANS, *TYPED))
    named = {
        e
        for group in re.findall(r"(?:\.|realtime-core)\[([\w,-]+)\]", text)
        for e in group.split(",")
    }
    named |= set(re.findall(r"\bextra\s+`([\w-]+)`", PROSE))
    assert named
    assert named <= extras


@cache
def helped(*command: str) -> str:
    """Give what `realtime COMMAND --help` prints."""
    if find_spec("typer") is None:
        pytest.skip("The command cannot be tried: the extra `cli` is not installed.")
    paths = os.pathsep.join((str(ROOT / "providers"), str(ROOT)))
    environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "200", "TERM": "dumb"}
    out = subprocess.run(
        [sys.executable, "-m", "realtime_core.cli", *command, "--help"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert out.returncode == 0, out.stderr
    return out.stdout


ROWS = re.findall(r"^\| `realtime (\w+)([^`]*)` \| (.*) \|$", README, re.MULTILINE)


def test_the_commands_are_those_of_the_program() -> None:
    listed = helped().partition("Commands")[2]
    for command, _, _ in ROWS:
        assert re.search(rf"\b{command}\b", listed), command
    assert len(ROWS) == len(set(re.findall(r"^\W*(\w+)  ", listed, re.MULTILINE)))


@pytest.mark.parametrize(("command", "arguments", "text"), ROWS)
def test_what_the_table_says_of_a_command_is_in_its_help(
    command: str, arguments: str, text: str
) -> None:
    page = helped(command)
    for argument in re.findall(r"[A-Z]+", arguments):
        assert argument.lower() in page.lower(), f"{command} takes no {argument}"
    for word in re.findall(r"`(-{0,2}[\w-]+)`", text):
        assert re.search(rf"(?<![\w-]){word}\b", page), f"{command} has no {word}"


def test_every_option_exists() -> None:
    pages = [helped(command) for command, _, _ in ROWS]
    for span in SPANS:
        if span.startswith("--"):
            for option in re.findall(r"--[\w-]+", span):
                assert any(f"{option} " in page for page in pages), option
    for line in TYPED:
        if line.startswith(".venv/bin/realtime"):
            command, *rest = line.split()[1:]
            page = helped(command)
            for word, following in pairwise((*rest, "")):
                if word.startswith("--"):
                    assert f"{word} " in page, (command, word, following)


# --- what it shows of the code ----------------------------------------------------------------


def test_the_tree_is_the_tree() -> None:
    shown = re.search(r"^```text\n(.*?)\n```$", section("Architecture"), re.MULTILINE | re.DOTALL)
    assert shown is not None, "print it with: python -m tests.tree"
    assert shown[1] == tree(), "print it with: python -m tests.tree"


def test_the_table_of_providers_is_true() -> None:
    shown = re.search(r"^<!-- providers.*-->\n((?:\|.*\|\n)+)", section("Providers"), re.MULTILINE)
    assert shown is not None
    assert shown[1].strip() == providers(), "print it with: python -m tests.tree providers"


def test_the_matrix_of_parity_is_true() -> None:
    shown = re.search(r"^<!-- parity.*-->\n((?:\|.*\|\n)+)", section("Providers"), re.MULTILINE)
    assert shown is not None
    assert shown[1].strip() == matrix(), "print it with: python -m tests.parity"


def test_the_table_of_laws_is_true() -> None:
    shown = re.search(r"^<!-- laws.*-->\n((?:\|.*\|\n)+)", section("Laws"), re.MULTILINE)
    assert shown is not None
    assert shown[1].strip() == laws(), "print it with: python -m tests.tree laws"


@pytest.mark.models
@pytest.mark.parametrize("line", [line for line in TYPED if "/realtime " in line])
def test_a_line_to_type_does_what_it_says(line: str, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "realtime_core.cli", *shlex.split(line)[1:]]
    ran = subprocess.run(
        program, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
    )
    assert ran.returncode == 0, ran.stderr
    if "--output" in line:
        with wave.open(str(tmp_path / "answer.wav")) as heard:
            assert heard.getnframes() > heard.getframerate() // 4
        assert re.search(r"you: .*bees", ran.stdout + ran.stderr, re.IGNORECASE)
