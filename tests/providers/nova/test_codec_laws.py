"""The laws of groups A to D, and of F as far as the codec takes part, over scenes on Nova's wire.

Each law is held in scenes with every model, on the real machine, and catches a fault that is
planted in the codec (or, where the codec cannot break it, behind it). Judges of what is sent are
the server's own book, which knows the service's rules, and a grammar that knows no code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import RealtimeException, incoming, interruption, open_session
from realtime_core.codec import Coded, as_message
from realtime_core.epoch import Epoch
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Interrupted,
    Kind,
    RealtimeEvent,
    ResponseDone,
    ToolCall,
    UserTranscript,
)
from realtime_core.frames import Audio, CreateResponse, Interrupt, Text
from realtime_core.testing import TICK, run
from realtime_core.testing.conformance import check_coded, check_trace
from realtime_core.testing.driven import stalls
from realtime_nova import codec, nova, opening, reading, turns, writing
from realtime_nova.client_events import ClientEvent, TextInput
from realtime_nova.encoding import client_event, encode
from realtime_nova.memory import Page
from realtime_nova.server import Caller, loopback
from realtime_nova.telling import told as told_of
from tests.laws.stories import BACKENDS, catches, many
from tests.providers.nova.far import Far
from tests.providers.nova.grammar import judged, told_history
from tests.providers.nova.scenes import PUSHES, Scene, Story, frame_of, plan_of, stories
from tests.providers.nova.wires import FIRST

_Fault = Callable[..., Any]
STORIES = stories()
LAWFUL = stories(lawful=True)
STEADY = stories(lawful=True, losses=False)
ANEW = STEADY.map(lambda one: one._replace(acts=(("type", 0, 0), ("anew", 2, 0), *one.acts)))
"""Something is asked, stopped before it is answered, and asked anew."""


SPOKEN = STEADY.map(
    lambda one: one._replace(
        acts=(
            *(("type", 0, 0), ("cut in", 1, 0), ("user", 0, 2)),
            *(act for act in one.acts if act[0] not in {"type", "anew"}),
        )
    )
)
"""Something is asked and stopped before it is answered; then the user speaks, and is answered."""


def one_voice(story: Story) -> Story:
    """Let a user either type or speak: of what crosses, the wire does not say which it answers."""
    typing = sum(a for _, a, _ in story.acts) % 2
    others = {"user"} if typing else {"type", "anew"}
    return story._replace(acts=tuple(act for act in story.acts if act[0] not in others))


def played(story: Story) -> Scene:
    scene = Scene(story)
    scene.close()
    return scene


def ended(story: Story) -> Scene:
    """Play a story until nothing more of it is to come, on either side."""
    scene = Scene(story)
    for number in range(8):
        scene.act("obey", 0, 0)
        scene.session.drain()
        for place in range(12 if scene.far.calls else 0):
            scene.push(scene.frame("answer", place, 0))
        scene.act("take", 0, 0)
        for move in ("rest", "end", "whole", "final"):
            scene.act(move, 3, 0)
        scene.act("wait", 2, number)
    scene.act("ask", 0, 0)
    return scene


def nothing(*given: object, **more: object) -> None:
    del given, more


def put(monkeypatch: pytest.MonkeyPatch, module: object, name: str, fault: _Fault) -> None:
    """Put something else in place of a function."""
    monkeypatch.setattr(module, name, fault)


def sends(monkeypatch: pytest.MonkeyPatch, fault: Callable[[ClientEvent], list[Any]]) -> None:
    """Plant a fault in what is sent."""
    write = vars(codec)["write"]

    def wrong(coded: Coded[Any]) -> Coded[Any]:
        events = [one for wire in coded.wires for one in fault(client_event(as_message(wire)))]
        return coded._replace(wires=tuple(map(encode, events)))

    monkeypatch.setattr(codec, "write", lambda *given: write(*given).map(wrong))


def twice(name: str) -> Callable[[ClientEvent], list[ClientEvent]]:
    return lambda event: [event] * (2 if getattr(event, name) else 1)


def typed(scene: Scene) -> list[str]:
    """Give the words that were typed, as they went: those of the history do not count."""
    live, sent = False, list[str]()
    for one in scene.told:
        if one.event.content_start is not None:
            live = one.event.content_start.interactive
        if one.event.text_input is not None and live:
            sent += one.event.text_input.content.split("\n")
    return sent


class TestTrace:
    """1, 2, 3, 7, 8, 37 and 38. Whatever the service says, the consumer gets the one grammar."""

    @staticmethod
    def law(story: Story) -> None:
        assert check_trace(played(story).session.events, complete=True) == []

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_names_come_again_after_a_loss(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def forgetful(page: Page, kind: str) -> str:
            page.keep(minted=page.memory.minted + 1)
            return f"{kind}{page.memory.minted}"

        monkeypatch.setattr(Page, "mint", forgetful)
        put(monkeypatch, incoming, "_live", lambda s, e: s.ledger.responses.get(e.response))
        catches(self.law, STORIES)


class TestCoded:
    """8. What the codec makes of any service keeps the contract of a codec."""

    @staticmethod
    def law(story: Story) -> None:
        for said in played(story).codec.said:
            assert check_coded(said) == []

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_begins_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, turns, "ResponseStarted", lambda **_: ResponseDone(status="completed"))
        catches(self.law, STORIES)

    def test_fault_names_come_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Page, "mint", lambda page, kind: f"{kind}{page.memory.conn}")
        catches(self.law, STORIES)


class TestSilentAtOnce:
    """4, 5 and 11. Nothing of an answer is returned once it was cut, though nothing tells the
    service to stop."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        for event, epoch, gen in scene.session.trace:
            if event.kind is Kind.PERISHABLE:
                assert event.epoch == epoch
                assert gen in {epoch, None}
        for step in scene.session.steps:
            if isinstance(getattr(step.given, "frame", None), Interrupt):
                assert not step.wires

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_lets_late_sound_through(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, interruption, "_fence", lambda ledger, _: ledger)
        catches(self.law, STORIES)


