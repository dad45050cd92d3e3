"""Marks: what stands for secrets, in texts and in bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import Secret
from realtime_core.marks import Marks, hidden, hidden_bytes, learn

keys = st.text(st.characters(exclude_categories=()), min_size=8, max_size=40).filter(
    lambda key: key.strip("-") not in "secret-1secret-2"
)


def test_each_secret_has_a_mark_of_its_own_and_keeps_it() -> None:
    once = learn(Marks(), Secret("sk-0123456789"), Secret("handle-1"))
    again = learn(once, Secret("handle-1"), Secret("handle-2"))
    assert dict(again.texts) == {
        "sk-0123456789": "secret-1-----",
        "handle-1": "secret-2",
        "handle-2": "secret-3",
    }
    assert learn(again, Secret("sk-0123456789")) is again


def test_what_is_too_short_or_not_held_here_gets_none() -> None:
    def ask() -> str:
        raise AssertionError("nobody may ask")

    marks = learn(Marks(), Secret("1234567"), Secret(""), Secret(ask))
    assert marks == Marks()
    assert [marks.of(secret) for secret in (Secret("1234567"), Secret(ask))] == ["", ""]


@given(key=keys, before=st.text(), after=st.text())
def test_a_secret_is_found_wherever_it_stands(key: str, before: str, after: str) -> None:
    marks = learn(Marks(), Secret(key))
    for form in (key, json.dumps(key)[1:-1], json.dumps(key, ensure_ascii=False)[1:-1]):
        assert form not in hidden(before + form + after, marks)
        data = (before + form + after).encode(errors="surrogatepass")
        assert form.encode(errors="surrogatepass") not in hidden_bytes(data, marks)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_that_begin_alike_the_longer_one_is_found(order: tuple[int, int]) -> None:
    two = (Secret("handle-1"), Secret("handle-12"))
    marks = learn(Marks(), *(two[place] for place in order))
    assert hidden("handle-12,handle-1", marks) == f"{marks.of(two[1])},{marks.of(two[0])}"
    assert hidden_bytes(b"handle-12", marks) == marks.of(two[1]).encode()


def test_a_mark_stays_what_it_is() -> None:
    marks = learn(Marks(), Secret("sk-0123456789"))
    mark = marks.of(Secret("sk-0123456789"))
    assert learn(Marks(), Secret(mark)).of(Secret(mark)) == mark


def test_what_holds_no_secret_is_given_as_it_is() -> None:
    text, data = "nothing in it", b"nothing in it"
    marks = learn(Marks(), Secret("sk-0123456789"))
    assert hidden(text, marks) is text
    assert hidden_bytes(data, marks) is data
