"""Verdicts: status codes, close codes and what servers say with them."""

from __future__ import annotations

import pytest

from realtime_core.errors import RateLimited, Unavailable
from realtime_core.transports.verdicts import closed, excerpt, refused, retry_after

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "9" * 5000}, 999_999_999.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "\u0663"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:27:30 GMT", "date": DATE}, 0.0),
        ({"retry-after": DATE}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30", "date": DATE}, None),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:30 GMT", "date": DATE}, None),
        ({"retry-after": "soon", "date": DATE}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_what_a_server_says_is_quoted_in_short_and_on_one_line() -> None:
    assert excerpt("no \x1b[31m quota\r\n left") == "no [31m quota left"
    assert excerpt("x" * 10**7) == "x" * 200 + "..."
    error = refused(429, {"retry-after": "2"}, b"too \xff many")
    assert error == RateLimited(
        what="The server refused the connection with HTTP status 429.",
        cause="too \ufffd many",
        code="429",
        retry_after=2.0,
    )


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_body_behind_refused_credentials_is_not_quoted(status: int) -> None:
    assert "sk-abc" not in str(refused(status, {}, b"wrong key: sk-abc...xyz"))


def test_a_farewell_in_good_order_is_no_error() -> None:
    assert closed(1000, "bye") is None
    assert isinstance(closed(1005, ""), Unavailable)
