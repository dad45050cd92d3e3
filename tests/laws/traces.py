"""Traces of the same stories, as JSON on stdout: `python -m tests.laws.traces BACKEND apart|tied`.

`apart`: no two things happen in one instant. `tied`: they do, and every task runs late at random.
`hashed`: apart, with a fault that depends on the hash seed.
"""

from __future__ import annotations

import sys
from unittest.mock import patch

import msgspec
from hypothesis import Phase, given, settings
from msgspec.structs import replace

from realtime_core import (
    Outlet,
    RealtimeEvent,
    Recurs,
    SessionEnding,
    Spaced,
    changeover,
    incoming,
    moment,
)
from realtime_core.state import State
from realtime_core.testing import TICK
from realtime_core.testing.live import Performance, performed
from realtime_core.testing.timeline import Happening, Says, Waits
from tests.laws.stories import Story, live_config, played, stories

__all__ = ("apart", "as_json", "tied")

_APART = TICK / 256
"""Added to every deadline, so that none is met by what happens on a tick."""
_OWN = {"_LOOK": 1 + _APART, "_AGAIN": 5 + _APART, "_UNKNOWN": 10 + 2 * _APART}
"""The deadlines of a planned change."""


def apart(story: Story, backend: str) -> Performance:
    """Play a story with its happenings at different instants, and its deadlines at others.

    The reader is never paused: when the consumer lets it go on, both would act in one instant.
    """
    config = live_config(story.plan)
    config = replace(
        config,
        barrier_timeout=config.barrier_timeout + _APART,
        close_timeout=config.close_timeout + _APART,
        connect_timeout=config.connect_timeout + _APART,
        outlet=Outlet(),
        retry=config.retry if config.retry == Recurs(0) else Spaced(TICK + _APART),
    )
    able = story.plan.capabilities
    if able.session_seconds is not None:
        able = replace(able, session_seconds=able.session_seconds + _APART)
    timeline = tuple(part for one in story.timeline for part in (_later(one), Waits(1)))
    with patch.dict(changeover.__dict__, _OWN):
        return performed(timeline, config, able, backend=backend, seed=story.seed, late=0)


def _later(happening: Happening) -> Happening:
    """Let a connection that will end do so a little later."""
    if not isinstance(happening, Says):
        return happening
    return Says(
        tuple(
            replace(event, left=event.left + 2 * _APART)
            if isinstance(event, SessionEnding) and event.left is not None
            else event
            for event in happening.events
        )
    )


def tied(story: Story, backend: str) -> Performance:
    """Play a story as it is told, with everybody late."""
    return played(story, backend)


def as_json(done: Performance) -> bytes:
    """Give the trace as lines of JSON; the session's name, which is random, is left out."""
    lines = b"\n".join(msgspec.json.encode(event, enc_hook=str) for event in done.events)
    name = done.session.session_id if done.session is not None else "none"
    return lines.replace(name.encode(), b"")


def _hashed(state: State, now: moment.Moment, event: RealtimeEvent) -> None:
    """The planted fault: a text whose letters come in the order of their hashes."""
    letters = getattr(event, "text", "")
    order = "".join(sorted(letters, key=hash))
    moment.emit(state, now, replace(event, text=order) if letters else event)


def main(backend: str, how: str) -> None:
    play = tied if how == "tied" else apart
    if how == "hashed":
        incoming.emit = _hashed  # type: ignore[attr-defined]

    @settings(
        max_examples=12, derandomize=True, database=None, deadline=None, phases=(Phase.generate,)
    )
    @given(stories())
    def told(story: Story) -> None:
        sys.stdout.buffer.write(as_json(play(story, backend)) + b"\n\n")

    told()


if __name__ == "__main__":
    main(*sys.argv[1:])
