"""Schedules: the algebra of retry policies, their bounds, and their journey as JSON."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from returns.maybe import Maybe, Nothing, Some

from realtime_core.schedule import (
    Attempt,
    Both,
    Capped,
    Either,
    Exponential,
    OnceOpen,
    Recurs,
    Schedule,
    Spaced,
    Within,
)

seconds = st.floats(0, 1e6, allow_subnormal=False)
fractions = st.floats(0, 1, exclude_max=True)
leaves: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(Recurs, st.integers(0, 20)),
    st.builds(Spaced, seconds),
    st.builds(Exponential, st.floats(0, 100), st.floats(1, 4)),
)


def composed(inner: st.SearchStrategy[Schedule]) -> st.SearchStrategy[Schedule]:
    return st.one_of(
        st.builds(Capped, inner, seconds),
        st.builds(lambda s, low, width: s.jittered(low, low + width), inner, fractions, fractions),
        st.builds(Within, inner, seconds),
        st.builds(OnceOpen, inner),
        st.builds(Both, inner, inner),
        st.builds(Either, inner, inner),
    )


schedules = st.recursive(leaves, composed, max_leaves=6)
attempts = st.builds(Attempt, st.integers(0, 200), seconds, fractions, seconds, st.booleans())


def told(delay: Maybe[float]) -> float | None:
    return delay.value_or(None)


# --- every schedule ---------------------------------------------------------------------------


@given(schedule=schedules, attempt=attempts)
def test_a_delay_is_never_negative_and_depends_on_nothing_else(
    schedule: Schedule, attempt: Attempt
) -> None:
    delay = told(schedule.delay(attempt))
    assert delay is None or delay >= 0
    assert told(schedule.delay(attempt)) == delay


@given(schedule=schedules)
def test_a_schedule_is_the_same_after_a_journey_as_json(schedule: Schedule) -> None:
    again = msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule)
    assert again == schedule
    assert hash(again) == hash(schedule)


@given(schedule=schedules, attempt=attempts)
def test_the_journey_changes_no_decision(schedule: Schedule, attempt: Attempt) -> None:
    again = msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule)
    assert again.delay(attempt) == schedule.delay(attempt)


@given(schedule=schedules)
def test_a_schedule_cannot_be_changed(schedule: Schedule) -> None:
    for field in msgspec.structs.fields(schedule):
        with pytest.raises(AttributeError):
            setattr(schedule, field.name, None)


# --- the leaves -------------------------------------------------------------------------------


@given(times=st.integers(0, 100))
def test_recurs_allows_so_many_attempts(times: int) -> None:
    given_up = [Recurs(times).delay(Attempt(number)) is Nothing for number in range(times + 5)]
    assert given_up == [False] * times + [True] * 5
    assert Recurs(times).delay(Attempt(0)) == (Some(0.0) if times else Nothing)


@given(wait=seconds, attempt=attempts)
def test_spaced_is_always_the_same(wait: float, attempt: Attempt) -> None:
    assert Spaced(wait).delay(attempt) == Some(wait)


@given(base=st.floats(0.001, 10), factor=st.floats(1, 4), number=st.integers(0, 62))
def test_exponential_grows_by_its_factor(base: float, factor: float, number: int) -> None:
    schedule = Exponential(base, factor)
    one, next_one = (schedule.delay(Attempt(n)).unwrap() for n in (number, number + 1))
    assert schedule.delay(Attempt(0)) == Some(base)
    assert next_one == pytest.approx(one * factor)


@pytest.mark.parametrize("number", [63, 64, 1_000, 10**9])
def test_exponential_stays_finite_for_ever(number: int) -> None:
    assert Exponential(1.0).delay(Attempt(number)) == Some(2.0**63)


# --- the combinations -------------------------------------------------------------------------


@given(schedule=schedules, limit=seconds, attempt=attempts)
def test_capped_cuts_what_is_longer_and_nothing_else(
    schedule: Schedule, limit: float, attempt: Attempt
) -> None:
    before, after = told(schedule.delay(attempt)), told(schedule.capped(limit).delay(attempt))
    assert after == (None if before is None else min(before, limit))


@given(schedule=schedules, low=fractions, width=fractions, attempt=attempts)
def test_jitter_stays_within_its_factors(
    schedule: Schedule, low: float, width: float, attempt: Attempt
) -> None:
    before = told(schedule.delay(attempt))
    after = told(schedule.jittered(low, low + width).delay(attempt))
    assert (after is None) == (before is None)
    if before is not None and after is not None:
        slack = 1e-9 * (1 + before)
        assert before * low - slack <= after <= before * (low + width) + slack


@given(schedule=schedules, attempt=attempts, other=fractions)
def test_jitter_grows_with_the_drawn_number(
    schedule: Schedule, attempt: Attempt, other: float
) -> None:
    plain = Spaced(told(schedule.delay(attempt)) or 0.0).jittered()
    one, two = sorted((attempt.random, other))
    first = plain.delay(attempt._replace(random=one)).unwrap()
    assert first <= plain.delay(attempt._replace(random=two)).unwrap()


@given(schedule=schedules, limit=seconds, attempt=attempts)
def test_within_lets_nothing_start_after_its_time(
    schedule: Schedule, limit: float, attempt: Attempt
) -> None:
    before, after = told(schedule.delay(attempt)), told(schedule.within(limit).delay(attempt))
    if before is not None and attempt.elapsed + max(before, attempt.least) <= limit:
        assert after == before
    else:
        assert after is None


@given(limit=st.floats(0.1, 100), base=st.floats(0.01, 1), draws=st.lists(fractions, min_size=1))
def test_within_bounds_the_total_time_of_a_whole_retry(
    limit: float, base: float, draws: list[float]
) -> None:
    schedule = Exponential(base).jittered().within(limit)
    elapsed = 0.0
    for number in range(100):
        delay = told(schedule.delay(Attempt(number, elapsed, draws[number % len(draws)])))
        if delay is None:
            break
        elapsed += delay
    else:
        pytest.fail("it never gave up")
    assert elapsed <= limit


Combine = Callable[[Schedule, Schedule], Schedule]
combinations = pytest.mark.parametrize(
    "combine", [lambda a, b: a.both(b), lambda a, b: a.either(b)], ids=["both", "either"]
)


@combinations
@given(left=schedules, right=schedules, attempt=attempts)
def test_combining_commutes(
    combine: Combine, left: Schedule, right: Schedule, attempt: Attempt
) -> None:
    assert combine(left, right).delay(attempt) == combine(right, left).delay(attempt)


@combinations
@given(one=schedules, two=schedules, three=schedules, attempt=attempts)
def test_combining_associates(
    combine: Combine, one: Schedule, two: Schedule, three: Schedule, attempt: Attempt
) -> None:
    left = combine(combine(one, two), three)
    right = combine(one, combine(two, three))
    assert left.delay(attempt) == right.delay(attempt)


@combinations
@given(schedule=schedules, attempt=attempts)
def test_combining_with_itself_changes_nothing(
    combine: Combine, schedule: Schedule, attempt: Attempt
) -> None:
    assert combine(schedule, schedule).delay(attempt) == schedule.delay(attempt)


@given(left=schedules, right=schedules, attempt=attempts)
def test_both_goes_on_while_both_do_after_the_longer_delay(
    left: Schedule, right: Schedule, attempt: Attempt
) -> None:
    one, two = told(left.delay(attempt)), told(right.delay(attempt))
    expected = None if one is None or two is None else max(one, two)
    assert told(left.both(right).delay(attempt)) == expected


@given(left=schedules, right=schedules, attempt=attempts)
def test_either_goes_on_while_one_does_after_the_shorter_delay(
    left: Schedule, right: Schedule, attempt: Attempt
) -> None:
    there = [d for d in (told(left.delay(attempt)), told(right.delay(attempt))) if d is not None]
    assert told(left.either(right).delay(attempt)) == min(there, default=None)


@given(left=schedules, right=schedules, attempt=attempts)
def test_both_and_either_absorb_each_other(
    left: Schedule, right: Schedule, attempt: Attempt
) -> None:
    assume(left.delay(attempt) is not Nothing)
    assert left.both(left.either(right)).delay(attempt) == left.delay(attempt)
    assert left.either(left.both(right)).delay(attempt) == left.delay(attempt)


def test_a_typical_policy_reads_as_it_is_said() -> None:
    policy = Exponential(0.5).capped(8.0).jittered().both(Recurs(5)).within(60.0)
    delays = [told(policy.delay(Attempt(number, random=0.5))) for number in range(7)]
    assert delays == [0.375, 0.75, 1.5, 3.0, 6.0, None, None]
    assert policy.delay(Attempt(4, elapsed=55.0)) is Nothing


def test_a_delay_beyond_all_numbers_is_cut_by_its_cap() -> None:
    assert Exponential(1.0, 1e6).capped(30.0).delay(Attempt(60)) == Some(30.0)


def test_once_open_tries_nothing_that_was_never_open() -> None:
    schedule = Spaced(1.0).once_open()
    assert told(schedule.delay(Attempt(0, opened=False))) is None
    assert told(schedule.delay(Attempt(0))) == 1.0


def test_what_the_provider_asks_for_has_to_fit_too() -> None:
    schedule = Spaced(1.0).within(5.0)
    assert told(schedule.delay(Attempt(0, 2.0, least=3.0))) == 1.0
    assert told(schedule.delay(Attempt(0, 2.0, least=3.5))) is None
