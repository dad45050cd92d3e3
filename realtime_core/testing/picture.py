"""A picture of a run: what came of each answer, what was heard of it, and where it was cut.

Drawn from the transitions of a session, recorded or replayed, as SVG text; the same run gives the
same picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from math import ceil
from typing import NamedTuple

from ..epoch import ItemId, ResponseId
from ..events import AudioOutput, Interrupted, SpeechStarted, SpeechStopped
from ..frames import Heard
from ..state import Emit, Input, Pushed, Transition

__all__ = ("picture",)

_SECOND, _HEIGHT, _LEFT, _TOP = 110, 40, 92, 80
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #57606a }
  .head { font-weight: 600 }
  .grid { stroke: #8886; stroke-width: .5 }
  .user { fill: #8250df }
  .came { fill: #54aeff55; stroke: #218bff }
  .heard { fill: #2da44e }
  .late { fill: #cf222e }
  .cut { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 }
"""

_Curve = list[tuple[float, float]]
"""Time and seconds of sound, rising."""


class _Answer(NamedTuple):
    """One answer: what came of it and what was heard of it, over time."""

    came: _Curve
    heard: _Curve


class _Story:
    """What a picture shows, gathered from transitions."""

    def __init__(self) -> None:
        self.answers: dict[ResponseId, _Answer] = {}
        self.spoken: list[list[float]] = []
        self.late: list[float] = []
        self.cuts: list[tuple[float, Interrupted]] = []
        self._items: dict[ItemId, tuple[ResponseId, float]] = {}
        self._fenced = 0
        self._speaking = False

    def add(self, at: float, given: Input, transition: Transition) -> None:
        """Take over one transition."""
        for effect in transition.effects:
            if isinstance(effect, Emit):
                self._event(at, effect.event)
        fenced = transition.state.counts.get("fenced audio samples", 0)
        if fenced > self._fenced:
            self.late.append(at)
        self._fenced = fenced
        if isinstance(given, Pushed) and isinstance(given.frame, Heard):
            known = transition.state.ledger.items.get(given.frame.item)
            if known is not None and given.frame.item in self._items:
                owner, before = self._items[given.frame.item]
                self.answers[owner].heard.append((at, before + known.heard / known.rate))

    def _event(self, at: float, event: object) -> None:
        match event:
            case SpeechStarted():
                self.spoken.append([at, at])
                self._speaking = True
            case SpeechStopped() if self._speaking:
                self.spoken[-1][1] = at
                self._speaking = False
            case Interrupted():
                self.cuts.append((at, event))
            case AudioOutput() if event.response is not None and event.item is not None:
                answer = self.answers.setdefault(event.response, _Answer([(at, 0.0)], [(at, 0.0)]))
                before = answer.came[-1][1]
                self._items.setdefault(event.item, (event.response, before))
                seconds = event.format.milliseconds(len(event.pcm)) / 1000
                answer.came.extend([(at, before), (at, before + seconds)])
            case _:
                pass


def picture(transitions: Iterable[tuple[Input, Transition]]) -> str:
    """Draw a run as SVG: time runs to the right, each answer's sound upwards, in seconds.

    Blue came from the provider, green was heard, red dots came too late and were dropped.
    """
    story, began, ended = _Story(), 0.0, 0.0
    for number, (given, transition) in enumerate(transitions):
        began = given.at if number == 0 else began
        ended = given.at - began
        story.add(ended, given, transition)
    tall = max((came[-1][1] for came, _ in story.answers.values()), default=1.0)
    return _drawn(story, max(1, ceil(ended)), max(1, ceil(tall)))


def _drawn(story: _Story, seconds: int, tall: int) -> str:
    width, floor = _LEFT + seconds * _SECOND + 24, _TOP + tall * _HEIGHT
    size = f'viewBox="0 0 {width} {floor + 44}" role="img"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} aria-label="Answers, and their cuts">',
        f"<style>{_STYLE}</style>",
        *_grid(seconds, tall, floor),
        *_legend(floor + 34),
    ]
    for start, end in story.spoken:
        length = max(_x(end) - _x(start), 2)
        parts.append(
            f'<rect class="user" x="{_x(start):.1f}" y="30" width="{length:.1f}" height="14"/>'
        )
    for came, heard in story.answers.values():
        whole = heard[-1][0] if heard[-1][1] >= came[-1][1] else float(seconds)
        cut = next((at for at, _ in story.cuts if at >= came[0][0]), whole)
        parts.append(_area("came", came, min(cut, whole), floor))
        parts.append(_area("heard", heard, heard[-1][0], floor))
    dots = (f'<circle class="late" cx="{_x(at):.1f}" cy="54" r="3"/>' for at in story.late)
    parts += [*dots, *(line for at, cut in story.cuts for line in _cut(at, cut, floor)), "</svg>"]
    return "\n".join(parts) + "\n"


def _grid(seconds: int, tall: int, floor: int) -> Iterable[str]:
    right = _LEFT + seconds * _SECOND
    for second in range(tall + 1):
        y = floor - second * _HEIGHT
        yield f'<path class="grid" d="M{_LEFT} {y}H{right}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{second} s of it</text>'
    for second in range(seconds + 1):
        yield f'<text x="{_x(second):.0f}" y="{floor + 18}" text-anchor="middle">{second} s</text>'


def _legend(y: int) -> Iterable[str]:
    kinds = (("user", "the user speaks"), ("came", "received"), ("heard", "heard"))
    for place, (kind, words) in enumerate((*kinds, ("late", "came too late, dropped"))):
        x = _LEFT + place * 130
        yield f'<rect class="{kind}" x="{x}" y="{y - 9}" width="10" height="10"/>'
        yield f'<text x="{x + 15}" y="{y}">{words}</text>'


def _cut(at: float, event: Interrupted, floor: int) -> Iterable[str]:
    words = " … ".join(part.text for part in event.heard if part.text)
    said = f"epoch {event.epoch}" + (f", heard: “{words}”" if words else "")
    yield f'<path class="cut" d="M{_x(at):.1f} 20V{floor}"/>'
    yield f'<text x="{_x(at) + 5:.1f}" y="16">{escape(said)}</text>'


def _area(kind: str, curve: _Curve, until: float, floor: int) -> str:
    points = " ".join(f"L{_x(at):.1f} {floor - seconds * _HEIGHT:.1f}" for at, seconds in curve)
    end = max(until, curve[-1][0])
    top = f"L{_x(end):.1f} {floor - curve[-1][1] * _HEIGHT:.1f}"
    return f'<path class="{kind}" d="M{_x(curve[0][0]):.1f} {floor} {points} {top} V{floor}Z"/>'


def _x(at: float) -> float:
    return _LEFT + at * _SECOND
