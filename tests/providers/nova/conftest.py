"""What the fault matrix asks for by name."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.providers.nova.watching import KEY, PLAIN, SECURE, Way
from tests.providers.watching import silently


@pytest.fixture
def silent(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Generator[None]:
    """Require that a test complains of nothing, in a log or on stderr, and logs no key."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    with silently(caplog, capfd, KEY):
        yield


@pytest.fixture(params=[PLAIN, SECURE], ids=["plain", "tls"])
def way(request: pytest.FixtureRequest) -> Way:
    """Give both ways to reach a server, one after the other."""
    assert isinstance(request.param, Way)
    return request.param
