"""A provider as a value: its codec, its dial and what it can do; found through entry points.

Resolving a name loads that provider's package and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

import msgspec
from returns.result import Failure, Result, Success

from .capability import Capabilities
from .codec import Codec
from .config import SessionConfig
from .errors import InvalidRequest, RealtimeError, RealtimeException, Unsupported
from .frames import Frame
from .link import Dial
from .plan import Plan, negotiate

__all__ = ("GROUP", "INCOMPLETE", "Provider", "installed", "provided", "resolve")

F_contra = TypeVar("F_contra", contravariant=True)

GROUP = "realtime_core.providers"
"""The entry-point group: each entry is a callable `(model="", **options) -> Provider`."""

INCOMPLETE = "incomplete_name"
"""Code of the error of a provider that is none without what comes after the colon."""


class Provider(msgspec.Struct, Generic[F_contra], frozen=True):
    """Everything the core needs to know of one provider that takes frames of type `F_contra`."""

    name: str
    capabilities: Capabilities
    codec: Codec[Any]
    dial: Dial
    defaults: SessionConfig = SessionConfig()
    """The configuration that applies where the caller gives none."""
    agree: Callable[[Capabilities, SessionConfig], Result[Plan, Unsupported]] = negotiate
    variables: tuple[str, ...] = ()
    """Variables of the environment that hold a key, where the caller gives none."""


def installed() -> dict[str, EntryPoint]:
    """List the providers of this environment by name, without loading them."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def resolve(
    name: str,
    **options: Any,  # noqa: ANN401 - the provider's own
) -> Result[Provider[Frame], RealtimeError]:
    """Find `provider` or `provider:model` and build it with the provider's own options."""
    head, _, model = name.partition(":")
    known = installed()
    if head not in known:
        return Failure(
            InvalidRequest(
                what=f"There is no provider named {head!r}.",
                cause="a misspelt name, or the package that holds it is not installed",
                fix=f"Known here: {', '.join(known) or 'none'}.",
            )
        )
    try:
        make = cast("Callable[..., Provider[Frame]]", known[head].load())
        return Success(make(model, **options))
    except RealtimeException as refusal:
        return Failure(refusal.error)
    except (ImportError, AttributeError, TypeError, ValueError) as problem:
        return Failure(
            InvalidRequest(
                what=f"The provider {head!r} could not be built: {problem}.",
                cause="a missing extra, or an option this provider does not have",
                fix=f"Type: pip install 'realtime-core[{head}]'; or check the option names.",
            )
        )


def provided(provider: str | Provider[F_contra], options: Mapping[str, Any]) -> Provider[F_contra]:
    """Give a provider, or the one of this name, built with these options.

    Raises `RealtimeException` where there is none, or where a provider that is made already is
    given options.
    """
    if isinstance(provider, str):
        made = resolve(provider, **options)
        if isinstance(made, Failure):
            raise RealtimeException(made.failure())
        return cast("Provider[F_contra]", made.unwrap())
    if options:
        raise RealtimeException(
            InvalidRequest(
                what=f"There is no setting named {', '.join(sorted(options))}.",
                cause="a misspelt field of SessionConfig, or a provider's option",
                fix="Give a provider's options where the provider is made.",
            )
        )
    return provider
