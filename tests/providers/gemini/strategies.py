"""What the codec can be given: configurations, frames and commands."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from realtime_core import SessionConfig
from realtime_core.codec import CancelResponse, DeleteItem, Outgoing, TruncateItem
from realtime_core.config import Message, ToolSpec, TurnDetection
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    ClearAudio,
    CommitAudio,
    CreateResponse,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from tests.providers.gemini.wires import MODELS, C, I, R

__all__ = ("configs", "outgoing")

_TEXT = st.text(max_size=8)
_NAME = st.text("abc_", min_size=1, max_size=8)
_MESSAGES = st.builds(
    Message,
    st.sampled_from(("user", "assistant", "system", "tool_call", "tool_result")),
    _TEXT,
    call=st.none() | st.just(CallId("c0")),
    name=_NAME,
)
_TURNS = st.builds(
    TurnDetection,
    mode=st.sampled_from(("server", "semantic", "manual")),
    authority=st.sampled_from(("provider", "local", "application")),
    threshold=st.none() | st.floats(0, 1),
    prefix_ms=st.none() | st.integers(0, 500),
    silence_ms=st.none() | st.integers(0, 500),
    eagerness=st.sampled_from(("low", "medium", "high", "auto")),
)
_SCHEMAS = st.sampled_from(
    (
        {"type": "object", "properties": {}},
        {
            "type": "object",
            "properties": {
                "at": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "At"},
                "kind": {"enum": ["a", "b"]},
                "many": {"type": "array", "items": {"$ref": "#/$defs/Point"}, "maxItems": 3},
            },
            "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "number"}}}},
            "required": ["at"],
            "additionalProperties": False,
            "$schema": "https://json-schema.org/draft/2020-12/schema",
        },
    )
)
_TOOLS = st.lists(st.builds(ToolSpec, _NAME, _TEXT, _SCHEMAS), max_size=2).map(tuple)
_SWITCH = st.booleans() | st.just(dict[str, Any]())
_OPTIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 64),
        "seed": st.integers(0, 99),
        "media_resolution": st.sampled_from(("low", "medium", "high")),
        "thinking_level": st.sampled_from(("minimal", "low", "medium", "high")),
        "thinking_budget": st.integers(-1, 1_024),
        "include_thoughts": st.booleans(),
        "affective_dialog": st.booleans(),
        "proactive_audio": st.booleans(),
        "target_language": st.just("pl"),
        "echo_target_language": st.booleans(),
        "google_search": _SWITCH,
        "code_execution": _SWITCH,
        "url_context": _SWITCH,
        "behaviour": st.dictionaries(_NAME, st.sampled_from(("BLOCKING", "NON_BLOCKING"))),
        "scheduling": st.dictionaries(_NAME, st.sampled_from(("INTERRUPT", "WHEN_IDLE", "SILENT"))),
        "start_sensitivity": st.sampled_from(("low", "high")),
        "end_sensitivity": st.sampled_from(("low", "high")),
        "turn_coverage": st.sampled_from(("only_activity", "all_input")),
        "explicit_vad_signal": st.booleans(),
        "transcription": st.just({"languageCodes": ["en-US"]}),
        "output_transcription": _SWITCH,
        "typed": st.sampled_from(("content", "realtime")),
        "pictures": st.booleans(),
        "compression": st.booleans() | st.just({"triggerTokens": 9}),
        "resumption": st.booleans(),
        "transparent": st.booleans(),
        "labels": st.just({"team": "voice"}),
        "safety_settings": st.just(
            [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
        ),
    },
)


def configs() -> st.SearchStrategy[SessionConfig]:
    """Give configurations with everything that the Live API can be asked for."""
    return st.builds(
        SessionConfig,
        model=st.sampled_from(
            tuple(one for one in MODELS if "robotics" not in one and "translate" not in one)
        ),
        voice=st.sampled_from(("", "Kore")),
        instructions=_TEXT,
        language=st.sampled_from(("", "de-DE")),
        turn_detection=_TURNS,
        transcribe_user=st.booleans(),
        tools=_TOOLS,
        tool_choice=st.sampled_from(("auto", "none", "required")),
        temperature=st.none() | st.floats(0, 1),
        max_output_tokens=st.none() | st.integers(1, 4_096),
        history=st.lists(_MESSAGES, max_size=4).map(tuple),
        options=_OPTIONS,
    )


def outgoing() -> st.SearchStrategy[Outgoing]:
    """Give frames and commands that a machine may hand to the codec."""
    return st.one_of(
        st.builds(Audio, st.binary(max_size=64)),
        st.builds(
            Video, st.binary(min_size=1, max_size=16), st.sampled_from(("image/jpeg", "image/png"))
        ),
        st.builds(
            Text, _TEXT, st.sampled_from(("user", "system")), st.sampled_from(("queue", "context"))
        ),
        st.builds(ToolResult, st.sampled_from((C, CallId("x"))), _TEXT, st.booleans()),
        st.builds(CreateResponse, _TEXT, st.builds(RequestId, _NAME)),
        st.sampled_from((ActivityStart(), ActivityEnd(), CommitAudio(), ClearAudio())),
        st.builds(UpdateSession, configs()),
        st.just(CancelResponse(R)),
        st.builds(TruncateItem, st.just(I), st.integers(0, 9), st.just(24_000), _TEXT),
        st.just(DeleteItem(ItemId("i0.9"))),
        st.just(CancelResponse(ResponseId("r9.9"))),
    )
