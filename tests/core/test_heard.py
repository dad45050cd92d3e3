"""What was heard: never more than was taken and had time to sound, and only words said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime_core import ItemId
from realtime_core.heard import KEPT, Delivered, Words, add_words, deliver, estimate, heard_words
from realtime_core.testing import TICK
from tests.core.short import I1, I2, I3

RATE = 24_000
A_TICK = RATE // 64

takings = st.lists(
    st.tuples(st.sampled_from((I1, I2, I3)), st.integers(1, 8), st.integers(0, 8)), max_size=24
)
texts = st.text(st.sampled_from("abc \n"), max_size=12)
timed = st.lists(st.tuples(texts, st.integers(1, 50)), max_size=6)


@given(takings, st.integers(0, 64))
def test_an_estimate_never_passes_what_was_taken_nor_what_had_time_to_sound(
    pieces: list[tuple[ItemId, int, int]], later: int
) -> None:
    delivered: Delivered = ()
    at, samples = 0.0, dict.fromkeys((I1, I2, I3), 0)
    first: float | None = None
    for item, ticks, pause in pieces:
        at += pause * TICK
        first = at if first is None else first
        delivered = deliver(delivered, item, ticks * A_TICK, RATE, at)
        samples[item] += ticks * A_TICK
    asked = at + later * TICK
    heard = {item: estimate(delivered, item, asked) for item in samples}
    assert all(0 <= heard[item] <= samples[item] for item in samples)
    assert sum(heard.values()) <= (asked - (first or 0.0)) * RATE
    assert all(estimate(delivered, item, asked + TICK) >= heard[item] for item in samples)


def test_all_of_one_item_is_heard_once_it_had_time_to_sound() -> None:
    delivered = deliver((), I1, 2 * A_TICK, RATE, 1.0)
    delivered = deliver(delivered, I1, 2 * A_TICK, RATE, 1.0)
    assert [estimate(delivered, I1, 1.0 + ticks * TICK) for ticks in range(6)] == [
        0,
        A_TICK,
        2 * A_TICK,
        3 * A_TICK,
        4 * A_TICK,
        4 * A_TICK,
    ]


def test_a_second_item_is_heard_after_the_first() -> None:
    delivered = deliver(deliver((), I1, A_TICK, RATE, 0.0), I2, A_TICK, RATE, 0.0)
    assert estimate(delivered, I1, TICK) == A_TICK
    assert estimate(delivered, I2, TICK) == 0
    assert estimate(delivered, I2, 2 * TICK) == A_TICK


def test_an_item_of_which_nothing_was_taken_is_unheard() -> None:
    assert estimate((), I1, 100.0) == 0


def test_only_the_newest_items_are_remembered() -> None:
    delivered: Delivered = ()
    for number in range(KEPT + 12):
        delivered = deliver(delivered, ItemId(f"item-{number}"), A_TICK, RATE, 0.0)
    assert [reading.item for reading in delivered] == [f"item-{12 + n}" for n in range(KEPT)]


@given(timed, st.integers(0, 300), st.integers(0, 300), st.booleans(), st.booleans())
def test_heard_words_are_a_beginning_of_the_words_received(
    pieces: list[tuple[str, int]], heard: int, more: int, complete: bool, whole: bool
) -> None:
    ends, sample = list[tuple[str, int | None]](), 0
    for number, (text, samples) in enumerate(pieces):
        sample += samples
        ends.append((text, None if number >= 4 else sample))
    joined = "".join(text for text, _ in pieces)
    words = Words(tuple(ends), joined if whole else None)
    said, _ = heard_words(words, heard, heard + more, RATE, complete=complete)
    assert words.text.startswith(said)


def test_where_a_piece_begins_the_piece_before_it_has_ended() -> None:
    words = add_words(Words(), "One ", (0, None))
    words = add_words(words, "two ", (50, None))
    assert words.pieces == (("One ", 50), ("two ", None))
    words = add_words(add_words(words, "three ", (90, 120)), "four", None)
    assert words.pieces == (("One ", 50), ("two ", 90), ("three ", 120), ("four", None))
    assert words.text == "One two three four"


def test_nothing_heard_leaves_no_words_and_that_is_exact() -> None:
    assert heard_words(Words((("Hello", 10),)), 0, 100, RATE, complete=True) == ("", True)


def test_all_heard_leaves_all_words_and_that_is_exact() -> None:
    words = Words((("Hello there", None),))
    assert heard_words(words, 100, 100, RATE, complete=True) == ("Hello there", True)


def test_pieces_of_known_timing_are_kept_whole_as_they_end() -> None:
    words = Words((("Hello", 10), (" there", 20), (" friend", 30)))
    assert heard_words(words, 20, 40, RATE, complete=False) == ("Hello there", False)
    assert heard_words(words, 30, 40, RATE, complete=False) == ("Hello there friend", True)


def test_inside_a_piece_of_known_timing_only_whole_words_count_and_that_is_a_guess() -> None:
    words = Words((("One two three four", 100),))
    assert heard_words(words, 50, 100, RATE, complete=False) == ("One two", False)
    assert heard_words(words, 99, 100, RATE, complete=False) == ("One two three", False)
    assert heard_words(words, 10, 100, RATE, complete=False) == ("", False)


def test_words_of_unknown_timing_are_shared_out_over_the_sound() -> None:
    words = Words((("One two three four", None),))
    assert heard_words(words, 500, 1000, 1000, complete=True) == ("One two", False)


def test_while_sound_is_still_to_come_no_more_words_count_than_a_slow_speaker_says() -> None:
    words = Words((("One two three four", None),))
    assert heard_words(words, 500, 501, 1000, complete=False) == ("One", False)


def test_words_behind_those_of_known_timing_are_guessed_from_where_these_end() -> None:
    words = Words((("One ", 100), ("two three four", None)))
    assert heard_words(words, 100, 1100, 1000, complete=True) == ("One ", False)
    assert heard_words(words, 1099, 1100, 1000, complete=True) == ("One two three", False)


def test_a_whole_text_that_differs_from_its_pieces_is_not_mixed_with_them() -> None:
    words = Words((("Uhm ", 100), ("two", None)), whole="Two")
    assert heard_words(words, 150, 200, RATE, complete=True) == ("Uhm ", False)


def test_a_whole_text_without_pieces_is_shared_out_too() -> None:
    assert heard_words(Words(whole="One two"), 1, 2, 1, complete=True) == ("One", False)
