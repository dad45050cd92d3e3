"""Credentials: who asks, where, and at which address, found out anew at each connect.

This is the one place that reads the environment, its files and botocore, in a worker thread. What
expires is refreshed at least ten minutes before, longer than a connection lives. No secret is part
of an address, of an error or of a log.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from inspect import isawaitable
from ssl import SSLContext
from typing import Any, NamedTuple, Protocol, cast

import msgspec
from anyio import to_thread

from realtime_core.config import Secret
from realtime_core.errors import AuthFailed, InvalidRequest, RealtimeException, Unavailable

from .signing import Credentials

__all__ = ("Access", "Credentials", "Door", "Found", "Given", "Profile", "reach", "uninstalled")

Given = Credentials | Callable[[], Credentials | Awaitable[Credentials]]
"""Credentials, or a callable (plain or async, quick) that is asked for them at each connect."""

_ADDRESSES = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL")
_IGNORED = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
_REGION = "AWS_REGION"
_WORD = re.compile(r"[a-z][a-z0-9-]{0,62}")
"""A region: it becomes part of an address."""
_UNREACHED = frozenset(
    {
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "CredentialRetrievalError",
        "EndpointConnectionError",
        "MetadataRetrievalError",
        "ReadTimeoutError",
    }
)
"""What botocore raises where somebody who gives credentials does not answer."""
_CONNECT, _READ = 5.0, 10.0
"""Seconds for each request that botocore makes on its way to credentials."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller gives to get in; what is None is found as AWS's own tools find it."""

    region: str | None = None
    credentials: Given | None = None
    base_url: str | None = None
    proxy: Secret | None = None
    ssl: SSLContext | None = None


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """The service as one connection reaches it; times in seconds."""

    url: str
    """`https://host`, without the path of the model."""
    region: str
    model: str
    credentials: Credentials
    proxy: Secret | None = None
    ssl: SSLContext | None = None
    open_timeout: float = 10.0
    close_timeout: float = 1.0
    ping_interval: float | None = 20.0
    ping_timeout: float = 20.0


class Found(NamedTuple):
    """What a profile knows; empty or None: nothing."""

    credentials: Credentials | None
    region: str = ""
    url: str = ""


async def reach(access: Access, model: str, profile: Profile) -> Door:
    """Find out where to go and with which credentials, without going there.

    What is given is taken first, then the environment, then the profile, which is asked only where
    something is missing. Raises `RealtimeException`: `AuthFailed` where there are no credentials,
    `InvalidRequest` where the region is missing, or it or the address cannot be used.
    """
    credentials = access.credentials
    if callable(credentials):
        made = credentials()
        credentials = await made if isawaitable(made) else made
    region = access.region or os.environ.get(_REGION, "").strip()
    found = Found(None)
    if credentials is None or not region:
        found = await profile.ask(keys=credentials is None)
    credentials, region = credentials or found.credentials, region or found.region
    if credentials is None:
        raise RealtimeException(_keyless())
    if _WORD.fullmatch(region) is None:
        raise RealtimeException(_regionless(region))
    url = access.base_url or _address() or found.url or _own(region)
    return Door(
        url=url.rstrip("/"),
        region=region,
        model=model,
        credentials=credentials,
        proxy=access.proxy,
        ssl=access.ssl,
    )


def _address() -> str:
    if os.environ.get(_IGNORED, "").strip().lower() == "true":
        return ""
    told = (os.environ.get(name, "").strip() for name in _ADDRESSES)
    return next(filter(None, told), "")


