"""A session folded by hand: time passes when told, and only what stands can be heard."""

from __future__ import annotations

from realtime_core import Close, Interrupt, Recurs, SpeechStarted, Unavailable
from realtime_core.state import Phase, Timer
from realtime_core.testing.fold import fold
from realtime_core.testing.scripted import ScriptedCodec, written
from realtime_core.testing.timeline import (
    Loses,
    Pushes,
    Raw,
    Says,
    Stale,
    Takes,
    Waits,
    act,
    welcome,
)
from tests.core.short import E0, R1, dialled, names, opened, say, sound, started


def test_a_fold_gives_every_transition() -> None:
    session = opened()
    say(session, started(), sound())
    (step,) = session.steps
    (again,) = fold(ScriptedCodec(), step.before, (step.given,))
    assert again == step
    assert names(step.events) == ["ResponseStarted", "AudioOutput"]
    assert step.wires == ()


def test_nothing_is_read_before_a_connection_stands() -> None:
    session = dialled()
    before = session.state
    say(session, SpeechStarted())
    assert session.state is before
    session.link()
    assert session.stands == 0
    session.link()
    assert len(session.sent) == 1


def test_time_passes_when_told_and_timers_ring_in_their_order() -> None:
    session = dialled(connect_timeout=1.0, retry=Recurs(1))
    session.wait(0.5)
    assert (session.at, session.state.conn) == (0.5, 0)
    session.wait(1.0)
    assert (session.at, session.state.conn, session.dialled) == (1.5, 1, 1)
    assert session.due == {Timer.CONNECT: 2.0}


def test_what_is_taken_tells_the_epoch_in_force_and_the_one_it_is_bound_to() -> None:
    session = opened()
    say(session, started(), SpeechStarted())
    taken = session.take(8)
    assert names(one.event for one in taken) == ["SpeechStarted", "Interrupted"]
    assert [(one.epoch, one.gen) for one in taken] == [(1, None), (1, None)]
    say(session, started())
    assert session.take() == []
    assert session.events == [one.event for one in session.trace]


def test_closing_waits_for_a_mute_peer_until_the_deadline() -> None:
    session = opened(close_timeout=1.0)
    session.close()
    assert session.state.phase is Phase.CLOSED
    assert session.at == 1.0
    assert names(session.events)[-1] == "Disconnected"


def test_a_timeline_is_acted_out() -> None:
    session = dialled(retry=Recurs(3))
    act(
        session,
        (
            Says((started(), sound())),
            Takes(1),
            Pushes(Interrupt()),
            Stale((started(),)),
            Loses(old=True),
            Loses(Unavailable(what="gone")),
            Waits(0),
            Raw(written(SpeechStarted())),
            Pushes(Close()),
        ),
    )
    assert session.state.conn == 1
    assert session.state.phase is Phase.CLOSING
    session.close()
    assert names(session.events)[-1] == "Disconnected"
    assert session.state.ledger.responses[R1].epoch == E0
    welcome(session)
    assert session.dialled is None
