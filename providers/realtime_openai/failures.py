"""What a server of the OpenAI family complains of, as the library's errors.

Facts: recorded and probed sessions; close codes 3000 and 4000 follow an `error` event.
"""

from __future__ import annotations

import re
from collections.abc import Callable

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

from .server_events import ErrorDetails, ResponseObject, StatusDetails

__all__ = ("closed", "complaint", "quoted", "unfinished")

_SHOWN = 1_000
_KEYS = re.compile(r"\b(?:(?:sk|ek|xai)[-_][\w-]{8,}|eyJ[\w.-]{16,}|[0-9A-Za-z]{32,})\b")
"""What keys and tokens of the family look like; ids are shorter, or have a prefix of their own."""

_KEY = "The key is wrong, or lacks a permission or credit: give `api_key=`, or look at the account."
_KINDS: tuple[tuple[frozenset[str], Callable[..., RealtimeError], str, str], ...] = (
    (
        frozenset(
            {
                "AccessDenied",
                "Arrearage",
                "InvalidApiKey",
                "authentication_error",
                "insufficient_quota",
                "invalid_api_key",
                "invalid_organization",
                "permission_error",
                "permission_denied",
                "unauthorized",
            }
        ),
        AuthFailed,
        "the key, its permissions, or the credit of the account",
        _KEY,
    ),
    (
        frozenset(
            {
                "Throttling",
                "rate_limit_error",
                "rate_limit_exceeded",
                "too_many_requests",
            }
        ),
        RateLimited,
        "more requests or tokens than the account may use",
        "Wait, or ask for higher limits.",
    ),
    (
        frozenset({"response_idle_timeout", "session_expired"}),
        SessionExpired,
        "the provider's limit on the length of a session",
        "Open a new session, with the history of this one.",
    ),
    (
        frozenset({"DataInspectionFailed", "content_filter", "content_policy_violation"}),
        ContentFiltered,
        "the provider's policy",
        "Ask for something else.",
    ),
    (
        frozenset(
            {
                "InternalError",
                "ServiceUnavailable",
                "internal_error",
                "overloaded",
                "server_error",
                "service_unavailable",
            }
        ),
        Unavailable,
        "trouble at the provider",
        "Try again, or choose a `retry`.",
    ),
)


def quoted(words: str) -> str:
    """Give the beginning of a server's words, without what looks like a key."""
    return _KEYS.sub("***", words[:_SHOWN])


def complaint(details: ErrorDetails) -> RealtimeError:
    """Read what an `error` event or a failed response says."""
    code = quoted(str(details.code or details.type or ""))
    about = f" (at {details.param})" if details.param else ""
    what = quoted(f"{details.message or 'The provider reports an error.'}{about}")
    for name in (str(details.code or "").partition(".")[0], details.type):
        for names, kind, cause, fix in _KINDS:
            if name in names:
                return kind(what=what, cause=cause, fix=fix, code=code)
    return InvalidRequest(
        what=what,
        cause="a setting, a model name or a frame that this provider does not take",
        fix="Look at the provider's page for what it accepts.",
        code=code,
    )


def unfinished(response: ResponseObject) -> RealtimeError | None:
    """Tell why a response did not complete, where it is more than an interruption."""
    details = response.status_details
    if not isinstance(details, StatusDetails):
        details = StatusDetails()
    if response.status == "failed":
        return complaint(details.error or ErrorDetails(type="server_error"))
    if response.status != "incomplete":
        return None
    if details.reason == "content_filter":
        return ContentFiltered(what="The answer was cut off.", cause="the provider's policy")
    return IncompleteTurn(
        what=f"The answer ended early: {details.reason or 'no reason was given'}.",
        cause="`max_output_tokens`, of the session or of the model",
        fix="Raise `max_output_tokens`.",
        code=details.reason or "",
    )


def closed(code: int, reason: str) -> RealtimeError | None:
    """Read how a server closed the connection; None where it did in good order."""
    said = reason or f"code {code}"
    what = f"The provider closed the connection: {said}."
    kind, _, name = reason.rpartition(".")
    match code:
        case 1000:
            return None
        case 1001 if "maximum duration" in reason or "expired" in reason:
            return SessionExpired(
                what=what,
                cause="the provider's limit on the length of a session",
                fix="Choose a `retry`: the conversation goes on over a new connection.",
                code=str(code),
            )
        case 1008:
            return AuthFailed(what=what, cause="the provider's policy", fix=_KEY, code=str(code))
        case 1002 | 1003 | 1007 | 1009 | 1010:
            return InvalidRequest(
                what=what, cause="a message the provider does not take", code=str(code)
            )
        case 3000 | 3003:
            return AuthFailed(
                what=what, cause="the key, or its permissions", fix=_KEY, code=name or str(code)
            )
        case 4000:
            return complaint(ErrorDetails(type=kind, code=name or str(code), message=what))
        case _:
            return Unavailable(
                what=what,
                cause="trouble at the provider, or on the way to it",
                fix="Try again, or choose a `retry`.",
                code=str(code),
            )
