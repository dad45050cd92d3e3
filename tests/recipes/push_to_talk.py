"""Push to talk: the application alone decides when a turn begins and ends.

    python tests/recipes/push_to_talk.py [QUESTION.wav]

Without a recording the local voice asks the question itself.
"""

from __future__ import annotations

import sys

import anyio
from anyio import to_thread

from realtime_core import (
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioFormat,
    ResponseDone,
    SessionConfig,
    TurnDetection,
    open_session,
)
from realtime_core.audio.files import Recording, read_audio
from realtime_core.playback import ClockSink, player

BUTTON = SessionConfig(turn_detection=TurnDetection(mode="manual", authority="application"))


async def main(recording: str = "", provider: str = "local") -> None:
    """Hold the button while the question is spoken, let it go, and hear the answer to its end."""
    voice = await (to_thread.run_sync(read_audio, recording) if recording else spoken())
    async with open_session(provider, BUTTON) as session, player(session, ClockSink()) as speaker:
        await session.interrupt()  # whoever presses the button wants silence
        await session.send(ActivityStart())
        await session.send(Audio(voice.pcm, voice.format))  # a microphone's comes in pieces
        await session.send(ActivityEnd())
        async for event in session.events():
            speaker.take(event)
            if isinstance(event, ResponseDone):
                break
        await speaker.drained()
        for message in session.history:
            print(f"{message.role}: {message.text}")


async def spoken(text: str = "What is the capital of France?") -> Recording:
    from realtime_local.mouth import load_mouth

    mouth = await load_mouth()
    pcm = b"".join([piece async for piece in mouth.speak(text)])
    return Recording(pcm, AudioFormat(rate=mouth.rate))


if __name__ == "__main__":
    anyio.run(lambda: main(*sys.argv[1:]))