class TestNextReplyWhole:
    """19. An answer that nobody cut loses no sample, whatever was cut before it."""

    @staticmethod
    def law(story: Story) -> None:
        scene = Scene(story)
        scene.session.drain()
        got = Counter[int]()
        for event in scene.session.events:
            if isinstance(event, AudioOutput):
                numbers = memoryview(event.pcm).cast("H")
                assert len(set(numbers)) == 1, "of two answers"
                got[numbers[0]] += len(numbers)
        rises = [
            e for step in scene.session.steps for e in step.events if isinstance(e, Interrupted)
        ]
        last = max((e.epoch for e in rises if e.cause != "provider"), default=0)
        fenced = {response for e in rises for response in e.fenced}
        whose = _responses(scene)
        for one in scene.far.answers:
            if (
                not (one.cut or whose.get(one.number) in fenced)
                and scene.epochs[one.number] >= last
            ):
                assert got[one.number] == one.samples

    @many
    @given((STEADY | ANEW).map(one_voice) | SPOKEN)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_takes_spoken_words_for_typed_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, reading, "outspoken", nothing)
        catches(self.law, SPOKEN)

    def test_fault_goes_on_with_the_one_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What comes behind END_TURN is taken for the same answer."""
        put(monkeypatch, reading, "over", nothing)
        put(monkeypatch, reading, "passed_on", nothing)
        put(monkeypatch, writing, "passed_on", nothing)
        catches(lambda story: _separate(Scene(story)), STEADY)

    def test_fault_forgets_the_first_piece(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sound = vars(reading)["_sound"]

        def deaf(page: Any, told: Any) -> None:
            if page.memory.turn is not None:
                sound(page, told)

        put(monkeypatch, reading, "_sound", deaf)
        put(monkeypatch, reading, "_planned", nothing)
        catches(self.law, STEADY.map(one_voice))


def _responses(scene: Scene) -> dict[int, Any]:
    """Tell under which name each answer sounded, by its samples."""
    return {
        memoryview(one.pcm).cast("H")[0]: one.response
        for said in scene.codec.said
        for one in said
        if isinstance(one, AudioOutput) and one.pcm
    }


def _separate(scene: Scene) -> None:
    """Require that answers are told apart."""
    whose = _responses(scene)
    assert len(set(whose.values())) == len(whose)


class TestToldApart:
    """3. Each answer of the service is one of the session's, though the wire does not say so."""

    @staticmethod
    def law(story: Story) -> None:
        _separate(ended(story))

    @many
    @given(STEADY)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_takes_two_for_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, reading, "over", nothing)
        put(monkeypatch, reading, "passed_on", nothing)
        put(monkeypatch, writing, "passed_on", nothing)
        put(monkeypatch, reading, "interrupted", nothing)
        catches(self.law, STEADY)


