"""A. Order and epoch, 7 to 10: the one grammar of responses, and what overtakes what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import count, zip_longest
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from returns.result import Failure, Result, Success

from realtime_core import Plan, incoming, interruption, negotiate
from realtime_core.codec import Coded, Wire
from realtime_core.config import Outlet as OutletLimits
from realtime_core.config import SessionConfig
from realtime_core.epoch import Epoch, ItemId, ResponseId
from realtime_core.errors import RealtimeError
from realtime_core.events import (
    AgentTranscript,
    AudioInput,
    AudioOutput,
    AudioOutputDone,
    Connected,
    Disconnected,
    Interrupted,
    Kind,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    SpeechStarted,
    ToolCall,
    Unknown,
)
from realtime_core.moment import Moment
from realtime_core.outlet import Outlet
from realtime_core.session import open_session
from realtime_core.state import State
from realtime_core.testing import TICK, PointsFailed, every_point, run
from realtime_core.testing._author import SAMPLES_A_TICK
from realtime_core.testing.conformance import (
    Violation,
    check_coded,
    check_trace,
    conforms,
    total,
)
from realtime_core.testing.scripted import SCRIPTED, Peer, ScriptedCodec, scripted, written
from realtime_core.testing.strategies import plans, provider_scripts, structs, wires
from realtime_core.testing.timeline import Says, Takes, act
from realtime_local import local
from realtime_local.wire import EngineMessage
from tests.laws.model import Rehearsal
from tests.laws.scenarios import spoken_to
from tests.laws.sessions import Law, hold, live_by
from tests.laws.stories import (
    BACKENDS,
    Story,
    audio,
    catches,
    lawful_session,
    many,
    opened,
    plain,
    stories,
)

STORIES = stories()
R = ResponseId("r")
OUTPUT = (
    ResponseStarted,
    AudioOutput,
    AudioOutputDone,
    ToolCall,
    AgentTranscript,
    ResponseText,
    ResponseDone,
)
NUMBERS = count()
Script = tuple[tuple[RealtimeEvent, ...], ...]
both = pytest.mark.parametrize("backend", BACKENDS)


def wires_of(script: Script) -> list[Wire]:
    return [wire for burst in script for wire in written(*burst)]


def edited(**change: Any) -> Callable[[Any], Any]:
    """Give a codec's fault: it changes these fields of every event that has them."""

    def edit(result: Result[Coded[int], RealtimeError]) -> Result[Coded[int], RealtimeError]:
        coded = result.unwrap()
        events = (
            replace(event, **{key: value for key, value in change.items() if hasattr(event, key)})
            for event in coded.events
        )
        return Success(coded._replace(events=tuple(events)))

    return edit


def unstarted(result: Result[Coded[int], RealtimeError]) -> Result[Coded[int], RealtimeError]:
    coded = result.unwrap()
    kept = (event for event in coded.events if not isinstance(event, ResponseStarted))
    return Success(coded._replace(events=tuple(kept)))


class Speaks(Law):
    """Every trace has the one grammar, and what was queued of a response comes in its order."""

    def end(self, rehearsal: Rehearsal) -> None:
        fold = rehearsal.session
        assert check_trace(fold.events, complete=True) == []
        said = [event for one in fold.steps for event in one.events]
        for key in ("response", "item"):
            emitted, returned = grouped(said, key), grouped(fold.events, key)
            for name, events in returned.items():
                assert in_order(events, emitted[name]), name


