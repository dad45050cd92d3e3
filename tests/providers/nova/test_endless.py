"""Forty minutes of conversation over streams of eight, on virtual time, number by number."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from realtime_core import (
    AudioOutput,
    CallId,
    Error,
    Interrupted,
    LateUsage,
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
from realtime_nova import nova
from realtime_nova.server import loopback
from realtime_nova.server.pieces import sentences
from tests.providers.gemini.endless import PIECE, Person, Turn
from tests.providers.nova.endless import LIFE, USAGE, World

LONG = 2_400.0
DROPPED = 140
"""The answer in whose middle a stream breaks."""
LIMIT = 40_000


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

    def expected(self) -> list[list[str]]:
        """Give the conversation, line by line: what the service took and gave, as it was heard."""
        turn_of = {done.response: turn for done, turn in self.ends()}
        cut = dict[Turn, list[str]]()
        for event in self.trace:
            for part in event.heard if isinstance(event, Interrupted) else ():
                assert part.samples == self.person.heard.get(part.item, 0)
                assert bool(part.text) <= bool(part.samples)
                cut.setdefault(turn_of[part.response], []).append(part.text)
        return [
            [words]
            if isinstance(words, str)
            else [line for line in cut.get(words, sentences(words.text)) if line]
            for _, words in self.world.said
        ]


@cache
def lived(backend: str) -> Lived:
    """Live through it, once for all the questions below."""
    return talked(backend, World(dropped=DROPPED), LONG)


def talked(backend: str, world: World, seconds: float, seed: int = 5) -> Lived:
    """Let a person talk with this world for so long."""

    async def program() -> Lived:
        async with no_leaks(within=5.0), loopback(world.play, port=None, welcome=False) as here:
            opening = open_session(
                replace(nova(), dial=here.dial),
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
    assert min(one.person.done.values()) >= 20, "of every kind enough"
    assert len(one.person.done) == 5
    again = [event for event in one.trace if isinstance(event, Reconnected)]
    assert {event.restored for event in again} == {"history"}
    (lost,) = (event for event in again if "the answer in progress" in event.lost)
    calm = [event for event in again if event is not lost]
    assert len(calm) >= 5, "stream changes that were planned"
    assert all("sound of earlier turns" in event.lost for event in calm)
    assert not [event for event in one.trace if isinstance(event, Error | Unknown)]
    assert len([e for e in one.trace if isinstance(e, SessionEnding)]) == len(calm)


def test_no_stream_is_left_before_the_next_one_stands_or_too_late(anyio_backend: str) -> None:
    world = lived(anyio_backend).world
    assert world.expired == 0
    lives = list(zip(world.dialled, world.left.values(), strict=True))
    assert all(left - dialled < LIFE - 30 for dialled, left in lives)
    both = [at < left for at, (_, left) in zip(world.dialled[1:], lives, strict=False)]
    assert both.count(False) <= 6, "the one that broke, and those that were quiet at once"


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
    cuts = (e for e in one.trace if isinstance(e, Interrupted) and e.cause == "app")
    by_hand = {response for event in cuts for response in event.fenced}
    for done, turn in one.ends():
        assert done.by_provider is (turn.end != "lost") or done.status == "interrupted"
        told_all = done.status == "completed" and done.response in by_hand
        assert done.status == turn.end or told_all


def test_every_token_is_told_once(anyio_backend: str) -> None:
    """The service counts up; what it tells of an answer after its end comes with the next one."""
    one = lived(anyio_backend)
    told = [e.usage for e in one.trace if isinstance(e, ResponseDone | LateUsage) and e.usage]
    billed = [turn for turn in one.world.turns if turn.end != "lost"]
    assert sum(usage.input_tokens for usage in told) == len(billed) * USAGE.input_tokens
    assert sum(usage.output_tokens for usage in told) == len(billed) * USAGE.output_tokens


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


def test_every_frame_of_the_microphone_came_once(anyio_backend: str) -> None:
    one = lived(anyio_backend)
    assert one.world.frames == list(range(one.person.pushed)), "in order, and all of them"
    offered, sent, dropped, refused, waiting = one.statistics.lanes["audio"]
    assert (offered, sent) == (one.person.pushed, one.person.pushed)
    assert (dropped, refused, waiting) == (0, 0, 0)


def test_the_history_is_what_was_said_and_heard(anyio_backend: str) -> None:
    one = lived(anyio_backend)
    expected = [line for lines in one.expected() for line in lines]
    assert len(one.history) == 512
    lines = _lines(one.history)
    assert lines == expected[-len(lines) :]


def test_the_history_that_is_told_is_the_latest_within_the_limits(anyio_backend: str) -> None:
    one = lived(anyio_backend)
    expected, sizes = one.expected(), list[int]()
    assert len(one.world.told) == len(one.world.dialled)
    for said, told in one.world.told[1:]:
        before = [line for lines in expected[:said] for line in lines]
        lines = [line for _, text in told for line in text.split("\n")]
        assert lines == before[-len(lines) :]
        assert told[0][0] == "USER"
        assert all(a[0] != b[0] for a, b in pairwise(told)), "roles alternate"
        sizes.append(sum(len(text.encode()) for _, text in told))
    assert max(sizes) <= LIMIT
    assert max(sizes) > LIMIT - 2_000, "as much as there is room for"


@pytest.mark.parametrize("seed", range(2))
def test_streams_may_end_in_any_way_at_any_moment(seed: int, anyio_backend: str) -> None:
    """By a reset or an exception, in whatever is going on, again and again."""
    world = World(unrest=Random(seed))
    one = talked(anyio_backend, world, 200.0, seed)
    assert not check_trace(one.trace, complete=True)
    assert one.person.strange == []
    assert one.statistics.violations == 0
    assert 4 < len(world.dialled) < 60
    assert world.frames == sorted(set(world.frames))
    offered, sent, dropped, refused, waiting = one.statistics.lanes["audio"]
    assert (offered, refused, waiting) == (sent + dropped, 0, 0)
    assert sent - len(world.frames) <= len(world.dialled), "what was on its way at a reset"
    output, lost = one.statistics.output, one.statistics.dropped
    past = lost.get("fenced audio samples", 0) + lost.get("late audio samples", 0)
    gone = sum(turn.samples for turn in world.turns) - output.delivered - output.fenced - past
    assert 0 <= gone <= PIECE * len(world.dialled), "what a stream said when it was left"


def _lines(history: tuple[Message, ...]) -> list[str]:
    """Give what is told of messages; of a call, with its result."""
    lines, calls = list[str](), dict[CallId | None, str]()
    for one in history:
        if one.role == "tool_call":
            calls[one.call] = one.text
        elif one.role == "tool_result":
            lines.append(f"[weather, called with {calls[one.call]}, gave: {one.text}]")
        else:
            lines.append(one.text)
    return lines
