"""Operators: what each gives out of a session's events, on both backends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, assert_type

import anyio
import pytest
from aiostream import Stream, pipe
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import (
    AudioOutput,
    ConversationItem,
    Epoch,
    Events,
    HeardItem,
    Interrupted,
    ItemId,
    Kind,
    Message,
    RealtimeEvent,
    RealtimeException,
    RealtimeSession,
    ResponseDone,
    ResponseId,
    ResponseText,
    SpeechStarted,
    UserTranscript,
    open_session,
    operators,
)
from realtime_core.operators import Subscription, Turn, share, turns
from realtime_core.testing import TICK, Injection, every_point, no_leaks, run
from realtime_core.testing.scripted import Peer, scripted
from tests.core.short import (
    I1,
    I2,
    R1,
    R2,
    R3,
    SECOND,
    call,
    done,
    names,
    sound,
    started,
    words,
)

T = TypeVar("T")


class Source(AsyncIterator[RealtimeEvent]):
    """Events with pauses between them (numbers, in ticks); a pending read may be cancelled."""

    def __init__(self, *things: RealtimeEvent | int) -> None:
        self.left = self._things = list(things)
        self._due = 0.0

    def __or__(self, operator: Any) -> Any:
        return operator(self)

    async def __anext__(self) -> RealtimeEvent:
        while self._things or self._due > anyio.current_time():
            if self._due > anyio.current_time():
                await anyio.sleep(self._due - anyio.current_time())
            elif isinstance(thing := self._things.pop(0), int):
                self._due = anyio.current_time() + thing * TICK
            else:
                return thing
        raise StopAsyncIteration


async def listed(stream: Stream[T]) -> list[T]:
    out = list[T]()
    async with stream.stream() as things:
        async for thing in things:
            out.append(thing)
    return out


def given_out(backend: str, operator: Any, *things: RealtimeEvent | int) -> list[Any]:
    """Give what an operator makes of these events."""

    async def program() -> list[Any]:
        return await listed(Source(*things) | operator.pipe())

    return run(program, backend=backend)


@asynccontextmanager
async def speaking(*events: RealtimeEvent) -> AsyncGenerator[RealtimeSession[Any]]:
    async def script(peer: Peer) -> None:
        await peer.say(*events)
        await anyio.sleep(60)

    async with open_session(scripted(script)) as session:
        yield session


def said(text: str, item: str | None = "user") -> ConversationItem:
    return ConversationItem(
        item=ItemId(item) if item else None, message=Message("user", text, item=ItemId("x"))
    )


def cut(*heard: tuple[ItemId, str], fenced: Iterable[ResponseId] = (R1,)) -> Interrupted:
    return Interrupted(
        epoch=Epoch(1),
        cause="provider",
        fenced=tuple(fenced),
        heard=tuple(
            HeardItem(item=item, response=R1, samples=1, received=9, rate=SECOND, text=text)
            for item, text in heard
        ),
    )


# --- pipes ------------------------------------------------------------------------------------


def test_a_session_is_piped_as_the_readme_says(anyio_backend: str) -> None:
    async def program() -> list[int]:
        async with speaking(started(), words("Hi"), sound(7), sound(8), done()) as session:
            sounds = session.events() | operators.audio.pipe()
            assert_type(sounds, Stream[AudioOutput])
            return await listed(sounds | pipe.map(_length))

    assert run(program, backend=anyio_backend) == [7, 8]


def _length(event: AudioOutput, *_: AudioOutput) -> int:
    return event.format.samples(len(event.pcm))


def test_what_a_closed_pipe_has_not_taken_is_still_there(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started(), sound(7), sound(8), sound(9))
        await anyio.sleep(2)
        await peer.say(done())
        await anyio.sleep(60)

    async def program() -> list[str]:
        async with open_session(scripted(script)) as session:
            async with (session.events() | operators.audio.pipe()).stream() as sounds:
                assert len((await anext(sounds)).pcm) == 14
            assert len((await anext(session.events())).response or "") == 2
            with anyio.move_on_after(1):
                await listed(session.events() | operators.audio.pipe())
            return names([event async for event in session.events()])

    assert run(program, backend=anyio_backend) == ["ResponseDone", "Disconnected"]


@pytest.mark.parametrize("kind", [Events, Subscription])
def test_piping_imports_nothing(kind: type) -> None:
    code = (
        "import sys, realtime_core.session, realtime_core.sharing\n"
        f"from {kind.__module__} import {kind.__name__}\n"
        f"print({kind.__name__}.__or__(3, lambda source: source + 1), 'aiostream' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert out.stdout.split() == ["4", "False"]


# --- filters ----------------------------------------------------------------------------------

MIXED = (
    SpeechStarted(),
    UserTranscript(text="He", final=False),
    UserTranscript(text="Hello.", final=True),
    started(),
    words("Hi"),
    sound(),
    ResponseText(response=R1, text="Hi", is_complete=False),
    words("Hi.", final=True),
    ResponseText(response=R1, text="Hi.", is_complete=True),
    call(),
    done(),
)


def test_audio_is_the_sound_alone(anyio_backend: str) -> None:
    assert given_out(anyio_backend, operators.audio, *MIXED) == [sound()]


def test_transcripts_are_the_words_of_both_sides(anyio_backend: str) -> None:
    wanted = [MIXED[1], MIXED[2], MIXED[4], MIXED[6], MIXED[7], MIXED[8]]
    assert given_out(anyio_backend, operators.transcripts, *MIXED) == wanted


def test_settle_leaves_out_what_can_be_revised_or_become_stale(anyio_backend: str) -> None:
    wanted = [MIXED[0], MIXED[2], MIXED[7], MIXED[8], MIXED[10]]
    assert given_out(anyio_backend, operators.settle, *MIXED) == wanted


# --- turns ------------------------------------------------------------------------------------


def test_a_turn_is_an_answer_as_a_whole(anyio_backend: str) -> None:
    (turn,) = given_out(
        anyio_backend,
        turns,
        said("Hello."),
        said("Are you there?"),
        started(),
        words("Yes, "),
        sound(3),
        words("I am."),
        sound(4),
        call(),
        words("Hm.", item=I2),
        words("Yes, I am.", final=True),
        ResponseText(response=R1, item=ItemId("i3"), text="(nods)", is_complete=True),
        SpeechStarted(),
        done(),
    )
    assert turn == Turn(
        user="Hello. Are you there?",
        agent="Yes, I am. Hm. (nods)",
        pcm=bytes(14),
        rate=SECOND,
        calls=(call(),),
    )


def test_of_an_interrupted_answer_the_words_that_were_heard(anyio_backend: str) -> None:
    text = ResponseText(response=R1, item=ItemId("written"), text="2 + 2 = 4", is_complete=False)
    cut_short, whole = given_out(
        anyio_backend,
        turns,
        started(),
        words("It rains in Paris."),
        words("And in Rome.", item=I2),
        text,
        sound(5),
        cut((I1, "It rains"), (I2, ""), (ItemId("other"), "never said")),
        words("It rains in Paris.", final=True),
        said("Stop."),
        started(R2),
        words("Well.", response=R2),
        done(R1, "cancelled"),
        done(R2),
    )
    assert cut_short == Turn(
        "", "It rains 2 + 2 = 4", bytes(10), status="cancelled", interrupted=True
    )
    assert whole == Turn("Stop.", "Well.")


def test_answers_that_overlap_are_kept_apart(anyio_backend: str) -> None:
    first, second = given_out(
        anyio_backend,
        turns,
        said("One", item=None),
        started(R1),
        words("1", response=R1),
        said("Two", item=None),
        started(R2),
        words("2", response=R2),
        words("1", response=R1),
        done(R2),
        words("late", response=R2),
        cut(fenced=(R3,)),
        done(R1),
    )
    assert first == Turn("Two", "2")
    assert second == Turn("One", "11")


def test_words_of_the_user_that_come_late_belong_to_the_answer_that_waits_for_them(
    anyio_backend: str,
) -> None:
    """Some providers transcribe the user while they already answer."""
    first, second, third = given_out(
        anyio_backend,
        turns,
        started(R1),
        said("First."),
        done(R1),
        started(R2),
        words("", response=R2),
        said("Second."),
        said("Third."),
        done(R2),
        started(R3),
        done(R3, "incomplete"),
    )
    assert (first.user, second.user, third.user) == ("First.", "Second.", "Third.")
    assert third.status == "incomplete"


def test_an_answer_that_never_began_has_no_words(anyio_backend: str) -> None:
    assert given_out(anyio_backend, turns, sound(), said("Hi."), done(R1, "lost")) == [
        Turn(status="lost")
    ]


# --- pace -------------------------------------------------------------------------------------


def second(number: int = 0, response: ResponseId = R1) -> AudioOutput:
    return replace(sound(SECOND, response=response), seq=number)


def timed(backend: str, source: Any, **options: Any) -> list[tuple[float, RealtimeEvent]]:
    """Give what comes out of `paced`, with the time in seconds."""

    async def program() -> list[tuple[float, RealtimeEvent]]:
        out = list[tuple[float, RealtimeEvent]]()
        async with operators.paced(source, **options).stream() as events:
            async for event in events:
                out.append((anyio.current_time(), event))
        return out

    return run(program, backend=backend)


def test_sound_comes_at_its_own_pace_and_all_of_an_answer_in_order(anyio_backend: str) -> None:
    things = (started(), second(1), words("Hi"), second(2), second(3), done())
    out = timed(anyio_backend, Source(*things, 640, second(4)))
    assert [event for _, event in out] == [*things, second(4)]
    assert [at for at, _ in out] == [0, 0, 0, 1, 2, 2, 10]


def test_control_overtakes_held_sound(anyio_backend: str) -> None:
    out = timed(anyio_backend, Source(second(1), second(2), second(3), 96, SpeechStarted()))
    assert [at for at, _ in out] == [0, 1, 1.5, 2]
    assert isinstance(out[2][1], SpeechStarted)


def test_an_interruption_comes_through_at_once_and_purges_what_is_held(
    anyio_backend: str,
) -> None:
    ending = (words("All.", final=True), done(R1, "cancelled"))
    held = (second(1), second(2), words("Hi"), second(3), *ending)
    out = timed(anyio_backend, Source(*held, 32, cut(), second(4, R2), second(5, R2)))
    assert [event for _, event in out] == [second(1), cut(), *ending, second(4, R2), second(5, R2)]
    assert [at for at, _ in out] == [0, 0.5, 0.5, 0.5, 0.5, 1.5]


@pytest.mark.parametrize(("ahead", "taken"), [(0, [1, 2, 3]), (1.5, [2, 3, 4]), (9, [5, 5, 5])])
def test_so_much_is_read_ahead(anyio_backend: str, ahead: float, taken: list[int]) -> None:
    async def program() -> list[int]:
        source = Source(*(second(number) for number in range(5)))
        counts = list[int]()
        async with operators.paced(source, ahead=ahead).stream() as events:
            async for _ in events:
                counts.append(5 - len(source.left))
        return counts[:3]

    assert run(program, backend=anyio_backend) == taken


def test_pace_stands_first_in_a_pipe(anyio_backend: str) -> None:
    async def program() -> None:
        async with speaking(started(), second(), second(), done()) as session:
            with pytest.raises(RealtimeException, match="Put it first"):
                _ = session.events() | operators.settle.pipe() | operators.paced.pipe()
            with pytest.raises(RealtimeException, match="Put it first"):
                operators.paced(_generator())
            await listed(session.events() | operators.paced.pipe() | operators.audio.pipe())

    run(program, backend=anyio_backend)


async def _generator() -> AsyncGenerator[RealtimeEvent]:
    yield started()


async def talked_over(point: Injection) -> None:
    """A consumer takes paced sound; the application interrupts at one instant of it."""

    async def script(peer: Peer) -> None:
        await peer.say(started(), *[sound(SECOND // 64)] * 3)
        await peer.drain()

    async with open_session(scripted(script)) as session:

        async def consume() -> None:
            interrupted = False
            with anyio.move_on_after(1):
                async with (session.events() | operators.paced.pipe()).stream() as events:
                    async for event in events:
                        assert not (interrupted and event.kind is Kind.PERISHABLE)
                        interrupted |= isinstance(event, Interrupted)
            assert interrupted or not point.fired or session.epoch == 1

        await point.drive(consume(), session.interrupt)


def test_nothing_stale_follows_an_interruption_wherever_it_comes(anyio_backend: str) -> None:
    assert every_point(talked_over, backend=anyio_backend) > 8


# --- share ------------------------------------------------------------------------------------


def test_each_subscriber_gets_every_event(anyio_backend: str) -> None:
    async def program() -> tuple[list[str], list[AudioOutput], list[str]]:
        taken = list[str]()

        async def take(subscription: Subscription) -> None:
            taken.extend(names([event async for event in subscription]))

        async with (
            no_leaks(),
            speaking(started(), sound(), done()) as session,
            share(session.events()) as shared,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(take, shared.subscribe())
            heard = await listed(shared.subscribe() | operators.audio.pipe())
            rest = names([event async for event in shared.subscribe()])
        return taken, heard, rest

    taken, heard, rest = run(program, backend=anyio_backend)
    assert taken == ["Connected", "ResponseStarted", "AudioOutput", "ResponseDone", "Disconnected"]
    assert [len(event.pcm) for event in heard] == [len(sound().pcm)]
    assert rest == [], "who comes after the end gets nothing"


def test_a_slow_subscriber_fails_alone(anyio_backend: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(started())
        for _ in range(12):
            await peer.say(sound())
            await anyio.sleep(TICK)
        await peer.say(done())
        await peer.drain()

    async def program() -> int:
        seen = 0
        async with (
            open_session(scripted(script)) as session,
            share(session.events(), buffer=4) as shared,
        ):
            slow, quick = shared.subscribe(), shared.subscribe()
            await anext(slow)
            async for event in quick:
                seen += isinstance(event, AudioOutput)
                if isinstance(event, ResponseDone):
                    break
            for _ in range(2):
                with pytest.raises(RealtimeException, match="fell behind by more than 4"):
                    await anext(slow)
        return seen

    assert run(program, backend=anyio_backend) == 12


def test_an_interruption_purges_what_waits_in_a_subscription(anyio_backend: str) -> None:
    async def program() -> list[str]:
        events = Source(started(), sound(), words("Hi.", final=True), done(), cut(), sound())
        async with share(events) as shared:
            subscription = shared.subscribe()
            await anyio.sleep(1)
            return names([event async for event in subscription])

    assert run(program, backend=anyio_backend) == [
        "AgentTranscript",
        "ResponseDone",
        "Interrupted",
        "AudioOutput",
    ]


def test_cancelling_a_subscriber_that_waits_loses_nothing(anyio_backend: str) -> None:
    async def program() -> list[str]:
        async with share(Source(started(), 8, sound(), 8, done())) as shared:
            subscription = shared.subscribe()
            seen = list[RealtimeEvent]()
            while True:
                try:
                    with anyio.move_on_after(TICK):
                        seen.append(await anext(subscription))
                except StopAsyncIteration:
                    return names(seen)

    assert run(program, backend=anyio_backend) == ["ResponseStarted", "AudioOutput", "ResponseDone"]


def test_leaving_the_block_ends_the_sharing_and_loses_nothing(anyio_backend: str) -> None:
    async def program() -> list[str]:
        async def script(peer: Peer) -> None:
            await anyio.sleep(1)
            await peer.say(started(), done())

        async with open_session(scripted(script)) as session:
            async with no_leaks(), share(session.events()) as shared:
                subscription = shared.subscribe()
                await anext(subscription)
            with pytest.raises(StopAsyncIteration):
                await anext(subscription)
            return names([event async for event in session.events()])

    assert run(program, backend=anyio_backend) == [
        "ResponseStarted",
        "ResponseDone",
        "Disconnected",
    ]


def test_a_failure_of_the_source_comes_out_as_it_was_raised(anyio_backend: str) -> None:
    async def failing() -> AsyncGenerator[RealtimeEvent]:
        yield started()
        raise LookupError("mine")

    async def program() -> None:
        async with share(failing()) as shared:
            subscription = shared.subscribe()
            assert names([event async for event in subscription]) == ["ResponseStarted"]
            await anyio.sleep_forever()

    with pytest.raises(LookupError, match="mine"):
        run(program, backend=anyio_backend)


EVENTS = st.sampled_from((started(), sound(), words("Hi"), done(), SpeechStarted(), cut()))


@given(things=st.lists(EVENTS, max_size=24))
def test_a_subscriber_that_keeps_up_sees_the_stream_itself(
    anyio_backend: str, things: list[RealtimeEvent]
) -> None:
    async def program() -> list[RealtimeEvent]:
        async with share(Source(*(thing for event in things for thing in (event, 1)))) as shared:
            return [event async for event in shared.subscribe()]

    assert run(program, backend=anyio_backend) == things


@given(things=st.lists(EVENTS | st.integers(0, 80), max_size=24))
def test_pace_changes_times_and_order_but_loses_only_what_is_stale(
    anyio_backend: str, things: list[RealtimeEvent | int]
) -> None:
    out = [event for _, event in timed(anyio_backend, Source(*things))]
    given_in = [thing for thing in things if not isinstance(thing, int)]
    for kind in Kind:
        before = [event for event in given_in if event.kind is kind]
        after = [event for event in out if event.kind is kind]
        if kind is not Kind.PERISHABLE or not any(isinstance(e, Interrupted) for e in given_in):
            assert after == before
        assert len(after) <= len(before)
