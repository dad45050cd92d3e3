"""What the codec can be given: configurations, histories, and what happens in a session."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from returns.result import Success

from realtime_core.audio.format import PCM_16K, PCM_24K, AudioFormat
from realtime_core.config import Message, ToolSpec, TurnDetection
from realtime_core.epoch import CallId, RequestId
from realtime_core.frames import Audio, Close, CreateResponse, Text, ToolResult
from tests.providers.nova.wires import (
    END,
    INTERRUPTED,
    MODELS,
    C,
    Talk,
    audio,
    call,
    final,
    heard,
    json,
    sound,
    speech,
    usage,
)

__all__ = ("WIRES", "configs", "histories", "outgoing", "talks")

WIRES = (
    b"",
    *heard(),
    *speech(),
    *speech("And so on.", "p2"),
    *sound("a1", "PARTIAL_TURN"),
    *sound("a2", "END_TURN"),
    audio("a1", b"odd"),
    *final(),
    *final("And so", "f2"),
    *INTERRUPTED,
    *sound("a3", "INTERRUPTED", 1),
    *call(),
    *call("tu-2", id="t2"),
    usage(10, 5),
    usage(20, 15),
    END,
    b"{}",
)
"""What a service may say, block by block and out of order."""

_NAME = st.text("abc_", min_size=1, max_size=8)
_TEXT = st.text(max_size=8)
_FORMATS = st.sampled_from((None, PCM_16K, PCM_24K, AudioFormat(rate=8_000)))
_LONG = st.tuples(_TEXT, st.sampled_from((0, 1, 300, 5_000, 30_000))).map(
    lambda drawn: drawn[0] + "wörd " * (drawn[1] // 5)
)


def histories() -> st.SearchStrategy[tuple[Message, ...]]:
    """Give what may have been said before, also far too much of it."""
    message = st.builds(
        Message,
        st.sampled_from(("user", "assistant", "system", "tool_call", "tool_result")),
        _LONG,
        call=st.sampled_from((None, C, CallId("tu-2"))),
        name=_NAME,
    )
    return st.lists(message, max_size=6).map(tuple)


def configs() -> st.SearchStrategy[dict[str, Any]]:
    """Give settings of every kind."""
    schema = {"type": "object", "properties": {"at": {"type": "string"}}}
    return st.fixed_dictionaries(
        {
            "model": st.sampled_from(MODELS),
            "voice": st.sampled_from(("", "tiffany", "nobody")),
            "instructions": st.text(st.characters(codec=None), max_size=8),
            "language": st.sampled_from(("", "de-DE", "hi", "tlh")),
            "turn_detection": st.builds(
                TurnDetection,
                mode=st.sampled_from(("server", "semantic")),
                threshold=st.none() | st.floats(0, 1),
                eagerness=st.sampled_from(("low", "medium", "high", "auto")),
            ),
            "transcribe_user": st.booleans(),
            "tools": st.lists(st.builds(ToolSpec, _NAME, _TEXT, st.just(schema)), max_size=2).map(
                tuple
            ),
            "tool_choice": st.sampled_from(("auto", "none", "required", "a")),
            "temperature": st.none() | st.floats(0, 1),
            "max_output_tokens": st.none() | st.integers(1, 4_096),
            "input_format": _FORMATS,
            "output_format": _FORMATS,
            "history": histories(),
            "options": st.fixed_dictionaries(
                {},
                optional={
                    "top_p": st.floats(0, 1),
                    "speech_instructions": _TEXT,
                    "names": st.text(max_size=4),
                    "session_start": st.just({"later": {"a": 1}}),
                    "prompt_start": st.just({"audioOutputConfiguration": {"speed": 2}}),
                },
            ),
        }
    )


def outgoing() -> st.SearchStrategy[list[Any]]:
    """Give what happens in a session: frames of ours, and what the service says."""
    frame = st.one_of(
        st.sampled_from(WIRES),
        st.builds(Audio, st.binary(max_size=64), st.just(PCM_16K)),
        st.just(Audio(b"\0" * 8_000, PCM_16K)),
        st.builds(Text, _TEXT, st.sampled_from(("user", "system"))),
        st.builds(CreateResponse, _TEXT, st.builds(RequestId, _NAME)),
        st.builds(ToolResult, st.sampled_from((C, CallId("tu-2"))), _TEXT, st.booleans()),
        st.sampled_from((*call(), *call("tu-2", id="t2"))),
        st.sampled_from((Close(), *[Text("Hi")] * 5)),
    )
    return st.lists(frame, max_size=16)


def talks(acts: list[Any], model: str = "", **config: Any) -> Talk:
    """Let it happen; what is refused changes nothing."""
    talk = Talk(model, **config)
    for act in acts:
        if isinstance(act, bytes):
            talk.hear(act)
        else:
            result = talk.codec.encode(talk.memory, act)
            if isinstance(result, Success):
                coded = result.unwrap()
                talk.memory = coded.state
                talk.events += coded.events
                talk.sent += [json(wire) for wire in coded.wires]
    return talk
