"""The provider: a codec, and a way to reach Bedrock with AWS credentials.

Making one reads nothing, loads nothing of the extra `aws`, and goes nowhere; missing credentials, a
missing region or a missing package show when a session is opened. What it can do depends on the
model.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import cache, partial
from ssl import SSLContext

from realtime_core.config import Secret, SessionConfig
from realtime_core.errors import RealtimeException
from realtime_core.frames import Frame
from realtime_core.link import Dial, Link
from realtime_core.plan import Plan
from realtime_core.provider import Provider
from realtime_core.schedule import RECONNECT

from .codec import NovaCodec, agree
from .credentials import Access, Door, Given, Profile, reach, uninstalled
from .models import DEFAULT_MODEL, capabilities

__all__ = ("nova",)

_CUT = 0.25
"""Seconds until words that interrupt are sent: nothing else tells the service to stop."""
_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE")


def nova(
    model: str = "",
    *,
    region: str | None = None,
    credentials: Given | None = None,
    profile: str | None = None,
    base_url: str | None = None,
    proxy: str | Secret | None = None,
    ssl: SSLContext | None = None,
) -> Provider[Frame]:
    """Make Nova Sonic on Bedrock, or at a server at `base_url` that speaks as it does.

    What is None is found as AWS's own tools find it, anew at each connect. `credentials` are fixed,
    or a callable (plain or async, quick) that is asked for them at each connect; else botocore's
    chain is: the environment, AWS's files (those of `profile`), sign-in, roles. It is asked in a
    worker thread, and what expires is refreshed before. `region` comes from `AWS_REGION` or the
    profile, the address from `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`, `AWS_ENDPOINT_URL` or the profile.
    """
    access = Access(
        region=region,
        credentials=credentials,
        base_url=base_url,
        proxy=Secret(proxy) if isinstance(proxy, str) else proxy,
        ssl=ssl,
    )
    own = Profile(profile)
    return Provider(
        "nova",
        capabilities(model),
        NovaCodec(),
        _dial(lambda plan: reach(access, plan.config.model, own)),
        SessionConfig(model=model or DEFAULT_MODEL, retry=RECONNECT, barrier_timeout=_CUT),
        agree,
        variables=_VARIABLES,
    )


def _dial(where: Callable[[Plan], Awaitable[Door]]) -> Dial:
    """Give a dial that loads the transport when it is used for the first time."""
    loaded = cache(partial(_loaded, where))

    def dial(plan: Plan) -> AbstractAsyncContextManager[Link]:
        return loaded()(plan)

    return dial


def _loaded(where: Callable[[Plan], Awaitable[Door]]) -> Dial:
    try:
        from .link import nova_link  # noqa: PLC0415 - an extra
    except ImportError:
        raise RealtimeException(uninstalled("Reaching Bedrock needs h2")) from None
    return nova_link(where)
