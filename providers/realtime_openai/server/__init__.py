"""The other side of the wire: sessions of any provider, or a script, served on the protocol.

async with serve("local") as server:            # any client of the vendor can call it
    client = AsyncOpenAI(base_url=server.base_url, api_key="none")

async def script(caller: Caller) -> None:       # a server for tests, which judges its clients
    await caller.until(Create)
    await caller.answer("Hello.", pcm=sound)

async with loopback(script) as server:
    ...
"""

from __future__ import annotations

from .caller import Caller, Script
from .conversation import HARMLESS, Loopback, Served, loopback, serve
from .mirror import Ask, Book, Told, accepted, begin, declined, greet, hear, refused, tell

__all__ = (
    "HARMLESS",
    "Ask",
    "Book",
    "Caller",
    "Loopback",
    "Script",
    "Served",
    "Told",
    "accepted",
    "begin",
    "declined",
    "greet",
    "hear",
    "loopback",
    "refused",
    "serve",
    "tell",
)
