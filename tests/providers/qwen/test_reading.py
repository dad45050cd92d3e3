"""What the server says, in the frames of the protocol sheet: all of it is known here."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.codec import CancelResponse
from realtime_core.epoch import ItemId, RequestId, ResponseId
from realtime_core.errors import AuthFailed, RateLimited, SessionExpired, Unavailable
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    Connected,
    Error,
    Interrupted,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    SessionEnding,
    SpeechStarted,
    ToolCall,
    Unknown,
    Usage,
    UserTranscript,
    Warning,
)
from realtime_core.frames import CreateResponse, Interrupt, Text, ToolResult
from realtime_core.schedule import RECONNECT
from realtime_core.testing import TICK
from realtime_core.testing.conformance import conforms
from realtime_core.testing.fold import Fold
from tests.providers.openai.wires import I, R, item, response, said
from tests.providers.qwen.wires import CODEC, EACH, FLAT, heard, opened, planned

U = ItemId("item_u")
OF: dict[str, Any] = {"response_id": R, "item_id": I, "output_index": 0, "content_index": 0}
PCM = bytes(750)
USAGE = {
    "total_tokens": 30,
    "input_tokens": 20,
    "output_tokens": 10,
    "input_tokens_details": {"text_tokens": 5, "audio_tokens": 12, "image_tokens": 3},
    "output_tokens_details": {"text_tokens": 4, "audio_tokens": 6},
}
TRANSCRIPTION = "conversation.item.input_audio_transcription"
BORN = said("response.created", response={"id": R, "object": "realtime.response", "output": []})
DONE = said("response.done", response=response("completed", usage=USAGE, voice="Tina"))
CREATED = said("conversation.item.created", item=item(), previous_item_id=U)
SPOKEN = (
    said("session.created", session={"id": "sess_1", "turn_detection": {"type": "server_vad"}}),
    said("session.updated", session={"model": FLAT, "voice": "Tina"}),
    said("input_audio_buffer.speech_started", audio_start_ms=640, item_id=U),
    said("input_audio_buffer.speech_stopped", audio_end_ms=2_000, item_id=U),
    said("input_audio_buffer.committed", item_id=U, previous_item_id=None),
    said("conversation.item.created", item=item(id=U, role="user"), previous_item_id=None),
    said(f"{TRANSCRIPTION}.delta", item_id=U, content_index=0, text="What", stash=" tim"),
    said(f"{TRANSCRIPTION}.delta", item_id=U, content_index=0, text="What time", stash=""),
    said(f"{TRANSCRIPTION}.delta", item_id=U, content_index=0, text="", stash=None, delta=""),
    said(f"{TRANSCRIPTION}.completed", item_id=U, content_index=0, transcript="What time is it?"),
    BORN,
    said("response.output_item.added", response_id=R, output_index=0, item=item()),
    CREATED,
    said("response.content_part.added", **OF, part={"type": "audio", "text": ""}),
    said("response.audio_transcript.delta", **OF, delta="Ten"),
    said("response.audio.delta", **OF, delta="AAAA" * 250),
    said("response.audio_transcript.done", **OF, transcript="Ten"),
    said("response.audio.done", **OF),
    said("response.content_part.done", **OF, part={"type": "audio", "transcript": "Ten"}),
    said("response.output_item.done", response_id=R, output_index=0, item=item()),
    DONE,
    said("session.finished"),
)


def test_a_spoken_turn() -> None:
    state = CODEC.greet(planned(), None).state
    _, events = heard(state, *SPOKEN)
    assert not [event for event in events if isinstance(event, Unknown)]
    connected, *told = [e for e in events if isinstance(e, Connected | UserTranscript)]
    assert isinstance(connected, Connected)
    assert (connected.config.model, connected.config.voice) == (FLAT, "Tina")
    words = [e.text for e in told if isinstance(e, UserTranscript)]
    assert words == ["", "What tim", "What time", "What time", "What time is it?"]
    done = events[-1]
    assert isinstance(done, ResponseDone)
    assert done.usage == Usage(
        input_tokens=20,
        output_tokens=10,
        input_audio_tokens=12,
        output_audio_tokens=6,
        input_image_tokens=3,
    )


@pytest.mark.parametrize("model", EACH)
def test_it_conforms(model: str) -> None:
    assert conforms(CODEC, planned(model), SPOKEN) == []


def test_a_typed_turn() -> None:
    wires = (
        BORN,
        said("response.output_item.added", response_id=R, output_index=0, item=item()),
        said("response.content_part.added", **OF, part={"type": "text", "text": ""}),
        said("response.text.delta", **OF, delta="Ten"),
        said("response.text.done", **OF, text="Ten"),
        DONE,
    )
    words = [e.text for e in heard(opened(), *wires)[1] if isinstance(e, ResponseText)]
    assert words == ["Ten", "Ten"]


def calling(number: int, *, delta: bool) -> tuple[bytes, ...]:
    """Give a call as it was recorded; of parallel ones the second has no delta at all."""
    name, id = f"call_{number}", f"item_{number}"
    begun = item("function_call", id, name="look", call_id=name, arguments="")
    of = {"response_id": R, "item_id": id, "output_index": number, "call_id": name}
    stated = "response.function_call_arguments"
    return (
        said("response.output_item.added", response_id=R, output_index=number, item=begun),
        said("conversation.item.created", item=begun),
        *((said(f"{stated}.delta", **of, delta='{"at":1}'),) if delta else ()),
        said(f"{stated}.done", **of, name="look", arguments='{"at":1}'),
        said(
            "response.output_item.done",
            response_id=R,
            output_index=number,
            item={**begun, "arguments": '{"at":1}', "status": "completed"},
        ),
    )


class Talk:
    """A session by hand."""

    def __init__(self) -> None:
        self.session = Fold(CODEC, planned(report_input=False, retry=RECONNECT))
        self.session.link()
        self.session.receive(said("session.updated", session={}))

    def hears(self, *wires: bytes) -> list[bytes]:
        """Let it hear messages; gives what it answers."""
        before = len(self.session.sent)
        self.session.receive(*wires)
        self.session.drain()
        return self.since(before)

    def since(self, before: int) -> list[bytes]:
        return [wire for wire in self.session.sent[before:] if isinstance(wire, bytes)]

    def taken(self, *kinds: type[RealtimeEvent]) -> list[RealtimeEvent]:
        return [event for event in self.session.events if type(event) in kinds]


def test_parallel_calls_are_followed_by_one_request() -> None:
    talk = Talk()
    talk.hears(BORN, *calling(0, delta=True), *calling(1, delta=False), DONE)
    calls = talk.taken(ToolCall)
    assert [call.arguments for call in calls if isinstance(call, ToolCall)] == ['{"at":1}'] * 2
    before = len(talk.session.sent)
    for call in calls:
        assert isinstance(call, ToolCall)
        talk.session.push(ToolResult(call.call, "seen"))
    *results, create = talk.since(before)
    assert [b"function_call_output" in one for one in results] == [True, True]
    assert create.startswith(b'{"type":"response.create"')


def test_an_idle_answer_is_nobodys_request() -> None:
    talk = Talk()
    talk.hears(BORN, DONE)
    (begun,) = talk.taken(ResponseStarted)
    assert isinstance(begun, ResponseStarted)
    assert begun.request is None


SOUNDS = (
    BORN,
    said("response.output_item.added", response_id=R, output_index=0, item=item()),
    said("response.content_part.added", **OF, part={"type": "audio"}),
    *[said("response.audio.delta", **OF, delta="AAAA" * 250)] * 8,
)


def test_a_cut_answer_may_straggle_and_never_end() -> None:
    """The cancel names nothing, so its stragglers are known by their answer alone."""
    talk = Talk()
    talk.hears(*SOUNDS)
    before = len(talk.session.sent)
    talk.session.push(Interrupt())
    assert talk.since(before) == [b'{"type":"response.cancel","event_id":"cancel resp_9f"}']
    heard_by_then = len(talk.taken(AudioOutput))
    talk.hears(*SOUNDS[3:])
    assert len(talk.taken(AudioOutput)) == heard_by_then
    talk.session.push(CreateResponse())
    talk.session.wait(3.0)
    talk.hears()
    assert b'"response.create"' in talk.since(before)[-1]
    (done,) = talk.taken(ResponseDone)
    assert isinstance(done, ResponseDone)
    assert not done.by_provider
    next = (wire.replace(R.encode(), b"resp_2").replace(I.encode(), b"item_2") for wire in SOUNDS)
    for one, late in zip(next, SOUNDS, strict=True):
        talk.hears(one, late)
    told = [event.response for event in talk.taken(AudioOutput)[heard_by_then:]]
    assert told == ["resp_2"] * 8


def test_the_server_cuts_by_itself() -> None:
    talk = Talk()
    talk.hears(*SOUNDS)
    talk.session.wait(3.5 * TICK)
    assert talk.hears(said("input_audio_buffer.speech_started", item_id=U)) == []
    assert len(talk.taken(SpeechStarted)) == 1
    (cut,) = talk.taken(Interrupted)
    assert isinstance(cut, Interrupted)
    assert cut.cause == "provider"
    cancelled = response("cancelled", status_details={"reason": "turn_detected"})
    assert talk.hears(said("response.done", response=cancelled)) == []


@pytest.mark.parametrize("details", [{}, {"status_details": None}])
def test_an_answer_that_was_cut_does_not_say_by_whom(details: dict[str, None]) -> None:
    cut = said("response.done", response=response("cancelled", **details))
    for ours, status in ((False, "interrupted"), (True, "cancelled")):
        talk = Talk()
        talk.hears(*SOUNDS)
        if ours:
            talk.session.push(Interrupt())
        talk.hears(cut)
        (done,) = talk.taken(ResponseDone)
        assert isinstance(done, ResponseDone)
        assert (done.status, done.by_provider) == (status, True)


def test_a_new_connection_is_told_what_was_said() -> None:
    """What was not heard cannot be cut out of the server's memory, but is not told again."""
    talk = Talk()
    talk.session.push(Text("Tell me."))
    talk.hears(*SOUNDS, said("response.audio_transcript.delta", **OF, delta="Once upon a time"))
    talk.session.push(Interrupt())
    talk.session.lose()
    talk.session.wait(60.0)
    before = len(talk.session.sent)
    talk.session.link()
    told = b"".join(talk.since(before))
    assert told.count(b"conversation.item.create") == 1
    assert b"Tell me." in told
    assert b"Once upon a time" not in told
    assert all(b"truncate" not in wire and b"item.delete" not in wire for wire in talk.since(0))


