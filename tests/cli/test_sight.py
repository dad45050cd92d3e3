"""`realtime talk --video`: shown from before the first turn to the end, and refused in words."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from realtime_core.cli import extras
from tests.cli.conftest import Realtime, Spawn
from tests.cli.test_talk import FAST, assert_told
from tests.core.video.clips import film_of


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return film_of(tmp_path / "a.mp4", *range(0, 250, 25), fps=5)


def test_a_film_is_shown_from_before_the_first_turn(realtime: Realtime, film: Path) -> None:
    ran = realtime("talk", "counting", "--video", film, "--text", "a", "--no-speaker")
    assert ran.code == 0
    assert "I saw 1 pictures." in ran.out
    assert "shown: 1 picture (" in ran.out


def test_pictures_come_as_often_as_is_wished(realtime: Realtime, film: Path) -> None:
    words = ("--text", "a", "--text", "b", "--text", "c")
    ran = realtime("talk", "counting", "--video", film, "--fps", "20", *words, "--no-speaker")
    assert ran.code == 0
    (last,) = (line for line in ran.out.splitlines() if "shown: " in line)
    assert int(last.split("shown: ")[1].split()[0]) >= 4


def test_a_film_that_ends_ends_nothing_else(realtime: Realtime, tmp_path: Path) -> None:
    short = film_of(tmp_path / "b.mp4", 10, fps=5)
    words = ("--text", "a", "--image", tmp_path / "c.jpg", "--text", "b")
    (tmp_path / "c.jpg").write_bytes(_jpeg())
    ran = realtime("talk", "counting", "--video", short, *words, "--fps", "50", "--json", *FAST)
    assert ran.code == 0
    assert "I saw 2 pictures." in ran.out
    assert "shown: 1 picture (" in ran.err


def _jpeg() -> bytes:
    from tests.core.video.clips import jpeg_of

    return jpeg_of(200)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--video", "none.mp4"), ("There is no video file 'none.mp4'",)),
        (("--video", "words.mp4"), ("'words.mp4' cannot be played",)),
        (("--video", "camera:/dev/none"), ("There is no camera that can be used",)),
        (("--video", "camera"), ("There is no camera that can be used",)),
        (("--video", "a.mp4", "--output", "a.mp4"), ("would be overwritten",)),
    ],
)
def test_what_cannot_be_shown_is_told(
    realtime: Realtime,
    film: Path,
    words: tuple[str, ...],
    told: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if words[-1] == "camera" and Path("/dev/video0").exists():
        pytest.skip("there is a camera")
    monkeypatch.chdir(film.parent)
    Path("words.mp4").write_text("These are words.")
    ran = realtime("talk", "parrot", "--text", "hi", *words, *FAST)
    assert_told(ran, 1, *told)
    assert "voice:" not in ran.out


def test_a_provider_that_takes_no_pictures_is_told(realtime: Realtime, film: Path) -> None:
    ran = realtime("talk", "blind", "--text", "hi", "--video", film, *FAST)
    assert_told(ran, 1, "'blind' takes no pictures")
    ran = realtime("talk", "blind", "--text", "hi", "--video", "screen", *FAST)
    assert_told(ran, 1, "'blind' takes no pictures")


def test_without_the_extra_the_line_to_type_is_given(
    realtime: Realtime, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    ran = realtime("talk", "parrot", "--text", "hi", "--video", film, *FAST)
    assert_told(ran, 1, "needs the extra `video`", "pip install 'realtime-core[video]'")


@pytest.mark.parametrize("fps", ["0", "-1", "nan", "inf", "often"])
def test_a_rate_that_is_none_is_misuse(realtime: Realtime, fps: str) -> None:
    assert_told(realtime("talk", "parrot", "--text", "a", "--fps", fps), 2, "--fps", "--video")


def test_the_command_as_a_process_shows_it_too(spawn: Spawn, film: Path) -> None:
    words = ("talk", "counting", "--video", film, "--text", "a", "--no-speaker")
    with spawn(*words, stderr=subprocess.STDOUT) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert b"I saw 1 pictures." in out
