"""Options: what only this family knows, checked by name and kind before anything is dialled."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.config import SessionConfig
from realtime_core.plan import options_of
from realtime_openai.options import Options


def test_nothing_given_leaves_all_to_the_server() -> None:
    options = options_of(SessionConfig(), Options).unwrap()
    assert options == Options()
    assert (options.purpose, options.create_response, options.pictures) == ("conversation", True, 4)


def test_everything_at_once() -> None:
    given: dict[str, Any] = {
        "purpose": "transcription",
        "transcription": {"model": "gpt-transcribe"},
        "noise_reduction": "far_field",
        "speed": 1,
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
        "tracing": "auto",
        "prompt": {"id": "pmpt_1"},
        "include": ["item.input_audio_transcription.logprobs"],
        "mcp": [{"server_label": "s", "server_url": "https://mcp.example"}],
        "create_response": False,
        "detail": "low",
        "pictures": 1,
        "session": {"later": True},
    }
    assert set(given) == set(Options.__struct_fields__)
    options = options_of(SessionConfig(options=given), Options).unwrap()
    assert options.mcp == tuple(given["mcp"])
    assert options.speed == 1.0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sped": 1.0}, "sped"),
        ({"speed": 9.0}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"purpose": "song"}, "purpose"),
        ({"pictures": 0}, "pictures"),
        ({"noise_reduction": "near"}, "noise_reduction"),
        ({"mcp": {}}, "mcp"),
        ({"session": []}, "session"),
    ],
)
def test_a_wrong_one_is_named(wrong: dict[str, Any], told: str) -> None:
    refusal = options_of(SessionConfig(options=wrong), Options).failure()
    assert refusal.field == "options"
    assert told in refusal.what
    assert "reasoning_effort" in refusal.fix
