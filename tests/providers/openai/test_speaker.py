"""The speaker of a call, on virtual time: what the client is told, and when, to the tick."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from realtime_core import (
    PCM_24K,
    AudioOutput,
    CancelResponse,
    Disconnected,
    HeardItem,
    Interrupted,
    ItemId,
    RealtimeSession,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    open_session,
)
from realtime_core.beside import beside
from realtime_core.frames import Frame
from realtime_core.link import Wires
from realtime_core.testing import run
from realtime_core.testing.scripted import Peer, Script, scripted
from realtime_core.transports.sound import Voice
from realtime_openai.server import begin
from realtime_openai.server.desk import Desk
from realtime_openai.server.speaker import Speaker

SECOND = b"\1\0" * 24_000


class Sheet:
    """A socket that writes down when an answer was said to sound."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, float]] = []

    async def send(self, item: Wires) -> None:
        for wire in item:
            event = json.loads(bytes(wire))  # type: ignore[arg-type] # messages only
            if event["type"].startswith("output_audio_buffer."):
                at = round(anyio.current_time(), 3)
                self.told.append((event["type"][20:], event["response_id"], at))

    async def receive(self) -> Wires:
        await anyio.sleep_forever()
        raise AssertionError

    async def close(self, code: int = 1000, reason: str = "") -> None: ...

    def abort(self) -> None: ...


