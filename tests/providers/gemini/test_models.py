"""Models: one row each, found by any form of the name, and the library's words for it."""

from __future__ import annotations

import pytest

from realtime_core import Capabilities, SessionConfig, TurnDetection
from realtime_core.audio.format import PCM_16K, PCM_24K
from realtime_gemini.codec import agree
from realtime_gemini.models import MODELS, VOICES, capabilities, model_of
from tests.providers.gemini.wires import NATIVE, THIRD, planned


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("gemini-3.8-live", "gemini-3.8-live"),
        ("models/gemini-3.8-live-002", "gemini-3.8-live"),
        ("gemini-3.8-live-extended-thinking", "gemini-3.8-live-extended-thinking"),
        (THIRD, "gemini-3.1-flash-live"),
        (NATIVE, "gemini-2.5-flash-native-audio"),
        (
            "projects/p/locations/l/publishers/google/models/gemini-live-2.5-flash-native-audio",
            "gemini-live-2.5-flash-native-audio",
        ),
        ("gemini-live-2.5-flash", "gemini-live-2.5-flash"),
        ("gemini-3.5-live-translate-preview", "gemini-3.5-live-translate"),
        ("gemini-robotics-er-2-streaming-preview", "gemini-robotics-er"),
    ],
)
def test_names(name: str, row: str) -> None:
    assert model_of(name) is MODELS[row]


def test_unknown_models_are_denied_nothing() -> None:
    able = capabilities("gemini-5-live")
    assert able.text_out
    assert able.audio_out
    assert able.truncate


def test_default_models() -> None:
    assert capabilities().models[0].name == "gemini-3.8-live"
    assert capabilities(service="vertex").models[0].name == "gemini-live-2.5-flash-native-audio"
    assert capabilities(service="vertex").provider == "gemini-vertex"


def test_what_all_have() -> None:
    for name in MODELS:
        able = capabilities(name)
        assert able.audio_in == (PCM_16K,)
        assert able.audio_out in {(PCM_24K,), ()}
        assert not able.cancel, "the wire has no cancel"
        assert able.resumption == "handle"
        assert able.tool_reply == "automatic"
    assert len(set(VOICES)) == 30


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("gemini-3.8-live", {"update", "speech_events", "truncate", "delete", "history", "commit"}),
        (THIRD, {"speech_events", "history", "commit"}),
        (NATIVE, {"truncate", "delete", "history", "commit"}),
        ("gemini-live-2.5-flash", {"truncate", "delete", "history", "commit", "text_out"}),
        ("gemini-3.5-live-translate-preview", set[str]()),
    ],
)
def test_what_some_have(name: str, given: set[str]) -> None:
    able = capabilities(name)
    asked = ("update", "speech_events", "truncate", "delete", "history", "commit", "text_out")
    assert {one for one in asked if getattr(able, one)} == given


class TestAgreed:
    """What remains possible depends on the turns, the options and the service."""

    def test_audio_is_not_committed_where_turns_are_marked(self) -> None:
        assert planned().capabilities.commit
        by_hand = planned(turn_detection=TurnDetection(mode="manual"))
        assert not by_hand.capabilities.commit
        assert not planned(service="vertex").capabilities.commit

    def test_nothing_is_put_right_where_content_is_not_ordered(self) -> None:
        assert not planned(options={"typed": "realtime"}).capabilities.truncate
        assert planned(THIRD, options={"typed": "content"}).capabilities.delete

    def test_vertex_takes_instructions_in_words(self) -> None:
        assert not planned(NATIVE).capabilities.update
        assert planned(NATIVE, "vertex").capabilities.update

    def test_handles_can_be_declined(self) -> None:
        assert planned(options={"resumption": False}).capabilities.resumption == "none"

    def test_vertex_reports_speech_where_it_is_asked_to(self) -> None:
        asked = {"explicit_vad_signal": True}
        assert planned(NATIVE, "vertex", options=asked).capabilities.speech_events
        assert not planned(NATIVE, options=asked).capabilities.speech_events

    def test_text_alone_is_refused_by_models_that_speak(self) -> None:
        refused = agree(capabilities(), SessionConfig(modalities=("text",))).failure()
        assert refused.field == "modalities"

    def test_a_name_given_with_the_wish_counts(self) -> None:
        able: Capabilities = capabilities("gemini-3.8-live")
        agreed = agree(able, SessionConfig(model=THIRD, options={"thinking_level": "low"}))
        assert not agreed.unwrap().capabilities.truncate
        assert agreed.unwrap().warnings == ()
