"""One barge-in, recorded and drawn: the picture in the README.

Run it to draw the picture anew: `python -m tests.barge_in`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio

from realtime_core import (
    PCM_24K,
    AgentTranscript,
    AudioOutput,
    CreateResponse,
    ItemId,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    UserTranscript,
    open_session,
)
from realtime_core.playback import ClockSink, player
from realtime_core.recording import recorded
from realtime_core.replaying import load, replayed
from realtime_core.testing import TICK, run
from realtime_core.testing.picture import picture
from realtime_core.testing.scripted import Peer, ScriptedCodec, scripted

PICTURE = Path(__file__).with_name("barge_in.svg")
STORY = "Once upon a time a dog went out to see the sea and never came home"
PIECE = bytes(PCM_24K.sample_size * PCM_24K.rate * 3 // 8)


async def storyteller(peer: Peer) -> None:
    """A provider that speaks four times as fast as is heard, and notices the user late."""
    await peer.until(CreateResponse)
    words = STORY.split()
    await answer(peer, "story", words[:12], late=words[12:])
    await peer.say(SpeechStopped(), UserTranscript(item=ItemId("u"), text="Stop!", final=True))
    await anyio.sleep(16 * TICK)
    await answer(peer, "reply", ["All", "right", "I", "am", "silent"])
    await peer.drain()


async def answer(peer: Peer, name: str, words: Sequence[str], late: Sequence[str] = ()) -> None:
    """Say an answer word by word; the user speaks after 2.25 s of it, if there are late words."""
    response, item = ResponseId(name), ItemId(name)
    await peer.say(ResponseStarted(response=response))
    for word in words:
        await say(peer, response, item, word)
        await anyio.sleep(6 * TICK)
    if late:
        await anyio.sleep(73 * TICK)  # no tie with the end of a word
        await peer.say(SpeechStarted())
        for word in late:
            await say(peer, response, item, word)
            await anyio.sleep(6 * TICK)
    await peer.say(ResponseDone(response=response, status="cancelled" if late else "completed"))


async def say(peer: Peer, response: ResponseId, item: ItemId, word: str) -> None:
    """Say one word, 375 ms long."""
    await peer.say(
        AgentTranscript(response=response, item=item, text=f"{word} ", final=False),
        AudioOutput(response=response, item=item, pcm=PIECE, format=PCM_24K),
    )


async def main(file: Path) -> None:
    """Play the answers for six seconds, and record what happens."""
    opening = open_session(scripted(storyteller), session_id="barge-in")
    async with recorded(opening, file) as session, player(session, ClockSink()) as speaker:
        await session.simple_response("Tell me a story.")
        with anyio.move_on_after(384 * TICK):
            async for event in session.events():
                speaker.take(event)


def drawn(backend: str = "asyncio") -> str:
    """Draw the picture from the recorded run."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "call.rt")
        run(main, file, backend=backend)
        return picture(replayed(load(file), ScriptedCodec()))


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
