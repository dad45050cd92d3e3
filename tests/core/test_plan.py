"""Negotiation: every wish is kept, given up with a warning, or refused before any dialling."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from msgspec.structs import replace
from returns.pipeline import is_successful

from realtime_core.audio import PCM_16K, PCM_24K, AudioFormat
from realtime_core.capability import Capabilities, HistoryLimits
from realtime_core.config import Message, SessionConfig, ToolSpec, TurnDetection
from realtime_core.errors import Unsupported
from realtime_core.plan import Plan, negotiate, options_of
from tests.core.wishes import capabilities, configs

MODEST = Capabilities(provider="modest")
RICH = Capabilities(
    provider="rich",
    audio_in=(PCM_16K, PCM_24K),
    audio_out=(PCM_24K, PCM_16K),
    text_out=True,
    tools=True,
    user_transcripts=True,
    authorities=("provider", "local", "application"),
    manual_turns=True,
    history=True,
    voices=("ann", "joe"),
)
PLAIN = SessionConfig(transcribe_user=False)


def agreed(offer: Capabilities, wish: SessionConfig) -> Plan:
    return negotiate(offer, wish).unwrap()


# --- refusals ---------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Capabilities, dict[str, Any], str]] = {
    "tools": (MODEST, {"tools": (ToolSpec("look"),)}, "tools"),
    "text alone": (MODEST, {"modalities": ("text",)}, "modalities"),
    "audio out": (replace(RICH, audio_out=()), {"modalities": ("audio", "text")}, "modalities"),
    "manual turns": (MODEST, {"turn_detection": TurnDetection("manual")}, "turn_detection.mode"),
    "local authority": (
        MODEST,
        {"turn_detection": TurnDetection(authority="local")},
        "turn_detection.authority",
    ),
    "provider authority": (
        replace(RICH, authorities=("application",)),
        {},
        "turn_detection.authority",
    ),
}
refusals = pytest.mark.parametrize(("offer", "wish", "field"), REFUSED.values(), ids=REFUSED.keys())


@refusals
def test_what_a_session_cannot_do_without_is_refused(
    offer: Capabilities, wish: dict[str, Any], field: str
) -> None:
    refusal = negotiate(offer, replace(PLAIN, **wish)).failure()
    assert isinstance(refusal, Unsupported)
    assert refusal.field == field
    assert offer.provider in refusal.what
    assert refusal.cause
    assert field in refusal.fix


@pytest.mark.parametrize(
    "wish",
    [
        {"tools": (ToolSpec("look"),)},
        {"modalities": ("text",)},
        {"modalities": ("audio", "text")},
        {"turn_detection": TurnDetection("manual", "application")},
        {"turn_detection": TurnDetection("semantic", "local")},
        {"history": (Message("user", "Hello."),)},
        {"transcribe_user": True},
        {"voice": "joe"},
    ],
    ids=str,
)
def test_what_the_provider_offers_is_agreed_as_wished(wish: dict[str, Any]) -> None:
    config = replace(PLAIN, **wish)
    assert agreed(RICH, config) == Plan(config, RICH, input_format=PCM_16K, output_format=PCM_24K)


# --- warnings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "wish", "field", "without"),
    [
        (MODEST, {"history": (Message("user", "Hello."),)}, "history", ()),
        (MODEST, {"transcribe_user": True}, "transcribe_user", False),
        (RICH, {"voice": "zoe"}, "voice", ""),
    ],
)
def test_what_a_session_can_do_without_is_left_out_with_a_warning(
    offer: Capabilities, wish: dict[str, Any], field: str, without: object
) -> None:
    plan = agreed(offer, replace(PLAIN, **wish))
    assert [warning.field for warning in plan.warnings] == [field]
    assert offer.provider in plan.warnings[0].why
    assert getattr(plan.config, field) == without
    assert plan.config == replace(PLAIN, **{field: without})


def test_any_voice_goes_where_the_provider_lists_none() -> None:
    assert agreed(MODEST, replace(PLAIN, voice="zoe")).config.voice == "zoe"


def test_several_warnings_come_together() -> None:
    wish = SessionConfig(history=(Message("user", "Hello."),))
    assert {warning.field for warning in agreed(MODEST, wish).warnings} == {
        "history",
        "transcribe_user",
    }


# --- formats ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "offered", "expected"),
    [
        (None, (PCM_16K, PCM_24K), PCM_16K),
        (PCM_24K, (PCM_16K, PCM_24K), PCM_24K),
        (AudioFormat(8_000), (PCM_16K, PCM_24K), PCM_16K),
        (None, (), PCM_24K),
        (PCM_16K, (), PCM_16K),
    ],
)
def test_a_format_is_the_wished_one_where_offered_else_the_preferred(
    wish: AudioFormat | None, offered: tuple[AudioFormat, ...], expected: AudioFormat
) -> None:
    offer = replace(RICH, audio_in=offered)
    assert agreed(offer, replace(PLAIN, input_format=wish)).input_format == expected
    if offered:
        offer = replace(RICH, audio_out=offered)
        assert agreed(offer, replace(PLAIN, output_format=wish)).output_format == expected


# --- laws -------------------------------------------------------------------------------------


@given(offer=capabilities, wish=configs)
def test_negotiation_always_answers(offer: Capabilities, wish: SessionConfig) -> None:
    answer = negotiate(offer, wish)
    if not is_successful(answer):
        assert isinstance(answer.failure(), Unsupported)
        return
    plan = answer.unwrap()
    assert plan.capabilities == offer
    assert plan.input_format in (offer.audio_in or (wish.input_format, PCM_24K))
    assert plan.output_format in (offer.audio_out or (wish.output_format, PCM_24K))


@given(offer=capabilities, wish=configs)
def test_only_what_was_warned_of_differs_from_the_wish(
    offer: Capabilities, wish: SessionConfig
) -> None:
    plan = negotiate(offer, wish).value_or(None)
    if plan is None:
        return
    changed = {
        field
        for field in wish.__struct_fields__
        if getattr(plan.config, field) != getattr(wish, field)
    }
    assert changed == {warning.field for warning in plan.warnings}


@given(offer=capabilities, wish=configs)
def test_what_was_agreed_is_agreed_again_without_a_word(
    offer: Capabilities, wish: SessionConfig
) -> None:
    plan = negotiate(offer, wish).value_or(None)
    if plan is not None:
        assert agreed(offer, plan.config) == replace(plan, warnings=())


@given(offer=capabilities, wish=configs)
def test_a_provider_that_can_do_more_refuses_no_more(
    offer: Capabilities, wish: SessionConfig
) -> None:
    if not is_successful(negotiate(offer, wish)):
        return
    more = replace(
        offer, tools=True, text_out=True, manual_turns=True, authorities=RICH.authorities
    )
    assert is_successful(negotiate(more, wish))


def test_a_history_is_cut_to_what_the_provider_takes() -> None:
    limited = replace(RICH, history_limits=HistoryLimits(entries=1))
    history = (Message("user", "a"), Message("user", "b"))
    plan = negotiate(limited, replace(PLAIN, history=history)).unwrap()
    assert plan.config.history == history[1:]
    (warning,) = plan.warnings
    assert (warning.field, warning.why) == ("history", "rich takes 1 of 2 entries")


# --- a provider's own options -----------------------------------------------------------------


class Own(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of some provider."""

    speed: float = 1.0
    words: tuple[str, ...] = ()


def test_options_are_read_as_a_providers_own() -> None:
    assert options_of(SessionConfig(), Own).unwrap() == Own()
    wish = SessionConfig(options={"speed": 2, "words": ["a"]})
    assert options_of(wish, Own).unwrap() == Own(2.0, ("a",))


@pytest.mark.parametrize(
    ("options", "named"), [({"sped": 2.0}, "sped"), ({"speed": "fast"}, "$.speed")]
)
def test_a_wrong_option_is_named_with_those_that_are_known(
    options: dict[str, Any], named: str
) -> None:
    refusal = options_of(SessionConfig(options=options), Own).failure()
    assert named in refusal.what
    assert (refusal.field, refusal.fix) == ("options", "Known options: speed, words.")
    assert refusal.cause
