"""Pictures: they go into a buffer of their own, and only behind sound.

A server that has no sound since the last turn refuses a picture; so a moment of silence goes ahead
of one. Pictures and sound become one item at the next commit.
"""

from __future__ import annotations

from msgspec.structs import replace
from returns.result import Failure, Result, Success

from realtime_core.codec import Coded, Wire
from realtime_core.errors import InvalidRequest, RealtimeError, Unsupported
from realtime_core.frames import Video
from realtime_openai.memory import Memory
from realtime_openai.writing import appended

from .client_events import AppendImage, encode
from .models import IMAGE_BYTES

__all__ = ("show",)

_AHEAD_MS = 100


def show(memory: Memory, frame: Video) -> Result[Coded[Memory], RealtimeError]:
    """Give the events for a picture, or why it cannot be shown."""
    if frame.mime != "image/jpeg":
        return Failure(
            Unsupported(
                what=f"A picture of type {frame.mime!r} is not taken here.",
                cause="the provider takes JPEG alone",
                fix=f"Make it one: `realtime_core.video.to_jpeg(image, {IMAGE_BYTES})`.",
                field="video",
            )
        )
    size = len(frame.image)
    if size > IMAGE_BYTES:
        return Failure(
            InvalidRequest(
                what=f"A picture of {size} bytes is too large: {IMAGE_BYTES} are taken.",
                cause="its size in pixels, or the quality of the JPEG",
                fix=f"Type: `realtime_core.video.to_jpeg(image, {IMAGE_BYTES})`.",
            )
        )
    wires: tuple[Wire, ...] = (encode(AppendImage(image=frame.image)),)
    if memory.primed:
        return Success(Coded(memory, wires))
    form = memory.plan.input_format
    silence = bytes(form.sample_size * (form.rate * _AHEAD_MS // 1000))
    return Success(Coded(replace(memory, primed=True), (appended(silence), *wires)))
