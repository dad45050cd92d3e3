"""Captions: the words of both sides as they come.

    python tests/recipes/captions.py [QUESTION.wav]

Without a recording the local voice asks the question itself.
"""

from __future__ import annotations

import sys

import anyio
from anyio import to_thread

from realtime_core import AgentTranscript, AudioFormat, ResponseText, UserTranscript, open_session
from realtime_core.audio.files import Recording, read_audio
from realtime_core.operators import transcripts


async def main(recording: str = "", provider: str = "local") -> None:
    """Ask by voice and write the captions until the answer has ended."""
    voice = await (to_thread.run_sync(read_audio, recording) if recording else spoken())
    line = ""
    async with open_session(provider) as session:
        await session.simple_audio_response(voice.pcm, format=voice.format)
        async with (session.events() | transcripts.pipe()).stream() as captions:
            async for words in captions:
                line, whole = grown(line, words)
                print(f"\r{line}", end="\n" if whole else "", flush=True)
                if whole and not isinstance(words, UserTranscript):
                    break


def grown(line: str, words: UserTranscript | AgentTranscript | ResponseText) -> tuple[str, bool]:
    """Give the caption with these words, and whether it is whole; some replace, some add."""
    match words:
        case UserTranscript():
            return f"you: {words.text}", words.final
        case AgentTranscript(final=True) | ResponseText(is_complete=True):
            return f"it: {words.text}", True
        case _:
            return (line if line.startswith("it: ") else "it: ") + words.text, False


async def spoken(text: str = "What is the capital of France?") -> Recording:
    from realtime_local.mouth import load_mouth

    mouth = await load_mouth()
    pcm = b"".join([piece async for piece in mouth.speak(text)])
    return Recording(pcm, AudioFormat(rate=mouth.rate))


if __name__ == "__main__":
    anyio.run(lambda: main(*sys.argv[1:]))
