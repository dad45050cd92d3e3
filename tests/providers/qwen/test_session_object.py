"""The session object: every setting in the words of its model, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.config import ToolSpec, TurnDetection
from tests.providers.qwen.wires import EACH, FLAT, NESTED, greeted

TOOL = ToolSpec("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
TOLD = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    },
}
ASR = {"model": "qwen3-asr-flash-realtime"}
COMMON = {
    "modalities": ["text", "audio"],
    "input_audio_transcription": ASR,
    "turn_detection": {"type": "server_vad"},
}
AUDIO = {
    "input": {"format": {"type": "pcm", "sample_rate": 16_000}},
    "output": {"format": {"type": "pcm", "sample_rate": 24_000}},
}
PCM = {"input_audio_format": "pcm", "output_audio_format": "pcm"}


def session(model: str = FLAT, **config: Any) -> dict[str, Any]:
    (update,) = greeted(model, **config)
    assert update["type"] == "session.update"
    made: dict[str, Any] = update["session"]
    return made


def test_with_nothing_asked_for() -> None:
    assert session(FLAT) == {**PCM, **COMMON}
    assert session(NESTED) == {"audio": AUDIO, **COMMON}


SAMPLING = {
    "top_p": 0.5,
    "top_k": 0,
    "repetition_penalty": 1.05,
    "presence_penalty": -0.5,
    "seed": 7,
}
EVERYTHING: dict[str, Any] = {
    "voice": "Tina",
    "instructions": "Be brief.",
    "tools": (TOOL,),
    "temperature": 0.0,
    "max_output_tokens": 9,
    "turn_detection": TurnDetection(threshold=-0.5, prefix_ms=0, silence_ms=400),
}
ALL = {
    **COMMON,
    "instructions": "Be brief.",
    "tools": [TOLD],
    "temperature": 0.0,
    "max_tokens": 9,
    "turn_detection": {
        "type": "server_vad",
        "threshold": -0.5,
        "prefix_padding_ms": 0,
        "silence_duration_ms": 400,
    },
    **SAMPLING,
}


def test_everything_up_to_3_5() -> None:
    assert session(FLAT, **EVERYTHING, options=SAMPLING) == {**PCM, **ALL, "voice": "Tina"}
    made = session("qwen3-omni-flash-realtime", options={"smooth_output": False})
    assert made["smooth_output"] is False
    assert made["input_audio_transcription"] == {"model": "gummy-realtime-v1"}


def test_the_oldest_lets_nobody_choose_how_it_samples() -> None:
    wish: dict[str, Any] = {"temperature": 0.0, "max_output_tokens": 9, "options": SAMPLING}
    asr = {"model": "gummy-realtime-v1"}
    told = {**PCM, **COMMON, "input_audio_transcription": asr}
    assert session("qwen-omni-turbo", **wish) == told


def test_everything_of_3_8() -> None:
    made = session(NESTED, **EVERYTHING, options={**SAMPLING, "representation_compact": "normal"})
    output = {**AUDIO["output"], "voice": "Tina"}
    video = {"input": {"representation_compact": "normal"}}
    assert made == {"audio": {**AUDIO, "output": output}, **ALL, "video": video}


@pytest.mark.parametrize("model", EACH)
@pytest.mark.parametrize(
    ("turns", "told"),
    [
        (TurnDetection(mode="manual", authority="local"), None),
        (
            TurnDetection(threshold=9, silence_ms=1),
            {"type": "server_vad", "threshold": 1.0, "silence_duration_ms": 200},
        ),
    ],
)
def test_turns(model: str, turns: TurnDetection, told: Any) -> None:
    assert session(model, turn_detection=turns)["turn_detection"] == told


def test_turns_by_meaning() -> None:
    turns = TurnDetection(mode="semantic", silence_ms=900)
    told = {"type": "semantic_vad", "silence_duration_ms": 900}
    assert session(FLAT, turn_detection=turns)["turn_detection"] == told
    assert session(NESTED, turn_detection=turns)["turn_detection"] == told
    older = session("qwen3-omni-flash-realtime", turn_detection=turns)
    assert older["turn_detection"]["type"] == "server_vad"


def test_idle_answers_are_of_3_5() -> None:
    turns = TurnDetection(idle_timeout_ms=60_000)
    assert session(FLAT, turn_detection=turns)["turn_detection"] == {
        "type": "server_vad",
        "idle_timeout_ms": 30_000,
    }
    assert session(NESTED, turn_detection=turns)["turn_detection"] == {"type": "server_vad"}


def test_search() -> None:
    assert session(FLAT, options={"search": True})["enable_search"] is True
    made = session(NESTED, options={"search": {"enable_source": True}})
    assert (made["enable_search"], made["search_options"]) == (True, {"enable_source": True})
    assert "enable_search" not in session("qwen3-omni-flash", options={"search": True})


def test_text_alone_and_nothing_written_down() -> None:
    made = session(modalities=("text",), transcribe_user=False)
    assert made["modalities"] == ["text"]
    assert made["input_audio_transcription"] is None


def test_raw_fields_come_last_at_whatever_depth() -> None:
    raw = {"audio": {"output": {"format": {"sample_rate": 48_000}}}, "later": True}
    made = session(NESTED, options={"session": raw, "transcription": {"language": "de"}})
    assert made["audio"]["output"]["format"] == {"type": "pcm", "sample_rate": 48_000}
    assert made["later"] is True
    assert made["input_audio_transcription"] == {**ASR, "language": "de"}
