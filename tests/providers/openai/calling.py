"""Calling: clients of calls over loopback, which keep what they were told and what they heard."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any, TypeVar

import anyio
import numpy as np

from realtime_core import AudioOutput, RealtimeEvent, RealtimeSession, SessionConfig, open_session
from realtime_core.beside import beside
from realtime_core.codec import Media
from realtime_core.config import Secret
from realtime_core.frames import Frame
from realtime_core.link import Dial, Link
from realtime_core.plan import Plan
from realtime_core.provider import Provider
from realtime_core.signals import Signal
from realtime_core.testing import no_leaks
from realtime_core.testing.conformance import check_trace
from realtime_core.transports.webrtc import webrtc
from realtime_openai import OPENAI, Access, Door, answer_offer, reach
from realtime_openai.codec import agree
from realtime_openai.server import Served
from tests.providers.openai.grammar import Grammar

__all__ = ("LIMIT", "PLAN", "RATE", "By", "Phone", "called", "door", "loud", "sine", "talking")

E = TypeVar("E", bound=RealtimeEvent)
Fields = dict[str, Any]

PLAN = agree(OPENAI.dialect.capabilities, SessionConfig()).unwrap()
RATE = 24_000
LIMIT = 20.0
"""Seconds for a whole call; it takes far less."""


def sine(seconds: float, hertz: int = 440) -> bytes:
    wave = np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE) * 9_000
    return wave.astype(np.int16).tobytes()


def loud(pcm: bytes) -> bool:
    return bool(np.abs(np.frombuffer(pcm, np.int16).astype(int)).max(initial=0) > 1_000)


async def door(server: Served, key: str = "sk-any") -> Door:
    return await reach(Access(service=OPENAI, base_url=server.base_url, key=Secret(key)))


class Phone:
    """A caller by hand, on the bare link: the grammar of its messages, and the sound by time."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.grammar = Grammar()
        self.sound: list[tuple[float, bytes]] = []
        self.news = Signal()
        self.over = False
        self._seen = 0

    async def listen(self) -> None:
        while not self.over:
            try:
                wires = await self.link.receive()
            except anyio.EndOfStream:
                self.over = True
                wires = ()
            for wire in wires:
                if isinstance(wire, Media):
                    self.sound.append((anyio.current_time(), wire.data))
                else:
                    self.grammar.take((wire,))
            self.news.give()

    async def say(self, *events: Fields) -> None:
        await self.link.send(tuple(json.dumps(event) for event in events))

    async def until(self, type: str) -> Fields:
        """Wait for an event of a type, behind the last that was waited for."""
        while True:
            while self._seen < len(self.grammar.events):
                event = self.grammar.events[self._seen]
                self._seen += 1
                if event["type"] == type:
                    return event
            await self.news.wait()

    async def hears(self, enough: Callable[[float], bool]) -> None:
        """Wait until the seconds of loud sound that came are enough."""
        while not enough(self.heard):
            await self.news.wait()

    @property
    def heard(self) -> float:
        return sum(len(pcm) for _, pcm in self.sound if loud(pcm)) / 2 / RATE

    def buffer(self) -> list[tuple[str, str]]:
        """Give what was told of playing."""
        name = "output_audio_buffer."
        return [
            (event["type"].removeprefix(name), event["response_id"])
            for event in self.grammar.events
            if event["type"].startswith(name)
        ]


@asynccontextmanager
async def called(
    server: Served, session: Fields | None = None, *, key: str = "sk-any", **config: Any
) -> AsyncGenerator[tuple[Phone, str]]:
    """Call by hand; gives the phone and the call's id."""
    here = await door(server, key)
    agreed = agree(OPENAI.dialect.capabilities, SessionConfig(**config)).unwrap()
    ids = list[str]()

    async def exchange(plan: Plan, offer: str) -> str:
        taken = await answer_offer(here, plan, offer)
        ids.append(taken.call_id)
        return taken.sdp

    with anyio.fail_after(LIMIT):
        async with webrtc(exchange)(agreed) as link, beside() as tasks:
            phone = Phone(link)
            tasks.start_soon(phone.listen)
            await phone.until("session.created")
            if session is not None:
                await phone.say({"type": "session.update", "session": session})
            yield phone, ids[0]


class By:
    """A session, its events as they come, and what crossed its wire."""

    def __init__(self, session: RealtimeSession[Frame], crossed: list[tuple[str, Any]]) -> None:
        self.session = session
        self.crossed = crossed
        self.events: list[RealtimeEvent] = []
        self._stream = session.events()

    async def until(self, kind: type[E], suits: Callable[[E], bool] = lambda _: True) -> E:
        async for event in self._stream:
            self.events.append(event)
            if isinstance(event, kind) and suits(event):
                return event
        raise AssertionError(f"it ended without {kind.__name__}")

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def sound(self, response: str) -> bytes:
        return b"".join(e.pcm for e in self.of(AudioOutput) if e.response == response)

    def messages(self, way: str) -> list[Fields]:
        """Give the messages that were `sent` or `received`."""
        return [json.loads(wire) for how, wire in self.crossed if how == way]


@asynccontextmanager
async def talking(
    provider: Provider[Frame], *, alone: bool = True, **config: Any
) -> AsyncGenerator[By]:
    """Hold a session whose messages are kept; its trace has to be in good grammar.

    Where it is `alone`, nothing is left of it, at the server either.
    """
    crossed = list[tuple[str, Any]]()

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        async with provider.dial(plan) as link:
            yield _Tapped(link, crossed)

    tapped: Dial = dial
    made = Provider[Frame](
        provider.name,
        provider.capabilities,
        provider.codec,
        tapped,
        provider.defaults,
        provider.agree,
    )
    with anyio.fail_after(LIMIT):
        leaks = no_leaks(within=2.0) if alone else nullcontext()
        async with leaks, open_session(made, **config) as session:
            by = By(session, crossed)
            yield by
    assert check_trace(by.events) == []


class _Tapped(anyio.abc.ObjectStream[Any]):
    def __init__(self, link: Link, crossed: list[tuple[str, Any]]) -> None:
        self._link = link
        self._crossed = crossed

    async def receive(self) -> Any:
        wires = await self._link.receive()
        self._crossed += [("received", wire) for wire in wires if not isinstance(wire, Media)]
        return wires

    async def send(self, item: Any) -> None:
        self._crossed += [("sent", wire) for wire in item if not isinstance(wire, Media)]
        await self._link.send(item)

    async def send_eof(self) -> None:
        await self._link.send_eof()

    async def aclose(self) -> None:
        await self._link.aclose()
