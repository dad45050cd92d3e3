"""The other side of the wire: a script that plays Nova Sonic, and judges its clients.

async def script(caller: Caller) -> None:
    await caller.turn()
    await caller.heard("Hello?")
    await caller.answer("Hi there.", pcm=sound)

async with loopback(script) as server:          # HTTP/2; with `ssl=` over TLS
    provider = nova(base_url=server.base_url, credentials=server.credentials, region=server.region)
"""

from __future__ import annotations

from .caller import Caller, Script
from .conversation import KEYS, REGION, Loopback, loopback
from .lock import Farewell
from .telling import Said, Voice

__all__ = (
    "KEYS",
    "REGION",
    "Caller",
    "Farewell",
    "Loopback",
    "Said",
    "Script",
    "Voice",
    "loopback",
)
