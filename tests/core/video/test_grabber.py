"""The grabber, in this process: a picture per request, errors as answers, an end with its input."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest

from realtime_core.errors import InternalFault, InvalidRequest, RealtimeError, Unavailable
from realtime_core.video import Limits, grabber
from realtime_core.video.grabber import Answer, Over, Ready, Refused, Taken, Wish, main, serve
from tests.core.video.clips import film_of, shade


def told(output: bytes) -> tuple[list[Answer], list[bytes]]:
    """Read what was said: the lines, and the pictures."""
    answers, images, stream = list[Answer](), list[bytes](), io.BytesIO(output)
    while line := stream.readline():
        answers.append(msgspec.json.decode(line, type=Answer))
        if isinstance(last := answers[-1], Taken):
            images.append(stream.read(last.size))
    return answers, images


def served(wish: Wish, requests: int) -> tuple[list[Answer], list[bytes]]:
    out, gone = io.BytesIO(), Event()
    serve(wish, io.BytesIO(b"\n" * requests), out, gone.set)
    assert gone.wait(5)
    return told(out.getvalue())


def refusal(wish: Wish) -> RealtimeError:
    answers, _ = served(wish, 0)
    last = answers[-1]
    assert isinstance(last, Refused)
    assert last.error.cause
    assert last.error.fix
    return last.error


class Requests(io.BytesIO):
    """Requests that end only when the answers have."""

    def __init__(self) -> None:
        super().__init__()
        self.over = Event()

    def read(self, size: int | None = -1) -> bytes:
        return b"" if self.over.wait(0.001) else b"\n"


def test_a_film_is_given_picture_by_picture(tmp_path: Path) -> None:
    wish = Wish("film", str(film_of(tmp_path / "a.mp4", 10, 200)), 0.0, Limits(max_side=32))
    asks, out = Requests(), io.BytesIO()
    serve(wish, asks, out, lambda: None)
    asks.over.set()
    answers, images = told(out.getvalue())
    assert [type(answer) for answer in answers] == [Ready, Taken, Taken, Over]
    assert [shade(image) for image in images] == [10, 200]
    assert all(0 <= answer.age < 5 for answer in answers if isinstance(answer, Taken))


def test_it_ends_with_the_requests(tmp_path: Path) -> None:
    wish = Wish("film", str(film_of(tmp_path / "a.mp4", 10, 20, 30)), 0.0)
    out, held = io.BytesIO(), Event()
    serve(wish, io.BytesIO(), out, held.set)
    assert held.wait(5)
    assert told(out.getvalue())[0] == [Ready()]


def test_what_cannot_be_looked_at_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(refusal(Wish("film", str(tmp_path))), InvalidRequest)
    assert isinstance(refusal(Wish("camera", "/dev/no-such-camera")), Unavailable)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "av", None)
        assert "realtime-core[video]" in refusal(Wish("camera", "0")).fix

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(grabber, "Film", broken)
    error = refusal(Wish("film", "a.mp4"))
    assert isinstance(error, InternalFault)
    assert "ZeroDivisionError: a defect" in error.what


def test_a_screen_that_is_not_there_is_told_when_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grab: Any = pytest.importorskip("PIL.ImageGrab")

    def refused() -> None:
        raise OSError("no display")

    monkeypatch.setattr(grab, "grab", refused)
    asks, out = Requests(), io.BytesIO()
    serve(Wish("screen"), asks, out, lambda: None)
    asks.over.set()
    (ready, last), _ = told(out.getvalue())
    assert ready == Ready()
    assert isinstance(last, Refused)
    assert "no display" in last.error.what


@pytest.mark.parametrize("cut", [False, True])
def test_the_program_speaks_over_its_standard_streams(tmp_path: Path, cut: bool) -> None:
    asks, asker = os.pipe()
    hearer, answers = os.pipe()
    left = list[int]()
    wish = msgspec.json.encode(Wish("film", str(tmp_path / "none.mp4")))
    os.write(asker, wish[:5] if cut else wish + b"\n")
    os.close(asker)
    main(asks, answers, left.append)
    for thread in threading.enumerate():
        if thread.name == "requests":
            thread.join(10)  # it reads a descriptor that is closed below
    os.write(answers, b"printed by somebody")  # goes to standard error
    os.set_blocking(hearer, False)
    said, _ = told(b"" if cut else os.read(hearer, 4096))
    for descriptor in (asks, answers, hearer):
        os.close(descriptor)
    assert left[-1] == 0
    assert [type(answer) for answer in said] == ([] if cut else [Refused])
