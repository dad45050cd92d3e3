"""What of a history can be replayed: the newest whole turns, within a provider's limits."""

from __future__ import annotations

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from realtime_core import Message
from realtime_core.capability import HistoryLimits
from realtime_core.epoch import CallId
from realtime_core.history import fitted

Role = Literal["user", "assistant", "system", "tool_call", "tool_result"]


def user(text: str = "u") -> Message:
    return Message("user", text)


def agent(text: str = "a") -> Message:
    return Message("assistant", text)


def call(name: str) -> Message:
    return Message("tool_call", "{}", call=CallId(name), name="f")


def result(name: str) -> Message:
    return Message("tool_result", "ok", call=CallId(name), name="f")


TALK = (user("one"), agent("two"), user("three"), call("c"), result("c"), agent("four"))


def test_without_limits_all_of_it_is_kept() -> None:
    assert fitted(TALK) == (TALK, 0)
    assert fitted(()) == ((), 0)


def test_it_never_ends_on_an_unanswered_call_and_has_no_result_without_its_call() -> None:
    assert fitted((user(), call("x"))) == ((user(),), 1)
    assert fitted((result("x"), user())) == ((user(),), 1)


def test_a_result_is_left_out_with_the_call_that_was_turns_ago() -> None:
    said = (user("a"), call("x"), agent("Wait."), user("b"), result("x"), agent("Here."))
    assert fitted(said) == (said, 0)
    assert fitted(said, HistoryLimits(entries=3)) == ((user("b"), agent("Here.")), 4)
    assert fitted((call("x"), user(), result("x")), HistoryLimits(user_first=True)) == (
        (user(),),
        2,
    )


def test_a_call_is_answered_after_it_was_made() -> None:
    said = (user(), result("x"), call("x"))
    assert fitted(said) == ((user(),), 2)
    assert fitted((*said, result("x"), result("x"))) == ((user(), call("x"), result("x")), 2)


def test_it_is_cut_between_turns_from_the_oldest() -> None:
    kept = TALK[2:]
    for limits in (HistoryLimits(entries=5), HistoryLimits(entries=4), HistoryLimits(bytes=15)):
        assert fitted(TALK, limits) == (kept, 2)
    assert fitted(TALK, HistoryLimits(entries=3)) == ((), 6)


def test_words_of_the_system_belong_to_the_turn_after_them() -> None:
    said = (user("a"), Message("system", "s"), user("b"), agent("c"))
    assert fitted(said, HistoryLimits(entries=3)) == (said[1:], 1)


def test_an_entry_that_is_too_long_ends_it() -> None:
    said = (user("a"), agent("long words"), user("b"), agent("c"))
    assert fitted(said, HistoryLimits(entry_bytes=9)) == (said[2:], 2)


def test_sizes_are_bytes() -> None:
    assert fitted((user("äö"),), HistoryLimits(bytes=3)) == ((), 1)
    assert fitted((user("äö"),), HistoryLimits(bytes=4)) == ((user("äö"),), 0)


def test_the_user_speaks_first_where_that_has_to_be() -> None:
    said = (agent("Hello."), Message("system", "s"), user("b"), agent("c"))
    assert fitted(said, HistoryLimits(user_first=True)) == (said[2:], 2)
    assert fitted(said)[0] == said


ENTRIES = st.lists(
    st.builds(
        Message,
        st.sampled_from(("user", "assistant", "system", "tool_call", "tool_result")),
        st.text(max_size=4),
        call=st.sampled_from((None, CallId("a"), CallId("b"))),
    ),
    max_size=12,
)
LIMITS = st.builds(
    HistoryLimits, st.integers(0, 8), st.integers(0, 8), st.integers(0, 24), st.booleans()
)


@given(ENTRIES, LIMITS)
def test_it_is_within_the_limits_and_in_order(
    history: list[Message], limits: HistoryLimits
) -> None:
    kept, left_out = fitted(history, limits)
    assert len(kept) + left_out == len(history)
    assert len(kept) <= limits.entries
    sizes = [len(message.text.encode()) for message in kept]
    assert sum(sizes) <= limits.bytes
    assert all(size <= limits.entry_bytes for size in sizes)
    places = iter(history)
    assert all(any(one is message for one in places) for message in kept)
    assert not kept or not limits.user_first or kept[0].role == "user"
    unanswered = list[CallId | None]()
    for message in kept:
        if message.role == "tool_call":
            unanswered.append(message.call)
        elif message.role == "tool_result":
            unanswered.remove(message.call)
    assert unanswered == []
