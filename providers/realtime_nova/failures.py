"""How Bedrock refuses a request or ends a stream, as the library's errors.

Refusals come as an HTTP status with a type in a header or in the body; in the stream an exception
has a type and a message. What is said of credentials is not quoted, and no key of any kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from realtime_core.errors import (
    AuthFailed,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    SessionExpired,
    TimedOut,
    Unavailable,
)
from realtime_core.transports.verdicts import excerpt, retry_after

__all__ = ("exception", "quoted", "refused")

_SHOWN = 1_000
_KEYS = re.compile(
    r"\b(?:A3T[A-Z0-9]|AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b|\beyJ[\w.-]{16,}"
    r"|(?<=Credential=)[^\s,&]+|(?<=Signature=)[^\s,&]+|\b(?=\S*\d)(?=\S*[A-Za-z])[\w+/=]{40,}"
)
"""What keys of AWS look like: their ids, secrets, session tokens, and signatures."""
_MODEL = "Choose a model that the account may use in this region; check `region`."
_AGAIN = "Try again, or choose a `retry`."

_Kind = tuple[Callable[..., RealtimeError], str, str]
_AUTH: _Kind = (
    AuthFailed,
    "wrong or expired credentials, or no permission to invoke this model",
    "Look at the credentials, the region, and at bedrock:InvokeModelWithBidirectionalStream.",
)
_LIMITED: _Kind = (
    RateLimited,
    "more sessions, requests or tokens than the account may use",
    "Wait, or ask for a higher quota.",
)
_TROUBLE: _Kind = (Unavailable, "trouble at the provider", _AGAIN)
_BAD: _Kind = (
    InvalidRequest,
    "a setting, a voice or an event that this model does not take",
    "Look at Amazon's page for what the model accepts.",
)
_KINDS: dict[str, _Kind] = {
    **dict.fromkeys(
        (
            "accessdenied",
            "expiredtoken",
            "unrecognizedclient",
            "invalidsignature",
            "invalidclienttokenid",
            "incompletesignature",
            "missingauthenticationtoken",
            "notauthorized",
            "optinrequired",
            "requestexpired",
            "requesttimetooskewed",
            "signaturedoesnotmatch",
            "401",
            "403",
            "407",
        ),
        _AUTH,
    ),
    **dict.fromkeys(
        ("throttling", "throttled", "toomanyrequests", "servicequotaexceeded", "429"), _LIMITED
    ),
    **dict.fromkeys(
        ("modelnotready", "modelerror", "modelstreamerror", "internalserver", "internalfailure"),
        _TROUBLE,
    ),
    "serviceunavailable": _TROUBLE,
    "408": _TROUBLE,
    "424": _TROUBLE,
    "modeltimeout": (TimedOut, "the model took too long, or heard nothing for too long", _AGAIN),
    "resourcenotfound": (InvalidRequest, "no such model in this region", _MODEL),
    "404": (InvalidRequest, "no such model in this region, or another address", _MODEL),
    "validation": _BAD,
}
"""By the name of an exception in small letters, without its end, or by a status of HTTP."""
_SILENT = re.compile(r"RST_STREAM|InternalErrorCode=531")
_PARSING = re.compile(r"tool response parsing error", re.IGNORECASE)


def exception(name: str, message: str, status: int = 0) -> RealtimeError:
    """Read an exception by its name, in any spelling, and its message."""
    short = _short(name)
    kind, cause, fix = _KINDS.get(short) or _by_status(status)
    said = quoted(excerpt(message))
    code = quoted(name)[:64] or str(status)
    if kind is AuthFailed:
        said = "it refuses the credentials"
    elif short == "validation" and _SILENT.search(message):
        kind, cause, fix = SessionExpired, "the service heard nothing for minutes", _AGAIN
    elif short == "validation" and _PARSING.search(message):
        kind, cause, fix = Unavailable, "a result of a tool that the service cannot read", _AGAIN
    where = f"answers {status}" if status else "ends the stream"
    return kind(what=f"The provider {where}: {said or code}", cause=cause, fix=fix, code=code)


def refused(status: int, headers: Mapping[str, str], body: bytes) -> RealtimeError:
    """Read a status that means no; `headers` have names in small letters."""
    name, message = _told(headers, body)
    error = exception(name, message, status)
    if isinstance(error, RateLimited | Unavailable):
        return replace(error, retry_after=retry_after(headers))
    return error


def quoted(words: str) -> str:
    """Give the beginning of a server's words, without what looks like a key."""
    return _KEYS.sub("***", words[:_SHOWN])


def _short(name: str) -> str:
    """Give the bare name of `com.amazon...#ThrottlingException:http://...` in small letters."""
    bare = name.partition(":")[0].rpartition("#")[2].rpartition("/")[2].strip().lower()
    return bare.removesuffix("exception")


def _by_status(status: int) -> _Kind:
    known = _KINDS.get(str(status))
    if known is not None:
        return known
    return _BAD if 300 <= status < 500 else _TROUBLE


def _told(headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    """Give name and message of a refusal."""
    try:
        said: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        said = None
    fields = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    name = headers.get("x-amzn-errortype") or _text(fields, "__type") or _text(fields, "code")
    message = _text(fields, "message") or _text(fields, "Message")
    return name, message or ("" if fields else body.decode("utf-8", "replace"))


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
