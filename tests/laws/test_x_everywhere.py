"""X. Situations of real use, and each of six things done at every instant of every task.

Interrupt, cancel, close, a lost connection, the provider's own interruption, a tool that completes:
while the owner, the consumer, what they have started or the session's own pumps are suspended, on
both backends. One witness holds every scene to the same laws: 1 to 7, 13 to 17, 19, 21, 23 to 26,
28, 31, 32, 35, 38 to 40 and 42.

Without `REALTIME_LAWS=deep` a few instants of each are tried, the same ones every time.
"""

from __future__ import annotations

import os
from zlib import crc32

import pytest

from realtime_core.testing import Injection, Point, PointsFailed
from realtime_core.testing.sweep import _attempt
from tests.laws.scene import ACTIONS, Action, Scene, Situation
from tests.laws.situations import SITUATIONS
from tests.laws.stories import BACKENDS

DEEP = os.environ.get("REALTIME_LAWS") == "deep"
FEW = 10
"""Instants that are tried of each scene."""

both = pytest.mark.parametrize("backend", BACKENDS)
in_every_way = pytest.mark.parametrize("action", ACTIONS)
everywhere = pytest.mark.parametrize("situation", SITUATIONS, ids=lambda kind: kind.__name__)


def under_test(name: str) -> bool:
    """Choose the tasks of the session and of its user; not the provider's."""
    ours = name.startswith("tests.laws.situations")
    return ours or (name.startswith("realtime_core.") and ".testing." not in name)


def at_instants(situation: type[Situation], action: Action, backend: str, few: int = 0) -> int:
    """Play a scene once per instant, or with few of them; give how many instants there are."""

    async def scenario(point: Injection) -> None:
        await Scene(situation(), action).play(point)

    counting = Injection()
    failure = _attempt(scenario, counting, backend, 0, under_test)
    if failure is not None:
        raise failure
    total = counting.instants
    every = max(1, total // few) if few else 1
    first = crc32(f"{situation.__name__} {action}".encode()) % every
    if every > 1:
        print(f"{total} instants, every {every}th from {first}")
    failed = list[Point]()
    for number in range(first, total, every):
        point = Injection(number)
        error = _attempt(scenario, point, backend, 0, under_test)
        if error is None and not point.fired:
            error = AssertionError("This instant was not reached: the scene does not repeat.")
        if error is not None:
            failed.append(Point(number, total, point.moment, point.place, error))
    if failed:
        raise PointsFailed(tuple(failed), backend) from failed[0].error
    return total


@both
@in_every_way
@everywhere
def test_everywhere(situation: type[Situation], action: Action, backend: str) -> None:
    assert at_instants(situation, action, backend, 0 if DEEP else FEW) > 20
