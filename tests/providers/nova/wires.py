"""A session that is open, and what the service says in it, in the style of the protocol sheet."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from realtime_core import Plan, SessionConfig
from realtime_core.codec import Outgoing, Resume, Wire
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.events import RealtimeEvent
from realtime_nova.codec import NovaCodec, agree
from realtime_nova.memory import Memory
from realtime_nova.models import capabilities

__all__ = (
    "ACCEPTED",
    "END",
    "FIRST",
    "INTERRUPTED",
    "MODELS",
    "PCM",
    "SECOND",
    "C",
    "I",
    "Q",
    "R",
    "Talk",
    "audio",
    "begin",
    "call",
    "end",
    "final",
    "heard",
    "json",
    "notice",
    "planned",
    "said",
    "sound",
    "speech",
    "text",
    "usage",
)

FIRST, SECOND = "amazon.nova-sonic-v1:0", "amazon.nova-2-sonic-v1:0"
MODELS = (FIRST, SECOND, "amazon.nova-2-5-sonic")
IDS = {"sessionId": "s", "promptName": "p0", "completionId": "c"}
PCM = b"\0\0\xff\xff"
ACCEPTED = b""
R, I, Q, C = ResponseId("r0.2"), ItemId("i0.3"), RequestId("q"), CallId("tu-1")  # noqa: E741


def said(name: str, **fields: Any) -> bytes:
    """Write what the service says."""
    return msgspec.json.encode({"event": {name: {**IDS, **fields}}})


def begin(id: str, type: str, role: str, stage: str = "") -> bytes:
    more = {"additionalModelFields": f'{{"generationStage":"{stage}"}}'} if stage else {}
    return said("contentStart", contentId=id, type=type, role=role, **more)


def text(id: str, content: str, role: str = "ASSISTANT") -> bytes:
    return said("textOutput", contentId=id, role=role, content=content)


def audio(id: str, pcm: bytes = PCM) -> bytes:
    content = base64.b64encode(pcm).decode()
    return said("audioOutput", contentId=id, role="ASSISTANT", content=content)


def end(id: str, type: str, reason: str = "PARTIAL_TURN") -> bytes:
    return said("contentEnd", contentId=id, type=type, stopReason=reason)


def heard(words: str = "Hello?", id: str = "u1") -> tuple[bytes, ...]:
    """Words of the user, whole."""
    return begin(id, "TEXT", "USER", "FINAL"), text(id, words, "USER"), end(id, "TEXT")


def speech(words: str = "Hi there.", id: str = "p1") -> tuple[bytes, ...]:
    """What will be said, a sentence."""
    return begin(id, "TEXT", "ASSISTANT", "SPECULATIVE"), text(id, words), end(id, "TEXT")


def sound(id: str = "a1", reason: str = "END_TURN", count: int = 2) -> tuple[bytes, ...]:
    """How it sounds."""
    return begin(id, "AUDIO", "ASSISTANT"), *[audio(id)] * count, end(id, "AUDIO", reason)


def final(words: str = "Hi there.", id: str = "f1") -> tuple[bytes, ...]:
    """What was said, a sentence."""
    return begin(id, "TEXT", "ASSISTANT", "FINAL"), text(id, words), end(id, "TEXT", "END_TURN")


def notice(id: str = "n1") -> tuple[bytes, ...]:
    """An interruption, in both of its forms."""
    return (
        begin(id, "TEXT", "ASSISTANT", "FINAL"),
        text(id, '{ "interrupted" : true }'),
        end(id, "TEXT", "INTERRUPTED"),
    )


INTERRUPTED = notice()


def call(
    use: str = C, name: str = "look", content: Any = "{}", id: str = "t1"
) -> tuple[bytes, ...]:
    made = said("toolUse", contentId=id, toolName=name, toolUseId=use, content=content)
    return begin(id, "TOOL", "TOOL"), made, end(id, "TOOL", "TOOL_USE")


def usage(taken: int, given: int) -> bytes:
    """What the session has cost so far, a half of it sound."""
    total = {
        "input": {"speechTokens": taken // 2, "textTokens": taken - taken // 2},
        "output": {"speechTokens": given // 2, "textTokens": given - given // 2},
    }
    return said(
        "usageEvent",
        details={"delta": {}, "total": total},
        totalInputTokens=taken,
        totalOutputTokens=given,
        totalTokens=taken + given,
    )


END = said("completionEnd", stopReason="END_TURN")


def planned(model: str = "", **config: Any) -> Plan:
    return agree(capabilities(), SessionConfig(model=model, **config)).unwrap()


def json(wire: Wire) -> dict[str, Any]:
    assert isinstance(wire, bytes)
    return msgspec.json.decode(wire, type=dict[str, dict[str, Any]])["event"]


class Talk:
    """A codec and what it remembers, with all that it said and sent since the last look."""

    def __init__(self, model: str = "", resume: Resume | None = None, **config: Any) -> None:
        self.plan = planned(model, **config)
        self.codec = NovaCodec()
        greeted = self.codec.greet(self.plan, resume)
        self.memory: Memory = greeted.state
        self.greeted = [json(wire) for wire in greeted.wires]
        self.events = list[RealtimeEvent]()
        self.sent = list[dict[str, Any]]()

    def open(self) -> Talk:
        self.hear(ACCEPTED)
        self.events.clear()
        return self

    def hear(self, *wires: Wire) -> list[RealtimeEvent]:
        """Let the codec read messages; gives what they mean."""
        before = len(self.events)
        for wire in wires:
            coded = self.codec.decode(self.memory, wire).unwrap()
            self.memory = coded.state
            self.events += coded.events
            self.sent += [json(one) for one in coded.wires]
        return self.events[before:]

    def push(self, *frames: Outgoing) -> list[dict[str, Any]]:
        """Let the codec write frames; gives what is sent."""
        before = len(self.sent)
        for frame in frames:
            coded = self.codec.encode(self.memory, frame).unwrap()
            self.memory = coded.state
            self.events += coded.events
            self.sent += [json(one) for one in coded.wires]
        return self.sent[before:]
