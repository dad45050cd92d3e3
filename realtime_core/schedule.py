"""Retry policies as values: a pure function from what was tried to the next delay, or to nothing.

A schedule reads no clock and draws no random number: elapsed time and a number in [0, 1) for the
jitter ride in with the question. Schedules are data, so they compare, print and travel as JSON.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import msgspec
from returns.maybe import Maybe, Nothing, Some

__all__ = (
    "RECONNECT",
    "Attempt",
    "Both",
    "Capped",
    "Either",
    "Exponential",
    "Jittered",
    "OnceOpen",
    "Recurs",
    "Schedule",
    "Spaced",
    "Within",
)


class Attempt(NamedTuple):
    """What has been tried: `number` from 0, `elapsed` seconds since the first failure."""

    number: int
    elapsed: float = 0.0
    random: float = 0.5
    """A number in [0, 1), drawn by the shell; decides the jitter."""
    least: float = 0.0
    """Seconds that the provider asks to wait at least."""
    opened: bool = True
    """Whether the session was open before."""


class _Policy(msgspec.Struct, frozen=True, tag=True):
    """The ways to combine one schedule with another."""

    def capped(self, seconds: float) -> Capped:
        """Never wait longer than `seconds` for one attempt."""
        return Capped(_member(self), seconds)

    def jittered(self, low: float = 0.5, high: float = 1.0) -> Jittered:
        """Scale each delay by a factor between `low` and `high`, so that clients do not march."""
        return Jittered(_member(self), low, high)

    def within(self, seconds: float) -> Within:
        """Give up once an attempt would start later than `seconds` after the first failure."""
        return Within(_member(self), seconds)

    def once_open(self) -> OnceOpen:
        """Never try again what could not be opened in the first place."""
        return OnceOpen(_member(self))

    def both(self, other: Schedule) -> Both:
        """Go on while both would, after the longer delay."""
        return Both(_member(self), other)

    def either(self, other: Schedule) -> Either:
        """Go on while one would, after the shorter delay."""
        return Either(_member(self), other)


class Recurs(_Policy, frozen=True, tag=True):
    """Try again at once, `times` times; `Recurs(0)` never tries again."""

    times: int

    def delay(self, attempt: Attempt) -> Maybe[float]:
        """Give zero seconds until the attempts are used up."""
        return Some(0.0) if attempt.number < self.times else Nothing


class Spaced(_Policy, frozen=True, tag=True):
    """Wait the same seconds before every attempt, without end."""

    seconds: float

    def delay(self, attempt: Attempt) -> Maybe[float]:  # noqa: ARG002 - every attempt is alike
        """Give the fixed delay."""
        return Some(self.seconds)


class Exponential(_Policy, frozen=True, tag=True):
    """Wait `base`, then `base * factor`, and so on, without end."""

    base: float = 0.5
    factor: float = 2.0

    def delay(self, attempt: Attempt) -> Maybe[float]:
        """Give the delay grown by the attempts so far; from the 63rd on it grows no more."""
        try:
            return Some(self.base * self.factor ** min(attempt.number, 63))
        except OverflowError:
            return Some(inf)


class Capped(_Policy, frozen=True, tag=True):
    """Another schedule whose single delays are at most `seconds`."""

    inner: Schedule
    seconds: float

    def delay(self, attempt: Attempt) -> Maybe[float]:
        """Give the inner delay, cut."""
        return self.inner.delay(attempt).map(lambda d: min(d, self.seconds))


class Jittered(_Policy, frozen=True, tag=True):
    """Another schedule whose delays are scaled by a factor between `low` and `high`."""

    inner: Schedule
    low: float = 0.5
    high: float = 1.0

    def delay(self, attempt: Attempt) -> Maybe[float]:
        """Give the inner delay, scaled by where the drawn number falls."""
        factor = self.low + (self.high - self.low) * attempt.random
        return self.inner.delay(attempt).map(lambda d: d * factor)


class Within(_Policy, frozen=True, tag=True):
    """Another schedule that gives up when the total time would pass `seconds`."""

    inner: Schedule
    seconds: float

    def delay(self, attempt: Attempt) -> Maybe[float]:
        """Give the inner delay if that, and what the provider asks for, still ends in time."""
        delay = self.inner.delay(attempt)
        ends = delay.map(
            lambda d: attempt.elapsed + max(d, attempt.least) <= self.seconds
        ).value_or(False)
        return delay if ends else Nothing


class OnceOpen(_Policy, frozen=True, tag=True):
    """Another schedule for sessions that were open: who cannot open one is told at once."""

    inner: Schedule

    def delay(self, attempt: Attempt) -> Maybe[float]:
        """Give the inner delay, if there is something to take up again."""
        return self.inner.delay(attempt) if attempt.opened else Nothing


class Both(_Policy, frozen=True, tag=True):
    """Two schedules: goes on while both would, after the longer delay."""

    left: Schedule
    right: Schedule

    def delay(self, attempt: Attempt) -> Maybe[float]:
        """Give the longer of the two delays."""
        left, right = self.left.delay(attempt), self.right.delay(attempt)
        if isinstance(left, Some) and isinstance(right, Some):
            return Some(max(left.unwrap(), right.unwrap()))
        return Nothing


class Either(_Policy, frozen=True, tag=True):
    """Two schedules: goes on while one would, after the shorter delay."""

    left: Schedule
    right: Schedule

    def delay(self, attempt: Attempt) -> Maybe[float]:
        """Give the shorter of the delays there are."""
        left, right = self.left.delay(attempt), self.right.delay(attempt)
        if isinstance(left, Some):
            return left.map(lambda d: min(d, right.value_or(d)))
        return right


Schedule = Recurs | Spaced | Exponential | Capped | Jittered | Within | OnceOpen | Both | Either


def _member(policy: _Policy) -> Schedule:
    assert isinstance(policy, Schedule)  # noqa: S101 - the union above is closed
    return policy


RECONNECT: Schedule = Exponential(0.5).capped(8.0).jittered().within(60.0).once_open()
"""For a session that is to outlive its connections: a minute of tries, more and more seldom."""
