"""What a configuration asks of a model that it does not do: refused, or told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from returns.result import Success

from realtime_core.config import SessionConfig, ToolSpec, TurnDetection, TwoPhase
from realtime_core.errors import Unsupported
from realtime_qwen.codec import QwenCodec, agree
from realtime_qwen.models import capabilities
from tests.providers.openai.strategies import configs
from tests.providers.qwen.wires import EACH, FLAT, NESTED, planned


def told(model: str = FLAT, **config: Any) -> list[str]:
    return [one.field for one in planned(model, **config).warnings]


def refused(**config: Any) -> Unsupported:
    error = agree(capabilities(), SessionConfig(**config)).failure()
    assert error.cause
    assert error.fix
    return error


@pytest.mark.parametrize("model", EACH)
def test_nothing_asked_for_lacks_nothing(model: str) -> None:
    assert told(model) == []


def test_an_unknown_model_is_as_the_newest() -> None:
    plan = planned("qwen9-omni")
    assert [one.field for one in plan.warnings] == ["model"]
    assert plan.config.model == plan.capabilities.models[0].name == "qwen9-omni"
    assert (
        QwenCodec().greet(plan, None).wires[0] == QwenCodec().greet(planned(NESTED), None).wires[0]
    )


def test_the_sessions_model_goes_before_the_providers() -> None:
    able = capabilities(FLAT)
    assert agree(able, SessionConfig()).unwrap().config.model == FLAT
    plan = agree(able, SessionConfig(model=NESTED)).unwrap()
    assert plan.capabilities == capabilities(NESTED)


@pytest.mark.parametrize(
    "model",
    ["qwen-audio-3.0-realtime-plus", "qwen3.8-livetranslate-flash", "qwen3-asr-flash-realtime"],
)
def test_models_of_another_protocol(model: str) -> None:
    assert refused(model=model).field == "model"


def test_search_and_tools() -> None:
    error = refused(tools=(ToolSpec("look"),), options={"search": True})
    assert error.field == "options.search"


@pytest.mark.parametrize(
    "turns",
    [
        TurnDetection(authority="local"),
        TurnDetection(mode="semantic", authority="application"),
        TurnDetection(two_phase=TwoPhase()),
    ],
)
def test_nobody_else_cuts_where_the_server_detects_turns(turns: TurnDetection) -> None:
    assert refused(turn_detection=turns).field == "turn_detection.authority"


def test_options() -> None:
    assert refused(options={"serch": True}).field == "options"
    assert refused(options={"top_p": 0.0}).field == "options"
    assert refused(options={"purpose": "transcription"}).field == "options.purpose"
    assert told(options={"speed": 1.0, "mcp": []}) == ["options.mcp", "options.speed"]
    own = {"search": True, "smooth_output": False, "representation_compact": "none"}
    assert told(FLAT, options=own) == ["options.smooth_output", "options.representation_compact"]
    assert told(NESTED, options=own) == ["options.smooth_output"]
    old = ["options.search", "options.representation_compact"]
    assert told("qwen3-omni-flash-realtime", options=own) == old
    assert told("qwen3-omni-flash-realtime", options={"search": False}) == []


def test_settings() -> None:
    assert told(language="de", tool_choice="required") == ["language", "tool_choice"]
    assert told(temperature=0.5, max_output_tokens=9, options={"top_p": 0.5}) == []
    turbo = told("qwen-omni-turbo", temperature=0.0, max_output_tokens=9, options={"seed": 0})
    assert turbo == ["temperature", "max_output_tokens", "options.seed"]


def test_turns() -> None:
    semantic = TurnDetection(mode="semantic", eagerness="high", threshold=0.5, silence_ms=900)
    assert told(turn_detection=semantic) == ["turn_detection.eagerness"]
    older = told("qwen3-omni", turn_detection=TurnDetection(mode="semantic", idle_timeout_ms=6_000))
    assert older == ["turn_detection.idle_timeout_ms", "turn_detection.mode"]
    idle = TurnDetection(idle_timeout_ms=1, threshold=-2.0)
    beyond = ["turn_detection.threshold", "turn_detection.idle_timeout_ms"]
    assert told(FLAT, turn_detection=idle) == beyond
    assert told(NESTED, turn_detection=TurnDetection(idle_timeout_ms=6_000)) == beyond[1:]
    whys = {one.why for one in planned(turn_detection=idle).warnings}
    assert whys == {"qwen takes -1 to 1; -1 is used", "qwen takes 5000 to 30000; 5000 is used"}


@given(config=configs(st.just({})), model=st.sampled_from(EACH))
def test_every_configuration_is_agreed_or_refused(config: SessionConfig, model: str) -> None:
    agreed = agree(capabilities(), replace(config, model=model))
    if isinstance(agreed, Success):
        assert QwenCodec().greet(agreed.unwrap(), None).wires
    else:
        lacks_tools = bool(config.tools) and not capabilities(model).tools
        assert agreed.failure().field in {"turn_detection.authority", *["tools"] * lacks_tools}
