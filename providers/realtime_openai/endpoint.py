"""The endpoint: where a connection goes and what it shows at the door, read when it is made.

This is the one place that reads the environment. No secret is ever part of an address.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from ssl import SSLContext
from typing import cast
from urllib.parse import SplitResult, urlencode, urlsplit

import msgspec

from realtime_core.config import Secret, SessionConfig
from realtime_core.errors import AuthFailed, InvalidRequest, RealtimeException

from .service import Service

__all__ = ("Access", "Door", "Key", "reach", "secret")

Key = str | Secret | Callable[[], str | Awaitable[str]]
"""A key, or a callable (plain or async, quick) that is asked for it at each connect."""

_SCHEMES = {"https": "https", "wss": "https", "http": "http", "ws": "http"}
_SOCKETS = {"https": "wss", "http": "ws"}
_BEARER = "Authorization"
_EPHEMERAL = "ek_"


def secret(key: Key | None) -> Secret | None:
    """Wrap what must not be shown."""
    if key is None or isinstance(key, Secret):
        return key
    return Secret(cast("str | Callable[[], str]", key))


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller gives to get in; what is None is taken from the vendor's own variables."""

    service: Service
    model: str = ""
    base_url: str | None = None
    key: Secret | None = None
    """An empty key: none is sent."""
    token: Secret | None = None
    """A bearer token in place of a key."""
    headers: tuple[tuple[str, str | None], ...] = ()
    proxy: Secret | None = None
    ssl: SSLContext | None = None


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A service as one connection reaches it: address, headers, key."""

    service: Service
    url: str
    """`https://host/.../realtime`, without a query."""
    model: str = ""
    headers: Mapping[str, str] = {}
    key: Secret | None = None
    bearer: bool = True
    """Whether the key is shown as a bearer token."""
    proxy: Secret | None = None
    ssl: SSLContext | None = None

    @property
    def shown(self) -> dict[str, str | Secret]:
        """The headers, with the key if there is one."""
        shown: dict[str, str | Secret] = {**self.headers}
        if self.key is not None and self.bearer:
            shown[_BEARER] = Secret(f"Bearer {self.key.reveal()}")
        elif self.key is not None:
            shown[self.service.key_header] = self.key
        return shown

    @property
    def ephemeral(self) -> bool:
        """Whether the key is a client secret, which has its session bound to it."""
        return self.key is not None and self.key.reveal().startswith(_EPHEMERAL)

    def model_of(self, config: SessionConfig) -> str:
        """Give the model that is asked for. Raises `RealtimeException` where it must be told."""
        model = config.model or self.model or self.service.model
        if not model and self.service.needs_model:
            raise RealtimeException(
                InvalidRequest(
                    what=f"{self.service.name} needs the name of a model or deployment.",
                    cause="the provider's name stands alone",
                    fix=f"Put it behind a colon: `{self.service.name}:NAME`.",
                )
            )
        return model

    def socket(self, config: SessionConfig, call_id: str = "") -> str:
        """Give the address of a WebSocket: of a session of its own, or beside a running call."""
        query = dict(self.service.query)
        if call_id:
            query["call_id"] = call_id
        elif config.options.get("purpose") == "transcription":
            query["intent"] = "transcription"
        elif model := self.model_of(config):
            query["model"] = model
        scheme, _, rest = self.url.partition("://")
        return f"{_SOCKETS[scheme]}://{rest}" + (f"?{urlencode(query)}" if query else "")


async def reach(access: Access) -> Door:
    """Find out where to go and with which key, without going there.

    Raises `RealtimeException`: `AuthFailed` where a key is needed and there is none,
    `InvalidRequest` where the address or a header cannot be used.
    """
    service = access.service
    address = _address(access)
    key = await _key(access, address)
    headers = dict(service.headers)
    for name, variable in service.header_variables:
        headers[name] = os.environ.get(variable, "")
    headers |= {name: value for name, value in access.headers if value is not None}
    return Door(
        service=service,
        url=_url(address, service),
        model=access.model,
        headers={name: _clean(name, value) for name, value in headers.items() if value},
        key=key,
        bearer=access.token is not None or service.key_header == _BEARER,
        proxy=access.proxy,
        ssl=access.ssl,
    )


# --- where ------------------------------------------------------------------------------------


def _address(access: Access) -> SplitResult:
    service = access.service
    given = access.base_url or os.environ.get(service.base_variable, "") or service.base_url
    option = service.base_option
    if not given:
        raise RealtimeException(
            InvalidRequest(
                what=f"There is no address for {service.name}.",
                cause=f"neither `{option}=` nor the variable {service.base_variable} is given",
                fix=f"Type: export {service.base_variable}=https://..., or give `{option}=`.",
            )
        )
    why = _unusable(given)
    if why:
        raise RealtimeException(
            InvalidRequest(
                what=f"The address for {service.name} cannot be used: {why}.",
                cause=f"`{option}=` or the variable {service.base_variable}",
                fix="It looks like https://host/v1 or http://127.0.0.1:8000/v1.",
            )
        )
    return urlsplit(given)


def _unusable(address: str) -> str:
    """Tell what is wrong with an address, and not what it is: it may hold a key."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return "it is none"
    if parts.scheme not in _SCHEMES:
        return "it does not begin with https:// or http://"
    if not parts.hostname:
        return "it has no host"
    if not address.isascii() or not address.isprintable() or " " in address:
        return "it holds a character that no address has"
    if parts.username is not None or parts.query or parts.fragment:
        return "it holds more than scheme, host, port and path"
    return ""


def _url(address: SplitResult, service: Service) -> str:
    path = address.path.rstrip("/")
    if not path.endswith(service.prefix):
        path += service.prefix
    return f"{_SCHEMES[address.scheme]}://{address.netloc}{path}/realtime"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# --- with what --------------------------------------------------------------------------------


async def _key(access: Access, address: SplitResult) -> Secret | None:
    service = access.service
    source = access.token or access.key
    value = os.environ.get(service.key_variable, "") if source is None else await _asked(source)
    value = value.strip()
    if value:
        return Secret(_clean("key", value, without=" "))
    if access.key is None or access.token is not None:
        _check_open(service, address)
    return None


async def _asked(source: Secret) -> str:
    given = cast("str | Awaitable[str]", source.reveal())
    return given if isinstance(given, str) else await given


def _check_open(service: Service, address: SplitResult) -> None:
    """Refuse to go without a key where one is asked for."""
    elsewhere = address.geturl().rstrip("/") != service.base_url
    if _is_loopback(address.hostname or "") or (service.keyless and elsewhere):
        return
    raise RealtimeException(
        AuthFailed(
            what=f"There is no key for {service.name}.",
            cause=f"neither `api_key=` nor the variable {service.key_variable} is given",
            fix=f"Type: export {service.key_variable}=..., or give `api_key=`.",
        )
    )


def _clean(name: str, value: str, without: str = "\n") -> str:
    if value.isascii() and value.isprintable() and without not in value:
        return value
    raise RealtimeException(
        InvalidRequest(
            what=f"The {name} that is given cannot be sent.",
            cause="it holds a character that no header may, a line break perhaps",
            fix="Look at where it comes from.",
        )
    )
