"""Point a camera at something and ask about it, typed or spoken: the model sees what it shows.

    python tests/recipes/point_a_camera.py ["What is it?" | QUESTION.wav] [PROVIDER] [camera | FILM]

Without a camera or a film it shows a drawn sign. Pictures that show nothing new are left out.
"""

from __future__ import annotations

import sys

import anyio
import numpy as np
from anyio import to_thread

from realtime_core import ResponseDone, open_session
from realtime_core.audio.files import read_audio
from realtime_core.video import Source, Watched, camera, film, stills, watch


async def main(question: str = "What is this?", provider: str = "local", shown: str = "") -> None:
    """Let the camera run, ask once it has shown something, and print what was said."""
    seen = anyio.Event()

    def tell(counts: Watched) -> None:
        if counts.sent:
            seen.set()

    async with open_session(provider) as session, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: watch(session, source(shown), tell=tell))
        await seen.wait()
        if question.endswith(".wav"):
            voice = await to_thread.run_sync(read_audio, question)
            await session.simple_audio_response(voice.pcm, format=voice.format)
        else:
            await session.simple_response(question)
        async for event in session.events():
            if isinstance(event, ResponseDone):
                break
        tasks.cancel_scope.cancel()
        for message in session.history:
            print(f"{message.role}: {message.text}")


def source(name: str) -> Source:
    return camera() if name == "camera" else film(name) if name else stills(sign())


def sign() -> np.ndarray:
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (480, 160), "white")
    ImageDraw.Draw(picture).text((120, 40), "OPEN", "black", font_size=80)
    return np.asarray(picture)


if __name__ == "__main__":
    anyio.run(lambda: main(*sys.argv[1:]))
