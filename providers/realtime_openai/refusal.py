"""Refusals: what a service answers over HTTP in place of a yes, as the library's errors.

What it says of credentials is not quoted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from realtime_core.errors import InvalidRequest, RateLimited, RealtimeError, Unavailable
from realtime_core.transports.verdicts import excerpt, retry_after

from .failures import complaint
from .server_events import ErrorDetails

__all__ = ("refused",)

_CREDENTIALS = {401, 403, 407}
_MEANT = {
    **dict.fromkeys(_CREDENTIALS, "invalid_api_key"),
    408: "server_error",
    429: "rate_limit_exceeded",
}
"""What a status stands for in the provider's own words; those from 500 on are `server_error`."""


def refused(status: int, headers: Mapping[str, str], body: bytes) -> RealtimeError:
    """Read a status that means no, and the provider's own reason behind it."""
    details = _details(body)
    said = excerpt(details.message or body.decode("utf-8", "replace"))
    if status in _CREDENTIALS:
        said = "it refuses the key"
    what = f"The provider answers {status}: {said or 'it says no more'}"
    told = complaint(replace(details, message=what))
    if isinstance(told, InvalidRequest):
        meant = _MEANT.get(status, "server_error" if status >= 500 else None)
        told = complaint(ErrorDetails(code=meant, message=what))
        told = replace(told, code=str(details.code or status))
    if status < 400 or status == 404:
        cause = "an unknown model, or an address where nobody offers this; redirects count as such"
        return replace(told, cause=cause, fix="Look at the model's name and at the address.")
    if isinstance(told, RateLimited | Unavailable):
        return replace(told, retry_after=retry_after(headers))
    return told


def _details(body: bytes) -> ErrorDetails:
    """Find the error in a body: an object `error`, a text, or nothing of the kind."""
    try:
        said: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ErrorDetails()
    outer = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    inner: Any = outer.get("error", outer)
    fields = cast("dict[str, Any]", inner if isinstance(inner, dict) else {"message": inner})
    names = ("type", "code", "message")
    return ErrorDetails(**{k: fields[k] for k in names if isinstance(fields.get(k), str)})
