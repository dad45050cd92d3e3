"""The provider: Qwen-Omni at Alibaba, or at a server that speaks as it does.

Making one reads nothing and goes nowhere; a missing key or an unknown region shows when a session
is opened. What it can do depends on the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from ssl import SSLContext

from msgspec.structs import replace

from realtime_core.config import Secret, SessionConfig
from realtime_core.errors import AuthFailed, RealtimeError, SessionExpired
from realtime_core.frames import Frame
from realtime_core.plan import Plan
from realtime_core.provider import Provider
from realtime_core.schedule import RECONNECT
from realtime_core.transports.websocket import Endpoint, websocket
from realtime_openai.endpoint import Access, Key, secret
from realtime_openai.failures import closed as closed_by_family
from realtime_openai.refusal import refused as refused_by_family

from .codec import QwenCodec, agree
from .endpoint import QWEN, Place, arrive
from .models import DEFAULT_MODEL, capabilities

__all__ = ("closed", "qwen", "refused")

_CUT = 0.5
"""Seconds until an interrupted answer is settled here: a cancelled one may never be told to end."""
_IDLE = "no response was generated"


def qwen(
    model: str = "",
    *,
    api_key: Key | None = None,
    region: str | None = None,
    workspace: str | None = None,
    base_url: str | None = None,
    proxy: str | Secret | None = None,
    ssl: SSLContext | None = None,
) -> Provider[Frame]:
    """Make Qwen-Omni, or a server at `base_url` that speaks as it does.

    `api_key` is a key, or a callable (plain or async, quick) that is asked for one at each connect.
    `region` is `beijing`, `singapore`, or a region of the gateways (`us-east-1` ...), which go to
    the host of the `workspace`. What is None comes from `DASHSCOPE_API_KEY`, `DASHSCOPE_REGION`
    (else `beijing`), `DASHSCOPE_WORKSPACE` and `DASHSCOPE_WEBSOCKET_BASE_URL`. Other servers need
    no key; empty, none is sent to them.
    """
    access = Access(
        service=QWEN,
        model=model,
        base_url=base_url,
        key=secret(api_key),
        proxy=secret(proxy),
        ssl=ssl,
    )
    place = Place(region=region, workspace=workspace)

    async def endpoint(plan: Plan) -> Endpoint:
        door = await arrive(access, place)
        return Endpoint(
            url=door.socket(plan.config),
            headers=door.shown,
            ssl=door.ssl,
            proxy=door.proxy,
            failure=closed,
            refusal=refused,
        )

    chosen = model or DEFAULT_MODEL
    return Provider(
        "qwen",
        capabilities(chosen),
        QwenCodec(),
        websocket(endpoint),
        SessionConfig(model=chosen, retry=RECONNECT, barrier_timeout=_CUT),
        agree,
        variables=(QWEN.key_variable,),
    )


def closed(code: int, reason: str) -> RealtimeError | None:
    """Read how the service closed the connection; None where it did in good order.

    It does so, too, once it has answered nothing for minutes: a session then goes on over another.
    """
    if _IDLE not in reason:
        return closed_by_family(code, reason)
    return SessionExpired(
        what=f"The provider closed the connection: {reason}",
        cause="it closes a connection on which it answers nothing for five minutes",
        fix="Choose a `retry`: the conversation goes on over a new connection.",
        code=str(code),
    )


def refused(status: int, headers: Mapping[str, str], body: bytes) -> RealtimeError:
    """Read a status that means no; a key of another region is refused like a wrong one."""
    told = refused_by_family(status, headers, body)
    if not isinstance(told, AuthFailed):
        return told
    return replace(
        told,
        cause="the key is wrong, or belongs to another region",
        fix='Give `api_key=` of this region, or the region of the key: `region="singapore"`.',
    )
