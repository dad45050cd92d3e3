"""Situations in which the connection is changed for another, by plan or because it has to be."""

from __future__ import annotations

import anyio
from msgspec.structs import replace

from realtime_core.beside import beside
from realtime_core.config import Lanes, Secret, SessionConfig, Slide
from realtime_core.errors import InvalidRequest, RealtimeError
from realtime_core.events import Dropped, Reconnected, ResumptionHandle, SessionEnding
from realtime_core.frames import Audio, Text
from realtime_core.schedule import Recurs
from realtime_core.testing import TICK
from realtime_core.testing.scripted import SCRIPTED, Greeting
from tests.laws.far import Far
from tests.laws.scene import Situation, Talk, count, cuts

__all__ = ("CHANGING",)

HISTORY = replace(SCRIPTED, resumption="none")


class Changing(Situation):
    """What is asked over a later connection is answered there."""

    able = HISTORY

    async def again(self, far: Far) -> None:
        await far.answer("s" if far.peer.conn == 1 else f"t{far.peer.conn}", await far.wish())


class PlannedChange(Changing):
    """The provider will end the connection; the user speaks all the while, and misses nothing."""

    config = SessionConfig(lanes=Lanes(audio=Slide(max_age=int(8 * 1000 * TICK))))
    slow = 3.0
    answers = 2
    spoken = 24

    async def provider(self, far: Far) -> None:
        id = await far.begin("r", await far.wish())
        await far.speak(id, pieces=1)
        await far.say(SessionEnding(left=60.0))
        await far.speak(id, pieces=2)
        await far.end(id)

    async def user(self, talk: Talk) -> None:
        async with beside() as tasks:
            tasks.start_soon(self.speak, talk)
            await talk.push(Text("What is it?"))
            await talk.until(Reconnected)
            await talk.push(Text("And why?"))
            await talk.listen(answers=1)

    async def speak(self, talk: Talk) -> None:
        for number in range(1, self.spoken + 1):
            await talk.push(Audio(number.to_bytes(2, "little") * 48))
            await anyio.sleep(TICK / 2)

    def happened(self, talk: Talk) -> bool:
        heard = [said.pcm[0] for said in talk.witness.handed if isinstance(said, Audio)]
        whole = heard == list(range(1, self.spoken + 1)) and not count(talk, Dropped)
        return whole and not cuts(talk) and len(talk.fars) == 2


class ChangeAtTheLastMoment(Changing):
    """The provider ends the connection in the middle of a long answer; the user asks again."""

    async def provider(self, far: Far) -> None:
        id = await far.begin("r", await far.wish())
        await far.speak(id, pieces=2)
        await far.say(SessionEnding(left=4 * TICK))
        await far.speak(id, pieces=12)
        await far.end(id)

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        await talk.until(Reconnected)
        await talk.push(Text("As I said?"))
        await talk.listen()

    def happened(self, talk: Talk) -> bool:
        greeting = talk.fars[1].greeting
        assert isinstance(greeting, Greeting)
        return [cut.cause for cut in cuts(talk)] == ["connection"] and greeting.history == 1


class RefusedHandle(Changing):
    """The provider knows its own handle no more; it is told what was said instead."""

    config = SessionConfig(retry=Recurs(2))
    able = SCRIPTED

    def refuses(self, greeting: Greeting) -> RealtimeError | None:
        return InvalidRequest(what="No such session.") if greeting.handle else None

    async def provider(self, far: Far) -> None:
        await far.say(ResumptionHandle(handle=Secret("take me back")))
        id = await far.begin("r", await far.wish())
        await far.speak(id, pieces=1)
        far.hang_up()

    async def user(self, talk: Talk) -> None:
        await talk.push(Text("What is it?"))
        await talk.until(Reconnected)
        await talk.push(Text("As I said?"))
        await talk.listen()

    def happened(self, talk: Talk) -> bool:
        (event,) = (event for event in talk.witness.trace if isinstance(event, Reconnected))
        handles = [said.handle for said in talk.witness.handed if isinstance(said, Greeting)]
        return event.restored == "history" and handles == [None, "take me back", None]


CHANGING: tuple[type[Situation], ...] = (PlannedChange, ChangeAtTheLastMoment, RefusedHandle)
