"""The laws of groups A to D, and of F as far as the codec takes part, over scenes on the Live wire.

Each law is held in scenes with every model and service, on the real machine, and catches a fault
that is planted in the codec (or, where the codec cannot break it, behind it). The judges of what is
sent are the library's own server, which knows the service's rules, and the vendor's package.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from msgspec.structs import replace

from realtime_core import incoming, interruption
from realtime_core.audio.format import PCM_24K
from realtime_core.codec import Coded, as_message
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Interrupted,
    Kind,
    ResponseDone,
    ResponseText,
    SpeechStarted,
    ToolCall,
    UserTranscript,
)
from realtime_core.frames import ActivityEnd, ActivityStart, Audio, CreateResponse, Interrupt, Text
from realtime_core.testing.conformance import check_coded, check_trace
from realtime_gemini import answers, codec, reading, writing
from realtime_gemini.client_messages import ClientContent, ClientMessage, RealtimeInput
from realtime_gemini.encoding import client_message, encode
from realtime_gemini.memory import Page
from realtime_gemini.parts import Content, Part
from tests.laws.stories import BACKENDS, catches, many
from tests.providers.gemini.live_scenes import lived
from tests.providers.gemini.scenes import Scene, Story, Told, stories
from tests.providers.gemini.test_official_types import judged

_Fault = Callable[..., Any]
STORIES = stories()
LAWFUL = stories(lawful=True)
STEADY = stories(lawful=True, losses=False)
ANEW = STEADY.map(lambda one: one._replace(acts=(("type", 0, 0), ("anew", 2, 0), *one.acts)))
"""Something is asked, stopped before it is answered, and asked anew."""
STOPPED = "[The user stopped you"


def played(story: Story) -> Scene:
    scene = Scene(story)
    scene.close()
    return scene


def ended(story: Story) -> Scene:
    """Play a story until nothing more of it is to come, on either side."""
    scene = Scene(story)
    for number in range(8):
        for name in ("obey", "answer", "end", "sound"):
            scene.act(name, number % 4 if name in {"answer", "end"} else 0, 0)
            scene.act("wait", 2, 0)
    scene.act("ask", 0, 0)
    return scene


def untrue(*given: object) -> bool:
    del given
    return False


def nothing(*given: object, **more: object) -> None:
    del given, more


def put(monkeypatch: pytest.MonkeyPatch, module: object, name: str, fault: _Fault) -> None:
    """Put something else in place of a function."""
    monkeypatch.setattr(module, name, fault)


def sends(monkeypatch: pytest.MonkeyPatch, fault: Callable[[ClientMessage], list[Any]]) -> None:
    """Plant a fault in what is sent."""
    write = vars(codec)["write"]

    def wrong(coded: Coded[Any]) -> Coded[Any]:
        messages = [one for wire in coded.wires for one in fault(client_message(as_message(wire)))]
        return coded._replace(wires=tuple(map(encode, messages)))

    monkeypatch.setattr(codec, "write", lambda *given: write(*given).map(wrong))


def twice(name: str) -> Callable[[ClientMessage], list[ClientMessage]]:
    return lambda message: [message] * (2 if getattr(message, name) else 1)


def contents(message: ClientMessage) -> tuple[Content, ...]:
    content = message.client_content
    return (content.turns or ()) if content is not None else ()


def words_of(message: ClientMessage) -> list[str]:
    """Give the words of a message, each part by itself."""
    given = message.realtime_input
    typed = (given.text or "").split("\n") if given is not None else []
    return [part.text or "" for one in contents(message) for part in one.parts or ()] + typed


def texts(told: Told) -> list[str]:
    return words_of(told.message)


def notes(scene: Scene) -> list[str]:
    """Give what was told of answers that were cut."""
    return [text for one in scene.told for text in texts(one) if text.startswith(STOPPED)]


def begins(told: Told) -> bool:
    """Tell whether a message asks for an answer."""
    content, given = told.message.client_content, told.message.realtime_input
    asks = content is not None and bool(content.turn_complete)
    seeds = asks and told.step.before.phase.waiting
    return (asks and not seeds) or (given is not None and given.text is not None)


def streamed(told: Told) -> RealtimeInput:
    return told.message.realtime_input or RealtimeInput()


class TestTrace:
    """1, 2, 3, 7, 8, 37 and 38. Whatever the server says, the consumer gets the one grammar."""

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
    """8. What the codec makes of any server keeps the contract of a codec: there are no ids that
    a server could mix up."""

    @staticmethod
    def law(story: Story) -> None:
        for said in played(story).codec.said:
            assert check_coded(said) == []

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_splits_samples(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def split(page: Any, blob: Any) -> None:
            turn = vars(answers)["_speaking"](page)
            of = {"response": turn.response, "item": turn.item}
            page.events.append(AudioOutput(**of, pcm=blob.data, format=PCM_24K))

        put(monkeypatch, answers, "_sound", split)
        catches(self.law, STORIES)

    def test_fault_ends_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, reading, "end_turn", lambda page, _: page.keep(turn=None))
        put(monkeypatch, answers, "ResponseStarted", lambda **_: ResponseDone(status="completed"))
        catches(self.law, STORIES)


class TestOneMeaning:
    """8. How a server writes changes nothing: text or binary, in whose names, with how many things
    in one message."""

    @staticmethod
    def law(story: Story) -> None:
        events = [played(story._replace(style=style)).session.events for style in (0, story.style)]
        assert repr(events[0]) == repr(events[1])

    @many
    @given(LAWFUL)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_ends_before_what_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        said, ended = vars(reading)["said"], vars(reading)["_ended"]
        put(monkeypatch, reading, "said", ended)
        put(monkeypatch, reading, "_ended", said)
        catches(self.law, LAWFUL)

    def test_fault_cuts_last(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cut = vars(reading)["_interrupted"]

        def late(page: Any, content: Any) -> None:
            if content.interrupted:
                cut(page)

        put(monkeypatch, reading, "_interrupted", nothing)
        put(monkeypatch, reading, "_passed_on", late)
        put(monkeypatch, reading, "_voice", nothing)
        catches(self.law, LAWFUL)


class TestSilentAtOnce:
    """4, 5 and 11. Nothing of an answer is returned once it was cut, though nothing tells the
    server to stop."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        for event, epoch, gen in scene.session.trace:
            if event.kind is Kind.PERISHABLE:
                assert event.epoch == epoch
                assert gen in {epoch, None}
        for step in scene.session.steps:
            if isinstance(getattr(step.given, "frame", None), Interrupt):
                running = step.before.codec is not None and step.before.codec.turn is not None
                assert not (running and step.wires)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_lets_late_sound_through(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, interruption, "_fence", lambda ledger, _: ledger)
        catches(self.law, STORIES)

    def test_fault_speaks_while_it_is_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, writing, "_cut", lambda page, _: page.wires.append(b"{}"))
        catches(self.law, STORIES)


