"""The vendor's own package as an oracle: for the same wishes it sends the frames that we do.

Both of its clients are asked, the older one and the newer; neither goes anywhere. What differs is
listed with the reason, and nothing else does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from dashscope.audio.qwen_omni import (  # pyright: ignore[reportMissingTypeStubs]
    MultiModality,
    OmniRealtimeCallback,
    OmniRealtimeConversation,
)
from dashscope.v2.client import Client  # pyright: ignore[reportMissingTypeStubs]

from realtime_core.codec import CancelResponse, Outgoing
from realtime_core.config import Secret, SessionConfig, ToolSpec, TurnDetection
from realtime_core.epoch import CallId, ResponseId
from realtime_core.frames import (
    Audio,
    ClearAudio,
    Close,
    CommitAudio,
    CreateResponse,
    Text,
    ToolResult,
    Video,
)
from realtime_openai.endpoint import Access
from realtime_qwen.endpoint import QWEN, Place, arrive
from tests.providers.qwen.wires import FLAT, NESTED, greeted, opened, sent

# The newer client warns that it is a preview; what it sends is what the vendor's servers take.
pytestmark = pytest.mark.filterwarnings("ignore:dashscope 2.0 audio API:FutureWarning")

Fields = dict[str, Any]
KEY = "sk-quite-a-secret"
PCM, JPEG = bytes(range(64)), b"\xff\xd8\xff\xe0"
CALLED = {"type": "function_call_output", "call_id": "c0", "output": "10:00"}
WORDS = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {}},
    },
}


class Socket:
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.sock = SimpleNamespace(connected=True)
        self.sent = list[str]()

    def send(self, data: str) -> None:
        self.sent.append(data)

    def settimeout(self, seconds: float) -> None:
        del seconds

    def close(self) -> None:
        pass

    def frames(self) -> list[Fields]:
        """Give what was sent; every one has an event_id of its own, which nothing depends on."""
        frames = [cast("Fields", json.loads(one)) for one in self.sent]
        assert all(frame.pop("event_id").startswith("event_") for frame in frames)
        return frames


def older() -> tuple[Any, Socket]:
    client = cast("Any", OmniRealtimeConversation)(FLAT, OmniRealtimeCallback(), api_key=KEY)
    client.ws = socket = Socket()
    return client, socket


def newer(model: str) -> tuple[Any, Socket]:
    socket = Socket()
    made = cast("Any", Client)(api_key=KEY, workspace="ws-1", region="us-east-1")
    session = made.audio.realtime.connect(model=model, connector=lambda *_: socket)
    return session.connect(), socket


def ours(model: str, *frames: Outgoing, **config: Any) -> list[Fields]:
    """Give what we send; where an answer must be told apart, an event_id stands there."""
    messages = sent(opened(model, **config), *frames)
    for message in messages:
        message.pop("event_id", None)
    return messages


MANUAL = {"turn_detection": TurnDetection(mode="manual")}


@pytest.mark.parametrize("make", [older, lambda: newer(FLAT), lambda: newer(NESTED)])
@pytest.mark.parametrize("model", [FLAT, NESTED])
def test_frames(make: Callable[[], tuple[Any, Socket]], model: str) -> None:
    client, socket = make()
    client.append_audio(base64.b64encode(PCM).decode())
    client.append_video(base64.b64encode(JPEG).decode())
    client.commit()
    client.clear_appended_audio()
    client.create_item(CALLED)
    client.create_item(WORDS)
    client.cancel_response()
    (client.end_session_async if hasattr(client, "end_session_async") else client.end_session)()
    frames = (
        Audio(PCM),
        Video(JPEG),
        CommitAudio(),
        ClearAudio(),
        ToolResult(CallId("c0"), "10:00"),
        Text("Hi"),
        CancelResponse(ResponseId("resp_1")),
        Close(),
    )
    assert ours(model, *frames, **MANUAL) == socket.frames()


def test_requests() -> None:
    """Asked for nothing, older models get `instructions: null` from it, and nothing from us: the
    vendor's pages show the event bare."""
    for make, model in (
        (older, FLAT),
        (lambda: newer(FLAT), FLAT),
        (lambda: newer(NESTED), NESTED),
    ):
        client, socket = make()
        modes = [MultiModality.TEXT] if make is older else ["text"]
        names = "output_modalities" if make is older else "modalities"
        client.create_response(instructions="Briefly.", **{names: modes})
        client.create_response()
        full, plain = socket.frames()
        wish = CreateResponse("Briefly.", modalities=("text",))
        assert ours(model, wish) == [full]
        bare = {} if model == NESTED else {"response": {"instructions": None}}
        assert plain == {"type": "response.create", **bare}
        assert ours(model, CreateResponse()) == [{"type": "response.create"}]


