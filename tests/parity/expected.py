"""What is expected of a provider: the reference, without what its capabilities say it lacks.

Each rule names the one field of `Capabilities` by which a difference is allowed, and makes exactly
that difference. Whatever else differs is a defect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from realtime_core.capability import Capabilities
from tests.parity.steps import Step, differences, named, read, step

__all__ = ("RULES", "Rule", "Verdict", "judge", "references", "rewritten")

Rewrite = Callable[[list[Step], Capabilities], list[Step]]
_REFERENCES = Path(__file__).parent / "references.txt"


@cache
def references() -> dict[str, tuple[Step, ...]]:
    """Give the trace of a provider that can do everything, for each conversation."""
    _, *parts = _REFERENCES.read_text(encoding="utf-8").split("\n## ")
    return {
        title: tuple(map(read, filter(None, lines)))
        for title, *lines in (part.split("\n") for part in parts)
    }


class Rule(NamedTuple):
    """A difference that a field of the capabilities allows."""

    field: str
    lacks: Callable[[Capabilities], bool]
    rewrite: Rewrite


class Verdict(NamedTuple):
    """How a trace compares with its reference."""

    because: tuple[str, ...] = ()
    """The fields that explain what is different; as few as do."""
    differences: tuple[str, ...] = ()
    """What no field explains."""

    def __str__(self) -> str:
        if self.differences:
            return "**differs**"
        return ", ".join(f"`{field}`" for field in self.because) or "same"


def judge(told: Sequence[Step], reference: Sequence[Step], able: Capabilities) -> Verdict:
    """Compare a trace with its reference; finds the fewest rules that explain it."""
    lacking = [rule for rule in RULES if rule.lacks(able)]
    for count in range(len(lacking) + 1):
        for rules in combinations(lacking, count):
            if rewritten(reference, rules, able) == list(told):
                return Verdict(because=tuple(dict.fromkeys(rule.field for rule in rules)))
    nearest = min(
        (
            differences(told, rewritten(reference, rules, able))
            for count in range(len(lacking) + 1)
            for rules in combinations(lacking, count)
        ),
        key=lambda lines: sum(line[0] != " " for line in lines),
    )
    return Verdict(differences=tuple(nearest))


def rewritten(reference: Iterable[Step], rules: Iterable[Rule], able: Capabilities) -> list[Step]:
    """Make the differences of these rules."""
    told = list(reference)
    for rule in rules:
        told = rule.rewrite(told, able)
    return named(told)


# --- the rules --------------------------------------------------------------------------------


def _no_speech(told: list[Step], able: Capabilities) -> list[Step]:
    """Nobody says when the user starts and stops to speak."""
    return [one for one in told if one.kind not in {"speech_started", "speech_stopped"}]


_SILENCE_MS = 1_000
"""Silence behind what is said, in the references."""


def _longer_silence(told: list[Step], able: Capabilities) -> list[Step]:
    """The user is silent for longer, until that is noticed."""
    more = able.closing_silence_ms - _SILENCE_MS
    return [one.but(ms=one.what["ms"] + more) if one.kind == "audio_input" else one for one in told]


def _no_handle(told: list[Step], able: Capabilities) -> list[Step]:
    """A conversation is taken up by what is kept of it, and that is not everything."""
    return [
        one.but(restored="history", lost=("sound of earlier turns", *one.what["lost"]))
        if one.kind == "reconnected"
        else one
        for one in told
        if one.kind != "resumption_handle"
    ]


def _by_itself(told: list[Step], able: Capabilities) -> list[Step]:
    """The answer after a tool's result is nobody's wish."""
    return [
        one.but(request=None) if one.kind == "response_started" and _after_result(told, at) else one
        for at, one in enumerate(told)
    ]


def _after_result(told: Sequence[Step], at: int) -> bool:
    return told[at - 1].what.get("role") == "tool_result"


def _within_the_answer(told: list[Step], able: Capabilities) -> list[Step]:
    """An answer that calls tools goes on with their results; until then it is not over."""
    calls = dict.fromkeys(one.what["response"] for one in told if one.kind == "tool_call")
    for response in calls:
        told = list(_held_open(told, response))
    return told


def _held_open(told: list[Step], response: str) -> Iterator[Step]:
    over = _place(told, "response_done", response=response)
    following = next(at for at in range(over, len(told)) if told[at].kind == "response_started")
    cut = next((at for at in range(over, following) if told[at].kind == "interrupted"), None)
    yield from told[:over]
    if _after_result(told, following):
        other = told[following].what["response"]
        for one in (*told[over + 1 : following], *told[following + 1 :]):
            yield one.but(response=response) if one.what.get("response") == other else one
    elif cut is None:
        yield from (*told[over + 1 : following], told[over], *told[following:])
    else:
        yield from told[over + 1 : cut]
        yield told[cut].but(fenced=(response,))
        yield told[cut + 1]
        yield told[over].but(epoch=told[cut].what["epoch"], status="cancelled")
        yield from told[cut + 2 :]


def _place(told: Sequence[Step], kind: str, **what: object) -> int:
    return next(
        at for at, one in enumerate(told) if one.kind == kind and what.items() <= one.what.items()
    )


def _no_cancel(told: list[Step], able: Capabilities) -> list[Step]:
    """Who cannot be told to stop is not waited for; what it says of the end comes later."""
    late = list[Step]()
    rewritten = list[Step]()
    for one in told:
        if one.kind == "response_started":
            rewritten += late
            late.clear()
        if one.kind == "response_done" and one.what["status"] == "cancelled":
            response, epoch = one.what["response"], one.what["epoch"]
            late.append(step("late_usage", epoch=epoch, of=response, usage=True))
            last = rewritten[-1]
            if last.kind == "agent_transcript" and last.what.get("response") == response:
                late.append(rewritten.pop().but(response=None))
            done = {"status": "interrupted", "by_provider": False}
            rewritten.append(step(one.kind, epoch=epoch, response=response, **done))
        else:
            rewritten.append(one)
    return rewritten


def _late_words(told: list[Step], able: Capabilities) -> list[Step]:
    """What was said of an answer that the user cut comes behind its end."""
    told = list(told)
    for at in range(1, len(told)):
        words, done = told[at - 1], told[at]
        if done.what.get("status") == "interrupted" and words.kind == "agent_transcript":
            told[at - 1 : at + 1] = done, words.but(response=None)
    return told


def _no_pictures(told: list[Step], able: Capabilities) -> list[Step]:
    """A picture is refused, and not seen."""
    text = "Pictures that I see: {}."
    if not any(one.what.get("text") == text.format(1) for one in told):
        return told
    place = _place(told, "conversation_item")
    refused = step("refused", frame="Video", error="Unsupported")
    return [
        one.but(text=text.format(0)) if one.what.get("text") == text.format(1) else one
        for one in (*told[:place], refused, *told[place:])
    ]


RULES = (
    Rule("speech_events", lambda able: not able.speech_events, _no_speech),
    Rule(
        "closing_silence_ms", lambda able: able.closing_silence_ms != _SILENCE_MS, _longer_silence
    ),
    Rule("resumption", lambda able: able.resumption == "none", _no_handle),
    Rule("tool_reply", lambda able: able.tool_reply == "automatic", _by_itself),
    Rule("tool_reply", lambda able: able.tool_reply == "automatic", _within_the_answer),
    Rule("late_words", lambda able: able.late_words, _late_words),
    Rule("cancel", lambda able: not able.cancel, _no_cancel),
    Rule("images", lambda able: not able.images, _no_pictures),
)
