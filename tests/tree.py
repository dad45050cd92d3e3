"""What the README shows of the code, made from it: `python -m tests.tree [providers | laws]`.

`tree` is the modules with what they say of themselves, `providers` the table of abilities, `laws`
the laws by their numbers, as their tests state them.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

from realtime_core import AudioFormat, Capabilities
from realtime_core.provider import GROUP

__all__ = ("laws", "providers", "tree")

ROOT = Path(__file__).parent.parent
COLUMN = 20


def tree() -> str:
    """Give the folders and modules, each with the first sentence of its docstring."""
    lines = list[str]()
    for top in ("realtime_core", "providers"):
        lines += [f"{top}/", *(f"  {name:{COLUMN}}{text}" for name, text in _entries(ROOT / top))]
    return "\n".join(lines)


def _entries(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if (path / "__init__.py").exists():
            yield f"{path.name}/", _sentence(path / "__init__.py")
        elif path.suffix == ".py" and not path.name.startswith("_"):
            yield path.name, _sentence(path)


def _sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    words = " ".join(text.split("\n\n")[0].split())
    first, dot, _ = words.partition(". ")
    return first + dot.strip()


def providers() -> str:
    """Give the table of this project's providers, one row each."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = sorted(project["entry-points"][GROUP].items())
    rows = [
        _row(name, EntryPoint(name, value, GROUP).load()("").capabilities)
        for name, value in found
        if name not in {"failover", "replay"}  # they are whichever providers are named in them
    ]
    head = ("| provider | input | output | interruption |", "|---|---|---|---|")
    return "\n".join((*head, *rows))


def _row(name: str, able: Capabilities) -> str:
    hears = (_audio(able.audio_in), "text" * able.text_in, "pictures" * able.images)
    speaks = (_audio(able.audio_out), "text" * able.text_out)
    by = {"provider": "by voice", "local": "by a detector of yours", "application": "by call"}
    can = [word for word in ("cancel", "truncate", "delete") if getattr(able, word)]
    cells = (
        f"`{name}`",
        ", ".join(filter(None, hears)),
        " or ".join(filter(None, speaks)),
        " or ".join(by[who] for who in able.authorities) + "; " * bool(can) + _and(can),
    )
    return f"| {' | '.join(cells)} |"


def _audio(formats: tuple[AudioFormat, ...]) -> str:
    kinds = (
        f"{form.rate / 1000:g} kHz" + f" {form.encoding}" * (form.encoding != "pcm16")
        for form in formats
    )
    return f"audio {', '.join(kinds)}" if formats else ""


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def laws() -> str:
    """Give the laws in words, with links to the tests that hold the library to them."""
    found = dict[tuple[int, str], list[tuple[str, str]]]()
    for path in sorted((ROOT / "tests" / "laws").glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            words = ast.get_docstring(node) if isinstance(node, ast.ClassDef) else None
            stated = re.match(r"(\d+)([a-z]?)\. (.*)", (words or "").replace("\n", " "))
            if stated is not None:
                number = int(stated[1]), stated[2]
                found.setdefault(number, []).append((stated[3].partition("  ")[0], path.name))
    rows = (
        f"| {number}{letter} | {tests[0][0]} | {_links(tests)} |"
        for (number, letter), tests in sorted(found.items())
    )
    return "\n".join(("| law | in words | tests |", "|---|---|---|", *rows))


def _links(tests: list[tuple[str, str]]) -> str:
    names = dict.fromkeys(name for _, name in tests)
    return ", ".join(f"[{name[5:-3]}](tests/laws/{name})" for name in names)


if __name__ == "__main__":
    shown = {"providers": providers, "laws": laws}.get(" ".join(sys.argv[1:]), tree)
    print(shown())
