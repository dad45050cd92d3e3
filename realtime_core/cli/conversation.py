"""One conversation of `realtime talk`: turns go in, answers are shown, played and waited for.

One task takes the events; another puts the turns, each when the one before was answered and heard.
Every wait for an answer has a bound.
"""

from __future__ import annotations

from typing import Any

import anyio
from anyio import to_thread
from msgspec.structs import replace

from ..audio.convert import convert
from ..audio.device import Microphone
from ..errors import RealtimeError, RealtimeException, SessionClosed, TimedOut
from ..events import AudioInput, Interrupted, RealtimeEvent
from ..frames import Text, Video
from ..playback import Player, Sink
from ..session import RealtimeSession
from ..signals import Signal
from ..timings import Timings, observe
from ..tools import Answerer
from .exchange import Exchange, follow
from .feed import Feed
from .screen import Screen
from .script import Sound, Turn, Typed

__all__ = ("Conversation",)

_SILENCE = 5.0
"""Seconds without a sign of life after which unanswered sound is taken to be no speech."""
_ANSWER = 30.0
"""Seconds without a sign of life after which an answer that is due is given up."""
_GLANCE = 0.01
"""Seconds between two looks at how much was heard."""


class Conversation:
    """Turns, answers and what was heard of them, in one session."""

    def __init__(
        self,
        session: RealtimeSession[Any],
        *,
        screen: Screen,
        sink: Sink,
        player: Player,
        answerer: Answerer,
        feed: Feed,
    ) -> None:
        self.exchange = Exchange()
        self._session = session
        self._screen = screen
        self._sink = sink
        self._player = player
        self._answerer = answerer
        self._feed = feed
        self._timings = Timings()
        self._shown = 0
        self._begun = False
        self._changed = Signal()
        self._begins = 0
        """How much had been heard when this turn, or what follows an interruption, began."""

    async def begun(self) -> None:
        """Wait until the first event was shown."""
        while not self._begun:
            await self._changed.wait()

    async def listen(self) -> None:
        """Take the events until they end."""
        async for event in self._session.events():
            self._take(event)

    def _take(self, event: RealtimeEvent) -> None:
        self._screen.take(event)
        self._player.take(event)
        self._answerer.take(event)
        self._timings = observe(self._timings, event)
        self.exchange = follow(self.exchange, event)
        if isinstance(event, Interrupted):
            self._begins = self._sink.heard()
            self._tell_pace()
        self._begun = True
        if not isinstance(event, AudioInput):
            self._changed.give()

    async def put(self, turn: Turn) -> None:
        """Put a turn and wait until it is answered and heard, or given up."""
        self.exchange = Exchange(asked=isinstance(turn.ask, Typed))
        self._begins = self._sink.heard()
        try:
            for picture in turn.pictures:
                await self._show(picture)
            if isinstance(turn.ask, Typed):
                await self._session.send(Text(turn.ask.text))
            elif isinstance(turn.ask, Sound):
                await self.speak(turn.ask)
        except RealtimeException as refusal:
            if not isinstance(refusal.error, SessionClosed):
                raise
        await self._answered()
        self._tell_pace()

    async def speak(self, sound: Sound) -> None:
        """Speak into the open microphone, behind what is being spoken."""
        form = self._feed.format
        self._feed.speak(await to_thread.run_sync(convert, sound.pcm, sound.format, form))

    async def talk_over(self, sound: Sound, after: float) -> None:
        """Speak once this many seconds of an answer were heard."""
        wanted = after * self._session.output_format.rate
        while self._sink.heard() - self._begins < wanted:  # noqa: ASYNC110 - a sink has no signal
            await anyio.sleep(_GLANCE)
        await self.speak(sound)

    async def hear(self, microphone: Microphone) -> None:
        """Hand on what the microphone hears, until the session ends."""
        try:
            async for frame in microphone:
                self._session.send_nowait(frame)
        except RealtimeException as refusal:
            if not isinstance(refusal.error, SessionClosed):
                raise

    async def go_on(self) -> None:
        """Follow a live conversation until the session ends."""
        while not self.exchange.over:
            while not self.exchange.settled:
                await self._changed.wait()
            await self._player.drained()
            self._tell_pace()
            self.exchange = replace(self.exchange, due=True)

    async def _show(self, picture: bytes) -> None:
        await self._session.send(Video(picture))
        # A picture that waits for its turn would be replaced by the next one, or come too late.
        while self._session.statistics.lanes["video"].waiting:  # noqa: ASYNC110 - at most 1 / fps
            await anyio.sleep(_GLANCE)

    async def _answered(self) -> None:
        while not self.exchange.over:
            await self._feed.spoken()
            if not self.exchange.settled:
                if not await self._sign(_ANSWER if self._expected else _SILENCE):
                    self._give_up()
                    return
                continue
            await self._player.drained()
            rest = self._feed.rest
            if rest > 0:
                await self._sign(rest)
            elif self._done:
                return

    @property
    def _done(self) -> bool:
        return self.exchange.settled and not self._feed.busy

    @property
    def _expected(self) -> bool:
        known = self.exchange
        return known.asked or known.speaking or bool(known.open)

    async def _sign(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            await self._changed.wait()
            return True
        return False

    def _give_up(self) -> None:
        if self._expected:
            self.exchange = replace(self.exchange, failure=_unanswered())
        else:
            self._screen.say(
                f"no answer: no speech was heard in it, nor within {_SILENCE:g} s after it"
            )

    def _tell_pace(self) -> None:
        for latency in self._timings.latencies[self._shown :]:
            self._screen.pace(latency)
        self._shown = len(self._timings.latencies)


def _unanswered() -> RealtimeError:
    return TimedOut(
        what=f"The turn was not answered within {_ANSWER:g} s.",
        cause="the provider is overloaded, or lost the turn",
        fix="Try again; with --json the events show how far it came.",
    )
