"""The extras: what each one installs, by import name, and the line that installs it.

Looking never imports what it looks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

__all__ = ("EXTRAS", "install_line", "missing")

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "local": ("onnx", "onnxruntime", "piper", "xllamacpp"),
    "local-eyes": ("rapidocr",),
    "cli": ("PIL", "rich", "soundfile", "typer"),
    "audio": ("sounddevice",),
    "aws": ("botocore", "h2"),
    "gemini": ("PIL", "httpx2"),
    "openai": ("httpx2",),
    "video": ("PIL", "av"),
    "webrtc": ("aiortc", "httpx2"),
}
"""Import names by extra."""


def missing(extra: str) -> tuple[str, ...]:
    """List the import names of an extra that are not here."""
    return tuple(name for name in EXTRAS[extra] if find_spec(name) is None)


def install_line(extra: str) -> str:
    """Give the line to type for an extra."""
    return f"pip install 'realtime-core[{extra}]'"
