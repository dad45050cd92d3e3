"""The planted faults can be planted: each has one place, compiles, and names an existing law."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache

import pytest

from tests import mutants
from tests.laws.mutants import MUTANTS, Mutant
from tests.mutants import ROOT, Verdict, main, planted, printed

PARTS = {
    "machine": {
        *("machine.py", "interruption.py", "incoming.py", "lifecycle.py", "requests.py"),
        *("turn.py", "heard.py"),
    },
    "outlet": {"outlet.py"},
    "lanes": {"lane.py", "doors.py"},
    "driver": {"driver.py", "line.py"},
    "tools": {"tools.py"},
    "playback": {"playback.py", "sinks.py"},
    "changeover": {"changeover.py", "history.py"},
}


@cache
def source(file: str) -> str:
    return (ROOT / "realtime_core" / file).read_text("utf-8")


@cache
def classes(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.ClassDef))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_fault_has_its_place_and_its_law(mutant: Mutant) -> None:
    faulty = planted(mutant, source(mutant.file))
    assert faulty != source(mutant.file)
    compile(faulty, mutant.file, "exec")
    path, _, name = mutant.test.partition("::")
    assert name in classes(path)
    assert mutant.law.rstrip("ab").isdecimal()


def test_there_are_enough_of_each_part() -> None:
    assert len(MUTANTS) >= 50
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    for part, files in PARTS.items():
        enough = 15 if part == "machine" else 4
        assert sum(mutant.file in files for mutant in MUTANTS) >= enough, part


def test_a_fault_without_a_place_is_refused() -> None:
    with pytest.raises(LookupError, match="2 places for: twice"):
        planted(Mutant("twice", "x.py", "a", "b", "", "1"), "a a")


def test_what_survives_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, unseen = MUTANTS[:2]
    verdicts = {
        seen: Verdict(seen, f"{seen.test}::test_folded", "assert 1 == 2", 1.0),
        unseen: Verdict(unseen, "", mutants.PASSED, 61.25),
    }
    monkeypatch.setattr(mutants, "MUTANTS", (seen, unseen))
    monkeypatch.setattr(mutants, "attempted", lambda copy, law: ("", mutants.PASSED))
    monkeypatch.setattr(mutants, "judged", lambda base, mutant: verdicts[mutant])
    assert main(["--jobs", "1"]) == 1
    told = capsys.readouterr().out
    assert printed(tuple(verdicts.values())) in told
    assert "NOBODY" in told
    assert f"Survives: {unseen.name}" in told
    assert "1 of 2 faults were seen." in told
    assert main(["--only", seen.name]) == 0


def test_without_a_fault_the_laws_must_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "MUTANTS", MUTANTS[:1])
    monkeypatch.setattr(mutants, "attempted", lambda copy, law: (law, "assert 1 == 2"))
    assert main([]) == 1
    assert "Without a planted fault already" in capsys.readouterr().out
