"""Situations with something built on a session: scopes for answers, shares, mixes, mappings."""

from __future__ import annotations

import anyio

from realtime_core.audio.format import AudioFormat
from realtime_core.beside import beside
from realtime_core.config import Outlet, SessionConfig
from realtime_core.events import AudioOutput, Disconnected, RealtimeEvent, SpeechStarted
from realtime_core.frames import Frame, Text
from realtime_core.mapping import mapped, resampled
from realtime_core.operators import merge, paced, share
from realtime_core.playback import player
from realtime_core.responses import Response
from realtime_core.session import RealtimeSession
from realtime_core.sharing import Subscription
from realtime_core.testing import TICK
from realtime_core.testing._author import SAMPLES_A_TICK
from tests.laws.far import Far
from tests.laws.scene import Situation, Talk
from tests.laws.sinks import Loudspeaker

__all__ = ("BUILT",)


class AnswersAsScopes(Situation):
    """Each answer is a scope, with a task of its own inside."""

    answers = 2

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish(), pieces=2)
        await far.answer("s", await far.wish(), pieces=2)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"), Text("And why?"))
        others = lambda event: talk.witness.passed("others", event)  # noqa: E731 - one word
        async for response in talk.session.responses(talk.events, others):
            async with response as tasks:
                tasks.start_soon(self.dance, talk, response)
                async for event in response:
                    talk.witness.passed(response.id, event)
                talk.counts["ended"] += 1
            if talk.counts["ended"] == self.answers:
                return

    async def dance(self, talk: Talk, response: Response) -> None:
        for _ in range(3):
            await anyio.sleep(TICK)
            talk.witness.stepped(response.id)
            talk.counts["danced"] += 1

    def happened(self, talk: Talk) -> bool:
        return talk.counts["danced"] == 6


class TwoSubscribers(Situation):
    """A recorder and a slow screen share what comes out."""

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish())

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        async with share(talk.events) as shared, anyio.create_task_group() as tasks:
            tasks.start_soon(self.follow, talk, "the recorder", shared.subscribe(), 0.0)
            tasks.start_soon(self.follow, talk, "the screen", shared.subscribe(), TICK / 2)

    async def follow(self, talk: Talk, name: str, events: Subscription, pause: float) -> None:
        async for event in events:
            talk.witness.passed(name, event)
            talk.counts[name] += isinstance(event, AudioOutput)
            if pause:
                await anyio.sleep(pause)

    def happened(self, talk: Talk) -> bool:
        return talk.counts["the recorder"] == talk.counts["the screen"] == 3


class Lively(Situation):
    """The other one of two sessions."""

    async def provider(self, far: Far) -> None:
        await far.answer("o", pieces=2)
        await far.say(SpeechStarted())
        await far.answer("p", pieces=2)


class TwoSessions(Situation):
    """Two sessions are followed as one stream."""

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish())

    async def user(self, talk: Talk) -> None:
        async with talk.scene.another(Lively()) as other:
            await talk.push(Text("What is it?"))
            both = {"one": talk, "other": other}
            async for name, event in merge(one=talk.events, other=other.events):
                both[name].witness.passed("the mix", event)
                talk.counts[name] += isinstance(event, AudioOutput)
                if name == "one" and isinstance(event, Disconnected):
                    return

    def happened(self, talk: Talk) -> bool:
        return talk.counts["one"] == 3 and talk.counts["other"] == 4


class Mapped(Situation):
    """Each piece of sound is given out in two."""

    def seen_through(self, session: RealtimeSession[Frame]) -> RealtimeSession[Frame]:
        return mapped(session, events=self.halved)

    def halved(self, event: RealtimeEvent) -> tuple[RealtimeEvent, ...]:
        if not isinstance(event, AudioOutput):
            return (event,)
        middle = len(event.pcm) // 4 * 2
        return tuple(_cut(event, part) for part in (event.pcm[:middle], event.pcm[middle:]))

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish())

    async def user(self, talk: Talk) -> None:
        talk.witness.lags = True
        await talk.push(Text("What is it?"))
        await talk.listen(pause=TICK / 4)


class Resampled(Situation):
    """The answer is wanted at twice the rate."""

    format = AudioFormat(rate=6_400)

    def seen_through(self, session: RealtimeSession[Frame]) -> RealtimeSession[Frame]:
        return resampled(session, AudioFormat(rate=2 * self.format.rate))

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish())

    async def user(self, talk: Talk) -> None:
        talk.witness.scale, talk.witness.lags = 0.5, True
        await talk.push(Text("What is it?"))
        await talk.listen()


class Paced(Situation):
    """Captions follow at the pace at which the answer is spoken."""

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish(), ticks=3)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        async with (talk.events | paced.pipe()).stream() as events:
            async for event in events:
                talk.witness.passed("the captions", event)
                talk.counts["seen"] += isinstance(event, AudioOutput)

    def happened(self, talk: Talk) -> bool:
        return talk.counts["seen"] == 3


class SlowConsumer(Situation):
    """The answer comes faster than it is taken; the connection is not read meanwhile."""

    config = SessionConfig(outlet=Outlet(seconds=4 * TICK))

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish(), pieces=5)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        await talk.listen(lambda _: self.is_bounded(talk), pause=2 * TICK)

    def is_bounded(self, talk: Talk) -> None:
        waiting = talk.session.statistics.output.waiting
        talk.counts["most"] = max(talk.counts["most"], waiting)
        talk.witness.law(waiting < 6 * SAMPLES_A_TICK, "36: below the cap and one message")

    def happened(self, talk: Talk) -> bool:
        return talk.counts["most"] >= 4 * SAMPLES_A_TICK


class PlayedAndShared(Situation):
    """One subscriber plays, one writes down."""

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish(), pieces=2)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        speaker = player(talk.session, Loudspeaker(talk.witness, talk.items))
        async with share(talk.events) as shared, beside() as tasks, speaker as playing:
            tasks.start_soon(self.write, talk, shared.subscribe())
            async for event in shared.subscribe():
                talk.witness.passed("the player", event)
                playing.take(event)

    async def write(self, talk: Talk, events: Subscription) -> None:
        async for event in events:
            talk.witness.passed("the writer", event)
            await anyio.sleep(TICK)


def _cut(event: AudioOutput, pcm: bytes) -> AudioOutput:
    return AudioOutput(response=event.response, item=event.item, pcm=pcm, format=event.format)


BUILT: tuple[type[Situation], ...] = (
    AnswersAsScopes,
    TwoSubscribers,
    TwoSessions,
    Mapped,
    Resampled,
    Paced,
    SlowConsumer,
    PlayedAndShared,
)
