"""Input stories: what is pushed and when, how the provider listens, and what came of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, NamedTuple

import anyio
from anyio.abc import ObjectStream
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    Audio,
    ClearAudio,
    Close,
    CommitAudio,
    Frame,
    Lanes,
    Latest,
    Plan,
    Provider,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    Recurs,
    SessionConfig,
    Slide,
    Suspend,
    Text,
    Video,
    open_session,
)
from realtime_core.codec import Outgoing
from realtime_core.config import Policy
from realtime_core.lane import Balance, LaneName
from realtime_core.link import Link, Wires
from realtime_core.testing import TICK, run
from realtime_core.testing.scripted import Greeting, Peer, read, scripted

__all__ = ("Came", "Door", "Input", "Push", "Tap", "inputs", "mark", "pushed", "tapped")

Door = Literal["nowait", "send", "queue"]
_A_TICK = 375
"""Samples of 24 kHz in 1/64 s."""


class Push(NamedTuple):
    """What is pushed, after how many ticks; audio of so many ticks."""

    kind: Literal["audio", "text", "commit", "clear", "video"]
    after: int
    ticks: int


class Input(NamedTuple):
    """A story of input: by which door, under which policies, to a provider that hears so."""

    door: Door
    audio: Policy
    control: Suspend
    buffer: int
    pushes: tuple[Push, ...]
    ears: tuple[int, ...]
    """Ticks for which the provider listens, is deaf, listens ...; then it listens for ever."""
    lost: bool = False
    """Whether the connection is lost where the first deafness ends."""


class Came(NamedTuple):
    """What came of it."""

    offered: list[tuple[float, Frame]]
    """What was pushed, with the time, unless the push was refused or cancelled."""
    refused: int
    handed: list[tuple[float, Outgoing]]
    """What was handed to the connection, and when."""
    events: list[RealtimeEvent]
    before: Mapping[LaneName, Balance]
    """The balance before the session was closed, when nothing could be under way."""


_POLICIES: st.SearchStrategy[Policy] = st.one_of(
    st.builds(Suspend, st.sampled_from((20, 100, 500))),
    st.builds(Slide, st.sampled_from((20, 100, 500)), st.sampled_from((125, 500, 60_000))),
    st.just(Latest()),
)


def inputs(
    *,
    doors: tuple[Door, ...] = ("nowait", "send", "queue"),
    audio: st.SearchStrategy[Policy] = _POLICIES,
    losses: bool = False,
) -> st.SearchStrategy[Input]:
    kinds = st.sampled_from(("audio", "audio", "audio", "text", "commit", "clear", "video"))
    push = st.builds(Push, kinds, st.sampled_from((0, 0, 1, 2, 16)), st.integers(1, 6))
    return st.builds(
        Input,
        st.sampled_from(doors),
        audio,
        st.builds(Suspend, st.sampled_from((1, 3, 100))),
        st.sampled_from((0, 0, 1, 64)),
        st.lists(push, min_size=4, max_size=30).map(tuple),
        st.lists(st.sampled_from((0, 1, 5, 40, 200)), max_size=4).map(tuple),
        st.booleans() if losses else st.just(False),
    )


def mark(frame: Outgoing) -> int | None:
    """Give the number of a pushed frame; None for what has none."""
    match frame:
        case Audio() if frame.pcm:
            return int.from_bytes(frame.pcm[:2], "little")
        case Text():
            return int(frame.text)
        case Video():
            return int(frame.image)
        case _:
            return None


def _frame(push: Push, number: int) -> Frame:
    match push.kind:
        case "audio":
            return Audio(number.to_bytes(2, "little") * (_A_TICK * push.ticks))
        case "text":
            return Text(str(number), turn="context")
        case "video":
            return Video(str(number).encode())
        case "commit":
            return CommitAudio()
        case "clear":
            return ClearAudio()


class Tap(ObjectStream[Wires]):
    """A link that notes what it is handed, at the instant it is handed it."""

    def __init__(self, link: Link, handed: list[tuple[float, Outgoing]]) -> None:
        self._link = link
        self._handed = handed

    async def send(self, item: Wires) -> None:
        at = anyio.current_time()
        for frame in map(read, item):
            if not isinstance(frame, Greeting):
                self._handed.append((at, frame))
        await self._link.send(item)

    async def receive(self) -> Wires:
        return await self._link.receive()

    async def send_eof(self) -> None:
        await self._link.send_eof()

    async def aclose(self) -> None:
        await self._link.aclose()


def tapped(provider: Provider[Frame], handed: list[tuple[float, Outgoing]]) -> Provider[Frame]:
    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        async with provider.dial(plan) as link:
            yield Tap(link, handed)

    return replace(provider, dial=dial)


def pushed(story: Input, backend: str = "asyncio", *, check: Any = None) -> Came:
    """Play a story; `check` gets the session after each push and at each tick."""
    came = Came([], 0, [], [], {})
    return run(_perform, story, came, check, backend=backend)


async def _perform(story: Input, came: Came, check: Any) -> Came:
    async def script(peer: Peer) -> None:
        if story.lost and peer.conn == 0:
            await _listen(peer, story.ears[:1])
            await anyio.sleep(sum(story.ears[1:2]) * TICK)
            return
        await _listen(peer, () if story.lost else story.ears)

    config = SessionConfig(
        lanes=Lanes(audio=story.audio, control=story.control),
        retry=Recurs(1),
        fps=16.0,
        close_timeout=1.0,
    )
    provider = tapped(scripted(script, buffer=story.buffer), came.handed)
    async with open_session(provider, config) as session:
        async with anyio.create_task_group() as tasks:
            if check is not None:
                tasks.start_soon(_watch, session, check)
            refused = await _push(session, story, came, check)
            await anyio.sleep(1_000 * TICK)
            tasks.cancel_scope.cancel()
        before = session.statistics.lanes
        await session.send(Close())
        came.events.extend([event async for event in session.events()])
    handed: list[tuple[float, Outgoing]] = [
        (at, frame) for at, frame in came.handed if not isinstance(frame, Close)
    ]
    return came._replace(refused=refused, before=before, handed=handed)


async def _listen(peer: Peer, ears: tuple[int, ...]) -> None:
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        for place, ticks in enumerate(ears):
            if place % 2:
                await anyio.sleep(ticks * TICK)
                continue
            with anyio.move_on_after(ticks * TICK):
                while True:
                    await peer.next()
        while True:
            await peer.next()


async def _watch(session: RealtimeSession[Frame], check: Any) -> None:
    while True:
        check(session)
        await anyio.sleep(TICK)


async def _push(session: RealtimeSession[Frame], story: Input, came: Came, check: Any) -> int:
    refused = 0
    for number, push in enumerate(story.pushes, 1):
        await anyio.sleep(push.after * TICK)
        frame = _frame(push, number)
        try:
            match story.door:
                case "nowait":
                    session.send_nowait(frame)
                case "send":
                    await session.send(frame)
                case "queue":
                    await session.frames.send(frame)
        except RealtimeException:
            refused += 1
        else:
            came.offered.append((anyio.current_time(), frame))
        if check is not None:
            check(session)
    return refused
