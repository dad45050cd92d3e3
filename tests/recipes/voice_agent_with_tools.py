"""A voice agent that looks things up: functions are tools, answers are played.

    python tests/recipes/voice_agent_with_tools.py "What is the weather in Paris?"

Talk over it and the sound stops, a running `weather` is cancelled, a running `reserve` is not.
"""

from __future__ import annotations

import sys

import anyio

from realtime_core import AgentTranscript, ResponseDone, SessionConfig, ToolCall, open_session
from realtime_core.playback import ClockSink, player
from realtime_core.tools import answering, tool, toolbox


async def weather(city: str) -> str:
    """Tell the weather in a city."""
    await anyio.sleep(0.5)  # a slow service
    return f"It rains in {city}, 12 degrees."


def reserve(restaurant: str, seats: int = 2) -> dict[str, object]:
    """Reserve a table in a restaurant."""
    return {"restaurant": restaurant, "seats": seats, "confirmed": True}


TOOLS = toolbox(weather, tool(reserve, policy="finish"))
CONFIG = SessionConfig(tools=tuple(tool.spec for tool in TOOLS))


async def main(question: str = "What is the weather in Paris?", provider: str = "local") -> None:
    """Ask, let the tools be called, and hear the answer to its end."""
    async with (
        open_session(provider, CONFIG) as session,
        answering(session, TOOLS) as answers,
        player(session, ClockSink()) as speaker,
    ):
        await session.simple_response(question)
        calling = False
        async for event in session.events():
            answers.take(event)
            speaker.take(event)
            if isinstance(event, ToolCall):
                calling = True  # the answer proper comes in a response of its own
            elif isinstance(event, AgentTranscript) and event.final:
                print(event.text)
            elif isinstance(event, ResponseDone) and not calling:
                break
            elif isinstance(event, ResponseDone):
                calling = False
        await speaker.drained()


if __name__ == "__main__":
    anyio.run(lambda: main(*sys.argv[1:]))
