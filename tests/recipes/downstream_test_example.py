"""A test of your own agent: interrupted at every instant, it notes what was heard and no more.

python -m pytest tests/recipes/downstream_test_example.py
"""
# ruff: noqa: T201 - it is a program too

from __future__ import annotations

import anyio

from realtime_core import PCM_24K, CreateResponse, Frame, ItemId, RealtimeSession, ResponseId
from realtime_core.events import AgentTranscript, AudioOutput, ResponseDone, ResponseStarted
from realtime_core.playback import ClockSink, player
from realtime_core.session import open_session
from realtime_core.testing import Injection, every_point
from realtime_core.testing.scripted import Peer, scripted

STORY, R, ITEM = "Once upon a time.", ResponseId("r"), ItemId("i")
DONE = ResponseDone(response=R, status="completed")


async def agent(session: RealtimeSession[Frame]) -> str:
    """Yours: tell a story, and note as much of it as was heard."""
    async with player(session, ClockSink()) as speaker:
        await session.simple_response("Tell me a story.")
        async for event in session.events():
            speaker.take(event)
            if isinstance(event, ResponseDone):
                break
        await speaker.drained()
    return "".join(said.text for said in session.history if said.role == "assistant")


async def storyteller(peer: Peer) -> None:
    """Play the provider: send a story that takes half a second of virtual time to hear."""
    await peer.until(CreateResponse)
    words = AgentTranscript(response=R, item=ITEM, text=STORY, final=True)
    sound = AudioOutput(response=R, item=ITEM, pcm=bytes(PCM_24K.rate), format=PCM_24K)
    await peer.say(ResponseStarted(response=R), words, sound, DONE)
    await peer.drain()


async def interrupted(point: Injection) -> None:
    async with open_session(scripted(storyteller)) as session:
        noted = await point.drive(agent(session), session.interrupt)
        assert STORY.startswith(noted)
        assert len(noted) <= len(STORY) * anyio.current_time() / 0.5
        assert point.fired or noted == STORY


def test_the_agent_notes_what_was_heard() -> None:
    for backend in ("asyncio", "trio"):
        assert every_point(interrupted, backend=backend, tasks=lambda n: "Player" in n) > 50


async def main(provider: str = "local") -> None:
    async with open_session(provider) as session:
        print(await agent(session))


if __name__ == "__main__":
    anyio.run(main)
