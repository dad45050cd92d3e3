"""Barge-in as section 7 of the protocol sheet tells it: who stops what, who is told what."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from realtime_core.codec import Media
from realtime_core.config import SessionConfig
from realtime_core.events import (
    AudioOutput,
    Error,
    Interrupted,
    ResponseDone,
    ResponseStarted,
)
from realtime_core.frames import (
    CreateResponse,
    Frame,
    Interrupt,
    Text,
)
from realtime_core.testing import TICK
from realtime_core.testing.fold import Fold
from realtime_openai import client_events as client
from realtime_openai.codec import OpenAICodec, agree
from realtime_openai.dialect import GA, Dialect
from tests.providers.openai.wires import (
    BEGUN,
    DIALECTS,
    ENDED,
    PIECE,
    Carrier,
    I,
    R,
    able,
    said,
    sound,
    texts,
)


class Talk:
    """A session by hand in which an answer is playing."""

    def __init__(self, dialect: Dialect = GA, carrier: Carrier = "socket", **config: Any) -> None:
        codec = OpenAICodec(dialect, carrier)
        self.session = Fold(codec, agree(able(dialect, carrier), SessionConfig(**config)).unwrap())
        self.session.link()
        self.session.receive(said("session.updated", session={}))

    def speaks(self, ticks: int = 8) -> None:
        """Let an answer play for some ticks, of which three and a half are heard."""
        self.session.receive(*BEGUN, *[sound()] * ticks)
        self.session.drain()
        self.session.wait(3.5 * TICK)

    def push(self, frame: Frame) -> list[client.ClientEvent]:
        before = len(self.session.sent)
        self.session.push(frame)
        return self.since(before)

    def hears(self, *wires: bytes | Media) -> list[client.ClientEvent]:
        before = len(self.session.sent)
        self.session.receive(*wires)
        return self.since(before)

    def since(self, before: int) -> list[client.ClientEvent]:
        return [client.decode(wire) for wire in texts(tuple(self.session.sent[before:]))]

    def taken(self, kind: type[Any]) -> list[Any]:
        self.session.drain()
        return [event for event in self.session.events if isinstance(event, kind)]


HEARD = 54
"""Whole milliseconds in three and a half ticks of 1/64 s."""


def cancelled(reason: str) -> bytes:
    details = {"type": "cancelled", "reason": reason}
    over = {"id": R, "status": "cancelled", "status_details": details, "metadata": None}
    return said("response.done", response=over)


def fault(code: str, about: str | None) -> bytes:
    error = {"type": "invalid_request_error", "code": code, "message": code, "event_id": about}
    return said("error", error=error)


class TestBargeIn:
    """Section 7 of the protocol sheet: who stops what, and what is told to whom."""

    def test_heard_by_the_server(self) -> None:
        talk = Talk()
        talk.speaks()
        onset = said("input_audio_buffer.speech_started", audio_start_ms=640, item_id="item_u")
        (cut,) = talk.hears(onset)
        assert cut == client.TruncateItem(
            event_id=f"truncate {I}", item_id=I, content_index=0, audio_end_ms=HEARD
        )
        end = said("conversation.item.truncated", item_id=I, content_index=0, audio_end_ms=HEARD)
        assert talk.hears(sound(), end, cancelled("turn_detected")) == []
        (rise,) = talk.taken(Interrupted)
        assert (rise.cause, rise.fenced) == ("provider", (R,))
        assert len(talk.taken(AudioOutput)) == 8
        assert [done.status for done in talk.taken(ResponseDone)] == ["interrupted"]

    def test_heard_by_the_server_when_all_was_made(self) -> None:
        """No cancel happens at all; only what was heard is told."""
        talk = Talk()
        talk.speaks()
        talk.hears(ENDED)
        (cut,) = talk.hears(said("input_audio_buffer.speech_started", item_id="item_u"))
        assert isinstance(cut, client.TruncateItem)
        assert cut.audio_end_ms == HEARD

    def test_a_server_that_cuts_by_itself_may_refuse(self) -> None:
        talk = Talk()
        talk.speaks()
        talk.hears(said("input_audio_buffer.speech_started", item_id="item_u"))
        talk.hears(fault("invalid_value", f"truncate {I}"), cancelled("turn_detected"))
        assert talk.taken(Error) == []

    def test_by_a_button(self) -> None:
        talk = Talk()
        talk.speaks()
        cancel, cut = talk.push(Interrupt())
        assert cancel == client.Cancel(event_id=f"cancel {R}", response_id=R)
        assert isinstance(cut, client.TruncateItem)
        assert cut.audio_end_ms == HEARD
        assert talk.push(Text("And?"))[1:] == [], "a create waits for the answer to the cancel"
        (create,) = talk.hears(sound(), sound(), cancelled("client_cancelled"))
        assert isinstance(create, client.Create)
        assert len(talk.taken(AudioOutput)) == 8, "what came later is stale"

    def test_a_cancel_that_came_too_late_is_no_error(self) -> None:
        talk = Talk()
        talk.speaks()
        talk.push(Interrupt())
        talk.push(Text("And?"))
        assert talk.hears(ENDED) != [], "the answer has ended: the barrier is lifted"
        assert talk.hears(fault("response_cancel_not_active", f"cancel {R}")) == []
        assert talk.taken(Error) == []
        assert len(talk.taken(Interrupted)) == 1

    def test_such_an_answer_alone_lifts_the_barrier(self) -> None:
        talk = Talk()
        talk.speaks()
        talk.push(Interrupt())
        assert talk.session.state.barrier
        talk.hears(fault("response_cancel_not_active", f"cancel {R}"))
        assert not talk.session.state.barrier
        assert talk.taken(Error) == []

    @pytest.mark.parametrize("name", DIALECTS)
    def test_before_the_answer_is_born(self, name: str) -> None:
        talk = Talk(DIALECTS[name])
        (create,) = talk.push(CreateResponse())
        assert isinstance(create, client.Create)
        assert talk.push(Interrupt()) == []
        kept = {"metadata": {"request": "request-0"}} if DIALECTS[name].marks else {}
        born = said("response.created", response={"id": R, "status": "in_progress", **kept})
        (cancel,) = talk.hears(born)
        named = R if DIALECTS[name].names_cancelled else UNSET
        assert cancel == client.Cancel(event_id=f"cancel {R}", response_id=named)
        talk.hears(*BEGUN[1:], sound(), cancelled("client_cancelled"))
        assert talk.taken(ResponseStarted) == talk.taken(AudioOutput) == []

    def test_on_a_call(self) -> None:
        talk = Talk(GA, "call")
        talk.hears(*BEGUN, said("output_audio_buffer.started", response_id=R))
        talk.hears(*[Media("audio", PIECE)] * 8)
        talk.session.drain()
        talk.session.wait(3.5 * TICK)
        assert [type(event) for event in talk.push(Interrupt())] == [
            client.Cancel,
            client.ClearOutput,
        ]
        cleared = said("output_audio_buffer.cleared", response_id=R)
        assert talk.hears(cancelled("client_cancelled"), Media("audio", PIECE), cleared) == []
        assert [done.status for done in talk.taken(ResponseDone)] == ["cancelled"]
        assert len(talk.taken(Interrupted)) == 1
        assert len(talk.taken(AudioOutput)) == 8
        assert not talk.session.state.barrier

    def test_heard_by_the_server_on_a_call(self) -> None:
        talk = Talk(GA, "call")
        talk.hears(*BEGUN, said("output_audio_buffer.started", response_id=R))
        talk.hears(Media("audio", PIECE), ENDED)
        talk.session.drain()
        onset = said("input_audio_buffer.speech_started", item_id="item_u")
        assert talk.hears(onset, said("output_audio_buffer.cleared", response_id=R)) == []
        assert [rise.cause for rise in talk.taken(Interrupted)] == ["provider"]
        assert len(talk.taken(ResponseDone)) == 1

    @pytest.mark.parametrize("authority", ["local", "application"])
    def test_nobody_else_cuts_under_another_authority(self, authority: str) -> None:
        from realtime_core.config import TurnDetection

        turns = TurnDetection(authority=authority)  # type: ignore[arg-type] # one of two
        talk = Talk(turn_detection=turns)
        talk.speaks()
        assert talk.hears(said("input_audio_buffer.speech_started", item_id="item_u")) == []
        assert talk.taken(Interrupted) == []
