"""The laws of groups A to D, with the codec between the machine and a server of the family.

Each law is held over scenes on the wire itself, in every dialect, over sockets and calls, and
catches a fault that is planted in the codec (or, where the codec cannot break it, behind it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from msgspec import UNSET
from msgspec.structs import replace

from realtime_core import incoming, interruption
from realtime_core.codec import Coded
from realtime_core.epoch import ItemId, ResponseId
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Event,
    Kind,
    ResponseDone,
    ResponseStarted,
    ToolCall,
    UserTranscript,
)
from realtime_core.testing.conformance import check_coded, check_trace
from realtime_openai import answers, codec, reading, server_events
from realtime_openai import client_events as client
from tests.laws.stories import catches, many
from tests.providers.openai.strategies import Act, Scene, Story, stories
from tests.providers.openai.wires import DIALECTS

_Fault = Callable[..., Any]
STORIES = stories()
LAWFUL = stories(lawful=True)


def played(story: Story) -> Scene:
    scene = Scene(story)
    scene.close()
    return scene


def first(given: object, *others: object) -> object:
    del others
    return given


def untrue(*given: object) -> bool:
    del given
    return False


def told(scene: Scene, kind: type[Any]) -> list[Any]:
    return [one for one in scene.told if isinstance(one.event, kind)]


def reads(monkeypatch: pytest.MonkeyPatch, kind: type[Any], fault: _Fault) -> None:
    """Plant a fault in how events of a kind are read."""
    for one, meant in server_events.MEANT.items():
        if meant is kind:
            monkeypatch.setitem(vars(reading)["_TABLE"], one, fault)


def sends(
    monkeypatch: pytest.MonkeyPatch, kind: type[Any], fault: Callable[[Any], list[Any]]
) -> None:
    """Plant a fault in what is sent in place of events of a kind."""
    write = vars(codec)["write"]

    def wrong(coded: Coded[Any]) -> Coded[Any]:
        events = [client.decode(wire) for wire in coded.wires if isinstance(wire, bytes)]
        sent = [fault(event) if isinstance(event, kind) else [event] for event in events]
        return coded._replace(wires=tuple(client.encode(one) for some in sent for one in some))

    def sent_wrong(*given: Any) -> Any:
        return write(*given).map(wrong)

    monkeypatch.setattr(codec, "write", sent_wrong)


def put(monkeypatch: pytest.MonkeyPatch, module: object, name: str, fault: _Fault) -> None:
    """Put something else in place of a function."""
    monkeypatch.setattr(module, name, fault)


class TestTrace:
    """1, 2, 3, 7, 8 and 38. Whatever the server says, the consumer gets the one grammar."""

    @staticmethod
    def law(story: Story) -> None:
        assert check_trace(played(story).session.events, complete=True) == []

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_forgets_what_has_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def lenient(state: Any, event: Any) -> Any:
            return state.ledger.responses.get(event.response)

        monkeypatch.setattr(incoming, "_live", lenient)
        catches(self.law, STORIES)


class TestCoded:
    """8. What the codec makes of an honest server keeps the contract of a codec."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        state, events = scene.codec.greet(scene.session.state.plan, None).state, list[Event]()
        for wire in scene.wires:
            coded = scene.codec.decode(state, wire).unwrap()
            state = coded.state
            events += coded.events
        assert check_coded(events) == []

    @many
    @given(LAWFUL)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_ends_before_it_has_sounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, answers, "still_plays", untrue)
        catches(self.law, LAWFUL)

    def test_fault_splits_samples(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def split(memory: object, id: object, item: object, pcm: bytes) -> Any:
            del id, item
            return memory, pcm

        put(monkeypatch, answers, "_joined", split)
        catches(self.law, LAWFUL)


class TestNoStaleOutput:
    """4 and 5. Nothing of an answer is returned once it was cut."""

    @staticmethod
    def law(story: Story) -> None:
        for event, epoch, gen in played(story).session.trace:
            if event.kind is Kind.PERISHABLE:
                assert event.epoch == epoch
                assert gen in {epoch, None}

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_lets_late_sound_through(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, interruption, "_fence", first)
        catches(self.law, STORIES)


class TestCancelByName:
    """14. One cancel for an answer at most, by its name, of an answer that was begun."""

    @staticmethod
    def law(story: Story) -> None:
        """Where the wire has no place for the name, it stands in that of the event."""
        cancels = told(played(story), client.Cancel)
        inside = DIALECTS[story.dialect].names_cancelled
        names = [
            one.event.response_id if inside else one.event.event_id.removeprefix("cancel ")
            for one in cancels
        ]
        assert max(Counter(names).values(), default=1) == 1
        assert all(name in one.known for name, one in zip(names, cancels, strict=True))

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_names_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sends(monkeypatch, client.Cancel, lambda event: [replace(event, response_id=UNSET)])
        catches(self.law, STORIES)

    def test_fault_cancels_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sends(monkeypatch, client.Cancel, lambda event: [event, event])
        catches(self.law, STORIES)


class TestNoCancelOfTheServersOwn:
    """21a. Who is in charge cancels; what the server cuts by itself, nobody cancels again."""

    @staticmethod
    def law(story: Story) -> None:
        """What we asked for is left out: unborn at a cut, it is cancelled at birth by us."""
        ours = {"cut in", "type", "ask", "side", "answer"}
        acts = tuple(act for act in story.acts if act[0] not in ours)
        assert told(played(story._replace(authority="provider", acts=acts)), client.Cancel) == []

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_takes_the_cut_for_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cut = interruption.interrupt

        def local(state: Any, now: Any, cause: Any, **more: Any) -> Any:
            del cause
            return cut(state, now, "local", **more)

        monkeypatch.setattr(incoming, "interrupt", local)
        catches(self.law, STORIES)


class TestTruncateToHeard:
    """16. 0 < end <= min(heard, received), in whole milliseconds, once for an item."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        cuts = told(scene, client.TruncateItem)
        assert max(Counter(one.event.item_id for one in cuts).values(), default=1) == 1
        for one in cuts:
            assert 0 < one.event.audio_end_ms <= one.limits[one.event.item_id] * 1000 // 24_000
        if story.carrier == "call":
            assert cuts == told(scene, client.DeleteItem) == []

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @pytest.mark.parametrize("more", [1, -10_000])
    def test_fault_miscounts(self, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
        def wrong(event: client.TruncateItem) -> list[Any]:
            return [replace(event, audio_end_ms=max(0, event.audio_end_ms + more))]

        sends(monkeypatch, client.TruncateItem, wrong)
        catches(self.law, STORIES)

    def test_fault_cuts_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sends(monkeypatch, client.TruncateItem, lambda event: [event, event])
        catches(self.law, STORIES)


class TestOneAtATime:
    """15. No create while an answer of the conversation is open, and each one once."""

    @staticmethod
    def law(story: Story) -> None:
        names = list[str]()
        for one in told(played(story), client.Create):
            wish = one.event.response
            names.append(one.event.event_id)
            side = isinstance(wish, client.ResponseWish) and wish.conversation == "none"
            assert side or not one.open
        assert len(set(names)) == len(names)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_asks_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sends(monkeypatch, client.Create, lambda event: [event, event])
        catches(self.law, STORIES)

    def test_fault_takes_the_end_of_an_item_for_the_end_of_all(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def early(memory: Any, event: server_events.PartDone) -> Any:
            response = ResponseId(event.response_id)
            return Coded(memory, (), (ResponseDone(response=response, status="completed"),))

        def hasty(memory: Any, event: server_events.ResponseCreated) -> Any:
            response = ResponseId(event.response.id)
            begun = ResponseStarted(response=response)
            return Coded(memory, (), (begun, ResponseDone(response=response, status="completed")))

        reads(monkeypatch, server_events.PartDone, early)
        reads(monkeypatch, server_events.ResponseCreated, hasty)
        catches(self.law, STORIES)


class TestResultsOnce:
    """23, 24 and 26. A result is sent once, for a call that was made."""

    @staticmethod
    def law(story: Story) -> None:
        answered = [
            (one.event.item.call_id, one.calls)
            for one in told(played(story), client.CreateItem)
            if isinstance(one.event.item, client.FunctionCallOutput)
        ]
        assert max(Counter(call for call, _ in answered).values(), default=1) == 1
        assert all(call in calls for call, calls in answered)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_answers_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sends(monkeypatch, client.CreateItem, lambda event: [event, event])
        catches(self.law, STORIES)


class TestWholeCalls:
    """27. A handler gets complete arguments, and each call once."""

    @staticmethod
    def law(story: Story) -> None:
        calls = [e for e in played(story).session.events if isinstance(e, ToolCall)]
        assert len({one.call for one in calls}) == len(calls)
        for one in calls:
            msgspec.json.decode(one.arguments)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_takes_half_a_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, answers, "_is_whole", bool)
        catches(self.law, STORIES)


class TestWordsOnce:
    """55 and 57. What a user said is told as final once, and paid for once."""

    @staticmethod
    def law(story: Story) -> None:
        """The user speaks at once, and all words that come are sent again."""
        acts: list[Act] = [("speech", 0, 0), ("silence", 0, 0)]
        for act in (*story.acts, ("heard", 0, 1)):
            acts += [act, ("again", 0, 0)] if act[0] == "heard" else [act]
        events = played(story._replace(acts=tuple(acts))).session.events
        said = [e.item for e in events if isinstance(e, UserTranscript) and e.final]
        assert len(set(said)) == len(said)
        done = [e.response for e in events if isinstance(e, ResponseDone)]
        assert len(set(done)) == len(done)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_repeats_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, reading, "written", first)
        catches(self.law, STORIES)


class TestNextReplyWhole:
    """19. An answer that nobody cut loses no sample."""

    @staticmethod
    def law(story: Story) -> None:
        """Without disorder, cuts and losses, all sound that was sent is taken."""
        acts = tuple(act for act in story.acts if act[0] not in {"cut in", "speech", "type"})
        scene = played(story._replace(acts=acts))
        taken = Counter[ItemId | None]()
        for event in scene.session.events:
            if isinstance(event, AudioOutput):
                taken[event.item] += len(event.pcm)
        for item, size in scene.received.items():
            assert taken[ItemId(item)] == size // 2 * 2
        assert story.carrier == "socket" or sum(taken.values()) == scene.track

    @many
    @given(LAWFUL)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_forgets_what_plays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def all_at_once(memory: Any) -> Any:
            ends = tuple(memory.unplayed.values())
            return replace(memory, unplayed={}, sounding=None), ends

        put(monkeypatch, answers, "all_unheld", all_at_once)
        catches(self.law, LAWFUL)

    def test_fault_forgets_half_a_sample(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def careless(memory: Any, id: Any, item: Any, pcm: bytes) -> Any:
            del id, item
            return memory, pcm[: len(pcm) // 2 * 2]

        put(monkeypatch, answers, "_joined", careless)
        catches(self.law, LAWFUL)


@pytest.mark.parametrize("name", DIALECTS)
def test_turns_follow_each_other_though_a_server_keeps_no_marks(name: str) -> None:
    """A server that does not say whose request it answers is asked again all the same."""
    acts = (("ask", 0, 0), ("begin", 0, 0), ("sound", 0, 0), ("end", 0, 0)) * 3
    scene = played(Story(name, "socket", "provider", acts))
    assert len(told(scene, client.Create)) == 3
    started = [e for e in scene.session.events if isinstance(e, ResponseStarted)]
    assert [e.request for e in started] == ["request-0", "request-1", "request-2"]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_refusal_that_names_nothing_makes_way(name: str) -> None:
    acts = (("ask", 0, 0), ("refuse", 0, 0), ("ask", 0, 0))
    scene = played(Story(name, "socket", "provider", acts))
    assert len(told(scene, client.Create)) == 2


def test_words_of_an_answer_are_the_whole_of_its_pieces() -> None:
    acts = (("ask", 0, 0), ("begin", 0, 0), *[("words", 0, 0)] * 5, ("end", 0, 0))
    for name in DIALECTS:
        events = played(Story(name, "socket", "provider", acts)).session.events
        words = [e for e in events if isinstance(e, AgentTranscript)]
        assert "".join(e.text for e in words if not e.final) == words[-1].text
        assert replace(words[-1], text="").final
