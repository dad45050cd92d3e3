"""Conformance: the one grammar of events, and what a codec owes, as checks anyone can run.

A check looks only at public values and gives the violations it found; an empty list means that the
grammar holds. Nothing here needs a task, a clock or a test framework.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from returns.result import Failure, Success

from ..codec import CancelResponse, Codec, Coded, DeleteItem, Media, Outgoing, TruncateItem, Wire
from ..epoch import ItemId, ResponseId
from ..errors import RealtimeError
from ..events import (
    AudioOutput,
    Connected,
    Disconnected,
    Event,
    Interrupted,
    Kind,
    LateUsage,
    RealtimeEvent,
    Reconnected,
    ResponseDone,
    ResponseStarted,
)
from ..frames import CreateResponse, Frame, Interrupt, Text
from ..plan import Plan
from ._grammar import Violation, check_trace
from .fold import Fold

__all__ = (
    "HOSTILE",
    "Violation",
    "check_coded",
    "check_trace",
    "conforms",
    "total",
)

_OF_THE_SESSION = (Disconnected, LateUsage, Reconnected)


def check_coded(events: Iterable[Event]) -> list[Violation]:
    """Check what a codec said in one connection, over an honest wire: the contract of `Codec`."""
    found = list[Violation]()
    owners = dict[ItemId, ResponseId]()
    open, ended = set[ResponseId](), set[ResponseId]()
    for place, event in enumerate(events):
        found += _unstamped(place, event)
        if event.kind is not Kind.PERISHABLE and not isinstance(event, ResponseDone):
            continue
        id, name = event.response, _name(event)
        if id is None:
            found.append(Violation("named response", place, f"{name} names no response"))
        elif isinstance(event, ResponseStarted):
            if id in open | ended:
                found.append(Violation("one start", place, f"{id} starts again"))
            open.add(id)
        elif id not in open:
            found.append(Violation("start first", place, f"{name} of {id}, which is not open"))
        elif isinstance(event, ResponseDone):
            open.remove(id)
            ended.add(id)
        elif event.item is not None and owners.setdefault(event.item, id) != id:
            found.append(Violation("one owner", place, f"{event.item} had another response"))
        if isinstance(event, AudioOutput):
            if event.item is None:
                found.append(Violation("named item", place, "audio names no item"))
            if len(event.pcm) % event.format.sample_size:
                found.append(Violation("whole samples", place, f"{len(event.pcm)} bytes"))
    return found


def _unstamped(place: int, event: Event) -> Iterator[Violation]:
    if (event.seq, event.epoch, event.conn, event.at) != (-1, 0, 0, 0.0):
        yield Violation("unstamped", place, f"{_name(event)} carries a stamp of its own")
    if isinstance(event, _OF_THE_SESSION):
        yield Violation("vocabulary", place, f"{_name(event)} is the session's to say")
    if isinstance(event, Connected) and event.session_id:
        yield Violation("vocabulary", place, "Connected names a session")
    if isinstance(event, Interrupted) and event.cause != "provider":
        yield Violation("vocabulary", place, f"a codec's Interrupted has cause {event.cause!r}")


_DEEP = 100_000
HOSTILE: tuple[Wire, ...] = (
    "",
    b"",
    "\0",
    b"\xff\xfe\xfd",
    b'"\xc3\x28"',
    "\ud800",
    '{"type": "\\ud800"}',
    "null",
    "true",
    "[]",
    "{}",
    '{"type": null}',
    '{"type": 1}',
    '{"type": []}',
    '{"type": ""}',
    '{"type": "no.such.type", "deep": ' + "[" * _DEEP,
    "[" * _DEEP,
    b"[" * _DEEP + b"]" * _DEEP,
    '{"a":' * _DEEP + "1" + "}" * _DEEP,
    '{"type": "no.such.type", "number": 1e999999}',
    '{"type": "no.such.type", "number": -' + "9" * 5_000 + "}",
    '{"type": "error"}',
    '{"type": "error", "error": null}',
    '{"type": "audio", "pcm": "%%%"}',
    '{"type": "x", "type": "y"}',
    '{"type": "x"} trailing',
    "{" + '"k": 0, ' * 10_000,
    Media("audio", b""),
    Media("video", b"\xff\xd8\xff"),
)
"""Messages no honest peer sends: bytes that are no text, text that is no JSON, JSON that is no
message, nesting beyond any stack, numbers beyond any range, lone surrogates, pieces of tracks."""


def total(codec: Codec[Any], state: object, wire: Wire) -> list[Violation]:
    """Check that decoding this message gives events or one typed error, twice the same.

    A codec may raise nothing, not even for hostile bytes, and a failure leaves no trace.
    """
    try:
        first, again = codec.decode(state, wire), codec.decode(state, wire)
    except Exception as problem:  # whatever it is: that is the finding
        shown = repr(wire)[:60]
        return [Violation("total", 0, f"{type(problem).__name__} for {shown}: {problem}"[:300])]
    if not _same(first, again):
        return [Violation("pure", 0, f"two answers to {repr(wire)[:60]}")]
    return [*_answer(first, wire)]


def _same(one: object, other: object) -> bool:
    """Tell whether two answers agree, by what they show where they hold a `Secret`."""
    return one == other or repr(one) == repr(other)


def _answer(result: object, wire: Wire | Outgoing) -> Iterator[Violation]:
    shown = repr(wire)[:60]
    if isinstance(result, Failure):
        error: object = cast("Failure[object]", result).failure()
        if not isinstance(error, RealtimeError):
            yield Violation("typed", 0, f"{error!r} for {shown}")
        return
    coded: object = cast("Success[object]", result).unwrap()
    if not isinstance(coded, Coded):
        yield Violation("typed", 0, f"{type(coded).__name__} for {shown}")
        return
    for event in cast("tuple[object, ...]", coded.events):
        if not isinstance(event, RealtimeEvent):
            yield Violation("typed", 0, f"the event {event!r} for {shown}")
    for message in cast("tuple[object, ...]", coded.wires):
        if not isinstance(message, Wire):
            yield Violation("typed", 0, f"the message {message!r} for {shown}")


def conforms(
    codec: Codec[Any],
    plan: Plan,
    wires: Iterable[Wire],
    *,
    honest: bool = True,
    frames: Sequence[Frame] = (Text("Hello"), CreateResponse(), Interrupt()),
) -> list[Violation]:
    """Run a connection's messages through a codec and the machine; check both.

    Each message is decoded once with nothing pushed and once with one of `frames` pushed after it,
    in turn; the session is closed at the end. The trace must keep the grammar. With `honest` what
    the codec says must keep the codec's contract too; leave it out for made-up or broken messages.
    After every message the codec must stand hostile ones.
    """
    messages = tuple(wires)
    found = [*_commands(codec, plan), *_said(codec, plan, messages, honest=honest)]
    for pushes in ((), frames):
        fold = Fold(codec, plan)
        fold.link()
        for place, wire in enumerate(messages):
            fold.receive(wire)
            if pushes:
                fold.push(pushes[place % len(pushes)])
            fold.take(place % 3)
        fold.close()
        found += check_trace(fold.events, complete=True)
    return found


def _said(
    codec: Codec[Any], plan: Plan, messages: Iterable[Wire], *, honest: bool
) -> Iterator[Violation]:
    state = codec.greet(plan, None).state
    events = list[Event]()
    for place, wire in enumerate(messages):
        yield from total(codec, state, wire)
        yield from total(codec, state, HOSTILE[place % len(HOSTILE)])
        result = codec.decode(state, wire)
        if isinstance(result, Success):
            coded = result.unwrap()
            events += coded.events
            state = coded.state
    for wire in HOSTILE:
        yield from total(codec, state, wire)
    if honest:
        yield from check_coded(events)


def _commands(codec: Codec[Any], plan: Plan) -> Iterator[Violation]:
    able = plan.capabilities
    first = codec.greet(plan, None)
    if not _same(first, codec.greet(plan, None)):
        yield Violation("pure", 0, "two greetings for one plan")
    response, item = ResponseId("no such response"), ItemId("no such item")
    commands: tuple[tuple[bool, Outgoing], ...] = (
        (True, CreateResponse()),
        (able.side_responses, CreateResponse(conversation="none")),
        (able.text_in, Text("Hello")),
        (able.cancel, CancelResponse(response)),
        (able.truncate, TruncateItem(item, 1, plan.output_format.rate)),
        (able.delete, DeleteItem(item)),
    )
    for possible, outgoing in commands:
        if not possible:
            continue
        try:
            result = codec.encode(first.state, outgoing)
        except Exception as problem:  # as above
            yield Violation("total", 0, f"{type(problem).__name__} for {outgoing!r}: {problem}")
        else:
            yield from _answer(result, outgoing)


def _name(event: Event) -> str:
    return type(event).__name__
