"""Barge-in as the protocol sheet tells it: who stops what, and who is told what.

The wire has no cancel. What the user stops is silent at once all the same; the model is told what
was heard of it when that cuts nothing.
"""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.config import ToolSpec, TurnDetection
from realtime_core.epoch import CallId
from realtime_core.events import (
    AudioOutput,
    Error,
    Interrupted,
    ResponseDone,
    ResponseStarted,
    ToolCallCancelled,
)
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    CreateResponse,
    Frame,
    Interrupt,
    Text,
    ToolResult,
)
from realtime_core.testing import TICK
from realtime_core.testing.fold import Fold
from realtime_gemini.codec import GeminiCodec
from tests.providers.gemini.live_scenes import lived
from tests.providers.gemini.scenes import Story
from tests.providers.gemini.wires import (
    COMPLETE,
    DONE,
    GENERATED,
    INTERRUPTED,
    NATIVE,
    THIRD,
    content,
    json,
    planned,
    said,
    sound,
    spoken,
    tool_call,
)

PIECE = bytes(range(250)) * 3
"""Of 375 samples: a tick."""
ONSET = said(voiceActivity={"type": "ACTIVITY_START", "audioOffset": "1.880s"})
WORDS = content(inputTranscription={"text": " No, wait."})
CUT = 17 * TICK
"""After which words that interrupt are sent, though the server has not stopped."""


class Talk:
    """A session by hand in which an answer is playing."""

    def __init__(self, model: str = "", **config: Any) -> None:
        config = {"barrier_timeout": 0.25, "report_input": False, **config}
        self.session = Fold(GeminiCodec(), planned(model, **config))
        self.session.link()
        self.session.receive(COMPLETE)
        self.session.drain()

    def speaks(self, ticks: int = 8) -> None:
        """Let an answer play for some ticks, of which three and a half are heard."""
        self.hears(spoken("One two three four. "), *[sound(PIECE)] * ticks)
        self.session.drain()
        self.session.wait(3.5 * TICK)

    def push(self, frame: Frame) -> list[dict[str, Any]]:
        before = len(self.session.sent)
        self.session.push(frame)
        return self.since(before)

    def hears(self, *wires: bytes) -> list[dict[str, Any]]:
        before = len(self.session.sent)
        for wire in wires:
            self.session.receive(wire)
        return self.since(before)

    def waits(self, seconds: float = CUT) -> list[dict[str, Any]]:
        before = len(self.session.sent)
        self.session.wait(seconds)
        return self.since(before)

    def since(self, before: int) -> list[dict[str, Any]]:
        return [json(wire) for wire in self.session.sent[before:]]

    def taken(self, kind: type[Any]) -> list[Any]:
        self.session.drain()
        return [event for event in self.session.events if isinstance(event, kind)]


def told(sent: list[dict[str, Any]]) -> list[tuple[bool, list[str]]]:
    """Give the texts of ordered content, with whether an answer is asked for."""
    contents = [one["clientContent"] for one in sent]
    return [
        (one["turnComplete"], [p["text"] for turn in one.get("turns", ()) for p in turn["parts"]])
        for one in contents
    ]


class TestByTheServer:
    """The server hears the user, stops by itself, and knows by itself what was heard."""

    @pytest.mark.parametrize("notice", [(INTERRUPTED,), (ONSET, INTERRUPTED)])
    def test_while_it_generates(self, notice: tuple[bytes, ...]) -> None:
        talk = Talk()
        talk.speaks()
        assert talk.hears(*notice, sound(PIECE), DONE, WORDS) == []
        (rise,) = talk.taken(Interrupted)
        assert (rise.cause, len(rise.fenced)) == ("provider", 1)
        assert rise.heard[0].samples == int(3.5 * 375)
        assert len(talk.taken(AudioOutput)) == 8, "what came behind the notice is stale"
        assert [done.status for done in talk.taken(ResponseDone)] == ["interrupted"]

    def test_when_all_was_generated(self) -> None:
        """As recorded: generation runs ahead, the notice comes behind its end."""
        talk = Talk()
        talk.speaks()
        assert talk.hears(GENERATED, INTERRUPTED, DONE, WORDS, sound(PIECE), GENERATED, DONE) == []
        assert [rise.cause for rise in talk.taken(Interrupted)] == ["provider"]
        done = [one.status for one in talk.taken(ResponseDone)]
        assert done == ["interrupted", "completed"]
        assert len(talk.taken(AudioOutput)) == 9

    def test_when_the_turn_was_over(self) -> None:
        """It knows of an answer that it has ended all of it: it is told what was heard."""
        talk = Talk()
        talk.speaks()
        talk.hears(GENERATED, DONE)
        ((asks, (note,)),) = told(talk.hears(INTERRUPTED))
        assert not asks
        assert "only this was heard" in note

    def test_of_a_request_that_was_not_answered_yet(self) -> None:
        talk = Talk()
        talk.push(Text("Hi"))
        assert talk.hears(INTERRUPTED, DONE, WORDS, sound(PIECE), DONE) == []
        done = [one.status for one in talk.taken(ResponseDone)]
        assert done == ["interrupted", "completed"]
        assert len(talk.taken(AudioOutput)) == 1


