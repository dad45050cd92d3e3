"""Refusals: what Google answers over HTTP in place of a yes, as the library's errors.

What it says of credentials is not quoted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from realtime_core.errors import (
    AuthFailed,
    InvalidRequest,
    RateLimited,
    RealtimeError,
    Unavailable,
)
from realtime_core.transports.verdicts import excerpt, retry_after

from .failures import quoted

__all__ = ("refused",)

_KINDS: tuple[tuple[frozenset[str], Callable[..., RealtimeError], str, str], ...] = (
    (
        frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "401", "403", "407"}),
        AuthFailed,
        "a wrong or expired key or token, or one that lacks a permission",
        "Check the key, and that its project may use the API.",
    ),
    (
        frozenset({"RESOURCE_EXHAUSTED", "429"}),
        RateLimited,
        "more requests, tokens or sessions than the project may use",
        "Wait, or ask for a higher quota.",
    ),
    (
        frozenset({"NOT_FOUND", "404"}),
        InvalidRequest,
        "an unknown model, or an address, version or location where nobody offers this",
        "Look at the model's name, at `location` and at the address.",
    ),
    (
        frozenset({"UNAVAILABLE", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED", "ABORTED", "408"}),
        Unavailable,
        "trouble at the provider",
        "Try again, or choose a `retry`.",
    ),
)
"""By the name of Google's own status, or by that of HTTP; those from 500 on are the last kind."""
_REFUSED_KEY = "API_KEY_"
"""What reasons begin with that tell of a key, whatever the status: a wrong one is answered 400."""


def refused(status: int, headers: Mapping[str, str], body: bytes) -> RealtimeError:
    """Read a status that means no, and the provider's own reason behind it."""
    error = _error(body)
    name = _text(error, "status")
    if any(_text(one, "reason").startswith(_REFUSED_KEY) for one in _details(error)):
        name = "UNAUTHENTICATED"
    kind, cause, fix = _kind(status, name)
    said = quoted(excerpt(_text(error, "message") or body.decode("utf-8", "replace")))
    if kind is AuthFailed:
        said = "it refuses the key"
    told = kind(
        what=f"The provider answers {status}: {said or 'it says no more'}",
        cause=cause,
        fix=fix,
        code=quoted(name) or str(status),
    )
    if isinstance(told, RateLimited | Unavailable):
        return replace(told, retry_after=_wait(error, headers))
    return told


def _kind(status: int, name: str) -> tuple[Callable[..., RealtimeError], str, str]:
    for word in (name, str(status)):
        for names, kind, cause, fix in _KINDS:
            if word in names:
                return kind, cause, fix
    if status >= 500:
        return _KINDS[-1][1:]
    if status < 400:
        cause = "something else answers at this address; redirects are not followed"
        return InvalidRequest, cause, "Look at the address."
    cause = "a setting, a version or a model name that this provider does not take"
    return InvalidRequest, cause, "Look at the provider's page for what it accepts."


# --- what the body says -----------------------------------------------------------------------


def _error(body: bytes) -> dict[str, Any]:
    """Find the error in a body: an object `error`, one in a list, or nothing of the kind."""
    try:
        said: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    outer = next(_items(said), said)
    return _fields(_fields(outer).get("error"))


def _items(value: object) -> Iterator[Any]:
    return iter(cast("Iterable[Any]", value) if isinstance(value, list) else ())


def _fields(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _details(error: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return map(_fields, _items(error.get("details")))


def _wait(error: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    """Give the seconds that are asked for: `Retry-After`, or a duration such as `3.5s`."""
    asked = retry_after(headers)
    for one in _details(error):
        number = _text(one, "retryDelay").removesuffix("s")
        if asked is None and number.isascii() and number.replace(".", "", 1).isdecimal():
            asked = float(number[:9])
    return asked
