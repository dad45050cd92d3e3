"""A connection that is open, and what a server says in it, in the style of the protocol sheet."""

from __future__ import annotations

import base64
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from realtime_core import Capabilities, Plan, SessionConfig
from realtime_core.codec import Wire
from realtime_core.epoch import ItemId, ResponseId
from realtime_core.events import (
    AgentTranscript,
    RealtimeEvent,
    ResponseStarted,
    Usage,
    UserTranscript,
)
from realtime_openai.codec import OpenAICodec, agreed
from realtime_openai.dialect import DIALECTS as FAMILY
from realtime_openai.dialect import GA, Dialect
from realtime_openai.memory import Memory
from realtime_qwen.dialect import DIALECTS as QWEN

__all__ = (
    "BEGUN",
    "CREATED",
    "DIALECTS",
    "DONE",
    "ENDED",
    "OF",
    "PART",
    "PCM",
    "PIECE",
    "SOUND",
    "STARTED",
    "Carrier",
    "I",
    "R",
    "U",
    "able",
    "added",
    "fault",
    "heard",
    "item",
    "means",
    "opened",
    "planned",
    "response",
    "said",
    "sound",
    "stated",
    "texts",
    "turned",
    "user",
    "words",
)

Carrier = Literal["socket", "call"]
DIALECTS = {**FAMILY, **{f"qwen-{form}": dialect for form, dialect in QWEN.items()}}
"""Every dialect that the codec speaks."""

# --- a connection that is open ----------------------------------------------------------------


def able(dialect: Dialect, carrier: Carrier = "socket") -> Capabilities:
    """Give what a dialect can do; in a call the server plays, and nothing is repaired."""
    if carrier == "socket":
        return dialect.capabilities
    return replace(dialect.capabilities, truncate=False, delete=False)


def planned(dialect: Dialect = GA, carrier: Carrier = "socket", **config: Any) -> Plan:
    return agreed(dialect, able(dialect, carrier), SessionConfig(**config)).unwrap()


def opened(
    dialect: Dialect = GA, carrier: Carrier = "socket", **config: Any
) -> tuple[OpenAICodec, Memory]:
    codec = OpenAICodec(dialect, carrier)
    greeted = codec.greet(planned(dialect, carrier, **config), None).state
    return codec, codec.decode(greeted, b'{"type":"session.updated","session":{}}').unwrap().state


def said(type: str, **fields: Any) -> bytes:
    """Write what a server says, with what today's servers add to everything."""
    more = {"event_id": "event_AbC123", "obfuscation": "x7", **fields}
    return msgspec.json.encode({"type": type, **more})


def heard(
    codec: OpenAICodec, state: Memory, *wires: Wire
) -> tuple[Memory, tuple[RealtimeEvent, ...]]:
    """Let the codec read messages; gives what they mean."""
    events: tuple[RealtimeEvent, ...] = ()
    for wire in wires:
        coded = codec.decode(state, wire).unwrap()
        assert coded.wires == ()
        state, events = coded.state, (*events, *coded.events)
    return state, events


# --- frames -----------------------------------------------------------------------------------

R, I, U = ResponseId("resp_9f"), ItemId("item_9f"), ItemId("item_u")  # noqa: E741 - of the sheet
OF: dict[str, Any] = {"response_id": R, "item_id": I, "output_index": 0, "content_index": 0}


def response(status: str = "in_progress", **fields: Any) -> dict[str, Any]:
    known = {"object": "realtime.response", "id": R, "status": status, "status_details": None}
    return {**known, "output": [], "usage": None, "metadata": None, **fields}


def item(kind: str = "message", id: str = I, **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": kind, "status": "in_progress", "role": "assistant", **fields}


def added(**fields: Any) -> bytes:
    return said("response.output_item.added", response_id=R, output_index=0, item=item(**fields))


CREATED = said("response.created", response=response())
PART = said("response.content_part.added", **OF, part={"type": "audio", "transcript": ""})
DONE = said("response.done", response=response("completed"))
SOUND = said("response.output_audio.delta", **OF, delta="AAAA//8A")
STARTED = ResponseStarted(response=R)
PCM = b"\0\0\0\xff\xff\0"


def means(
    *wires: Wire, dialect: Dialect = GA, carrier: Carrier = "socket"
) -> tuple[RealtimeEvent, ...]:
    """Give what a connection's messages mean."""
    return heard(*opened(dialect, carrier), *wires)[1]


def words(text: str, *, final: bool = False) -> AgentTranscript:
    return AgentTranscript(response=R, item=I, text=text, final=final)


def user(text: str, *, final: bool = False, usage: Usage | None = None) -> UserTranscript:
    return UserTranscript(item=U, text=text, final=final, usage=usage)


def turned(transcript: str, event: str) -> bytes:
    name = f"conversation.item.input_audio_transcription.{event}"
    field = "delta" if event == "delta" else "transcript"
    return said(name, item_id=U, content_index=0, **{field: transcript})


def fault(about: str | None, code: str | None = "invalid_value") -> bytes:
    error = {"type": "invalid_request_error", "code": code, "message": "No.", "param": None}
    return said("error", error={**error, "event_id": about})


PIECE = bytes(range(250)) * 3
"""Of 375 samples: a tick."""


def sound(pcm: bytes = PIECE) -> bytes:
    return said("response.output_audio.delta", **OF, delta=base64.b64encode(pcm).decode())


BEGUN = (
    said("response.created", response={"id": R, "status": "in_progress", "metadata": None}),
    said("response.output_item.added", response_id=R, item={"id": I, "type": "message"}),
    said("response.content_part.added", **OF, part={"type": "audio", "transcript": ""}),
)
ENDED = said("response.done", response={"id": R, "status": "completed", "metadata": None})


def texts(wires: tuple[Any, ...]) -> list[bytes]:
    return [wire for wire in wires if isinstance(wire, bytes)]


def stated(arguments: str = '{"at":1}', **fields: Any) -> bytes:
    known = {"response_id": R, "item_id": "item_f", "output_index": 1, "call_id": "call_x1"}
    name = "response.function_call_arguments.done"
    return said(name, **{**known, "arguments": arguments, **fields})
