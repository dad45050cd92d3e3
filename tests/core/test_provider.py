"""Providers: found by name through entry points, loaded one at a time, refused in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from realtime_core.capability import Capabilities
from realtime_core.errors import InvalidRequest
from realtime_core.plan import negotiate
from realtime_core.provider import GROUP, installed, resolve

MODULE = """
from realtime_core.capability import Capabilities
from realtime_core.provider import Provider

def make(model="", *, voice="ann"):
    return Provider(
        name=f"made:{model}:{voice}",
        capabilities=Capabilities(provider="made"),
        codec=None,
        dial=None,
    )
"""


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a distribution with four providers: one that works and three that do not."""
    info = tmp_path / "made_up-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\n"
        "zz_made = made_up_provider:make\n"
        "aa_absent = made_up_absent:make\n"
        "mm_broken = made_up_broken:make\n"
    )
    (tmp_path / "made_up_provider.py").write_text(MODULE)
    (tmp_path / "made_up_broken.py").write_text("import a_module_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("made_up_provider", "made_up_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_the_installed_ones_are_listed_in_order_without_loading_any() -> None:
    names = list(installed())
    assert {"aa_absent", "mm_broken", "zz_made"} <= set(names)
    assert names == sorted(names)
    assert "made_up_provider" not in sys.modules


def test_a_name_gives_its_provider() -> None:
    provider = resolve("zz_made").unwrap()
    assert provider.name == "made::ann"
    assert provider.agree is negotiate


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("zz_made:tiny", "made:tiny:ann"),
        ("zz_made:family:tiny@2", "made:family:tiny@2:ann"),
        ("zz_made:", "made::ann"),
    ],
)
def test_what_follows_the_first_colon_is_the_model(name: str, made: str) -> None:
    assert resolve(name).unwrap().name == made


def test_options_go_to_the_provider() -> None:
    assert resolve("zz_made:tiny", voice="joe").unwrap().name == "made:tiny:joe"


@pytest.mark.parametrize("name", ["zz_mad", "", ":tiny", "ZZ_MADE", "../zz_made"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    refusal = resolve(name).failure()
    assert isinstance(refusal, InvalidRequest)
    assert repr(name.partition(":")[0]) in refusal.what
    assert refusal.cause
    assert "aa_absent, " in refusal.fix
    assert "zz_made" in refusal.fix


def test_with_no_provider_at_all_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_core.provider.entry_points", lambda **_: ())
    assert "none" in resolve("openai").failure().fix


@pytest.mark.parametrize(
    ("name", "missing"),
    [("aa_absent", "made_up_absent"), ("mm_broken", "a_module_nobody_has")],
)
def test_a_package_that_cannot_be_loaded_says_what_to_install(name: str, missing: str) -> None:
    refusal = resolve(name).failure()
    assert isinstance(refusal, InvalidRequest)
    assert missing in refusal.what
    assert f"pip install 'realtime-core[{name}]'" in refusal.fix


def test_an_option_the_provider_does_not_have_is_named() -> None:
    refusal = resolve("zz_made", colour="blue").failure()
    assert isinstance(refusal, InvalidRequest)
    assert "colour" in refusal.what
    assert "option names" in refusal.fix


def test_only_the_provider_that_was_asked_for_is_loaded() -> None:
    resolve("zz_made").unwrap()
    assert "made_up_provider" in sys.modules
    assert "made_up_broken" not in sys.modules


def test_a_provider_is_a_value() -> None:
    one, two = (resolve("zz_made").unwrap() for _ in range(2))
    assert one == two
    assert one.capabilities == Capabilities(provider="made")
    with pytest.raises(AttributeError):
        one.name = "other"  # type: ignore[misc] # the point of the test


def test_importing_the_library_loads_no_provider() -> None:
    code = (
        "import sys, realtime_core; "
        "heavy = {'aiostream', 'numpy', 'realtime_local'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
