"""What a client of Qwen-Omni says beside what the whole family does: one frozen value per event."""

from __future__ import annotations

from realtime_openai.client_events import ClientEvent, encode

__all__ = ("AppendImage", "Finish", "encode")


class AppendImage(
    ClientEvent, frozen=True, kw_only=True, gc=False, tag="input_image_buffer.append"
):
    """One picture, JPEG; what is said next is said of it."""

    image: bytes


class Finish(ClientEvent, frozen=True, kw_only=True, tag="session.finish"):
    """End the session."""
