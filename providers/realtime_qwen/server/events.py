"""Events: what a client of this service says, read strictly; the rest is as in the OpenAI family.

Facts: the documentation's client events, and what the official SDK sends.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from realtime_openai import client_events as client

from ..client_events import AppendImage, Finish

__all__ = ("Cancel", "Create", "CreateItem", "Update", "Wish", "decode")

Fields = dict[str, Any]


class _Strict(client.ClientEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Update(_Strict, frozen=True, kw_only=True, tag="session.update"):
    """Change the settings that are named."""

    session: Fields


class CreateItem(_Strict, frozen=True, kw_only=True, tag="conversation.item.create"):
    """Add to the conversation; an id that the client gives is passed over."""

    item: Fields
    previous_item_id: str | UnsetType | None = UNSET


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an answer is to be."""

    instructions: str | UnsetType | None = UNSET
    modalities: tuple[Literal["text", "audio"], ...] | UnsetType | None = UNSET


class Create(_Strict, frozen=True, kw_only=True, tag="response.create"):
    """Ask for an answer."""

    response: Wish | UnsetType | None = UNSET


class Cancel(_Strict, frozen=True, kw_only=True, tag="response.cancel"):
    """Stop the answer that is being given; it takes no id."""


_Own = AppendImage | Create | Finish
_DECODER: msgspec.json.Decoder[_Own] = msgspec.json.Decoder(_Own)


def decode(wire: str | bytes) -> client.ClientEvent:
    """Read an event as a script sees it; raises what msgspec raises for whatever is none."""
    try:
        event = _DECODER.decode(wire)
    except msgspec.ValidationError:
        return client.decode(wire)
    if not isinstance(event, Create):
        return event
    wish = event.response if isinstance(event.response, Wish) else Wish()
    asked = client.ResponseWish(
        instructions=wish.instructions or UNSET, modalities=wish.modalities or UNSET
    )
    return client.Create(event_id=event.event_id, response=asked)
