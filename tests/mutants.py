"""Plants each fault of `tests/laws/mutants.py` in a copy of the code: `python -m tests.mutants`.

The law that is named must fail, by an assertion of its own; first it must pass without the fault.
Prints a table, and exits 1 if a fault survives. The working tree is never touched.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from tests.laws.mutants import MUTANTS, Mutant

__all__ = ("Verdict", "judged", "main", "planted", "printed")

ROOT = Path(__file__).parent.parent
PARTS = ("realtime_core", "providers", "tests", "pyproject.toml")
LIMIT = 180
"""Seconds that one law may take; a fault that makes it hang is not seen by an assertion."""

PASSED = "every test passed"


class Verdict(NamedTuple):
    """What became of a fault: the test that saw it, or why nothing did."""

    mutant: Mutant
    killed_by: str
    why: str
    seconds: float


def planted(mutant: Mutant, source: str) -> str:
    """Give the source with the fault in it; raises `LookupError` unless it has just one place."""
    if source.count(mutant.old) != 1:
        places = source.count(mutant.old)
        raise LookupError(f"{mutant.file} has {places} places for: {mutant.name}")
    return source.replace(mutant.old, mutant.new)


def copied(source: Path, into: Path) -> Path:
    """Copy what the tests need."""
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, into / part, ignore=shutil.ignore_patterns(".*"))
        else:
            shutil.copy2(source / part, into / part)
    return into


def judged(base: Path, mutant: Mutant) -> Verdict:
    """Plant a fault in a copy of its own and run its law."""
    began = time.monotonic()
    with TemporaryDirectory(prefix="mutant-") as folder:
        copy = copied(base, Path(folder))
        place = copy / "realtime_core" / mutant.file
        place.write_text(planted(mutant, place.read_text("utf-8")), "utf-8")
        failed, why = attempted(copy, mutant.test)
    return Verdict(mutant, failed, why, time.monotonic() - began)


def attempted(copy: Path, law: str) -> tuple[str, str]:
    """Run a law in a copy: the test whose assertion failed first, or nothing and why."""
    inside = f"{copy}{os.pathsep}{copy / 'providers'}"
    command = [sys.executable, "-m", "tests.mutants", "--attempt", law]
    environment = {**os.environ, "PYTHONPATH": inside, "REALTIME_LAWS": "mutants"}
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired:
        return "", f"nothing was decided in {LIMIT} s"
    last = done.stdout.strip().rpartition("\n")[2]
    try:
        failed, why = json.loads(last)
    except ValueError:
        return "", f"the tests could not be run: {(done.stderr or done.stdout)[-400:]}"
    return str(failed), str(why)


# --- in the copy ------------------------------------------------------------------------------


class _Witness:
    """Sees the first failure of a run, and whether it is an assertion."""

    def __init__(self) -> None:
        self.failed = ""
        self.why = PASSED
        self.ran = 0

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        self.ran += call.when == "call"
        if call.excinfo is None or self.why != PASSED:
            return
        problem = call.excinfo.value
        if call.when == "call" and any(map(_is_finding, _flat(problem))):
            self.failed, self.why = item.nodeid, str(problem)[:200]
        elif not isinstance(problem, pytest.skip.Exception):
            self.why = f"no assertion: {problem!r}"[:300]


def _flat(problem: BaseException) -> Iterator[BaseException]:
    if isinstance(problem, BaseExceptionGroup):
        for part in problem.exceptions:
            yield from _flat(part)
    else:
        yield problem


def _is_finding(problem: BaseException) -> bool:
    """Tell an assertion, or an error that did not come where one is due, from a crash."""
    if isinstance(problem, pytest.fail.Exception):
        return "DID NOT RAISE" in str(problem)
    return isinstance(problem, AssertionError)


def _attempt(law: str) -> None:
    seen = _Witness()
    options = ["-xq", "-p", "no:cacheprovider", "-k", "not fault", "--timeout", "60"]
    code = int(pytest.main([*options, law], plugins=[seen]))
    ours = str(getattr(sys.modules.get("realtime_core"), "__file__", ""))
    if not ours.startswith(str(Path.cwd())):
        seen.failed, seen.why = "", f"not the copy was imported: {ours}"
    if seen.ran == 0 or code not in {0, 1}:
        seen.failed, seen.why = "", f"pytest ended with {code} after {seen.ran} tests"
    print(f"\n{json.dumps([seen.failed, seen.why])}")


# --- the table --------------------------------------------------------------------------------


def printed(verdicts: Sequence[Verdict]) -> str:
    """Give the table: fault, law, the test that saw it, seconds."""
    rows = [("fault", "law", "killed by", "seconds")]
    for mutant, killed_by, _, seconds in verdicts:
        seen = killed_by.removeprefix("tests/").replace(".py::", " ").replace("::", ".")
        rows.append((mutant.name, mutant.law, seen or "NOBODY", f"{seconds:.1f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        " | ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]))
        for row in rows
    )


def main(given: Sequence[str] | None = None) -> int:
    """Plant all faults, or those whose name or file holds a text."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="a part of the fault's name, file or law's test")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="faults at a time")
    parser.add_argument("--attempt", help=argparse.SUPPRESS)
    wish = parser.parse_args(given)
    if wish.attempt:
        _attempt(wish.attempt)
        return 0
    chosen = [m for m in MUTANTS if wish.only in f"{m.name} {m.file} {m.test}"]
    with TemporaryDirectory(prefix="mutants-") as folder:
        base = copied(ROOT, Path(folder))
        for mutant in chosen:
            planted(mutant, (base / "realtime_core" / mutant.file).read_text("utf-8"))
        with ThreadPoolExecutor(wish.jobs) as pool:
            laws = list(dict.fromkeys(mutant.test for mutant in chosen))
            for law, (failed, why) in zip(
                laws, pool.map(partial(attempted, base), laws), strict=True
            ):
                if why != PASSED:
                    print(f"Without a planted fault already: {failed or law}: {why}")
                    return 1
            verdicts = list(pool.map(partial(judged, base), chosen))
    print(printed(verdicts))
    alive = [verdict for verdict in verdicts if not verdict.killed_by]
    for verdict in alive:
        print(f"\nSurvives: {verdict.mutant.name}\n  {verdict.mutant.test}: {verdict.why}")
    print(f"\n{len(verdicts) - len(alive)} of {len(verdicts)} faults were seen.")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
