"""The other side of the wire: sessions of any provider, or a script, served on the Live protocol.

async with serve("local") as server:            # any client of the protocol can call it
    provider = gemini(base_url=server.base_url, api_key="")

async def script(caller: Caller) -> None:       # a server for tests, which judges its clients
    await caller.turn()
    await caller.answer("Hello.", pcm=sound)

async with loopback(script) as server:
    ...
"""

from __future__ import annotations

from .address import Address
from .book import Book, Complaint, Lock
from .caller import Caller, Script
from .conversation import Loopback, Served, loopback, serve
from .mirror import cut_short, ended, hear, tell, welcome
from .page import Ask, Muted, Recall, Told

__all__ = (
    "Address",
    "Ask",
    "Book",
    "Caller",
    "Complaint",
    "Lock",
    "Loopback",
    "Muted",
    "Recall",
    "Script",
    "Served",
    "Told",
    "cut_short",
    "ended",
    "hear",
    "loopback",
    "serve",
    "tell",
    "welcome",
)
