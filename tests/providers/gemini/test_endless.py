"""Half an hour of conversation over many connections, on virtual time, checked number by number."""

from __future__ import annotations

from collections import Counter
from functools import cache
from random import Random
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from realtime_core import (
    AudioOutput,
    Dropped,
    Error,
    Interrupted,
    Message,
    RealtimeEvent,
    Reconnected,
    ResponseDone,
    ResponseStarted,
    SessionEnding,
    ToolSpec,
    Unknown,
    open_session,
)
from realtime_core.schedule import RECONNECT
from realtime_core.session import Statistics
from realtime_core.testing import no_leaks, run
from realtime_core.testing.conformance import check_trace
from realtime_gemini.server import loopback
from tests.providers.gemini.endless import PIECE, Person, Turn, World
from tests.providers.gemini.watching import ours

LONG = 1_800.0
LIFE = 230.0
REFUSED = 3
DROPPED = 140
"""The answer in whose middle a connection breaks."""


class Lived(NamedTuple):
    """What came of it."""

    world: World
    person: Person
    history: tuple[Message, ...]
    statistics: Statistics

    @property
    def trace(self) -> list[RealtimeEvent]:
        return self.person.trace

    def ends(self) -> list[tuple[ResponseDone, Turn]]:
        """Pair the ends of answers with the answers as they were given, both in their order."""
        dones = [event for event in self.trace if isinstance(event, ResponseDone)]
        assert len(dones) == len(self.world.turns)
        return list(zip(dones, self.world.turns, strict=True))

    def expected(self) -> list[tuple[str, str]]:
        """Give the conversation: what the server took and gave, cut to what was played of it."""
        turn_of = {done.response: turn for done, turn in self.ends()}
        heard = dict[Turn, str]()
        for event in self.trace:
            for part in event.heard if isinstance(event, Interrupted) else ():
                turn = turn_of[part.response]
                assert part.samples == self.person.heard.get(part.item, 0)
                assert turn.text.startswith(part.text)
                assert bool(part.text) <= bool(part.samples)
                heard[turn] = part.text
        said = (
            (role, words if isinstance(words, str) else heard.get(words, words.text))
            for role, words in self.world.said
        )
        return [(role, text) for role, text in said if text]


@cache
def lived(backend: str) -> Lived:
    """Live through it, once for all the questions below."""
    return talked(backend, World(LIFE, refused=REFUSED, dropped=DROPPED), LONG)


def talked(backend: str, world: World, seconds: float, seed: int = 5) -> Lived:
    """Let a person talk with this world for so long."""

    async def program() -> Lived:
        async with no_leaks(within=5.0), loopback(world.play, port=None, welcome=False) as here:
            provider = replace(ours("http://127.0.0.1:1"), dial=here.dial)
            opening = open_session(
                provider,
                retry=RECONNECT,
                tools=(ToolSpec("weather"),),
                report_input=False,
                random=lambda: 0.5,
            )
            async with opening as session:
                person = Person(session, seed)
                await person.live(seconds)
                history = session.history
            await person.take_the_rest()
            return Lived(world, person, history, session.statistics)

    return run(program, backend=backend)


def test_it_went_as_it_was_to_go(anyio_backend: str) -> None:
    one = lived(anyio_backend)
    assert min(one.person.done.values()) >= 15, "of every kind enough"
    assert len(one.person.done) == 5
    again = [event for event in one.trace if isinstance(event, Reconnected)]
    assert Counter(event.restored for event in again)["history"] == 1
    assert sum(event.restored == "handle" and not event.lost for event in again) >= 5
    (lost,) = (event for event in again if event.lost and event.restored == "handle")
    assert lost.lost == ("the answer in progress",)
    (told,) = (event for event in again if event.restored == "history")
    assert told.lost == ("sound of earlier turns",)
    assert not [event for event in one.trace if isinstance(event, Error | Unknown)]
    assert len([e for e in one.trace if isinstance(e, SessionEnding)]) >= 6


def test_the_trace_has_no_gap_and_every_epoch_is_told(anyio_backend: str) -> None:
    one = lived(anyio_backend)
    assert not check_trace(one.trace, complete=True)
    assert [event.seq for event in one.trace] == list(range(len(one.trace)))
    epochs = [event.epoch for event in one.trace if isinstance(event, Interrupted)]
    assert epochs == list(range(1, len(epochs) + 1))
    assert sorted({event.epoch for event in one.trace}) == list(range(len(epochs) + 1))
    causes = Counter(event.cause for event in one.trace if isinstance(event, Interrupted))
    done = one.person.done
    assert causes["provider"] <= done["_barges_in"]
    assert causes["app"] == done["_cuts_in"]
    assert causes["connection"] == 1
    assert one.statistics.violations == 0


