"""Playback stories: what a provider says, when it is cut, and what truly sounded of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import anyio
from hypothesis import strategies as st

from realtime_core.audio.format import AudioFormat
from realtime_core.codec import CancelResponse, DeleteItem, TruncateItem
from realtime_core.config import SessionConfig
from realtime_core.epoch import ItemId, RequestId, ResponseId
from realtime_core.events import (
    AudioOutput,
    HeardItem,
    Interrupted,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
)
from realtime_core.frames import CreateResponse, Frame, Heard, Interrupt
from realtime_core.playback import Sink, player
from realtime_core.session import RealtimeSession, open_session
from realtime_core.state import Emit, Input, Pushed, Send, Transition
from realtime_core.testing import TICK, Injection, run, stalls
from realtime_core.testing.scripted import Peer, read, scripted
from tests.laws.ears import A_TICK, AN_ANSWER, FORM, Ear, FarEnd, Room, answer_of, values

__all__ = ("Part", "Performed", "Talk", "heard_out", "played_back", "talks")

LONG = 4_000 * TICK
"""Until everything has sounded, however late everybody is."""


class Part(NamedTuple):
    """A piece of an answer: of which item, after and for how many ticks."""

    item: int
    after: int
    ticks: int


class Talk(NamedTuple):
    """Answers, all but the last cut so many ticks after they were asked for; and the sink."""

    answers: tuple[tuple[Part, ...], ...]
    cuts: tuple[int, ...]
    marks_after: int | None = -1
    """Ticks after which the far end says what it played, None: never. Below 0: a `ClockSink`."""
    seed: int | None = None
    """Of how late every task is; None: none is."""
    burst: bool = False
    """The provider itself cuts an answer, in the burst in which it begins the next one."""


def talks(marks: tuple[int | None, ...] = (-1, -1, 0, 1, 8, None)) -> st.SearchStrategy[Talk]:
    part = st.builds(Part, st.integers(0, 1), st.sampled_from((0, 0, 1, 5)), st.integers(0, 9))
    answer = st.lists(part, min_size=1, max_size=5).map(tuple)
    cut = st.integers(0, 24)
    seeds = st.one_of(st.none(), st.integers(0, 2**16))

    def talk(cuts: list[int]) -> st.SearchStrategy[Talk]:
        answers = st.lists(answer, min_size=len(cuts) + 1, max_size=len(cuts) + 1)
        return st.builds(
            Talk,
            answers.map(tuple),
            st.just(tuple(cuts)),
            st.sampled_from(marks),
            seeds,
            st.booleans(),
        )

    return st.lists(cut, max_size=3).flatmap(talk)


class Reported(NamedTuple):
    """What the session was told, or said, of an item, and how much of it had truly sounded."""

    item: ItemId
    samples: int
    true: int
    received: int = 0
    told: bool = True
    """Whether the sink has said anything yet; before, the session estimates."""


class Performed:
    """What came of playing a talk back."""

    def __init__(self) -> None:
        self.stale = list[int]()
        """Samples that were handed to the sink when their epoch was over."""
        self.reports = list[Reported]()
        """Each `Heard` of the player."""
        self.cuts = list[Reported]()
        """Each item of each interruption by the caller or the provider."""
        self.fences = list[list[int]]()
        """What had sounded at each of them."""
        self.repairs = list[TruncateItem | DeleteItem]()
        self.sounded = list[int]()
        self.items = dict[int, ItemId]()
        """The item of each sample that was sent."""
        self.last = 0
        """The number of the last answer that was asked for."""

    def parts(self, talk: Talk, number: int) -> Iterator[tuple[int, AudioOutput]]:
        """Give the sound of an answer, and the ticks before each piece; noted as it is taken."""
        id, value = ResponseId(f"r{number}"), number * AN_ANSWER
        for part in talk.answers[number]:
            item = ItemId(f"{id}-{part.item}")
            samples = range(value, value := value + part.ticks * A_TICK)
            pcm = b"".join(v.to_bytes(2, "little") for v in samples)
            self.items.update(dict.fromkeys(samples, item))
            yield part.after, AudioOutput(response=id, item=item, pcm=pcm, format=FORM)

    def of(self, answer: int) -> list[int]:
        """Give the samples of one answer that were sent, in order."""
        return [value for value in self.items if answer_of(value) == answer]

    def true(self, item: ItemId, ear: Ear) -> int:
        return sum(self.items[value] == item for value in ear.sounded())

    def watch(self, ear: Ear) -> Callable[[Input, Transition], None]:
        """Note what is told and said of what was heard, with the truth at that instant."""

        def note(given: Input, transition: Transition) -> None:
            if isinstance(given, Pushed) and isinstance(given.frame, Heard):
                heard = given.frame
                true = self.true(heard.item, ear)
                self.reports.append(Reported(heard.item, heard.samples, true))
            for effect in transition.effects:
                if isinstance(effect, Send):
                    frames = map(read, effect.wires)
                    self.repairs += [f for f in frames if isinstance(f, TruncateItem | DeleteItem)]
                event = effect.event if isinstance(effect, Emit) else None
                if isinstance(event, Interrupted) and event.cause in {"app", "provider"}:
                    self._cut(ear, event.heard, transition.state.ledger.confirmed)

        return note

    def _cut(self, ear: Ear, heard: tuple[HeardItem, ...], told: bool) -> None:
        self.fences.append(ear.sounded())
        for part in heard:
            true = self.true(part.item, ear)
            self.cuts.append(Reported(part.item, part.samples, true, part.received, told))

    def guard(self, ear: Ear, session: RealtimeSession[Frame]) -> Sink:
        """Give a sink that notes what it is given too late."""
        write = ear.sink.write

        async def watched(pcm: bytes, format: AudioFormat) -> None:
            self.stale += [v for v in values(pcm) if answer_of(v) != session.epoch]
            await write(pcm, format)

        ear.sink.write = watched  # type: ignore[method-assign]
        return ear.sink


async def heard_out(talk: Talk, done: Performed, point: Injection | None = None) -> Performed:
    """Play a talk back; what is injected is an interrupt, and the question for the last answer."""

    async def script(peer: Peer) -> None:
        if talk.burst:
            await _burst(peer, talk, done)
        with suppress(anyio.EndOfStream):
            while True:
                wish = await peer.until(CreateResponse)
                assert isinstance(wish, CreateResponse)
                await _answer(peer, talk, wish.request, done)

    def go_on(session: RealtimeSession[Frame], number: int) -> None:
        session.send_nowait(Interrupt())
        session.send_nowait(CreateResponse(request=RequestId(str(number))))
        done.last = number

    async def ask(session: RealtimeSession[Frame]) -> None:
        """Ask for answer after answer, and cut all but the last."""
        if talk.burst:
            return
        await session.send(CreateResponse(request=RequestId("0")))
        if point is not None:
            point.arm(lambda: go_on(session, 1))
        for number, cut in enumerate(talk.cuts, 1):
            while not session._driver.doors.inlet.empty:
                await session._driver.doors.inlet.room.wait()
            await anyio.sleep(cut * TICK)
            go_on(session, number)

    config = SessionConfig(barrier_timeout=256 * TICK, close_timeout=TICK)
    async with (
        open_session(scripted(script), config) as session,
        anyio.create_task_group() as tasks,
    ):
        late = talk.marks_after
        ear: Any = Room() if late == -1 else FarEnd(tasks.start_soon, late)
        session._driver.watchers += (done.watch(ear),)
        async with player(session, done.guard(ear, session)) as speaker:
            tasks.start_soon(ask, session)
            with anyio.move_on_after(LONG):
                async for event in session.events():
                    speaker.take(event)
            if point is not None:
                point.close()
            done.sounded = ear.sounded()
        tasks.cancel_scope.cancel()
    return done


async def _answer(peer: Peer, talk: Talk, request: RequestId, done: Performed) -> None:
    number = int(request)
    id = ResponseId(f"r{number}")

    async def speak() -> None:
        for after, sound in done.parts(talk, number):
            await anyio.sleep(after * TICK)
            await peer.say(sound)
        both.cancel_scope.cancel()

    await peer.say(ResponseStarted(response=id, request=request))
    async with anyio.create_task_group() as both:
        both.start_soon(speak)
        while await peer.until(CancelResponse) != CancelResponse(id):
            pass
        both.cancel_scope.cancel()
    await peer.say(ResponseDone(response=id, status="completed"))


async def _burst(peer: Peer, talk: Talk, done: Performed) -> None:
    last: tuple[RealtimeEvent, ...] = ()
    for number, cut in enumerate((*talk.cuts, None)):
        done.last, id = number, ResponseId(f"r{number}")
        (_, first), *rest = done.parts(talk, number)
        await peer.say(*last, ResponseStarted(response=id), first)
        last = SpeechStarted(), ResponseDone(response=id, status="cancelled")
        with anyio.move_on_after(None if cut is None else cut * TICK):
            for after, sound in rest:
                await anyio.sleep(after * TICK)
                await peer.say(sound)
            if cut is not None:
                await anyio.sleep_forever()
    await peer.say(last[1])


def played_back(talk: Talk, backend: str = "asyncio") -> Performed:
    """Play a talk back on virtual time."""
    weave = None if talk.seed is None else stalls(talk.seed)
    return run(heard_out, talk, Performed(), backend=backend, weave=weave)
