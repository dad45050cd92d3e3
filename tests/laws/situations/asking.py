"""Situations of asking and answering, without anybody cutting in."""

from __future__ import annotations

from contextlib import suppress

import anyio
from msgspec.structs import replace

from realtime_core.audio.format import PCM_24K
from realtime_core.beside import beside
from realtime_core.config import (
    SessionConfig,
    TurnDetection,
)
from realtime_core.epoch import ItemId
from realtime_core.errors import RealtimeException
from realtime_core.events import (
    AgentTranscript,
    AudioInput,
    AudioOutput,
    Interrupted,
    ResponseText,
    SpeechStarted,
    SpeechStopped,
    UserTranscript,
)
from realtime_core.frames import (
    ActivityEnd,
    Audio,
    Text,
    UpdateSession,
    Video,
)
from realtime_core.testing import TICK
from tests.laws.far import Far
from tests.laws.scene import Situation, Talk, count, cuts

__all__ = ("ASKING",)

BY_HAND = TurnDetection(mode="manual", authority="application")
NOTICE = Interrupted(cause="provider")


class TypedQuestion(Situation):
    """A typed question is answered in sound."""

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish())


class SpokenQuestion(Situation):
    """A microphone streams; the provider hears the turn begin and end, and answers."""

    async def provider(self, far: Far) -> None:
        await far.hear(Audio)
        await far.say(SpeechStarted())
        await far.hear(Audio)
        await far.say(SpeechStopped())
        await far.say(UserTranscript(item=ItemId("u"), text="Hello.", final=True))
        await far.answer("r")

    async def user(self, talk: Talk) -> None:
        async with beside() as tasks:
            tasks.start_soon(self.speak, talk)
            await talk.listen()

    async def speak(self, talk: Talk) -> None:
        for _ in range(4):
            await talk.push(Audio(bytes(96)))
            await anyio.sleep(TICK)

    def happened(self, talk: Talk) -> bool:
        return count(talk, AudioInput) == 4 and not cuts(talk)


class PushToTalk(Situation):
    """The user marks the turn by hand."""

    config = SessionConfig(turn_detection=BY_HAND)
    notice = NOTICE

    async def provider(self, far: Far) -> None:
        await far.hear(ActivityEnd)
        await far.answer("r", await far.wish())

    async def user(self, talk: Talk) -> None:
        with suppress(RealtimeException):
            await talk.session.simple_audio_response(bytes(PCM_24K.rate // 25 * 2))
        await talk.listen()


class WrittenAnswer(Situation):
    """The answer comes in writing, and with it the sound of another."""

    config = SessionConfig(modalities=("text",))
    notice = NOTICE

    async def provider(self, far: Far) -> None:
        id = await far.begin("r", await far.wish())
        item = ItemId("r-0")
        for word in ("It ", "is ", "so."):
            await far.say(ResponseText(response=id, item=item, text=word, is_complete=False))
            await anyio.sleep(TICK)
        await far.say(ResponseText(response=id, item=item, text="It is so.", is_complete=True))
        await far.end(id)

    def happened(self, talk: Talk) -> bool:
        return talk.session.history[-1].text == "It is so."


class Unborn(Situation):
    """The answer is long in coming."""

    async def provider(self, far: Far) -> None:
        wish = await far.wish()
        await anyio.sleep(6 * TICK)
        await far.answer("r", wish)


class TwoAnswers(Situation):
    """Two questions are asked at once; the second waits for its turn."""

    answers = 2

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish(), pieces=2)
        await far.answer("s", await far.wish(), pieces=2)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"), Text("And why?"))
        await talk.listen()


class InterleavedItems(Situation):
    """One answer speaks two items by turns, with the words to each."""

    async def provider(self, far: Far) -> None:
        id = await far.begin("r", await far.wish())
        for item in (0, 1, 0, 1):
            await far.speak(id, pieces=1, item=item)
            words = AgentTranscript(response=id, item=ItemId(f"r-{item}"), text="so ", final=False)
            await far.say(words)
        await far.end(id)


class CutAndAskAgain(Situation):
    """The user cuts the answer, waits until the provider has noticed, and asks again."""

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish(), pieces=8)
        await far.answer("s", await far.wish())

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        await talk.until(AudioOutput)
        with suppress(RealtimeException):
            await talk.session.interrupt()
        cut_at = anyio.current_time()
        await talk.session.settled()
        assert anyio.current_time() - cut_at <= talk.config.barrier_timeout, "21: awaitable"
        await talk.push(Text("Never mind. Why?"))
        await talk.listen(answers=2)

    def happened(self, talk: Talk) -> bool:
        return talk.witness.whole() == ["s"]


class WordsThatInterrupt(Situation):
    """The user types while the answer is spoken, and does not want the rest of it."""

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish(), pieces=8)
        await far.answer("s", await far.wish())

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        await talk.until(AudioOutput)
        await talk.push(Text("Stop. Why?", turn="interrupt"))
        await talk.listen(answers=2)

    def happened(self, talk: Talk) -> bool:
        return talk.witness.whole() == ["s"]


class UpdateMidAnswer(Situation):
    """The instructions change while an answer is given."""

    async def provider(self, far: Far) -> None:
        await far.answer("r", await far.wish())
        await far.hear(UpdateSession)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        await talk.until(AudioOutput)
        await talk.push(UpdateSession(replace(talk.session.config, instructions="Be short.")))
        await talk.listen()

    def happened(self, talk: Talk) -> bool:
        return talk.session.config.instructions == "Be short."


class Camera(Situation):
    """Pictures are pushed faster than they are sent, while the user asks about them."""

    config = SessionConfig(fps=32)

    async def provider(self, far: Far) -> None:
        await far.hear(Video)
        await far.hear(Video)
        await far.answer("r", await far.wish())

    async def user(self, talk: Talk) -> None:
        async with beside() as tasks:
            tasks.start_soon(self.film, talk)
            await talk.push(Text("What do you see?"))
            await talk.listen()

    async def film(self, talk: Talk) -> None:
        for number in range(5):
            await talk.push(Video(bytes((number,))))
            await anyio.sleep(0.75 * TICK)

    def happened(self, talk: Talk) -> bool:
        return talk.session.statistics.lanes["video"].dropped > 0


ASKING: tuple[type[Situation], ...] = (
    TypedQuestion,
    SpokenQuestion,
    PushToTalk,
    WrittenAnswer,
    Unborn,
    TwoAnswers,
    InterleavedItems,
    CutAndAskAgain,
    WordsThatInterrupt,
    UpdateMidAnswer,
    Camera,
)
