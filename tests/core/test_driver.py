"""The driver: whatever fails, the session ends in order and the first cause comes out once."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from msgspec.structs import replace
from returns.maybe import Maybe
from returns.result import Result

from realtime_core import (
    Attempt,
    AudioOutput,
    Close,
    Coded,
    Connected,
    Disconnected,
    InternalFault,
    Plan,
    Provider,
    RealtimeError,
    RealtimeException,
    RealtimeSession,
    Resume,
    SessionConfig,
    Text,
    Unavailable,
    Wire,
    open_session,
)
from realtime_core.codec import Outgoing
from realtime_core.testing import no_leaks, run
from realtime_core.testing.scripted import SCRIPTED, Peer, ScriptedCodec, scripted
from tests.core.short import (
    NO,
    R1,
    SECOND,
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


def broken(codec: ScriptedCodec, script: Any = Peer.drain) -> Provider[Any]:
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
        async with open_session(scripted(Peer.drain)) as session:
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


def test_what_a_cancelled_owner_raises_is_not_lost(anyio_backend: str) -> None:
    async def program() -> None:
        with anyio.CancelScope() as scope:
            async with open_session(scripted(Peer.drain)):
                scope.cancel()
                try:
                    await anyio.sleep_forever()
                finally:
                    raise KeyError("the owner's own")

    with pytest.raises(KeyError, match="the owner's own"):
        run(program, backend=anyio_backend)


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
