"""The other side of the wire: sessions of any provider, or a script, served as Qwen-Omni Realtime.

async with serve("local") as server:            # any client of the service can call it
    OmniRealtimeConversation(model, callback, url=server.url, api_key="none")

async def script(caller: Caller) -> None:       # a server for tests, which judges its clients
    await caller.until(Create)
    await caller.answer("Hello.", pcm=sound)

async with loopback(script) as server:
    ...

What clients say is read as `realtime_openai.client_events`, and as `AppendImage` and `Finish`.
"""

from __future__ import annotations

from realtime_openai.server import HARMLESS, Caller, Loopback, Script, Served

from ..client_events import AppendImage, Finish
from .conversation import TONGUE, loopback, serve

__all__ = (
    "HARMLESS",
    "TONGUE",
    "AppendImage",
    "Caller",
    "Finish",
    "Loopback",
    "Script",
    "Served",
    "loopback",
    "serve",
)
