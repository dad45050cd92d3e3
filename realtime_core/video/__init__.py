"""Pictures: where they come from, which to send, how small; importing it loads no extra."""

from __future__ import annotations

from .apart import camera, film, screen
from .jpeg import image_mime, read_image, to_jpeg
from .sampling import Sampler, Sampling
from .sources import Limits, Shot, Source, live, stills
from .watching import Watched, watch

__all__ = (
    "Limits",
    "Sampler",
    "Sampling",
    "Shot",
    "Source",
    "Watched",
    "camera",
    "film",
    "image_mime",
    "live",
    "read_image",
    "screen",
    "stills",
    "to_jpeg",
    "watch",
)
