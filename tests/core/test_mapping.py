"""Mapping: a session seen through functions is a session, with all that stands on sessions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_type

import anyio
import pytest
from msgspec.structs import replace

from realtime_core import (
    AgentTranscript,
    Audio,
    AudioFormat,
    AudioOutput,
    CreateResponse,
    Disconnected,
    Frame,
    Interrupt,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    Text,
    TurnDetection,
    VoiceFrame,
    open_session,
    operators,
)
from realtime_core.mapping import mapped
from realtime_core.playback import ClockSink, player
from realtime_core.sharing import share
from realtime_core.testing import TICK, run
from realtime_core.testing.conformance import check_trace
from realtime_core.testing.scripted import Peer, scripted
from realtime_core.tools import answering, toolbox
from tests.core.listening import known, speaking
from tests.core.pushing import Heard, Program, context, marks, piece, play
from tests.core.short import (
    C1,
    E1,
    I1,
    SECOND,
    call,
    done,
    listening,
    names,
    of,
    sound,
    started,
    words,
)
from tests.core.streaming import listed


def loud(frame: Frame) -> Iterable[Frame]:
    """Say typed words twice and louder, keep marked sound once, and leave pictures out."""
    match frame:
        case Text():
            return replace(frame, text=frame.text.upper()), replace(frame, text="!", turn="context")
        case Audio() if frame.pcm[:1] == b"\0":
            return ()
        case _:
            return (frame,)


def texts(heard: Heard) -> list[str]:
    return [frame.text for _, frame in heard if isinstance(frame, Text)]


def through(program: Program) -> Program:
    """Run a program on the mapped session."""
    return lambda session: program(mapped(session, frames=loud))


# --- in ---------------------------------------------------------------------------------------


def test_what_is_pushed_by_any_door_is_mapped(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        await session.send(context("a"))
        session.send_nowait(context("b"))
        await session.frames.send(context("c"))
        session.frames.send_nowait(context("d"))
        async with session.frames.clone() as clone:
            await clone.send(context("e"))
        await anyio.sleep(TICK)
        await session.simple_response("f")

    heard = play(anyio_backend, through(program))
    assert texts(heard) == ["A", "!", "B", "!", "C", "!", "D", "!", "E", "!", "F", "!"]


def test_what_is_mapped_to_nothing_is_not_sent(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for mark in (1, 0, 2):
            await session.send(piece(mark))
            session.send_nowait(piece(mark))
            await session.frames.send(piece(mark))
            await anyio.sleep(TICK)
        await session.simple_audio_response(piece(3).pcm)

    heard = play(anyio_backend, through(program))
    assert marks(heard) == [1, 1, 1, 2, 2, 2, 3], "nor the silence after the turn"


def test_an_interruption_is_a_frame_like_others(anyio_backend: str) -> None:
    frames = list[Frame]()

    def deaf(frame: Frame) -> Iterable[Frame]:
        frames.append(frame)
        return () if isinstance(frame, Interrupt) else (frame,)

    async def program() -> list[int]:
        async with speaking() as session:
            return [await mapped(session, frames=deaf).interrupt(), await session.interrupt()]

    assert run(program, backend=anyio_backend) == [0, 1]
    assert frames == [Interrupt()]


def test_a_push_that_is_mapped_away_can_still_be_cancelled(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        for push in (session.send, session.frames.send):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await push(piece(0))
            assert scope.cancelled_caught

    assert play(anyio_backend, through(program)) == []


def test_a_spoken_turn_is_refused_before_any_of_it_is_sent(anyio_backend: str) -> None:
    async def program(session: RealtimeSession[Frame]) -> None:
        with pytest.raises(RealtimeException, match="no whole number of samples"):
            await session.simple_audio_response(b"odd")

    manual = TurnDetection(mode="manual", authority="application")
    assert play(anyio_backend, through(program), turn_detection=manual) == []


def test_what_the_session_takes_is_what_the_function_makes(anyio_backend: str) -> None:
    slow = AudioFormat(rate=1_000)

    def renamed(frame: Frame) -> Iterable[Frame]:
        assert isinstance(frame, Audio)
        return (Audio(frame.pcm),)

    async def program(session: RealtimeSession[Frame]) -> None:
        able = mapped(session, frames=renamed)
        await able.simple_audio_response(piece(7, 1).pcm, format=slow)
        with pytest.raises(RealtimeException, match="cannot be converted"):
            await session.simple_audio_response(piece(8, 1).pcm, format=slow)

    assert marks(play(anyio_backend, program))[:3] == [7, 7, 0]


def test_a_mapped_session_has_a_queue_of_its_own(anyio_backend: str) -> None:
    async def program() -> None:
        async with speaking() as session:
            seen = mapped(session, frames=loud)
            assert mapped(session).frames is session.frames
            seen.frames.close()
            with pytest.raises(anyio.ClosedResourceError):
                seen.frames.send_nowait(context("late"))
            session.frames.send_nowait(context("on"))
        with pytest.raises(anyio.BrokenResourceError):
            mapped(session, frames=loud).frames.send_nowait(context("late"))

    run(program, backend=anyio_backend)


def test_what_the_function_raises_hits_who_pushed(anyio_backend: str) -> None:
    def broken(frame: Frame) -> Iterable[Frame]:
        raise LookupError("mine")

    async def program(session: RealtimeSession[Frame]) -> None:
        bad = mapped(session, frames=broken)
        for push in (bad.send, bad.frames.send, bad.simple_response):
            with pytest.raises(LookupError, match="mine"):
                await push("")  # type: ignore[arg-type]
        await session.send(context("on"))

    assert texts(play(anyio_backend, program)) == ["on"]


# --- out --------------------------------------------------------------------------------------


def split(event: RealtimeEvent) -> Iterable[RealtimeEvent]:
    """Give transcripts letter by letter, and no sound."""
    match event:
        case AgentTranscript():
            return [replace(event, text=letter) for letter in event.text]
        case AudioOutput():
            return ()
        case _:
            return (event,)


def test_events_are_numbered_anew_and_nothing_else_is_lost(anyio_backend: str) -> None:
    async def program() -> list[RealtimeEvent]:
        said = (started(), sound(), words("Hi"), sound(), words("yo"), done())
        async with speaking(*said) as session:
            return [event async for event in mapped(session, events=split).events()]

    events = run(program, backend=anyio_backend)
    assert check_trace(events, complete=True) == []
    assert [e.text for e in events if isinstance(e, AgentTranscript)] == ["H", "i", "y", "o"]
    assert of(AudioOutput, events) == []


def test_an_event_made_anew_belongs_to_what_it_was_made_from(anyio_backend: str) -> None:
    def captioned(event: RealtimeEvent) -> Iterable[RealtimeEvent]:
        yield event
        if isinstance(event, ResponseStarted):
            yield AgentTranscript(response=event.response, text="(sings)", final=False)

    async def asked(peer: Peer) -> None:
        await peer.until(CreateResponse)
        await peer.say(started(), done())
        await peer.drain()

    async def program() -> AgentTranscript:
        async with open_session(scripted(asked)) as session:
            await session.interrupt()
            await anyio.sleep(1)
            await session.send(CreateResponse())
            async for event in mapped(session, events=captioned).events():
                if isinstance(event, AgentTranscript):
                    return event
        raise AssertionError

    event = run(program, backend=anyio_backend)
    assert (event.epoch, event.conn, event.at, event.seq) == (E1, 0, 1.0, 3)


def test_what_was_made_of_a_stale_event_is_not_given_out(anyio_backend: str) -> None:
    async def program() -> list[str]:
        async with speaking(started(), words("Hello"), words("Hello", final=True)) as session:
            events = mapped(session, events=split).events()
            seen = [await anext(events) for _ in range(4)]
            await session.interrupt()
            return names([*seen, *[await anext(events) for _ in range(6)]])

    seen = run(program, backend=anyio_backend)
    assert seen[:4] == ["Connected", "ResponseStarted", "AgentTranscript", "AgentTranscript"]
    assert seen[4:] == ["Interrupted", *["AgentTranscript"] * 5]


class Late:
    """Gives each event when the next one comes."""

    def __init__(self) -> None:
        self._kept = list[RealtimeEvent]()

    def __call__(self, event: RealtimeEvent) -> Iterable[RealtimeEvent]:
        kept, self._kept = self._kept, [event]
        return kept


def test_what_was_kept_back_is_dropped_once_it_is_stale_and_may_settle_late(
    anyio_backend: str,
) -> None:
    async def program() -> list[RealtimeEvent]:
        async with speaking(started(), words("Hello", final=True), sound()) as session:
            events = mapped(session, events=Late()).events()
            seen = [await anext(events) for _ in range(2)]
            await session.interrupt()
            return [*seen, *[event async for event in events]]

    seen = run(program, backend=anyio_backend)
    assert names(seen)[:4] == ["Connected", "ResponseStarted", "AgentTranscript", "Interrupted"]
    assert names(seen)[-2:] == ["ResponseDone", "Disconnected"]
    assert [event.epoch for event in seen[:4]] == [0, 0, 0, 1]
    assert [event.seq for event in seen] == list(range(len(seen)))


def test_disconnected_comes_last_whatever_the_function_makes_of_it(anyio_backend: str) -> None:
    def never(event: RealtimeEvent) -> Iterable[RealtimeEvent]:
        return (event, SpeechStopped()) if isinstance(event, Disconnected) else ()

    def always(event: RealtimeEvent) -> Iterable[RealtimeEvent]:
        return (event, Disconnected(reason="mine", clean=False), SpeechStarted())

    async def program() -> list[RealtimeEvent]:
        async with speaking() as session:
            events = mapped(mapped(session, events=never), events=always).events()
            seen = [event async for event in events]
            assert events.over
            assert events.poll() is None
        return seen

    seen = run(program, backend=anyio_backend)
    assert names(seen) == ["SpeechStopped", "SpeechStarted", "SpeechStarted", "Disconnected"]
    assert isinstance(seen[-1], Disconnected)
    assert seen[-1].reason != "mine"


def test_what_the_function_raises_hits_who_takes_and_the_end_comes_all_the_same(
    anyio_backend: str,
) -> None:
    def broken(event: RealtimeEvent) -> Iterable[RealtimeEvent]:
        if isinstance(event, ResponseDone):
            return (event,)
        raise LookupError("mine")

    async def program() -> list[str]:
        async with speaking(started(), done()) as session:
            events, seen = mapped(session, events=broken).events(), list[str]()
            while not events.over:
                try:
                    seen += names([await anext(events)])
                except LookupError:
                    seen.append("raised")
        return seen

    assert run(program, backend=anyio_backend) == [
        "raised",
        "raised",
        "ResponseDone",
        "raised",
        "Disconnected",
    ]


# --- what stands on a session -----------------------------------------------------------------


def test_it_composes_and_stays_the_same_session(anyio_backend: str) -> None:
    def quiet(session: RealtimeSession[VoiceFrame]) -> RealtimeSession[VoiceFrame]:
        return mapped(session, frames=loud, events=split)

    async def program() -> None:
        heard: Heard = []
        async with open_session(scripted(listening(heard)), voice="joe") as session:
            made = mapped(session, frames=loud, events=split)
            assert_type(made, RealtimeSession[Frame])
            twice = quiet(quiet(session))
            await twice.send(context("a"))
            assert await twice.interrupt() == session.epoch == made.epoch == 1
            assert (made.session_id, made.connected) == (session.session_id, True)
            assert (made.config, made.output_format) == (session.config, session.output_format)
            assert made.history == session.history
            with twice.within() as scope:
                await session.interrupt()
                await anyio.sleep_forever()
            assert scope.cancelled_caught
            events = twice.events()
            seen = [await anext(events) for _ in range(7)]
            assert names(seen) == ["Connected", *["ConversationItem"] * 4, *["Interrupted"] * 2]
            assert [event.seq for event in seen] == list(range(7))
        assert texts(heard) == ["A", "!", "!", "!"]
        with pytest.raises(RealtimeException, match="is closed"):
            await twice.send(context("late"))
        assert names([event async for event in twice.events()]) == ["Disconnected"]

    run(program, backend=anyio_backend)


def test_a_player_and_tools_work_on_it(anyio_backend: str) -> None:
    asked = list[str]()

    def weather(city: str = "Rome") -> str:
        asked.append(city)
        return "It rains."

    async def program() -> tuple[object, ...]:
        tools = toolbox(weather)
        said = (started(), call(C1, "weather"), sound(SECOND), words("Hi", final=True), done())
        async with speaking(*said) as session:
            made = mapped(session, frames=loud, events=_louder)
            async with player(made, ClockSink()) as speaker, answering(made, tools) as answers:
                async for event in made.events():
                    speaker.take(event)
                    answers.take(event)
                    if isinstance(event, ResponseDone):
                        break
                await speaker.drained()
            return asked, known(session)

    assert run(program, backend=anyio_backend) == (["Rome"], {I1: SECOND})


def _louder(event: RealtimeEvent) -> Iterable[RealtimeEvent]:
    if isinstance(event, AudioOutput):
        half = len(event.pcm) // 2
        return replace(event, pcm=event.pcm[:half]), replace(event, pcm=event.pcm[half:])
    return (event,)


def test_operators_work_on_it(anyio_backend: str) -> None:
    async def program() -> tuple[list[str], list[str]]:
        async with speaking(started(), words("Hi", final=True), done()) as session:
            made = mapped(session, events=_louder)
            async with made.events() | share.pipe() as shared:
                one, other = shared.subscribe(), shared.subscribe()
                turns = await listed(one | operators.responses.pipe())
                return [turn.agent for turn in turns], names([e async for e in other])

    turns, rest = run(program, backend=anyio_backend)
    assert turns == ["Hi"]
    assert rest[-1] == "Disconnected"
