"""Situations of real use: what the provider says and what the user does, in a few dozen waits."""

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
    TurnDetection,
    TwoPhase,
)
from realtime_core.epoch import CallId, ItemId
from realtime_core.errors import RealtimeException
from realtime_core.events import (
    AgentTranscript,
    AudioInput,
    AudioOutput,
    Dropped,
    Held,
    Interrupted,
    RealtimeEvent,
    Reconnected,
    Released,
    ResponseDone,
    ResponseText,
    SpeechStarted,
    SpeechStopped,
    ToolCallCancelled,
    UserTranscript,
)
from realtime_core.frames import (
    ActivityEnd,
    Audio,
    Hold,
    Interrupt,
    Release,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from realtime_core.playback import player
from realtime_core.schedule import Recurs
from realtime_core.testing import TICK
from realtime_core.testing._author import SAMPLES_A_TICK
from realtime_core.testing.scripted import SCRIPTED, Greeting
from realtime_core.tools import answering, tool
from tests.laws.far import Far
from tests.laws.scene import Situation, Talk
from tests.laws.sinks import Handset, Loudspeaker
from tests.laws.situations_built import BUILT

__all__ = ("SITUATIONS",)

BY_HAND = TurnDetection(mode="manual", authority="application")
NOTICE = Interrupted(cause="provider")
MS = 1_000 * TICK


def count(talk: Talk, *kinds: type[RealtimeEvent]) -> int:
    return sum(isinstance(event, kinds) for event in talk.witness.trace)


def cuts(talk: Talk) -> list[Interrupted]:
    """List the interruptions but that of leaving."""
    all = (event for event in talk.witness.trace if isinstance(event, Interrupted))
    return [event for event in all if event.cause != "close"]


# --- questions and answers --------------------------------------------------------------------


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


# --- barge-in ---------------------------------------------------------------------------------


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


# --- playing ----------------------------------------------------------------------------------


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
        return 0 < talk.counts["heard"] < 12 * SAMPLES_A_TICK


# --- tools ------------------------------------------------------------------------------------


class ToolRound(Situation):
    """A tool is called, and its result spoken; the connection may be made once more."""

    config = SessionConfig(tools=(ToolSpec("c"),), retry=Recurs(1))
    pends = False
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
    pends = False
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
    pends = False
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
    """A plain function is called, in a worker thread."""

    config = SessionConfig(tools=(ToolSpec("c"),))

    async def user(self, talk: Talk) -> None:
        def work(call: str) -> str:
            return call

        await talk.push(Text("What is it?"))
        async with answering(talk.session, (tool(work, name="c"),)) as answers:
            await talk.listen(answers.take)


# --- loss and bad links -----------------------------------------------------------------------


class Reconnect(Situation):
    """The connection is lost in the middle of an answer; the next one is told what was said."""

    config = SessionConfig(retry=Recurs(2))
    able = replace(SCRIPTED, resumption="none")

    async def provider(self, far: Far) -> None:
        id = await far.begin("r", await far.wish())
        await far.speak(id, pieces=2)
        far.hang_up()

    async def again(self, far: Far) -> None:
        assert isinstance(far.greeting, Greeting)
        assert far.greeting.history >= 0
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


SITUATIONS: tuple[type[Situation], ...] = (
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
    BargeInByProvider,
    OwnDetector,
    HoldAndRelease,
    HoldAndWords,
    ToALoudspeaker,
    ToATelephone,
    ToolRound,
    ParallelTools,
    TakenBack,
    ToolInAThread,
    Reconnect,
    StalledLink,
    MutePeer,
    *BUILT,
)
