"""The driver: carries between caller, machine and connection, and comes to an end in any case."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import ObjectStream
from msgspec.structs import replace
from returns.maybe import Maybe
from returns.result import Result

from realtime_core import (
    PCM_24K,
    Attempt,
    Audio,
    AudioInput,
    AudioOutput,
    AuthFailed,
    CancelResponse,
    Close,
    Coded,
    Connected,
    Disconnected,
    Dropped,
    Error,
    InternalFault,
    Interrupt,
    InvalidRequest,
    Outlet,
    Plan,
    Provider,
    RealtimeError,
    RealtimeException,
    RealtimeSession,
    Recurs,
    ResponseDone,
    Resume,
    SessionConfig,
    Spaced,
    SpeechStarted,
    Text,
    TimedOut,
    TurnDetection,
    Unavailable,
    Wire,
    open_session,
)
from realtime_core.codec import Outgoing
from realtime_core.faults import first_cause
from realtime_core.link import Link, Wires
from realtime_core.testing import no_leaks, run
from realtime_core.testing.scripted import SCRIPTED, Peer, ScriptedCodec, scripted
from tests.core.short import (
    NO,
    R1,
    R2,
    SECOND,
    done,
    listening,
    names,
    of,
    sound,
    started,
    words,
)


class DefectError(Exception):
    """What a codec with a defect raises."""


class Broken(ScriptedCodec):
    """The scripted codec, except that some frames, or all it hears, break it."""

    def __init__(self, *kinds: type, deaf: bool = False) -> None:
        self._kinds = kinds
        self._deaf = deaf

    def encode(self, state: int, frame: Outgoing) -> Result[Coded[int], RealtimeError]:
        if isinstance(frame, self._kinds):
            raise DefectError
        return super().encode(state, frame)

    def decode(self, state: int, wire: Wire) -> Result[Coded[int], RealtimeError]:
        if self._deaf:
            raise DefectError
        return super().decode(state, wire)


async def drain(peer: Peer) -> None:
    await peer.drain()


def broken(codec: ScriptedCodec, script: Any = drain) -> Provider[Any]:
    return replace(scripted(script), codec=codec)


# --- defects ----------------------------------------------------------------------------------


def test_a_codec_that_breaks_ends_the_session_and_its_defect_comes_out_once(
    anyio_backend: str,
) -> None:
    events = list[Any]()

    async def program() -> None:
        async with open_session(broken(Broken(Text))) as session:
            with pytest.raises(RealtimeException) as refusal:
                await session.send(Text("x"))
            assert isinstance(refusal.value.error, InternalFault)
            events.extend([event async for event in session.events()])
            assert (await session.outcome()).failure() == refusal.value.error

    with pytest.raises(RealtimeException) as failure:
        run(program, backend=anyio_backend)
    assert isinstance(failure.value.__cause__, DefectError)
    (last,) = of(Disconnected, events)
    assert last is events[-1]
    assert isinstance(last.error, InternalFault)


def test_what_the_owner_raises_comes_out_as_it_was_though_the_session_failed(
    anyio_backend: str,
) -> None:
    async def program() -> None:
        async with open_session(broken(Broken(Text))) as session:
            with pytest.raises(RealtimeException):
                session.send_nowait(Text("x"))
            raise KeyError("the owner's own")

    with pytest.raises(KeyError, match="the owner's own"):
        run(program, backend=anyio_backend)


def test_a_codec_that_breaks_before_the_session_is_open_says_so_at_once(
    anyio_backend: str,
) -> None:
    async def program() -> None:
        async with open_session(broken(Broken(deaf=True))):
            raise AssertionError("it never opened")

    with pytest.raises(RealtimeException) as failure:
        run(program, backend=anyio_backend)
    assert isinstance(failure.value.error, InternalFault)
    assert isinstance(failure.value.__cause__, DefectError)


def test_a_codec_that_breaks_while_taking_leave_still_ends_the_session(
    anyio_backend: str,
) -> None:
    async def program() -> None:
        async with no_leaks(), open_session(broken(Broken(Close))) as session:
            assert session.connected

    with pytest.raises(RealtimeException) as failure:
        run(program, backend=anyio_backend)
    assert isinstance(failure.value.__cause__, DefectError)


class Impossible:
    """A retry policy of the caller that fails."""

    def __init__(self, problem: Exception) -> None:
        self._problem = problem

    def delay(self, attempt: Attempt) -> Maybe[float]:
        raise self._problem


class Discreet(ScriptedCodec):
    """The scripted codec, except that it does not tell the peer of the configuration."""

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[int]:
        return super().greet(replace(plan, config=SessionConfig()), resume)


def ending(backend: str, problem: Exception) -> Disconnected:
    """Give the last event of a session whose retry policy fails."""

    async def script(peer: Peer) -> None:
        await peer.next()
        connected = Connected(session_id="", config=SessionConfig(), capabilities=SCRIPTED)
        await peer.say(connected, started(R1), words("Hello"), sound())
        await peer.until(Text)

    async def program() -> Disconnected:
        config = SessionConfig(retry=Impossible(problem))  # type: ignore[arg-type]
        provider = replace(scripted(script, welcome=False), codec=Discreet())
        async with open_session(provider, config) as session:
            await anyio.sleep(1.0)
            await session.interrupt()
            await session.send(Text("x", turn="context"))
            await session.settled()
            *_, last = [event async for event in session.events()]
            assert isinstance(last, Disconnected)
            assert [event async for event in session.events()] == []
            return last

    return run(program, backend=backend)


def test_a_retry_policy_with_a_defect_ends_the_session(anyio_backend: str) -> None:
    with pytest.raises(RealtimeException) as failure:
        ending(anyio_backend, DefectError())
    assert isinstance(failure.value.__cause__, DefectError)


def test_a_session_ends_in_order_even_if_the_machine_cannot_end_it(anyio_backend: str) -> None:
    last = ending(anyio_backend, OSError("the policy needs the network"))
    assert isinstance(last.error, Unavailable)
    assert (last.epoch, last.conn, last.at, last.clean) == (1, 0, 1.0, False)


def test_a_codec_that_names_its_fault_ends_the_session_with_it(anyio_backend: str) -> None:
    class Strict(ScriptedCodec):
        def encode(self, state: int, frame: Outgoing) -> Result[Coded[int], RealtimeError]:
            if isinstance(frame, Text):
                raise RealtimeException(NO)
            return super().encode(state, frame)

    async def program() -> None:
        async with open_session(broken(Strict())) as session:
            with pytest.raises(RealtimeException):
                session.send_nowait(Text("x"))
            assert (await session.outcome()).failure() == NO

    run(program, backend=anyio_backend)


def test_a_defect_in_what_the_session_was_given_ends_it(anyio_backend: str) -> None:
    def random() -> float:
        raise DefectError

    async def lose(peer: Peer) -> None:
        await anyio.sleep(1.0)

    async def program() -> None:
        async with open_session(scripted(lose), random=random) as session:
            assert isinstance((await session.outcome()).failure(), InternalFault)

    with pytest.raises(RealtimeException) as failure:
        run(program, backend=anyio_backend)
    assert isinstance(failure.value.__cause__, DefectError)


@pytest.mark.parametrize("tidying", [0.0, 5.0])
def test_cancelling_the_owner_ends_the_session_when_the_owner_leaves(
    anyio_backend: str, tidying: float
) -> None:
    sessions = list[RealtimeSession[Any]]()

    async def hold() -> None:
        async with open_session(scripted(drain)) as session:
            sessions.append(session)
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(tidying)

    async def program() -> float:
        async with no_leaks(), anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await anyio.sleep(1.0)
            tasks.cancel_scope.cancel()
        events = [event async for event in sessions[0].events()]
        assert names(events) == ["Connected", "Disconnected"]
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 1.0 + tidying


def test_a_failure_keeps_of_the_answer_what_was_heard(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started(R1), words("One two three four"), sound(SECOND))
        await peer.drain()

    async def program() -> None:
        async with open_session(broken(Broken(Text), script)) as session:
            events = session.events()
            while not isinstance(await anext(events), AudioOutput):
                pass
            await anyio.sleep(0.5)
            with pytest.raises(RealtimeException):
                session.send_nowait(Text("x"))
            assert [message.text for message in session.history] == ["One"]

    with pytest.raises(RealtimeException):
        run(program, backend=anyio_backend)


# --- dialling ---------------------------------------------------------------------------------


def failing(problem: Exception) -> Provider[Any]:
    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        async with scripted(drain).dial(plan) as link:
            raise problem
            yield link  # type: ignore[unreachable]

    return replace(scripted(drain), dial=dial)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (OSError("no route to host"), Unavailable),
        (TimeoutError(), TimedOut),
        (RealtimeException(AuthFailed(what="No.")), AuthFailed),
        (DefectError(), InternalFault),
    ],
    ids=repr,
)
def test_a_connection_that_cannot_be_made_raises_a_typed_error(
    anyio_backend: str, problem: Exception, kind: type
) -> None:
    async def program() -> None:
        async with no_leaks(), open_session(failing(problem)):
            raise AssertionError("it never opened")

    with pytest.raises(RealtimeException) as failure:
        run(program, backend=anyio_backend)
    assert isinstance(failure.value.error, kind)


def test_a_provider_that_never_answers_is_given_up(anyio_backend: str) -> None:
    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        await anyio.sleep_forever()
        yield scripted(drain).dial  # type: ignore[misc]

    async def program() -> None:
        config = SessionConfig(connect_timeout=7.0)
        provider = replace(scripted(drain), dial=dial)
        async with no_leaks():
            with pytest.raises(RealtimeException) as failure:
                async with open_session(provider, config):
                    raise AssertionError("it never opened")
        assert isinstance(failure.value.error, TimedOut)
        assert anyio.current_time() == 7.0

    run(program, backend=anyio_backend)


def test_a_lost_connection_is_made_again_and_the_session_goes_on(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.until(Text)
        if peer.conn == 2:
            await peer.say(started(R2), done(R2))
            await peer.drain()

    async def program() -> list[str]:
        config = SessionConfig(retry=Spaced(1.0))
        async with open_session(scripted(script), config) as session:
            for _ in range(3):
                await session.send(Text("x", turn="context"))
                await anyio.sleep(2.0)
            await session.send(Close())
            return names([event async for event in session.events()])

    kinds = run(program, backend=anyio_backend)
    assert kinds.count("Reconnected") == 2
    assert kinds[-3:] == ["ResponseStarted", "ResponseDone", "Disconnected"]


def test_closing_between_two_attempts_dials_no_more(anyio_backend: str) -> None:
    dialled = list[float]()

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        dialled.append(anyio.current_time())
        if len(dialled) > 1:
            await anyio.sleep_forever()
        async with scripted(lose).dial(plan) as link:
            yield link

    async def lose(peer: Peer) -> None:
        await anyio.sleep(1.0)

    async def program() -> float:
        config = SessionConfig(retry=Spaced(1.0), close_timeout=60.0)
        provider = replace(scripted(drain), dial=dial)
        async with no_leaks(), open_session(provider, config) as session:
            await anyio.sleep(5.0)
            await session.send(Close())
            await session.outcome()
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 5.0
    assert dialled == [0.0, 2.0]


def test_closing_in_the_instant_of_dialling_ends_that_dialling(anyio_backend: str) -> None:
    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        await anyio.sleep_forever()
        yield scripted(drain).dial  # type: ignore[misc]

    async def program() -> float:
        config = SessionConfig(close_timeout=60.0, connect_timeout=600.0)
        provider = replace(scripted(drain), dial=dial)
        async with no_leaks():
            with anyio.CancelScope() as scope:
                scope.cancel()
                async with open_session(provider, config):
                    raise AssertionError("it never opened")
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 0.0


class Sore(ObjectStream[Wires]):
    """A link that raises something of its own where it is cancelled, or at once."""

    def __init__(self, link: Link, problem: BaseException, *, at_once: bool = False) -> None:
        self._link = link
        self._problem = problem
        self._at_once = at_once

    async def receive(self) -> Wires:
        wires = await self._link.receive()
        if self._at_once:
            raise self._problem
        return wires

    async def send(self, item: Wires) -> None:
        await self._link.send(item)
        if b"Text" in item[0]:
            try:
                await anyio.sleep_forever()
            finally:
                raise self._problem

    async def send_eof(self) -> None:
        await self._link.send_eof()

    async def aclose(self) -> None:
        await self._link.aclose()


def sore(problem: BaseException, **how: bool) -> Provider[Any]:
    provider = scripted(drain)

    @asynccontextmanager
    async def dial(plan: Plan) -> AsyncGenerator[Link]:
        async with provider.dial(plan) as link:
            yield Sore(link, problem, **how)

    return replace(provider, dial=dial)


def test_a_link_that_fails_while_it_is_cancelled_does_not_hide_the_cancellation(
    anyio_backend: str,
) -> None:
    async def program() -> float:
        async with no_leaks():
            with anyio.move_on_after(2.0) as patience:
                async with open_session(sore(DefectError())) as session:
                    await session.send(Text("x", turn="context"))
                    await anyio.sleep_forever()
            assert patience.cancelled_caught
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 2.0


class Stop(BaseException):
    """What nobody but the program itself should catch."""


def test_what_is_no_exception_goes_through(anyio_backend: str) -> None:
    async def program() -> None:
        async with open_session(sore(Stop(), at_once=True)):
            await anyio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as failure:
        run(program, backend=anyio_backend)
    assert isinstance(first_cause(failure.value), Stop)


# --- hanging up -------------------------------------------------------------------------------


def test_leaving_returns_by_the_close_deadline_though_the_peer_is_mute_and_deaf(
    anyio_backend: str,
) -> None:
    async def script(peer: Peer) -> None:
        await anyio.sleep_forever()

    async def program() -> float:
        config = SessionConfig(close_timeout=3.0)
        async with no_leaks():
            async with open_session(scripted(script, buffer=0), config) as session:
                session.send_nowait(Text("x", turn="context"))
                await anyio.sleep(1.0)
                began = anyio.current_time()
            return anyio.current_time() - began

    assert run(program, backend=anyio_backend) == 3.0


def test_leaving_takes_no_time_where_the_provider_answers(anyio_backend: str) -> None:
    async def program() -> float:
        async with no_leaks(), open_session(scripted(drain)):
            await anyio.sleep(1.0)
        return anyio.current_time()

    assert run(program, backend=anyio_backend) == 1.0


def test_a_connection_given_up_while_it_does_not_accept_is_ended_by_the_close_deadline(
    anyio_backend: str,
) -> None:
    ended = list[tuple[int, float]]()

    async def script(peer: Peer) -> None:
        try:
            if peer.conn == 0:
                await anyio.sleep(1.0)
                await peer.say(Error(error=Unavailable(what="Go away."), recoverable=False))
                await anyio.sleep_forever()
            await peer.drain()
        finally:
            ended.append((peer.conn, anyio.current_time()))

    async def program() -> None:
        config = SessionConfig(retry=Recurs(1), close_timeout=3.0)
        async with open_session(scripted(script, buffer=0), config) as session:
            await anyio.sleep(0.5)
            for _ in range(2):
                session.send_nowait(Text("x", turn="context"))
            await anyio.sleep(9.5)
            assert session.connected
            assert ended == [(0, 4.0)]

    run(program, backend=anyio_backend)


# --- the outlet's policies --------------------------------------------------------------------


def talking(seconds: int, gap: float = 0.0) -> Any:
    """Give a provider that speaks in seconds and then lets the user speak."""

    async def script(peer: Peer) -> None:
        await peer.say(started(R1))
        for _ in range(seconds):
            await peer.say(sound(SECOND))
            await anyio.sleep(gap)
        await peer.say(SpeechStarted(), done(R1))
        await peer.drain()

    return script


def heard(config: SessionConfig, backend: str, gap: float = 0.0) -> list[Any]:
    """Give the events of a consumer that sleeps through most of an answer."""

    async def program() -> list[Any]:
        async with open_session(scripted(talking(6, gap), buffer=0), config) as session:
            await anyio.sleep(30.0)
            taken = list[Any]()
            async for event in session.events():
                taken.append(event)
                if isinstance(event, ResponseDone) and event.by_provider:
                    break
            return taken

    return run(program, backend=backend)


def config(**settings: Any) -> SessionConfig:
    return SessionConfig(turn_detection=TurnDetection(authority="application"), **settings)


def test_a_full_outlet_pauses_the_reader_and_loses_nothing(anyio_backend: str) -> None:
    taken = heard(config(outlet=Outlet(seconds=2.0)), anyio_backend)
    assert len(of(AudioOutput, taken)) == 6
    assert of(Dropped, taken) == []
    assert names(taken).index("SpeechStarted") > names(taken).index("AudioOutput")


def test_a_full_outlet_may_drop_the_oldest_audio_and_says_so(anyio_backend: str) -> None:
    taken = heard(config(outlet=Outlet(seconds=2.0, policy="drop")), anyio_backend)
    assert len(of(AudioOutput, taken)) == 2
    drops = of(Dropped, taken)
    assert {(drop.lane, drop.reason) for drop in drops} == {("outlet", "full")}
    assert sum(drop.count for drop in drops) == 4
    assert sum(drop.ms for drop in drops) == 4000.0


def test_a_full_outlet_may_end_the_session(anyio_backend: str) -> None:
    taken = heard(config(outlet=Outlet(seconds=2.0, policy="fail")), anyio_backend)
    last = taken[-1]
    assert isinstance(last, Disconnected)
    assert isinstance(last.error, InvalidRequest)
    assert "2 s" in last.reason


def test_an_outlet_with_room_reads_on_whatever_the_consumer_does(anyio_backend: str) -> None:
    taken = heard(config(outlet=Outlet(seconds=60.0)), anyio_backend)
    assert names(taken)[1] == "SpeechStarted"


def test_sent_audio_that_nobody_takes_is_counted_and_reported(anyio_backend: str) -> None:
    async def program() -> list[Any]:
        settings = SessionConfig(outlet=Outlet(seconds=1.0))
        async with open_session(scripted(listening([])), settings) as session:
            for _ in range(5):
                await session.send(Audio(bytes(SECOND), PCM_24K))
                await anyio.sleep(0.5)
            await session.send(Close())
            return [event async for event in session.events()]

    taken = run(program, backend=anyio_backend)
    assert len(of(AudioInput, taken)) == 2
    drops = of(Dropped, taken)
    assert {(drop.lane, drop.reason) for drop in drops} == {("outlet", "unread")}
    assert sum(drop.ms for drop in drops) == 1500.0


# --- scopes of an epoch -----------------------------------------------------------------------


def test_a_block_within_an_epoch_is_cancelled_when_that_epoch_is_fenced(
    anyio_backend: str,
) -> None:
    async def program() -> None:
        async with open_session(scripted(drain)) as session:
            ended = list[int]()

            async def work(epoch: int) -> None:
                with session.within(type(session.epoch)(epoch)):
                    await anyio.sleep_forever()
                ended.append(epoch)

            async with anyio.create_task_group() as tasks:
                for epoch in (0, 1, 2, 9):
                    tasks.start_soon(work, epoch)
                await anyio.sleep(1.0)
                for expected in ([0], [0, 1], [0, 1, 2]):
                    await session.interrupt()
                    await anyio.sleep(1.0)
                    assert ended == expected
                await session.send(Close())
            assert ended == [0, 1, 2, 9]

    run(program, backend=anyio_backend)


def test_a_block_within_an_epoch_that_is_past_does_not_get_far(anyio_backend: str) -> None:
    async def program() -> None:
        async with open_session(scripted(drain)) as session:
            past = session.epoch
            session.send_nowait(Interrupt())
            with session.within(past) as scope:
                await anyio.sleep(1.0)
            assert scope.cancelled_caught
            with session.within() as scope:
                await anyio.sleep(1.0)
            assert not scope.cancelled_caught
            await session.send(Close())
            await session.outcome()
            with session.within() as scope:
                await anyio.sleep(1.0)
            assert scope.cancelled_caught

    run(program, backend=anyio_backend)


# --- timers -----------------------------------------------------------------------------------


def test_a_barrier_falls_at_the_deadline_of_the_interruption_that_raised_it(
    anyio_backend: str,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started(R1))
        await peer.drain()

    async def program() -> float:
        settings = SessionConfig(barrier_timeout=2.0)
        async with open_session(scripted(script), settings) as session:
            await anyio.sleep(0.5)
            await session.interrupt()
            await session.settled()
            return anyio.current_time()

    assert run(program, backend=anyio_backend) == 2.5


def test_a_barrier_falls_with_the_providers_answer(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started(R1))
        await peer.until(CancelResponse)
        await anyio.sleep(1.0)
        await peer.say(done(R1, "cancelled"))
        await peer.drain()

    async def program() -> float:
        async with open_session(scripted(script)) as session:
            await anyio.sleep(0.5)
            await session.interrupt()
            await session.settled()
            return anyio.current_time()

    assert run(program, backend=anyio_backend) == 1.5
