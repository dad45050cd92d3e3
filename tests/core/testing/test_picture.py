"""A picture of a run: it shows what came, what was heard, and where it was cut."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from realtime_core import Heard, Interrupt, SpeechStarted, SpeechStopped
from realtime_core.state import Input, Transition
from realtime_core.testing.fold import Fold
from realtime_core.testing.picture import picture
from tests.barge_in import PICTURE, drawn
from tests.core.short import I1, I2, R1, SECOND, opened, say, sound, started


def steps(session: Fold) -> list[tuple[Input, Transition]]:
    return [(one.given, Transition(one.after, one.effects)) for one in session.steps]


def shapes(svg: str, kind: str) -> list[dict[str, str]]:
    root = ET.fromstring(svg)
    return [shape.attrib for shape in root if shape.get("class") == kind]


def test_the_picture_in_the_readme_is_drawn_from_the_recorded_run(anyio_backend: str) -> None:
    assert drawn(anyio_backend) == PICTURE.read_text(encoding="utf-8")


def test_it_shows_an_answer_its_cut_and_what_came_too_late() -> None:
    svg = PICTURE.read_text(encoding="utf-8")
    assert len(shapes(svg, "cut")) == 1
    assert len(shapes(svg, "late")) == 4 + 1, "a dot for each, and the legend"
    assert len(shapes(svg, "came")) == len(shapes(svg, "heard")) == 2 + 1
    assert re.search("heard: “Once upon a time a dog”", svg)


def test_a_run_without_answers_has_a_picture_too() -> None:
    assert len(shapes(picture([]), "came")) == 1, "only the legend"


def test_words_of_the_provider_are_text_and_nothing_else() -> None:
    session = opened()
    say(session, started(R1), SpeechStopped(), sound(SECOND), SpeechStarted())
    session.push(Heard(I2, 7))
    session.push(Heard(I1, SECOND))
    session.push(Interrupt())
    ET.fromstring(picture(steps(session)))
