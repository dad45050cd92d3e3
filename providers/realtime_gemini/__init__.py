"""Gemini Live at the Developer API and on Vertex: one codec, a table of models, two doors."""

from __future__ import annotations

from .endpoint import Access, Door, reach
from .providers import gemini, gemini_vertex
from .service import DEVELOPER_API, VERTEX, Service
from .tokens import EphemeralToken, mint

__all__ = (
    "DEVELOPER_API",
    "VERTEX",
    "Access",
    "Door",
    "EphemeralToken",
    "Service",
    "gemini",
    "gemini_vertex",
    "mint",
    "reach",
)
