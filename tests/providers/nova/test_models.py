"""Models: one row each, found by any form of the name, the library's words, and what is lacking."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.audio.format import PCM_16K, PCM_24K
from realtime_core.config import Message, ToolSpec, TurnDetection
from realtime_nova.models import MODELS, capabilities, model_of
from tests.providers.nova.wires import FIRST, SECOND, planned


@pytest.mark.parametrize(
    ("name", "row"),
    [
        (FIRST, "nova-sonic-v1"),
        (SECOND, "nova-2-sonic"),
        ("amazon.nova-2-5-sonic", "nova-2-5-sonic"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-sonic-v1:0", "nova-sonic-v1"),
        ("amazon.nova-7-sonic", "nova-2-sonic"),
    ],
)
def test_names(name: str, row: str) -> None:
    assert model_of(name) == MODELS[row]


@pytest.mark.parametrize("name", ["", FIRST, SECOND])
def test_what_all_have(name: str) -> None:
    able = capabilities(name)
    assert (able.audio_in[0], able.audio_out[0]) == (PCM_16K, PCM_24K)
    assert {form.rate for form in (*able.audio_in, *able.audio_out)} == {8_000, 16_000, 24_000}
    assert able.tools
    assert able.history
    assert able.history_limits is not None
    assert (able.history_limits.bytes, able.history_limits.user_first) == (40_000, True)
    assert able.session_seconds == 480
    assert able.authorities == ("provider",)
    absent = ("cancel", "truncate", "delete", "update", "images", "text_out", "manual_turns")
    assert not any(getattr(able, name) for name in (*absent, "commit", "speech_events"))
    assert able.models[0].name == (name or SECOND)


def test_what_some_have() -> None:
    first, second = capabilities(FIRST), capabilities(SECOND)
    assert (first.text_in, second.text_in) == (False, True)
    assert "olivia" in set(second.voices) - set(first.voices)
    assert (len(first.voices), len(second.voices)) == (11, 16)
    assert "not answered" in first.note


class TestLacking:
    """What the first events cannot carry is told."""

    @pytest.mark.parametrize(
        ("config", "field"),
        [
            ({"turn_detection": TurnDetection(mode="semantic")}, "turn_detection.mode"),
            ({"turn_detection": TurnDetection(threshold=0.5)}, "turn_detection.threshold"),
            ({"turn_detection": TurnDetection(prefix_ms=5)}, "turn_detection.prefix_ms"),
            ({"turn_detection": TurnDetection(silence_ms=5)}, "turn_detection.silence_ms"),
            (
                {"turn_detection": TurnDetection(idle_timeout_ms=5)},
                "turn_detection.idle_timeout_ms",
            ),
            ({"tool_choice": "leap"}, "tool_choice"),
            ({"transcribe_user": False}, "transcribe_user"),
            ({"language": "tlh"}, "language"),
            ({"language": "fr", "voice": "tina"}, "language"),
            ({"model": FIRST, "language": "fr", "voice": "matthew"}, "language"),
            ({"voice": "nobody"}, "voice"),
            ({"history": (Message("assistant", "Hi"),)}, "history"),
            ({"history": (Message("user", "x" * 50_000),)}, "history"),
        ],
    )
    def test_told(self, config: dict[str, Any], field: str) -> None:
        assert [warning.field for warning in planned(**config).warnings] == [field]

    @pytest.mark.parametrize(
        "config",
        [
            {},
            {"turn_detection": TurnDetection(eagerness="high")},
            {"tools": (ToolSpec("leap"),), "tool_choice": "leap"},
            {"language": "fr"},
            {"language": "fr-FR", "voice": "matthew"},
            {"language": "de-DE", "voice": "lennart"},
            {"history": (Message("user", "Hi"),)},
        ],
    )
    def test_nothing_is_lacking(self, config: dict[str, Any]) -> None:
        assert planned(**config).warnings == ()
