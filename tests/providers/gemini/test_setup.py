"""The setup: every wish in its place, and what a model lacks told and left out."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from realtime_core import Message, ToolSpec, TurnDetection
from realtime_core.codec import Resume
from realtime_core.config import Secret
from realtime_gemini.codec import GeminiCodec
from tests.providers.gemini.wires import MODELS, NATIVE, THIRD, Talk, json, planned

LOOK = ToolSpec("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
EXTENDED, TRANSLATE = "gemini-3.8-live-extended-thinking", "gemini-3.5-live-translate-preview"
HALF = "gemini-live-2.5-flash"


def setup(model: str = "", **config: Any) -> dict[str, Any]:
    return Talk(model, **config).setup


def warned(model: str = "", service: Any = "developer", **config: Any) -> list[str]:
    return [one.field for one in planned(model, service, **config).warnings]


def test_the_least() -> None:
    assert setup() == {
        "model": "models/gemini-3.8-live",
        "generationConfig": {"responseModalities": ["AUDIO"]},
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
        "sessionResumption": {},
        "contextWindowCompression": {"slidingWindow": {}},
    }
    assert warned() == []


def test_much() -> None:
    made = setup(
        NATIVE,
        voice="Kore",
        instructions="Be brief.",
        temperature=0.5,
        max_output_tokens=100,
        transcribe_user=False,
        tools=(LOOK,),
        turn_detection=TurnDetection(
            threshold=0.8, prefix_ms=20, silence_ms=500, eagerness="high", authority="application"
        ),
        options={
            "top_p": 0.9,
            "top_k": 40,
            "seed": 7,
            "media_resolution": "low",
            "thinking_budget": 0,
            "include_thoughts": True,
            "affective_dialog": True,
            "proactive_audio": True,
            "google_search": True,
            "turn_coverage": "all_input",
            "output_transcription": {"languageCodes": ["en"]},
            "compression": {"triggerTokens": 9, "slidingWindow": {"targetTokens": 5}},
            "labels": {"a": "b"},
        },
    )
    assert made == {
        "model": f"models/{NATIVE}",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 40,
            "maxOutputTokens": 100,
            "seed": 7,
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
            "thinkingConfig": {"thinkingBudget": 0, "includeThoughts": True},
            "enableAffectiveDialog": True,
        },
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [
            {"googleSearch": {}},
            {
                "functionDeclarations": [
                    {
                        "name": "look",
                        "description": "Looks.",
                        "parameters": {"type": "OBJECT", "properties": {"at": {"type": "STRING"}}},
                    }
                ]
            },
        ],
        "realtimeInputConfig": {
            "automaticActivityDetection": {
                "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
                "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH",
                "prefixPaddingMs": 20,
                "silenceDurationMs": 500,
            },
            "activityHandling": "NO_INTERRUPTION",
            "turnCoverage": "TURN_INCLUDES_ALL_INPUT",
        },
        "outputAudioTranscription": {"languageCodes": ["en"]},
        "sessionResumption": {},
        "contextWindowCompression": {"triggerTokens": 9, "slidingWindow": {"targetTokens": 5}},
        "proactivity": {"proactiveAudio": True},
        "labels": {"a": "b"},
    }


class TestTurns:
    """Who decides about turns: the server, unless they are marked by hand."""

    def test_by_hand(self) -> None:
        turns = TurnDetection(mode="manual", authority="local", silence_ms=9)
        made = setup(turn_detection=turns)["realtimeInputConfig"]
        assert made == {"automaticActivityDetection": {"disabled": True}}

    def test_the_application_alone_interrupts(self) -> None:
        for authority in ("local", "application"):
            made = setup(turn_detection=TurnDetection(authority=authority))["realtimeInputConfig"]
            assert made == {"activityHandling": "NO_INTERRUPTION"}

    def test_what_has_no_place(self) -> None:
        turns = TurnDetection(mode="semantic", eagerness="medium", idle_timeout_ms=5_000)
        assert warned(turn_detection=turns) == [
            "turn_detection.mode",
            "turn_detection.idle_timeout_ms",
            "turn_detection.eagerness",
        ]


class TestThinking:
    """Each family is told in its own way how much to think."""

    @pytest.mark.parametrize(
        ("model", "options", "made", "lacks"),
        [
            ("gemini-3.8-live", {"thinking_level": "low"}, None, ["options.thinking_level"]),
            ("gemini-3.8-live", {"include_thoughts": True}, None, ["options.include_thoughts"]),
            (THIRD, {"thinking_level": "minimal"}, {"thinkingLevel": "MINIMAL"}, []),
            (THIRD, {"thinking_budget": 9}, None, ["options.thinking_budget"]),
            (NATIVE, {"thinking_budget": 9}, {"thinkingBudget": 9}, []),
            (NATIVE, {"thinking_level": "low"}, None, ["options.thinking_level"]),
            (EXTENDED, {}, {"thinkingLevel": "LOW"}, []),
            (EXTENDED, {"thinking_level": "high"}, {"thinkingLevel": "HIGH"}, []),
            (
                EXTENDED,
                {"thinking_level": "minimal"},
                {"thinkingLevel": "LOW"},
                ["options.thinking_level"],
            ),
        ],
    )
    def test_families(
        self, model: str, options: dict[str, Any], made: dict[str, Any] | None, lacks: list[str]
    ) -> None:
        assert setup(model, options=options)["generationConfig"].get("thinkingConfig") == made
        assert warned(model, options=options) == lacks


class TestModels:
    """A setup holds nothing that its model is known to refuse."""

    def test_affective_and_proactive(self) -> None:
        wish = {"affective_dialog": True, "proactive_audio": True}
        made = setup(THIRD, options=wish)
        assert "enableAffectiveDialog" not in made["generationConfig"]
        assert "proactivity" not in made
        assert warned(THIRD, options=wish) == [
            "options.affective_dialog",
            "options.proactive_audio",
        ]
        assert warned(options={"proactive_audio": False}) == ["options.proactive_audio"]
        assert "proactivity" not in setup(options={"proactive_audio": False})

    def test_what_the_provider_runs(self) -> None:
        wish = {"google_search": True, "code_execution": True, "url_context": {}}
        assert setup(options=wish)["tools"] == [{"googleSearch": {}}]
        assert warned(options=wish) == ["options.code_execution", "options.url_context"]
        assert len(setup(NATIVE, options=wish)["tools"]) == 3

    def test_language(self) -> None:
        assert warned(NATIVE, language="de") == ["language"]
        assert "speechConfig" not in setup(NATIVE, language="de")["generationConfig"]
        made = setup(HALF, language="de")["generationConfig"]["speechConfig"]
        assert made == {"languageCode": "de"}

    def test_text(self) -> None:
        made = setup(HALF, modalities=("text",), voice="Kore")
        assert made["generationConfig"] == {"responseModalities": ["TEXT"]}
        assert "outputAudioTranscription" not in made

    def test_a_translator(self) -> None:
        wish = {"target_language": "pl", "echo_target_language": True}
        made = setup(TRANSLATE, instructions="Be brief.", options=wish)
        told = {"targetLanguageCode": "pl", "echoTargetLanguage": True}
        assert made["generationConfig"]["translationConfig"] == told
        assert "systemInstruction" not in made
        assert "tools" not in made
        assert warned(TRANSLATE, instructions="Be brief.", options=wish) == ["instructions"]
        assert warned(options=wish) == ["options.target_language"]

    def test_services(self) -> None:
        wish = {"labels": {"a": "b"}, "explicit_vad_signal": True, "transparent": True}
        ours, vertex = setup(NATIVE, options=wish), Talk(NATIVE, "vertex", options=wish).setup
        assert ours["labels"] == {"a": "b"}
        assert (ours["sessionResumption"], "explicitVadSignal" in ours) == ({}, False)
        assert "labels" not in vertex
        assert vertex["explicitVadSignal"] is True
        assert vertex["sessionResumption"] == {"transparent": True}
        assert warned(NATIVE, options=wish) == [
            "options.explicit_vad_signal",
            "options.transparent",
        ]
        assert warned(NATIVE, "vertex", options=wish) == ["options.labels"]

    @pytest.mark.parametrize("model", MODELS)
    def test_names(self, model: str) -> None:
        mode = ("text",) if "robotics" in model else ("audio",)
        assert setup(model, modalities=mode)["model"] == f"models/{model}"
        path = f"projects/p/locations/l/publishers/google/models/{model}"
        assert setup(path, modalities=mode)["model"] == path


class TestCalls:
    """The model waits for results, unless it is told not to or cannot."""

    @pytest.mark.parametrize(
        ("model", "wish", "made", "lacks"),
        [
            ("gemini-3.8-live", {}, "BLOCKING", []),
            ("gemini-3.8-live", {"look": "NON_BLOCKING"}, None, []),
            (NATIVE, {}, None, []),
            (NATIVE, {"look": "NON_BLOCKING"}, "NON_BLOCKING", []),
            (NATIVE, {"other": "NON_BLOCKING"}, None, []),
            (THIRD, {"look": "NON_BLOCKING"}, None, ["options.behaviour.look"]),
            (EXTENDED, {}, None, []),
            (EXTENDED, {"look": "BLOCKING"}, None, ["options.behaviour.look"]),
        ],
    )
    def test_behaviour(
        self, model: str, wish: dict[str, str], made: str | None, lacks: list[str]
    ) -> None:
        config: dict[str, Any] = {"tools": (LOOK,), "options": {"behaviour": wish}}
        (declared,) = setup(model, **config)["tools"][0]["functionDeclarations"]
        assert declared.get("behavior") == made
        assert warned(model, **config) == lacks

    @pytest.mark.parametrize(
        ("model", "behaviour", "lacks"),
        [
            (NATIVE, {"look": "NON_BLOCKING"}, []),
            (NATIVE, {}, ["options.scheduling.look"]),
            (EXTENDED, {}, ["options.scheduling.look"]),
        ],
    )
    def test_scheduling(self, model: str, behaviour: dict[str, str], lacks: list[str]) -> None:
        options = {"behaviour": behaviour, "scheduling": {"look": "SILENT", "other": "SILENT"}}
        assert warned(model, tools=(LOOK,), options=options) == lacks

    def test_choice(self) -> None:
        assert "tools" not in setup(tools=(LOOK,), tool_choice="none")
        assert warned(tools=(LOOK,), tool_choice="look") == ["tool_choice"]

    def test_a_function_without_parameters(self) -> None:
        (declared,) = setup(NATIVE, tools=(ToolSpec("go"),))["tools"][0]["functionDeclarations"]
        assert declared == {"name": "go", "description": ""}


class TestBeginnings:
    """A session is begun, taken up by its handle, or begun again with what was said."""

    HISTORY = (Message("user", "Hi"),)

    def test_a_handle(self) -> None:
        talk = Talk(resume=Resume(2, Secret("h-1"), self.HISTORY))
        assert talk.setup["sessionResumption"] == {"handle": "h-1"}
        assert "historyConfig" not in talk.setup
        assert "h-1" not in repr(talk.memory)

    def test_handles_that_are_declined(self) -> None:
        wish = {"resumption": False}
        made = Talk(resume=Resume(2, Secret("h-1"), self.HISTORY), options=wish).setup
        assert "sessionResumption" not in made
        assert made["historyConfig"] == {"initialHistoryInClientContent": True}

    def test_a_history_of_its_own_phase(self) -> None:
        told = {"initialHistoryInClientContent": True}
        assert setup(history=self.HISTORY)["historyConfig"] == told
        assert Talk(resume=Resume(1, None, self.HISTORY)).setup["historyConfig"] == told
        assert "historyConfig" not in setup(NATIVE, history=self.HISTORY)
        assert "historyConfig" not in Talk("", "vertex", history=self.HISTORY).setup
        assert "historyConfig" not in setup()

    def test_compression_can_be_declined(self) -> None:
        assert "contextWindowCompression" not in setup(options={"compression": False})


def test_raw_fields_are_joined() -> None:
    raw = {"generationConfig": {"topP": 0.1}, "later": {"a": 1}, "sessionResumption": None}
    made = setup(options={"setup": raw})
    assert made["generationConfig"] == {"responseModalities": ["AUDIO"], "topP": 0.1}
    assert made["later"] == {"a": 1}
    assert made["sessionResumption"] is None


def test_nothing_else_is_sent_before_the_setup_is_complete() -> None:
    history = (Message("user", "Hi"),)
    plan = planned(history=history)
    (first,) = GeminiCodec().greet(plan, None).wires
    assert list(json(first)) == ["setup"]


def test_a_model_may_be_fixed_elsewhere() -> None:
    plan = planned()
    plan = replace(plan, capabilities=replace(plan.capabilities, models=()))
    (first,) = GeminiCodec().greet(plan, None).wires
    assert "model" not in json(first)["setup"]
