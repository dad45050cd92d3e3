"""Speech for tests of the whole local voice: an open microphone, and what is said into it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol

import anyio

from realtime_core import (
    Audio,
    AudioFormat,
    Frame,
    RealtimeEvent,
    RealtimeSession,
    ResponseDone,
    UserTranscript,
)
from realtime_core.playback import ClockSink, player
from realtime_core.signals import Signal
from realtime_local.mouth import load_mouth

FRAME_MS = 20


class Taker(Protocol):
    """Anything that is given each event."""

    def take(self, event: RealtimeEvent) -> None: ...


async def spoken(text: str, speed: float = 1.0) -> tuple[bytes, AudioFormat]:
    """Have the built-in mouth say something."""
    mouth = await load_mouth(speed=speed)
    pcm = b"".join([piece async for piece in mouth.speak(text)])
    return pcm, AudioFormat(rate=mouth.rate)


class Room:
    """A session with a microphone that is never closed and a speaker that counts."""

    def __init__(self, session: RealtimeSession[Frame], *takers: Taker) -> None:
        self.session = session
        self.events: list[RealtimeEvent] = []
        self._takers = takers
        self._seen = 0
        self._came = Signal()
        self._words = b""
        self._format = AudioFormat(rate=16_000)

    def say(self, pcm: bytes, form: AudioFormat) -> None:
        """Speak into the microphone, from now on, in real time."""
        self._words, self._format = pcm, form

    async def talk(self) -> None:
        """Push 20 ms every 20 ms: what is said, else silence."""
        due = anyio.current_time()
        while True:
            step = self._format.sample_size * self._format.rate * FRAME_MS // 1000
            piece, self._words = self._words[:step], self._words[step:]
            await self.session.send(Audio(piece.ljust(step, b"\0"), self._format))
            due += FRAME_MS / 1000
            await anyio.sleep_until(due)

    async def listen(self) -> None:
        """Hand every event to those who take them."""
        async for event in self.session.events():
            self.events.append(event)
            for taker in self._takers:
                taker.take(event)
            self._came.give()

    async def until(self, *kinds: type[RealtimeEvent]) -> RealtimeEvent:
        """Wait for the next event of one of these kinds that nobody waited for yet."""
        while True:
            while self._seen < len(self.events):
                event = self.events[self._seen]
                self._seen += 1
                if isinstance(event, kinds):
                    return event
            await self._came.wait()

    async def answered(self) -> ResponseDone:
        """Wait for the end of an answer that nobody cut."""
        while True:
            done = await self.until(ResponseDone)
            assert isinstance(done, ResponseDone)
            if done.status == "completed":
                return done

    @property
    def heard_user(self) -> str:
        """The last final transcript of the user."""
        finals = [e for e in self.events if isinstance(e, UserTranscript) and e.final]
        return finals[-1].text

    @property
    def answer(self) -> str:
        """The conversation's last words of the model."""
        words = [m.text for m in self.session.history if m.role == "assistant"]
        return words[-1] if words else ""


@asynccontextmanager
async def room(session: RealtimeSession[Frame], *takers: Taker) -> AsyncGenerator[Room]:
    """Open a session's microphone, and hand its events to a speaker and other takers."""
    async with anyio.create_task_group() as tasks, player(session, ClockSink()) as speaker:
        inside = Room(session, speaker, *takers)
        tasks.start_soon(inside.talk)
        tasks.start_soon(inside.listen)
        yield inside
        tasks.cancel_scope.cancel()
