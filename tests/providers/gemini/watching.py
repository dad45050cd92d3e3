"""Watching: what every case of the fault matrix is held to, with a key and a provider."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from realtime_core.frames import Frame
from realtime_core.plan import Plan
from realtime_core.provider import Provider
from realtime_core.schedule import Recurs
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_gemini import DEVELOPER_API, Access, gemini, reach
from realtime_gemini.endpoint import secret
from realtime_gemini.failures import closed
from realtime_gemini.refusal import refused
from realtime_gemini.tokens import setup_of
from tests.providers.watching import PLAIN, SECURE, Way, ended, idle, unopened, until, watched

__all__ = (
    "KEY",
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

KEY = "AIza" + "-".join(("secret", "0123456789abcdef"))
"""Not to be found in a traceback, which quotes the source."""
MODEL = "gemini-3.8-live"


def ours(
    base_url: str, way: Way = PLAIN, ping: tuple[float, float] | None = None
) -> Provider[Frame]:
    """Make the provider for a server of a test; a loss ends it, unless the test says otherwise.

    `ping` gives it less patience than its own: seconds until it pings, and until it gives up.
    """
    made = gemini(MODEL, api_key=KEY, base_url=base_url, ssl=way.client)
    if ping is not None:
        made = replace(made, dial=websocket(_Pinging(base_url, way, *ping).endpoint))
    return replace(made, defaults=replace(made.defaults, retry=Recurs(0)))


class _Pinging(NamedTuple):
    base_url: str
    way: Way
    interval: float
    timeout: float

    async def endpoint(self, plan: Plan) -> Endpoint:
        access = Access(
            service=DEVELOPER_API, base_url=self.base_url, key=secret(KEY), ssl=self.way.client
        )
        door = await reach(access)
        return Endpoint(
            url=door.socket(setup_of(plan)),
            headers=door.shown,
            ssl=door.ssl,
            failure=closed,
            refusal=refused,
            ping_interval=self.interval,
            ping_timeout=self.timeout,
        )