class TestNeverWhileGenerating:
    """15 and 21. Nothing is put into the conversation while an answer is generated or waited for,
    but a request that is meant to cut it."""

    @staticmethod
    def law(story: Story) -> None:
        for one in played(story).told:
            if begins(one):
                assert one.turn is None or one.turn.settled
            elif one.message.client_content is not None:
                assert one.turn is None
                assert not one.waits

    @many
    @given(LAWFUL)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_does_not_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, writing, "is_busy", untrue)
        catches(self.law, LAWFUL)

    def test_fault_takes_all_generated_for_the_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        over = vars(reading)["end_turn"]
        put(monkeypatch, reading, "finish_items", lambda page: over(page, None))
        catches(self.law, LAWFUL)


class TestHeardIsToldOnce:
    """16 and 18. Of an answer that the caller has cut the model is told what was heard, once, and
    of one that the server has cut nothing."""

    @staticmethod
    def law(story: Story) -> None:
        scene = ended(story)
        counted = Counter(note.partition('"')[2].rpartition('"')[0] for note in notes(scene))
        must, may = _to_be_told(scene)
        for text, count in counted.items():
            assert must[text] <= count <= may[text]
        assert set(must) <= set(counted)
        if scene.session.state.codec.model.typed != "content":
            assert not counted

    @many
    @given(STEADY)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_tells_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, writing, "held", lambda memory, *one: (*memory.held, *one))
        told = vars(writing)["cut_here"]

        def again(page: Any, response: Any) -> None:
            cuts = page.memory.cuts
            told(page, response)
            page.keep(cuts=cuts)

        put(monkeypatch, writing, "cut_here", again)
        catches(self.law, STEADY)

    def test_fault_tells_what_the_server_knows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, reading, "known", lambda names, _: names)
        catches(self.law, STEADY)

    def test_fault_forgets_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, answers, "cut_here", nothing)
        put(monkeypatch, writing, "cut_here", nothing)
        catches(self.law, STEADY)


