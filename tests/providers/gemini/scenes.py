"""Scenes: a session meets a Live server, with all that was said beside what was known then."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from hypothesis import strategies as st
from msgspec.structs import replace

from realtime_core import ToolSpec
from realtime_core.codec import Coded, Outgoing, Resume, Wire, as_message
from realtime_core.config import TurnDetection
from realtime_core.epoch import CallId, ItemId
from realtime_core.errors import InvalidRequest
from realtime_core.events import (
    AudioOutput,
    Event,
    RealtimeEvent,
    ResponseDone,
    ToolCall,
)
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    CommitAudio,
    CreateResponse,
    Frame,
    Heard,
    Interrupt,
    Text,
    ToolResult,
    UpdateSession,
    Video,
)
from realtime_core.plan import Plan
from realtime_core.schedule import RECONNECT
from realtime_core.state import Hangup, Phase, Received, Send
from realtime_core.testing import TICK
from realtime_core.testing.fold import Fold, Step
from realtime_gemini.client_messages import ClientMessage
from realtime_gemini.codec import GeminiCodec
from realtime_gemini.models import Service
from realtime_gemini.server import Address
from realtime_gemini.server.book import open_calls
from tests.providers.gemini.far import DISORDER, MOVES, SAMPLES, Answer, Far
from tests.providers.gemini.wires import NATIVE, THIRD, planned

__all__ = ("MODELS", "Act", "Scene", "Story", "Told", "Watched", "frame_of", "plan_of", "stories")

MODELS: tuple[tuple[str, Service], ...] = (
    ("gemini-3.8-live", "developer"),
    ("gemini-3.8-live-extended-thinking", "developer"),
    (THIRD, "developer"),
    (NATIVE, "developer"),
    ("gemini-live-2.5-flash", "vertex"),
    ("gemini-live-2.5-flash-native-audio", "vertex"),
)

Act = tuple[str, int, int]


class Story(NamedTuple):
    """Who speaks how, and what happens in which order."""

    model: str
    service: Service
    authority: Literal["provider", "local", "application"]
    mode: Literal["server", "manual"]
    style: int
    """How the server writes: as text, in snake_case, with empty messages, things together."""
    acts: tuple[Act, ...]


PUSHES = (
    *["type", "type", "cut in", "cut in", "ack", "answer", "answer", "audio"],
    *["ask", "picture", "update", "talk", "stop", "talk", "stop", "mute", "anew"],
)
PACE = ("take", "play", "play", "wait")
_LOSSES = ("lose", "refuse", "go away")


def stories(*, lawful: bool = False, losses: bool = True) -> st.SearchStrategy[Story]:
    """Give scenes; unless `lawful`, about one move of the server in five is none it should make."""
    names = (*MOVES, *PUSHES, *PACE, *(() if lawful else DISORDER), *(_LOSSES if losses else ()))
    slots = st.integers(0, 3)
    acts = st.lists(st.tuples(st.sampled_from(names), slots, slots), min_size=12, max_size=40)
    return st.builds(
        lambda model, *others: Story(*model, *others),
        st.sampled_from(MODELS),
        st.sampled_from(("provider", "local", "application")),
        st.sampled_from(("server", "server", "server", "manual")),
        st.integers(0, 15),
        acts.map(tuple),
    )


def plan_of(story: Story) -> Plan:
    """Give what such a session agrees on."""
    turns = TurnDetection(mode=story.mode, authority=story.authority)
    tools = (ToolSpec("look"), ToolSpec("seek", policy="finish"), ToolSpec("note"))
    plan = planned(
        story.model,
        story.service,
        turn_detection=turns,
        tools=tools,
        report_input=False,
        retry=RECONNECT,
        barrier_timeout=0.25,
        instructions="Be brief.",
        options={
            "behaviour": {"seek": "NON_BLOCKING", "note": "NON_BLOCKING"},
            "scheduling": {"seek": "INTERRUPT", "note": "SILENT"},
        },
    )
    prefix = "models/" if story.service == "developer" else "projects/p/models/"
    config = replace(plan.config, model=prefix + story.model)
    return replace(plan, config=config)


def frame_of(name: str, a: int, b: int, number: int) -> Frame:
    """Give what a caller pushes, where that needs nothing from what came before."""
    match name:
        case "ask":
            return CreateResponse()
        case "type":
            return Text(f"typed{number}", turn=("queue", "interrupt", "context", "queue")[a])
        case "cut in":
            return Interrupt("app" if a else "local")
        case "picture":
            return Video(b"\xff\xd8" + bytes([a]))
        case "talk":
            return ActivityStart()
        case "stop":
            return ActivityEnd()
        case "mute":
            return CommitAudio()
        case _:
            return Audio(number.to_bytes(2, "little") * (160 << b))


class Told(NamedTuple):
    """One thing the session told the server, and what was so when it did."""

    conn: int
    message: ClientMessage
    wire: Wire
    step: Step
    turn: Answer | None
    """The turn that the server was in, as far as the session could know."""
    waits: bool
    """An answer was asked for, or announced, and had not begun."""
    calls: tuple[str, ...]
    """Calls that the server waited for."""
    resumed: bool
    """The connection took up an earlier one by its handle."""


class Watched:
    """The codec, and all that it said on each connection."""

    def __init__(self) -> None:
        self._codec = GeminiCodec()
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
    """A session by hand, the server opposite, and a watch on all that passes between them."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.codec = Watched()
        self.session = Fold(self.codec, plan_of(story))
        self.fars = list[Far]()
        self.told = list[Told]()
        self.pushed = list[Frame]()
        """What the caller pushed, as far as it was taken."""
        self.calls = list[str]()
        self.epochs = dict[int, int]()
        """By an answer's number: the epoch in which it was asked for, or began."""
        self._asked = dict[str, int]()
        self._was: Answer | None = None
        """The turn before what the server said last."""
        self._marked = False
        self._number = 0
        self._seen = 0
        self._settle()
        for act in story.acts:
            self.act(*act)

    @property
    def far(self) -> Far:
        return self.fars[-1]

    def say(self, move: str, a: int = 0, b: int = 0) -> None:
        """Let the server do something; one read brings all of it."""
        self._was = self.far.turn
        known, epoch = len(self.far.answers), self.session.state.epoch
        barrier = self.session.state.barrier
        wires = self.far.write(move, a, b)
        for answer in self.far.answers[known:]:
            self.epochs[answer.number] = self._asked.get(answer.cause, epoch - barrier)
        if wires and self.session.stands is not None:
            self.session.receive(*wires)

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
        elif name in {"ask", "type", "anew"} and self._marked:
            pass  # who speaks does not type
        elif name == "anew":
            self.push(Interrupt())
            self.session.wait((1, 8, 17, 17)[a] * TICK)
            self.push(self._frame("type", 0, 0))
        elif name in PUSHES:
            self.push(self._frame(name, a, b))
        elif self.session.state.phase is Phase.OPEN:
            self.say(name, a, b)
        self._settle()

    def push(self, frame: Frame) -> None:
        """Let the caller do something."""
        if self.session.push(frame) is None:
            self.pushed.append(frame)
            if isinstance(frame, ActivityStart | ActivityEnd):
                self._marked = isinstance(frame, ActivityStart)

    def _frame(self, name: str, a: int, b: int) -> Frame:
        self._number += 1
        config = self.session.state.plan.config
        match name:
            case "ack" if heard := self._taken():
                item = list(heard)[-1 - a % len(heard)]
                return Heard(item, min(heard[item], (b + 1) * SAMPLES - 7))
            case "answer" if self.calls:
                return ToolResult(CallId(self.calls[-1 - a % len(self.calls)]), "seen", a == 3)
            case "update":
                return UpdateSession(replace(config, instructions=f"Be {self._number}."))
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
        """Lose the connection, and refuse the next one, with its handle."""
        self.session.lose()
        self.session.wait(2)
        if self.session.dialled is not None:
            self.session.link()
            self._listen()
            self.session.lose(InvalidRequest(what="No such handle."))

    def close(self) -> None:
        """Take everything, then close."""
        self.session.drain()
        self.session.close()
        self._listen()

    # --- the watch ----------------------------------------------------------------------------

    def _settle(self) -> None:
        """Hear what was sent; connections that are made stand, and are acknowledged."""
        self._listen()
        if self.session.state.phase is Phase.RESUMING and self.session.dialled is None:
            self.session.wait(10)
        self.session.link()
        self._listen()
        if self.session.state.phase.waiting and self.session.stands is not None:
            before = self.fars[-2] if len(self.fars) > 1 else None
            self.session.receive(*self.far.welcome(before))
            self._listen()

    def _listen(self) -> None:
        """Hear what the session has sent since, in the order in which it did."""
        steps, self._seen = self.session.steps[self._seen :], len(self.session.steps)
        for step in steps:
            for one in step.events:
                self._note(one)
            conn = step.before.conn
            for effect in step.effects:
                if isinstance(effect, Hangup):
                    conn = step.after.conn
                elif isinstance(effect, Send):
                    for wire in effect.wires:
                        self._hear(conn, wire, step)

    def _note(self, event: Event) -> None:
        if isinstance(event, ToolCall):
            self.calls.append(event.call)
        if isinstance(event, ResponseDone) and not event.by_provider and self.far.turn is not None:
            self.far.turn.settled = True

    def _hear(self, conn: int, wire: Wire, step: Step) -> None:
        if not self.fars or self.far.conn != conn:
            address = Address(self.story.service)
            self.fars.append(Far(conn, self.story.model, address, self.story.style))
        far = self.far
        turn, calls = far.turn, open_calls(far.book)
        if isinstance(step.given, Received) and turn is not self._was:
            turn = None  # it began behind what is answered here
        known = {"spoken", "result"} if self.story.mode == "server" else {"result"}
        waits = far.on or bool(set(far.pending) - known)
        message = far.hear(wire)
        if far.pending and _asks(message):
            received = isinstance(step.given, Received)
            self._asked[far.pending[-1]] = (step.before if received else step.after).epoch
        resumed = bool(far.book.wish.handle)
        self.told.append(Told(conn, message, as_message(wire), step, turn, waits, calls, resumed))


def _asks(message: ClientMessage) -> bool:
    content, given = message.client_content, message.realtime_input
    marks = given is not None and (given.text is not None or given.activity_end is not None)
    return marks or (content is not None and bool(content.turn_complete))
