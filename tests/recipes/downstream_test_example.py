"""A test of your own agent: interrupted at every instant, it notes what was heard and no more.

No key, no waiting: python -m pytest tests/recipes/downstream_test_example.py
"""

from __future__ import annotations

import anyio

from realtime_core import CreateResponse, Frame, ItemId, RealtimeSession, ResponseId, open_session
from realtime_core.events import AgentTranscript, AudioOutput, ResponseDone, ResponseStarted
from realtime_core.playback import ClockSink, player
from realtime_core.testing import Injection, every_point
from realtime_core.testing.scripted import Peer, scripted

ANSWER, R, ITEM = "It is Paris, of course.", ResponseId("r"), ItemId("i")


async def agent(session: RealtimeSession[Frame]) -> str:
    """Yours: ask for an answer, and note as much of it as was heard."""
    async with player(session, ClockSink()) as speaker:
        await session.simple_response("What is the capital of France?")
        async for event in session.events():
            speaker.take(event)
            if isinstance(event, ResponseDone):
                break
        await speaker.drained()
    return "".join(said.text for said in session.history if said.role == "assistant")


async def teacher(peer: Peer) -> None:
    """Play the provider: send an answer that takes half a second of virtual time."""
    await peer.until(CreateResponse)
    words = AgentTranscript(response=R, item=ITEM, text=ANSWER, final=True)
    sound = AudioOutput(response=R, item=ITEM, pcm=bytes(24_000), format=peer.plan.output_format)
    await peer.say(ResponseStarted(response=R), words, sound)
    await peer.say(ResponseDone(response=R, status="completed"))
    await peer.drain()


async def interrupted(point: Injection) -> None:
    async with open_session(scripted(teacher)) as session:
        noted = await point.drive(agent(session), session.interrupt)
        assert ANSWER[: int(len(ANSWER) * anyio.current_time() / 0.5)].startswith(noted)


def test_the_agent_notes_what_was_heard() -> None:
    for backend in ("asyncio", "trio"):
        assert every_point(interrupted, backend=backend, tasks=lambda n: "Player" in n) > 50


async def main(provider: str = "local") -> None:
    async with open_session(provider) as session:
        print(await agent(session))


if __name__ == "__main__":
    anyio.run(main)
