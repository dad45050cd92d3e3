"""What a service answers in place of a yes: its own reason, its status, and no secret in it."""

from __future__ import annotations

import json

import pytest

from realtime_core.errors import (
    AuthFailed,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    SessionExpired,
    Unavailable,
)
from realtime_openai.refusal import refused


def body(**error: object) -> bytes:
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, body(message="No.", type="invalid_request_error"), InvalidRequest),
        (401, body(message="No.", code="invalid_api_key"), AuthFailed),
        (401, b"", AuthFailed),
        (403, b"<html>", AuthFailed),
        (404, body(message="No.", code="model_not_found"), InvalidRequest),
        (307, b"", InvalidRequest),
        (429, body(message="No.", code="rate_limit_exceeded"), RateLimited),
        (
            429,
            body(message="No.", type="insufficient_quota", code="insufficient_quota"),
            AuthFailed,
        ),
        (429, b"slow down", RateLimited),
        (400, body(message="No.", code="session_expired"), SessionExpired),
        (500, body(message="No.", type="server_error"), Unavailable),
        (503, b"", Unavailable),
        (401, b'{"code": "denied", "error": "No."}', AuthFailed),
        (400, b"[1]", InvalidRequest),
        (400, b'{"error": {"code": 5, "message": null}}', InvalidRequest),
        (400, b"[" * 100_000, InvalidRequest),
        (400, b"\xff", InvalidRequest),
    ],
)
def test_the_reason_goes_before_the_status(
    status: int, said: bytes, kind: type[RealtimeError]
) -> None:
    error = refused(status, {}, said)
    assert type(error) is kind
    assert error.what
    assert error.cause
    assert error.fix
    assert len(str(error)) < 1_000


def test_the_providers_own_words_and_code_are_told() -> None:
    error = refused(400, {}, body(message="No such voice.", code="bad_voice"))
    assert "No such voice." in str(error)
    assert error.code == "bad_voice"
    assert "No such voice." in str(refused(400, {}, b'{"error": "No such voice."}'))


@pytest.mark.parametrize(
    "said", [body(message="No.", code="rate_limit_exceeded"), b"", body(code=3)]
)
def test_the_wait_that_is_asked_for_is_told(said: bytes) -> None:
    error = refused(429, {"retry-after": "7"}, said)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7.0
    busy = refused(503, {"retry-after": "7"}, said)
    assert isinstance(busy, RateLimited | Unavailable)
    assert busy.retry_after == 7.0


@pytest.mark.parametrize("status", [401, 403, 407])
def test_what_is_said_of_credentials_is_not_told(status: int) -> None:
    error = refused(status, {}, body(message="The key sk-q***t is none.", code="invalid_api_key"))
    assert isinstance(error, AuthFailed)
    assert "sk-" not in str(error)
    assert error.cause
    assert error.fix
