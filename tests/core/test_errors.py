"""Errors: closed, complete in their three parts, values first and exceptions only as carriers."""

from __future__ import annotations

import copy
import pickle
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import errors
from realtime_core.errors import (
    AuthFailed,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    RealtimeException,
    SessionExpired,
    TimedOut,
    Unavailable,
    Unsupported,
)

KINDS: tuple[type[RealtimeError], ...] = get_args(RealtimeError)
RETRYABLE = {RateLimited, Unavailable, TimedOut, SessionExpired}

sentences = st.text(st.characters(codec="utf-8", exclude_characters=".!?"), min_size=1)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def test_the_union_is_closed_over_the_public_names() -> None:
    named = {name for name in errors.__all__ if name not in {"RealtimeError", "RealtimeException"}}
    assert {kind.__name__ for kind in KINDS} == named
    tags = [kind.__struct_config__.tag for kind in KINDS]
    assert len(set(tags)) == len(tags)


@each_kind
def test_only_what_can_pass_is_retryable(kind: type[RealtimeError]) -> None:
    """Authentication, permission, policy and bad requests are never retried."""
    assert kind.retryable == (kind in RETRYABLE)


@each_kind
@given(what=sentences, cause=sentences, fix=sentences, code=st.text())
def test_an_error_is_the_same_after_a_journey_as_json(
    kind: type[RealtimeError], what: str, cause: str, fix: str, code: str
) -> None:
    error = kind(what=what, cause=cause, fix=fix, code=code)
    assert msgspec.json.decode(msgspec.json.encode(error), type=RealtimeError) == error


@given(what=sentences, cause=sentences, fix=sentences)
def test_the_text_says_what_then_why_then_what_to_do(what: str, cause: str, fix: str) -> None:
    text = str(Unavailable(what=what, cause=cause, fix=fix))
    assert text == f"{what}. Likely cause: {cause}. {fix}."


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimedOut(what="No answer came."), "No answer came."),
        (TimedOut(what="No answer came", fix="Try again"), "No answer came. Try again."),
        (TimedOut(what="No answer.", cause="noise."), "No answer. Likely cause: noise."),
    ],
)
def test_missing_parts_leave_no_trace_and_full_stops_are_single(
    error: RealtimeError, text: str
) -> None:
    assert str(error) == text


@each_kind
def test_what_happened_must_be_said(kind: type[RealtimeError]) -> None:
    with pytest.raises(TypeError):
        kind()  # type: ignore[call-arg] # the point of the test


@each_kind
def test_an_error_cannot_be_changed(kind: type[RealtimeError]) -> None:
    error = kind(what="It failed.")
    for field in msgspec.structs.fields(error):
        with pytest.raises(AttributeError):
            setattr(error, field.name, "")


def test_some_errors_say_more() -> None:
    assert RateLimited(what="Slow down.", retry_after=2.5).retry_after == 2.5
    assert Unavailable(what="Down.").retry_after is None
    assert Unsupported(what="No video.", field="images").field == "images"


@each_kind
def test_the_exception_carries_the_value_and_says_it(kind: type[RealtimeError]) -> None:
    error = kind(what="It failed.", cause="a test", fix="Go on.")
    raised = RealtimeException(error)
    assert raised.error is error
    assert str(raised) == str(error)
    assert not isinstance(error, BaseException)


@pytest.mark.parametrize("travel", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_the_exception_survives_a_copy(travel: object) -> None:
    raised = RealtimeException(AuthFailed(what="No.", cause="the key"))
    again = travel(raised)  # type: ignore[operator]
    assert (again.error, str(again)) == (raised.error, str(raised))


def test_an_error_is_told_from_another_by_match() -> None:
    def advice(error: RealtimeError) -> str:
        match error:
            case RateLimited(retry_after=float(wait)):
                return f"wait {wait}"
            case InvalidRequest(what=what):
                return what
            case _:
                return "ask"

    assert advice(RateLimited(what="Slow.", retry_after=1.0)) == "wait 1.0"
    assert advice(InvalidRequest(what="Bad.")) == "Bad."
    assert advice(TimedOut(what="Late.")) == "ask"
