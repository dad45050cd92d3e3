"""How Bedrock refuses and how streams end, as typed errors; keys are never quoted."""

from __future__ import annotations

import msgspec
import pytest

from realtime_core.errors import (
    AuthFailed,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    SessionExpired,
    TimedOut,
    Unavailable,
)
from realtime_nova.failures import exception, quoted, refused

SILENT = "InternalErrorCode=531::RST_STREAM closed stream. HTTP/2 error code: NO_ERROR"
EXPIRED = "The security token included in the request is expired"
SKEWED = "Signature expired: 20260701T100000Z is now earlier than 20260701T100500Z (now - 5 min.)"


@pytest.mark.parametrize(
    ("name", "message", "error", "again"),
    [
        ("internalServerException", "", Unavailable, True),
        ("modelStreamErrorException", "The model broke.", Unavailable, True),
        ("ModelErrorException", "", Unavailable, True),
        ("ModelNotReadyException", "", Unavailable, True),
        ("serviceUnavailableException", "", Unavailable, True),
        ("modelTimeoutException", "", TimedOut, True),
        ("throttlingException", "Too many requests", RateLimited, True),
        ("ServiceQuotaExceededException", "", RateLimited, True),
        ("validationException", SILENT, SessionExpired, True),
        ("ValidationException", "Tool Response parsing error", Unavailable, True),
        ("validationException", "Received invalid id: 'Matthew'.", InvalidRequest, False),
        ("AccessDeniedException", "", AuthFailed, False),
        ("ExpiredTokenException", EXPIRED, AuthFailed, False),
        ("UnrecognizedClientException", "", AuthFailed, False),
        ("InvalidSignatureException", SKEWED, AuthFailed, False),
        ("ResourceNotFoundException", "", InvalidRequest, False),
        ("com.amazon.coral.availability#ThrottlingException", "", RateLimited, True),
        ("ThrottlingException:http://internal.amazon.com/coral/", "", RateLimited, True),
        ("somethingNewException", "", Unavailable, True),
        ("", "", Unavailable, True),
    ],
)
def test_exceptions(name: str, message: str, error: type[RealtimeError], again: bool) -> None:
    read = exception(name, message)
    assert type(read) is error
    assert read.retryable is again
    assert read.what
    assert read.cause
    assert read.fix
    if error is not AuthFailed:
        assert message in read.what


@pytest.mark.parametrize(
    ("status", "headers", "body", "error"),
    [
        (403, {"x-amzn-errortype": "AccessDeniedException:http://x"}, {}, AuthFailed),
        (403, {}, {"message": "no"}, AuthFailed),
        (400, {}, {"__type": "ValidationException", "message": "Bad."}, InvalidRequest),
        (400, {"x-amzn-errortype": "ServiceQuotaExceededException"}, {}, RateLimited),
        (404, {"x-amzn-errortype": "ResourceNotFoundException"}, {"Message": "x"}, InvalidRequest),
        (404, {}, {}, InvalidRequest),
        (408, {}, {}, Unavailable),
        (424, {"x-amzn-errortype": "ModelErrorException"}, {}, Unavailable),
        (429, {"retry-after": "3"}, {}, RateLimited),
        (500, {}, {}, Unavailable),
        (503, {"retry-after": "3"}, {}, Unavailable),
        (302, {}, {}, InvalidRequest),
    ],
)
def test_refusals(
    status: int, headers: dict[str, str], body: dict[str, str], error: type[RealtimeError]
) -> None:
    read = refused(status, headers, msgspec.json.encode(body))
    assert type(read) is error
    assert str(status) in read.what
    if "retry-after" in headers:
        assert isinstance(read, RateLimited | Unavailable)
        assert read.retry_after == 3.0


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>busy</html>", b"\xff", b'{"message":1}'])
def test_bodies_of_any_kind(body: bytes) -> None:
    assert isinstance(refused(503, {}, body), Unavailable)


def test_words_of_a_proxy_are_quoted() -> None:
    assert "<html>busy</html>" in refused(503, {}, b"<html>busy</html>").what


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "FwoGZXIvYXdzEBYaDHqa0AP+abc/def123456789012345678901234567890==",
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    ],
)
def test_keys_are_blotted(secret: str) -> None:
    for read in (
        exception("validationException", f"The key {secret} is no good"),
        exception("AccessDeniedException", f"The key {secret} is no good"),
        refused(403, {}, f'{{"message":"Credential={secret}/2026"}}'.encode()),
        exception(secret, "x"),
    ):
        assert secret not in repr(read)


@pytest.mark.parametrize(
    "words",
    [
        SILENT,
        "Received invalid id: 'Matthew'. Please check AWS documentation for valid voiceIds.",
        "amazon.nova-2-sonic-v1:0 in us-east-1 is not found",
    ],
)
def test_other_words_are_not(words: str) -> None:
    assert quoted(words) == words


def test_long_words_are_cut() -> None:
    assert len(quoted("no " * 5_000)) == 1_000
