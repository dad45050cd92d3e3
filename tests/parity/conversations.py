"""The conversations: each one function of a session and its far side, that knows no provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import anyio

from realtime_core import (
    AudioOutput,
    Interrupted,
    Message,
    Reconnected,
    ResponseDone,
    SessionConfig,
    Spaced,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserTranscript,
    Video,
)
from tests.parity.far import Far
from tests.parity.talk import Talk

__all__ = ("CONVERSATIONS", "Conversation")

PCM = b"\x00\x08" * 12_000
"""Half a second at 24 kHz."""
WORK = 1 / 8
"""Seconds that a tool is at work."""
JPEG = b"\xff\xd8\xff\xe0 a red door \xff\xd9"
PLACE = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = (
    ToolSpec("weather", "Tell the weather in a city.", PLACE),
    ToolSpec("time", "Tell the time in a city.", PLACE),
)
PARIS = {"city": "Paris"}
SEED = (
    Message("user", "My name is Ann."),
    Message("assistant", "Hello, Ann."),
    Message("user", "I have a dog."),
    Message("assistant", "What is its name?"),
)


async def text_turn(talk: Talk, far: Far) -> None:
    """Typed, and answered aloud."""
    await talk.types("What do bees make?")
    await far.asked()
    await far.answer("Bees make honey.", PCM)
    await talk.answered()


async def spoken_turn(talk: Talk, far: Far) -> None:
    """Spoken, written down, and answered aloud."""
    await talk.speaks()
    await far.onset()
    await talk.falls_silent()
    await far.heard("What do bees make?")
    await talk.until(UserTranscript)
    await far.answer("Bees make honey.", PCM)
    await talk.answered()


async def tool_round(talk: Talk, far: Far) -> None:
    """A tool is called, and its result spoken of."""
    await talk.types("What is the weather in Paris?")
    await far.asked()
    await far.call(("weather", PARIS))
    call = await talk.until(ToolCall)
    await anyio.sleep(WORK)
    await talk.push(ToolResult(call.call, "rain"))
    await far.results(1)
    await far.answer("It rains in Paris.", PCM)
    await talk.answered()


async def parallel_tools(talk: Talk, far: Far) -> None:
    """Two tools are called at once; the second is ready first."""
    await talk.types("What is the weather in Paris, and the time?")
    await far.asked()
    await far.call(("weather", PARIS), ("time", PARIS))
    first, second = await talk.until(ToolCall), await talk.until(ToolCall)
    await anyio.sleep(WORK)
    await talk.push(ToolResult(second.call, "noon"))
    await talk.push(ToolResult(first.call, "rain"))
    await far.results(2)
    await far.answer("It rains in Paris, at noon.", PCM)
    await talk.answered()


async def barge_in(talk: Talk, far: Far) -> None:
    """An answer is cut by the user's voice, and the next by the application."""
    await talk.types("Tell me a story.")
    await far.asked()
    await far.begin("Once upon a time", PCM)
    await talk.until(AudioOutput)
    talk.heard(0.5)
    await talk.speaks()
    await far.onset()
    await talk.until(Interrupted)
    await talk.until(ResponseDone)
    await talk.falls_silent()
    await far.heard("Another one.")
    await talk.until(UserTranscript)
    await far.begin("There was a king", PCM)
    await talk.until(AudioOutput)
    talk.heard(0.5)
    await talk.session.interrupt()
    await far.stopped()
    await talk.until(ResponseDone)
    await talk.types("What do bees make?")
    await far.asked()
    await far.answer("Bees make honey.", PCM)
    await talk.answered()


async def barge_in_during_a_tool(talk: Talk, far: Far) -> None:
    """The user speaks while a tool runs; the application interrupts while another does."""
    await talk.types("What is the weather in Paris?")
    await far.asked()
    await far.call(("weather", PARIS))
    call = await talk.until(ToolCall)
    await anyio.sleep(WORK)
    await talk.speaks()
    await far.onset()
    await anyio.sleep(WORK)
    await talk.push(ToolResult(call.call, "rain"))
    await talk.falls_silent()
    await far.heard("And the time?")
    await talk.until(UserTranscript)
    await far.call(("time", PARIS))
    call = await talk.until(ToolCall)
    await anyio.sleep(WORK)
    await talk.session.interrupt()
    await anyio.sleep(4 * WORK)
    await talk.push(ToolResult(call.call, "noon"))
    await talk.types("What do bees make?")
    await far.asked()
    await far.answer("Bees make honey.", PCM)
    await talk.answered()


async def camera_question(talk: Talk, far: Far) -> None:
    """A picture, and a question on it."""
    await talk.push(Video(JPEG))
    await talk.types("What colour is the door?")
    await far.asked()
    await far.answer(f"Pictures that I see: {far.pictures}.", PCM)
    await talk.answered()


async def history(talk: Talk, far: Far) -> None:
    """An earlier conversation is asked about."""
    await talk.types("What do you know?")
    await far.asked()
    said = [f"{role}: {text.rstrip('.?')}" for role, text in far.known]
    await far.answer("; ".join(said), PCM)
    await talk.answered()


async def reconnect(talk: Talk, far: Far) -> None:
    """The connection is lost within an answer; the conversation goes on over the next."""
    await far.hand_out()
    await anyio.sleep(WORK)
    await talk.types("What do bees make?")
    await far.asked()
    await far.answer("Bees make honey.", PCM)
    await talk.answered()
    await talk.types("What else?")
    await far.asked()
    await far.begin("They also make wax", PCM)
    await talk.until(AudioOutput)
    talk.heard()
    await far.drop()
    await talk.until(Reconnected)
    await talk.types("What do you know?")
    await far.asked()
    said = [text.rstrip("?") for role, text in far.known if role == "user"]
    await far.answer(f"You asked: {', '.join(said)}", PCM)
    await talk.answered()


class Conversation(NamedTuple):
    """One conversation, and what its session is opened with."""

    name: str
    play: Callable[[Talk, Far], Awaitable[None]]
    config: SessionConfig = SessionConfig()


CONVERSATIONS = (
    Conversation("text turn", text_turn),
    Conversation("spoken turn", spoken_turn),
    Conversation("tool round", tool_round, SessionConfig(tools=TOOLS)),
    Conversation("parallel tools", parallel_tools, SessionConfig(tools=TOOLS)),
    Conversation("barge-in", barge_in),
    Conversation("barge-in during a tool", barge_in_during_a_tool, SessionConfig(tools=TOOLS)),
    Conversation("camera question", camera_question),
    Conversation("history", history, SessionConfig(history=SEED)),
    Conversation("reconnect", reconnect, SessionConfig(retry=Spaced(0.5).within(10.0))),
)
