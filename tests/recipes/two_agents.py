"""Two agents talk: what one says is what the other hears, and whoever is talked over falls silent.

    python tests/recipes/two_agents.py "Who are you?"

Sound crosses at the pace at which it is spoken, so of an answer that is cut nobody hears the rest.
"""

from __future__ import annotations

import sys

import anyio

from realtime_core import Audio, ConversationItem, Frame, RealtimeSession, open_session
from realtime_core.operators import merge
from realtime_core.playback import ClockSink, Player, player

ANSWERS, SHORT = 3, 24


def ear(listener: RealtimeSession[Frame]) -> ClockSink:
    """Give a sink that plays into a session."""
    return ClockSink(lambda pcm, format: listener.send_nowait(Audio(pcm, format)))


async def hush(voice: Player, listener: RealtimeSession[Frame]) -> None:
    """Let silence be heard where nothing is said: that is how the end of a turn is noticed."""
    while True:
        await anyio.sleep(0.02)
        if not voice.busy:
            await listener.send(Audio(bytes(960)))


async def main(words: str = "Who are you?", provider: str = "local") -> None:
    """Let them answer each other, and print what was said; of an answer cut, what was heard."""
    async with (
        open_session(provider, max_output_tokens=SHORT) as alice,
        open_session(provider, max_output_tokens=SHORT) as bob,
        player(alice, ear(bob)) as to_bob,
        player(bob, ear(alice)) as to_alice,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(hush, to_bob, bob)
        tasks.start_soon(hush, to_alice, alice)
        await alice.simple_response(words)
        answers = 0
        async for name, event in merge(alice=alice.events(), bob=bob.events()):
            (to_bob if name == "alice" else to_alice).take(event)
            if isinstance(event, ConversationItem) and event.message.role == "assistant":
                print(f"{name}: {event.message.text}", flush=True)
                answers += 1
                if answers == ANSWERS:
                    break
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(lambda: main(*sys.argv[1:]))
