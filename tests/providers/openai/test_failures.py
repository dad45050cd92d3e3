"""What servers complain of, and how they hang up, as typed errors."""

from __future__ import annotations

import pytest

from realtime_core.errors import (
    AuthFailed,
    ContentFiltered,
    IncompleteTurn,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    SessionExpired,
    Unavailable,
)
from realtime_openai.failures import closed, complaint, unfinished
from realtime_openai.server_events import ErrorDetails, ResponseObject, StatusDetails


@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [
        ("invalid_request_error", "invalid_api_key", AuthFailed),
        ("authentication_error", None, AuthFailed),
        ("insufficient_quota", "insufficient_quota", AuthFailed),
        ("permission_error", "something_new", AuthFailed),
        ("tokens", "rate_limit_exceeded", RateLimited),
        ("rate_limit_error", "slow_down", RateLimited),
        ("invalid_request_error", "session_expired", SessionExpired),
        ("invalid_request_error", "content_policy_violation", ContentFiltered),
        ("server_error", None, Unavailable),
        ("server_error", "vad_failure", Unavailable),
        ("invalid_request_error", "invalid_model", InvalidRequest),
        ("invalid_request_error", "missing_model", InvalidRequest),
        ("invalid_request_error", "beta_api_shape_disabled", InvalidRequest),
        ("invalid_request_error", "unknown_parameter", InvalidRequest),
        ("invalid_request_error", "invalid_value", InvalidRequest),
        ("invalid_request_error", "invalid_json", InvalidRequest),
        ("invalid_request_error", "invalid_event", InvalidRequest),
        ("invalid_request_error", "integer_below_min_value", InvalidRequest),
        ("invalid_request_error", "conversation_already_has_active_response", InvalidRequest),
        ("invalid_request_error", "input_audio_buffer_commit_empty", InvalidRequest),
        ("", None, InvalidRequest),
        (None, 429, InvalidRequest),
    ],
)
def test_complaints(kind: str | None, code: str | int | None, error: type[RealtimeError]) -> None:
    read = complaint(ErrorDetails(type=kind, code=code, message="No.", param="session.model"))
    assert type(read) is error
    assert read.what == "No. (at session.model)"
    assert read.code == str(code or kind or "")
    assert read.cause
    assert read.fix


def test_a_complaint_without_words() -> None:
    assert complaint(ErrorDetails(message=None)).what == "The provider reports an error."


@pytest.mark.parametrize(
    ("status", "details", "error", "code"),
    [
        ("completed", None, None, ""),
        ("cancelled", StatusDetails(reason="turn_detected"), None, ""),
        ("in_progress", "unimplemented", None, ""),
        ("failed", None, Unavailable, "server_error"),
        (
            "failed",
            StatusDetails(error=ErrorDetails(code="insufficient_quota")),
            AuthFailed,
            "insufficient_quota",
        ),
        ("incomplete", StatusDetails(reason="content_filter"), ContentFiltered, ""),
        (
            "incomplete",
            StatusDetails(reason="max_output_tokens"),
            IncompleteTurn,
            "max_output_tokens",
        ),
        ("incomplete", "unimplemented", IncompleteTurn, ""),
    ],
)
def test_answers_that_did_not_complete(
    status: str,
    details: StatusDetails | str | None,
    error: type[RealtimeError] | None,
    code: str,
) -> None:
    read = unfinished(ResponseObject("r", status=status, status_details=details))
    assert type(read) is (error or type(None))
    assert read is None or read.code == code


@pytest.mark.parametrize(
    ("code", "reason", "error", "named"),
    [
        (1000, "", None, ""),
        (1001, "Your session hit the maximum duration of 60 minutes.", SessionExpired, "1001"),
        (1001, "session expired", SessionExpired, "1001"),
        (1001, "", Unavailable, "1001"),
        (1002, "", InvalidRequest, "1002"),
        (1003, "", InvalidRequest, "1003"),
        (1005, "", Unavailable, "1005"),
        (1006, "", Unavailable, "1006"),
        (1007, "bad text", InvalidRequest, "1007"),
        (1008, "policy", AuthFailed, "1008"),
        (1009, "too big", InvalidRequest, "1009"),
        (1011, "keepalive ping timeout", Unavailable, "1011"),
        (1012, "", Unavailable, "1012"),
        (1013, "", Unavailable, "1013"),
        (1015, "", Unavailable, "1015"),
        (3000, "invalid_request_error.invalid_api_key", AuthFailed, "invalid_api_key"),
        (3000, "", AuthFailed, "3000"),
        (3003, "", AuthFailed, "3003"),
        (4000, "invalid_request_error.invalid_model", InvalidRequest, "invalid_model"),
        (
            4000,
            "invalid_request_error.beta_api_shape_disabled",
            InvalidRequest,
            "beta_api_shape_disabled",
        ),
        (4000, "server_error.session_expired", SessionExpired, "session_expired"),
        (4000, "", InvalidRequest, "4000"),
        (4999, "", Unavailable, "4999"),
    ],
)
def test_hanging_up(code: int, reason: str, error: type[RealtimeError] | None, named: str) -> None:
    read = closed(code, reason)
    assert type(read) is (error or type(None))
    if read is not None:
        assert read.code == named
        assert (reason or str(code)) in read.what
        assert read.cause


def test_what_may_be_tried_again() -> None:
    """Bad keys, bad requests and policies never heal by waiting; the rest may."""
    again = {kind for kind in (1001, 1006, 1011, 3000, 4000, 1008, 1009) if _retries(kind)}
    assert again == {1001, 1006, 1011}


def _retries(code: int) -> bool:
    error = closed(code, "")
    return error is not None and error.retryable