SETTINGS: Fields = {
    "voice": "Tina",
    "instructions": "Be brief.",
    "tools": (ToolSpec("look", "Looks."),),
    "temperature": 0.5,
    "max_output_tokens": 9,
    "turn_detection": TurnDetection("semantic", threshold=0.2, prefix_ms=300, silence_ms=800),
    "options": {"top_p": 0.5, "top_k": 5, "seed": 7, "repetition_penalty": 1.05},
}
RAW = {
    "instructions": "Be brief.",
    "tools": [TOOL],
    "temperature": 0.5,
    "max_tokens": 9,
    "top_p": 0.5,
    "top_k": 5,
    "seed": 7,
    "repetition_penalty": 1.05,
}
TOLD: Fields = {
    "voice": "Tina",
    "enable_input_audio_transcription": True,
    "input_audio_transcription_model": "qwen3-asr-flash-realtime",
    "turn_detection_type": "semantic_vad",
    "turn_detection_threshold": 0.2,
    "prefix_padding_ms": 300,
    "turn_detection_silence_duration_ms": 800,
    **RAW,
}
FORMATS = {
    "input_audio_format": ("pcm", "pcm16"),
    "output_audio_format": ("pcm", "pcm16"),
}
"""Ours and its: the vendor's pages, newer than this default of the package, say `pcm`."""


@pytest.mark.parametrize("make", [older, lambda: newer(FLAT)])
def test_settings_up_to_3_5(make: Callable[[], tuple[Any, Socket]]) -> None:
    client, socket = make()
    modes = [MultiModality.TEXT, MultiModality.AUDIO] if make is older else ["text", "audio"]
    client.update_session(modes, **TOLD)
    (theirs,) = socket.frames()
    session = greeted(FLAT, **SETTINGS)[0]["session"]
    assert set(session) == set(theirs["session"])
    differing = {
        name: (session[name], theirs["session"][name])
        for name in session
        if session[name] != theirs["session"][name]
    }
    assert differing == FORMATS


def test_settings_of_3_8() -> None:
    client, socket = newer(NESTED)
    client.update_session(
        ["text", "audio"],
        input_audio_config={"type": "pcm", "sample_rate": 16_000},
        output_audio_config={"type": "pcm", "sample_rate": 24_000},
        input_video_representation_compact="normal",
        **TOLD,
    )
    options = {**SETTINGS["options"], "representation_compact": "normal"}
    made = greeted(NESTED, **{**SETTINGS, "options": options})[0]
    made.pop("event_id")
    assert [made] == socket.frames()


@pytest.mark.parametrize("model", [FLAT, NESTED])
def test_settings_taken_away(model: str) -> None:
    """By hand, text alone, nothing written down, with search."""
    client, socket = newer(model)
    more = {"enable_search": True, "search_options": {"enable_source": True}}
    off = {"enable_turn_detection": False, "enable_input_audio_transcription": False}
    client.update_session(["text"], **off, **more)
    (theirs,) = socket.frames()
    search = {"search": {"enable_source": True}}
    session = greeted(model, modalities=("text",), transcribe_user=False, options=search, **MANUAL)[
        0
    ]["session"]
    same = ("modalities", "turn_detection", "input_audio_transcription", *more)
    assert {name: session[name] for name in same} == {
        name: theirs["session"][name] for name in same
    }


@pytest.mark.anyio
async def test_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = newer(NESTED)
    access = Access(service=QWEN, model=NESTED, key=Secret(KEY))
    door = await arrive(access, Place(region="us-east-1", workspace="ws-1"))
    headers = client._headers  # it shows them nowhere else
    assert door.socket(SessionConfig(model=NESTED)) == client.url
    shown = {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in door.shown.items()
    }
    assert shown == {name: headers[name] for name in shown}
    monkeypatch.delenv("DASHSCOPE_WEBSOCKET_BASE_URL", raising=False)
    older_client, _ = older()
    beijing = await arrive(access, Place(region="beijing"))
    assert beijing.socket(SessionConfig(model=FLAT)) == older_client.url
