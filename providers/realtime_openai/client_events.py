"""What a client of the OpenAI family says: one frozen value per event.

A server reads them strictly: an unknown event or a field of the wrong type is an error. Facts: the
official SDK's `openai.types.realtime`.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

__all__ = (
    "Append",
    "AudioContent",
    "Cancel",
    "Clear",
    "ClearOutput",
    "ClientEvent",
    "Commit",
    "Content",
    "Create",
    "CreateItem",
    "DeleteItem",
    "FunctionCall",
    "FunctionCallOutput",
    "ImageContent",
    "InputText",
    "Item",
    "McpApprovalResponse",
    "MessageItem",
    "OutputAudio",
    "OutputText",
    "PlainText",
    "Reference",
    "ResponseWish",
    "RetrieveItem",
    "TruncateItem",
    "UpdateSession",
    "decode",
    "encode",
)

Milliseconds = Annotated[int, msgspec.Meta(ge=0)]


class _Part(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    pass


class InputText(_Part, frozen=True, kw_only=True, tag="input_text"):
    """Words of the user or the system."""

    text: str


class AudioContent(_Part, frozen=True, kw_only=True, tag="input_audio"):
    """What the user said: sound, or the words alone."""

    audio: str | UnsetType | None = UNSET
    transcript: str | UnsetType | None = UNSET


class ImageContent(_Part, frozen=True, kw_only=True, tag="input_image"):
    """A picture as a data URI, PNG or JPEG."""

    image_url: str
    detail: str | UnsetType = UNSET


class OutputText(_Part, frozen=True, kw_only=True, tag="output_text"):
    """Words of the assistant."""

    text: str


class OutputAudio(_Part, frozen=True, kw_only=True, tag="output_audio"):
    """What the assistant said: sound, or the words alone."""

    audio: str | UnsetType | None = UNSET
    transcript: str | UnsetType | None = UNSET


class PlainText(_Part, frozen=True, kw_only=True, tag="text"):
    """Words of the assistant, as the beta names them."""

    text: str


Content = InputText | AudioContent | ImageContent | OutputText | OutputAudio | PlainText


class _Item(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    id: str | UnsetType = UNSET
    object: str | UnsetType = UNSET
    status: str | UnsetType = UNSET


class MessageItem(_Item, frozen=True, kw_only=True, tag="message"):
    """Something said."""

    role: str
    content: tuple[Content, ...]


class FunctionCall(_Item, frozen=True, kw_only=True, tag="function_call"):
    """A call of an earlier conversation."""

    name: str
    arguments: str
    call_id: str | UnsetType = UNSET


class FunctionCallOutput(_Item, frozen=True, kw_only=True, tag="function_call_output"):
    """The outcome of a call."""

    call_id: str
    output: str


class McpApprovalResponse(_Item, frozen=True, kw_only=True, tag="mcp_approval_response"):
    """Whether the server may call a tool of its own."""

    approval_request_id: str
    approve: bool
    reason: str | UnsetType | None = UNSET


class Reference(_Item, frozen=True, kw_only=True, tag="item_reference"):
    """An item of the conversation, by its `id`; only as input of a response."""


Item = MessageItem | FunctionCall | FunctionCallOutput | McpApprovalResponse | Reference


class ResponseWish(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an answer is to be; what is left out is as in the session."""

    instructions: str | UnsetType = UNSET
    conversation: str | UnsetType = UNSET
    output_modalities: tuple[str, ...] | UnsetType = UNSET
    modalities: tuple[str, ...] | UnsetType = UNSET
    """As the beta names it."""
    metadata: dict[str, str] | UnsetType | None = UNSET
    input: tuple[Item, ...] | UnsetType = UNSET
    audio: dict[str, Any] | UnsetType = UNSET
    tools: list[dict[str, Any]] | UnsetType = UNSET
    tool_choice: Any = UNSET
    max_output_tokens: int | str | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: dict[str, Any] | UnsetType = UNSET
    prompt: dict[str, Any] | UnsetType | None = UNSET


class ClientEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all events share; an error that an event causes names its `event_id`."""

    event_id: str | UnsetType = UNSET


class UpdateSession(ClientEvent, frozen=True, kw_only=True, tag="session.update"):
    """Change the settings that are named."""

    session: dict[str, Any]


class Append(ClientEvent, frozen=True, kw_only=True, gc=False, tag="input_audio_buffer.append"):
    """More of what the microphone hears."""

    audio: bytes


class Commit(ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.commit"):
    """Make an item of what was heard."""


class Clear(ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.clear"):
    """Forget what was heard."""


class CreateItem(ClientEvent, frozen=True, kw_only=True, tag="conversation.item.create"):
    """Add to the conversation."""

    item: Item
    previous_item_id: str | UnsetType | None = UNSET


class RetrieveItem(ClientEvent, frozen=True, kw_only=True, tag="conversation.item.retrieve"):
    """Ask for an item as the server has it."""

    item_id: str


class DeleteItem(ClientEvent, frozen=True, kw_only=True, tag="conversation.item.delete"):
    """Forget an item."""

    item_id: str


class TruncateItem(ClientEvent, frozen=True, kw_only=True, tag="conversation.item.truncate"):
    """Forget what comes after these milliseconds of an answer's sound."""

    item_id: str
    content_index: Milliseconds
    audio_end_ms: Milliseconds


class Create(ClientEvent, frozen=True, kw_only=True, tag="response.create"):
    """Ask for an answer."""

    response: ResponseWish | UnsetType | None = UNSET


class Cancel(ClientEvent, frozen=True, kw_only=True, tag="response.cancel"):
    """Stop an answer; the one in the conversation where none is named."""

    response_id: str | UnsetType = UNSET


class ClearOutput(ClientEvent, frozen=True, kw_only=True, tag="output_audio_buffer.clear"):
    """Stop playing (WebRTC, SIP, sideband)."""


_Any = (
    UpdateSession
    | Append
    | Commit
    | Clear
    | CreateItem
    | RetrieveItem
    | DeleteItem
    | TruncateItem
    | Create
    | Cancel
    | ClearOutput
)
_DECODER: msgspec.json.Decoder[_Any] = msgspec.json.Decoder(_Any)
_ENCODER = msgspec.json.Encoder()


def decode(wire: str | bytes) -> ClientEvent:
    """Read one event; raises what msgspec raises for whatever is none."""
    return _DECODER.decode(wire)


def encode(event: ClientEvent) -> bytes:
    """Write one event."""
    return _ENCODER.encode(event)
