"""Watching: what every case of the fault matrix is held to, with keys and a provider."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from realtime_core.config import Secret
from realtime_core.frames import Frame
from realtime_core.plan import Plan
from realtime_core.provider import Provider
from realtime_core.schedule import Recurs
from realtime_nova import Credentials, nova
from realtime_nova.credentials import Access, Door, Profile, reach
from realtime_nova.link import nova_link
from realtime_nova.server import REGION
from tests.providers.watching import PLAIN, SECURE, Way, ended, idle, unopened, until, watched

__all__ = (
    "KEY",
    "KEYS",
    "MODEL",
    "PLAIN",
    "SECURE",
    "Way",
    "ended",
    "idle",
    "ours",
    "unopened",
    "until",
    "watched",
)

KEY = "-".join(("sEcReT", "0123456789abcdef"))
"""Not to be found in a traceback, which quotes the source."""
KEYS = Credentials(Secret("AKIDEXAMPLE"), Secret(KEY), Secret(f"t0ken-{KEY}"))
MODEL = "amazon.nova-2-sonic-v1:0"


def ours(
    base_url: str,
    way: Way = PLAIN,
    ping: tuple[float, float] | None = None,
    *,
    keys: Credentials = KEYS,
) -> Provider[Frame]:
    """Make the provider for a server of a test; a loss ends it, unless the test says otherwise.

    `ping` gives it less patience than its own: seconds until it pings, and until it gives up.
    """
    made = nova(MODEL, base_url=base_url, credentials=keys, region=REGION, ssl=way.client)
    if ping is not None:
        made = replace(made, dial=nova_link(_Pinging(base_url, way, *ping).door))
    return replace(made, defaults=replace(made.defaults, retry=Recurs(0)))


class _Pinging(NamedTuple):
    base_url: str
    way: Way
    interval: float
    timeout: float

    async def door(self, plan: Plan) -> Door:
        access = Access(
            region=REGION, credentials=KEYS, base_url=self.base_url, ssl=self.way.client
        )
        door = await reach(access, plan.config.model, Profile())
        return replace(door, ping_interval=self.interval, ping_timeout=self.timeout)
