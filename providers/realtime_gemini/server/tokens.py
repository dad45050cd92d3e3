"""Tokens: what a server's backend asks for over HTTP, and what a browser shows instead of a key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from inspect import isawaitable
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from anyio import current_time

from realtime_core.transports.websocket_server import Judge, Request, Response

from ..encoding import BROKEN, plain
from .address import address_of
from .book import Fields, Lock, camel, newest

__all__ = ("Tokens",)

_PATH = "/v1alpha/auth_tokens"
_PREFIX = "auth_tokens/"
_LONGEST = timedelta(hours=20)
_MOST = 1_000
"""Tokens that are remembered."""


class _Asked(msgspec.Struct, frozen=True, rename="camel"):
    uses: int | None = None
    expire_time: datetime | None = None
    new_session_expire_time: datetime | None = None
    bidi_generate_content_setup: Fields | None = None
    field_mask: str | None = None


class _Token(msgspec.Struct):
    lock: Lock
    left: int | None
    """Sessions that it may still begin; None: any number."""
    begins_until: float
    """On the clock of the loop, which does not jump."""
    ends_at: float


class Tokens:
    """The tokens of one server, and its door: what is asked is answered here, or let through."""

    def __init__(self, judge: Judge | None = None) -> None:
        """Open the door; `judge` is asked first."""
        self._judge = judge
        self._tokens: Mapping[str, _Token] = {}

    async def answer(self, request: Request) -> Response | None:
        """Answer what is asked, unless it is the upgrade of a session."""
        if self._judge is not None:
            told = self._judge(request)
            told = await told if isawaitable(told) else told
            if told is not None:
                return told
        path = urlsplit(request.path).path
        if request.method == "POST" and path.endswith(_PATH):
            return self._minted(request)
        address = address_of(path)
        if request.method != "GET" or address is None:
            return _refused(HTTPStatus.NOT_FOUND, "NOT_FOUND", "There is nothing here.")
        if address.constrained and self._shown(request) is None:
            what = "This token is not known here, was used, or has expired."
            return _refused(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", what)
        return None

    def lock(self, request: Request) -> Lock | None:
        """Give what the token of an upgrade fixes; None without one."""
        token = self._shown(request) if _constrained(request) else None
        return token.lock if token is not None else None

    def begin(self, request: Request) -> bool:
        """Count a session that begins; False if its token begins none any more."""
        if not _constrained(request):
            return True
        token = self._shown(request)
        if token is None:
            return False
        if token.left is not None:
            token.left -= 1
        return current_time() < token.begins_until and (token.left is None or token.left >= 0)

    def _shown(self, request: Request) -> _Token | None:
        """Find the token that a request shows, if it is still good for anything."""
        kind, _, name = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "token":
            name = next(iter(parse_qs(urlsplit(request.path).query).get("access_token", [])), "")
        token = self._tokens.get(name.strip())
        return token if token is not None and current_time() < token.ends_at else None

    def _minted(self, request: Request) -> Response:
        try:
            raw: Any = msgspec.json.decode(request.body or b"{}")
            asked = msgspec.convert(plain(raw), _Asked)
        except BROKEN as problem:
            return _refused(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", str(problem))
        now = _by_calendar()
        ends = asked.expire_time or now + timedelta(minutes=30)
        begins = asked.new_session_expire_time or now + timedelta(minutes=1)
        if not all(time.tzinfo and now < time < now + _LONGEST for time in (ends, begins)):
            what = "Tokens expire in the future, within 20 hours."
            return _refused(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", what)
        uses = 1 if asked.uses is None else asked.uses
        fixed = asked.bidi_generate_content_setup or {}
        mask = filter(None, (camel(name.strip()) for name in (asked.field_mask or "").split(",")))
        lock = Lock(fixed.get("setup") or fixed, tuple(mask))
        name = _PREFIX + token_urlsafe(24)
        until, end = (current_time() + (time - now).total_seconds() for time in (begins, ends))
        token = _Token(lock, uses or None, until, end)
        self._tokens = newest({**self._tokens, name: token}, _MOST)
        return _json(HTTPStatus.OK, {"name": name})


def _by_calendar() -> datetime:
    """Give the time by which clients say when a token is to end; no deadline is kept by it."""
    return datetime.now(UTC)


def _constrained(request: Request) -> bool:
    address = address_of(urlsplit(request.path).path)
    return address is not None and address.constrained


def _refused(status: HTTPStatus, name: str, message: str) -> Response:
    return _json(status, {"error": {"code": int(status), "message": message, "status": name}})


def _json(status: int, value: Fields) -> Response:
    return Response(status, {"Content-Type": "application/json"}, msgspec.json.encode(value))
