"""A question about what the camera sees: pictures go in beside the words, in one session.

    python tests/recipes/camera_question.py "What does the sign say?"

The camera films a drawn sign here; any async iterator of JPEG pictures will do.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from io import BytesIO

import anyio

from realtime_core import ResponseDone, ResponseText, Video, open_session


async def main(question: str = "What does the sign say?", provider: str = "local") -> None:
    """Let the camera run, ask once it has shown something, and print the answer as it comes."""
    pictures = camera()
    async with open_session(provider, fps=2.0, modalities=("text",)) as session:

        async def watch() -> None:
            async for picture in pictures:  # what is too fast for `fps` gives way to the latest
                await session.send(Video(picture))

        async with anyio.create_task_group() as tasks:
            await session.send(Video(await anext(pictures)))
            tasks.start_soon(watch)
            await session.simple_response(question)
            async for event in session.events():
                if isinstance(event, ResponseText) and not event.is_complete:
                    print(event.text, end="", flush=True)
                elif isinstance(event, ResponseDone):
                    break
            tasks.cancel_scope.cancel()
        print()


async def camera() -> AsyncIterator[bytes]:
    """Film a sign, eight pictures a second."""
    from PIL import Image, ImageDraw

    while True:
        picture, jpeg = Image.new("RGB", (480, 160), "white"), BytesIO()
        ImageDraw.Draw(picture).text((120, 40), "OPEN", "black", font_size=80)
        picture.save(jpeg, "JPEG")
        yield jpeg.getvalue()
        await anyio.sleep(1 / 8)


if __name__ == "__main__":
    anyio.run(lambda: main(*sys.argv[1:]))
