"""An embedded voice: hears, thinks, speaks and sees on this machine, without key or network."""

from __future__ import annotations

from .voice import local

__all__ = ("local",)
