"""X. Situations of real use, and each of six things done at every instant of every task.

Interrupt, cancel, close, a lost connection, the provider's own interruption, a tool that completes:
while the owner, the consumer, what they have started or the session's own pumps are suspended, on
both backends. One witness holds every scene to the same laws: 1 to 7, 13 to 17, 19, 21, 23 to 26,
28, 31, 32, 35, 38 to 40 and 42.

Without `REALTIME_LAWS=deep` a few instants of each are tried, the same ones every time.
"""

from __future__ import annotations

import os
from typing import Any
from zlib import crc32

import anyio
import pytest
from anyio.lowlevel import checkpoint

from realtime_core import doors, incoming, interruption, machine, playback, requests
from realtime_core.codec import CancelResponse
from realtime_core.epoch import Epoch, ItemId
from realtime_core.events import RealtimeEvent, ResponseStarted, Status
from realtime_core.heard import Delivered
from realtime_core.moment import Moment, tell
from realtime_core.outlet import Outlet
from realtime_core.playback import Player
from realtime_core.responses import Response
from realtime_core.scopes import Scopes
from realtime_core.session import Events
from realtime_core.state import Phase, State
from realtime_core.testing import Injection, Point, PointsFailed
from realtime_core.testing.sweep import _attempt
from realtime_core.turn import Ledger
from tests.laws.scene import ACTIONS, Action, Scene, Situation, Tap
from tests.laws.situations import SITUATIONS
from tests.laws.situations.asking import CutAndAskAgain, SpokenQuestion, TwoAnswers, TypedQuestion
from tests.laws.situations.built import AnswersAsScopes, Paced, SlowConsumer, TwoSubscribers
from tests.laws.situations.cutting import BargeInByProvider, ToALoudspeaker
from tests.laws.situations.working import ToolRound
from tests.laws.stories import BACKENDS, SEEDS

DEEP = os.environ.get("REALTIME_LAWS") == "deep"
FEW = 8
"""Instants that are tried of each scene."""

both = pytest.mark.parametrize("backend", BACKENDS)
in_every_way = pytest.mark.parametrize("action", ACTIONS)
everywhere = pytest.mark.parametrize("situation", SITUATIONS, ids=lambda kind: kind.__name__)


def under_test(name: str) -> bool:
    """Choose the tasks of the session and of its user; not the provider's."""
    ours = name.startswith("tests.laws.situations")
    return ours or (name.startswith("realtime_core.") and ".testing." not in name)


def at_instants(
    situation: type[Situation], action: Action, backend: str, few: int = 0, seed: int = 0
) -> int:
    """Play a scene once per instant, or at a few of them; give how many instants there are."""

    async def scenario(point: Injection) -> None:
        await Scene(situation(), action).play(point)

    counting = Injection()
    failure = _attempt(scenario, counting, backend, seed, under_test)
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
        error = _attempt(scenario, point, backend, seed, under_test)
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
    for seed in SEEDS if backend == "trio" else (0,):
        assert at_instants(situation, action, backend, 0 if DEEP else FEW, seed) > 20


