"""Frames and commands in this dialect: what has no place on the wire stays away from it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Success

from realtime_core.codec import CancelResponse, DeleteItem, Outgoing, Resume, TruncateItem
from realtime_core.config import Message, SessionConfig, ToolSpec, TurnDetection
from realtime_core.epoch import CallId, RequestId, ResponseId
from realtime_core.errors import InvalidRequest, Unsupported
from realtime_core.events import Warning
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    ClearAudio,
    Close,
    CommitAudio,
    CreateResponse,
    Frame,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from realtime_qwen.models import IMAGE_BYTES
from tests.laws.stories import many
from tests.providers.openai.strategies import outgoing
from tests.providers.openai.wires import said
from tests.providers.qwen.wires import CODEC, EACH, FLAT, NESTED, heard, opened, planned, sent

MANUAL = TurnDetection(mode="manual")
JPEG = b"\xff\xd8\xff"
SHOWN = {"type": "input_image_buffer.append", "image": base64.b64encode(JPEG).decode()}
SILENCE = {
    "type": "input_audio_buffer.append",
    "audio": base64.b64encode(bytes(3_200)).decode(),
}
COMMITTED = said("input_audio_buffer.committed", item_id="item_u")


@pytest.mark.parametrize("model", EACH)
class TestRequests:
    def test_for_an_answer(self, model: str) -> None:
        state = opened(model)
        plain = CreateResponse(request=RequestId("q"), metadata={"of": "us"})
        assert sent(state, plain) == [{"type": "response.create", "event_id": "create q"}]
        (full,) = sent(state, CreateResponse("Briefly.", RequestId("q"), ("audio",)))
        assert full["response"] == {"instructions": "Briefly.", "modalities": ["text", "audio"]}
        (text,) = sent(state, CreateResponse(modalities=("text",)))
        assert text["response"] == {"modalities": ["text"]}

    def test_to_stop(self, model: str) -> None:
        stop = {"type": "response.cancel", "event_id": "cancel resp_1"}
        assert sent(opened(model), CancelResponse(ResponseId("resp_1"))) == [stop]

    def test_to_end(self, model: str) -> None:
        assert sent(opened(model), Close()) == [{"type": "session.finish"}]

    def test_after_all_tools(self, model: str) -> None:
        first, second = sent(
            opened(model), ToolResult(CallId("c0"), "10:00"), ToolResult(CallId("c1"), "no", True)
        )
        assert first["item"] == {"type": "function_call_output", "call_id": "c0", "output": "10:00"}
        assert second["item"]["output"] == '{"error":"no"}'


class TestWords:
    """No message goes under another name than the user's; none has an id of ours."""

    def test_typed(self) -> None:
        mine, systems = sent(opened(), Text("Hi"), Text("Rain.", role="system"))
        content = [{"type": "input_text", "text": "Hi"}]
        assert mine["item"] == {"type": "message", "role": "user", "content": content}
        content = [{"type": "input_text", "text": "[Note: Rain.]"}]
        assert systems["item"] == {"type": "message", "role": "user", "content": content}

    def test_of_an_earlier_conversation(self) -> None:
        history = (
            Message("user", "What time is it?"),
            Message("tool_call", '{"at":"home"}', call=CallId("c0"), name="clock"),
            Message("tool_result", "10:00", call=CallId("c0"), name="clock"),
            Message("assistant", "Ten o'clock."),
            Message("tool_result", "late"),
        )
        update, *items = CODEC.greet(planned(), Resume(1, history=history)).wires
        assert b"session.update" in bytes(str(update), "ascii")
        told = [
            "What time is it?",
            '[You called clock with {"at":"home"}]',
            "[clock answered: 10:00]",
            "[You said: Ten o'clock.]",
            "[the tool answered: late]",
        ]
        for item, text in zip(items, told, strict=True):
            assert text.replace('"', '\\"').encode() in bytes(item)  # type: ignore[arg-type]
            assert b'"role":"user"' in bytes(item)  # type: ignore[arg-type]
            assert b'"id"' not in bytes(item)  # type: ignore[arg-type]


class TestTurns:
    @pytest.mark.parametrize("frame", [CommitAudio(), ActivityEnd()])
    def test_by_hand_only_where_the_server_detects_none(self, frame: Frame) -> None:
        commit = {"type": "input_audio_buffer.commit", "event_id": "commit"}
        state = opened(turn_detection=MANUAL)
        assert sent(state, ActivityStart(), Audio(bytes(4)), frame)[1:] == [commit]
        assert sent(state, frame) == [commit]
        for one in (frame, ActivityStart()):
            error = CODEC.encode(opened(), one).failure()
            assert isinstance(error, Unsupported)
            assert error.field == "turn_detection.mode"

    def test_clearing(self) -> None:
        assert sent(opened(), ClearAudio()) == [{"type": "input_audio_buffer.clear"}]


