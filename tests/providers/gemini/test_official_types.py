"""What the codec sends, judged by the types of the vendor's own package, read strictly.

Three things need help. Those types read base64 only when they are not strict, so that the bytes
are judged apart. They take tools and instructions of many kinds, so that these are judged by the
one kind that stands on the wire. And their setup has no `realtimeInputConfig`, which the vendor's
client writes beside it: that is judged by its own type.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any, cast

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from realtime_core import Message, SessionConfig, ToolSpec
from realtime_core.codec import Coded, Resume, Wire
from realtime_core.config import Secret
from realtime_gemini.codec import GeminiCodec, agree
from realtime_gemini.models import capabilities
from tests.laws.stories import many
from tests.providers.gemini import wires
from tests.providers.gemini.strategies import configs, outgoing
from tests.providers.gemini.wires import DONE, NATIVE, SOUND, THIRD, Talk, tool_call

Fields = dict[str, Any]
SERVICES = st.sampled_from(("developer", "vertex"))


def strictly(kind: type[BaseModel], fields: Fields) -> None:
    """Require that these are fields of a kind, to the last one."""
    kind.model_validate_json(json.dumps(_without_bytes(fields)), strict=True)
    kind.model_validate_json(json.dumps(fields))


def _without_bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_bytes(one) for one in value]
    if not isinstance(value, dict):
        return value
    fields = cast("Fields", value)
    if set(fields) == {"data", "mimeType"}:
        b64decode(fields["data"], validate=True)
        return {"mimeType": fields["mimeType"]}
    return {name: _without_bytes(one) for name, one in fields.items()}


def judged(wire: Wire) -> Fields:
    """Require that a message is one of the vendor's."""
    message = wires.json(wire)
    assert len(message) == 1
    setup: Fields = dict(message.get("setup") or message.get("contextUpdate") or {})
    strictly(types.RealtimeInputConfig, setup.pop("realtimeInputConfig", {}))
    kept = {"setup": setup} if "setup" in message else message
    strictly(types.LiveClientMessage, kept)
    if "systemInstruction" in setup:
        strictly(types.Content, setup["systemInstruction"])
    tools = setup.get("tools", ())
    for tool in tools.get("tools", ()) if isinstance(tools, dict) else tools:
        strictly(types.Tool, tool)
        for declared in tool.get("functionDeclarations", ()):
            strictly(types.FunctionDeclaration, declared)
    return message


@many
@given(configs(), SERVICES)
def test_every_greeting(config: SessionConfig, service: Any) -> None:
    plan = agree(capabilities(config.model, service), config).unwrap()
    codec = GeminiCodec()
    for resume in (None, Resume(1, Secret("h"), (), (Message("tool_call", "{}", name="f"),))):
        greeted = codec.greet(plan, resume)
        opened: Coded[Any] = codec.decode(greeted.state, b'{"setupComplete":{}}').unwrap()
        sent = [judged(wire) for wire in (*greeted.wires, *opened.wires)]
        assert list(sent[0]) == ["setup"]
        assert [list(one) for one in sent[1:]] in ([], [["clientContent"]], [["toolResponse"]])


@many
@given(
    configs(),
    SERVICES,
    st.lists(
        outgoing() | st.sampled_from((SOUND, DONE, tool_call(("fc_1", "f", {})))), max_size=10
    ),
)
def test_every_frame_and_command(config: SessionConfig, service: Any, acts: list[Any]) -> None:
    plan = agree(capabilities(config.model, service), config).unwrap()
    codec = GeminiCodec()
    state = codec.greet(plan, None).state
    for act in acts:
        step = codec.decode if isinstance(act, bytes) else codec.encode
        result: Any = step(state, act)
        coded = result.value_or(Coded(state))
        state = coded.state
        for wire in coded.wires:
            judged(wire)


@pytest.mark.parametrize("model", ["gemini-3.8-live", THIRD, NATIVE])
def test_tools_as_they_are_written(model: str) -> None:
    schema = {"type": "object", "properties": {"at": {"type": ["string", "null"]}}}
    tools = (ToolSpec("look", "Looks.", schema), ToolSpec("go"))
    options = {"behaviour": {"go": "NON_BLOCKING"}, "google_search": True}
    talk = Talk(model, tools=tools, options=options)
    judged(talk.greeted.wires[0])


@pytest.mark.parametrize(
    "wrong",
    [
        b'{"realtimeInput":{"audio":{"data":"AAAA","mime":"audio/pcm"}}}',
        b'{"realtimeInput":{"audioStreamEnd":1}}',
        b'{"clientContent":{"turns":[{"role":"user","parts":[{"words":"Hi"}]}]}}',
        b'{"setup":{"model":"m","generationConfig":{"topK":"many"}}}',
        b'{"setup":{"model":"m","tools":[{"functionDeclarations":[{"name":"f","behaviour":"x"}]}]}}',
        b'{"responseCancel":{}}',
    ],
)
def test_the_judge_sees_what_is_wrong(wrong: bytes) -> None:
    with pytest.raises(ValidationError):
        judged(wrong)