def test_every_answer_begins_once_and_ends_once(anyio_backend: str) -> None:
    one = lived(anyio_backend)
    starts = [event.response for event in one.trace if isinstance(event, ResponseStarted)]
    ends = [done.response for done, _ in one.ends()]
    assert len(set(starts)) == len(starts) == len(set(ends)) == len(ends)
    assert set(starts) == set(ends)
    for done, turn in one.ends():
        assert done.by_provider is (turn.end != "lost") or done.status == "interrupted"
        assert done.status == turn.end
        if turn.end == "completed":
            assert done.usage is not None
            assert (done.usage.input_tokens, done.usage.output_tokens) == (3, 5)


def test_every_sample_is_returned_once_or_counted_as_fenced(anyio_backend: str) -> None:
    one = lived(anyio_backend)
    assert one.person.strange == []
    first = {
        event.response: int.from_bytes(event.pcm, "little")
        for event in reversed(one.trace)
        if isinstance(event, AudioOutput)
    }
    for done, turn in one.ends():
        assert done.response is not None
        came = one.person.spoken.get(done.response, 0)
        assert came == turn.samples or turn.end != "completed"
        assert came <= turn.samples
        assert not came or first[done.response] == turn.first % (1 << 16)
    output, dropped = one.statistics.output, one.statistics.dropped
    sent = sum(turn.samples for turn in one.world.turns)
    past = dropped.get("fenced audio samples", 0) + dropped.get("late audio samples", 0)
    assert output.delivered == sum(one.person.spoken.values())
    assert (output.overflowed, output.waiting) == (0, 0)
    assert sent == output.delivered + output.fenced + past


def test_every_frame_of_the_microphone_came_once_or_is_counted(anyio_backend: str) -> None:
    one = lived(anyio_backend)
    came = one.world.frames
    assert came == sorted(set(came)), "in order, and once"
    offered, sent, dropped, refused, waiting = one.statistics.lanes["audio"]
    assert (offered, refused, waiting) == (one.person.pushed, 0, 0)
    assert sent == len(came)
    told = [e.count for e in one.trace if isinstance(e, Dropped) and e.lane == "audio"]
    assert sum(told) == dropped == offered - sent


def test_the_history_is_what_was_said_and_heard(anyio_backend: str) -> None:
    one = lived(anyio_backend)
    expected = one.expected()
    assert [(message.role, message.text) for message in one.history] == expected[-512:]


def test_a_connection_is_left_for_one_that_stands_with_the_newest_handle(
    anyio_backend: str,
) -> None:
    world = lived(anyio_backend).world
    assert world.shown[0] == ""
    assert world.shown[REFUSED + 1] == "", "a refused handle is not shown again"
    others = [one for place, one in enumerate(world.shown) if place not in {0, REFUSED + 1}]
    assert all(others)
    assert others == sorted(others, key=world.handles.index)
    at_once = [
        number
        for number in world.left
        if number + 1 < len(world.dialled) and world.dialled[number + 1] <= world.left[number]
    ]
    assert len(at_once) >= 6


def test_the_history_that_was_told_is_the_one_that_is_kept(anyio_backend: str) -> None:
    one = lived(anyio_backend)
    assert len(one.world.told) > 20
    kept = one.expected()[: len(one.world.told)]
    assert one.world.told == [_told(role, text) for role, text in kept]


@pytest.mark.parametrize("seed", range(3))
def test_connections_may_end_in_any_way_at_any_moment(seed: int, anyio_backend: str) -> None:
    """By a reset, a farewell or a warning, in whatever is going on, again and again."""
    world = World(50.0, refused=2, unrest=Random(seed))
    one = talked(anyio_backend, world, 300.0, seed)
    assert not check_trace(one.trace, complete=True)
    assert one.person.strange == []
    assert one.statistics.violations == 0
    assert 8 < len(world.dialled) < 60
    assert world.frames == sorted(set(world.frames))
    offered, sent, dropped, refused, waiting = one.statistics.lanes["audio"]
    assert (offered, refused, waiting) == (sent + dropped, 0, 0)
    assert sent - len(world.frames) <= len(world.dialled), "what was on its way at a reset"
    output, lost = one.statistics.output, one.statistics.dropped
    past = lost.get("fenced audio samples", 0) + lost.get("late audio samples", 0)
    gone = sum(turn.samples for turn in world.turns) - output.delivered - output.fenced - past
    assert 0 <= gone <= PIECE * len(world.dialled), "what a connection said when it was left"


def _told(role: str, text: str) -> tuple[str, str]:
    match role:
        case "assistant":
            return "model", text
        case "tool_call":
            return "model", f"[Calls weather with {text}]"
        case "tool_result":
            return "user", f"[weather gave: {text}]"
        case _:
            return "user", text