class Stage:
    """A session whose answers a speaker plays, and the frames that left."""

    def __init__(self, session: RealtimeSession[Frame]) -> None:
        self.session = session
        self.sheet = Sheet()
        self.voice = Voice(PCM_24K)
        self.sent: list[tuple[float, bytes]] = []
        self.cut: tuple[HeardItem, ...] = ()
        self.desk = Desk(self.sheet, begin("0", by_track=True))
        self.speaker = Speaker(self.voice, session, self.desk)

    async def carry(self) -> None:
        while True:
            frame = await self.voice.due()
            self.sent.append((anyio.current_time(), frame))

    async def listen(self) -> None:
        async for event in self.session.events():
            self.speaker.take(event)
            await self.speaker.room()
            if isinstance(event, Interrupted):
                self.cut = event.heard
            if isinstance(event, Disconnected):
                return

    @property
    def loud(self) -> float:
        return sum(len(frame.rstrip(b"\0")) // 2 + 1 for _, frame in self.sent if any(frame))


@asynccontextmanager
async def playing(script: Script) -> AsyncGenerator[Stage]:
    async with open_session(scripted(script)) as session, beside() as tasks:
        stage = Stage(session)
        for task in (stage.carry, stage.listen, stage.speaker.run, stage.desk.write):
            tasks.start_soon(task)
        yield stage


def played(script: Script, test: Callable[[Stage], Awaitable[None]], backend: str) -> None:
    async def program() -> None:
        async with playing(script) as stage:
            await test(stage)

    run(program, backend=backend)


async def answer(peer: Peer, id: str, seconds: float = 1.0, *, ends: bool = True) -> None:
    response, item = ResponseId(id), ItemId(f"item-{id}")
    pcm = SECOND * int(seconds) + SECOND[: int(48_000 * (seconds % 1))]
    await peer.say(
        ResponseStarted(response=response),
        AudioOutput(response=response, item=item, pcm=pcm, format=PCM_24K),
    )
    if ends:
        await peer.say(ResponseDone(response=response, status="completed"))


def near(*told: tuple[str, str, float]) -> list[Any]:
    return [(how, id, pytest.approx(at, abs=0.025)) for how, id, at in told]


def test_an_answer_begins_and_has_sounded(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await answer(peer, "a")
        await answer(peer, "b", 0.5)
        await peer.drain()

    async def test(stage: Stage) -> None:
        await anyio.sleep(3)
        assert stage.sheet.told == near(
            ("started", "a", 0),
            ("stopped", "a", 1.06),
            ("started", "b", 1.06),
            ("stopped", "b", 1.62),
        )
        assert stage.loud == 36_000

    played(script, test, anyio_backend)


def test_an_answer_that_is_still_made_has_not_sounded(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await answer(peer, "a", 0.5, ends=False)
        await anyio.sleep(1)
        await answer(peer, "a", 0.5, ends=False)
        await anyio.sleep(1)
        await peer.say(ResponseDone(response=ResponseId("a"), status="completed"))
        await peer.drain()

    async def test(stage: Stage) -> None:
        await anyio.sleep(3)
        assert stage.sheet.told == near(("started", "a", 0), ("stopped", "a", 2))

    played(script, test, anyio_backend)


def test_answers_side_by_side_take_turns(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        for id in ("a", "b", "a"):
            await answer(peer, id, 0.2, ends=False)
        for id in ("a", "b"):
            await peer.say(ResponseDone(response=ResponseId(id), status="completed"))
        await peer.drain()

    async def test(stage: Stage) -> None:
        await anyio.sleep(2)
        assert [told[:2] for told in stage.sheet.told] == [
            ("started", "a"),
            ("started", "b"),
            ("stopped", "b"),
            ("started", "a"),
            ("stopped", "a"),
        ]
        assert stage.loud == 3 * 4_800

    played(script, test, anyio_backend)


def test_a_cut_silences_at_once_and_counts_to_the_frame(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await answer(peer, "a", 3, ends=False)
        await answer(peer, "b", 1)
        await peer.until(CancelResponse)
        await peer.say(ResponseDone(response=ResponseId("a"), status="cancelled"))
        await anyio.sleep(1)
        await answer(peer, "c", 0.2)
        await peer.drain()

    async def test(stage: Stage) -> None:
        await anyio.sleep(1.005)
        await stage.session.interrupt()
        cut_at = anyio.current_time()
        await anyio.sleep(0.5)
        assert not any(any(frame) for at, frame in stage.sent if at > cut_at)
        heard = {one.item: one.samples for one in stage.cut}[ItemId("item-a")]
        assert heard == pytest.approx(24_000, abs=960)
        assert heard <= stage.voice.spoken()
        await anyio.sleep(2)
        assert stage.sheet.told == near(
            ("started", "a", 0),
            ("cleared", "a", 1),
            ("cleared", "b", 1),
            ("started", "c", 2),
            ("stopped", "c", 2.26),
        )

    played(script, test, anyio_backend)


def test_two_minutes_wait_and_no_more(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        for number in range(5):
            await answer(peer, f"{number}", 40)
        await peer.drain()

    async def test(stage: Stage) -> None:
        await anyio.sleep(1)
        assert stage.session.statistics.output.delivered == pytest.approx(160 * 24_000, abs=1)
        await stage.session.interrupt()
        await anyio.sleep(1)
        assert [how for how, *_ in stage.sheet.told] == ["started", *["cleared"] * 4]

    played(script, test, anyio_backend)


def test_who_hung_up_hears_nothing(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await answer(peer, "a", 2)
        await peer.drain()

    async def test(stage: Stage) -> None:
        await anyio.sleep(0.5)
        stage.voice.end()
        await anyio.sleep(1)
        assert stage.sheet.told[0][0] == "started"

    played(script, test, anyio_backend)


def test_an_answer_of_no_sound_does_not_sound(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        id = ResponseId("a")
        await peer.say(ResponseStarted(response=id), ResponseDone(response=id, status="completed"))
        await answer(peer, "b", 0.1)
        await peer.drain()

    async def test(stage: Stage) -> None:
        await anyio.sleep(1)
        assert stage.sheet.told == near(("started", "b", 0), ("stopped", "b", 0.16))

    played(script, test, anyio_backend)


def test_what_is_held_goes_on_where_it_was(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await answer(peer, "a", 1)
        await peer.drain()

    async def test(stage: Stage) -> None:
        await anyio.sleep(0.5)
        stage.speaker.pause()
        paused_at = anyio.current_time()
        await anyio.sleep(1)
        assert not any(any(frame) for at, frame in stage.sent if at > paused_at)
        stage.speaker.resume()
        await anyio.sleep(1)
        assert stage.sheet.told == near(("started", "a", 0), ("stopped", "a", 2.06))
        assert stage.loud == 24_000

    played(script, test, anyio_backend)
