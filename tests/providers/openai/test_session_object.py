"""The session object: every setting in the words of its server, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.audio.format import AudioFormat
from realtime_core.config import SessionConfig, ToolSpec, TurnDetection, TwoPhase
from realtime_core.plan import Plan, options_of
from realtime_openai.codec import agree
from realtime_openai.dialect import BETA, GA, VOICE_LIVE, XAI, Dialect
from realtime_openai.options import Options
from realtime_openai.session_object import format_of, nested, replacing, without

PCM = {"type": "audio/pcm", "rate": 24_000}
VAD = {"type": "server_vad", "create_response": True, "interrupt_response": True}
TOOL = ToolSpec("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
TOLD = {
    "type": "function",
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
}


def agreed(dialect: Dialect, config: SessionConfig) -> Plan:
    return agree(dialect.capabilities, config).unwrap()


def session(dialect: Dialect, **config: Any) -> dict[str, Any]:
    wish = SessionConfig(**config)
    return dialect.session(agreed(dialect, wish), options_of(wish, Options).unwrap())


def test_openai_with_nothing_asked_for() -> None:
    assert session(GA) == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": PCM,
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": VAD,
            },
            "output": {"format": PCM},
        },
        "tools": [],
        "tool_choice": "auto",
    }


def test_openai_with_everything() -> None:
    made = session(
        GA,
        voice="marin",
        instructions="Be brief.",
        language="en",
        modalities=("audio", "text"),
        input_format=AudioFormat(8_000, "pcmu"),
        output_format=AudioFormat(8_000, "pcma"),
        turn_detection=TurnDetection(
            threshold=0.0, prefix_ms=0, silence_ms=400, idle_timeout_ms=5_000
        ),
        tools=(TOOL,),
        tool_choice="look",
        max_output_tokens=9,
        options={
            "transcription": {"model": "gpt-transcribe", "keywords": ["bee"]},
            "noise_reduction": "near_field",
            "speed": 1.5,
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
            "truncation": "disabled",
            "tracing": "auto",
            "prompt": {"id": "pmpt_1"},
            "include": ["item.input_audio_transcription.logprobs"],
            "mcp": [{"server_label": "s", "server_url": "https://mcp.example"}],
            "create_response": False,
        },
    )
    assert made == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "Be brief.",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "gpt-transcribe", "language": "en", "keywords": ["bee"]},
                "noise_reduction": {"type": "near_field"},
                "turn_detection": {
                    **VAD,
                    "create_response": False,
                    "threshold": 0.0,
                    "prefix_padding_ms": 0,
                    "silence_duration_ms": 400,
                    "idle_timeout_ms": 5_000,
                },
            },
            "output": {"format": {"type": "audio/pcma"}, "voice": "marin", "speed": 1.5},
        },
        "tools": [
            TOLD,
            {"type": "mcp", "server_label": "s", "server_url": "https://mcp.example"},
        ],
        "tool_choice": {"type": "function", "name": "look"},
        "max_output_tokens": 9,
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "truncation": "disabled",
        "tracing": "auto",
        "prompt": {"id": "pmpt_1"},
        "include": ("item.input_audio_transcription.logprobs",),
    }


def test_a_session_that_only_writes_down() -> None:
    assert session(GA, transcribe_user=False, options={"purpose": "transcription"}) == {
        "type": "transcription",
        "audio": {
            "input": {
                "format": PCM,
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {"type": "server_vad"},
            }
        },
    }


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        (TurnDetection(mode="manual", authority="application"), None),
        (
            TurnDetection(mode="semantic", eagerness="high"),
            {**VAD, "type": "semantic_vad", "eagerness": "high"},
        ),
        (TurnDetection(authority="local"), {**VAD, "interrupt_response": False}),
        (TurnDetection(authority="application"), {**VAD, "interrupt_response": False}),
        (TurnDetection(two_phase=TwoPhase()), {**VAD, "interrupt_response": False}),
    ],
)
def test_whoever_interrupts_is_the_only_one(turns: TurnDetection, told: Any) -> None:
    assert session(GA, turn_detection=turns)["audio"]["input"]["turn_detection"] == told
    assert session(BETA, turn_detection=turns)["turn_detection"] == told
    assert session(XAI, turn_detection=turns)["turn_detection"] == (told or {"type": None})


def test_nothing_is_written_down_unless_asked_for() -> None:
    assert session(GA, transcribe_user=False)["audio"]["input"]["transcription"] is None
    assert session(BETA, transcribe_user=False)["input_audio_transcription"] is None
    assert "transcription" not in session(XAI, transcribe_user=False)["audio"]["input"]


def test_the_beta() -> None:
    made = session(
        BETA,
        voice="alloy",
        instructions="Be brief.",
        temperature=0.0,
        max_output_tokens=9,
        output_format=AudioFormat(8_000, "pcmu"),
        tools=(TOOL,),
        options={"noise_reduction": "far_field", "speed": 1.0, "tracing": "auto"},
    )
    assert made == {
        "modalities": ["text", "audio"],
        "input_audio_format": "pcm16",
        "output_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "gpt-4o-mini-transcribe"},
        "turn_detection": VAD,
        "tools": [TOLD],
        "tool_choice": "auto",
        "instructions": "Be brief.",
        "voice": "alloy",
        "speed": 1.0,
        "temperature": 0.0,
        "max_response_output_tokens": 9,
        "input_audio_noise_reduction": {"type": "far_field"},
        "tracing": "auto",
    }


def test_answers_in_text_alone() -> None:
    assert session(GA, modalities=("text",))["output_modalities"] == ["text"]
    assert session(BETA, modalities=("text",))["modalities"] == ["text"]


@pytest.mark.parametrize(
    ("voice", "told"),
    [
        ("alloy", {"type": "openai", "name": "alloy"}),
        ("en-US-AvaNeural", {"type": "azure-standard", "name": "en-US-AvaNeural"}),
        (
            "en-US-Ava:DragonHDLatestNeural",
            {"type": "azure-standard", "name": "en-US-Ava:DragonHDLatestNeural"},
        ),
    ],
)
def test_voices_of_voice_live(voice: str, told: dict[str, str]) -> None:
    made = session(VOICE_LIVE, voice=voice)
    assert made["voice"] == told
    assert made["input_audio_sampling_rate"] == 24_000
    assert "voice" not in session(VOICE_LIVE)


def test_grok() -> None:
    assert session(XAI, voice="ara", instructions="Be brief.", tools=(TOOL,)) == {
        "turn_detection": VAD,
        "audio": {
            "input": {"format": PCM, "transcription": {"model": "grok-transcribe"}},
            "output": {"format": PCM},
        },
        "tools": [TOLD],
        "tool_choice": "auto",
        "instructions": "Be brief.",
        "voice": "ara",
    }


@pytest.mark.parametrize("dialect", [GA, BETA, VOICE_LIVE, XAI])
def test_raw_fields_come_last_at_whatever_depth(dialect: Dialect) -> None:
    raw = {"audio": {"output": {"voice": {"id": "voice_1"}}}, "later": True, "tools": [1]}
    made = session(dialect, voice="marin", options={"session": raw})
    assert made["audio"]["output"]["voice"] == {"id": "voice_1"}
    assert (made["later"], made["tools"]) == (True, [1])
    assert dialect is not GA or made["audio"]["input"]["format"] == PCM


class TestReplacing:
    """A server keeps what an update does not name; so what is no longer asked for is taken back."""

    def test_names_what_is_gone(self) -> None:
        before = {"instructions": "a", "audio": {"output": {"speed": 1.5, "voice": "marin"}}}
        after = {"audio": {"output": {"voice": "cedar"}}}
        assert replacing(before, after) == {
            "audio": {"output": {"voice": "cedar", "speed": 1.0}},
            "instructions": "",
        }

    def test_leaves_what_is_the_same(self) -> None:
        wish = SessionConfig(instructions="a", voice="marin", max_output_tokens=9)
        made = nested(agreed(GA, wish), options_of(wish, Options).unwrap())
        assert replacing(made, made) == made

    def test_other_turns_have_other_settings(self) -> None:
        before = {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5_000}}
        after = {"turn_detection": {"type": "semantic_vad"}}
        assert replacing(before, after) == after
        quiet = {"turn_detection": {"type": "server_vad"}}
        assert replacing(before, quiet)["turn_detection"]["idle_timeout_ms"] is None
        assert replacing(before, {"turn_detection": None}) == {"turn_detection": None}

    def test_looks_into_groups_only(self) -> None:
        before = {"audio": {"input": {"transcription": {"model": "m", "prompt": "bees"}}}}
        after = {"audio": {"input": {"transcription": {"model": "m"}}}}
        assert replacing(before, after) == after


def test_formats() -> None:
    assert format_of(AudioFormat()) == PCM
    assert format_of(AudioFormat(8_000, "pcma")) == {"type": "audio/pcma"}


def test_fields_left_out() -> None:
    fields = {"a": {"b": {"c": 1}, "d": 2}, "e": 3}
    assert without(fields, ("a.b.c", "e", "x", "e.y")) == {"a": {"d": 2}}
    assert fields == {"a": {"b": {"c": 1}, "d": 2}, "e": 3}
