"""Bytes: canonical messages in one pass, everything else that protobuf's JSON allows in another."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.testing.conformance import HOSTILE
from realtime_gemini import encoding
from realtime_gemini.client_messages import ClientMessage, RealtimeInput, Setup
from realtime_gemini.encoding import BROKEN, client_message, encode, plain, server_message
from realtime_gemini.parts import Blob, Content, FunctionResponse, Part
from realtime_gemini.server_messages import ServerContent, ServerMessage, ToolCall
from tests.laws.stories import many
from tests.providers.gemini.wires import sound

PCM = b"\xff\xfe\xfb\xef" * 5
BLOB = Blob(mime_type="audio/pcm;rate=24000", data=PCM)
SPOKEN = ServerMessage(
    server_content=ServerContent(model_turn=Content(parts=(Part(inline_data=BLOB),)))
)


def heard(text: str, **names: str) -> bytes:
    """Write the same message under other names."""
    told = {"server": "serverContent", "turn": "modelTurn", "data": "inlineData", **names}
    mime = told.get("mime", "mimeType")
    blob = {mime: "audio/pcm;rate=24000", "data": text}
    turn = {told["turn"]: {"parts": [{told["data"]: blob}]}}
    return msgspec.json.encode({told["server"]: turn})


class TestTolerance:
    """What is read means the same, however it is written."""

    @pytest.mark.parametrize("encoded", [base64.b64encode(PCM), base64.urlsafe_b64encode(PCM)])
    @pytest.mark.parametrize("padded", [True, False])
    def test_alphabets(self, encoded: bytes, padded: bool) -> None:
        text = encoded.decode() if padded else encoded.rstrip(b"=").decode()
        assert server_message(heard(text)) == SPOKEN
        assert server_message(heard(text).decode()) == SPOKEN

    @pytest.mark.parametrize(
        "names",
        [
            {"server": "server_content"},
            {"turn": "model_turn"},
            {"data": "inline_data"},
            {"mime": "mime_type"},
            {"server": "server_content", "turn": "model_turn", "data": "inline_data"},
        ],
    )
    def test_snake_case_at_every_level(self, names: dict[str, str]) -> None:
        assert server_message(heard(base64.b64encode(PCM).decode(), **names)) == SPOKEN
        assert server_message(heard(base64.b64encode(PCM).decode(), **names).decode()) == SPOKEN

    def test_null_is_nothing(self) -> None:
        fields = ServerMessage.__struct_fields__
        wire = msgspec.json.encode({_camel(name): None for name in fields})
        assert server_message(wire) == ServerMessage()
        inner = {
            _camel(name): None for name in ServerContent.__struct_fields__ if "meta" not in name
        }
        wire = msgspec.json.encode({"serverContent": inner})
        assert server_message(wire) == ServerMessage(server_content=ServerContent())

    def test_what_protobuf_may_write_as_text(self) -> None:
        wire = b'{"usage_metadata":{"prompt_token_count":"7"}}'
        told = server_message(wire).usage_metadata
        assert told is not None
        assert told.prompt_token_count == 7

    def test_names_of_the_users_own_are_kept(self) -> None:
        args = {"at_place": {"data": "a-b_c", "is_new": True}, "$defs": {"x_y": 1}}
        wire = {"tool_call": {"function_calls": [{"name": "look", "args": args}]}}
        told = server_message(msgspec.json.encode(wire)).tool_call
        assert isinstance(told, ToolCall)
        (call,) = told.function_calls or ()
        assert isinstance(call.args, msgspec.Raw)
        assert msgspec.json.decode(call.args) == args

    def test_a_schema_keeps_the_names_of_its_properties(self) -> None:
        schema = {
            "type": "OBJECT",
            "properties": {"first_name": {"type": "STRING", "min_length": 1}},
            "required": ["first_name"],
        }
        declared = {
            "name": "f",
            "parameters": schema,
            "parameters_json_schema": {"a_b": {"c_d": 1}},
        }
        wire = {"setup": {"model": "m", "tools": [{"function_declarations": [declared]}]}}
        setup = client_message(msgspec.json.encode(wire)).setup
        assert setup is not None
        assert setup.tools is not None
        (told,) = setup.tools[0]["functionDeclarations"]
        assert told["parameters"]["properties"] == {
            "first_name": {"type": "STRING", "minLength": 1}
        }
        assert told["parameters"]["required"] == ["first_name"]
        assert told["parametersJsonSchema"] == {"a_b": {"c_d": 1}}

    def test_client_messages_of_the_official_client(self) -> None:
        wire = b'{"realtime_input":{"video":{"data":"_9j_","mime_type":"image/jpeg"}}}'
        video = Blob(mime_type="image/jpeg", data=b"\xff\xd8\xff")
        assert client_message(wire) == ClientMessage(realtime_input=RealtimeInput(video=video))

    @pytest.mark.parametrize("text", ["%%%", "AAA-%", "A", "é"])
    def test_what_is_no_base64(self, text: str) -> None:
        with pytest.raises(BROKEN):
            server_message(heard(text))

    @pytest.mark.parametrize(
        ("name", "canonical"),
        [
            ("model_turn", "modelTurn"),
            ("modelTurn", "modelTurn"),
            ("_private", "_private"),
            ("a__b", "aB"),
            ("", ""),
            ("top_k_2", "topK2"),
        ],
    )
    def test_names(self, name: str, canonical: str) -> None:
        assert plain({name: 1}) == {canonical: 1}


def _camel(name: str) -> str:
    return str(next(iter(plain({name: None}))))


def test_canonical_messages_are_read_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sound, words with an underscore in them, enumerations: none of it takes the long way."""

    def never(value: object) -> object:
        raise AssertionError(value)

    monkeypatch.setattr(encoding, "plain", never)
    assert server_message(sound(PCM)) == server_message(sound(PCM).decode())
    for wire in (
        b'{"serverContent":{"outputTranscription":{"text":"snake_case: ok"}}}',
        b'{"serverContent":{"interactionStatus":"IN_PROGRESS","turnComplete":true}}',
        b'{"toolCall":{"functionCalls":[{"id":"fc_1","name":"look_up","args":{"q":1}}]}}',
        b'{"voiceActivity":{"type":"ACTIVITY_START","audioOffset":"1.880s"}}',
    ):
        server_message(wire)


