"""Events as captions: the lines a person reads, finished ones and those still growing.

No terminal here: `screen` shows what this decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec
from msgspec.structs import replace

from ..events import (
    AgentTranscript,
    Connected,
    ConversationItem,
    Dropped,
    Error,
    Interrupted,
    RealtimeEvent,
    Reconnected,
    ResponseDone,
    ResponseText,
    SessionEnding,
    ToolCall,
    UserTranscript,
    Warning,
)
from ..timings import Latency

__all__ = ("Captions", "Line", "caption", "latency_line")

Style = Literal["you", "voice", "aside"]
_Key = tuple[Style, str]


class Line(msgspec.Struct, frozen=True):
    """A line of the screen: who speaks, or an aside, and the words."""

    style: Style
    text: str


class Captions(msgspec.Struct, frozen=True):
    """The captions so far: lines that are finished by the last event, and those still growing."""

    finished: tuple[Line, ...] = ()
    growing: Mapping[_Key, str] = MappingProxyType({})
    closed: frozenset[str] = frozenset()
    """Items of answers that were cut; what still comes of them is not shown."""

    @property
    def open(self) -> tuple[Line, ...]:
        """The lines that may still change."""
        return tuple(Line(style, text) for (style, _), text in self.growing.items() if text)


def caption(known: Captions, event: RealtimeEvent) -> Captions:
    """Add one event; `finished` holds what it finished, and nothing older."""
    known = replace(known, finished=())
    match event:
        case UserTranscript():
            return _said(known, ("you", event.item or ""), event.text, whole=event.final)
        case AgentTranscript():
            return _answered(known, event.item or "", event.text, whole=event.final)
        case ResponseText():
            return _answered(known, event.item or "", event.text, whole=event.is_complete)
        case ConversationItem() if event.message.role == "user" and event.item is None:
            return _finish(known, Line("you", event.message.text))
        case Interrupted():
            return _cut(known, event)
        case _:
            text = _aside(event)
            return known if text is None else _finish(known, Line("aside", text))


def _said(known: Captions, key: _Key, text: str, *, whole: bool) -> Captions:
    if not whole:
        return replace(known, growing={**known.growing, key: text})
    known = replace(known, growing={k: v for k, v in known.growing.items() if k != key})
    return _finish(known, Line(key[0], text)) if text else known


def _answered(known: Captions, item: str, text: str, *, whole: bool) -> Captions:
    if item in known.closed:
        return known
    before = "" if whole else known.growing.get(("voice", item), "")
    return _said(known, ("voice", item), before + text, whole=whole)


def _finish(known: Captions, *lines: Line) -> Captions:
    return replace(known, finished=(*known.finished, *lines))


def _cut(known: Captions, event: Interrupted) -> Captions:
    """Close what the voice was saying, and tell what remains of it."""
    if event.cause == "close":
        return known
    voice = {key: text for key, text in known.growing.items() if key[0] == "voice"}
    others = {key: text for key, text in known.growing.items() if key[0] != "voice"}
    known = replace(
        known,
        growing=others,
        closed=known.closed | {item for _, item in voice} | {part.item for part in event.heard},
    )
    known = _finish(known, *(Line("voice", f"{text} ...") for text in voice.values() if text))
    return _finish(known, Line("aside", _rest(event))) if event.fenced else known


def _rest(event: Interrupted) -> str:
    seconds = sum(part.samples / part.rate for part in event.heard)
    kept = " ".join(part.text for part in event.heard if part.text)
    keeps = f'"{kept}"' if kept else "nothing of it"
    about = "" if all(part.exact for part in event.heard) else " (about)"
    return f"cut after {seconds:.2f} s; the history keeps {keeps}{about}"


def _aside(event: RealtimeEvent) -> str | None:
    match event:
        case Connected():
            return _header(event)
        case ToolCall():
            return f"calls {event.name}({event.arguments})"
        case ResponseDone(status="incomplete"):
            return "the answer ended early"
        case ResponseDone(status="failed"):
            return "the answer failed" + (f": {event.error.what}" if event.error else "")
        case Error():
            return f"error: {event.error.what}"
        case Warning():
            return f"{event.field}: {event.why}"
        case Dropped():
            return f"{event.count} {event.lane} frames ({event.ms:.0f} ms) dropped: {event.reason}"
        case Reconnected():
            lost = f"; lost: {', '.join(event.lost)}" if event.lost else ""
            who = f"{event.provider} has taken over" if event.provider else "connected again"
            return f"{who} by {event.restored}{lost}"
        case SessionEnding():
            left = "" if event.left is None else f" in {event.left:.0f} s"
            return f"the provider ends this session{left}"
        case _:
            return None


def _header(event: Connected) -> str:
    able, config = event.capabilities, event.config
    model = f":{config.model}" if config.model else ""
    voice = config.voice or (able.voices[0] if able.voices else "")
    return " ".join(
        part
        for part in (
            f"Connected to {able.provider}{model}" + (f", voice {voice}." if voice else "."),
            able.note,
        )
        if part
    )


def latency_line(latency: Latency) -> Line:
    """Tell where the time between the user's last word and the first sound went, in seconds."""
    return Line(
        "aside",
        f"first sound after {latency.total:.2f} s: wait {latency.wait:.2f}, "
        f"hear {latency.hear:.2f}, think {latency.think:.2f}, speak {latency.speak:.2f}",
    )
