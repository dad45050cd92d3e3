"""Dialects: what differs between servers is data, and what one lacks is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Success

from realtime_core.config import SessionConfig, TurnDetection
from realtime_core.errors import Unsupported
from realtime_core.events import AgentTranscript, AudioOutput, ResponseText
from realtime_openai import server_events as server
from realtime_openai.codec import OpenAICodec, agree
from realtime_openai.dialect import AZURE, BETA, DIALECTS, GA, VOICE_LIVE, XAI, Dialect, unmet
from tests.providers.openai.far import spoken
from tests.providers.openai.strategies import configs
from tests.providers.openai.wires import heard, opened

every = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


def lacking(dialect: Dialect, **config: Any) -> list[str]:
    plan = agree(dialect.capabilities, SessionConfig(**config)).unwrap()
    return [warning.field for warning in plan.warnings]


def test_each_has_a_name_of_its_own() -> None:
    assert list(DIALECTS) == ["openai", "azure-openai", "openai-beta", "azure-voice-live", "xai"]


def test_what_only_some_can() -> None:
    sides = {name for name, one in DIALECTS.items() if one.capabilities.side_responses}
    pictures = {name for name, one in DIALECTS.items() if one.capabilities.images}
    cuts = {name for name, one in DIALECTS.items() if one.capabilities.truncate}
    assert sides == pictures == {"openai", "azure-openai"}
    assert cuts == set(DIALECTS) - {"xai"}


@every
def test_all_take_the_authorities_and_formats_they_offer(dialect: Dialect) -> None:
    for authority in dialect.capabilities.authorities:
        for form in dialect.capabilities.audio_in:
            turns = TurnDetection(authority=authority)
            wish = SessionConfig(turn_detection=turns, input_format=form, output_format=form)
            plan = agree(dialect.capabilities, wish).unwrap()
            assert plan.warnings == ()
            assert OpenAICodec(dialect).greet(plan, None).wires


@every
@given(config=configs(st.just({})))
def test_every_configuration_is_agreed_or_refused(dialect: Dialect, config: SessionConfig) -> None:
    agreed = agree(dialect.capabilities, config)
    if isinstance(agreed, Success):
        assert OpenAICodec(dialect).greet(agreed.unwrap(), None).wires
    else:
        assert isinstance(agreed.failure(), Unsupported)
        assert dialect is XAI
        assert config.modalities == ("text",)


class TestUnmet:
    """A wish that no field is made of becomes a warning, not silence."""

    def test_openai_has_no_temperature(self) -> None:
        assert lacking(GA, temperature=0.5) == lacking(AZURE, temperature=0.0) == ["temperature"]
        assert lacking(BETA, temperature=0.5) == lacking(VOICE_LIVE, temperature=0.5) == []

    @pytest.mark.parametrize("dialect", [BETA, VOICE_LIVE])
    def test_older_servers_know_no_newer_options(self, dialect: Dialect) -> None:
        options = {"truncation": "auto", "parallel_tool_calls": False, "speed": 1.0}
        told = lacking(dialect, options=options)
        assert told == ["options.parallel_tool_calls", "options.truncation"]
        assert lacking(GA, options=options) == []

    def test_grok_knows_few(self) -> None:
        assert lacking(XAI, max_output_tokens=9, temperature=0.5, options={"speed": 1.0}) == [
            "max_output_tokens",
            "temperature",
            "options.speed",
        ]

    def test_settings_of_loudness_with_semantic_turns(self) -> None:
        turns = TurnDetection(mode="semantic", silence_ms=300, idle_timeout_ms=5_000)
        told = ["turn_detection.silence_ms", "turn_detection.idle_timeout_ms"]
        assert lacking(GA, turn_detection=turns) == told
        assert lacking(GA, turn_detection=TurnDetection(silence_ms=300)) == []

    @every
    def test_nothing_asked_for_lacks_nothing(self, dialect: Dialect) -> None:
        assert unmet(dialect, SessionConfig()) == ()


@pytest.mark.parametrize("dialect", [BETA, VOICE_LIVE, XAI])
def test_only_openai_sessions_merely_write_down(dialect: Dialect) -> None:
    wish = SessionConfig(options={"purpose": "transcription"})
    refused = agree(dialect.capabilities, wish).failure()
    assert refused.field == "options.purpose"
    assert isinstance(agree(GA.capabilities, wish), Success)
    talks = SessionConfig(options={"purpose": "conversation"})
    assert agree(dialect.capabilities, talks).unwrap().warnings == ()


@every
def test_one_event_means_one_thing_in_all(dialect: Dialect) -> None:
    """Older names and newer ones are read alike, whoever uses them."""
    of: dict[str, Any] = {"response_id": "r", "item_id": "i"}
    said = (
        server.ResponseCreated(response=server.ResponseObject("r", metadata=None)),
        server.TranscriptDelta(**of, delta="Hi"),
        server.AudioDelta(**of, delta=b"\0\0"),
        server.AudioDone(**of),
        server.TranscriptDone(**of, transcript="Hi"),
        server.TextDelta(**of, delta="Hi"),
        server.TextDone(**of, text="Hi"),
    )
    meant = heard(*opened(GA), *[spoken(GA, event) for event in said])[1]
    assert heard(*opened(dialect), *[spoken(dialect, event) for event in said])[1] == meant
    kinds = [type(event) for event in meant]
    assert kinds.count(AgentTranscript) == kinds.count(ResponseText) == 2
    assert AudioOutput in kinds


def test_every_name_is_known_once() -> None:
    tags = [str(kind.__struct_config__.tag) for kind in server.MEANT]
    assert len(set(tags)) == len(tags) == len(server.KNOWN)