@both
class TestFaults:
    """Each of these must be found, at some instant of a scene, as the breach of the law it is."""

    @staticmethod
    def seen(law: str, backend: str, situation: type[Situation], action: Action) -> None:
        with pytest.raises((PointsFailed, AssertionError)) as caught:
            at_instants(situation, action, backend)
        failed = caught.value.points if isinstance(caught.value, PointsFailed) else ()
        whys = [repr(point.error) for point in failed] or [repr(caught.value)]
        assert any(law in why for why in whys), whys[0]

    def test_compares_suspends_delivers(
        self, backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        following = Events.__anext__

        async def slow(self: Events) -> RealtimeEvent:
            event = await following(self)
            await checkpoint()
            return event

        monkeypatch.setattr(Events, "__anext__", slow)
        self.seen("4, 5: no stale output", backend, TypedQuestion, "interrupt")
        self.seen("4, 5: no stale output", backend, SpokenQuestion, "provider")

    def test_fences_no_scope(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Scopes, "fence", lambda self, fence: None)
        self.seen("25: what runs for", backend, AnswersAsScopes, "interrupt")

    def test_forgets_a_scope_too_soon(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A block that has ended is forgotten while its tasks still run."""
        exit = Response.__aexit__

        async def hasty(self: Response, *raised: Any) -> bool | None:
            for scope, (_, response) in tuple(self._driver.scopes._bound.items()):
                if response == self.id:
                    self._driver.scopes.leave(scope)
            return await exit(self, *raised)

        monkeypatch.setattr(Response, "__aexit__", hasty)
        self.seen("25: what runs for", backend, AnswersAsScopes, "interrupt")

    def test_plays_without_comparing(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(playback, "is_stale", lambda bound, epoch: False)
        self.seen("no stale sound", backend, ToALoudspeaker, "interrupt")

    def test_paces_without_comparing(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Tap, "stale", lambda self, event: False)
        self.seen("no stale output of the captions", backend, Paced, "interrupt")

    def test_shares_without_comparing(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Tap, "stale", lambda self, event: False)
        self.seen("no stale output of the screen", backend, TwoSubscribers, "interrupt")

    def test_answers_another_connection(
        self, backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A call survives the connection that asked, and its result goes to the next."""

        def spare(state: State, now: Moment, outcome: Status) -> State:
            return state if outcome == "lost" else void_calls(state, now, outcome)

        void_calls = interruption.void_calls
        monkeypatch.setattr(interruption, "void_calls", spare)
        monkeypatch.setattr(interruption, "_stops", lambda call: False)
        self.seen("26: a result goes to who asked", backend, ToolRound, "loss")

    def test_answers_what_was_cancelled(
        self, backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (machine, doors):
            monkeypatch.setattr(module, "takes_no_result", lambda state, call: None)
        monkeypatch.setattr(Scopes, "stop", lambda self, calls: None)
        self.seen("24: no result after cancel", backend, ToolRound, "interrupt")

    def test_lets_a_cancelled_handler_run(
        self, backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Scopes, "stop", lambda self, calls: None)
        self.seen("25: the handler has left", backend, ToolRound, "interrupt")

    def test_takes_all_for_heard(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def optimistic(ledger: Ledger, id: ItemId, delivered: Delivered, at: float) -> int:
            return max(0, ledger.items[id].received - 1)

        monkeypatch.setattr(interruption, "heard_samples", optimistic)
        self.seen("17: heard is true", backend, ToALoudspeaker, "interrupt")
        self.seen("17: heard is true", backend, SlowConsumer, "provider")

    def test_asks_twice_at_once(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def eager(state: State) -> int | None:
            unsent = (place for place, wish in enumerate(state.ledger.requests) if not wish.sent)
            return next(unsent, None) if state.phase is Phase.OPEN else None

        monkeypatch.setattr(requests, "_next", eager)
        self.seen("15: one answer at a time", backend, TwoAnswers, "interrupt")

    def test_cancels_the_next_answer(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What we asked for is cancelled at its birth, whether it is stale or not."""
        started = incoming._started

        def hasty(state: State, now: Moment, event: ResponseStarted) -> State:
            state = started(state, now, event)
            assert event.response is not None
            if state.epoch:
                state, _ = tell(state, now, CancelResponse(event.response))
            return state

        monkeypatch.setitem(incoming._JUDGES, ResponseStarted, hasty)
        self.seen("14: never one born after", backend, CutAndAskAgain, "tool")

    def test_fences_what_comes_next(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        fence = Outlet.fence
        monkeypatch.setattr(Outlet, "fence", lambda self, epoch: fence(self, Epoch(epoch + 1)))
        self.seen("19: s lost sound", backend, BargeInByProvider, "cancel")

    def test_settles_in_the_providers_name(
        self, backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settle = interruption.settle

        def pretend(*given: Any, **how: Any) -> State:
            return settle(*given, **{**how, "by_provider": True})

        monkeypatch.setattr(interruption, "settle", pretend)
        self.seen("38: the provider's own end", backend, TypedQuestion, "loss")

    def test_swallows_a_cancellation(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        drained = Player.drained

        async def stubborn(self: Player) -> None:
            try:
                await drained(self)
            except anyio.get_cancelled_exc_class():
                raise ValueError("cancelled, it seems") from None

        monkeypatch.setattr(Player, "drained", stubborn)
        self.seen("ValueError", backend, ToALoudspeaker, "cancel")
