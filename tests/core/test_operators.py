"""Operators: what each gives out of a session's events, on both backends."""

from __future__ import annotations

import subprocess
import sys
from typing import assert_type

import anyio
import pytest
from aiostream import Stream, pipe

from realtime_core import (
    AudioOutput,
    Events,
    ItemId,
    ResponseText,
    SpeechStarted,
    UserTranscript,
    open_session,
    operators,
)
from realtime_core.operators import Subscription, Turn, responses
from realtime_core.testing import run
from realtime_core.testing.scripted import Peer, scripted
from tests.core.listening import speaking
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
from tests.core.streaming import cut, given_out, listed, said


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


def test_a_turn_is_an_answer_as_a_whole(anyio_backend: str) -> None:
    (turn,) = given_out(
        anyio_backend,
        responses,
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
        responses,
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
        responses,
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
        responses,
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
    assert given_out(anyio_backend, responses, sound(), said("Hi."), done(R1, "lost")) == [
        Turn(status="lost")
    ]
