"""The layers: every module of the core has its place in `.importlinter`."""

from __future__ import annotations

import configparser
from pathlib import Path

import realtime_core

CORE = Path(realtime_core.__file__).parent
RULES = CORE.parent / ".importlinter"


def modules() -> set[str]:
    """Give the parts of the core that the layers name: its modules, its packages, and audio's."""
    parts = [*CORE.glob("*.py"), *(path.parent for path in CORE.glob("*/__init__.py"))]
    names = {f"realtime_core.{path.stem}" for path in parts if path.stem != "__init__"}
    audio = {f"realtime_core.audio.{path.stem}" for path in CORE.glob("audio/[a-z]*.py")}
    return names - {"realtime_core.audio"} | audio


def test_every_module_has_its_layer() -> None:
    rules = configparser.ConfigParser()
    rules.read(RULES)
    layers = rules["importlinter:contract:layers"]["layers"].replace("|", "\n").split()
    assert len(layers) == len(set(layers))
    assert set(layers) == modules()
