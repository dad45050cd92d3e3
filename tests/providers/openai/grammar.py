"""What a client of the protocol may rely on, checked over all that a server said to it.

The judge of each event is the vendor's own package; the judge of their order is here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, get_args

from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

__all__ = ("OFFICIAL", "Grammar", "checked")

OFFICIAL: dict[str, TypeAdapter[Any]] = {
    get_args(kind.model_fields["type"].annotation)[0]: TypeAdapter(kind)
    for kind in get_args(get_args(RealtimeServerEvent)[0])
}
"""Validates server events by their type; what is required must be there."""

Fields = dict[str, Any]


class Grammar:
    """Follows one connection, and asserts at every event that it may come now."""

    def __init__(self) -> None:
        self.types: list[str] = []
        self.events: list[Fields] = []
        self._ids: set[str] = set()
        self._order: list[str] = []
        self._whole: set[str] = set()
        self._responses: dict[str, dict[int, str]] = {}
        self._ended: set[str] = set()
        self._items: dict[str, str] = {}
        self._closed: set[str] = set()
        self._parts: dict[tuple[str, int], str] = {}
        self._text: dict[tuple[str, int], str] = {}
        self._finished: set[tuple[str, tuple[str, int]]] = set()
        self._arguments: dict[str, str] = {}

    def take(self, wires: Iterable[str | bytes]) -> None:
        """Read what the server said."""
        for wire in wires:
            event = json.loads(wire)
            OFFICIAL[event["type"]].validate_json(wire)
            assert event["event_id"] not in self._ids
            self._ids.add(event["event_id"])
            self.types.append(event["type"])
            self.events.append(event)
            name = "_" + event["type"].replace(".", "_")
            getattr(self, name, lambda _: None)(event)

    def of(self, type: str) -> list[Fields]:
        """Give the events of a type."""
        return [event for event in self.events if event["type"] == type]

    # --- the conversation ---------------------------------------------------------------------

    def _conversation_item_added(self, event: Fields) -> None:
        id, before = event["item"]["id"], event["previous_item_id"]
        assert id not in self._order
        place = self._order.index(before) + 1 if before is not None else 0
        self._order.insert(place, id)

    def _conversation_item_done(self, event: Fields) -> None:
        id = event["item"]["id"]
        assert id in self._order
        assert id not in self._whole
        assert event["item"].get("status") != "in_progress"
        self._whole.add(id)

    def _conversation_item_deleted(self, event: Fields) -> None:
        self._order.remove(event["item_id"])

    def _input_audio_buffer_committed(self, event: Fields) -> None:
        last = self._order[-1] if self._order else None
        assert event["previous_item_id"] == last
        assert event["item_id"] not in self._order

    # --- answers ------------------------------------------------------------------------------

    def _response_created(self, event: Fields) -> None:
        response = event["response"]
        assert response["id"] not in self._responses
        assert response["status"] == "in_progress"
        assert response["output"] == []
        self._responses[response["id"]] = {}

    def _response_done(self, event: Fields) -> None:
        response = event["response"]
        items = self._open(response["id"])
        assert response["status"] != "in_progress"
        assert [item["id"] for item in response["output"]] == [items[at] for at in sorted(items)]
        assert set(items.values()) <= self._closed
        self._ended.add(response["id"])

    def _open(self, response: str) -> dict[int, str]:
        assert response in self._responses
        assert response not in self._ended
        return self._responses[response]

    def _response_output_item_added(self, event: Fields) -> None:
        items, id = self._open(event["response_id"]), event["item"]["id"]
        assert event["output_index"] == len(items)
        assert id not in self._items
        items[event["output_index"]] = id
        self._items[id] = event["response_id"]

    def _response_output_item_done(self, event: Fields) -> None:
        id = event["item"]["id"]
        assert self._open(event["response_id"])[event["output_index"]] == id
        assert id not in self._closed
        self._closed.add(id)
        if event["item"]["type"] == "function_call":
            assert event["item"]["arguments"] == self._arguments.get(id, "")
        parts = event["item"].get("content", [])
        assert len(parts) == len([key for key in self._parts if key[0] == id])

    def _part(self, event: Fields) -> tuple[str, int]:
        key = (event["item_id"], event["content_index"])
        items = self._open(event["response_id"])
        assert items[event["output_index"]] == event["item_id"]
        assert event["item_id"] not in self._closed
        return key

    def _response_content_part_added(self, event: Fields) -> None:
        key = self._part(event)
        assert key not in self._parts
        assert key[1] == len([one for one in self._parts if one[0] == key[0]])
        self._parts[key] = event["part"]["type"]
        self._text[key] = ""

    def _response_content_part_done(self, event: Fields) -> None:
        key, part = self._part(event), event["part"]
        assert part["type"] == self._parts[key]
        kinds = {"audio": ("output_audio", "output_audio_transcript"), "text": ("output_text",)}
        for kind in kinds[part["type"]]:
            assert (kind, key) in self._finished
        assert part.get("transcript", part.get("text")) == self._text[key]

    def _delta(self, event: Fields, kind: str) -> None:
        key = self._part(event)
        assert self._parts[key] == ("text" if kind == "output_text" else "audio")
        assert (kind, key) not in self._finished
        assert event["delta"]
        if kind != "output_audio":
            self._text[key] += event["delta"]

    def _finish(self, event: Fields, kind: str, said: str | None) -> None:
        key = self._part(event)
        assert (kind, key) not in self._finished
        assert said is None or said == self._text[key]
        self._finished.add((kind, key))

    def _response_output_audio_delta(self, event: Fields) -> None:
        self._delta(event, "output_audio")

    def _response_output_audio_transcript_delta(self, event: Fields) -> None:
        self._delta(event, "output_audio_transcript")

    def _response_output_text_delta(self, event: Fields) -> None:
        self._delta(event, "output_text")

    def _response_output_audio_done(self, event: Fields) -> None:
        self._finish(event, "output_audio", None)

    def _response_output_audio_transcript_done(self, event: Fields) -> None:
        self._finish(event, "output_audio_transcript", event["transcript"])

    def _response_output_text_done(self, event: Fields) -> None:
        self._finish(event, "output_text", event["text"])

    def _response_function_call_arguments_delta(self, event: Fields) -> None:
        id = event["item_id"]
        assert self._open(event["response_id"])[event["output_index"]] == id
        self._arguments[id] = self._arguments.get(id, "") + event["delta"]

    def _response_function_call_arguments_done(self, event: Fields) -> None:
        assert event["arguments"] == self._arguments.get(event["item_id"], "")


def checked(wires: Iterable[str | bytes]) -> Grammar:
    """Check all that a server said over one connection."""
    grammar = Grammar()
    grammar.take(wires)
    return grammar