def test_two_hours_are_announced() -> None:
    talk = Talk()
    talk.session.wait(7_100)
    assert talk.taken(SessionEnding) == []
    talk.session.wait(100)
    talk.hears()
    assert len(talk.taken(SessionEnding)) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InvalidApiKey", AuthFailed),
        ("Arrearage", AuthFailed),
        ("Throttling.RateQuota", RateLimited),
        ("Throttling.BurstRate", RateLimited),
        ("InternalError.Algo", Unavailable),
        ("response_idle_timeout", SessionExpired),
    ],
)
def test_complaints_in_the_vendors_words(code: str, kind: type) -> None:
    error = {"type": "invalid_request_error", "code": code, "message": "No: sk-0123456789abcdef."}
    (event,) = heard(opened(), said("error", error=error))[1]
    assert isinstance(event, Error)
    assert type(event.error) is kind
    assert "sk-0123456789abcdef" not in str(event.error)


def complaint(message: str, **more: str) -> bytes:
    """Give a complaint as the service makes it: it names no message, and has no code."""
    return said("error", error={"type": "invalid_request_error", "message": message, **more})


IDLE, BUSY = "Conversation has none active response", "Conversation already has an active response"


@pytest.mark.parametrize("wire", [complaint(IDLE), complaint("No.", event_id=f"cancel {R}")])
def test_an_answer_that_is_not_active_lifts_the_barrier(wire: bytes) -> None:
    state = CODEC.encode(opened(), CancelResponse(ResponseId(R))).unwrap().state
    (event,) = heard(state, wire)[1]
    assert event == Interrupted(cause="provider", response=ResponseId(R))


