"""`realtime providers`: every provider that is installed, and what it can do, from its own code."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from returns.result import Failure

from .. import provider as registry
from ..capability import Capabilities
from ..errors import RealtimeError
from .faults import error_of
from .notation import encode
from .output import clean, put

__all__ = ("Listing", "listings", "providers")


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One entry point, and the provider behind it or why there is none."""

    name: str
    entry: str
    distribution: str
    capabilities: Capabilities | None = None
    variables: tuple[str, ...] = ()
    """Where it looks for a key."""
    needs: str = ""
    """What has to follow its name, where it is no provider without."""
    error: RealtimeError | None = None


def listings() -> tuple[Listing, ...]:
    """Load every installed provider; one that cannot be loaded is listed with its reason."""
    return tuple(_listing(name) for name in registry.installed())


def _listing(name: str) -> Listing:
    point = registry.installed()[name]
    dist = point.dist
    origin = f"{dist.name} {dist.version}" if dist is not None else ""
    listing = Listing(name=name, entry=point.value, distribution=origin)
    try:
        made = registry.resolve(name)
    except Exception as problem:  # a foreign package may raise anything
        return msgspec.structs.replace(listing, error=error_of(problem))
    if isinstance(made, Failure):
        error = made.failure()
        if error.code == registry.INCOMPLETE:
            return msgspec.structs.replace(listing, needs=f"{error.what} {error.fix}")
        return msgspec.structs.replace(listing, error=error)
    provider = made.unwrap()
    return msgspec.structs.replace(
        listing, capabilities=provider.capabilities, variables=provider.variables
    )


def providers(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> int:
    """List the providers that are installed, with what they can do."""
    found = listings()
    if json:
        put(encode(found))
        return 0
    if not found:
        put("No provider is installed. Type: pip install 'realtime-core[local]'")
    for listing in found:
        _show(listing)
    return 0


def _show(listing: Listing) -> None:
    put(clean(f"{listing.name}  ({listing.distribution or 'unknown package'}, {listing.entry})"))
    if listing.error is not None:
        put(clean(f"  cannot be loaded: {listing.error}"))
    if listing.needs:
        put(clean(f"  {listing.needs}"))
    if listing.capabilities is not None:
        for label, value in _told(listing.capabilities):
            put(clean(f"  {label:15}{value}"))
    if listing.variables:
        put(clean(f"  {'key from':15}{', '.join(listing.variables)}"))


def _told(able: Capabilities) -> list[tuple[str, str]]:
    """Say what there is to say, as label and words."""
    formats = {
        "hears": able.audio_in,
        "speaks": able.audio_out,
    }
    told = [
        (label, ", ".join(f"{f.encoding} {f.rate} Hz" for f in offered) or "nothing")
        for label, offered in formats.items()
    ]
    flags = {
        name.replace("_", " "): value
        for name in able.__struct_fields__
        if isinstance(value := getattr(able, name), bool)
    }
    told += [
        ("can", ", ".join(name for name, value in flags.items() if value) or "nothing more"),
        ("cannot", ", ".join(name for name, value in flags.items() if not value) or "-"),
        ("barge-in by", ", ".join(able.authorities)),
        ("resumption", able.resumption),
    ]
    if able.voices:
        told.append(("voices", ", ".join(able.voices)))
    told += [
        ("model", "; ".join(part for part in (m.name, m.part, m.licence, m.source) if part))
        for m in able.models
    ]
    return [*told, ("note", able.note)] if able.note else told
