"""`realtime replay` and `talk --record`: a session is recorded, and shown again as it went."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from realtime_core import provider as registry
from realtime_core.replaying import load
from realtime_core.replaying import replay as replaying
from tests.cli.conftest import ROOT, Realtime, write_wav
from tests.cli.voices import ANSWER, entries, tone

FAST = ("--pace", "0", "--no-speaker")


@pytest.fixture
def call(realtime: Realtime, tmp_path: Path) -> Path:
    path = tmp_path / "call.rt"
    ran = realtime("talk", "parrot", "--say", "a b c", "--record", path, *FAST)
    assert ran.code == 0
    assert f"the session is recorded in {path}" in ran.out
    return path


def test_a_recorded_conversation_is_shown_as_it_went(realtime: Realtime, call: Path) -> None:
    ran = realtime("replay", call, "--speed", "0")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].strip() == "Connected to parrot, voice polly. A bird that repeats itself."
    assert lines[1:3] == ["  you: tone 1", f"voice: {ANSWER}"]
    assert lines[3].strip().startswith("first sound after 0.")
    assert len(lines) == 4


def test_json_is_the_same_again(realtime: Realtime, tmp_path: Path) -> None:
    path = tmp_path / "call.rt"
    words = ("--text", "hello", "--text", "again", "--json", *FAST)
    before = realtime("talk", "parrot", *words, "--record", path)
    ran = realtime("replay", path, "--speed", "0", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert sorted(map(_plain, ran.events)) == sorted(map(_plain, before.events))
    assert [event["seq"] for event in ran.events] == list(range(len(ran.events)))


def _plain(event: dict[str, object]) -> str:
    """Another consumer takes the events in another order among lanes."""
    return str({name: value for name, value in event.items() if name not in {"seq", "epoch"}})


def test_it_takes_its_time(realtime: Realtime, call: Path) -> None:
    events = realtime("replay", call, "--speed", "0", "--json").events
    seconds = events[-1]["at"] - events[0]["at"]
    begun = time.monotonic()
    assert realtime("replay", call, "--speed", "4").code == 0
    assert time.monotonic() - begun >= seconds / 4


def test_a_cut_off_recording_is_shown_as_far_as_it_goes(realtime: Realtime, call: Path) -> None:
    call.write_bytes(call.read_bytes()[:-5])
    ran = realtime("replay", call, "--speed", "0", "--json")
    assert ran.code == 0
    assert "the recording was cut off: its last " in ran.err
    assert load(call).torn


def test_a_recording_that_holds_nothing_but_its_beginning(realtime: Realtime, call: Path) -> None:
    data = call.read_bytes()
    call.write_bytes(data[: 4 + int.from_bytes(data[:4], "big")])
    assert realtime("replay", call).code == 0


def test_a_recording_can_be_drawn(realtime: Realtime, call: Path, tmp_path: Path) -> None:
    ran = realtime("replay", call, "--picture", tmp_path / "call.svg")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert (tmp_path / "call.svg").read_text(encoding="utf-8").startswith("<svg ")


def test_a_picture_needs_a_place(realtime: Realtime, call: Path, tmp_path: Path) -> None:
    ran = realtime("replay", call, "--picture", tmp_path / "nowhere" / "call.svg")
    assert_told(ran, 1, "cannot be written")


# --- bad input --------------------------------------------------------------------------------


def assert_told(ran: object, code: int, *words: str) -> None:
    assert isinstance(ran, tuple)
    assert ran.code == code, ran  # type: ignore[attr-defined]
    err = ran.err  # type: ignore[attr-defined]
    assert err.startswith("error: "), err
    assert err.count("error:") == 1
    assert "\n  cause: " in err
    assert "\n  fix:   " in err
    assert "Traceback" not in err
    for word in words:
        assert word in err, err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("no.rt",), 1, "'no.rt' cannot be read: No such file"),
        ((".",), 1, "'.' cannot be read: Is a directory"),
        (("empty.rt",), 1, "'empty.rt' is no trace"),
        (("words.txt",), 1, "'words.txt' is no trace"),
        (("damaged.rt",), 1, "'damaged.rt', record 1:"),
        (("call.rt", "--speed", "-1"), 2, "--speed"),
        (("call.rt", "--speed", "nan"), 2, "--speed"),
        (("call.rt", "more"), 2, "more"),
        ((), 2, "FILE"),
    ],
)
def test_what_cannot_be_replayed_is_told(
    realtime: Realtime,
    call: Path,
    words: tuple[str, ...],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.rt").touch()
    Path("words.txt").write_text("These are words.")
    data = call.read_bytes()
    first = 4 + int.from_bytes(data[:4], "big")
    Path("damaged.rt").write_bytes(data[:first] + b"\xff" + data[first + 1 :])
    assert_told(realtime("replay", *words), code, told)


def test_a_provider_that_is_not_here_is_told(
    realtime: Realtime, call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "installed", dict)
    assert_told(realtime("replay", call), 1, "no provider named 'parrot'")


def test_a_decision_that_differs_is_told_after_what_came_before(
    realtime: Realtime, call: Path
) -> None:
    data = bytearray(call.read_bytes())
    data[-1] ^= 1  # of the last digest
    call.write_bytes(data)
    ran = realtime("replay", call, "--speed", "0")
    assert_told(ran, 1, "(Lost, at ", "differs: other effects follow")
    assert f"voice: {ANSWER}" in ran.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--record", "no/such/call.rt"), "'no/such/call.rt' cannot be written"),
        (("--record", "."), "'.' cannot be written"),
        (("--audio", "loud.wav", "--record", "loud.wav"), "'loud.wav' is an input"),
        (("--output", "a.wav", "--record", "a.wav"), "'a.wav' is an input or another output"),
    ],
)
def test_a_place_that_cannot_be_recorded_to_is_told_before_anything_is_opened(
    realtime: Realtime,
    words: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "loud.wav", tone(0.2))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    ran = realtime("talk", "parrot", "--text", "hi", *words, *FAST)
    assert_told(ran, 1, told, "--record")
    assert ran.out == ""
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


# --- as a provider ----------------------------------------------------------------------------


@pytest.fixture
def replayable(realtime: Realtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the replay beside the tests' own providers."""

    class Entry:
        value = "realtime_core.replaying:replay"
        dist = None

        @staticmethod
        def load() -> object:
            return replaying

    monkeypatch.setattr(registry, "installed", lambda: {**entries(), "replay": Entry()})


@pytest.mark.usefixtures("replayable")
def test_a_replay_can_be_talked_to(realtime: Realtime, call: Path) -> None:
    ran = realtime("talk", f"replay:{call}", "--text", "hi", *FAST)
    assert ran.code == 0
    assert f"voice: {ANSWER}" in ran.out


@pytest.mark.usefixtures("replayable")
def test_a_replay_is_listed_as_what_it_is(realtime: Realtime) -> None:
    ran = realtime("providers")
    (_, listed) = ran.out.split("\nreplay  ")
    assert listed.splitlines()[1].strip() == (
        "A replay needs the file of a recorded run. Put the file behind a colon: `replay:call.rt`."
    )
    listing = msgspec.json.decode(realtime("providers", "--json").out)
    (found,) = (one for one in listing if one["name"] == "replay")
    assert (found["capabilities"], found["error"]) == (None, None)
    assert found["needs"]
    assert "ok  provider replay " in realtime("doctor").out
    assert_told(realtime("talk", "replay", "--text", "hi"), 1, "`replay:call.rt`")


def test_the_entry_point_is_declared() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'replay = "realtime_core.replaying:replay"' in text