class TestFinalWords:
    """18. What is told at last of a sentence is what was said, once, of the answer that it was in;
    of one that was cut no more than was spoken."""

    @staticmethod
    def law(story: Story) -> None:
        scene = ended(story)
        items = dict[Any, str]()
        for said in scene.codec.said:
            for one in said:
                if isinstance(one, AgentTranscript) and one.final:
                    assert one.item not in items, "once"
                    items[one.item] = one.text
        told = Counter(items.values())
        for answer in (answer for far in scene.fars for answer in far.answers):
            for line in answer.lines:
                assert told[line] <= 1
                if answer.told and not answer.made:
                    assert told[line] <= (line == answer.lines[0])
                elif answer.final == len(answer.lines):
                    assert told[line] == 1
                elif answer is not scene.far.answers[-1] and not answer.told:
                    assert told[line] == 1, "as it was meant to be"

    @many
    @given(STEADY)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_takes_plans_for_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cut = vars(turns)["interrupted"]

        def hasty(page: Any, of: Any) -> None:
            turn = page.memory.turn
            if turn is not None and of in {None, turn.response}:
                page.keep(turn=replace(turn, over=True))
                turns.close(page, "interrupted")
            else:
                cut(page, of)

        put(monkeypatch, reading, "interrupted", hasty)
        catches(self.law, STEADY)

    def test_fault_forgets_what_comes_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, turns, "AgentTranscript", lambda **e: AgentTranscript(**{**e, "text": ""}))
        catches(self.law, STEADY)


class TestWordsInOrder:
    """14, 15 and 29. What is typed goes once and in order, with one block for each request at
    most; and sound goes in order, whole."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        pushed = [one.text for one in scene.pushed if isinstance(one, Text)]
        kept = iter(pushed)
        assert all(text in kept for text in typed(scene))
        asked = sum(isinstance(one, CreateResponse) for one in scene.codec.asked)
        starts = [one.event.content_start for one in scene.told if one.event.content_start]
        assert sum(one.interactive and one.type == "TEXT" for one in starts) <= asked
        sound = b"".join(one.pcm for one in scene.pushed if isinstance(one, Audio))
        sent = [one.event.audio_input.content for one in scene.told if one.event.audio_input]
        assert b"".join(sent) == sound
        assert all(len(one) % 2 == 0 for one in sent)

    @staticmethod
    def complete(story: Story) -> None:
        """Without a loss, and by a service that tells what was said, nothing typed is forgotten."""
        scene = ended(
            story._replace(acts=tuple((act, 3 if a == 2 else a, b) for act, a, b in story.acts))
        )
        if story.model != FIRST:
            assert typed(scene) == [one.text for one in scene.pushed if isinstance(one, Text)]

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @many
    @given(STEADY)
    def test_complete(self, story: Story) -> None:
        self.complete(story)

    def test_fault_says_it_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sends(monkeypatch, twice("text_input"))
        catches(self.law, STORIES)

    def test_fault_turns_sound_round(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sound = vars(writing)["_sound"]
        put(monkeypatch, writing, "_sound", lambda memory, pcm: sound(memory, pcm[::-1]))
        catches(self.law, STORIES)

    def test_fault_forgets_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sends(monkeypatch, lambda event: [] if event.text_input else [event])
        catches(self.complete, STEADY)


class TestResultsOnce:
    """23, 24, 26 and 27. A result goes once, for a call that the service waits for, on the
    connection that asked; and a handler gets each call once, with whole arguments."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        given = list[tuple[int, str]]()
        for one in scene.told:
            start = one.event.content_start
            form = start.tool_result_input_configuration if start is not None else None
            if form is not None:
                assert form.tool_use_id in one.calls
                given.append((one.conn, form.tool_use_id))
        assert len(set(given)) == len(given)
        calls = [event for event in scene.session.events if isinstance(event, ToolCall)]
        assert len({one.call for one in calls}) == len(calls)
        for call in calls:
            msgspec.json.decode(call.arguments, type=dict[str, Any])

    @many
    @given(LAWFUL)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_answers_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write = vars(codec)["write"]

        def again(coded: Coded[Any]) -> Coded[Any]:
            results = any(b"toolResult" in wire for wire in coded.wires if isinstance(wire, bytes))
            return coded._replace(wires=coded.wires * 2) if results else coded

        put(monkeypatch, codec, "write", lambda *given: write(*given).map(again))
        catches(self.law, LAWFUL)

    def test_fault_has_no_arguments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, reading, "arguments_of", lambda _: "{")
        catches(self.law, LAWFUL)


