"""Pictures as bytes: which to send, and how small; importing it loads neither pillow nor numpy."""

from __future__ import annotations

from .jpeg import image_mime, read_image, to_jpeg
from .sampling import Sampler, Sampling

__all__ = ("Sampler", "Sampling", "image_mime", "read_image", "to_jpeg")
