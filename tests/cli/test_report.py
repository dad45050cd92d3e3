"""`realtime providers`, `doctor` and `models`: reports that always come, whatever is missing."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import msgspec
import pytest

from realtime_core import provider as registry
from realtime_core.cli import doctor, extras
from realtime_core.cli.extras import EXTRAS
from realtime_core.cli.providers import Listing
from tests.cli.conftest import ROOT, Realtime
from tests.cli.voices import LINES

# --- providers ------------------------------------------------------------------------------------


def test_every_provider_is_listed_with_what_its_code_says(realtime: Realtime) -> None:
    ran = realtime("providers", "--json")
    assert ran.code == 0
    found = {one["name"]: one for one in msgspec.json.decode(ran.out)}
    assert set(found) == set(LINES)
    assert found["parrot"]["capabilities"]["voices"] == ["polly", "jack"]
    assert found["parrot"]["error"] is None
    assert found["blind"]["capabilities"]["images"] is False
    models = found["local"]["capabilities"]["models"]
    assert all(model["licence"] and model["source"] for model in models)


def test_one_that_cannot_be_loaded_is_listed_with_the_reason(realtime: Realtime) -> None:
    ran = realtime("providers")
    assert ran.code == 0
    assert "absent  (unknown package, tests.cli.no_such_module:made)" in ran.out
    assert "No module named 'tests.cli.no_such_module'" in ran.out
    assert "ZeroDivisionError" in ran.out
    assert "Traceback" not in ran.out


def test_without_any_provider_it_says_what_to_type(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "installed", dict)
    ran = realtime("providers")
    assert ran.code == 0
    assert "pip install 'realtime-core[local]'" in ran.out
    assert realtime("providers", "--json").out == "[]\n"


# --- doctor ---------------------------------------------------------------------------------------


def test_the_doctor_looks_at_everything(realtime: Realtime) -> None:
    ran = realtime("doctor", "--json")
    assert ran.code == 0
    found = {one["name"]: one for one in msgspec.json.decode(ran.out)}
    assert {"python", "realtime-core", "models small", "microphone", "loudspeaker"} <= set(found)
    assert {f"extra {extra}" for extra in EXTRAS} <= set(found)
    assert found["extra cli"]["ok"]
    assert found["provider parrot"]["ok"]
    assert not found["provider broken"]["ok"]


def test_the_doctor_tells_which_keys_are_set_and_not_what_they_are(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tuple(
        Listing(name=name, entry="", distribution="", variables=variables)
        for name, variables in (("one", ("A_KEY",)), ("two", ("A_KEY", "B_KEY")), ("three", ()))
    )
    monkeypatch.setattr(doctor, "listings", lambda: found)
    monkeypatch.setenv("A_KEY", "sk-quite-a-secret")
    monkeypatch.delenv("B_KEY", raising=False)
    ran = realtime("doctor", "--json")
    keys = {
        one["name"]: one for one in msgspec.json.decode(ran.out) if one["name"].startswith("key ")
    }
    assert {name: one["ok"] for name, one in keys.items()} == {
        "key A_KEY": True,
        "key B_KEY": False,
    }
    assert keys["key A_KEY"]["what"] == "set, for one, two"
    assert keys["key B_KEY"]["fix"] == "export B_KEY=..."
    assert "sk-quite-a-secret" not in ran.out + ran.err


def test_the_doctor_says_what_to_type(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "sounddevice", None)
    monkeypatch.setenv("REALTIME_MODELS_DIR", str(tmp_path))
    monkeypatch.setattr(registry, "installed", dict)
    ran = realtime("doctor")
    assert ran.code == 0
    for extra in EXTRAS:
        assert f"> pip install 'realtime-core[{extra}]'" in ran.out
    assert "> realtime models install small" in ran.out
    assert "sounddevice is not installed" in ran.out


def test_the_doctor_goes_on_when_something_breaks(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(doctor, "rows", broken)
    monkeypatch.setattr(doctor, "absence", broken)
    ran = realtime("doctor")
    assert ran.code == 0
    assert ran.out.count("RuntimeError") == 3
    assert "provider parrot" in ran.out


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["optional-dependencies"]
    assert set(declared) - {"dev", "test"} == set(EXTRAS)
    names = {"pillow": "PIL", "piper-tts": "piper"}
    for extra, modules in EXTRAS.items():
        packages = [line.split(">")[0].split("=")[0] for line in declared[extra]]
        assert sorted(names.get(one, one) for one in packages) == sorted(modules)


# --- models ---------------------------------------------------------------------------------------


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("REALTIME_MODELS_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_has_a_place(realtime: Realtime, cache: Path) -> None:
    ran = realtime("models", "path")
    assert (ran.code, ran.out) == (0, f"{cache}\n")


@pytest.mark.parametrize("words", [(), ("list",)])
def test_what_is_needed_is_listed_with_licence_and_source(
    realtime: Realtime, cache: Path, words: tuple[str, ...]
) -> None:
    ran = realtime("models", *words)
    assert ran.code == 0
    assert ran.out.count("missing ") >= 10
    assert "Apache-2.0; SmolLM2 135M Instruct" in ran.out
    ran = realtime("models", *words, "--json")
    rows = msgspec.json.decode(ran.out)
    assert all(row["state"] == "missing" and row["licence"] and row["source"] for row in rows)
    assert {row["part"] for row in rows} == {"ears", "mind", "mouth"}
    assert not cache.exists()


def test_missing_models_do_not_verify(realtime: Realtime, cache: Path) -> None:
    ran = realtime("models", "verify")
    assert ran.code == 1
    assert "Type: realtime models install" in ran.err
    ran = realtime("models", "verify", "--json")
    assert ran.code == 1
    assert msgspec.json.decode(ran.out)
    assert ran.err == ""


def test_a_wrong_file_is_told(realtime: Realtime, cache: Path) -> None:
    rows = msgspec.json.decode(realtime("models", "--json").out)
    first = Path(rows[0]["path"])
    first.parent.mkdir(parents=True)
    first.write_bytes(b"something else")
    rows = msgspec.json.decode(realtime("models", "verify", "--json").out)
    assert rows[0]["state"] == "wrong"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("install", "--from", "no/such/folder"), 1, "There is no folder no/such/folder"),
        (("install", "--from", "."), 1, "holds neither"),
        (("install", "huge", "--from", "."), 1, "no model set 'huge'"),
        (("install", "--form", "x"), 2, "Known options: --from"),
        (("isntall",), 2, "Known commands: list, verify, path, install"),
    ],
)
def test_what_cannot_be_installed_is_told(
    realtime: Realtime,
    cache: Path,
    words: tuple[str, ...],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    ran = realtime("models", *words)
    assert ran.code == code
    assert told in ran.err
    assert "  fix:   " in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.models
def test_a_copy_of_a_cache_can_be_installed_from(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from realtime_local import store

    here = store.cache()
    monkeypatch.setenv("REALTIME_MODELS_DIR", str(tmp_path / "other"))
    ran = realtime("models", "install", "--from", here)
    assert ran.code == 0
    assert "all as they should be" in ran.out
    assert "models: small: " in ran.err
    assert len(ran.err.splitlines()) < 100
    assert realtime("models", "verify").code == 0
    again = realtime("models", "install", "--from", os.devnull)
    assert again.code == 0
    assert again.err == ""
