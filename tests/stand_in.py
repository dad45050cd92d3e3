"""A stand-in: programs that open `"local"` get a provider of the test's choice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from realtime_core import Frame, Provider
from realtime_core import provider as module

__all__ = ("stand_in",)


class _Entry:
    def __init__(self, provider: Provider[Frame]) -> None:
        self._provider = provider

    def load(self) -> Callable[[str], Provider[Frame]]:
        return lambda _: self._provider


def stand_in(monkeypatch: pytest.MonkeyPatch, provider: Provider[Frame]) -> None:
    """Let this be the only provider installed, under the name `local`."""
    monkeypatch.setattr(module, "installed", lambda: {"local": _Entry(provider)})