class TestByTheCaller:
    """Nothing tells the server to stop; nothing of the answer is heard any more."""

    def test_silence_is_at_once(self) -> None:
        talk = Talk()
        talk.speaks()
        assert talk.push(Interrupt()) == []
        assert talk.hears(*[sound(PIECE)] * 20, spoken("five six ")) == []
        assert len(talk.taken(AudioOutput)) == 8
        assert len(talk.taken(Interrupted)) == 1

    def test_the_model_is_told_once_its_turn_is_over(self) -> None:
        talk = Talk()
        talk.speaks()
        talk.hears(GENERATED)
        talk.push(Interrupt())
        assert talk.waits() == []
        ((asks, (note,)),) = told(talk.hears(DONE))
        assert not asks
        heard = note.split('"')[1]
        assert heard
        assert "One two three four.".startswith(heard)
        assert told(talk.push(Text("And?"))) == [(True, ["And?"])], "it is not told again"

    def test_words_that_interrupt_go_though_it_does_not_stop(self) -> None:
        """They are what stops it; what was heard goes before them, in the same message."""
        talk = Talk()
        talk.speaks()
        assert talk.push(Text("Stop!", turn="interrupt")) == []
        ((asks, (note, words)),) = told(talk.waits())
        assert (asks, words) == (True, "Stop!")
        assert note.startswith("[The user stopped you")
        assert talk.hears(sound(PIECE), INTERRUPTED, DONE) == []
        talk.hears(sound(PIECE), GENERATED, DONE)
        assert len(talk.taken(AudioOutput)) == 9
        last = talk.taken(ResponseStarted)[-1]
        assert last.request == "request-0"

    def test_words_of_a_later_turn_wait_for_the_end(self) -> None:
        talk = Talk()
        talk.speaks()
        assert talk.push(Text("And?")) == []
        assert [asks for asks, _ in told(talk.hears(GENERATED, DONE))] == [False, True]

    def test_a_model_that_takes_no_corrections(self) -> None:
        talk = Talk(THIRD)
        talk.speaks()
        talk.push(Interrupt())
        assert talk.hears(GENERATED, DONE) == []
        assert talk.push(Text("And?")) == [{"realtimeInput": {"text": "And?"}}]

    def test_one_that_finishes_its_turn_first(self) -> None:
        talk = Talk(NATIVE)
        talk.speaks()
        talk.push(Text("Stop!", turn="interrupt"))
        talk.waits()
        talk.hears(sound(PIECE), GENERATED, DONE, sound(PIECE), GENERATED, DONE)
        assert len(talk.taken(AudioOutput)) == 9, "the rest of the first answer is stale"
        assert talk.taken(Error) == []

    def test_before_the_answer_is_born(self) -> None:
        talk = Talk()
        talk.push(CreateResponse())
        assert talk.push(Interrupt()) == []
        assert talk.hears(spoken("Hm"), sound(PIECE), GENERATED, DONE) == []
        assert talk.taken(ResponseStarted) == talk.taken(AudioOutput) == []
        assert len(talk.taken(Interrupted)) == 1

    @pytest.mark.parametrize("ends", [(INTERRUPTED, DONE), (sound(PIECE), INTERRUPTED, DONE)])
    def test_asked_anew_before_the_answer_is_born(self, ends: tuple[bytes, ...]) -> None:
        """What the server says of the request that was cut is not said of the new one."""
        talk = Talk()
        talk.push(Text("What is this?"))
        talk.push(Interrupt())
        talk.waits()
        assert told(talk.push(Text("And that?"))) == [(True, ["And that?"])]
        assert talk.hears(*ends) == []
        talk.hears(sound(PIECE), sound(PIECE), GENERATED, DONE)
        assert len(talk.taken(AudioOutput)) == 2
        assert talk.taken(ResponseStarted)[-1].request == "request-1"
        assert len(talk.taken(Interrupted)) == 1
        assert told(talk.push(Text("Thanks."))) == [(True, ["Thanks."])]


