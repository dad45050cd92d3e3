"""The same scenes with a real session and real tasks, on virtual time: what is said crosses."""

from __future__ import annotations

from contextlib import suppress

import anyio
from msgspec.structs import replace

from realtime_core import Frame, Provider, RealtimeException, RealtimeSession, open_session
from realtime_core.epoch import CallId, Epoch, ItemId
from realtime_core.errors import RealtimeError
from realtime_core.events import AudioOutput, RealtimeEvent, ToolCall
from realtime_core.frames import Heard, Interrupt, Text, ToolResult, UpdateSession
from realtime_core.testing import TICK, run
from realtime_core.testing.driven import stalls
from realtime_gemini import gemini, gemini_vertex
from realtime_gemini.client_messages import ClientMessage
from realtime_gemini.encoding import encode
from realtime_gemini.server import Address, Caller, loopback
from tests.providers.gemini.far import SAMPLES, Far
from tests.providers.gemini.scenes import PUSHES, Story, frame_of, plan_of

__all__ = ("Lived", "lived")


class Lived:
    """A story with a session that is real, and what came of it."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.trace = list[tuple[RealtimeEvent, Epoch]]()
        """What the consumer got, with the session's epoch at that instant."""
        self.fars = list[Far]()
        self.heard = list[ClientMessage]()
        """What the server heard, over all connections."""
        self.refused = list[RealtimeError]()
        self.typed = list[str]()
        self._ready: Caller | None = None
        self._refuses = False
        self._items = list[str]()
        self._calls = list[str]()
        self._number = 0

    @property
    def events(self) -> list[RealtimeEvent]:
        return [event for event, _ in self.trace]

    async def serve(self, caller: Caller) -> None:
        """Stand at the far end of one connection until it is over."""
        far = Far(caller.number, self.story.model, Address(self.story.service), self.story.style)
        before = self.fars[-1] if self.fars else None
        self._hear(far, await caller.next())
        if self._refuses:
            self._refuses = False
            await caller.close(1008, "no such handle")
            return
        self.fars.append(far)
        await caller.raw(*far.welcome(before))
        self._ready = caller
        while True:
            self._hear(far, await caller.next())

    def _hear(self, far: Far, message: ClientMessage) -> None:
        far.hear(encode(message))
        self.heard.append(message)

    async def act(self, session: RealtimeSession[Frame], name: str, a: int, b: int) -> None:
        """Let one thing happen."""
        self._number += 1
        if name in {"take", "play", "wait"}:
            await anyio.sleep((1, 2, 8, 40)[a] * TICK)
        elif name == "anew":
            self._push(session, Interrupt())
            await anyio.sleep((1, 8, 17, 17)[a] * TICK)
            self._push(session, frame_of("type", 0, 0, self._number))
        elif name in PUSHES:
            self._push(session, self._frame(session, name, a, b))
        elif self._ready is not None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._say(self._ready, name, a, b)

    async def _say(self, caller: Caller, name: str, a: int, b: int) -> None:
        if name in {"lose", "refuse"}:
            self._refuses, self._ready = name == "refuse", None
            caller.drop()
        else:
            await caller.raw(*self.fars[-1].write(name, a, b))

    def _frame(self, session: RealtimeSession[Frame], name: str, a: int, b: int) -> Frame:
        match name:
            case "ack" if self._items:
                return Heard(ItemId(self._items[-1 - a % len(self._items)]), (b + 1) * SAMPLES - 7)
            case "answer" if self._calls:
                return ToolResult(CallId(self._calls[-1 - a % len(self._calls)]), "seen", a == 3)
            case "update":
                return UpdateSession(replace(session.config, instructions=f"Be {self._number}."))
            case _:
                return frame_of(name, a, b, self._number)

    def _push(self, session: RealtimeSession[Frame], frame: Frame) -> None:
        try:
            session.send_nowait(frame)
        except RealtimeException as refusal:
            self.refused.append(refusal.error)
        else:
            self.typed += [frame.text] if isinstance(frame, Text) else []

    async def consume(self, session: RealtimeSession[Frame]) -> None:
        """Take everything as it comes."""
        async for event in session.events():
            self.trace.append((event, session.epoch))
            if isinstance(event, AudioOutput) and event.item is not None:
                self._items.append(event.item)
            if isinstance(event, ToolCall):
                self._calls.append(event.call)

    async def play(self) -> None:
        """Play the story to its end."""
        config = replace(plan_of(self.story).config, model="", connect_timeout=64.0)
        with suppress(RealtimeException):
            async with (
                loopback(self.serve, port=None, welcome=False, mirrored=False) as here,
                anyio.create_task_group() as tasks,
            ):
                provider = replace(_provider(self.story), dial=here.dial)
                async with open_session(provider, config) as session:
                    tasks.start_soon(self.consume, session)
                    for act in self.story.acts:
                        await self.act(session, *act)
                    await anyio.sleep(20)


def _provider(story: Story) -> Provider[Frame]:
    where = "http://127.0.0.1:1"
    if story.service == "vertex":
        return gemini_vertex(story.model, project="p", location="l", token="t", base_url=where)
    return gemini(story.model, base_url=where, api_key="")


def lived(story: Story, backend: str, *, late: int = 2) -> Lived:
    """Play a story; after each suspension a task is up to `late` ticks late."""
    stage = Lived(story)
    weave = stalls(story.style, most=late) if late else None
    run(stage.play, backend=backend, seed=story.style, weave=weave)
    return stage
