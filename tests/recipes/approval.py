"""A tool that asks before it acts and says how far it is; speaking meanwhile takes it back.

Approve it or not: python tests/recipes/approval.py "Order a pizza with mushrooms." no
"""

from __future__ import annotations

import sys

import anyio

from realtime_core import AgentTranscript, ResponseDone, SpeechStarted, open_session
from realtime_core.events import ToolCall, ToolCallCancelled
from realtime_core.tools import answering, toolbox


async def main(wish: str = "", verdict: str = "yes", provider: str = "local") -> None:
    """Wish for something, approve it or not, and read what becomes of it."""
    decided = anyio.Event()

    async def order_pizza(topping: str) -> str:
        """Order a pizza with a topping."""
        print(f"[a pizza with {topping}?]")
        await decided.wait()  # an interruption ends it here
        if verdict != "yes":
            return "It was not approved."
        for percent in (50, 100):
            await anyio.sleep(0.1)  # a slow kitchen
            print(f"[{percent} %]")
        return f"The pizza with {topping} is on its way."

    async def decide() -> None:  # the application: two buttons in a window, say
        await anyio.sleep(1)
        decided.set()

    tools, said = toolbox(order_pizza), ""
    async with (
        open_session(provider, tools=tuple(tool.spec for tool in tools)) as session,
        answering(session, tools) as answers,
        anyio.create_task_group() as tasks,
    ):
        await session.simple_response(wish or "Order a pizza with mushrooms.")
        async for event in session.events():
            answers.take(event)
            if isinstance(event, ToolCall):
                tasks.start_soon(decide)
            elif isinstance(event, ToolCallCancelled):
                print("[taken back]")
            elif isinstance(event, SpeechStarted):
                await session.interrupt()  # nothing sounds while it waits: nothing is cut by itself
            elif isinstance(event, AgentTranscript) and event.final:
                print(said := event.text)
            elif isinstance(event, ResponseDone) and said:
                break


if __name__ == "__main__":
    anyio.run(lambda: main(*sys.argv[1:]))
