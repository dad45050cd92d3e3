"""A session: what it says of itself is read from the machine, and it opens and ends in order."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from typing import Any, cast
from uuid import UUID

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace
from returns.result import Failure, Success

from realtime_core import (
    PCM_16K,
    PCM_24K,
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioFormat,
    Close,
    Connected,
    ConversationItem,
    CreateResponse,
    Disconnected,
    Frame,
    InvalidRequest,
    Message,
    Plan,
    Provider,
    RealtimeException,
    RealtimeSession,
    SessionClosed,
    SessionConfig,
    Spaced,
    Text,
    TurnDetection,
    Unavailable,
    Unsupported,
    UserTranscript,
    open_session,
    provider,
)
from realtime_core.codec import Outgoing
from realtime_core.outlet import Tally
from realtime_core.testing import run
from realtime_core.testing.scripted import SCRIPTED, Peer, scripted
from tests.core.short import E1, I2, NO, R1, done, listening, names, of, sound, started, words


async def drain(peer: Peer) -> None:
    await peer.drain()


def quiet() -> Provider[Any]:
    return scripted(drain)


# --- what is true now -------------------------------------------------------------------------


def test_a_session_says_what_is_true_of_it(anyio_backend: str) -> None:
    async def program() -> None:
        async with open_session(quiet(), fps=2.0, voice="joe") as session:
            states = [session.connected]
            assert str(UUID(session.session_id)) == session.session_id
            assert repr(session) == f"<RealtimeSession {session.session_id} open>"
            assert (session.epoch, session.fps, session.config.voice) == (0, 2.0, "joe")
            assert session.capabilities == SCRIPTED
            assert (session.input_format, session.output_format) == (PCM_24K, PCM_24K)
            assert await session.interrupt() == 1
            assert session.epoch == E1
        assert [*states, session.connected] == [True, False]
        assert "closed" in repr(session)

    run(program, backend=anyio_backend)


def test_the_session_keeps_its_name_over_connections(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        if peer.conn:
            await peer.drain()

    async def program() -> None:
        config = SessionConfig(retry=Spaced(1.0))
        async with open_session(scripted(script), config, session_id="mine") as session:
            events = session.events()
            first = await anext(events)
            assert isinstance(first, Connected)
            assert first.session_id == session.session_id == "mine"
            states = list[bool]()
            for _ in range(2):
                await anyio.sleep(0.75)
                states.append(session.connected)
            assert states == [False, True]
            assert session.session_id == "mine"

    run(program, backend=anyio_backend)


def test_the_counters_are_those_of_this_instant(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started(R1), words("Hello"), sound(480), done(R1), sound(240))
        await peer.say(UserTranscript(item=I2, text="Hel", final=False))
        await peer.drain()

    async def program() -> None:
        async with open_session(scripted(script)) as session:
            await session.send(Text("x", turn="context"))
            await anyio.sleep(1.0)
            before = session.statistics
            assert before.lanes["control"].sent == 1
            assert before.output == Tally(received=480, waiting=480)
            assert before.dropped == {"late audio samples": 240}
            await session.interrupt()
            assert session.statistics.output.fenced == 480
            assert before.output.fenced == 0
            texts = [message.text for message in session.history]
            assert texts == ["x"], "no place of words that are still to come"

    run(program, backend=anyio_backend)


# --- opening ----------------------------------------------------------------------------------


def test_keywords_are_fields_of_the_configuration_over_the_one_given(anyio_backend: str) -> None:
    async def program() -> None:
        base = SessionConfig(voice="ann", language="de")
        async with open_session(quiet(), base, voice="joe") as session:
            assert (session.config.voice, session.config.language) == ("joe", "de")

    run(program, backend=anyio_backend)


def test_the_providers_own_configuration_applies_where_none_is_given(anyio_backend: str) -> None:
    async def program() -> None:
        provider = replace(quiet(), defaults=SessionConfig(voice="ann", fps=3.0))
        async with open_session(provider, fps=4.0) as session:
            assert (session.config.voice, session.fps) == ("ann", 4.0)
        async with open_session(provider, SessionConfig()) as session:
            assert (session.config.voice, session.fps) == ("", 1.0)

    run(program, backend=anyio_backend)


def refusal(backend: str, provider: str | Provider[Any], **settings: Any) -> Any:
    async def program() -> None:
        async with open_session(provider, **settings):
            raise AssertionError("it opened")

    with pytest.raises(RealtimeException) as failure:
        run(program, backend=backend)
    return failure.value.error


def test_a_setting_nobody_knows_is_refused(anyio_backend: str) -> None:
    error = refusal(anyio_backend, quiet(), colour="red", voice="joe")
    assert isinstance(error, InvalidRequest)
    assert "colour" in error.what


def test_a_provider_nobody_knows_is_refused(anyio_backend: str) -> None:
    error = refusal(anyio_backend, "no-such-provider:model")
    assert isinstance(error, InvalidRequest)
    assert "no-such-provider" in error.what


def test_a_wish_that_cannot_be_fulfilled_is_refused_before_anything_is_dialled(
    anyio_backend: str,
) -> None:
    async def script(peer: Peer) -> None:
        raise AssertionError("it dialled")

    provider = scripted(script, replace(SCRIPTED, text_out=False))
    assert isinstance(refusal(anyio_backend, provider, modalities=("text",)), Unsupported)


def test_a_provider_that_hangs_up_before_it_acknowledges_is_unavailable(
    anyio_backend: str,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.next()

    assert isinstance(refusal(anyio_backend, scripted(script, welcome=False)), Unavailable)


class Here:
    """Stands for the package of a provider."""

    @staticmethod
    def made(model: str, *, colour: str) -> Provider[Any]:
        if colour == "black":
            raise RealtimeException(NO)
        return scripted(drain, replace(SCRIPTED, note=f"{model} {colour}"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("here", f"{__name__}:made", provider.GROUP)
    monkeypatch.setattr(provider, "entry_points", lambda group: [entry])
    monkeypatch.setitem(sys.modules, __name__, cast("Any", Here))


@pytest.mark.usefixtures("here")
def test_a_provider_is_found_by_its_name(anyio_backend: str) -> None:
    async def program() -> None:
        async with open_session("here:large", colour="red") as session:
            assert session.capabilities.note == "large red"

    run(program, backend=anyio_backend)


@pytest.mark.usefixtures("here")
def test_a_provider_that_refuses_its_options_says_why_itself(anyio_backend: str) -> None:
    assert refusal(anyio_backend, "here", colour="black") == NO


# --- events -----------------------------------------------------------------------------------


def test_two_tasks_cannot_wait_for_the_same_events(anyio_backend: str) -> None:
    async def program() -> None:
        async with open_session(quiet()) as session:
            events = session.events()
            await anext(events)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anext, events)
                await anyio.sleep(1.0)
                with pytest.raises(anyio.BusyResourceError):
                    await anext(events)
                tasks.cancel_scope.cancel()

    run(program, backend=anyio_backend)


def test_a_consumer_that_gives_up_loses_nothing(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await anyio.sleep(2.0)
        await peer.say(started(R1))
        await peer.drain()

    async def program() -> None:
        async with open_session(scripted(script)) as session:
            events = session.events()
            await anext(events)
            with anyio.move_on_after(1.0):
                await anext(events)
            event = await anext(events)
            assert (event.seq, event.response) == (1, R1)

    run(program, backend=anyio_backend)


def test_a_consumer_with_much_to_take_lets_others_have_their_turn(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started(R1), *[sound(1)] * 500)
        await peer.drain()

    async def program() -> None:
        async with open_session(scripted(script)) as session:
            await anyio.sleep(1.0)
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await anyio.lowlevel.checkpoint()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(other)
                events = session.events()
                for _ in range(500):
                    await anext(events)
                assert turns >= 5
                tasks.cancel_scope.cancel()

    run(program, backend=anyio_backend)


def test_the_events_end_for_ever_after_the_last_one(anyio_backend: str) -> None:
    async def program() -> None:
        async with open_session(quiet()) as session:
            pass
        assert names([event async for event in session.events()]) == ["Connected", "Disconnected"]
        events = session.events()
        for _ in range(3):
            with pytest.raises(StopAsyncIteration):
                await anext(events)

    run(program, backend=anyio_backend)


def test_a_consumer_that_waits_is_woken_by_the_end(anyio_backend: str) -> None:
    async def program() -> None:
        seen = list[Any]()

        async def consume(events: Any) -> None:
            seen.extend([event async for event in events])

        async with anyio.create_task_group() as tasks, open_session(quiet()) as session:
            tasks.start_soon(consume, session.events())
            await anyio.sleep(1.0)
        assert isinstance(seen[-1], Disconnected)

    run(program, backend=anyio_backend)


# --- speaking ---------------------------------------------------------------------------------


def spoken(backend: str, able: Any, call: Any, **settings: Any) -> list[Outgoing]:
    heard = list[tuple[float, Outgoing]]()

    async def program() -> None:
        provider = scripted(listening(heard), able)
        async with open_session(provider, SessionConfig(**settings)) as session:
            await call(session)

    run(program, backend=backend)
    return [frame for _, frame in heard if not isinstance(frame, Close)]


def test_a_written_turn_asks_for_an_answer(anyio_backend: str) -> None:
    frames = spoken(anyio_backend, SCRIPTED, lambda session: session.simple_response("Hi", "Ann"))
    assert frames[0] == Text("Hi", participant="Ann")
    assert isinstance(frames[1], CreateResponse)


def test_a_spoken_turn_is_followed_by_the_silence_that_ends_it(anyio_backend: str) -> None:
    able = replace(SCRIPTED, closing_silence_ms=100)
    speech = b"\x01\x00" * 1000
    frames = spoken(anyio_backend, able, lambda session: session.simple_audio_response(speech))
    pcm = b"".join(frame.pcm for frame in of(Audio, frames))
    assert pcm == speech + bytes(2 * 2400)


def test_a_spoken_turn_that_cannot_be_sent_whole_is_refused_whole(anyio_backend: str) -> None:
    async def call(session: RealtimeSession[Frame]) -> None:
        with pytest.raises(RealtimeException):
            await session.simple_audio_response(bytes(4_801))

    assert spoken(anyio_backend, SCRIPTED, call) == []


def test_a_spoken_turn_may_come_in_another_format(anyio_backend: str) -> None:
    able = replace(SCRIPTED, closing_silence_ms=0)
    call = lambda session: session.simple_audio_response(bytes(2 * 16_000), format=PCM_16K)  # noqa: E731
    frames = of(Audio, spoken(anyio_backend, able, call))
    assert {frame.format for frame in frames} == {PCM_24K}
    assert 23_900 < sum(len(frame.pcm) // 2 for frame in frames) <= 24_000


def test_under_manual_turns_a_spoken_turn_is_marked_and_ended(anyio_backend: str) -> None:
    frames = spoken(
        anyio_backend,
        SCRIPTED,
        lambda session: session.simple_audio_response(bytes(960)),
        turn_detection=TurnDetection(mode="manual"),
    )
    assert names(frames) == ["ActivityStart", "Audio", "ActivityEnd", "CreateResponse"]
    assert isinstance(frames[0], ActivityStart)
    assert isinstance(frames[2], ActivityEnd)


def test_the_conversation_begins_with_the_history_given(anyio_backend: str) -> None:
    async def program() -> None:
        history = (Message("user", "Hello"), Message("assistant", "Hi"))
        async with open_session(quiet(), history=history) as session:
            await session.simple_response("And?")
            assert [message.text for message in session.history] == ["Hello", "Hi", "And?"]
            await session.send(Close())
            items = of(ConversationItem, [event async for event in session.events()])
            assert [event.message.text for event in items] == ["And?"]

    run(program, backend=anyio_backend)


# --- the end ----------------------------------------------------------------------------------


def test_the_outcome_of_a_session_that_was_closed_is_a_success(anyio_backend: str) -> None:
    async def program() -> None:
        async with open_session(quiet()) as session, anyio.create_task_group() as tasks:
            tasks.start_soon(session.send, Close())
            assert (await session.outcome()).unwrap() == "closed"

    run(program, backend=anyio_backend)


def test_the_outcome_of_a_session_that_was_lost_is_its_error(anyio_backend: str) -> None:
    async def lose(peer: Peer) -> None:
        await anyio.sleep(1.0)

    async def program() -> None:
        async with open_session(scripted(lose)) as session:
            assert isinstance((await session.outcome()).failure(), Unavailable)
            with pytest.raises(RealtimeException) as refused:
                await session.interrupt()
            assert isinstance(refused.value.error, SessionClosed)

    run(program, backend=anyio_backend)


def test_a_format_the_provider_does_not_take_is_converted_to_one_it_does(
    anyio_backend: str,
) -> None:
    ulaw = AudioFormat(rate=8_000, encoding="pcmu")
    able = replace(SCRIPTED, audio_in=(ulaw, PCM_24K))

    async def program() -> None:
        async with open_session(scripted(drain, able)) as session:
            assert session.input_format == ulaw
        async with open_session(scripted(drain, able), input_format=PCM_24K) as session:
            assert session.input_format == PCM_24K

    run(program, backend=anyio_backend)


def test_a_provider_may_agree_in_its_own_way(anyio_backend: str) -> None:
    def agree(able: Any, wish: SessionConfig) -> Any:
        if wish.voice == "nobody":
            return Failure(Unsupported(what="No such voice."))
        return Success(Plan(replace(wish, voice="mine"), able, PCM_24K, PCM_24K))

    async def program() -> None:
        async with open_session(replace(quiet(), agree=agree)) as session:
            assert session.config.voice == "mine"

    run(program, backend=anyio_backend)
    error = refusal(anyio_backend, replace(quiet(), agree=agree), voice="nobody")
    assert error == Unsupported(what="No such voice.")