class TestResponseGrammar:
    """7. One start, deltas in the provider's order, one end, nothing after it."""

    @staticmethod
    def law(story: Story) -> None:
        hold(Speaks, story)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_machine(self) -> None:
        live_by(Speaks)

    @both
    @given(STORIES)
    def test_live(self, backend: str, story: Story) -> None:
        lawful_session(story, backend)

    def test_words_after_the_end_do_not_overtake(self) -> None:
        fold = plain()
        words = AgentTranscript(response=R, item=ItemId("i"), text="Hello", final=False)
        whole = replace(words, text="Hello there", final=True)
        done = ResponseDone(response=R, status="completed")
        act(fold, (Says((ResponseStarted(response=R), words, done, whole)),))
        fold.drain()
        texts = [event.text for event in fold.events if isinstance(event, AgentTranscript)]
        assert texts == ["Hello", "Hello there"]

    def test_fault_passes_late_deltas(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            incoming, "_live", lambda state, event: state.ledger.responses.get(event.response)
        )
        catches(self.law, STORIES)

    def test_fault_ends_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settle = interruption.settle

        def twice(state: State, now: Moment, id: ResponseId, status: Any, **more: Any) -> State:
            settle(state, now, id, status, **more)
            return settle(state, now, id, status, **more)

        monkeypatch.setattr(incoming, "settle", twice)
        catches(self.law, STORIES)

    def test_fault_lets_ends_overtake(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put = Outlet.put

        def hasty(self: Any, event: RealtimeEvent) -> None:
            self._control.append(event) if isinstance(event, ResponseDone) else put(self, event)

        monkeypatch.setattr(Outlet, "put", hasty)
        catches(self.law, STORIES)

    def test_fault_stacks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def newest_first(self: Any, event: AudioOutput) -> None:
            self._media.appendleft(event)

        put = Outlet.put
        monkeypatch.setattr(
            Outlet,
            "put",
            lambda self, event: (newest_first if isinstance(event, AudioOutput) else put)(
                self, event
            ),
        )
        catches(self.law, STORIES)


def grouped(events: list[RealtimeEvent], key: str) -> dict[str, list[RealtimeEvent]]:
    """Give the model's output by response or item, without its place in the trace."""
    groups = defaultdict[str, list[RealtimeEvent]](list)
    for event in events:
        name = getattr(event, key)
        if name is not None and isinstance(event, OUTPUT):
            groups[name].append(replace(event, seq=-1, epoch=Epoch(0), conn=0))
    return groups


def in_order(part: list[RealtimeEvent], whole: list[RealtimeEvent]) -> bool:
    rest = iter(whole)
    return all(event in rest for event in part)


class TestSameGrammarEverywhere:
    """8. Whatever a codec is told, the trace keeps the one grammar; so does the codec its contract.

    With it 52 and 53: a codec stands any bytes, and what it does not know it passes on.
    """

    @given(plans(), provider_scripts(lawful=True))
    def test_scripted(self, plan: Plan, script: Script) -> None:
        assert conforms(ScriptedCodec(), plan, wires_of(script)) == []

    @given(plans(), provider_scripts(), st.lists(wires(), max_size=8))
    def test_scripted_by_a_careless_peer(
        self, plan: Plan, script: Script, noise: list[Wire]
    ) -> None:
        said = wires_of(script)
        mixed = [message for pair in zip_longest(said, noise) for message in pair if message]
        assert conforms(ScriptedCodec(), plan, mixed, honest=False) == []

    @given(st.lists(structs(*EngineMessage.__args__).map(msgspec.json.encode) | wires()))
    def test_local(self, said: list[Wire]) -> None:
        provider = local()
        plan = provider.agree(provider.capabilities, provider.defaults).unwrap()
        assert conforms(provider.codec, plan, said, honest=False) == []

    def test_unknown_messages_are_kept(self) -> None:
        fold = plain()
        fold.receive('{"type": "tomorrow", "more": 1}')
        fold.drain()
        (unknown,) = (event for event in fold.events if isinstance(event, Unknown))
        assert unknown.name == "tomorrow"
        assert fold.state.counts["unknown message"] == 1

    @given(provider_scripts(lawful=True))
    def test_the_author_keeps_the_contract(self, script: Script) -> None:
        assert check_coded([event for burst in script for event in burst]) == []

    @pytest.mark.parametrize(
        ("fault", "law"),
        [
            (lambda result: 1 / 0, "total"),
            (lambda result: Failure("a word"), "typed"),
            (lambda result: Success(result.unwrap().events), "typed"),
            (lambda result: Success(result.unwrap()._replace(events=("a word",))), "typed"),
            (lambda result: Success(result.unwrap()._replace(wires=(1,))), "typed"),
            (lambda result: Success(result.unwrap()._replace(wires=(str(next(NUMBERS)),))), "pure"),
            (edited(seq=1), "unstamped"),
            (edited(response=None), "named response"),
            (edited(response=R), "one start"),
            (unstarted, "start first"),
            (edited(item=None), "named item"),
            (edited(item=ItemId("i")), "one owner"),
            (edited(pcm=b"odd"), "whole samples"),
            (edited(cause="app"), "vocabulary"),
            (edited(session_id="mine"), "vocabulary"),
        ],
    )
    def test_fault_is_named(self, fault: Callable[[Any], Any], law: str) -> None:
        class Faulty(ScriptedCodec):
            def decode(self, state: int, wire: Wire) -> Result[Coded[int], RealtimeError]:
                result = super().decode(state, wire)
                return fault(result) if isinstance(result, Success) else result

        plan = negotiate(SCRIPTED, SessionConfig()).unwrap()
        said = written(
            Connected(session_id="", config=SessionConfig(), capabilities=SCRIPTED),
            *(ResponseStarted(response=ResponseId(name)) for name in "ab"),
            *(audio(name, 10) for name in "ab"),
            Interrupted(cause="provider"),
        )
        assert law in {violation.law for violation in faults(Faulty(), plan, said)}


def faults(codec: ScriptedCodec, plan: Plan, said: Sequence[Wire]) -> list[Violation]:
    """Give what a codec does wrong by itself; the machine need not bear what is no event at all."""
    found, state, events = list[Violation](), 0, list[RealtimeEvent]()
    for message in said:
        wrong = total(codec, state, message)
        found += wrong
        if not wrong:
            events += codec.decode(state, message).unwrap().events
    return found + check_coded(events)


class TestControlOvertakesMedia:
    """9. A control event is the next to be returned, however much media waits."""

    @staticmethod
    def law(story: Story) -> None:
        fold = opened(story)
        for happening in story.timeline:
            known = len(fold.steps)
            act(fold, (happening,))
            events = [event for one in fold.steps[known:] for event in one.events]
            urgent = [
                e for e in events if e.kind is Kind.CONTROL and not isinstance(e, Disconnected)
            ]
            if urgent and not isinstance(happening, Takes):
                (next_one,) = fold.take()
                assert next_one.event.kind is not Kind.PERISHABLE
                assert not isinstance(next_one.event, AudioInput | ResponseDone)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @both
    def test_every_instant(self, backend: str) -> None:
        every_point(spoken_to, backend=backend)

    def test_fault_queues_control_behind_media(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put = Outlet.put

        def behind(self: Any, event: RealtimeEvent) -> None:
            if isinstance(event, SpeechStarted):
                self._media.append(event)
            else:
                put(self, event)

        monkeypatch.setattr(Outlet, "put", behind)
        catches(self.law, STORIES)
        with pytest.raises(PointsFailed):
            every_point(spoken_to)


class TestReaderNeverWaits:
    """10. Under its cap, however slow the consumer is, the reader reads on."""

    @staticmethod
    async def heard_at_once(ticks: list[int]) -> None:
        """The consumer takes nothing; what the user starts to say is known in the same tick."""
        peers = list[Peer]()

        async def script(peer: Peer) -> None:
            peers.append(peer)
            await peer.drain()

        seconds = sum(ticks) * TICK + TICK
        config = SessionConfig(outlet=OutletLimits(seconds=seconds))
        async with open_session(scripted(script), config) as session:
            (peer,) = peers
            await peer.say(ResponseStarted(response=R))
            for length in ticks:
                await peer.say(audio("r", length * SAMPLES_A_TICK))
            await peer.say(SpeechStarted())
            await anyio.sleep(TICK)
            assert session.epoch == 1

    @both
    @given(st.lists(st.integers(0, 640), max_size=40))
    def test_live(self, backend: str, ticks: list[int]) -> None:
        run(self.heard_at_once, ticks, backend=backend)

    def test_fault_waits_for_the_consumer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Outlet, "full", property(lambda self: bool(self._media)))
        with pytest.raises(AssertionError):
            run(self.heard_at_once, [1, 1])