class TestNoFault:
    """29, 50 and 54. The service finds no fault with anything that is sent, and brackets are closed
    once and in order."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        assert [fault for far in scene.fars for fault in far.faults] == []
        for far in scene.fars:
            assert judged(far.wires) == ""

    @many
    @given(LAWFUL)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_opens_two_blocks_of_sound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        audio = vars(opening)["_audio"]

        def both(page: Any, plan: Any) -> None:
            audio(page, plan)
            audio(page, plan)

        put(monkeypatch, opening, "_audio", both)
        catches(self.law, LAWFUL)

    def test_fault_leaves_blocks_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sends(monkeypatch, lambda event: [] if event.content_end else [event])
        catches(self.law, LAWFUL)

    def test_fault_says_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def empty(event: ClientEvent) -> list[ClientEvent]:
            given = event.text_input
            hollow = TextInput(given.prompt_name, given.content_name, "") if given else None
            return [ClientEvent(text_input=hollow) if hollow else event]

        sends(monkeypatch, empty)
        catches(self.law, LAWFUL)


class TestTakenUp:
    """49 and 50. A connection is told the conversation as it was heard: in order, once, and before
    anything else."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        for far, resume in zip(scene.fars, scene.codec.resumes, strict=False):
            history = resume.history if resume is not None else ()
            told = [(role, "".join(texts)) for role, texts in told_history(far.wires)]
            limits = plan_of(story).capabilities.history_limits
            assert told == list(told_of(history, limits))
            assert [(role, text) for role, text in far.book.told] == told

    @many
    @given(LAWFUL)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_turns_it_round(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = vars(opening)["told"]
        put(monkeypatch, opening, "told", lambda history, limits: told(history, limits)[::-1])
        catches(self.law, LAWFUL)

    def test_fault_forgets_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, opening, "told", lambda *_: ())
        catches(self.law, LAWFUL)


class TestUserWords:
    """20 and 55. Every word of the user is told, in order, and each utterance is final once."""

    @staticmethod
    def law(story: Story) -> None:
        scene = ended(story)
        finals = [
            one.text
            for said in scene.codec.said
            for one in said
            if isinstance(one, UserTranscript) and one.final
        ]
        assert finals == [words for far in scene.fars for words in far.said]

    @many
    @given(STEADY)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_forgets_to_end_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, reading, "end_words", nothing)
        catches(self.law, STEADY)


