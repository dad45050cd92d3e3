"""Situations in which somebody cuts in, and those in which the answer is played."""

from __future__ import annotations

import anyio

from realtime_core.beside import beside
from realtime_core.config import (
    SessionConfig,
    TurnDetection,
    TwoPhase,
)
from realtime_core.epoch import ItemId
from realtime_core.events import (
    Held,
    Interrupted,
    Released,
    SpeechStarted,
    SpeechStopped,
    UserTranscript,
)
from realtime_core.frames import (
    Hold,
    Interrupt,
    Release,
    Text,
)
from realtime_core.playback import player
from realtime_core.testing import TICK
from realtime_core.testing._author import SAMPLES_A_TICK
from tests.laws.far import Far
from tests.laws.scene import Situation, Talk, count, cuts
from tests.laws.sinks import Handset, Loudspeaker

__all__ = ("CUTTING",)

NOTICE = Interrupted(cause="provider")


class BargeInByProvider(Situation):
    """The user talks over the answer; the provider notices, stops, and answers anew."""

    async def provider(self, far: Far) -> None:
        id = await far.begin("r", await far.wish())
        await far.speak(id, ticks=4)
        await far.say(SpeechStarted())
        far.cut()
        await far.end(id)
        await far.say(SpeechStopped())
        await far.answer("s", pieces=2)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        await talk.listen(answers=2)

    def happened(self, talk: Talk) -> bool:
        return talk.witness.whole() == ["s"] and len(cuts(talk)) == 1


class OwnDetector(Situation):
    """A detector at this end holds at a cough, and cuts at a word."""

    config = SessionConfig(turn_detection=TurnDetection(authority="local", two_phase=TwoPhase()))
    notice = NOTICE
    answers = 0

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish(), pieces=6)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        speaking = player(talk.session, Loudspeaker(talk.witness, talk.items))
        async with speaking as speaker, beside() as tasks:
            tasks.start_soon(self.detect, talk)
            await talk.listen(speaker.take, answers=1)
            await speaker.drained()
            await talk.listen(answers=1)

    async def detect(self, talk: Talk) -> None:
        await anyio.sleep(2.5 * TICK)
        await talk.push(Hold())
        await anyio.sleep(TICK)
        await talk.push(Release())
        await anyio.sleep(TICK)
        await talk.push(Hold(), Interrupt(cause="local"))

    def happened(self, talk: Talk) -> bool:
        (cut,) = cuts(talk)
        return count(talk, Held) == 2 and cut.cause == "local" and cut.heard[0].samples > 0


class HoldAndRelease(Situation):
    """The provider hears a cough: what plays is held, and goes on."""

    config = SessionConfig(turn_detection=TurnDetection(two_phase=TwoPhase(confirm_words=None)))

    async def provider(self, far: Far) -> None:
        id = await far.begin("r", await far.wish())
        await far.speak(id)
        await far.say(SpeechStarted())
        await anyio.sleep(2 * TICK)
        await far.say(SpeechStopped())
        await far.end(id)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        async with player(talk.session, Loudspeaker(talk.witness, talk.items)) as speaker:
            await talk.listen(speaker.take)
            await speaker.drained()

    def happened(self, talk: Talk) -> bool:
        assert talk.witness.ears is not None
        whole = talk.witness.ears(ItemId("r-0")) == 6 * SAMPLES_A_TICK
        return whole and (count(talk, Held), count(talk, Released)) == (1, 1)


class HoldAndWords(HoldAndRelease):
    """What the provider hears turns out to be words: what was held is cut."""

    config = SessionConfig(turn_detection=TurnDetection(two_phase=TwoPhase()))
    notice = NOTICE
    answers = 2

    async def provider(self, far: Far) -> None:
        id = await far.begin("r", await far.wish())
        await far.speak(id)
        await far.say(SpeechStarted())
        await anyio.sleep(TICK)
        await far.say(UserTranscript(item=ItemId("u"), text="Stop", final=False))
        await far.end(id)
        await far.answer("s", pieces=2)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        async with player(talk.session, Loudspeaker(talk.witness, talk.items)) as speaker:
            await talk.listen(speaker.take)
            await speaker.drained()

    def happened(self, talk: Talk) -> bool:
        return [cut.confirmed for cut in cuts(talk)] == ["words"]


class ToALoudspeaker(Situation):
    """The answer is played on the clock, and what was heard is reported."""

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish())

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        async with player(talk.session, Loudspeaker(talk.witness, talk.items)) as speaker:
            await talk.listen(speaker.take)
            await speaker.drained()

    def happened(self, talk: Talk) -> bool:
        assert talk.witness.ears is not None
        return talk.witness.ears(ItemId("r-0")) == 6 * SAMPLES_A_TICK


class ToATelephone(Situation):
    """The answer is played far away; its marks come late, or never."""

    length = 48

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish(), ticks=4)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        handset = Handset(talk.witness, talk.items)
        async with beside() as tasks, player(talk.session, handset.sink) as speaker:
            tasks.start_soon(handset.run)
            await talk.listen(speaker.take)
            await speaker.drained()
            talk.counts["heard"] = handset.sink.heard()

    def happened(self, talk: Talk) -> bool:
        return talk.counts["heard"] > 0


CUTTING: tuple[type[Situation], ...] = (
    BargeInByProvider,
    OwnDetector,
    HoldAndRelease,
    HoldAndWords,
    ToALoudspeaker,
    ToATelephone,
)
