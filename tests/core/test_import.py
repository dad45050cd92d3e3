"""Importing the library loads no provider, no aiostream and no numpy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import realtime_core

ROOT = Path(realtime_core.__file__).parent.parent


def loaded(statement: str) -> set[str]:
    """Give the top-level packages that a statement loads in a fresh interpreter."""
    script = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "providers")))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
        capture_output=True,
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


HEAVY = {"aiostream", "numpy", "PIL", "websockets", "hypothesis", "trio", "typer", "rich"}


@pytest.mark.parametrize(
    "statement",
    [
        "import realtime_core",
        "import realtime_core.session, realtime_core.testing.scripted",
        "import realtime_core.tools, realtime_core.playback, realtime_core.timings",
        "import realtime_core.mapping, realtime_core.merging, realtime_core.sharing",
    ],
)
def test_importing_the_core_loads_nothing_heavy_and_no_provider(statement: str) -> None:
    packages = loaded(statement)
    assert "realtime_core" in packages
    assert not {name for name in packages if name in HEAVY or name.startswith("realtime_")} - {
        "realtime_core"
    }


def test_importing_the_library_loads_no_event_loop() -> None:
    """It would take half as much memory again; who runs a session has one already."""
    assert not loaded("import realtime_core") & {"asyncio", "trio", "ssl"}


def test_the_public_names_are_all_there() -> None:
    assert all(hasattr(realtime_core, name) for name in realtime_core.__all__)
    assert len(set(realtime_core.__all__)) == len(realtime_core.__all__)


def test_listing_the_providers_loads_none() -> None:
    assert not {n for n in loaded("import realtime_core; realtime_core.installed()") if n in HEAVY}
