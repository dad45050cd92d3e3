"""A timeline on a real session: the consumer takes what it is granted, and all in the end."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from realtime_core import (
    AuthFailed,
    Error,
    Interrupt,
    Interrupted,
    Recurs,
    SessionConfig,
    Unavailable,
)
from realtime_core.testing.live import performed
from realtime_core.testing.scripted import SCRIPTED
from realtime_core.testing.timeline import Loses, Pushes, Raw, Says, Stale, Takes, Waits
from tests.core.short import TOOLS, done, names, sound, started

BACKENDS = ("asyncio", "trio")
both = pytest.mark.parametrize("backend", BACKENDS)


@both
def test_a_timeline_is_played_to_its_end(backend: str) -> None:
    timeline = (
        Says((started(), sound(), sound())),
        Waits(4),
        Takes(2),
        Waits(4),
        Pushes(Interrupt()),
        Raw(("no message",)),
        Stale((started(),)),
        Loses(old=True),
        Says((done(),)),
    )
    played = performed(timeline, backend=backend, late=0)
    assert names(played.events)[:3] == ["Connected", "ResponseStarted", "Interrupted"]
    assert names(played.events)[-2:] == ["ResponseDone", "Disconnected"]
    assert [one.epoch for one in played.returned[:3]] == [0, 0, 1]
    assert played.failure is None
    assert played.session is not None
    assert not played.session.connected


@both
@pytest.mark.parametrize("error", [None, Unavailable(what="gone")])
def test_a_lost_connection_is_taken_up_again(backend: str, error: Unavailable | None) -> None:
    config = SessionConfig(retry=Recurs(1))
    timeline = (Loses(error), Waits(1), Says((started(),)), Waits(1))
    lost = performed(timeline, config, backend=backend, late=0)
    assert "Reconnected" in names(lost.events)


@both
def test_what_is_pushed_after_the_end_is_refused(backend: str) -> None:
    timeline = (
        Loses(AuthFailed(what="no longer welcome")),
        Waits(8),
        Pushes(Interrupt()),
        Says((started(),)),
        Says((started(),)),
    )
    ended = performed(timeline, backend=backend, late=0)
    assert names(ended.refused) == ["SessionClosed"]
    assert not any(isinstance(event, Interrupted | Error) for event in ended.events)


@both
def test_a_session_that_cannot_be_opened_is_told(backend: str) -> None:
    wish = SessionConfig(tools=TOOLS)
    refused = performed((), wish, replace(SCRIPTED, tools=False), backend=backend)
    assert names([refused.failure]) == ["Unsupported"]
    assert refused.session is None
    assert refused.events == []
