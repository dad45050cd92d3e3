"""A connection that is open, and what a server says in it, in the style of the protocol sheet."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from realtime_core import Plan, SessionConfig
from realtime_core.codec import Outgoing, Resume, Wire
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.events import RealtimeEvent
from realtime_gemini.codec import GeminiCodec, agree
from realtime_gemini.memory import Memory
from realtime_gemini.models import Service, capabilities

__all__ = (
    "COMPLETE",
    "DONE",
    "GENERATED",
    "INTERRUPTED",
    "MODELS",
    "NATIVE",
    "PCM",
    "SOUND",
    "THIRD",
    "C",
    "I",
    "Q",
    "R",
    "Talk",
    "content",
    "json",
    "part",
    "planned",
    "said",
    "sound",
    "spoken",
    "thought",
    "tool_call",
)

NATIVE, THIRD = "gemini-2.5-flash-native-audio-preview-12-2025", "gemini-3.1-flash-live-preview"
MODELS = (
    "gemini-3.8-live",
    "gemini-3.8-live-extended-thinking",
    THIRD,
    NATIVE,
    "gemini-live-2.5-flash",
    "gemini-3.5-live-translate-preview",
    "gemini-robotics-er-2-streaming-preview",
    "gemini-5-live",
)


def said(**fields: Any) -> bytes:
    """Write what a server says."""
    return msgspec.json.encode(fields)


def content(**fields: Any) -> bytes:
    return said(serverContent=fields)


def part(**fields: Any) -> bytes:
    return content(modelTurn={"role": "model", "parts": [fields]})


def sound(pcm: bytes, mime: str = "audio/pcm;rate=24000") -> bytes:
    return part(inlineData={"mimeType": mime, "data": base64.b64encode(pcm).decode()})


def spoken(text: str) -> bytes:
    return content(outputTranscription={"text": text})


def thought(text: str) -> bytes:
    return part(text=text, thought=True)


def tool_call(*calls: tuple[str | None, str, dict[str, Any]]) -> bytes:
    made = [{"id": id, "name": name, "args": args} for id, name, args in calls]
    return said(toolCall={"functionCalls": made})


COMPLETE = said(setupComplete={})
PCM = b"\0\0\xff\xff"
SOUND = sound(PCM)
GENERATED = content(generationComplete=True)
INTERRUPTED = content(interrupted=True)
DONE = said(
    serverContent={"turnComplete": True},
    usageMetadata={"promptTokenCount": 10, "responseTokenCount": 5, "totalTokenCount": 15},
)
R, I, Q, C = ResponseId("r0.0"), ItemId("i0.1"), RequestId("q"), CallId("fc_1")  # noqa: E741


def planned(model: str = "", service: Service = "developer", **config: Any) -> Plan:
    wish = SessionConfig(model=model, **config)
    return agree(capabilities(model, service), wish).unwrap()


def json(wire: Wire) -> dict[str, Any]:
    assert isinstance(wire, bytes)
    return msgspec.json.decode(wire, type=dict[str, Any])


class Talk:
    """A codec and what it remembers, with all that it said and sent since the last look."""

    def __init__(
        self,
        model: str = "",
        service: Service = "developer",
        resume: Resume | None = None,
        **config: Any,
    ) -> None:
        self.plan = planned(model, service, **config)
        self.codec = GeminiCodec()
        self.greeted = self.codec.greet(self.plan, resume)
        self.memory: Memory = self.greeted.state
        self.setup: dict[str, Any] = json(self.greeted.wires[0])["setup"]
        self.events = list[RealtimeEvent]()
        self.sent = list[dict[str, Any]]()

    def open(self) -> Talk:
        self.hear(COMPLETE)
        self.events.clear()
        self.sent.clear()
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
