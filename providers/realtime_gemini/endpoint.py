"""The endpoint: where a connection goes and what it shows at the door, read when it is made.

This is the one place that reads the environment. No secret is ever part of an address.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from ssl import SSLContext
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from realtime_core.config import Secret
from realtime_core.errors import AuthFailed, InvalidRequest, RealtimeException

from .service import Service

__all__ = ("Access", "Door", "Key", "full_name", "reach", "secret")

Key = str | Secret | Callable[[], str | Awaitable[str]]
"""A key, or a callable (plain or async, quick) that is asked for it at each connect."""

_SCHEMES = {"https": "https", "wss": "https", "http": "http", "ws": "http"}
_SOCKETS = {"https": "wss", "http": "ws"}
_BEARER = "Authorization"
_EPHEMERAL = "auth_tokens/"
_PLACE = "GOOGLE_CLOUD_LOCATION"
_PROJECT = "GOOGLE_CLOUD_PROJECT"
_WORD = re.compile(r"[a-z][a-z0-9-]{0,62}")
"""A location, or a version: both become part of an address."""


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
    """A key, an ephemeral token or a bearer token; empty: none is sent, where none is needed."""
    version: str | None = None
    project: str | None = None
    location: str | None = None
    proxy: Secret | None = None
    ssl: SSLContext | None = None


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A service as one connection reaches it: address, key, version."""

    service: Service
    url: str
    """`https://host/...`, without the path of the service."""
    model: str = ""
    key: Secret | None = None
    version: str | None = None
    """The version that was asked for by name."""
    proxy: Secret | None = None
    ssl: SSLContext | None = None

    @property
    def shown(self) -> dict[str, str | Secret]:
        """The header that holds the key, if there is one."""
        if self.key is None:
            return {}
        if self.ephemeral:
            return {_BEARER: Secret(f"Token {self.key.reveal()}")}
        if self.service.key_header == _BEARER:
            return {_BEARER: Secret(f"Bearer {self.key.reveal()}")}
        return {self.service.key_header: self.key}

    @property
    def ephemeral(self) -> bool:
        """Whether the key is an ephemeral token, for which there is a path of its own."""
        taken = self.key is not None and bool(self.service.token_version)
        return taken and self.key is not None and self.key.reveal().startswith(_EPHEMERAL)

    def socket(self, setup: Mapping[str, Any]) -> str:
        """Give the address for a session that is set up so: its fields choose the version."""
        scheme, _, rest = self.url.partition("://")
        path = self.service.path.format(version=self.version or self._version(setup))
        return f"{_SOCKETS[scheme]}://{rest}{path}{'Constrained' if self.ephemeral else ''}"

    def _version(self, setup: Mapping[str, Any]) -> str:
        if self.ephemeral:
            return self.service.token_version
        for field, version in self.service.versions.items():
            if _has(setup, field):
                return version
        return self.service.version


def _has(setup: Mapping[str, Any], field: str) -> bool:
    name, _, rest = field.partition(".")
    value = setup.get(name)
    if rest:
        return isinstance(value, dict) and _has(cast("dict[str, Any]", value), rest)
    return value is not None


def full_name(access: Access, model: str) -> str:
    """Give the model's name as a setup says it: with its project and location, where it has one.

    Where no project is known the name has none; `reach` tells whether that can be.
    """
    name = model or access.model or access.service.model
    if not access.service.located or name.startswith("projects/"):
        return name
    if "/" not in name:
        name = f"publishers/google/models/{name}"
    project = access.project or os.environ.get(_PROJECT, "")
    return f"projects/{project}/locations/{_place(access)}/{name}" if project else name


async def reach(access: Access) -> Door:
    """Find out where to go and with which key, without going there.

    Raises `RealtimeException`: `AuthFailed` where a key is needed and there is none,
    `InvalidRequest` where the address, the version, the project or the key cannot be used.
    """
    service = access.service
    own = _own(access)
    url = _checked(access, access.base_url or os.environ.get(service.base_variable, "") or own)
    if access.version is not None:
        _check_word(access.version, f"The version {access.version!r} of the API", "`api_version=`")
    if url == own and service.located:
        _check_project(access)
    key = await _key(access)
    if key is None and url == own:
        raise RealtimeException(_keyless(service))
    return Door(
        service=service,
        url=url,
        model=access.model,
        key=key,
        version=access.version,
        proxy=access.proxy,
        ssl=access.ssl,
    )


# --- where ------------------------------------------------------------------------------------


def _place(access: Access) -> str:
    return access.location or os.environ.get(_PLACE, "") or "global"


def _own(access: Access) -> str:
    """Give the vendor's own address."""
    service = access.service
    if not service.located:
        return service.base_url
    place = _place(access)
    _check_word(place, f"The location {place!r}", f"`location=` or the variable {_PLACE}")
    return service.places.get(place) or service.base_url.format(location=place)


def _check_project(access: Access) -> None:
    if not full_name(access, access.model).startswith("projects/"):
        raise RealtimeException(
            InvalidRequest(
                what=f"There is no project for {access.service.name}.",
                cause=f"neither `project=` nor the variable {_PROJECT} is given",
                fix=f"Type: export {_PROJECT}=..., or give `project=`.",
            )
        )


def _check_word(word: str, what: str, cause: str) -> None:
    if _WORD.fullmatch(word) is None:
        raise RealtimeException(
            InvalidRequest(
                what=f"{what} cannot be one.",
                cause=cause,
                fix="It has small letters, digits and hyphens only.",
            )
        )


def _checked(access: Access, address: str) -> str:
    why = _unusable(address)
    if why:
        raise RealtimeException(
            InvalidRequest(
                what=f"The address for {access.service.name} cannot be used: {why}.",
                cause=f"`base_url=` or the variable {access.service.base_variable}",
                fix="It looks like https://host or http://127.0.0.1:8000.",
            )
        )
    parts = urlsplit(address)
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}"


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


# --- with what --------------------------------------------------------------------------------


async def _key(access: Access) -> Secret | None:
    if access.key is None:
        told = (os.environ.get(name, "").strip() for name in access.service.key_variables)
        value = next(filter(None, told), "")
    else:
        given = cast("str | Awaitable[str]", access.key.reveal())
        value = (given if isinstance(given, str) else await given).strip()
    if value and not (value.isascii() and value.isprintable() and " " not in value):
        raise RealtimeException(
            InvalidRequest(
                what=f"The key for {access.service.name} cannot be sent.",
                cause="it holds a character that no header may, a line break perhaps",
                fix="Look at where it comes from.",
            )
        )
    return Secret(value) if value else None


def _keyless(service: Service) -> AuthFailed:
    return AuthFailed(
        what=f"There is no key for {service.name}.",
        cause=f"neither `{service.key_option}=` nor {' or '.join(service.key_variables)} is given",
        fix=f"Type: export {service.key_variables[0]}=..., or give `{service.key_option}=`.",
    )