class TestMarked:
    """Turns marked by hand: the beginning of one stops the server."""

    def test_speaking_stops_it(self) -> None:
        talk = Talk(turn_detection=TurnDetection(mode="manual"))
        talk.speaks()
        talk.push(Interrupt())
        (start,) = talk.push(ActivityStart())
        assert start == {"realtimeInput": {"activityStart": {}}}
        assert talk.hears(INTERRUPTED, DONE) == []
        (end,) = talk.push(ActivityEnd())
        assert end == {"realtimeInput": {"activityEnd": {}}}
        talk.hears(sound(PIECE), GENERATED, DONE)
        assert len(talk.taken(AudioOutput)) == 9

    def test_what_was_typed_is_superseded(self) -> None:
        """The server tells of its end when the answer to what was spoken is awaited already."""
        talk = Talk(turn_detection=TurnDetection(mode="manual"))
        talk.push(Text("Hi"))
        talk.push(ActivityStart())
        talk.push(ActivityEnd())
        assert talk.hears(INTERRUPTED, DONE) == []
        talk.hears(WORDS, sound(PIECE), GENERATED, DONE)
        assert len(talk.taken(AudioOutput)) == 1
        assert talk.taken(Interrupted) == []
        assert talk.taken(ResponseStarted)[-1].request == "request-1"

    def test_an_end_without_a_beginning_is_refused(self) -> None:
        talk = Talk(turn_detection=TurnDetection(mode="manual"))
        refused = talk.session.push(ActivityEnd())
        assert refused is not None
        assert "ActivityStart" in refused.fix
        assert talk.push(Text("Hi")) != []


class TestCalls:
    """What an interruption does to calls."""

    def test_the_server_takes_them_back(self) -> None:
        talk = Talk(tools=(ToolSpec("look"),))
        talk.hears(tool_call(("fc_1", "look", {})))
        talk.hears(INTERRUPTED, said(toolCallCancellation={"ids": ["fc_1"]}), DONE)
        assert [one.calls for one in talk.taken(ToolCallCancelled)] == [("fc_1",)]
        refused = talk.session.push(ToolResult(CallId("fc_1"), "a bee"))
        assert refused is not None

    def test_a_result_that_interrupts(self) -> None:
        """`INTERRUPT`: the server cuts what it says, also when all was generated, and goes on."""
        options = {"behaviour": {"look": "NON_BLOCKING"}, "scheduling": {"look": "INTERRUPT"}}
        talk = Talk(tools=(ToolSpec("look"),), options=options)
        talk.hears(tool_call(("fc_1", "look", {})))
        talk.speaks()
        (sent,) = talk.push(ToolResult(CallId("fc_1"), "a bee"))
        assert sent["toolResponse"]["functionResponses"][0]["scheduling"] == "INTERRUPT"
        assert talk.hears(GENERATED, INTERRUPTED, DONE) == []
        talk.hears(spoken("A bee. "), sound(PIECE), GENERATED, DONE)
        assert [rise.cause for rise in talk.taken(Interrupted)] == ["provider"]
        assert len(talk.taken(AudioOutput)) == 9


@pytest.mark.parametrize("authority", ["local", "application"])
def test_nobody_else_cuts_under_another_authority(authority: Any) -> None:
    talk = Talk(turn_detection=TurnDetection(authority=authority))
    talk.speaks()
    assert talk.hears(ONSET) == []
    assert talk.taken(Interrupted) == []


def test_asked_anew_over_a_link(anyio_backend: str) -> None:
    acts = (("type", 0, 0), ("wait", 1, 0), ("anew", 2, 0), ("wait", 2, 0), ("obey", 0, 0))
    story = Story("gemini-3.8-live", "developer", "provider", "server", 0, acts)
    more = (("sound", 0, 0), ("sound", 0, 0), ("end", 0, 0), ("wait", 2, 0))
    stage = lived(story._replace(acts=(*acts, *more)), anyio_backend, late=0)
    assert sum(isinstance(one, AudioOutput) for one in stage.events) == 2
    assert [one.epoch for one in stage.events if isinstance(one, Interrupted)] == [1]
