"""Providers: the Developer API and Vertex, each a service, a codec, and a way to reach it.

Making one reads nothing and goes nowhere; a missing key, project or address shows when a session is
opened. What it can do depends on the model.
"""

from __future__ import annotations

from functools import partial
from ssl import SSLContext

from msgspec.structs import replace
from returns.result import Result

from realtime_core.capability import Capabilities
from realtime_core.config import Secret, SessionConfig
from realtime_core.errors import Unsupported
from realtime_core.frames import Frame
from realtime_core.plan import Plan
from realtime_core.provider import Provider
from realtime_core.schedule import RECONNECT
from realtime_core.transports.websocket import Endpoint, websocket

from .codec import GeminiCodec, agree
from .endpoint import Access, Key, full_name, reach, secret
from .failures import closed
from .models import capabilities
from .refusal import refused
from .service import DEVELOPER_API, VERTEX
from .tokens import setup_of

__all__ = ("gemini", "gemini_vertex")

_CUT = 0.25
"""Seconds until words that interrupt are sent: nothing else tells the service to stop."""


def gemini(
    model: str = "",
    *,
    api_key: Key | None = None,
    base_url: str | None = None,
    api_version: str | None = None,
    proxy: str | Secret | None = None,
    ssl: SSLContext | None = None,
) -> Provider[Frame]:
    """Make Gemini Live at the Developer API, or at a server at `base_url` that speaks as it does.

    `api_key` is a key, an ephemeral token, or a callable (plain or async, quick) that is asked for
    one at each connect. What is None comes from `GOOGLE_API_KEY` or else `GEMINI_API_KEY`, and from
    `GOOGLE_GEMINI_BASE_URL`. Other servers need no key; empty, none is sent to them.
    """
    return _provider(
        Access(
            service=DEVELOPER_API,
            model=model,
            base_url=base_url,
            key=secret(api_key),
            version=api_version,
            proxy=secret(proxy),
            ssl=ssl,
        )
    )


def gemini_vertex(
    model: str = "",
    *,
    project: str | None = None,
    location: str | None = None,
    token: Key | None = None,
    base_url: str | None = None,
    api_version: str | None = None,
    proxy: str | Secret | None = None,
    ssl: SSLContext | None = None,
) -> Provider[Frame]:
    """Make Gemini Live on Vertex.

    `token` is an OAuth access token, or a callable (plain or async, quick) that is asked for one at
    each connect. What is None comes from `GOOGLE_CLOUD_PROJECT`, `GOOGLE_CLOUD_LOCATION` (else
    `global`), `CLOUDSDK_AUTH_ACCESS_TOKEN` and `GOOGLE_VERTEX_BASE_URL`. Other servers need no
    token, nor a project.
    """
    return _provider(
        Access(
            service=VERTEX,
            model=model,
            project=project,
            location=location,
            key=secret(token),
            base_url=base_url,
            version=api_version,
            proxy=secret(proxy),
            ssl=ssl,
        )
    )


def _provider(access: Access) -> Provider[Frame]:
    service = access.service
    model = access.model or service.model

    async def endpoint(plan: Plan) -> Endpoint:
        door = await reach(replace(access, model=plan.config.model))
        return Endpoint(
            url=door.socket(setup_of(plan)),
            headers=door.shown,
            ssl=door.ssl,
            proxy=door.proxy,
            failure=closed,
            refusal=refused,
        )

    return Provider(
        service.name,
        capabilities(model, service.dialect),
        GeminiCodec(),
        websocket(endpoint),
        SessionConfig(model=model, retry=RECONNECT, barrier_timeout=_CUT),
        partial(_agree, access),
        variables=service.key_variables,
    )


def _agree(access: Access, able: Capabilities, wish: SessionConfig) -> Result[Plan, Unsupported]:
    """Agree on what the model of the session can do, and give it the name that a setup says."""
    own = access.model or access.service.model
    model = wish.model or own
    able = able if model == own else capabilities(model, access.service.dialect)
    name = full_name(access, model)
    agreed = agree(able, replace(wish, model=model))
    return agreed.map(lambda plan: replace(plan, config=replace(plan.config, model=name)))
