"""Steps: a trace in the form in which the traces of all providers can be compared.

Names are numbered in order of appearance. Pieces of an answer in a row are one step, and so is all
sound of the microphone; of what somebody says or has cost counts that it came. Times, numbers in
the trace and settings are left out. Everything else of an event is kept, field by field.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from itertools import islice
from typing import Any

from msgspec.structs import asdict, fields

from realtime_core.audio.format import AudioFormat
from realtime_core.config import Message
from realtime_core.errors import RealtimeError
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Event,
    HeardItem,
    ResponseText,
    Usage,
)

__all__ = ("Refused", "Step", "differences", "named", "read", "step", "steps")

Fields = dict[str, Any]

_LEFT_OUT = {"seq", "at", "audio_ms", "span", "config", "capabilities", "session_id", "handle"}
_NAMES = {"response": "r", "item": "i", "call": "c", "request": "q", "of": "r", "about": "i"}
_MANY = {"calls": "c", "fenced": "r"}


@dataclass(frozen=True)
class Refused:
    """A frame that the session did not take."""

    frame: str
    error: RealtimeError


@dataclass(frozen=True)
class Step:
    """One thing that happened: its kind, and what is known of it besides the defaults."""

    kind: str
    what: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(f'{name}={of!r}' for name, of in self.what.items())})"

    def but(self, **changes: object) -> Step:
        """Give it with other fields; one that becomes None goes."""
        what = {**self.what, **changes}
        return Step(self.kind, {name: what[name] for name in what if what[name] is not None})


def step(kind: str, /, **what: object) -> Step:
    """Write one down."""
    return Step(kind, what)


def read(line: str) -> Step:
    """Read one as it is shown."""
    shown = ast.parse(line, mode="eval").body
    assert isinstance(shown, ast.Call)
    assert isinstance(shown.func, ast.Name)
    return Step(
        shown.func.id, {one.arg or "": ast.literal_eval(one.value) for one in shown.keywords}
    )


def steps(trace: Iterable[Event | Refused]) -> list[Step]:
    """Give the steps of a trace."""
    return named(_last_words(_in_runs(_microphone(_step(event) for event in trace))))


def differences(told: Sequence[Step], expected: Sequence[Step]) -> list[str]:
    """List the steps that are missing (`-`) and those that are too many (`+`), in their places."""
    lines = unified_diff([*map(str, expected)], [*map(str, told)], n=1, lineterm="")
    return [line for line in islice(lines, 2, None) if not line.startswith("@@")]


# --- events -----------------------------------------------------------------------------------


def _step(event: Event | Refused) -> Step:
    if isinstance(event, Refused):
        return step("refused", frame=event.frame, error=_error(event.error))
    kind = str(type(event).__struct_config__.tag)
    known = {one.name: one.default for one in fields(event)}
    what = {
        name: value
        for name, value in asdict(event).items()
        if name not in _LEFT_OUT and value != known[name]
    }
    match event:
        case AudioOutput():
            kind = "said"
        case AgentTranscript(final=False) | ResponseText(is_complete=False):
            kind = "said"
            what.pop("final", what.pop("is_complete", None))
        case _:
            pass
    return Step(kind, dict(_plain(what)))


def _plain(what: Fields) -> Iterator[tuple[str, Any]]:
    form = what.get("format")
    told_with_words = "final" in what
    for name, value in what.items():
        match value:
            case bytes() if isinstance(form, AudioFormat):
                yield "ms", form.samples(len(value)) * 1_000 / form.rate
            case AudioFormat():
                pass
            case Usage():
                if not told_with_words:
                    yield name, True
            case _ if isinstance(value, RealtimeError):
                yield name, _error(value)
            case Message():
                yield from _message(value, what.get("item"))
            case (HeardItem(), *_):
                yield name, tuple(_heard(one) for one in value)
            case _:
                yield name, value


def _error(error: RealtimeError) -> str:
    return type(error).__name__


def _message(message: Message, item: str | None) -> Iterator[tuple[str, Any]]:
    """Give what a message holds; its item is most often that of the event."""
    yield "role", message.role
    yield "text", message.text
    about = message.item if message.item != item else None
    for name, value in (("about", about), ("call", message.call), ("name", message.name)):
        if value:
            yield name, value
    if not message.exact:
        yield "exact", False


def _heard(one: HeardItem) -> tuple[str, str, float, float, str, bool]:
    ms = 1_000 / one.rate
    return one.response, one.item, one.samples * ms, one.received * ms, one.text, one.exact


# --- what is merged ---------------------------------------------------------------------------


def _microphone(told: Iterable[Step]) -> Iterator[Step]:
    """Put all sound that was sent where the first of it was."""
    all_of = list(told)
    sent = [one.what["ms"] for one in all_of if one.kind == "audio_input"]
    for one in all_of:
        if one.kind != "audio_input":
            yield one
        elif sent:
            yield one.but(ms=sum(sent))
            sent.clear()


def _in_runs(told: Iterable[Step]) -> Iterator[Step]:
    """Put pieces of one item that follow each other into one."""
    run: Step | None = None
    for one in told:
        if run is not None and one.kind == "said" and _whose(one) == _whose(run):
            run = run.but(
                text=(run.what.get("text", "") + one.what.get("text", "")) or None,
                ms=(run.what.get("ms", 0) + one.what.get("ms", 0)) or None,
            )
            continue
        if run is not None:
            yield run
        run = one if one.kind == "said" else None
        if run is None:
            yield one
    if run is not None:
        yield run


def _whose(one: Step) -> tuple[Any, ...]:
    return tuple(one.what.get(name) for name in ("response", "item", "epoch", "conn"))


def _last_words(told: Iterable[Step]) -> Iterator[Step]:
    """Leave out what the user said so far where it was told in the end."""
    all_of = list(told)
    words = [one for one in all_of if one.kind == "user_transcript"]
    final = {one.what.get("item") for one in words if one.what.get("final")}
    for one in all_of:
        if one not in words or one.what.get("final") or one.what.get("item") not in final:
            yield one


# --- names ------------------------------------------------------------------------------------


def named(told: Iterable[Step]) -> list[Step]:
    """Number the names in order of appearance."""
    numbers = dict[str, dict[str, str]]()

    def number(kind: str, name: str) -> str:
        known = numbers.setdefault(kind, {})
        return known.setdefault(name, f"{kind}{len(known) + 1}")

    def value(name: str, of: Any) -> Any:
        if name in _NAMES:
            return number(_NAMES[name], of)
        if name in _MANY:
            return tuple(number(_MANY[name], one) for one in of)
        if name == "heard":
            return tuple((number("r", r), number("i", i), *rest) for r, i, *rest in of)
        return of

    return [
        Step(one.kind, {name: value(name, of) for name, of in one.what.items()}) for one in told
    ]
