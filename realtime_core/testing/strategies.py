"""Hypothesis strategies: providers' abilities, what providers say, and whole timelines.

Needs hypothesis. What a provider says keeps the contract of `Codec`, with a share of what networks
and providers do besides: late, repeated and unknown frames, and ids that belong elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar, cast, get_args, get_origin

import msgspec
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from ..capability import Capabilities
from ..codec import Wire
from ..config import (
    Authority,
    Outlet,
    SessionConfig,
    ToolPolicy,
    ToolSpec,
    TurnDetection,
    TwoPhase,
)
from ..epoch import CallId, ItemId
from ..errors import AuthFailed, RealtimeError, TimedOut, Unavailable
from ..events import (
    Interrupted,
    RealtimeEvent,
    SessionEnding,
    SpeechStarted,
    SpeechStopped,
    UserTranscript,
)
from ..frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    CreateResponse,
    Frame,
    Heard,
    Hold,
    Interrupt,
    Release,
    Text,
    ToolResult,
)
from ..plan import Plan, negotiate
from ..schedule import Exponential, Recurs, Schedule, Spaced
from ._author import ERRORS, LAWFUL, SAMPLES_A_TICK, Author
from .clock import TICK
from .conformance import HOSTILE
from .scripted import SCRIPTED
from .timeline import Fails, Happening, Loses, Pushes, Raw, Says, Stale, Takes, Timeline, Waits

__all__ = (
    "capabilities",
    "configs",
    "plans",
    "provider_scripts",
    "pushes",
    "structs",
    "timelines",
    "two_phases",
    "wires",
)

T = TypeVar("T", bound=msgspec.Struct)

_NAMES = st.sampled_from(("", "a", "b", "c", "request-0", "request-1"))
_INTERRUPTS = st.sampled_from((Interrupt(), Interrupt(), Interrupt(cause="local")))
_SLOTS = st.integers(0, 3)
_POLICIES: tuple[ToolPolicy, ...] = ("cancel", "finish", "detach")
_TOOLS = tuple(ToolSpec(name=f"tool-{policy}", policy=policy) for policy in _POLICIES)
_AUTHORITIES: tuple[Authority, ...] = ("provider", "local", "application")
_OUTLETS: tuple[Literal["pause", "drop"], ...] = ("pause", "drop")
_SCHEDULES: tuple[Schedule, ...] = (
    Recurs(2),
    Spaced(TICK),
    Recurs(0),
    Exponential(TICK).capped(8 * TICK),
)
_FLAGS = ("cancel", "truncate", "delete", "one_response", "history")

_LOSSES: tuple[RealtimeError | None, ...] = (
    None,
    Unavailable(what="x"),
    TimedOut(what="x"),
    Unavailable(what="y"),
    AuthFailed(what="x"),
)
_HEARD: tuple[Happening, ...] = (
    Says((SpeechStarted(),)),
    Says((SpeechStarted(item=ItemId("u1")),)),
    Says((SpeechStopped(),)),
    Says((Interrupted(cause="provider"),)),
)
_ENDS: tuple[Timeline, ...] = ((Takes(10_000), Waits(64)), ())

_Move = tuple[str, int, int]
_Draft = Happening | list[_Move] | Timeline


@st.composite
def capabilities(draw: st.DrawFn) -> Capabilities:
    """Give abilities of providers: what the machine branches on, in any combination."""
    flags = {name: draw(st.booleans()) for name in _FLAGS}
    return replace(
        SCRIPTED,
        **flags,
        tool_reply=draw(st.sampled_from(("create", "automatic"))),
        resumption=draw(st.sampled_from(("handle", "none"))),
        session_seconds=draw(st.sampled_from((None, None, 16 * TICK))),
    )


def two_phases() -> st.SearchStrategy[TwoPhase]:
    """Give policies of a barge-in in two phases, with deadlines on ticks."""
    return st.builds(
        TwoPhase,
        confirm_ms=st.sampled_from((None, 125, 250)),
        confirm_words=st.sampled_from((None, 1, 2)),
        deadline_ms=st.sampled_from((250, 500)),
        at_deadline=st.sampled_from(("confirm", "release")),
    )


@st.composite
def configs(draw: st.DrawFn, *, holds: bool = False) -> SessionConfig:
    """Give configurations: who may interrupt, retries, short deadlines on ticks, the outlet.

    With `holds` a barge-in is mostly in two phases.
    """
    barrier, close, connect = (draw(st.integers(1, 64)) * TICK for _ in range(3))
    turns = TurnDetection(
        authority=draw(st.sampled_from(_AUTHORITIES)),
        two_phase=draw(st.one_of(two_phases(), two_phases(), st.none())) if holds else None,
    )
    return SessionConfig(
        turn_detection=turns,
        transcribe_user=draw(st.booleans()) if holds else True,
        tools=_TOOLS,
        retry=draw(st.sampled_from(_SCHEDULES)),
        barrier_timeout=barrier,
        close_timeout=close,
        connect_timeout=connect,
        outlet=Outlet(
            seconds=draw(st.sampled_from((0.25, 1.0, 120.0))),
            policy=draw(st.sampled_from(_OUTLETS)),
        ),
    )


@st.composite
def plans(draw: st.DrawFn, *, holds: bool = False, successors: bool = False) -> Plan:
    """Give agreed sessions of scripted providers, with `holds` of a barge-in in two phases.

    With `successors` up to two other providers stand by to take over.
    """
    plan = negotiate(draw(capabilities()), draw(configs(holds=holds))).unwrap()
    successor = None
    for place in range(draw(st.integers(0, 2)) if successors else 0, 0, -1):
        able = replace(draw(capabilities()), provider=f"scripted {place}")
        agreed = negotiate(able, plan.config).unwrap()
        successor = replace(agreed, place=place, successor=successor)
    return replace(plan, successor=successor)


def _moves(*, lawful: bool) -> st.SearchStrategy[list[_Move]]:
    names = st.sampled_from(LAWFUL if lawful else (*LAWFUL, *LAWFUL, *ERRORS))
    return st.lists(st.tuples(names, _SLOTS, _SLOTS), min_size=1, max_size=8)


def provider_scripts(
    *, lawful: bool = False, max_size: int = 20
) -> st.SearchStrategy[tuple[tuple[RealtimeEvent, ...], ...]]:
    """Give what a provider says over one connection, as bursts of events.

    Unless `lawful`, about one event in six is late, repeated, unknown or misplaced.
    """
    bursts = st.lists(_moves(lawful=lawful), min_size=max_size // 3, max_size=max_size)
    return bursts.map(_bursts)


def _acks() -> st.SearchStrategy[Frame]:
    items = st.sampled_from([ItemId(f"r{r}-{i}") for r in range(4) for i in range(2)])
    return st.builds(Heard, items, st.integers(0, 16).map(_samples))


def pushes() -> st.SearchStrategy[Frame]:
    """Give frames of a caller; acks and tool results name things the provider may have made."""
    asks = st.just(CreateResponse())
    return st.one_of(
        _INTERRUPTS,
        asks,
        asks,
        st.just(CreateResponse(conversation="none")),
        _acks(),
        st.builds(Text, st.just("Hello"), turn=st.sampled_from(("queue", "interrupt", "context"))),
        st.builds(ToolResult, st.sampled_from([CallId(f"c{n}") for n in range(4)]), st.just("ok")),
        st.just(Audio(bytes(48))),
        st.sampled_from((ActivityStart(), ActivityEnd())),
    )


def _onsets() -> st.SearchStrategy[Happening]:
    said = st.integers(0, 3).map(lambda words: " ".join(["word"] * words))
    return st.one_of(
        st.sampled_from((Pushes(Hold()), Pushes(Release()), *_HEARD)),
        st.builds(UserTranscript, text=said, final=st.booleans()).map(lambda one: Says((one,))),
    )


def timelines(
    *, lawful: bool = False, losses: bool = True, holds: bool = False, max_size: int = 30
) -> st.SearchStrategy[Timeline]:
    """Give all that can happen to a session, interleaved, at times exact in binary.

    Bursts of the provider, pushes, interrupts, acks, the pace of the consumer, passing time with
    its timers, with `holds` an answer and what begins and decides a hold of it and, with `losses`,
    connections that are lost or changed, late frames of old ones and bytes nobody knows.
    In the end the consumer may get the time to take everything, or not.
    """
    says = _moves(lawful=lawful)
    kinds: list[st.SearchStrategy[_Draft]] = [
        *[says] * 8,
        *[st.builds(Pushes, pushes())] * 3,
        st.builds(Pushes, _INTERRUPTS),
        st.builds(Pushes, _acks()),
        *[st.builds(Takes, st.sampled_from((1, 2, 3, 8)))] * 3,
        *[st.builds(Waits, st.sampled_from((0, 1, 1, 2, 3, 8, 64)))] * 2,
    ]
    if losses:
        kinds += [_troubles(), _changes()]
    if holds:
        kinds += [*[_onsets()] * 8, *[st.builds(Waits, st.sampled_from((1, 2, 4, 8)))] * 4]
    # `one_of` would forget the weights.
    any_kind = st.sampled_from(kinds).flatmap(_itself)
    middle = st.lists(any_kind, min_size=max_size // 3, max_size=max_size)
    if holds:
        middle = st.builds(_answered, st.integers(0, 4), middle)
    return st.builds(_told, middle, st.sampled_from(_ENDS))


def _answered(pieces: int, drafts: list[_Draft]) -> list[_Draft]:
    """Let an answer begin, so that there is something to hold."""
    begin: list[_Move] = [("audio", 0, 0)] * pieces
    return [begin, Takes(3), *drafts]


def _troubles() -> st.SearchStrategy[_Draft]:
    return st.one_of(
        st.builds(Loses, st.sampled_from(_LOSSES), st.booleans()),
        st.builds(Raw, st.tuples(wires(longest=1_000))),
        _moves(lawful=False).map(_stale),
    )


def _changes() -> st.SearchStrategy[_Draft]:
    """Give the word that a connection will end, and what becomes of it and of the next one."""
    ending = st.builds(SessionEnding, left=st.sampled_from((0.0, 0.5, 3.0, 30.0, None)))
    said = ending.map(lambda event: Says((event,)))
    errors = st.sampled_from(_LOSSES)
    then = st.one_of(st.builds(Fails, errors), st.builds(Loses, errors), st.just(Waits(320)))
    stood = st.sampled_from((Waits(1), Waits(640)))
    return st.one_of(st.tuples(said, then), st.tuples(stood, said, st.just(Waits(1)), then))


def wires(longest: int = 1_000_000) -> st.SearchStrategy[Wire]:
    """Give messages nobody promised: bytes, text, and hostile JSON up to some length."""
    return st.one_of(
        st.binary(max_size=64),
        st.text(st.characters(codec=None, exclude_categories=()), max_size=64),
        st.sampled_from([wire for wire in HOSTILE if len(wire) <= longest]),
    )


def structs(*kinds: type[T]) -> st.SearchStrategy[T]:
    """Give values of msgspec structs, such as the messages of a wire.

    Names and texts come from few, so that messages speak of the same things.
    """
    return st.one_of(
        [st.builds(kind, **{f.name: _field(f.type) for f in fields(kind)}) for kind in kinds]
    )


def _field(kind: object) -> st.SearchStrategy[object]:
    if kind is str:
        return _NAMES
    if kind is bytes:
        return st.sampled_from((b"", bytes(2 * SAMPLES_A_TICK), b"odd"))
    if kind == str | None:
        return st.none() | _NAMES
    if get_origin(kind) is Mapping:
        return st.dictionaries(*map(_field, get_args(kind)), max_size=2)
    return st.from_type(cast("type[object]", kind))


def _itself(strategy: st.SearchStrategy[_Draft]) -> st.SearchStrategy[_Draft]:
    return strategy


def _samples(ticks: int) -> int:
    return ticks * SAMPLES_A_TICK


def _written(drafts: Iterable[_Draft]) -> Timeline:
    author = Author()
    written = list[Happening]()
    for draft in drafts:
        if isinstance(draft, list):
            written.append(Says(_events(author, draft)))
            continue
        if isinstance(draft, tuple):
            written += draft
            continue
        written.append(draft)
        if isinstance(draft, Pushes) and _asks(draft.frame):
            author.asked()
    return tuple(written)


def _asks(frame: Frame) -> bool:
    return isinstance(frame, CreateResponse | ActivityEnd) or (
        isinstance(frame, Text) and frame.turn != "context"
    )


def _told(drafts: Iterable[_Draft], end: Timeline) -> Timeline:
    return (*_written(drafts), *end)


def _bursts(drafts: Iterable[list[_Move]]) -> tuple[tuple[RealtimeEvent, ...], ...]:
    author = Author()
    return tuple(_events(author, moves) for moves in drafts)


def _stale(moves: Iterable[_Move]) -> Stale:
    return Stale(_events(Author(), moves))


def _events(author: Author, moves: Iterable[_Move]) -> tuple[RealtimeEvent, ...]:
    return tuple(event for move in moves for event in author.write(*move))
