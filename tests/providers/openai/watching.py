"""Watching: what every case of the fault matrix is held to, with a key and a provider."""

from __future__ import annotations

from msgspec.structs import replace

from realtime_core.frames import Frame
from realtime_core.provider import Provider
from realtime_core.schedule import Recurs
from realtime_openai import client_events as client
from realtime_openai import openai
from realtime_openai.server import Caller
from tests.providers.watching import ended, idle, unopened, until, watched

__all__ = ("KEY", "ended", "idle", "items", "ours", "unopened", "until", "watched")

KEY = "-".join(("sk", "secret", "0123456789abcdef"))
"""Not to be found in a traceback, which quotes the source."""


def ours(base_url: str) -> Provider[Frame]:
    """Make the provider for a server of a test; a loss ends it, unless the test says otherwise."""
    made = openai("gpt-test", api_key=KEY, base_url=base_url)
    return replace(made, defaults=replace(made.defaults, retry=Recurs(0)))


def items(caller: Caller) -> list[tuple[str, str]]:
    """Give what a client put into the conversation, in order."""
    made = [event.item for event in caller.received if isinstance(event, client.CreateItem)]
    return [_item(item) for item in made]


def _item(item: client.Item) -> tuple[str, str]:
    match item:
        case client.MessageItem():
            (part,) = item.content
            assert isinstance(part, client.InputText | client.OutputText)
            return item.role, part.text
        case client.FunctionCall():
            return item.name, item.arguments
        case client.FunctionCallOutput():
            return "output", item.output
        case _:
            raise AssertionError(item)
