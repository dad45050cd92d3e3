"""The ways to fail, as values, and the one exception that carries them.

A remote fault (provider, network) is a value in an event or a `Result`; a local fault (the caller
broke the contract) raises `RealtimeException`. Every error says what happened, the likely cause
and what to do, and none of them ever holds a secret.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

__all__ = (
    "AuthFailed",
    "ContentFiltered",
    "IncompleteTurn",
    "InternalFault",
    "InvalidRequest",
    "LaneFull",
    "ProtocolViolation",
    "RateLimited",
    "RealtimeError",
    "RealtimeException",
    "SessionClosed",
    "SessionExpired",
    "TimedOut",
    "ToolFailed",
    "Unavailable",
    "Unsupported",
)


class _Fault(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    """The three parts of an error, and the provider's own code where it gave one."""

    retryable: ClassVar[bool] = False

    what: str
    cause: str = ""
    fix: str = ""
    code: str = ""

    def __str__(self) -> str:
        parts = (self.what, self.cause and f"Likely cause: {self.cause}", self.fix)
        ended = (part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part)
        return " ".join(ended)


class AuthFailed(_Fault, frozen=True, tag="auth_failed"):
    """The provider refused the credentials, or they lack a permission."""


class RateLimited(_Fault, frozen=True, tag="rate_limited"):
    """The provider asks for fewer requests; `retry_after` in seconds where it said so."""

    retryable: ClassVar[bool] = True
    retry_after: float | None = None


class Unavailable(_Fault, frozen=True, tag="unavailable"):
    """The provider or the way to it is down, or the connection was lost."""

    retryable: ClassVar[bool] = True
    retry_after: float | None = None


class TimedOut(_Fault, frozen=True, tag="timed_out"):
    """A deadline passed without an answer."""

    retryable: ClassVar[bool] = True


class InvalidRequest(_Fault, frozen=True, tag="invalid_request"):
    """What was asked cannot be: a bad value, an unknown id, a frame that does not fit here."""


class Unsupported(_Fault, frozen=True, tag="unsupported"):
    """This provider or model cannot do what was asked; `field` names it."""

    field: str = ""


class ProtocolViolation(_Fault, frozen=True, tag="protocol_violation"):
    """The peer sent bytes that break its own protocol."""


class ContentFiltered(_Fault, frozen=True, tag="content_filtered"):
    """The provider withheld an answer for its policy."""


class SessionExpired(_Fault, frozen=True, tag="session_expired"):
    """The provider's limit on the length of a session was reached."""

    retryable: ClassVar[bool] = True


class IncompleteTurn(_Fault, frozen=True, tag="incomplete_turn"):
    """An answer ended before it was whole (token limit, provider failure)."""


class ToolFailed(_Fault, frozen=True, tag="tool_failed"):
    """A tool raised, took too long, or gave a result that cannot be sent."""


class LaneFull(_Fault, frozen=True, tag="lane_full"):
    """A push that may neither wait nor drop found its lane full."""


class SessionClosed(_Fault, frozen=True, tag="session_closed"):
    """The session is closed; nothing can be pushed any more."""


class InternalFault(_Fault, frozen=True, tag="internal_fault"):
    """A task of the library failed: a bug here or in a provider package, or one in user code."""


RealtimeError = (
    AuthFailed
    | RateLimited
    | Unavailable
    | TimedOut
    | InvalidRequest
    | Unsupported
    | ProtocolViolation
    | ContentFiltered
    | SessionExpired
    | IncompleteTurn
    | ToolFailed
    | LaneFull
    | SessionClosed
    | InternalFault
)


class RealtimeException(Exception):  # noqa: N818 - it carries a RealtimeError, it is not one
    """Carries one `RealtimeError` to the caller; `.error` is the value."""

    def __init__(self, error: RealtimeError) -> None:
        super().__init__(str(error))
        self.error = error
