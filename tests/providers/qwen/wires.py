"""A connection that is open, what is sent over it, and what the server says in it."""

from __future__ import annotations

import json as _json
from typing import Any

from realtime_core import Plan, SessionConfig
from realtime_core.codec import Outgoing, Wire
from realtime_core.events import RealtimeEvent
from realtime_openai.memory import Memory
from realtime_qwen.codec import QwenCodec, agree
from realtime_qwen.models import capabilities
from tests.providers.openai.wires import said

__all__ = ("CODEC", "EACH", "FLAT", "NESTED", "greeted", "heard", "opened", "planned", "sent")

CODEC = QwenCodec()
NESTED, FLAT = "qwen3.8-omni-flash-realtime", "qwen3.5-omni-flash-realtime"
EACH = (NESTED, FLAT, "qwen3.5-omni-plus-realtime", "qwen3-omni-flash-realtime-2025-12-01")
Fields = dict[str, Any]


def planned(model: str = FLAT, **config: Any) -> Plan:
    return agree(capabilities(), SessionConfig(model=model, **config)).unwrap()


def _read(*wires: Wire) -> list[Fields]:
    return [_json.loads(wire) for wire in wires if isinstance(wire, bytes | str)]


def greeted(model: str = FLAT, **config: Any) -> list[Fields]:
    """Give the messages at the start of a connection."""
    return _read(*CODEC.greet(planned(model, **config), None).wires)


def opened(model: str = FLAT, **config: Any) -> Memory:
    return heard(CODEC.greet(planned(model, **config), None).state, said("session.updated"))[0]


def sent(state: Memory, *frames: Outgoing) -> list[Fields]:
    """Give the messages for frames, one after another."""
    messages: list[Fields] = []
    for frame in frames:
        coded = CODEC.encode(state, frame).unwrap()
        state, messages = coded.state, [*messages, *_read(*coded.wires)]
    return messages


def heard(state: Memory, *wires: Wire) -> tuple[Memory, tuple[RealtimeEvent, ...]]:
    """Let the codec read messages; gives what they mean."""
    events: tuple[RealtimeEvent, ...] = ()
    for wire in wires:
        coded = CODEC.decode(state, wire).unwrap()
        state, events = coded.state, (*events, *coded.events)
    return state, events
