"""HTTP/2 words: headers as they are written and read, and what an end of things means as an error.

Pure functions, but for `quiet`; `stopped` is the default of `http2.Endpoint`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from h2.exceptions import ProtocolError
from hpack import HeaderTuple, NeverIndexedHeaderTuple

from ..config import Secret
from ..errors import InvalidRequest, ProtocolViolation, RateLimited, RealtimeError, Unavailable
from .verdicts import excerpt

__all__ = (
    "fields",
    "full",
    "left",
    "lost",
    "quiet",
    "stopped",
    "tuples",
    "unfinished",
    "violation",
)

_TABLES = ("hpack.hpack", "hpack.table")
_CODES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)
_SILENT = "it gave no reason"
_OUR_FAULT = {1, 3, 5, 6, 9, 12, 13}
"""Codes by which a peer says that it does not take what it was sent."""


def tuples(named: Mapping[str, str | Secret]) -> list[HeaderTuple]:
    """Encode headers; secrets in a form that no table keeps."""
    return [
        NeverIndexedHeaderTuple(name.encode(), text.reveal().encode("latin-1"))
        if isinstance(text, Secret)
        else HeaderTuple(name.encode(), text.encode("latin-1"))
        for name, text in named.items()
    ]


def fields(headers: Iterable[tuple[str | bytes, str | bytes]]) -> dict[str, str]:
    """Decode headers; values of a name that came several times are joined by commas."""
    named = dict[str, str]()
    for pair in headers:
        name, text = (x if isinstance(x, str) else x.decode("latin-1") for x in pair)
        named[name] = f"{named[name]}, {text}" if name in named else text
    return named


def stopped(code: int, said: str) -> RealtimeError | None:
    """Read the code by which a peer ended a stream or a connection; None: in good order."""
    if code == 0:
        return None
    name = _CODES[code] if code < len(_CODES) else f"code {code}"
    what, cause = f"The server ended the exchange with {name}.", excerpt(said) or _SILENT
    if code in _OUR_FAULT:
        return InvalidRequest(what=what, cause=cause, code=name)
    if name == "ENHANCE_YOUR_CALM":
        return RateLimited(what=what, cause=cause, code=name)
    return Unavailable(what=what, cause=cause, code=name)


def violation(problem: Exception) -> ProtocolViolation:
    """Give the error of a peer that broke HTTP/2."""
    return ProtocolViolation(
        what="The peer broke the HTTP/2 protocol.",
        cause=excerpt(str(problem)) or type(problem).__name__,
        fix="Check the address.",
        code="PROTOCOL_ERROR",
    )


def quiet() -> None:
    """Let hpack say nothing: it would log every header, and with them the keys."""
    for name in _TABLES:
        logging.getLogger(name).addFilter(_silent)


def _silent(record: logging.LogRecord) -> bool:  # noqa: ARG001 - a filter is given it
    return False


def lost() -> RealtimeError:
    """Give the error of a connection that ended without a word."""
    return Unavailable(
        what="The connection was lost: it ended without a word.",
        cause="the network, a proxy, or a crash of the server",
    )


def unfinished() -> RealtimeError:
    """Give the error of a stream that was ended in its middle, for no reason given."""
    return Unavailable(
        what="The server ended the exchange before it was finished.",
        cause="an overloaded server, or a proxy in between",
    )


def left() -> RealtimeError:
    """Give the error of a request on a connection that is no longer in use."""
    return Unavailable(
        what="The connection takes no requests any more.",
        cause="one of its ends has taken leave",
        fix="Connect anew.",
    )


def full(problem: ProtocolError) -> RealtimeError:
    """Give the error of a request beyond those that a server takes at once."""
    return Unavailable(
        what="The server takes no further request on this connection.",
        cause=str(problem),
        fix="Connect anew.",
    )