class TestPictures:
    """JPEG within the limit, behind sound of the same turn."""

    @pytest.mark.parametrize("model", EACH)
    def test_silence_goes_ahead_of_the_first(self, model: str) -> None:
        assert sent(opened(model), Video(JPEG), Video(JPEG)) == [SILENCE, SHOWN, SHOWN]

    def test_sound_is_enough(self) -> None:
        sound, shown = sent(opened(), Audio(bytes(4)), Video(JPEG))
        assert (sound["type"], shown) == ("input_audio_buffer.append", SHOWN)

    @pytest.mark.parametrize("frame", [CommitAudio(), ActivityEnd(), ClearAudio()])
    def test_each_turn_by_hand_has_its_own(self, frame: Frame) -> None:
        state = opened(turn_detection=MANUAL)
        assert sent(state, Audio(bytes(4)), frame, Video(JPEG))[2:] == [SILENCE, SHOWN]
        types = [one["type"] for one in sent(state, Audio(bytes(4)), Video(JPEG), CommitAudio())]
        assert types == [
            "input_audio_buffer.append",
            "input_image_buffer.append",
            "input_audio_buffer.commit",
        ]

    def test_each_turn_that_the_server_detects_too(self) -> None:
        state = CODEC.encode(opened(), Audio(bytes(4))).unwrap().state
        assert sent(state, Video(JPEG)) == [SHOWN]
        assert sent(heard(state, COMMITTED)[0], Video(JPEG)) == [SILENCE, SHOWN]

    @pytest.mark.parametrize(
        ("frame", "kind", "told"),
        [
            (Video(JPEG, "image/png"), Unsupported, "image/png"),
            (Video(bytes(IMAGE_BYTES + 1)), InvalidRequest, f"{IMAGE_BYTES + 1} bytes"),
        ],
    )
    def test_what_is_refused(self, frame: Video, kind: type, told: str) -> None:
        state = opened()
        error = CODEC.encode(state, frame).failure()
        assert isinstance(error, kind)
        assert told in error.what
        assert error.cause
        assert error.fix
        _, shown = sent(state, Video(bytes(IMAGE_BYTES)))
        assert len(shown["image"]) == 256 * 1024


class TestUpdates:
    def test_formats_stay_unsaid(self) -> None:
        wish = SessionConfig(model=FLAT, instructions="Now briefly.", voice="Tina")
        (update,) = sent(opened(FLAT), UpdateSession(wish))
        assert update["session"]["voice"] == "Tina"
        assert update["session"]["instructions"] == "Now briefly."
        assert not {"input_audio_format", "output_audio_format"} & set(update["session"])
        (update,) = sent(opened(NESTED), UpdateSession(SessionConfig(model=NESTED, voice="Tina")))
        assert update["session"]["audio"] == {"output": {"voice": "Tina"}}
        (update,) = sent(opened(NESTED), UpdateSession(SessionConfig(model=NESTED)))
        assert "audio" not in update["session"]

    def test_what_is_no_longer_asked_for_is_taken_back(self) -> None:
        tools = opened(tools=(ToolSpec("look"),), instructions="Look.")
        (update,) = sent(tools, UpdateSession(SessionConfig(model=FLAT)))
        assert (update["session"]["tools"], update["session"]["instructions"]) == ([], "")
        search = opened(options={"search": True})
        (update,) = sent(search, UpdateSession(SessionConfig(model=FLAT)))
        assert update["session"]["enable_search"] is False
        told = opened(options={"search": {"enable_source": True}})
        (update,) = sent(told, UpdateSession(SessionConfig(model=FLAT, options={"search": True})))
        assert update["session"]["search_options"] == {"enable_source": False}

    def test_what_stays_is_told(self) -> None:
        state = opened(NESTED, options={"representation_compact": "none"})
        options = {"representation_compact": "normal", "smooth_output": True}
        wish = SessionConfig(model=NESTED, options=options)
        coded = CODEC.encode(state, UpdateSession(wish)).unwrap()
        told = [one.field for one in coded.events if isinstance(one, Warning)]
        assert told == ["options.representation_compact", "options.smooth_output"]
        assert "video" not in str(coded.wires)
        assert CODEC.encode(coded.state, UpdateSession(wish)).unwrap().events[1:] == ()

    def test_what_cannot_be_is_refused(self) -> None:
        wish = SessionConfig(tools=(ToolSpec("look"),), options={"search": True})
        refused = CODEC.encode(opened(), UpdateSession(wish))
        assert isinstance(refused, Failure)
        assert (
            refused.failure()
            != CODEC.encode(opened(), UpdateSession(SessionConfig(options={"no": 1}))).failure()
        )


FIELDS: dict[str, set[str]] = {
    "session.update": {"session"},
    "session.finish": set(),
    "input_audio_buffer.append": {"audio"},
    "input_audio_buffer.commit": set(),
    "input_audio_buffer.clear": set(),
    "input_image_buffer.append": {"image"},
    "conversation.item.create": {"item"},
    "response.create": {"response"},
    "response.cancel": set(),
}
"""Every event that the protocol sheet has for clients, and what stands in it."""


@many
@given(frame=outgoing(), manual=st.booleans(), model=st.sampled_from(EACH))
def test_nothing_is_said_that_the_wire_has_no_place_for(
    frame: Outgoing, manual: bool, model: str
) -> None:
    if isinstance(frame, TruncateItem | DeleteItem):
        return  # not among what this provider is said to do
    state = opened(model, **({"turn_detection": MANUAL} if manual else {}))
    coded = CODEC.encode(state, frame)
    for message in sent(state, frame) if isinstance(coded, Success) else ():
        assert set(message) - {"type", "event_id"} <= FIELDS[message["type"]]
        assert set(message.get("response", {})) <= {"instructions", "modalities"}
        item = message.get("item", {"type": "function_call_output"})
        assert "id" not in item
        assert item["type"] == "function_call_output" or item["role"] == "user"
