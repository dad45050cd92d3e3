"""Verdicts: what a refusal of a connection, or the end of one, means as an error.

Pure functions; `closed` and `refused` are the defaults of `websocket.Endpoint`. A provider that
says more in its own codes and bodies puts functions of its own in their place, and falls back on
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from websockets.exceptions import PayloadTooBig
from websockets.protocol import Protocol

from ..errors import (
    AuthFailed,
    InvalidRequest,
    ProtocolViolation,
    RateLimited,
    RealtimeError,
    Unavailable,
)

__all__ = ("closed", "ended", "excerpt", "half_open", "refused", "retry_after", "violation")

_SHOWN = 200
"""Characters of a server's own words that an error quotes."""
_DIGITS = 9
"""A longer number of seconds says no more than this one."""
_OUR_FAULT = {1003, 1007, 1008, 1009}
"""Close codes by which a server says that it does not take what it was sent."""


def closed(code: int, reason: str) -> RealtimeError | None:
    """Read a close code; None where the connection ended in good order.

    1006 stands for an end without a word, 1005 for a farewell without a code.
    """
    if code == 1000:
        return None
    if code == 1006:
        return Unavailable(
            what="The connection was lost: it ended without a word.",
            cause="the network, a proxy, or a crash of the server",
            code="1006",
        )
    what = f"The server closed the connection with code {code}."
    if code in _OUR_FAULT:
        return InvalidRequest(what=what, cause=excerpt(reason), code=str(code))
    return Unavailable(what=what, cause=excerpt(reason), code=str(code))


def ended(
    protocol: Protocol, failure: Callable[[int, str], RealtimeError | None]
) -> RealtimeError | None:
    """Read how a WebSocket ended: by the peer's farewell, or by what it did to the protocol."""
    said, problem = protocol.close_rcvd, protocol.parser_exc
    if said is not None:
        return failure(int(said.code), said.reason)
    match problem:
        case PayloadTooBig():
            return violation("1009", "a message beyond the limit on its size")
        case UnicodeDecodeError():
            return violation("1007", "a farewell that is not UTF-8")
        case _:
            return violation("1002", str(problem))


def violation(code: str, cause: str) -> ProtocolViolation:
    """Give the error of a peer that broke the WebSocket protocol."""
    return ProtocolViolation(what="The peer broke the WebSocket protocol.", cause=cause, code=code)


def half_open(patience: float) -> Unavailable:
    """Give the error of a peer that has not answered a ping for so many seconds."""
    return Unavailable(
        what=f"The connection is half-open: no sign of the peer for {patience:g} s after a ping.",
        cause="the network, or a peer that hangs",
        fix="Check the network.",
        code="1006",
    )


def refused(status: int, headers: Mapping[str, str], body: bytes) -> RealtimeError:
    """Read an HTTP answer that is not an upgrade; `headers` have names in small letters.

    The body is quoted, unless credentials were refused: it may hold parts of them.
    """
    what, code = f"The server refused the connection with HTTP status {status}.", str(status)
    if status in {401, 403, 407}:
        return AuthFailed(
            what=what,
            cause="a wrong or expired key, or one that lacks a permission",
            fix="Check the key and what it may do.",
            code=code,
        )
    said = excerpt(body.decode("utf-8", "replace"))
    if status == 429:
        return RateLimited(what=what, cause=said, code=code, retry_after=retry_after(headers))
    if status >= 500 or status == 408:
        return Unavailable(what=what, cause=said, code=code, retry_after=retry_after(headers))
    if status < 300:
        return ProtocolViolation(
            what=f"The server answered the upgrade with HTTP status {status}.",
            cause="something other than a WebSocket server listens there",
            fix="Check the address.",
            code=code,
        )
    fix = "Check the address and the model; redirects are not followed."
    return InvalidRequest(what=what, cause=said, fix=fix, code=code)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Give the seconds that `Retry-After` asks for; a date in it is measured by the server's own.

    None where it is missing, or cannot be read.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value[:_DIGITS])
    try:
        until, now = (parsedate_to_datetime(text) for text in (value, headers.get("date", "")))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def excerpt(text: str) -> str:
    """Give the beginning of a server's words, on one line, without control characters."""
    printed = (c if c.isprintable() else " " for c in text[: 4 * _SHOWN])
    words = " ".join("".join(printed).split())
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}..."
