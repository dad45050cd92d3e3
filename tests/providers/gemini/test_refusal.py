"""What Google answers in place of a yes: its own reason, its status, and no secret in it."""

from __future__ import annotations

import json

import pytest

from realtime_core.errors import (
    AuthFailed,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    Unavailable,
)
from realtime_gemini.refusal import refused

REASON = "type.googleapis.com/google.rpc.ErrorInfo"


def body(status: str, message: str = "No.", **details: object) -> bytes:
    listed = [{"@type": REASON, **details}] if details else []
    error = {"code": 400, "message": message, "status": status, "details": listed}
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, body("INVALID_ARGUMENT"), InvalidRequest),
        (400, body("INVALID_ARGUMENT", reason="API_KEY_INVALID"), AuthFailed),
        (400, body("FAILED_PRECONDITION"), InvalidRequest),
        (401, body("UNAUTHENTICATED"), AuthFailed),
        (401, b"", AuthFailed),
        (403, body("PERMISSION_DENIED"), AuthFailed),
        (403, b"<html>", AuthFailed),
        (407, b"", AuthFailed),
        (404, body("NOT_FOUND"), InvalidRequest),
        (404, b"", InvalidRequest),
        (307, b"", InvalidRequest),
        (204, b"", InvalidRequest),
        (408, b"", Unavailable),
        (429, body("RESOURCE_EXHAUSTED"), RateLimited),
        (429, b"slow down", RateLimited),
        (500, body("INTERNAL"), Unavailable),
        (503, body("UNAVAILABLE"), Unavailable),
        (503, b"", Unavailable),
        (599, b"", Unavailable),
        (400, b"[" + body("RESOURCE_EXHAUSTED") + b"]", RateLimited),
        (400, b"[]", InvalidRequest),
        (400, b"[1]", InvalidRequest),
        (400, b'{"error": "No."}', InvalidRequest),
        (400, b'{"error": {"status": 5, "message": null, "details": 3}}', InvalidRequest),
        (400, b'{"error": {"details": [3, {"reason": 4, "retryDelay": 5}]}}', InvalidRequest),
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


def test_the_providers_own_words_and_status_are_told() -> None:
    error = refused(404, {}, body("NOT_FOUND", "models/x is not found."))
    assert "404: models/x is not found." in error.what
    assert error.code == "NOT_FOUND"
    assert refused(404, {}, b"").code == "404"


@pytest.mark.parametrize(
    ("headers", "delay", "wait"),
    [
        ({}, "17s", 17.0),
        ({}, "3.5s", 3.5),
        ({"retry-after": "7"}, "17s", 7.0),
        ({"retry-after": "7"}, 17, 7.0),
        ({}, "", None),
        ({}, "soon", None),
        ({}, "-1s", None),
        ({}, "\u0661s", None),
        ({}, "9" * 400 + "s", 999_999_999.0),
    ],
)
def test_the_wait_that_is_asked_for_is_told(
    headers: dict[str, str], delay: object, wait: float | None
) -> None:
    for status, name in ((429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE")):
        error = refused(status, headers, body(name, retryDelay=delay))
        assert isinstance(error, RateLimited | Unavailable)
        assert error.retry_after == wait


@pytest.mark.parametrize("status", [400, 401, 403, 407])
def test_what_is_said_of_credentials_is_not_told(status: int) -> None:
    said = body("UNAUTHENTICATED", "The key AIzaSy***t is none.", reason="API_KEY_INVALID")
    error = refused(status, {}, said)
    assert isinstance(error, AuthFailed)
    assert "AIza" not in f"{error!r} {error}"


@pytest.mark.parametrize(
    "word",
    ["AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY", "ya29.a0AfH6SMBx-quite_long", "auth_tokens/4f2c81"],
)
def test_what_looks_like_a_key_is_blotted_out(word: str) -> None:
    for said in (body("INTERNAL", f"It was {word}."), f"It was {word}.".encode()):
        assert word not in str(refused(500, {}, said))
    assert word not in repr(refused(500, {}, body(word)))
