"""Connections that break, over real sockets: the conversation goes on, whoever provides it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    Audio,
    AudioInput,
    AudioOutput,
    Disconnected,
    Dropped,
    Exponential,
    Frame,
    Heard,
    Interrupted,
    Lanes,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    Reconnected,
    Recurs,
    ResponseDone,
    SessionEnding,
    Slide,
    Spaced,
    ToolCall,
    ToolCallCancelled,
    ToolResult,
    ToolSpec,
    Unavailable,
    open_session,
)
from realtime_core.beside import beside
from realtime_core.schedule import RECONNECT
from realtime_core.testing import run
from realtime_core.testing.conformance import check_trace
from realtime_core.transports.websocket_server import Request, Response
from realtime_gemini import server as gemini
from realtime_openai import server as openai
from tests.providers.gemini.proxy import REFUSED, Fate, How, Proxy, proxied
from tests.providers.gemini.sides import GEMINI, HANDLE, OPENAI, SIDES, Side
from tests.providers.gemini.watching import Way, ended, ours, watched
from tests.providers.watching import comes_true

pytestmark = pytest.mark.usefixtures("silent")
real = pytest.mark.anyio
sides = pytest.mark.parametrize("side", SIDES, ids=[side.name for side in SIDES])

SOON = Spaced(0.02).within(10.0)
PATIENCE = (0.1, 0.2)
PCM = bytes(range(256)) * 8
HALF = bytes(reversed(range(256))) * 8


@asynccontextmanager
async def staged(
    side: Side, play: Callable[[Any], Awaitable[None]], judge: Any = None
) -> AsyncGenerator[tuple[Any, Proxy]]:
    """Run a server, and a proxy before it, under watch."""
    async with watched(), side.serve(play, judge) as here, proxied(side.port(here)) as proxy:
        yield here, proxy


class Talk:
    """A session, its events so far, and what is asked of both at the end."""

    def __init__(self, session: RealtimeSession[Frame]) -> None:
        self.session = session
        self.events = session.events()
        self.seen = list[RealtimeEvent]()

    async def until(self, kind: type[Any]) -> Any:
        """Take events until one of this kind comes; what sounds is heard at once."""
        async for event in self.events:
            self.take(event)
            if isinstance(event, kind):
                return event
        raise AssertionError(f"it ended without {kind.__name__}")

    def take(self, event: RealtimeEvent) -> None:
        self.seen.append(event)
        if isinstance(event, AudioOutput) and event.item is not None:
            samples = event.format.samples(len(self.sound()[event.response]))
            self.session.send_nowait(Heard(event.item, samples))

    async def answered(self, text: str) -> ResponseDone:
        """Ask, and wait until some answer has ended."""
        await self.session.simple_response(text)
        done = await self.until(ResponseDone)
        assert isinstance(done, ResponseDone)
        return done

    def sound(self) -> dict[Any, bytes]:
        """Give the samples of each answer, as they were returned."""
        spoken = dict[Any, bytes]()
        for event in self.seen:
            if isinstance(event, AudioOutput):
                spoken[event.response] = spoken.get(event.response, b"") + event.pcm
        return spoken

    def check(self, *changes: str) -> None:
        """Require a clean trace, and that it was taken up so."""
        assert not check_trace(self.seen)
        assert [e.restored for e in self.seen if isinstance(e, Reconnected)] == [*changes]
        assert self.session.connected
        assert self.session.statistics.violations == 0


@asynccontextmanager
async def talking(
    side: Side, proxy: Proxy, ping: tuple[float, float] | None = None, **settings: Any
) -> AsyncGenerator[Talk]:
    settings = {"retry": SOON, **settings}
    async with open_session(side.provider(proxy.port, ping), **settings) as session:
        yield Talk(session)


async def half_then_whole(side: Side, caller: Any) -> None:
    """Answer one turn, then half of another; on a later connection answer every turn."""
    await side.asked(caller)
    await side.answer(caller, "I am here." if caller.number == 0 else "Good.", PCM)
    await side.asked(caller)
    await side.begin(caller, "Half of it", HALF)
    await caller.next()


# --- lost -------------------------------------------------------------------------------------


@real
@pytest.mark.parametrize("how", ["reset", "end", "vanish"])
@sides
async def test_broken_in_the_middle_of_an_answer(side: Side, how: How) -> None:
    async def play(caller: Any) -> None:
        await half_then_whole(side, caller)

    async with staged(side, play) as (here, proxy):
        ping = PATIENCE if how == "vanish" else None
        async with talking(side, proxy, ping) as talk:
            assert (await talk.answered("Who?")).status == "completed"
            await talk.session.simple_response("And then?")
            half = await talk.until(AudioOutput)
            proxy.breaks(how)
            again = await talk.until(Reconnected)
            assert (again.conn, again.epoch) == (1, 1)
            assert "the answer in progress" in again.lost
            (lost,) = (e for e in talk.seen if isinstance(e, ResponseDone) and e.status == "lost")
            assert (lost.response, lost.by_provider) == (half.response, False)
            assert (await talk.answered("Go on.")).conn == 1
            talk.check(side.restored)
            assert list(talk.sound().values()) == [PCM, HALF, PCM], "nothing twice"
        assert len(proxy.passages) == 2
        told = side.remembered(here.callers[1])
        if side.restored == "handle":
            assert here.callers[1].resumed == HANDLE
            assert told == [("user", "Go on.")]
        else:
            assert told[:3] == [("user", "Who?"), ("model", "I am here."), ("user", "And then?")]
            assert told[-1] == ("user", "Go on.")


@real
async def test_where_the_handle_is_refused_the_history_is_told(way: Way) -> None:
    async def script(caller: gemini.Caller) -> None:
        await caller.until("setup")
        if caller.resumed:
            await caller.close(1008, "BidiGenerateContent session not found.")
            return
        await caller.welcome()
        if caller.number == 0:
            await caller.handle(HANDLE)
            await half_then_whole(GEMINI, caller)
        await caller.turn()  # the history: nobody answers it
        await half_then_whole(GEMINI, caller)

    serving = gemini.loopback(script, ssl=way.server, welcome=False)
    async with watched(), serving as here, proxied(here.served.port) as proxy:
        provider = ours(way.base_url(proxy.port), way)
        async with open_session(provider, retry=SOON) as session:
            talk = Talk(session)
            await talk.answered("Who?")
            await session.simple_response("And then?")
            await talk.until(AudioOutput)
            proxy.breaks("reset")
            await talk.until(Reconnected)
            assert (await talk.answered("Go on.")).conn == 2
            talk.check("history")
        assert [caller.resumed for caller in here.callers] == ["", HANDLE, ""]
        told = GEMINI.remembered(here.callers[2])
        assert told[:3] == [("user", "Who?"), ("model", "I am here."), ("user", "And then?")]


@real
@sides
async def test_dials_that_are_refused_are_tried_again_within_the_schedule(side: Side) -> None:
    async def play(caller: Any) -> None:
        await half_then_whole(side, caller)

    async with staged(side, play) as (here, proxy), talking(side, proxy) as talk:
        await talk.answered("Who?")
        proxy.fates.extend([REFUSED] * 3)
        proxy.breaks("reset")
        await talk.until(Reconnected)
        assert (await talk.answered("Go on.")).conn == 4
        talk.check(side.restored)
        assert (len(proxy.passages), len(here.callers)) == (5, 2)


def losses(session: RealtimeSession[Frame]) -> int:
    """Count the connections that were lost, or could not be made."""
    return sum(one.given == "Lost" for one in session.transitions)


@real
@sides
async def test_a_server_that_is_away_for_a_while_is_waited_for(side: Side) -> None:
    async def play(caller: Any) -> None:
        await half_then_whole(side, caller)

    async with staged(side, play) as (here, proxy), talking(side, proxy) as talk:
        await talk.answered("Who?")
        async with proxy.away():
            await comes_true(lambda: losses(talk.session) > 3)
        await talk.until(Reconnected)
        await talk.answered("Go on.")
        talk.check(side.restored)
        assert (len(proxy.passages), len(here.callers)) == (2, 2)


@real
@sides
async def test_dials_without_end_are_given_up(side: Side) -> None:
    async def play(caller: Any) -> None:
        await half_then_whole(side, caller)

    async with (
        staged(side, play) as (here, proxy),
        talking(side, proxy, retry=Recurs(3)) as talk,
    ):
        await talk.answered("Who?")
        proxy.fates.extend([REFUSED] * 10)
        proxy.breaks("reset")
        assert isinstance(await ended(talk.session, talk.events, talk.seen), Unavailable)
        assert (len(proxy.passages), len(here.callers)) == (4, 1)


CUTS: dict[How, tuple[int, ...]] = {
    "reset": (1, 120, 180, 700, 2_500),
    "end": (150, 700),
    "vanish": (1, 700),
}


@real
@pytest.mark.parametrize("how", CUTS)
@sides
async def test_the_next_connection_may_break_anywhere_too(side: Side, how: How) -> None:
    """Cut at a sample of its bytes, with another behind it: the question is answered in the end."""

    async def play(caller: Any) -> None:
        await side.asked(caller)
        await side.answer(caller, "Good.", PCM)
        await caller.next()

    ping = PATIENCE if how == "vanish" else None
    async with staged(side, play) as (_, proxy):
        for cut in CUTS[how]:
            async with talking(side, proxy, ping, connect_timeout=0.4) as talk:
                await talk.answered("Who?")
                proxy.fates.append(Fate(how, down=cut))
                proxy.breaks("reset")
                async for event in talk.events:
                    talk.take(event)
                    if isinstance(event, Reconnected):
                        await talk.session.simple_response("Go on.")
                    if isinstance(event, ResponseDone) and event.status == "completed":
                        break
                assert not check_trace(talk.seen)
                assert set(talk.sound().values()) <= {PCM} | {PCM[:n] for n in range(len(PCM))}


@real
@pytest.mark.parametrize("when", ["vanished", "refused", "dialling", "acknowledged by nobody"])
@sides
async def test_leaving_in_the_middle_of_it_is_soon_over(side: Side, when: str) -> None:
    async def play(caller: Any) -> None:
        await half_then_whole(side, caller)

    async with staged(side, play) as (_, proxy):
        async with talking(side, proxy, retry=Spaced(0.05), close_timeout=0.5) as talk:
            await talk.answered("Who?")
            size = 700 if "nobody" in when else 1
            fate = REFUSED if when == "refused" else Fate("vanish", up=size)
            proxy.fates.extend([fate] * 100)
            proxy.breaks("vanish" if when == "vanished" else "reset")
            if when != "vanished":
                await comes_true(lambda: len(proxy.passages) > 1)
            start = anyio.current_time()
        assert anyio.current_time() - start < 2.0
        assert not talk.session.connected
        async for event in talk.events:
            talk.take(event)
        assert not check_trace(talk.seen, complete=True)
        assert isinstance(talk.seen[-1], Disconnected)


# --- no storm ---------------------------------------------------------------------------------


@real
@sides
async def test_a_server_that_ends_every_connection_is_not_stormed(side: Side) -> None:
    """1011 as soon as the session is acknowledged, without end: delays grow, then it is over."""

    async def play(caller: Any) -> None:
        if caller.number == 0:
            await side.asked(caller)
            await side.answer(caller, "Good.", PCM)
        else:
            await caller.next()
        await caller.close(1011, "Internal error encountered.")

    retry = Exponential(0.02).capped(0.1).jittered().within(0.5).once_open()
    async with staged(side, play) as (_, proxy), talking(side, proxy, retry=retry) as talk:
        await talk.answered("Who?")
        start = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_poke, talk.session)
            error = await ended(talk.session, talk.events, talk.seen)
            tasks.cancel_scope.cancel()
        assert isinstance(error, Unavailable)
        assert anyio.current_time() - start < 3.0
        again = [event for event in talk.seen if isinstance(event, Reconnected)]
        assert 2 <= len(again) <= len(proxy.passages) - 1 <= 13
        assert not check_trace(talk.seen, complete=True)


async def _poke(session: RealtimeSession[Frame]) -> None:
    """Say something again and again, until the session is over."""
    while True:
        try:
            await session.simple_response("Are you there?")
        except RealtimeException:
            return
        await anyio.sleep(0.02)


@pytest.mark.parametrize("stands", [0.0, 9.0, 11.0])
@pytest.mark.parametrize("side", [GEMINI, OPENAI], ids=["gemini", "openai"])
def test_the_default_policy_storms_nobody(side: Side, stands: float, anyio_backend: str) -> None:
    """Ten minutes of 1011, each so many seconds after the session is acknowledged."""
    at = list[float]()

    async def play(caller: Any) -> None:
        at.append(anyio.current_time())
        if side is OPENAI:
            await caller.next()
        await anyio.sleep(stands)
        await caller.close(1011, "Internal error encountered.")

    async def program() -> str:
        serving: Any = gemini.loopback if side is GEMINI else openai.loopback
        async with serving(play, port=None) as here:
            provider = replace(side.provider(1), dial=here.dial)
            with anyio.move_on_after(600.0):
                opening = open_session(provider, retry=RECONNECT, random=lambda: 0.0)
                async with opening as session:
                    seen = [event async for event in session.events()]
                    assert not check_trace(seen, complete=True)
                    assert isinstance(seen[-1], Disconnected)
                    return "given up"
        return "goes on"

    outcome = run(program, backend=anyio_backend)
    steady = stands > 10.0
    assert outcome == ("goes on" if steady else "given up")
    assert len(at) <= (600.0 / stands + 1 if steady else 20)
    gaps = [later - earlier - stands for earlier, later in pairwise(at)]
    assert min(gaps) >= 0.25
    assert steady or max(gaps) >= 4.0


# --- what was on its way ----------------------------------------------------------------------


def frame(session: RealtimeSession[Frame], number: int) -> Audio:
    """Make 20 ms of sound that tells its number."""
    form = session.input_format
    return Audio(number.to_bytes(2, "little") * (form.rate // 50), form)


def numbers(pcm: bytes, size: int) -> list[int]:
    """Read which frames these are, and that they are whole."""
    pieces = [pcm[at : at + size] for at in range(0, len(pcm), size)]
    assert all(piece == piece[:2] * (size // 2) for piece in pieces)
    return [int.from_bytes(piece[:2], "little") for piece in pieces]


@real
@sides
async def test_what_is_spoken_meanwhile_is_carried_over_while_it_is_fresh(side: Side) -> None:
    let_in, all_came = anyio.Event(), anyio.Event()
    heard: list[bytearray] = [bytearray(), bytearray()]
    asked = list[Request]()
    count = 5

    async def judge(request: Request) -> Response | None:
        asked.append(request)
        if len(asked) > 1:
            await let_in.wait()
        return None

    async def play(caller: Any) -> None:
        while True:
            heard[caller.number] += await side.sound(caller)
            if caller.number == 0 and len(heard[0]) >= count * size:
                all_came.set()

    lanes = Lanes(audio=Slide(max_age=200))
    async with (
        staged(side, play, judge) as (_, proxy),
        talking(side, proxy, lanes=lanes) as talk,
    ):
        session = talk.session
        size = len(frame(session, 0).pcm)
        for number in range(count):
            await session.send(frame(session, number))
        await all_came.wait()
        proxy.breaks("reset")
        await comes_true(lambda: not session.connected)
        spoken = dict[int, float]()
        for number in range(count, count + 25):
            spoken[number] = anyio.current_time()
            await session.send(frame(session, number))
            await anyio.sleep(0.02)
        opened = anyio.current_time()
        let_in.set()
        await talk.until(Reconnected)
        spoken[count + 25] = anyio.current_time()
        await session.send(frame(session, count + 25))
        await comes_true(lambda: heard[1].endswith(frame(session, count + 25).pcm))
        carried = numbers(bytes(heard[1]), size)
        assert numbers(bytes(heard[0]), size) == list(range(count))
        first = carried[0]
        assert carried == list(range(first, count + 26)), "the newest, in order, once"
        assert first > count + 5
        assert opened - spoken[first] <= 0.2
        dropped = first - count
        drop = await talk.until(Dropped)
        assert (drop.lane, drop.reason) == ("audio", "too old")
        balance = session.statistics.lanes["audio"]
        assert balance == (count + 26, count + 26 - dropped, dropped, 0, 0)
        echoes = b"".join(e.pcm for e in talk.seen if isinstance(e, AudioInput))
        assert set(numbers(echoes, size)) <= {*range(count), *carried}
        talk.check(side.restored)


@real
@sides
async def test_a_call_that_nobody_can_answer_any_more(side: Side) -> None:
    """It is void here, and where the server may still wait for it, it is told."""
    told = list[Any]()

    async def play(caller: Any) -> None:
        if caller.number == 0:
            await side.asked(caller)
            await side.call(caller, "weather")
            await caller.next()
        elif side.restored == "handle":
            told.extend(await caller.results("call_0_1"))
        await side.asked(caller)
        await side.answer(caller, "Good.", PCM)
        await caller.next()

    tools = (ToolSpec("weather"),)
    async with (
        staged(side, play) as (here, proxy),
        talking(side, proxy, tools=tools) as talk,
    ):
        await talk.session.simple_response("How is the weather?")
        call = await talk.until(ToolCall)
        if side is OPENAI:
            await talk.until(ResponseDone)
        proxy.breaks("reset")
        again = await talk.until(Reconnected)
        assert "1 open tool calls" in again.lost
        (void,) = (event for event in talk.seen if isinstance(event, ToolCallCancelled))
        assert void.calls == (call.call,)
        with pytest.raises(RealtimeException) as caught:
            await talk.session.send(ToolResult(call.call, "rain"))
        assert caught.value.error.code == "call_void"
        done = await talk.answered("And now?")
        while done.conn == 0:
            done = await talk.until(ResponseDone)
        talk.check(side.restored)
        last = side.remembered(here.callers[1])
        if side.restored == "handle":
            (result,) = told
            assert (result.id, result.name) == (call.call, "weather")
            assert list(result.response) == ["error"]
            assert last == [("user", "And now?")]
        else:
            assert last == [("user", "How is the weather?"), ("user", "And now?")]


# --- one that will end ------------------------------------------------------------------------


@real
async def test_the_next_connection_stands_before_the_old_one_ends(way: Way) -> None:
    """GoAway in the middle of an answer: it is heard to its end, and so is the microphone."""
    happened = list[str]()
    heard: list[bytearray] = [bytearray(), bytearray()]
    pieces = [bytes([n, 0]) * 480 for n in range(8)]

    async def play(caller: gemini.Caller) -> None:
        happened.append(f"{caller.number} is set up")
        async with beside() as tasks:
            tasks.start_soon(speak, caller)
            try:
                while True:
                    heard[caller.number] += await GEMINI.sound(caller)
            finally:
                happened.append(f"{caller.number} ends")

    async def speak(caller: gemini.Caller) -> None:
        if caller.number == 1:
            await GEMINI.answer(caller, "Good.", PCM)
            return
        for place, piece in enumerate(pieces):
            await GEMINI.begin(caller, f"{place} ", piece)
            if place == 2:
                await caller.go_away(20.0)
            await anyio.sleep(0.03)
        await caller.content(generation_complete=True)
        await caller.complete()

    def judge(_: Request) -> None:
        happened.append("dialled")

    async def microphone(session: RealtimeSession[Frame]) -> None:
        for number in range(10_000):
            await session.send(frame(session, number))
            pushed.append(number)
            await anyio.sleep(0.01)

    side = next(one for one in SIDES if one.name == f"gemini-{'tls' if way.secure else 'plain'}")
    pushed = list[int]()
    async with staged(side, play, judge) as (here, proxy), talking(side, proxy) as talk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(microphone, talk.session)
            again = await talk.until(Reconnected)
            await talk.until(ResponseDone)
            await comes_true(lambda: heard[1])
            tasks.cancel_scope.cancel()
        assert (again.restored, again.lost, again.epoch) == ("handle", (), 0)
        assert not [e for e in talk.seen if isinstance(e, Interrupted | Dropped)]
        (warned,) = (e for e in talk.seen if isinstance(e, SessionEnding))
        assert warned.left == 20.0
        assert list(talk.sound().values()) == [b"".join(pieces), PCM]
        ends = [e.status for e in talk.seen if isinstance(e, ResponseDone)]
        assert ends == ["completed", "completed"]
        size = len(frame(talk.session, 0).pcm)
        await comes_true(lambda: sum(map(len, heard)) == len(pushed) * size)
        came = [numbers(bytes(part), size) for part in heard]
        assert came[0] + came[1] == pushed, "every frame once, in order"
        assert all(came)
        talk.check("handle")
        assert here.callers[1].resumed == HANDLE
    assert happened[:3] == ["dialled", "0 is set up", "dialled"]
    assert sorted(happened[3:]) == ["0 ends", "1 ends", "1 is set up"]


@real
async def test_a_server_that_goes_at_once_costs_the_answer_and_nothing_else(way: Way) -> None:
    async def play(caller: gemini.Caller) -> None:
        if caller.number == 0:
            await GEMINI.begin(caller, "Half of it", HALF)
            await caller.go_away(0.1)
        else:
            await GEMINI.answer(caller, "Good.", PCM)
        await caller.next()

    side = next(one for one in SIDES if one.name == f"gemini-{'tls' if way.secure else 'plain'}")
    async with staged(side, play) as (_, proxy), talking(side, proxy) as talk:
        again = await talk.until(Reconnected)
        assert again.lost == ("the answer in progress",)
        done = await talk.until(ResponseDone)
        assert (done.status, done.conn) == ("completed", 1)
        assert list(talk.sound().values()) == [HALF, PCM]
        talk.check("handle")