def test_a_cancel_that_crosses_the_end_is_no_error() -> None:
    talk = Talk()
    talk.hears(*SOUNDS)
    talk.session.push(Interrupt())
    before = len(talk.session.sent)
    talk.hears(DONE, complaint(IDLE))
    assert talk.taken(Error) == []
    talk.session.push(CreateResponse())
    assert b'"response.create"' in talk.since(before)[-1]
    (event,) = heard(opened(), complaint(IDLE))[1]
    assert isinstance(event, Warning)


@pytest.mark.parametrize("why", [BUSY, "Cannot create response while user is speaking."])
def test_a_request_that_is_refused_without_its_name_is_settled(why: str) -> None:
    """It would else be waited for, and all that are made after it."""
    talk = Talk()
    talk.session.push(CreateResponse(request=RequestId("q")))
    talk.hears(complaint(why))
    (refused,) = talk.taken(Error)
    assert isinstance(refused, Error)
    assert refused.request == "q"
    before = len(talk.session.sent)
    talk.session.push(CreateResponse())
    assert b'"response.create"' in talk.since(before)[-1]


def test_words_while_it_speaks() -> None:
    events = heard(opened(), *SPOKEN[10:])[1]
    words = [e for e in events if isinstance(e, AgentTranscript)]
    assert "".join(e.text for e in words if not e.final) == words[-1].text == "Ten"


def test_every_generation_reads_alike() -> None:
    for model in EACH:
        assert heard(opened(model), *SPOKEN[2:])[1] == heard(opened(), *SPOKEN[2:])[1]
