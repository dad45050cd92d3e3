"""Scenes: a session meets the service, with all that was said beside what was known then."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from realtime_core import ToolSpec
from realtime_core.codec import Coded, Outgoing, Resume, Wire
from realtime_core.epoch import CallId, ItemId
from realtime_core.errors import InvalidRequest
from realtime_core.events import AudioOutput, RealtimeEvent, ToolCall
from realtime_core.frames import (
    Audio,
    CreateResponse,
    Frame,
    Heard,
    Interrupt,
    Text,
    ToolResult,
)
from realtime_core.plan import Plan
from realtime_core.schedule import RECONNECT
from realtime_core.state import Hangup, Phase, Send
from realtime_core.testing import TICK
from realtime_core.testing.fold import Fold, Step
from realtime_nova.client_events import ClientEvent
from realtime_nova.codec import NovaCodec
from tests.providers.nova.far import DISORDER, MOVES, SAMPLES, Answer, Far
from tests.providers.nova.wires import ACCEPTED, MODELS, planned

__all__ = ("PUSHES", "Scene", "Story", "Told", "frame_of", "plan_of", "stories")

Act = tuple[str, int, int]


class Story(NamedTuple):
    """With which model, and what happens in which order."""

    model: str
    acts: tuple[Act, ...]


PUSHES = (*["type", "type", "cut in", "cut in", "ack", "answer", "answer", "audio"], "ask", "anew")
PACE = ("take", "play", "play", "wait")
_LOSSES = ("lose", "refuse")


def stories(*, lawful: bool = False, losses: bool = True) -> st.SearchStrategy[Story]:
    """Give scenes; unless `lawful`, some moves of the service are none it should make."""
    names = (*MOVES, *PUSHES, *PACE, *(() if lawful else DISORDER), *(_LOSSES if losses else ()))
    slots = st.integers(0, 3)
    acts = st.lists(st.tuples(st.sampled_from(names), slots, slots), min_size=12, max_size=40)
    return st.builds(Story, st.sampled_from(MODELS), acts.map(tuple))


def plan_of(story: Story) -> Plan:
    """Give what such a session agrees on."""
    return planned(
        story.model,
        tools=(ToolSpec("look"),),
        report_input=False,
        retry=RECONNECT,
        barrier_timeout=0.25,
        instructions="Be brief.",
    )


def frame_of(name: str, a: int, b: int, number: int) -> Frame:
    """Give what a caller pushes, where that needs nothing from what came before."""
    match name:
        case "ask":
            return CreateResponse()
        case "type":
            return Text(f"typed{number}", turn="interrupt" if a == 1 else "queue")
        case "cut in":
            return Interrupt("app" if a else "local")
        case _:
            return Audio(number.to_bytes(2, "little") * (160 << b), planned().input_format)


class Told(NamedTuple):
    """One thing the session told the service, and what was so when it did."""

    conn: int
    event: ClientEvent
    step: Step
    turn: Answer | None
    """The answer that the service was giving."""
    calls: tuple[str, ...]
    """Calls that the service waited for."""


class Watched:
    """The codec, and all that it said on each connection."""

    def __init__(self) -> None:
        self._codec = NovaCodec()
        self.said = list[list[RealtimeEvent]]()
        self.resumes = list[Resume | None]()
        """What each connection was given of the one before."""
        self.asked = list[Outgoing]()
        """What it was given to write, as far as it did."""

    def greet(self, plan: Plan, resume: Resume | None) -> Coded[Any]:
        self.said.append([])
        self.resumes.append(resume)
        return self._codec.greet(plan, resume)

    def encode(self, state: Any, frame: Outgoing) -> Any:
        result = self._codec.encode(state, frame)
        self.asked += [frame] * result.map(lambda _: 1).value_or(0)
        return self._kept(result)

    def decode(self, state: Any, wire: Wire) -> Any:
        return self._kept(self._codec.decode(state, wire))

    def _kept(self, result: Any) -> Any:
        self.said[-1] += result.map(lambda coded: coded.events).value_or(())
        return result


class Scene:
    """A session by hand, the service opposite, and a watch on all that passes between them."""

    def __init__(self, story: Story) -> None:
        self.codec = Watched()
        self.session = Fold(self.codec, plan_of(story))
        self.fars = list[Far]()
        self.told = list[Told]()
        self.pushed = list[Frame]()
        """What the caller pushed, as far as it was taken."""
        self.epochs = dict[int, int]()
        """By an answer's number: the epoch in which it was asked for, or began."""
        self._asked = dict[str, int]()
        self._number = 0
        self._seen = 0
        self._settle()
        for act in story.acts:
            self.act(*act)

    @property
    def far(self) -> Far:
        return self.fars[-1]

    def act(self, name: str, a: int, b: int) -> None:
        """Let one thing happen."""
        if name == "take":
            self.session.take(1 + 3 * a)
        elif name == "play":
            self.session.drain()
            self.session.wait((b + 0.5) * TICK)
        elif name == "wait":
            self.session.wait((1, 8, 64, 640)[a] * TICK)
        elif name == "lose":
            self.session.lose()
        elif name == "refuse":
            self._refuse()
        elif name == "anew":
            self.push(Interrupt())
            self.session.wait((1, 8, 17, 17)[a] * TICK)
            self.push(self.frame("type", 0, 0))
        elif name in PUSHES:
            self.push(self.frame(name, a, b))
        elif self.session.state.phase is Phase.OPEN:
            self._say(name, a, b)
        self._settle()

    def _say(self, move: str, a: int, b: int) -> None:
        """Let the service do something; one read brings all of it."""
        known, state = len(self.far.answers), self.session.state
        wires = self.far.write(move, a, b)
        for answer in self.far.answers[known:]:
            born = state.epoch - state.barrier
            self.epochs[answer.number] = self._asked.get(answer.cause, born)
        if wires:
            self.session.receive(*wires)

    def push(self, frame: Frame) -> None:
        """Let the caller do something."""
        if self.session.push(frame) is None:
            self.pushed.append(frame)

    def frame(self, name: str, a: int, b: int) -> Frame:
        """Give what a caller pushes, about what it has got so far."""
        self._number += 1
        calls = [e.call for e in self.session.events if isinstance(e, ToolCall)]
        match name:
            case "ack" if heard := self._taken():
                item = list(heard)[-1 - a % len(heard)]
                return Heard(item, min(heard[item], (b + 1) * SAMPLES - 7))
            case "answer" if calls:
                return ToolResult(CallId(calls[-1 - a % len(calls)]), "seen", a == 3)
            case _:
                return frame_of(name, a, b, self._number)

    def _taken(self) -> dict[ItemId, int]:
        """Give the samples of each item that the consumer has."""
        taken = dict[ItemId, int]()
        for event in self.session.events:
            if isinstance(event, AudioOutput) and event.item is not None:
                taken[event.item] = taken.get(event.item, 0) + len(event.pcm) // 2
        return taken

    def _refuse(self) -> None:
        """Lose the connection, and the next one too."""
        self.session.lose()
        self.session.wait(2)
        if self.session.dialled is not None:
            self.session.link()
            self._listen()
            self.session.lose(InvalidRequest(what="No."))

    def close(self) -> None:
        """Take everything, then close."""
        self.session.drain()
        self.session.close()
        self._listen()

    # --- the watch ----------------------------------------------------------------------------

    def _settle(self) -> None:
        """Hear what was sent; connections that are made stand, and are accepted."""
        self._listen()
        if self.session.state.phase is Phase.RESUMING and self.session.dialled is None:
            self.session.wait(10)
        self.session.link()
        self._listen()
        if self.session.state.phase.waiting and self.session.stands is not None:
            self.session.receive(ACCEPTED)
            self._listen()

    def _listen(self) -> None:
        """Hear what the session has sent since, in the order in which it did."""
        steps, self._seen = self.session.steps[self._seen :], len(self.session.steps)
        for step in steps:
            conn = step.before.conn
            for effect in step.effects:
                if isinstance(effect, Hangup):
                    conn = step.after.conn
                elif isinstance(effect, Send):
                    for wire in effect.wires:
                        self._hear(conn, wire, step)

    def _hear(self, conn: int, wire: Wire, step: Step) -> None:
        if not self.fars or self.far.conn != conn:
            self.fars.append(Far(conn))
        turn, calls, waiting = self.far.turn, self.far.book.calls, len(self.far.pending)
        self.told.append(Told(conn, self.far.hear(wire), step, turn, calls))
        if len(self.far.pending) > waiting:
            self._asked[self.far.pending[-1]] = step.after.epoch
