"""How a Live server ends a connection or a turn, as the library's errors.

The protocol has no message for errors: a refusal is the close of the socket, with a code and the
reason in words. What looks like a key is never quoted.
"""

from __future__ import annotations

import re

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
from realtime_core.events import Status

__all__ = ("closed", "quoted", "unfinished")

_SHOWN = 1_000
_KEYS = re.compile(
    r"AIza[\w-]{8,}|\bAQ\.[\w-]{8,}|\bya29\.[\w.-]{8,}|\bauth_tokens/[\w-]+|\beyJ[\w.-]{16,}"
    r"|(?<=key=)[^&\s\"']+|(?<=token=)[^&\s\"']+|\b(?=[A-Za-z]*\d)[0-9A-Za-z]{32,}\b"
)
"""What keys and tokens of Google look like: API keys old and new, OAuth, ephemeral ones, JWTs."""

_DOOR = re.compile(
    r"api[ _]?key|unauthenticated|unauthori[sz]ed|permission|credential|access token|auth_tokens"
    r"|unregistered caller|ephemeral token",
    re.IGNORECASE,
)
_QUOTA = re.compile(r"quota|resource.exhausted|rate.limit|too many", re.IGNORECASE)
_OVER = re.compile(r"expired|deadline|duration|time limit", re.IGNORECASE)

_KEY = "Give another `api_key=` (Vertex: `token=`), or look at the account's permissions."


def quoted(words: str) -> str:
    """Give the beginning of a server's words, without what looks like a key."""
    return _KEYS.sub("***", words[:_SHOWN])


def closed(code: int, reason: str) -> RealtimeError | None:
    """Read how a server closed the connection; None where it did in good order."""
    what = f"The provider closed the connection: {quoted(reason) or f'code {code}'}."
    named = str(code)
    if code == 1000:
        return None
    if code in {1007, 1008} and _DOOR.search(reason):
        return AuthFailed(what=what, cause="the key, or its permissions", fix=_KEY, code=named)
    if _QUOTA.search(reason):
        return RateLimited(
            what=what,
            cause="more sessions, requests or tokens than the account may use",
            fix="Wait, or ask for higher limits.",
            code=named,
        )
    if code == 1001 or (code in {1008, 1011} and _OVER.search(reason)):
        return SessionExpired(
            what=what,
            cause="the provider's limit on the length of a connection or session",
            fix="Choose a `retry`: the conversation goes on over a new connection.",
            code=named,
        )
    if code in {1002, 1003, 1007, 1008, 1009, 1010}:
        return InvalidRequest(
            what=what,
            cause="a setting, a model name or a message that this model does not take"
            if code in {1007, 1008}
            else "a message the provider does not take",
            fix="Look at the provider's page for what the model accepts.",
            code=named,
        )
    return Unavailable(
        what=what,
        cause="trouble at the provider, or on the way to it",
        fix="Try again, or choose a `retry`.",
        code=named,
    )


_WELL = frozenset({"", "TURN_COMPLETE_REASON_UNSPECIFIED", "NEED_MORE_INPUT"})
_FILTERED = re.compile(r"PROHIBIT|BLOCKLIST|SAFETY|REJECTED|CELEBRITY|UNSAFE|PEOPLE|MINORS|_IP_")


def unfinished(reason: str | None) -> tuple[Status, RealtimeError | None]:
    """Read why a turn ended, where that is not because all was said."""
    name = reason or ""
    if name in _WELL:
        return "completed", None
    code = quoted(name)[:64]
    what = f"The answer ended early: {quoted(name)}."
    if _FILTERED.search(name):
        return "failed", ContentFiltered(
            what=what, cause="the provider's policy", fix="Ask for something else.", code=code
        )
    status: Status = "failed" if name == "MALFORMED_FUNCTION_CALL" else "incomplete"
    return status, IncompleteTurn(
        what=what,
        cause="the model wrote a call that cannot be read, or gave up",
        fix="Ask again; look at the schemas of the tools.",
        code=code,
    )
