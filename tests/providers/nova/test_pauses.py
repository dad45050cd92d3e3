"""Pauses: silence where no sound comes, as long as a turn needs it, and then hardly ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime_nova.models import SILENCE_MS, capabilities
from realtime_nova.pauses import PIECE_MS, Pause, begun, due, hushed, sounded, wait

ENOUGH = SILENCE_MS // PIECE_MS
TICK = 1 / 64


class Told:
    """A caller and the service: what was sent, and when."""

    def __init__(self) -> None:
        self.pause, self.now, self.asks = begun(0.0), 0.0, 0
        self.silences = list[tuple[float, int]]()

    def sound(self, seconds: float) -> None:
        self.pause = sounded(self.pause, self.now, seconds)

    def until(self, then: float) -> list[tuple[float, int]]:
        """Let the time pass; gives the silence that was sent."""
        before = len(self.silences)
        while True:
            pieces = due(self.pause, self.now)
            self.asks += 1
            if pieces:
                self.silences.append((self.now, pieces))
                for _ in range(pieces):
                    self.pause = hushed(self.pause, self.now)
            left = wait(self.pause, self.now)
            assert left > 0
            if self.now + left >= then:
                self.now = then
                return self.silences[before:]
            self.now += left


def test_a_session_at_rest_costs_little() -> None:
    told = Told()
    assert told.until(110.0) == [(20.0 * n, 1) for n in range(1, 6)]
    assert told.asks <= 7


def test_a_microphone_that_stops_ends_its_turn_in_time() -> None:
    told = Told()
    for _ in range(50):
        told.sound(0.1)
        assert told.until(told.now + 0.1) == []
    ended = told.now
    silences = told.until(ended + 30.0)
    turn = [(at - ended, pieces) for at, pieces in silences if at - ended < 5.0]
    assert turn[0] == (1.0, 10), "it catches up"
    for at, _ in turn:
        level = sum(pieces for when, pieces in turn if when <= at)
        assert level * PIECE_MS / 1000 <= at + 1e-6, "and is never ahead"
    assert sum(pieces for _, pieces in turn) == ENOUGH
    assert turn[-1][0] <= SILENCE_MS / 1000 + 0.5
    assert [pieces for _, pieces in silences[len(turn) :]] == [1]
    assert capabilities().closing_silence_ms == SILENCE_MS


def test_sound_that_comes_at_once_is_left_to_sound() -> None:
    told = Told()
    told.sound(8.0)
    assert told.until(9.4) == [(9.0, 10)]


def test_the_next_sound_ends_a_pause() -> None:
    told = Told()
    told.sound(0.5)
    assert told.until(2.2) == [(1.5, 10), (2.0, 5)]
    told.sound(0.5)
    assert told.until(3.6) == []


def test_after_a_long_sleep_there_is_no_flood() -> None:
    told = Told()
    told.sound(0.5)
    told.now = 3_600.0
    assert told.until(3_601.0) == [(3_600.0, ENOUGH)]
    told.now = 7_200.0
    assert told.until(7_201.0) == [(7_200.0, 1)]


def test_what_could_not_be_sent_is_tried_again_soon() -> None:
    told = Told()
    told.now = 25.0
    assert due(told.pause, 25.0) == 1
    assert wait(told.pause, 25.0) == 0.5
    spoken = sounded(told.pause, 25.0, 1.0)
    assert due(spoken, 27.5) == 15
    assert wait(spoken, 27.5) == 0.5


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 128)), max_size=40))
def test_the_rule(sounds: list[tuple[int, int]]) -> None:
    """No silence within a second of sound, none ahead of time, enough behind each turn."""
    told = Told()
    for gap, length in sounds:
        lasts = told.pause.since if told.pause.pieces < ENOUGH else told.now
        at = told.now
        silences = told.until(at + gap * TICK)
        assert all(when >= lasts + 1.0 for when, _ in silences)
        told.sound(length * TICK)
        assert told.pause == Pause(told.pause.since, 0, told.now)
        assert told.pause.since >= told.now + length * TICK
    silences = told.until(told.now + 500.0)
    behind = [pieces for when, pieces in silences if when <= told.pause.since + 5.0]
    assert not sounds or sum(behind) == ENOUGH
    assert all(pieces == 1 for _, pieces in silences[-10:])
