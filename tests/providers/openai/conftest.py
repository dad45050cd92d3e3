"""What the fault matrix asks for by name."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.providers.openai.watching import KEY
from tests.providers.watching import silently


@pytest.fixture
def silent(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Generator[None]:
    """Require that a test complains of nothing, in a log or on stderr, and logs no key."""
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    with silently(caplog, capfd, KEY):
        yield
