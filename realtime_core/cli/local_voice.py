"""The local voice's mouth, as far as `realtime talk --say` needs it, whatever the provider is.

Its package is imported only when something is to be said.
"""

from __future__ import annotations

from ..audio.format import AudioFormat
from .script import Sound

__all__ = ("spoken",)


async def spoken(text: str) -> Sound:
    """Speak a text into memory. Raises `RealtimeException` where the voice cannot be loaded."""
    from realtime_local.mouth import load_mouth  # noqa: PLC0415 - loads the models' libraries

    mouth = await load_mouth()
    pcm = b"".join([piece async for piece in mouth.speak(text)])
    return Sound(pcm, AudioFormat(rate=mouth.rate))
