"""Situations with tools, and those in which the connection is bad."""

from __future__ import annotations

from contextlib import suppress

import anyio
from msgspec.structs import replace

from realtime_core.audio.format import PCM_24K
from realtime_core.beside import beside
from realtime_core.config import (
    Lanes,
    SessionConfig,
    Slide,
    Suspend,
    ToolSpec,
)
from realtime_core.epoch import CallId
from realtime_core.events import (
    Dropped,
    Reconnected,
    ResponseDone,
    ToolCallCancelled,
)
from realtime_core.frames import (
    Audio,
    Text,
    ToolResult,
)
from realtime_core.schedule import Recurs
from realtime_core.testing import TICK
from realtime_core.testing.scripted import SCRIPTED, Greeting
from realtime_core.tools import answering, tool
from tests.laws.far import Far
from tests.laws.scene import Situation, Talk, count

__all__ = ("WORKING",)

MS = 1_000 * TICK


class ToolRound(Situation):
    """A tool is called, and its result spoken; the connection may be made once more."""

    config = SessionConfig(tools=(ToolSpec("c"),), retry=Recurs(1))
    pending: CallId | None = None
    answers = 2

    async def provider(self, far: Far) -> None:
        await far.call("r", await far.wish(), "c")
        await far.hear(ToolResult)
        await far.answer("s", await far.wish())

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        async with answering(talk.session, (talk.tool("c", "cancel", 4),)) as answers:
            await talk.listen(answers.take)


class ParallelTools(Situation):
    """Three tools of different policies are called at once; two may run at the same time."""

    config = SessionConfig(
        tools=tuple(ToolSpec(policy, policy=policy) for policy in ("cancel", "finish", "detach"))
    )
    pending: CallId | None = None
    answers = 2

    async def provider(self, far: Far) -> None:
        await far.call("r", await far.wish(), "cancel", "finish", "detach")
        for _ in range(3):
            await far.hear(ToolResult)
        await far.answer("s", await far.wish(), pieces=2)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        tools = (
            talk.tool("cancel", "cancel", 3),
            talk.tool("finish", "finish", 2),
            talk.tool("detach", "detach", 4),
        )
        async with answering(talk.session, tools, limit=2) as answers:
            await talk.listen(answers.take, lambda _: self.is_bounded(talk))
            await anyio.sleep(4 * TICK)

    def is_bounded(self, talk: Talk) -> None:
        talk.witness.law(talk.witness.running.total() <= 2, "28: two at a time")


class TakenBack(Situation):
    """The provider takes a call back while its tool runs."""

    config = SessionConfig(tools=(ToolSpec("c"),))
    pending: CallId | None = None
    answers = 2

    async def provider(self, far: Far) -> None:
        await far.call("r", await far.wish(), "c")
        await anyio.sleep(TICK)
        await far.say(ToolCallCancelled(calls=(CallId("c"),)))
        await far.answer("s")

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        async with answering(talk.session, (talk.tool("c", "cancel", 4),)) as answers:
            await talk.listen(answers.take)

    def happened(self, talk: Talk) -> bool:
        return count(talk, ToolCallCancelled) == 1


class ToolInAThread(ToolRound):
    """A plain function is called, in a worker thread: at once, because time waits for threads."""

    config = SessionConfig(tools=(ToolSpec("c"),))
    pending = CallId("c")

    async def user(self, talk: Talk) -> None:
        def work(call: str) -> str:
            return call

        await talk.push(Text("What is it?"))
        async with answering(talk.session, (tool(work, name="c"),)) as answers:
            await talk.listen(answers.take)


class Reconnect(Situation):
    """The connection is lost in the middle of an answer; the next one is told what was said."""

    config = SessionConfig(retry=Recurs(2))
    able = replace(SCRIPTED, resumption="none")

    async def provider(self, far: Far) -> None:
        id = await far.begin("r", await far.wish())
        await far.speak(id, pieces=2)
        far.hang_up()

    async def again(self, far: Far) -> None:
        await far.answer("s" if far.peer.conn == 1 else "t", await far.wish())

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        await talk.until(Reconnected)
        await talk.push(Text("As I said?"))
        await talk.listen()

    def happened(self, talk: Talk) -> bool:
        greeting = talk.fars[1].greeting
        return isinstance(greeting, Greeting) and greeting.history == 1


class StalledLink(Situation):
    """The link takes nothing for a while; sound slides, and words wait for room."""

    config = SessionConfig(
        lanes=Lanes(audio=Slide(cap=int(2 * MS), max_age=int(3 * MS)), control=Suspend(cap=1))
    )

    async def provider(self, far: Far) -> None:
        await far.hear(Audio)
        far.wire.stall()
        await anyio.sleep(6 * TICK)
        far.wire.stall(on=False)
        await far.answer("r", await far.wish())
        await far.wish()

    async def user(self, talk: Talk) -> None:
        async with beside() as tasks:
            tasks.start_soon(self.speak, talk)
            await talk.listen()

    async def speak(self, talk: Talk) -> None:
        queue = talk.session.frames
        with suppress(anyio.BrokenResourceError):
            for _ in range(4):
                await queue.send(Audio(bytes(2 * PCM_24K.rate // 64)))
                await anyio.sleep(TICK / 2)
                with suppress(anyio.WouldBlock):
                    queue.send_nowait(Text("Well?", turn="context"))
            await queue.send(Text("What is it?"))

    def happened(self, talk: Talk) -> bool:
        return count(talk, Dropped) > 0


class MutePeer(Situation):
    """The provider speaks, but takes nothing any more and never hangs up."""

    async def provider(self, far: Far) -> None:
        wish = await far.wish()
        far.wire.stall()
        await far.answer("r", wish, pieces=2)
        await anyio.sleep_forever()

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        await talk.until(ResponseDone)
        await talk.push(Text("And why?"))

    def happened(self, talk: Talk) -> bool:
        return count(talk, ResponseDone) == 1


WORKING: tuple[type[Situation], ...] = (
    ToolRound,
    ParallelTools,
    TakenBack,
    ToolInAThread,
    Reconnect,
    StalledLink,
    MutePeer,
)