@pytest.mark.parametrize("wire", HOSTILE, ids=lambda wire: repr(wire)[:40])
def test_hostile_bytes_raise_what_is_announced(wire: object) -> None:
    if not isinstance(wire, str | bytes):
        return
    for read in (server_message, client_message):
        with suppress(*BROKEN):
            read(wire)


@many
@given(st.binary(max_size=64) | st.text(st.characters(codec=None), max_size=64))
def test_any_bytes_raise_what_is_announced(wire: bytes | str) -> None:
    for read in (server_message, client_message):
        with suppress(*BROKEN):
            read(wire)


_TEXT = st.text(max_size=8)
_MAYBE = st.none() | _TEXT
_OBJECT = st.dictionaries(_TEXT, st.none() | st.integers(-5, 5) | _TEXT, max_size=2)
_BLOBS = st.builds(Blob, _MAYBE, st.none() | st.binary(max_size=9))
_PARTS = st.builds(
    Part,
    text=_MAYBE,
    thought=st.none() | st.booleans(),
    inline_data=st.none() | _BLOBS,
    function_response=st.none() | st.builds(FunctionResponse, _MAYBE, st.none() | _OBJECT, _MAYBE),
)
_CONTENTS = st.builds(Content, st.lists(_PARTS, max_size=2).map(tuple), _MAYBE)
_SERVER = st.builds(
    ServerMessage,
    server_content=st.none()
    | st.builds(
        ServerContent, model_turn=st.none() | _CONTENTS, turn_complete=st.none() | st.booleans()
    ),
    interaction_status=_MAYBE,
)
_CLIENT = st.builds(
    ClientMessage,
    setup=st.none() | st.builds(Setup, _TEXT, system_instruction=st.none() | _CONTENTS),
    realtime_input=st.none() | st.builds(RealtimeInput, audio=st.none() | _BLOBS, text=_MAYBE),
)


@many
@given(_SERVER, _CLIENT)
def test_round_trip(server: ServerMessage, client: ClientMessage) -> None:
    assert server_message(encode(server)) == server
    assert client_message(encode(client)) == client


@given(_SERVER)
def test_snake_case_says_the_same(message: ServerMessage) -> None:
    fields: Any = msgspec.json.decode(encode(message))
    assert server_message(msgspec.json.encode(_snaked(fields))) == message


def _snaked(value: Any) -> Any:
    if isinstance(value, list):
        return [_snaked(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        return value
    return {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in str(name)): _snaked(one)
        if name != "response"
        else one
        for name, one in value.items()  # pyright: ignore[reportUnknownVariableType]
    }
