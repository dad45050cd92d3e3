"""Watching: what the tests of the server share: a provider at it, and a client by hand."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from realtime_core import Message, RequestId
from realtime_core.frames import Frame
from realtime_core.link import Dial, Link
from realtime_core.provider import Provider
from realtime_core.schedule import Recurs
from realtime_openai import client_events as client
from realtime_openai.server import Caller
from realtime_qwen import qwen

__all__ = ("KEY", "MODELS", "Client", "alike", "at", "items", "ours", "waiting")

Fields = dict[str, Any]

KEY = "-".join(("sk", "secret", "0123456789abcdef"))
"""Not to be found in a traceback, which quotes the source."""

MODELS = (
    "qwen3.8-omni-flash-realtime",
    "qwen3.5-omni-plus-realtime",
    "qwen3-omni-flash-realtime",
    "qwen-omni-turbo-realtime",
)


def ours(base_url: str, model: str = "") -> Provider[Frame]:
    """Make the provider for a server of a test; a loss ends it, unless the test says otherwise."""
    made = qwen(model, api_key=KEY, base_url=base_url)
    return replace(made, defaults=replace(made.defaults, retry=Recurs(0)))


def at(dial: Dial, model: str = "") -> Provider[Frame]:
    """The same, without a socket."""
    return replace(ours("http://127.0.0.1:1", model), dial=dial)


def waiting(caller: Caller) -> RequestId | None:
    """Give the request that waits longest."""
    return next(map(RequestId, caller.desk.book.wishes), None)


def items(caller: Caller) -> list[tuple[str, str]]:
    """Give what a client put into the conversation, in order."""
    made = [event.item for event in caller.received if isinstance(event, client.CreateItem)]
    told = list[tuple[str, str]]()
    for item in made:
        match item:
            case client.MessageItem(content=(client.InputText(text=text),)):
                told.append((item.role, text))
            case client.FunctionCallOutput():
                told.append(("output", item.output))
            case _:
                raise AssertionError(item)
    return told


class Client:
    """A client by hand: says what the test says, and keeps all that it is told."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.events: list[Fields] = []
        self._seen = 0

    async def say(self, *events: Fields) -> None:
        await self.link.send(tuple(json.dumps(event).encode() for event in events))

    async def until(self, type: str) -> Fields:
        while True:
            while self._seen < len(self.events):
                event = self.events[self._seen]
                self._seen += 1
                if event["type"] == type:
                    return event
            wires = await self.link.receive()
            self.events += (json.loads(wire) for wire in wires if isinstance(wire, str | bytes))

    def types(self, *without: str) -> list[str]:
        """Give what it was told, by name, and each name once in a row."""
        names = [event["type"] for event in self.events if event["type"] not in without]
        return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]

    def of(self, type: str) -> list[Fields]:
        return [event for event in self.events if event["type"] == type]


def alike(*messages: Message) -> list[tuple[str, str]]:
    """Give messages as role and text."""
    return [(message.role, message.text) for message in messages]
