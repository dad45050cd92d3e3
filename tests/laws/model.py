"""A small model of interruption, kept beside the machine by other means, from the laws' own words.

It knows what was said, asked, taken and acknowledged, plays the consumer's audio in one continuous
voice, and never looks into the machine's ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from realtime_core.audio.format import AudioFormat
from realtime_core.codec import CancelResponse, DeleteItem, Outgoing, TruncateItem
from realtime_core.epoch import Epoch, ItemId, RequestId, ResponseId
from realtime_core.events import (
    AgentTranscript,
    AudioOutput,
    AudioOutputDone,
    Error,
    Held,
    Interrupted,
    RealtimeEvent,
    Released,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    SpeechStarted,
)
from realtime_core.frames import CreateResponse, Heard, Interrupt
from realtime_core.state import Input, Phase, Pushed, Rang, Received, Timer
from realtime_core.testing.fold import Fold, Step
from realtime_core.testing.scripted import Greeting, read
from realtime_core.testing.timeline import Happening, Says, act, welcome
from tests.laws.stories import Story, opened

__all__ = ("Fact", "Known", "Rehearsal", "facts", "is_automatic", "is_explicit")


class Chunk(NamedTuple):
    """Audio the consumer took, and when it sounds."""

    item: ItemId
    start: float
    samples: int
    rate: int


class Known(NamedTuple):
    """What is true of a session at one moment."""

    gen: Mapping[ResponseId, Epoch] = {}
    open: frozenset[ResponseId] = frozenset()
    fenced: frozenset[ResponseId] = frozenset()
    owner: Mapping[ItemId, ResponseId] = {}
    received: Mapping[ItemId, int] = {}
    spoken: frozenset[ItemId] = frozenset()
    pieces: Mapping[ItemId, tuple[tuple[str, int | None], ...]] = {}
    """Its words piece by piece, each with the sample at which it has been said, where known."""
    whole: Mapping[ItemId, str] = {}
    acks: Mapping[ItemId, int] = {}
    confirmed: bool = False
    chunks: tuple[Chunk, ...] = ()
    asked: Mapping[RequestId, Epoch] = {}
    live: frozenset[RequestId] = frozenset()
    """Asked for in this epoch and not born, refused or lost."""
    sent: frozenset[RequestId] = frozenset()
    """Sent over this connection and neither born nor refused."""
    awaited: frozenset[RequestId] = frozenset()
    """Of these, those for which the barrier still waits or which are wanted."""
    beside: frozenset[RequestId | ResponseId] = frozenset()
    """Requests outside the conversation, and the answers to them."""
    bound: bool = False
    """Whether something was bound to this epoch: a response born, or asked for."""
    since: float | None = None
    """When what plays was held, while it is."""
    paused: float = 0.0
    """Seconds in which it was held before."""

    def playing(self, at: float) -> float:
        """The time on a clock that stands still during holds."""
        return (at if self.since is None else self.since) - self.paused

    def heard(self, item: ItemId, at: float) -> int:
        """How much of an item was heard: acknowledged, or at most what has sounded."""
        received = self.received.get(item, 0)
        if self.confirmed:
            return min(self.acks.get(item, 0), received)
        now = self.playing(at)
        return sum(
            min(chunk.samples, max(0, int((now - chunk.start) * chunk.rate)))
            for chunk in self.chunks
            if chunk.item == item
        )

    def takes(self, event: RealtimeEvent) -> bool:
        """Tell whether output was of an open response, not stale, in an item of its own."""
        id = event.response
        return (
            id in self.open
            and id not in self.fenced
            and event.item is not None
            and self.owner.get(event.item, id) == id
        )

    def cut(self, epoch: Epoch, at: float) -> set[ResponseId]:
        """List what an interruption would cut: bound to the epoch, and open or audible."""
        return {
            id
            for id, gen in self.gen.items()
            if gen == epoch and id not in self.fenced and (id in self.open or self.audible(id, at))
        }

    def audible(self, id: ResponseId, at: float) -> bool:
        return any(
            self.heard(item, at) < self.received.get(item, 0)
            for item, owner in self.owner.items()
            if owner == id
        )

    def vacuous(self, epoch: Epoch, at: float) -> bool:
        return not self.cut(epoch, at) and not self.live


class Fact(NamedTuple):
    """One step, what the provider said in it, and what was true before and after."""

    step: Step
    said: RealtimeEvent | None
    before: Known
    after: Known

    @property
    def sent(self) -> list[Outgoing]:
        frames = (read(wire) for wire in self.step.wires)
        return [frame for frame in frames if not isinstance(frame, Greeting)]

    @property
    def cancels(self) -> list[ResponseId]:
        return [frame.response for frame in self.sent if isinstance(frame, CancelResponse)]

    @property
    def repairs(self) -> list[TruncateItem | DeleteItem]:
        return [frame for frame in self.sent if isinstance(frame, TruncateItem | DeleteItem)]

    @property
    def rises(self) -> list[Interrupted]:
        return [event for event in self.step.events if isinstance(event, Interrupted)]


def is_automatic(fact: Fact) -> bool:
    """Whether this step is an interrupt that nobody asked for by name."""
    given, turns = fact.step.given, fact.step.before.plan.config.turn_detection
    if fact.step.before.phase is not Phase.OPEN:
        return False
    match fact.said:
        case SpeechStarted():
            return turns.authority == "provider" and turns.two_phase is None
        case Interrupted():
            return fact.said.response is None and turns.two_phase is None
        case _:
            return (
                isinstance(given, Pushed)
                and isinstance(given.frame, Interrupt)
                and given.frame.cause == "local"
            )


def is_beside(given: Input) -> bool:
    """Whether this asks for an answer outside the conversation."""
    frame = given.frame if isinstance(given, Pushed) else None
    return isinstance(frame, CreateResponse) and frame.conversation == "none"


def is_explicit(fact: Fact) -> bool:
    given = fact.step.given
    return (
        isinstance(given, Pushed)
        and isinstance(given.frame, Interrupt)
        and given.frame.cause == "app"
        and not fact.step.before.phase.ending
    )


class Rehearsal:
    """A session by hand with the model beside it."""

    def __init__(self, story: Story) -> None:
        self.session: Fold = opened(story)
        self.known = Known()
        self.facts: list[Fact] = []
        self._seen = len(self.session.steps)
        self._taken = 0

    def happen(self, happening: Happening) -> list[Fact]:
        """Let one thing happen, a message at a time; gives what came of it."""
        fresh = len(self.facts)
        singles = (
            [Says((event,)) for event in happening.events]
            if isinstance(happening, Says)
            else [happening]
        )
        for one in singles:
            welcome(self.session)
            self._follow(None)
            act(self.session, (one,))
            self._follow(one.events[0] if isinstance(one, Says) else None)
        return self.facts[fresh:]

    def close(self) -> list[Fact]:
        """Take everything, then close."""
        fresh = len(self.facts)
        self.session.drain()
        self._follow(None)
        self.session.close()
        self._follow(None)
        return self.facts[fresh:]

    def _follow(self, said: RealtimeEvent | None) -> None:
        for step in self.session.steps[self._seen :]:
            came = said if isinstance(step.given, Received) else None
            before, self.known = self.known, follow(self.known, step, came)
            self.facts.append(Fact(step, came, before, self.known))
        self._seen = len(self.session.steps)
        for event, _, _ in self.session.trace[self._taken :]:
            if isinstance(event, AudioOutput) and event.item is not None:
                samples = event.format.samples(len(event.pcm))
                self.known = played(self.known, event.item, samples, event.format, self.session.at)
        self._taken = len(self.session.trace)


def facts(story: Story) -> list[Fact]:
    """Play a story to its end beside the model."""
    rehearsal = Rehearsal(story)
    for happening in story.timeline:
        rehearsal.happen(happening)
    rehearsal.close()
    return rehearsal.facts


def played(known: Known, item: ItemId, samples: int, form: AudioFormat, at: float) -> Known:
    ends = [chunk.start + chunk.samples / chunk.rate for chunk in known.chunks]
    chunk = Chunk(item, max([known.playing(at), *ends]), samples, form.rate)
    return known._replace(chunks=(*known.chunks, chunk))


def follow(known: Known, step: Step, said: RealtimeEvent | None) -> Known:
    """Give what is true after a step."""
    before, after = step.before, step.after
    if said is not None:
        known = _said(known, step, said)
    given = step.given
    if isinstance(given, Pushed) and isinstance(given.frame, Heard) and not before.phase.ending:
        known = _acknowledged(known, given.frame)
    if isinstance(given, Rang) and given.timer is Timer.SETTLE and Timer.SETTLE not in after.due:
        known = known._replace(awaited=known.awaited & known.live)
    for event in step.events:
        if isinstance(event, Interrupted):
            cut = known.cut(Epoch(event.epoch - 1), given.at)
            bound = event.epoch in known.gen.values()
            known = known._replace(
                fenced=known.fenced | cut, live=frozenset(), bound=bound, chunks=()
            )
        if isinstance(event, Interrupted | Released) and known.since is not None:
            known = known._replace(since=None, paused=known.paused + given.at - known.since)
        elif isinstance(event, Held):
            known = known._replace(since=given.at)
        elif isinstance(event, ResponseDone) and event.response is not None:
            known = known._replace(open=known.open - {event.response})
    return _asked(known, step)


def _asked(known: Known, step: Step) -> Known:
    before, after = step.before, step.after
    names = [RequestId(f"request-{n}") for n in range(before.minted, after.minted)]
    if names:
        asked = {**known.asked, **dict.fromkeys(names, after.epoch)}
        known = known._replace(asked=asked, live=known.live.union(names), bound=True)
        if is_beside(step.given):
            known = known._replace(beside=known.beside.union(names))
    if after.conn != before.conn or after.phase.ending:
        nothing = frozenset[RequestId]()
        known = known._replace(live=nothing, sent=nothing, awaited=nothing)
    for wire in step.wires:
        frame = read(wire)
        if isinstance(frame, CreateResponse):
            name = frame.request
            known = known._replace(sent=known.sent | {name}, awaited=known.awaited | {name})
    return known


def _acknowledged(known: Known, frame: Heard) -> Known:
    owner = known.owner.get(frame.item)
    if owner is None or owner in known.fenced:
        return known
    heard = min(frame.samples, known.received.get(frame.item, 0))
    acks = {**known.acks, frame.item: max(heard, known.acks.get(frame.item, 0))}
    return known._replace(acks=acks, confirmed=True)


def _without(known: Known, name: RequestId | None) -> Known:
    gone = {name}
    return known._replace(
        live=known.live - gone, sent=known.sent - gone, awaited=known.awaited - gone
    )


def _said(known: Known, step: Step, said: RealtimeEvent) -> Known:
    before = step.before
    if before.phase.ending:
        return known
    id = said.response
    match said:
        case ResponseStarted() if id is not None and id not in known.gen:
            return _born(known, step, said, id)
        case Error() if said.request in known.sent:
            return _without(known, said.request)
        case AudioOutput() | AudioOutputDone() | AgentTranscript() | ResponseText():
            if id is None or said.item is None or not known.takes(said):
                return known
            return _grown(known._replace(owner={**known.owner, said.item: id}), said, said.item)
        case _:
            return known


def _born(known: Known, step: Step, said: ResponseStarted, id: ResponseId) -> Known:
    before = step.before
    if said.request in known.sent:
        if said.request in known.beside:
            known = known._replace(beside=known.beside | {id})
        gen = known.asked[said.request]
        known = _without(known, said.request)
    else:
        gen = Epoch(before.epoch - 1) if before.barrier else step.after.epoch
    stale = gen < before.epoch
    return known._replace(
        gen={**known.gen, id: gen},
        open=known.open | {id},
        fenced=known.fenced | ({id} if stale else set()),
        bound=known.bound or not stale,
    )


def _grown(known: Known, said: RealtimeEvent, item: ItemId) -> Known:
    match said:
        case AudioOutput():
            samples = known.received.get(item, 0) + said.format.samples(len(said.pcm))
            return known._replace(
                received={**known.received, item: samples}, spoken=known.spoken | {item}
            )
        case AgentTranscript() | ResponseText():
            if isinstance(said, AgentTranscript):
                known = known._replace(spoken=known.spoken | {item})
            if said.final if isinstance(said, AgentTranscript) else said.is_complete:
                return known._replace(whole={**known.whole, item: said.text})
            span = said.span if isinstance(said, AgentTranscript) else None
            piece = said.text, span[1] if span is not None else None
            pieces = (*known.pieces.get(item, ()), piece)
            return known._replace(pieces={**known.pieces, item: pieces})
        case _:
            return known
