"""`realtime doctor`: what is installed, what is missing, and the line to type for it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import msgspec
import typer

from ..audio.device import absence
from .extras import EXTRAS, install_line, missing
from .faults import error_of
from .models import rows
from .notation import encode
from .output import clean, put
from .providers import Listing, listings

__all__ = ("Finding", "doctor", "findings")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at: whether it is there, and what to type if not."""

    name: str
    ok: bool
    what: str
    fix: str = ""


def findings() -> tuple[Finding, ...]:
    """Look at everything. Blocks; loads providers, but no model."""
    return (
        *_house(),
        *(_extra(extra) for extra in EXTRAS),
        *_models(),
        _sound("microphone"),
        _sound("loudspeaker"),
        *_providers(),
    )


def _house() -> tuple[Finding, ...]:
    try:
        ours = version("realtime-core")
    except PackageNotFoundError:
        ours = "from a source tree"
    python = (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    )
    return (
        Finding(name="python", ok=True, what=f"{python}, {platform.machine()}"),
        Finding(name="realtime-core", ok=True, what=ours),
    )


def _extra(extra: str) -> Finding:
    lacks = missing(extra)
    return Finding(
        name=f"extra {extra}",
        ok=not lacks,
        what=f"missing: {', '.join(lacks)}" if lacks else "installed",
        fix=install_line(extra) if lacks else "",
    )


def _models() -> tuple[Finding, ...]:
    try:
        found = rows(hashes=False)
    except Exception as problem:  # the report goes on without them
        return (Finding(name="models", ok=False, what=error_of(problem).what),)
    sets = dict.fromkeys(name for row in found for name in row.sets)
    return tuple(_set(name, {r.name: r.state for r in found if name in r.sets}) for name in sets)


def _set(name: str, states: dict[str, str]) -> Finding:
    bad = [f"{file} ({state})" for file, state in states.items() if state != "ok"]
    return Finding(
        name=f"models {name}",
        ok=not bad,
        what=f"not here: {', '.join(bad)}" if bad else f"all {len(states)} files are here",
        fix=f"realtime models install {name}" if bad else "",
    )


def _sound(device: str) -> Finding:
    try:
        error = absence("input" if device == "microphone" else "output")
    except Exception as problem:  # what PortAudio may raise is not known
        error = error_of(problem)
    if error is None:
        return Finding(name=device, ok=True, what="there is one")
    return Finding(name=device, ok=False, what=f"{error.what} {error.cause}.", fix=error.fix)


def _providers() -> tuple[Finding, ...]:
    found = listings()
    return (*_loaded(found), *_keys(found))


def _keys(found: tuple[Listing, ...]) -> tuple[Finding, ...]:
    """Tell which keys are set; what they are is nobody's business."""
    users: dict[str, list[str]] = {}
    for one in found:
        for variable in one.variables:
            users.setdefault(variable, []).append(one.name)
    return tuple(_key(variable, ", ".join(names)) for variable, names in users.items())


def _key(variable: str, users: str) -> Finding:
    name = f"key {variable}"
    if os.environ.get(variable):
        return Finding(name=name, ok=True, what=f"set, for {users}")
    return Finding(name=name, ok=False, what=f"not set, for {users}", fix=f"export {variable}=...")


def _loaded(found: tuple[Listing, ...]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            name=f"provider {one.name}",
            ok=one.error is None,
            what=one.error.what if one.error is not None else "can be loaded",
            fix=one.error.fix if one.error is not None else "",
        )
        for one in found
    ) or (Finding(name="providers", ok=False, what="none is installed", fix=install_line("local")),)


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> int:
    """Say what is installed, what is missing, and what to type. It is a report: 0 in any case."""
    found = findings()
    if json:
        put(encode(found))
        return 0
    width = max(len(one.name) for one in found)
    for one in found:
        put(clean(f"{'ok' if one.ok else '--':4}{one.name:{width}}  {one.what}"))
        if one.fix:
            put(clean(f"{'':4}{'':{width}}  > {one.fix}"))
    return 0