def _to_be_told(scene: Scene) -> tuple[Counter[str], Counter[str]]:
    """Give the words heard of answers that were cut: those that must be told, those that may."""
    must, may = Counter[str](), Counter[str]()
    ordered = scene.session.state.codec.model.typed == "content"
    for step in scene.session.steps:
        for event in step.events:
            if not isinstance(event, Interrupted) or event.cause in {"connection", "close"}:
                continue
            for response in dict.fromkeys(part.response for part in event.heard):
                parts = [one for one in event.heard if one.response == response]
                wrong = [one for one in parts if one.samples < one.received or not one.samples]
                text = " ".join(one.text for one in wrong if one.samples).strip()
                known = _cut_by_the_server(scene, response)
                ours = event.cause in {"app", "local"}
                may[text] += bool(wrong) and ordered and (ours or not known)
                must[text] += bool(wrong) and ordered and ours and not known
    return +must, +may


def _cut_by_the_server(scene: Scene, response: Any) -> bool:
    return any(
        isinstance(one, Interrupted) and one.response == response
        for said in scene.codec.said
        for one in said
    )


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
                assert len(set(numbers)) == 1
                got[numbers[0]] += len(numbers)
        cuts, last = list[Interrupted](), 0
        for step in scene.session.steps:
            heard = any(isinstance(one, SpeechStarted) for one in step.events)
            rises = [one for one in step.events if isinstance(one, Interrupted)]
            ours = [one.epoch for one in rises if heard or one.cause != "provider"]
            cuts, last = [*cuts, *rises], max((last, *ours))
        whose = _responses(scene)
        for one in scene.far.answers:
            fenced = any(whose.get(one.number) in e.fenced for e in cuts)
            if not (one.cut or one.told or fenced) and scene.epochs[one.number] >= last:
                assert got[one.number] == one.bytes // 2

    @many
    @given(STEADY | ANEW)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_forgets_half_a_sample(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sound = vars(answers)["_sound"]

        def careless(page: Any, blob: Any) -> None:
            sound(page, replace(blob, data=blob.data[: len(blob.data) // 2 * 2]))

        put(monkeypatch, answers, "_sound", careless)
        catches(self.law, STEADY)

    def test_fault_takes_the_end_of_one_for_that_of_another(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server tells that the first of two answers was cut, of which nothing had come."""
        cut = vars(reading)["_interrupted"]

        def of_all(page: Any) -> None:
            if page.memory.turn is None:
                page.keep(was_cut=True)
                page.events.append(Interrupted(cause="provider"))
            else:
                cut(page)

        put(monkeypatch, reading, "_interrupted", of_all)
        catches(self.law, ANEW)

    def test_fault_answers_the_newest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        silent = vars(answers)["_silent"]
        put(monkeypatch, answers, "_silent", lambda page: silent(page) and None)
        catches(self.law, ANEW)


def _responses(scene: Scene) -> dict[int, Any]:
    """Tell under which name each answer sounded, by its samples."""
    return {
        memoryview(one.pcm).cast("H")[0]: one.response
        for said in scene.codec.said
        for one in said
        if isinstance(one, AudioOutput) and one.pcm
    }


class TestWordsInOrder:
    """14, 15 and 29. What is typed goes once, in order, with one message for each request; and
    sound goes in order, whole."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        typed = [one.text for one in scene.pushed if isinstance(one, Text)]
        sent = [t for one in scene.told if not _seeds(one) for t in texts(one) if t[:5] == "typed"]
        kept = iter(typed)
        assert all(text in kept for text in sent)
        asked = sum(isinstance(one, CreateResponse) for one in scene.codec.asked)
        marked = sum(isinstance(one, ActivityEnd) for one in scene.codec.asked)
        assert asked - marked <= sum(map(begins, scene.told)) <= asked
        pushed = b"".join(one.pcm for one in scene.pushed if isinstance(one, Audio))
        blobs = [streamed(one).audio for one in scene.told]
        assert b"".join(one.data or b"" for one in blobs if one) == pushed
        assert all(len(one.data or b"") % 2 == 0 for one in blobs if one)

    @staticmethod
    def complete(story: Story) -> None:
        """Without a loss nothing that was typed is forgotten."""
        scene = ended(story)
        if "2.5-flash" in story.model or "3.8" in story.model:
            typed = [one.text for one in scene.pushed if isinstance(one, Text)]
            assert [t for one in scene.told for t in texts(one) if t[:5] == "typed"] == typed

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    @many
    @given(STEADY)
    def test_complete(self, story: Story) -> None:
        self.complete(story)

    def test_fault_asks_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sends(monkeypatch, twice("client_content"))
        catches(self.law, STORIES)

    def test_fault_turns_words_round(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, writing, "held", lambda memory, *one: (*one, *memory.held))
        catches(self.law, STORIES)

    def test_fault_forgets_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, writing, "held", lambda memory, *one: one)
        catches(self.complete, STEADY)


def _seeds(told: Told) -> bool:
    """Tell whether a message gives what was said before this connection."""
    first = told.step.before.phase.waiting and told.message.client_content is not None
    return first and not told.resumed


class TestMarkedTurns:
    """29. Where turns are marked, all sound and every end lies between a beginning and an end as
    the caller pushed them; elsewhere nothing is marked."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        kinds = {ActivityStart: "start", ActivityEnd: "end", Audio: "audio"}
        pushed = [kinds[type(one)] for one in scene.pushed if type(one) in kinds]
        sent = list[str]()
        for one in map(streamed, scene.told):
            given = {"start": one.activity_start, "end": one.activity_end, "audio": one.audio}
            sent += [name for name, value in given.items() if value is not None]
        assert sent == pushed
        assert story.mode == "manual" or {"start", "end"}.isdisjoint(sent)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_marks_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def marked(message: ClientMessage) -> list[ClientMessage]:
            end = ClientMessage(realtime_input=RealtimeInput(activity_end={}))
            return [message, end] if message.client_content else [message]

        sends(monkeypatch, marked)
        catches(self.law, STORIES)


class TestResultsOnce:
    """23, 24 and 26. A result goes once, for a call that the server waits for, to the connection
    that asked, and is spoken of when that was wished."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        given = list[tuple[int, str]]()
        model = scene.codec.said and scene.session.state.plan.config.model
        free = not ("3.1" in str(model) or "thinking" in str(model))
        for one in scene.told:
            results = one.message.tool_response
            for result in (results.function_responses or ()) if results else ():
                assert result.id in one.calls
                given.append((one.conn, str(result.id)))
                taken_up = one.step.before.phase.waiting
                wished = {"seek": "INTERRUPT", "note": "SILENT"}.get(str(result.name))
                assert result.scheduling == (wished if free and not taken_up else None)
        assert len(set(given)) == len(given)

    @many
    @given(LAWFUL)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_answers_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sends(monkeypatch, twice("tool_response"))
        catches(self.law, LAWFUL)

    def test_fault_schedules_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, writing, "behaviour", lambda *_: "NON_BLOCKING")
        sends(monkeypatch, _unscheduled)
        catches(self.law, LAWFUL)


def _unscheduled(message: ClientMessage) -> list[ClientMessage]:
    given = message.tool_response
    if given is None:
        return [message]
    results = tuple(replace(one, scheduling=None) for one in given.function_responses or ())
    return [replace(message, tool_response=replace(given, function_responses=results))]


class TestWholeCalls:
    """27. A handler gets complete arguments, and each call once."""

    @staticmethod
    def law(story: Story) -> None:
        calls = [e for e in played(story).session.events if isinstance(e, ToolCall)]
        assert len({one.call for one in calls}) == len(calls)
        for one in calls:
            msgspec.json.decode(one.arguments, type=dict[str, Any])

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_has_no_arguments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, answers, "text_of", lambda _: "")
        put(monkeypatch, answers, "ToolCall", lambda **e: ToolCall(**{**e, "arguments": "{"}))
        catches(self.law, STORIES)


class TestNoFault:
    """29, 50 and 54. The service finds no fault with anything that is sent, nor does the vendor's
    own package."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        assert [fault for far in scene.fars for fault in far.faults] == []
        for one in scene.told:
            judged(one.wire)

    @many
    @given(LAWFUL)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_does_not_wait_for_the_setup(self, monkeypatch: pytest.MonkeyPatch) -> None:
        greet = codec.GeminiCodec.greet

        def hasty(self: Any, plan: Any, resume: Any) -> Any:
            greeted = greet(self, plan, resume)
            hello = ClientContent((Content((Part("Hi"),), "user"),), turn_complete=False)
            return greeted._replace(
                wires=(*greeted.wires, encode(ClientMessage(client_content=hello)))
            )

        monkeypatch.setattr(codec.GeminiCodec, "greet", hasty)
        catches(self.law, LAWFUL)

    def test_fault_writes_what_is_not_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, writing, "appended", lambda _: b'{"realtimeInput":{"sound":"AAAA"}}')
        catches(self.law, LAWFUL)


class TestTakenUp:
    """26, 49 and 50. A connection is taken up by the newest handle, with an error for every call
    that nobody will answer; or with the conversation as it was heard, in order, once and first."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        for far, resume in zip(scene.fars, scene.codec.resumes, strict=False):
            sent = [one for one in scene.told if one.conn == far.conn]
            assert [one for one in sent if one.message.setup] == sent[:1]
            if not far.book.ready or resume is None:
                continue
            first = [one for one in sent if one.step.before.phase.waiting][-2:]
            results = [one.message.tool_response for one in first if one.message.tool_response]
            given = [r for one in results for r in one.function_responses or ()]
            handle = resume.handle.reveal() if resume.handle is not None else ""
            assert far.book.wish.handle == handle
            assert [r.id for r in given] == [m.call for m in resume.unanswered if handle]
            assert all("error" in (r.response or {}) for r in given)
            told = [
                (one.role, part.text)
                for m in first
                for one in contents(m.message)
                for part in one.parts or ()
            ]
            said = [("model" if m.role[0] == "a" else "user", m.text) for m in resume.history]
            if handle:  # what was still to be said, and nothing again
                earlier = [text for one in scene.told if one.conn < far.conn for text in texts(one)]
                assert all(text not in earlier for _, text in told)
            else:
                tools = [m.role.startswith("tool") for m in resume.history]
                assert len(told) == len(said)
                assert all(t or a == b for a, b, t in zip(told, said, tools, strict=True))

    @many
    @given(LAWFUL)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_tells_it_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = vars(reading)["taken_up"]

        def again(page: Any) -> None:
            history = page.memory.history
            told(page)
            page.keep(history=history)
            told(page)

        put(monkeypatch, reading, "taken_up", again)
        catches(self.law, LAWFUL)

    def test_fault_turns_it_round(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given = vars(writing)["contents_of"]
        put(monkeypatch, writing, "contents_of", lambda s, history: given(s, history[::-1]))
        catches(self.law, LAWFUL)


class TestUserWords:
    """20 and 55. Every word of the user is told, in order, and each utterance is final once."""

    @staticmethod
    def law(story: Story) -> None:
        scene = ended(story)
        items = dict[Any, UserTranscript]()
        for said in scene.codec.said:
            for one in said:
                if isinstance(one, UserTranscript):
                    assert one.item not in items or not items[one.item].final
                    items[one.item] = one
        told = " ".join(one.text for one in items.values()).split()
        assert told == "".join(word for far in scene.fars for word in far.said).split()

    @many
    @given(STEADY)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_forgets_what_comes_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def hasty(page: Any) -> None:
            page.keep(user=None, words="", guess="")

        put(monkeypatch, answers, "end_words", hasty)
        put(monkeypatch, reading, "end_words", hasty)
        user = vars(reading)["_user"]

        def late(page: Any, content: Any) -> None:
            if page.memory.turn is None:
                user(page, content)

        put(monkeypatch, reading, "_user", late)
        catches(self.law, STEADY)


class TestThoughtsStayThoughts:
    """18. What the model thinks is neither spoken nor written, nor said of it later."""

    @staticmethod
    def law(story: Story) -> None:
        scene = played(story)
        for event in scene.session.events:
            if isinstance(event, AgentTranscript | ResponseText):
                assert "think" not in event.text
        assert not any("think" in one.text for one in scene.session.state.history)

    @many
    @given(STORIES)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_says_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        said = vars(answers)["_part"]
        put(monkeypatch, answers, "_part", lambda p, one: said(p, replace(one, thought=None)))
        catches(self.law, STORIES)


class TestUsageOnce:
    """57. What a turn has cost is told once, whichever message said it."""

    @staticmethod
    def law(story: Story) -> None:
        """Without cuts of the caller's, and without a loss: to the last token."""
        acts = tuple(act for act in story.acts if act[0] not in {"cut in", "type", "ask", "talk"})
        scene = Scene(story._replace(acts=acts))
        for _ in range(4):
            scene.act("obey", 0, 0)
            scene.act("end", 0, 0)
        costs = [e.usage for e in scene.codec.said[0] if isinstance(e, ResponseDone) and e.usage]
        over = sum(one.tokens for one in scene.far.answers if one is not scene.far.turn)
        assert sum(one.output_tokens for one in costs) == over

    @many
    @given(STEADY)
    def test_folded(self, story: Story) -> None:
        self.law(story)

    def test_fault_counts_it_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        over = vars(reading)["end_turn"]

        def kept(page: Any, reason: Any) -> None:
            usage = page.memory.usage
            over(page, reason)
            page.keep(usage=usage)

        put(monkeypatch, reading, "end_turn", kept)
        catches(self.law, STEADY)


@pytest.mark.parametrize("backend", BACKENDS)
class TestLive:
    """1, 2, 4, 5, 7, 23, 29 and 38 with a real session and real tasks, in which words cross."""

    @staticmethod
    def law(story: Story, backend: str) -> None:
        stage = lived(story, backend)
        assert check_trace(stage.events, complete=True) == []
        for event, epoch in stage.trace:
            assert event.kind is not Kind.PERISHABLE or event.epoch == epoch

    @staticmethod
    def honest(story: Story, backend: str) -> None:
        stage = lived(story, backend)
        assert [fault for far in stage.fars for fault in far.faults] == []
        sent = [
            text
            for one in stage.heard
            if not (one.client_content and len(one.client_content.turns or ()) > 1)
            for text in words_of(one)
            if text[:5] == "typed"
        ]
        kept = iter(stage.typed)
        assert all(text in kept for text in sent)
        results = [one.tool_response for one in stage.heard if one.tool_response]
        given = [result.id for one in results for result in one.function_responses or ()]
        assert len(set(given)) == len(given)
        cut = sum(isinstance(event, Interrupted) for event in stage.events)
        notes = [text for one in stage.heard for text in words_of(one) if text.startswith(STOPPED)]
        assert len(notes) <= cut

    @given(STORIES)
    def test_any_server(self, backend: str, story: Story) -> None:
        self.law(story, backend)

    @given(STEADY)
    def test_an_honest_server(self, backend: str, story: Story) -> None:
        self.honest(story, backend)

    def test_fault_lets_late_sound_through(
        self, monkeypatch: pytest.MonkeyPatch, backend: str
    ) -> None:
        put(monkeypatch, interruption, "_fence", lambda ledger, _: ledger)
        catches(lambda story: self.law(story, backend), STORIES)

    def test_fault_answers_twice(self, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
        sends(monkeypatch, twice("tool_response"))
        catches(lambda story: self.honest(story, backend), STEADY)
