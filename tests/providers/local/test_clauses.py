"""Where an answer is cut into clauses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_local.clauses import Clauses, add, rest

WORDS = ("the", "and", "one", "two,", "three.", "Mr.", "3.5", "why?", "so:", "\n", " ", "e.g.")


def cut(text: str, size: int = 3) -> list[str]:
    """Feed a text in pieces of some characters."""
    held, found = Clauses(), list[str]()
    for at in range(0, len(text), size):
        held, whole = add(held, text[at : at + size])
        found += whole
    return [*found, *rest(held)]


@given(st.lists(st.sampled_from(WORDS)).map(" ".join), st.integers(1, 20))
def test_clauses_put_together_are_the_text(text: str, size: int) -> None:
    assert "".join(cut(text, size)).strip() == text.strip()


@given(st.lists(st.sampled_from(WORDS)).map(" ".join), st.integers(1, 20))
def test_each_clause_says_something_and_none_is_endless(text: str, size: int) -> None:
    for clause in cut(text, size):
        assert clause.strip()
        assert len(clause.split()) <= 30


@given(st.text())
def test_any_text_goes_through(text: str) -> None:
    assert "".join(cut(text)).strip() == text.strip()


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Paris. It is big.", ["Paris.", " It is big."]),
        ("Well, yes.", ["Well, yes."]),
        ("It is late, so go home now.", ["It is late,", " so go home now."]),
        (
            "The capital of France has many museums.",
            ["The capital of France", " has many museums."],
        ),
        ("I think that the answer is four.", ["I think that the answer", " is four."]),
        ("Mr. Smith is 3.5 feet tall. Really.", ["Mr. Smith is 3.5", " feet tall.", " Really."]),
        ("1. Paris is nice.\n2. Rome is old.", ["1. Paris is nice.", "\n2. Rome is old."]),
        (
            "Hello there. One, two, three, four, five, six, seven and eight.",
            ["Hello there.", " One, two, three, four, five, six,", " seven and eight."],
        ),
    ],
)
def test_examples(text: str, clauses: list[str]) -> None:
    assert cut(text) == clauses


def test_long_sentence_is_cut_where_the_word_wants_no_other() -> None:
    text = "Now. " + "word " * 23 + "the word word."
    first, second, third = cut(text)
    assert first == "Now."
    assert second.split()[-1] == "word"
    assert len(second.split()) == 25
    assert third == " word."