class TestUsageOnce:
    """57. What the session has cost is told once, whenever the service said it."""

    @staticmethod
    def law(story: Story) -> None:
        scene = ended(story)
        costs = [e.usage for e in scene.codec.said[0] if isinstance(e, ResponseDone) and e.usage]
        memory = scene.session.state.codec
        told = sum(one.output_tokens for one in costs)
        assert told == (memory.billed.output_tokens if memory.billed is not None else 0)
        spent = sum(one.tokens for one in scene.far.answers)
        rest = memory.usage.output_tokens - told if memory.usage is not None else 0
        assert told + rest == spent
        assert not rest or scene.far.turn is not None or memory.turn is not None or memory.past

    @many
    @given(STEADY)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_tells_totals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, turns, "_spent", lambda page: page.memory.usage)
        catches(self.law, STEADY)


# --- with tasks -------------------------------------------------------------------------------


class Lived:
    """A story with a session that is real, on virtual time: what is said crosses."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.trace = list[tuple[RealtimeEvent, Epoch]]()
        self.fars = list[Far]()
        self._ready: Caller | None = None

    async def serve(self, caller: Caller) -> None:
        far = Far(caller.number)
        self.fars.append(far)
        await caller.accept()
        self._ready = caller
        while True:
            far.hear(encode(await caller.next()))

    async def _act(self, session: Any, name: str, a: int, b: int, number: int) -> None:
        if name in {"take", "play", "wait"}:
            await anyio.sleep((1, 2, 8, 40)[a] * TICK)
        elif name in PUSHES:
            frame = Interrupt() if name == "anew" else frame_of(name, a, b, number)
            with suppress(RealtimeException):
                session.send_nowait(frame)
        elif self._ready is not None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                if name in {"lose", "refuse"}:
                    caller, self._ready = self._ready, None
                    caller.abort()
                else:
                    await self._ready.raw(*self.fars[-1].write(name, a, b))

    async def play(self) -> None:
        config = replace(plan_of(self.story).config, connect_timeout=64.0)
        with suppress(RealtimeException):
            async with (
                loopback(self.serve, port=None, welcome=False, mirrored=False) as here,
                anyio.create_task_group() as tasks,
                open_session(replace(nova(self.story.model), dial=here.dial), config) as session,
            ):
                tasks.start_soon(self._consume, session)
                for number, act in enumerate(self.story.acts):
                    await self._act(session, *act, number)
                await anyio.sleep(20)

    async def _consume(self, session: Any) -> None:
        async for event in session.events():
            self.trace.append((event, session.epoch))


def lived(story: Story, backend: str, late: int = 0) -> Lived:
    """Play a story; after each suspension a task is up to two ticks late."""
    stage = Lived(story)
    run(stage.play, backend=backend, seed=late, weave=stalls(late, most=2))
    return stage


@pytest.mark.parametrize("backend", BACKENDS)
class TestLive:
    """1, 2, 4, 5, 7 and 38 with a real session and real tasks, in which words cross."""

    @staticmethod
    def law(story: Story, late: int, backend: str) -> None:
        stage = lived(story, backend, late)
        assert check_trace([event for event, _ in stage.trace], complete=True) == []
        for event, epoch in stage.trace:
            assert event.kind is not Kind.PERISHABLE or event.epoch == epoch

    @given(STORIES, st.integers(0, 15))
    def test_any_service(self, backend: str, story: Story, late: int) -> None:
        self.law(story, late, backend)

    @given(STEADY, st.integers(0, 15))
    def test_an_honest_service(self, backend: str, story: Story, late: int) -> None:
        stage = lived(story, backend, late)
        assert [fault for far in stage.fars for fault in far.faults] == []
        assert [judged(far.wires) for far in stage.fars] == [""] * len(stage.fars)

    def test_fault_lets_late_sound_through(
        self, monkeypatch: pytest.MonkeyPatch, backend: str
    ) -> None:
        put(monkeypatch, interruption, "_fence", lambda ledger, _: ledger)
        catches(lambda story: self.law(story, 3, backend), STORIES)