def _own(region: str) -> str:
    """Give the vendor's own address."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://bedrock-runtime.{region}.{domain}"


# --- botocore ---------------------------------------------------------------------------------


class _Frozen(Protocol):
    access_key: str
    secret_key: str
    token: str | None


class Profile:
    """What AWS's own tools would use: botocore's chain of credentials, and the region.

    The chain is the environment, the files, profiles with roles, SSO, processes, the container's
    and the instance's role. May be asked by several tasks, and from several event loops.
    """

    def __init__(self, name: str | None = None) -> None:
        self._name = name
        self._session: Any = None
        """Kept while it holds credentials that it refreshes."""
        self._lock = threading.Lock()

    async def ask(self, *, keys: bool = True) -> Found:
        """Find credentials, unless no keys are wanted, and region.

        Cancelling does not wait: a request under way ends by its own limits of time, unheard.
        """
        return await to_thread.run_sync(self._asked, keys, abandon_on_cancel=True)

    def _asked(self, keys: bool) -> Found:
        core, faults = _library()
        try:
            with self._lock, _unlogged():
                session = self._session or self._made(core)
                held = session.get_credentials() if keys else None
                frozen = None if held is None else cast("_Frozen", held.get_frozen_credentials())
                self._session = session if hasattr(held, "refresh_needed") else None
                return Found(
                    _sealed(frozen), session.get_config_variable("region") or "", _named(session)
                )
        except faults as problem:
            # What it says may quote what a process or a server has said: it is not handed on.
            kind = type(problem).__name__
        raise RealtimeException(_unfound(kind))

    def _made(self, core: Any) -> Any:  # noqa: ANN401 - botocore has no types
        session = core.Session(profile=self._name)
        limits = import_module("botocore.config").Config(
            connect_timeout=_CONNECT, read_timeout=_READ, retries={"total_max_attempts": 2}
        )
        session.set_default_client_config(limits)
        return session


def _named(session: Any) -> str:  # noqa: ANN401 - botocore has no types
    """Give the address that the profile names for the service, or for all of them."""
    scoped = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(scoped.get("services"), {})
    own = services.get("bedrock_runtime")
    named = own.get("endpoint_url") if hasattr(own, "get") else ""
    return named or scoped.get("endpoint_url") or ""


def _sealed(frozen: _Frozen | None) -> Credentials | None:
    if frozen is None:
        return None
    token = Secret(frozen.token) if frozen.token else None
    return Credentials(Secret(frozen.access_key), Secret(frozen.secret_key), token)


def _library() -> tuple[Any, tuple[type[Exception], ...]]:
    try:
        core = import_module("botocore.session")
        faults = import_module("botocore.exceptions")
    except ImportError:
        lacking = uninstalled("Finding AWS credentials needs botocore")
        raise RealtimeException(lacking) from None
    return core, (faults.BotoCoreError, faults.ClientError, OSError, ValueError, KeyError)


_asking: ContextVar[bool] = ContextVar("_asking", default=False)


def _heard(record: logging.LogRecord) -> bool:  # noqa: ARG001 - a filter is given it
    return not _asking.get()


@contextmanager
def _unlogged() -> Generator[None]:
    """Let botocore say nothing while it is at work here: it logs answers that hold keys."""
    for name in tuple(logging.root.manager.loggerDict):
        if name.startswith(("botocore", "urllib3")):
            logging.getLogger(name).addFilter(_heard)
    token = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(token)


# --- what can be wrong ------------------------------------------------------------------------


def uninstalled(what: str) -> InvalidRequest:
    """Give the error of what a package of the extra is needed for."""
    return InvalidRequest(
        what=f"{what}, which is not installed.",
        cause="the extra `aws` is not installed",
        fix="Type: pip install 'realtime-core[aws]'",
    )


def _keyless() -> AuthFailed:
    return AuthFailed(
        what="There are no AWS credentials.",
        cause="neither the environment, nor AWS's files, nor the machine's role has any",
        fix="Type: aws configure, or export AWS_ACCESS_KEY_ID=... and AWS_SECRET_ACCESS_KEY=...",
    )


def _regionless(region: str) -> InvalidRequest:
    if region:
        return InvalidRequest(
            what=f"The region {region[:80]!r} cannot be one.",
            cause=f"`region=`, the variable {_REGION}, or the profile",
            fix="It looks like us-east-1.",
        )
    return InvalidRequest(
        what="There is no AWS region.",
        cause=f"neither `region=`, nor {_REGION}, nor the profile names one",
        fix=f"Type: export {_REGION}=us-east-1, or give `region=`.",
    )


def _unfound(kind: str) -> AuthFailed | InvalidRequest | Unavailable:
    if kind == "ProfileNotFound":
        return InvalidRequest(
            what="There is no such AWS profile.",
            cause="`profile=`, or the variable AWS_PROFILE",
            fix="Type: aws configure list-profiles",
        )
    if kind.startswith(("UnauthorizedSSO", "SSO", "Login", "TokenRetrieval", "NoAuthToken")):
        return AuthFailed(
            what="The sign-in to AWS has expired, or there was none.",
            cause=kind,
            fix="Type: aws sso login",
        )
    if kind in _UNREACHED:
        return Unavailable(
            what="AWS credentials could not be asked for.",
            cause=f"the network, or who gives them: a service or a process ({kind})",
            fix="Try again.",
        )
    return AuthFailed(
        what="AWS credentials could not be had.",
        cause=f"{kind}, as botocore says",
        fix="Type: aws sts get-caller-identity, which says more.",
    )
