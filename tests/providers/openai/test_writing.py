"""Frames and commands as client events."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from msgspec import UNSET

from realtime_core.codec import CancelResponse, DeleteItem, Outgoing, TruncateItem
from realtime_core.config import Message, SessionConfig
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.errors import Unsupported
from realtime_core.events import RealtimeEvent, Warning
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    ClearAudio,
    Close,
    CommitAudio,
    CreateResponse,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from realtime_openai import client_events as client
from realtime_openai.codec import OpenAICodec
from realtime_openai.dialect import BETA, GA, VOICE_LIVE, XAI, Dialect
from realtime_openai.memory import Memory
from realtime_openai.writing import appended
from tests.providers.openai.wires import heard, opened, planned, said


def sent(
    frame: Outgoing, dialect: Dialect = GA, at: tuple[OpenAICodec, Memory] | None = None
) -> tuple[client.ClientEvent, ...]:
    codec, state = at or opened(dialect)
    wires = codec.encode(state, frame).unwrap().wires
    return tuple(client.decode(wire) for wire in wires if isinstance(wire, bytes))


def message(role: str, *parts: client.Content) -> client.CreateItem:
    return client.CreateItem(item=client.MessageItem(role=role, content=parts))


def result(output: str) -> client.CreateItem:
    return client.CreateItem(item=client.FunctionCallOutput(call_id="c0", output=output))


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        (Text("Hi"), message("user", client.InputText(text="Hi"))),
        (Text("Rain.", role="system"), message("system", client.InputText(text="Rain."))),
        (ToolResult(CallId("c0"), '{"a":1}'), result('{"a":1}')),
        (ToolResult(CallId("c0"), 'no "way"', failed=True), result('{"error":"no \\"way\\""}')),
        (CommitAudio(), client.Commit(event_id="commit")),
        (ActivityEnd(), client.Commit(event_id="commit")),
        (ClearAudio(), client.Clear()),
        (
            CancelResponse(ResponseId("r")),
            client.Cancel(event_id="cancel r", response_id="r"),
        ),
        (DeleteItem(ItemId("i")), client.DeleteItem(event_id="delete i", item_id="i")),
    ],
)
def test_a_frame_is_its_event(frame: Outgoing, event: client.ClientEvent) -> None:
    assert sent(frame) == (event,)


@pytest.mark.parametrize("frame", [ActivityStart(), Close()])
def test_what_needs_no_event(frame: Outgoing) -> None:
    assert sent(frame) == ()


def test_sound() -> None:
    pcm = bytes(range(256))
    assert sent(Audio(pcm)) == (client.Append(audio=pcm),)
    assert appended(pcm) == client.encode(client.Append(audio=pcm))
    assert base64.b64encode(pcm) in appended(pcm)


class TestCreate:
    @pytest.mark.parametrize(
        ("dialect", "field", "sound"),
        [
            (GA, "output_modalities", ("audio",)),
            (BETA, "modalities", ("text", "audio")),
            (VOICE_LIVE, "modalities", ("text", "audio")),
            (XAI, "modalities", ("text", "audio")),
        ],
    )
    def test_in_what_it_is_answered(
        self, dialect: Dialect, field: str, sound: tuple[str, ...]
    ) -> None:
        speak, write = CreateResponse(modalities=("audio",)), CreateResponse(modalities=("text",))
        for frame, told in ((speak, sound), (write, ("text",)), (CreateResponse(), UNSET)):
            (event,) = sent(frame, dialect)
            assert isinstance(event, client.Create)
            assert getattr(event.response, field) == told

    def test_marked_and_plain(self) -> None:
        assert sent(CreateResponse(request=RequestId("q 1"))) == (
            client.Create(
                event_id="create q 1", response=client.ResponseWish(metadata={"request": "q 1"})
            ),
        )

    def test_aside_with_words_of_its_own(self) -> None:
        frame = CreateResponse(
            "Classify.",
            RequestId("q"),
            conversation="none",
            input=(
                Message("user", "Hi"),
                Message("assistant", "Hello"),
                Message("tool_call", "{}", call=CallId("c0"), name="look"),
                Message("tool_call", "{}", name="look"),
                Message("tool_result", "a bee", call=CallId("c0")),
                Message("tool_result", "a bee"),
            ),
            metadata={"purpose": "classify", "request": "not ours"},
        )
        (event,) = sent(frame)
        assert isinstance(event, client.Create)
        assert event.response == client.ResponseWish(
            instructions="Classify.",
            conversation="none",
            metadata={"purpose": "classify", "request": "q"},
            input=(
                client.MessageItem(role="user", content=(client.InputText(text="Hi"),)),
                client.MessageItem(role="assistant", content=(client.OutputText(text="Hello"),)),
                client.FunctionCall(name="look", arguments="{}", call_id="c0"),
                client.FunctionCall(name="look", arguments="{}"),
                client.FunctionCallOutput(call_id="c0", output="a bee"),
                client.FunctionCallOutput(call_id="", output="a bee"),
            ),
        )


class TestTruncate:
    def test_down_to_whole_milliseconds(self) -> None:
        for samples, end in ((24, 1), (47, 1), (24_000 * 60 + 23, 60_000)):
            (event,) = sent(TruncateItem(ItemId("i"), samples, 24_000))
            assert event == client.TruncateItem(
                event_id="truncate i", item_id="i", content_index=0, audio_end_ms=end
            )

    def test_in_the_part_that_sounds(self) -> None:
        codec, state = opened()
        of = {"response_id": "r", "item_id": "i", "output_index": 0}
        texts = said("response.content_part.added", **of, content_index=0, part={"type": "text"})
        sounds = said("response.content_part.added", **of, content_index=1, part={"type": "audio"})
        unsaid = said("response.output_audio.delta", **of, content_index=2, delta="AAAA")
        cut = TruncateItem(ItemId("i"), 24_000, 24_000)
        for wires, index in (((texts, sounds), 1), ((unsaid,), 2), ((texts,), 0)):
            after, _ = heard(codec, state, *wires)
            (event,) = sent(cut, at=(codec, after))
            assert isinstance(event, client.TruncateItem)
            assert event.content_index == index

    def test_less_than_the_first_was_not_heard(self) -> None:
        short = TruncateItem(ItemId("i"), 23, 24_000)
        assert sent(short) == (client.DeleteItem(event_id="delete i", item_id="i"),)
        assert sent(short, XAI) == ()


class TestPictures:
    def test_as_a_data_uri_and_named(self) -> None:
        codec, state = opened(options={"detail": "low"})
        (event,) = sent(Video(b"\xff\xd8", "image/png"), at=(codec, state))
        uri = "data:image/png;base64," + base64.b64encode(b"\xff\xd8").decode()
        part = client.ImageContent(image_url=uri, detail="low")
        item = client.MessageItem(id="picture_0_0", role="user", content=(part,))
        assert event == client.CreateItem(item=item)

    def test_old_ones_are_deleted(self) -> None:
        codec, state = opened(options={"pictures": 2})
        deleted, made = list[str](), list[Any]()
        for number in range(5):
            coded = codec.encode(state, Video(b"%d" % number)).unwrap()
            events = [client.decode(w) for w in coded.wires if isinstance(w, bytes)]
            deleted += [e.item_id for e in events if isinstance(e, client.DeleteItem)]
            made += [e.item.id for e in events if isinstance(e, client.CreateItem)]
            state = coded.state
        assert made == [f"picture_0_{n}" for n in range(5)]
        assert deleted == made[:3]


class TestUpdate:
    def update(
        self, at: tuple[OpenAICodec, Memory], **config: Any
    ) -> tuple[dict[str, Any], tuple[RealtimeEvent, ...], Memory]:
        codec, state = at
        coded = codec.encode(state, UpdateSession(SessionConfig(**config))).unwrap()
        (wire,) = coded.wires
        assert isinstance(wire, bytes)
        event = client.decode(wire)
        assert isinstance(event, client.UpdateSession)
        assert event.event_id == "update"
        return event.session, coded.events, coded.state

    def test_what_is_wished_now(self) -> None:
        session, events, state = self.update(opened(), instructions="Be brief.", voice="cedar")
        assert session["instructions"] == "Be brief."
        assert session["audio"]["output"]["voice"] == "cedar"
        assert events == ()
        assert state.plan.config.voice == "cedar"

    def test_what_was_wished_is_taken_back(self) -> None:
        codec, state = opened(instructions="Be brief.")
        session, _, state = self.update((codec, state))
        assert session["instructions"] == ""
        assert "instructions" not in self.update((codec, state))[0]

    def test_a_voice_that_has_spoken_stays(self) -> None:
        codec, state = opened(voice="marin")
        of = {"response_id": "r", "item_id": "i", "content_index": 0}
        state, _ = heard(codec, state, said("response.output_audio.delta", **of, delta="AAAA"))
        session, events, state = self.update((codec, state), voice="cedar")
        assert session["audio"]["output"]["voice"] == "marin"
        assert events == (Warning(field="voice", why="openai keeps a voice that has spoken"),)
        assert state.plan.config.voice == "marin"
        assert self.update((codec, state), voice="marin")[1] == ()

    def test_model_and_purpose_stay(self) -> None:
        other = {"model": "gpt-other", "options": {"purpose": "transcription"}}
        session, events, state = self.update(opened(model="gpt-realtime"), **other)
        assert session["type"] == "realtime"
        assert [e.field for e in events if isinstance(e, Warning)] == ["model", "options.purpose"]
        assert state.plan.config.model == "gpt-realtime"

    def test_what_no_setting_exists_for_is_told_once(self) -> None:
        codec, state = opened()
        _, events, state = self.update((codec, state), temperature=0.5)
        assert [e.field for e in events if isinstance(e, Warning)] == ["temperature"]
        assert self.update((codec, state), temperature=0.5)[1] == ()

    def test_options_that_are_none_change_nothing(self) -> None:
        codec, state = opened()
        refused = codec.encode(state, UpdateSession(SessionConfig(options={"sped": 1})))
        assert isinstance(refused.failure(), Unsupported)


@pytest.mark.parametrize(("dialect", "part"), [(GA, "output_text"), (BETA, "text")])
def test_what_was_said_before(dialect: Dialect, part: str) -> None:
    history = (Message("system", "Rain."), Message("user", "Hi"), Message("assistant", "Hello"))
    greeted = OpenAICodec(dialect).greet(planned(dialect, history=history), None)
    opening, *items = [client.decode(w) for w in greeted.wires if isinstance(w, bytes)]
    assert isinstance(opening, client.UpdateSession)
    assert opening.event_id == "open"
    told = [
        (one.item.role, type(one.item.content[0]).__struct_config__.tag)
        for one in items
        if isinstance(one, client.CreateItem) and isinstance(one.item, client.MessageItem)
    ]
    assert told == [("system", "input_text"), ("user", "input_text"), ("assistant", part)]
