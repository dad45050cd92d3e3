"""Strategies: what they give can be played, printed and told apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime_core import AudioOutput, Plan
from realtime_core.events import Event
from realtime_core.testing._author import ERRORS, LAWFUL, Author, number_of
from realtime_core.testing.strategies import plans, provider_scripts, structs, timelines, wires
from realtime_core.testing.timeline import Loses, Raw, Says, Stale, Timeline


@given(plans())
def test_a_plan_keeps_to_what_the_provider_has(plan: Plan) -> None:
    assert plan.config.turn_detection.authority in plan.capabilities.authorities
    assert plan.warnings == ()


@given(timelines(losses=False, lawful=True))
def test_without_losses_nothing_goes_wrong(timeline: Timeline) -> None:
    assert not any(isinstance(one, Loses | Raw | Stale) for one in timeline)


@given(timelines())
def test_every_piece_of_audio_has_its_own_number(timeline: Timeline) -> None:
    said = [event for one in timeline if isinstance(one, Says) for event in one.events]
    pieces = [event for event in said if isinstance(event, AudioOutput)]
    numbers = [number for event in pieces if (number := number_of(event)) >= 0]
    assert len(set(numbers)) == len(numbers)
    assert numbers == sorted(numbers)


@given(provider_scripts(max_size=3))
def test_a_script_is_in_bursts(script: tuple[tuple[Event, ...], ...]) -> None:
    assert 1 <= len(script) <= 3


@given(wires(longest=40))
def test_noise_stays_within_its_length(wire: str | bytes) -> None:
    assert len(wire) <= 64


@given(structs(AudioOutput))
def test_values_of_structs_are_made(value: AudioOutput) -> None:
    assert isinstance(value, AudioOutput)


@given(st.sampled_from((*LAWFUL, *ERRORS)), st.integers(0, 3), st.integers(0, 3))
def test_an_author_has_an_answer_to_every_move(move: str, a: int, b: int) -> None:
    author = Author()
    assert all(isinstance(event, Event) for event in author.write(move, a, b))
    author.asked()
    assert all(isinstance(event, Event) for event in author.write(move, a, b))
