"""The table of models: found by name, told in the library's words."""

from __future__ import annotations

import pytest
from returns.result import Failure, Success

from realtime_core.audio.format import PCM_16K, PCM_24K
from realtime_core.config import Message, SessionConfig, ToolSpec
from realtime_qwen.codec import agree
from realtime_qwen.dialect import FLAT, NESTED, dialect_of
from realtime_qwen.models import DEFAULT_MODEL, MODELS, capabilities, is_known, model_of


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("qwen3.8-omni-flash-realtime", "qwen3.8-omni"),
        ("qwen3.5-omni-plus-realtime", "qwen3.5-omni-plus"),
        ("qwen3.5-omni-flash-realtime-2026-03-15", "qwen3.5-omni"),
        ("qwen3-omni-flash-realtime-2025-09-15", "qwen3-omni"),
        ("qwen-omni-turbo-realtime-latest", "qwen-omni-turbo"),
        ("qwen9-omni", "qwen3.8-omni"),
        ("", "qwen3.8-omni"),
    ],
)
def test_found_by_the_beginning_of_the_name(name: str, row: str) -> None:
    assert model_of(name) is MODELS[row]
    assert dialect_of(name) is (NESTED if row == "qwen3.8-omni" else FLAT)
    assert is_known(name) is name.startswith(row)


def test_what_all_can() -> None:
    for name in MODELS:
        able = capabilities(name)
        assert (able.audio_in, able.audio_out) == ((PCM_16K,), (PCM_24K,))
        assert able.images
        assert able.manual_turns
        assert able.session_seconds == 120 * 60
        assert (able.truncate, able.delete, able.side_responses) == (False, False, False)
        assert able.tool_reply == "create"
    assert capabilities().models[0].name == DEFAULT_MODEL


def test_tools_are_of_3_5_and_later() -> None:
    for name in MODELS:
        wish = SessionConfig(model=name, tools=(ToolSpec("look"),))
        agreed = agree(capabilities(), wish)
        able = capabilities(name)
        assert able.tools is able.parallel_tools is isinstance(agreed, Success)
        assert able.tools is name.startswith(("qwen3.5", "qwen3.8"))
        if isinstance(agreed, Failure):
            assert agreed.failure().field == "tools"


def test_no_more_is_told_again_than_the_server_would_remember() -> None:
    history = tuple(Message("user", str(turn)) for turn in range(200))
    for name, turns in (("qwen3.5-omni-plus", 100), ("qwen3.5-omni-flash", 80), ("qwen3-omni", 8)):
        plan = agree(capabilities(), SessionConfig(model=name, history=history)).unwrap()
        assert plan.config.history == history[-turns:]
        assert [one.field for one in plan.warnings] == ["history"]


def test_a_voice_is_judged_where_all_are_known() -> None:
    old = agree(capabilities(), SessionConfig(model="qwen-omni-turbo-realtime", voice="Tina"))
    assert [one.field for one in old.unwrap().warnings] == ["voice"]
    assert agree(capabilities(), SessionConfig(voice="Tina")).unwrap().warnings == ()
