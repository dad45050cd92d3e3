"""Options: what only Nova Sonic knows, checked by name and kind before anything is dialled."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.config import SessionConfig
from realtime_core.plan import options_of
from realtime_nova.codec import agree
from realtime_nova.models import capabilities
from realtime_nova.options import Options

EVERYTHING: dict[str, Any] = {
    "top_p": 0.5,
    "speech_instructions": "Whisper.",
    "names": "a-",
    "session_start": {"later": True},
    "prompt_start": {"later": True},
}


def test_nothing_given() -> None:
    assert options_of(SessionConfig(), Options).unwrap() == Options()


def test_everything_at_once() -> None:
    assert set(EVERYTHING) == set(Options.__struct_fields__)
    options = options_of(SessionConfig(options=EVERYTHING), Options).unwrap()
    assert (options.top_p, options.names) == (0.5, "a-")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"top_q": 1.0}, "top_q"),
        ({"top_p": 9.0}, "top_p"),
        ({"names": 3}, "names"),
        ({"session_start": []}, "session_start"),
    ],
)
def test_a_wrong_one_is_named(wrong: dict[str, Any], told: str) -> None:
    config = SessionConfig(options=wrong)
    refusal = options_of(config, Options).failure()
    assert refusal.field == "options"
    assert told in refusal.what
    assert "speech_instructions" in refusal.fix
    assert agree(capabilities(), config).failure() == refusal
