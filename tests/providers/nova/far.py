"""The service in a test's hands: it says what Nova Sonic says, when it is told to.

Its grammar is the protocol's own: an answer is blocks of words, sound and calls; nobody says where
it begins, and END_TURN is where its sound ends. `DISORDER` breaks that on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace
from returns.result import Failure

from realtime_core.codec import Wire, as_message
from realtime_core.events import Usage
from realtime_nova.client_events import ClientEvent
from realtime_nova.encoding import client_event, encode
from realtime_nova.server.book import Book, hear
from realtime_nova.server.telling import (
    Form,
    Said,
    Voice,
    called,
    final,
    heard,
    interrupted,
    planned,
    sounded,
    sounding,
    spent,
)
from tests.providers.nova import wires
from tests.providers.nova.wires import INTERRUPTED, audio, call, end

__all__ = ("DISORDER", "MOVES", "SAMPLES", "Answer", "Far")

SAMPLES = 375
"""A tick of 1/64 s at 24 kHz."""
MOVES = (
    *["plan", "sound", "sound", "obey", "burst"] * 3,
    *["end", "final", "user", "call", "rest", "whole"] * 2,
    *["usage", "two", "empty"],
)
"""What it can do; what is frequent in life stands often."""
BURSTS = (
    ("plan", "sound", "rest", "plan", "sound"),
    ("sound", "end", "final"),
    ("plan", "sound", "call", "sound"),
    ("usage", "sound", "end"),
)
"""What comes in one read."""
DISORDER = ("again", "late", "unknown", "broken", "cut again", "stray final", "stray end", "void")
"""What networks, later versions and faults do besides."""
_FORMS: tuple[Form, ...] = ("both", "text", "stop")
Step = Callable[[Voice], Said]


class Answer:
    """One answer, as its service knows it."""

    def __init__(self, number: int, cause: str) -> None:
        self.number = number
        """Of the session: what its samples are."""
        self.cause = cause
        """What it answers: the typed words, or `spoken`."""
        self.lines = list[str]()
        """Its sentences."""
        self.final = 0
        """Those that were told to have been said."""
        self.sounds = False
        """A sentence has no sound yet, or some of it."""
        self.samples = 0
        self.cut = False
        """The client has typed over it: it is about to be cut."""
        self.told = False
        """It was cut."""
        self.made = False
        """Its sound has ended."""
        self.tokens = 0


class Far:
    """The service's side of one connection."""

    def __init__(self, conn: int) -> None:
        self.conn = conn
        self.book = Book()
        self.voice = Voice(conn)
        self.faults = list[str]()
        """What the client did that the service does not take."""
        self.turn: Answer | None = None
        self.answers = list[Answer]()
        self.pending = list[str]()
        """What it is to answer."""
        self.said = list[str]()
        """What the user said, as far as it was told."""
        self.calls = list[str]()
        """Those that wait for their results."""
        self.wires = list[Wire]()
        """All that it was told."""
        self._made = 0
        self._wires = list[bytes]()

    # --- what it hears ------------------------------------------------------------------------

    def hear(self, wire: Wire) -> ClientEvent:
        """Take what a client sends, and judge it as the service does."""
        self.wires.append(wire)
        event = client_event(as_message(wire))
        result = hear(self.book, event)
        if isinstance(result, Failure):
            self.faults.append(result.failure())
            return event
        self.book, typed = result.unwrap()
        self.calls = list(self.book.calls)
        if typed:
            self.pending.append(typed)
            if self.turn is not None:
                self.turn.cut = True
        return event

    # --- what it says -------------------------------------------------------------------------

    def write(self, move: str, a: int = 0, b: int = 0) -> list[bytes]:
        """Give the messages of one move; the numbers choose among what there is."""
        said = list[bytes]()
        for one in BURSTS[b] if move == "burst" else (move,):
            said += self._disorder(one, a) if one in DISORDER else self._say(*self._move(one, a, b))
        self._wires += said
        return said

    def _say(self, *steps: Step) -> list[bytes]:
        said = list[bytes]()
        for step in steps:
            self.voice, events = step(self.voice)
            said += map(encode, events)
        return said

    def _move(self, move: str, a: int, b: int) -> list[Step]:
        match move:
            case "obey":
                return self._cut(_FORMS[b % 3])
            case "user":
                return self._user(b)
            case "usage" if self.turn is not None:
                return self._cost(self.turn)
            case "final" if self.turn is not None and self.turn.made:
                return self._final(self.turn, a)
            case "empty" | "usage" | "final":
                return []
            case _:
                return self._output(move, a)

    def _output(self, move: str, a: int) -> list[Step]:
        turn = self.turn
        if turn is not None and turn.cut:
            return self._cut("both") if a else self._of(turn, move)  # still on its way
        if turn is not None and turn.made:
            return self._final(turn, 3)
        if turn is None:
            if not self.pending or move in {"rest", "end"}:
                return []
            turn = self.turn = Answer(self._number(), self.pending.pop(0))
            self.answers.append(turn)
        return self._of(turn, move)

    def _of(self, turn: Answer, move: str) -> list[Step]:
        match move:
            case "plan" if not turn.sounds:
                return [self._line(turn)]
            case "sound" | "two" | "plan":
                first = [] if turn.sounds else [self._line(turn)]
                return [*first, self._sound(turn), *([self._sound(turn)] if move == "two" else [])]
            case "rest" if turn.sounds:
                turn.sounds = False
                return [sounded]
            case "call" if not turn.sounds:
                id = f"tu-{self._number()}"
                self.book = _waiting(self.book, id)
                self.calls = list(self.book.calls)
                return [partial(called, id=id, name="look", arguments={"at": 1})]
            case "end" if turn.lines and not self.calls:
                turn.made = True
                more = [] if self.voice.sound else [self._sound(turn)]
                return [*self._cost(turn), *more, partial(sounded, reason="END_TURN")]
            case "whole" if not turn.sounds and not self.calls:
                line, sound = self._line(turn), self._sound(turn)
                turn.made = True
                return [line, sound, *self._cost(turn), partial(sounded, reason="END_TURN")]
            case _:
                return []

    def _line(self, turn: Answer) -> Step:
        turn.lines.append(f"line {self._number()} is here.")
        turn.sounds = True
        return partial(planned, text=turn.lines[-1])

    def _sound(self, turn: Answer) -> Step:
        turn.samples += SAMPLES
        turn.sounds = True
        return partial(sounding, pcm=turn.number.to_bytes(2, "little") * SAMPLES)

    def _cost(self, turn: Answer) -> list[Step]:
        tokens = self._number()
        turn.tokens += tokens
        return [partial(spent, usage=Usage(input_tokens=1, output_tokens=tokens))]

    def _final(self, turn: Answer, a: int) -> list[Step]:
        """Tell what was said, one sentence or all, and with `a` of 2 what was not, never."""
        if a == 2:
            self.turn = None
            return []
        left = turn.lines[turn.final :]
        told = left if a else left[:1]
        turn.final += len(told)
        if turn.final == len(turn.lines):
            self.turn = None
        return [partial(final, text=line) for line in told]

    def _cut(self, form: Form) -> list[Step]:
        """Cut what the client has cut, or nothing."""
        turn = self.turn
        if turn is None or not turn.cut:
            return []
        self.turn, turn.told = None, True
        self.book, self.calls = _waiting(self.book), []
        spoken = turn.lines[:1] if turn.samples else []
        return [partial(interrupted, form=form), *(partial(final, text=one) for one in spoken)]

    def _user(self, b: int) -> list[Step]:
        """Let the user speak: it cuts what is being said, and with `b` of 2 what is still to be."""
        cut = list[Step]()
        if self.turn is not None:
            self.turn.cut = True
            cut = self._cut(_FORMS[b % 3])
        words = [f"said {self._number()}" for _ in range(1 + (b == 3))]
        self.said += words
        self.pending = ["spoken"] if b == 2 else [*self.pending, "spoken"]
        return [*cut, *(partial(heard, text=one) for one in words)]

    # --- the rest -----------------------------------------------------------------------------

    def _number(self) -> int:
        self._made += 1
        return 1_000 * (self.conn + 1) + self._made

    def _disorder(self, move: str, a: int) -> list[bytes]:
        match move:
            case "again" if self._wires:
                return [self._wires[-1 - a % len(self._wires)]]
            case "late":
                return [audio(f"content-{self.conn}-{a}")]
            case "cut again":
                return list(INTERRUPTED[: 1 + a])
            case "stray final":
                return list(wires.final("Nobody said this.", f"f{a}"))
            case "stray end":
                return [end(f"content-{self.conn}-{a}", "AUDIO", "END_TURN")]
            case "void":
                return [*call("tu-1", id="t9"), *call("tu-1", id="t9"), *wires.heard("", "u9")]
            case "unknown":
                return [b'{"event":{"smile":{"width":[1,{"a":null}]}}}', b"{}"]
            case _:
                return [b'{"event":{"audioOutput":{"content":"%%%"}}}', b"["]


def _waiting(book: Book, *ids: str) -> Book:
    """Let these calls wait, besides those that do; without any, none."""
    return replace(book, calls=(*book.calls, *ids) if ids else ())
