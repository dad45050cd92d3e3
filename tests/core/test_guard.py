"""The guard: each invariant is seen to be broken once, and a broken session goes on, fenced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from realtime_core import (
    AudioOutput,
    Epoch,
    HeardItem,
    Interrupt,
    Interrupted,
    SpeechStarted,
    UserTranscript,
    driver,
    machine,
    open_session,
)
from realtime_core.guard import Guard, broken
from realtime_core.state import (
    Arm,
    Begun,
    Effect,
    Emit,
    Fence,
    Input,
    Phase,
    Pushed,
    Received,
    State,
    Timer,
    Transition,
)
from realtime_core.testing import run
from realtime_core.testing.scripted import Peer, scripted, written
from realtime_core.turn import Response, put_response
from tests.core.short import E0, E1, E2, I1, I2, R1, R2, done, plan, sound, started

OPEN = State(plan(), "guarded", phase=Phase.OPEN)
TOLD = Emit(Interrupted(epoch=E1, cause="app"))


def fenced(epoch: Epoch = E1) -> State:
    return replace(OPEN, epoch=epoch)


def of_answer(epoch: Epoch) -> State:
    """Give a state in which the answer belongs to an epoch."""
    ledger = put_response(OPEN.ledger, R1, Response(epoch))
    return replace(fenced(), ledger=ledger)


def heard(samples: int, received: int) -> Emit:
    part = HeardItem(item=I1, response=R1, samples=samples, received=received, rate=24_000)
    return Emit(Interrupted(epoch=E1, cause="app", heard=(part,)))


def speech(epoch: Epoch) -> Emit:
    return Emit(SpeechStarted(epoch=epoch))


SOUND = Emit(replace(sound(), epoch=E1))


@pytest.mark.parametrize(
    ("after", "effects"),
    [
        (OPEN, ()),
        (OPEN, (speech(E0), Arm(Timer.HOLD, 1.0))),
        (fenced(), (Fence(E1), TOLD, speech(E1))),
        (fenced(), (Fence(E1), heard(3, 3))),
        (of_answer(E1), (Fence(E1), TOLD, SOUND)),
        (fenced(), (Fence(E1), TOLD, SOUND, Emit(replace(sound(response=None), epoch=E1)))),
        (replace(OPEN, conn=1, phase=Phase.RESUMING), ()),
        (replace(OPEN, phase=Phase.CLOSED), ()),
    ],
    ids=str,
)
def test_a_sound_transition_passes(after: State, effects: tuple[Effect, ...]) -> None:
    assert broken(OPEN, Transition(after, effects)) == ""


@pytest.mark.parametrize(
    ("number", "after", "effects"),
    [
        ("2", fenced(E2), (Fence(E2), Emit(Interrupted(epoch=E2, cause="app")))),
        ("2", fenced(E0), (Fence(E0), TOLD)),
        ("2", OPEN, (speech(E1),)),
        ("2", fenced(), (Fence(E1), speech(E1), TOLD)),
        ("2", fenced(), (Fence(E1),)),
        ("2", fenced(), (TOLD,)),
        ("2", fenced(), ()),
        ("2", OPEN, (Fence(E1), TOLD)),
        ("4", of_answer(E0), (Fence(E1), TOLD, SOUND)),
        ("17", fenced(), (Fence(E1), heard(4, 3))),
        ("2", replace(OPEN, conn=-1), ()),
        ("37", replace(OPEN, phase=Phase.CONNECTING), ()),
    ],
    ids=str,
)
def test_each_invariant_is_watched(number: str, after: State, effects: tuple[Effect, ...]) -> None:
    assert broken(OPEN, Transition(after, effects)).split(":")[0] == number


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (Phase.CLOSING, Phase.CLOSED, ""),
        (Phase.CLOSING, Phase.OPEN, "37"),
        (Phase.CLOSED, Phase.OPEN, "37"),
        (Phase.RESUMING, Phase.OPEN, ""),
    ],
)
def test_a_session_lives_but_once(before: Phase, after: Phase, found: str) -> None:
    transition = Transition(replace(OPEN, phase=after))
    assert broken(replace(OPEN, phase=before), transition).split(":")[0] == found


def test_the_last_transitions_are_kept_and_the_broken_ones_counted() -> None:
    guard = Guard()
    for at in range(300):
        sound = guard.watch(OPEN, Begun(at=float(at)), Transition(OPEN, (speech(E0),)))
        assert sound
    assert not guard.watch(OPEN, Received(at=300.0, conn=0, wires=()), Transition(fenced()))
    assert guard.violations == 1
    passed = guard.passed
    assert [one.at for one in passed] == [float(at) for at in range(101, 301)]
    assert passed[0][1:] == ("Begun", Phase.OPEN, E0, 0, ("Emit",), "")
    assert passed[-1][1:4] == ("Received", Phase.OPEN, E1)
    assert passed[-1].broken == "2: each rise is fenced and announced"


def defective(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[State, Input, Transition], Transition]
) -> None:
    """Plant a defect: what the machine decides is spoilt before the driver does it."""
    step = machine.step

    def spoilt(codec: Any, state: State, given: Input) -> Transition:
        return spoil(state, given, step(codec, state, given))

    monkeypatch.setattr(driver, "step", spoilt)


def misplaced(state: State, given: Input, transition: Transition) -> Transition:
    """Say something of an epoch that is not in force."""
    del state, given
    return transition._replace(effects=(*transition.effects, speech(E2)))


def test_a_broken_session_is_fenced_and_goes_on(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hm = UserTranscript(text="Hm", final=False)

    def spoil(state: State, given: Input, transition: Transition) -> Transition:
        spoils = isinstance(given, Received) and given.wires == written(hm)
        return misplaced(state, given, transition) if spoils else transition

    async def script(peer: Peer) -> None:
        await peer.say(started(R1), sound())
        await peer.say(hm)
        await peer.say(done(R1, "cancelled"), started(R2), sound(item=I2, response=R2))
        await peer.drain()

    async def program() -> None:
        cuts = list[Interrupted]()
        async with open_session(scripted(script)) as session:
            async for event in session.events():
                if isinstance(event, Interrupted):
                    cuts.append(event)
                if isinstance(event, AudioOutput) and event.response == R2:
                    break
            assert [(cut.cause, cut.fenced) for cut in cuts] == [("local", (R1,))]
            assert session.statistics.violations == 1
            (evidence,) = [passed for passed in session.transitions if passed.broken]
            assert (evidence.given, evidence.epoch) == ("Received", 0)
            after = session.transitions[session.transitions.index(evidence) + 1]
            assert (after.given, after.epoch, after.broken) == ("Pushed", 1, "")

    defective(monkeypatch, spoil)
    run(program, backend=anyio_backend)


def test_a_defect_in_everything_is_counted_and_does_not_run_away(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    defective(monkeypatch, misplaced)

    async def program() -> int:
        async with open_session(scripted(Peer.drain)) as session:
            before = session.statistics.violations
            session.send_nowait(Interrupt(cause="local"))
            assert session.statistics.violations == before + 1
            given = [passed.given for passed in session.transitions]
            assert given.count(Pushed.__name__) == len(given) // 2 + 1
            return before

    assert run(program, backend=anyio_backend) > 2
