"""Options: what only the Live API knows, checked by name and kind before anything is dialled."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.config import SessionConfig
from realtime_core.plan import options_of
from realtime_gemini.codec import agree
from realtime_gemini.models import capabilities
from realtime_gemini.options import Options

EVERYTHING: dict[str, Any] = {
    "top_p": 0.9,
    "top_k": 40,
    "seed": 1,
    "media_resolution": "low",
    "thinking_level": "high",
    "thinking_budget": -1,
    "include_thoughts": True,
    "affective_dialog": True,
    "proactive_audio": True,
    "target_language": "pl",
    "echo_target_language": True,
    "google_search": True,
    "code_execution": {},
    "url_context": True,
    "behaviour": {"look": "NON_BLOCKING"},
    "scheduling": {"look": "SILENT"},
    "start_sensitivity": "low",
    "end_sensitivity": "high",
    "turn_coverage": "all_input",
    "explicit_vad_signal": True,
    "transcription": {"languageCodes": ["en-US"]},
    "output_transcription": False,
    "typed": "realtime",
    "pictures": False,
    "compression": {"triggerTokens": 25_600},
    "resumption": False,
    "transparent": True,
    "labels": {"team": "voice"},
    "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "avatar": {"customizedAvatar": {}},
    "setup": {"later": True},
}


def test_nothing_given_leaves_all_to_the_server() -> None:
    options = options_of(SessionConfig(), Options).unwrap()
    assert options == Options()
    assert (options.compression, options.resumption, options.pictures) == (True, True, True)


def test_everything_at_once() -> None:
    assert set(EVERYTHING) == set(Options.__struct_fields__)
    options = options_of(SessionConfig(options=EVERYTHING), Options).unwrap()
    assert options.behaviour == {"look": "NON_BLOCKING"}
    assert options.safety_settings == tuple(EVERYTHING["safety_settings"])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"top_q": 1.0}, "top_q"),
        ({"top_p": 9.0}, "top_p"),
        ({"top_k": 0}, "top_k"),
        ({"thinking_level": "LOW"}, "thinking_level"),
        ({"behaviour": {"look": "async"}}, "behaviour"),
        ({"scheduling": "WHEN_IDLE"}, "scheduling"),
        ({"compression": 3}, "compression"),
        ({"setup": []}, "setup"),
    ],
)
def test_a_wrong_one_is_named(wrong: dict[str, Any], told: str) -> None:
    config = SessionConfig(options=wrong)
    refusal = options_of(config, Options).failure()
    assert refusal.field == "options"
    assert told in refusal.what
    assert "google_search" in refusal.fix
    assert agree(capabilities(), config).failure() == refusal
