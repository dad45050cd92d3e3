"""What the codec can be given: configurations, frames and commands; and whole scenes, in which a
session meets a server of the family, with all that was said beside what was known then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace
from returns.result import Failure

from realtime_core import SessionConfig
from realtime_core.audio.format import AudioFormat
from realtime_core.codec import CancelResponse, DeleteItem, Media, Outgoing, TruncateItem, Wire
from realtime_core.config import Message, ToolSpec, TurnDetection
from realtime_core.epoch import CallId, ItemId, RequestId, ResponseId
from realtime_core.events import AudioOutput, ResponseDone
from realtime_core.frames import (
    ActivityEnd,
    ActivityStart,
    Audio,
    ClearAudio,
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
from realtime_core.testing import TICK
from realtime_core.testing.fold import Fold
from realtime_openai import client_events as client
from realtime_openai import server_events as server
from realtime_openai.codec import OpenAICodec
from tests.providers.openai.far import DISORDER, MOVES, SAMPLES, Far
from tests.providers.openai.wires import DIALECTS, Carrier, planned

__all__ = (
    "Act",
    "Scene",
    "Story",
    "Told",
    "configs",
    "outgoing",
    "stories",
)

# --- configurations, frames, commands ---------------------------------------------------------

_TEXT = st.text(max_size=8)
_NAME = st.text("abc_", min_size=1, max_size=8)
_FORMATS = st.sampled_from(
    (None, AudioFormat(), AudioFormat(8_000, "pcmu"), AudioFormat(8_000, "pcma"))
)
_MESSAGES = st.builds(
    Message,
    st.sampled_from(("user", "assistant", "system", "tool_call", "tool_result")),
    _TEXT,
    call=st.none() | st.just(CallId("c0")),
    name=_NAME,
)
_TURNS = st.builds(
    TurnDetection,
    mode=st.sampled_from(("server", "semantic", "manual")),
    authority=st.sampled_from(("provider", "local", "application")),
    threshold=st.none() | st.floats(0, 1),
    prefix_ms=st.none() | st.integers(0, 500),
    silence_ms=st.none() | st.integers(0, 500),
    eagerness=st.sampled_from(("low", "medium", "high", "auto")),
    idle_timeout_ms=st.none() | st.integers(5_000, 30_000),
)
_TOOLS = st.lists(st.builds(ToolSpec, _NAME, _TEXT), max_size=2).map(tuple)
_MCP = st.fixed_dictionaries({"server_label": _NAME, "server_url": st.just("https://mcp.example")})
_OPTIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "transcription": st.sampled_from(
            (
                {"model": "whisper-1"},
                {"prompt": "bees"},
                {"model": "gpt-transcribe", "language": "de"},
            )
        ),
        "noise_reduction": st.sampled_from(("near_field", "far_field")),
        "speed": st.floats(0.25, 1.5),
        "parallel_tool_calls": st.booleans(),
        "reasoning_effort": st.sampled_from(("minimal", "low", "medium", "high", "xhigh")),
        "truncation": st.sampled_from(
            ("auto", "disabled", {"type": "retention_ratio", "retention_ratio": 0.5})
        ),
        "tracing": st.sampled_from(("auto", {"workflow_name": "talk"})),
        "prompt": st.just({"id": "pmpt_1", "variables": {"city": "Paris"}}),
        "include": st.just(["item.input_audio_transcription.logprobs"]),
        "mcp": st.lists(_MCP, max_size=1),
        "create_response": st.booleans(),
        "detail": st.sampled_from(("auto", "low", "high")),
        "pictures": st.integers(1, 3),
        "purpose": st.sampled_from(("conversation", "conversation", "transcription")),
    },
)


def configs(
    options: st.SearchStrategy[dict[str, Any]] = _OPTIONS,
) -> st.SearchStrategy[SessionConfig]:
    """Give configurations with everything that OpenAI can be asked for."""
    return st.builds(
        SessionConfig,
        voice=st.sampled_from(("", "marin", "alloy")),
        instructions=_TEXT,
        language=st.sampled_from(("", "en")),
        modalities=st.sampled_from((("audio",), ("text",), ("audio", "text"))),
        input_format=_FORMATS,
        output_format=_FORMATS,
        turn_detection=_TURNS,
        transcribe_user=st.booleans(),
        tools=_TOOLS,
        tool_choice=st.sampled_from(("auto", "none", "required", "look")),
        temperature=st.none() | st.floats(0, 1),
        max_output_tokens=st.none() | st.integers(1, 4096),
        history=st.lists(_MESSAGES, max_size=3).map(tuple),
        options=options,
    )


def outgoing() -> st.SearchStrategy[Outgoing]:
    """Give frames and commands that a machine may hand to the codec."""
    items, answers = st.builds(ItemId, _NAME), st.builds(ResponseId, _NAME)
    return st.one_of(
        st.builds(Audio, st.binary(max_size=64)),
        st.builds(Video, st.binary(max_size=16), st.sampled_from(("image/jpeg", "image/png"))),
        st.builds(Text, _TEXT, st.sampled_from(("user", "system"))),
        st.builds(ToolResult, st.builds(CallId, _NAME), _TEXT, st.booleans()),
        st.builds(
            CreateResponse,
            _TEXT,
            st.builds(RequestId, _NAME),
            st.sampled_from(((), ("audio",), ("text",), ("audio", "text"))),
            st.sampled_from(("auto", "none")),
            st.lists(_MESSAGES, max_size=2).map(tuple),
            st.dictionaries(_NAME, _TEXT, max_size=2),
        ),
        st.sampled_from((ActivityStart(), ActivityEnd(), CommitAudio(), ClearAudio())),
        st.builds(UpdateSession, configs()),
        st.builds(CancelResponse, answers),
        st.builds(TruncateItem, items, st.integers(0, 10**9), st.sampled_from((8_000, 24_000))),
        st.builds(DeleteItem, items),
    )


# --- scenes -----------------------------------------------------------------------------------

Act = tuple[str, int, int]


class Story(NamedTuple):
    """Who speaks how, and what happens in which order."""

    dialect: str
    carrier: Carrier
    authority: Literal["provider", "local", "application"]
    acts: tuple[Act, ...]


_PUSHES = ("ask", "ask", "type", "cut in", "cut in", "side", "ack", "answer", "audio", "update")
_PACE = ("take", "play", "play", "wait")


def stories(*, lawful: bool = False) -> st.SearchStrategy[Story]:
    """Give scenes; unless `lawful`, about one move of the server in five is none it should make."""
    names = (*MOVES, *_PUSHES, *_PACE, *(() if lawful else DISORDER))
    slots = st.integers(0, 3)
    acts = st.lists(st.tuples(st.sampled_from(names), slots, slots), min_size=12, max_size=40)
    carriers: tuple[Carrier, ...] = ("socket", "socket", "call")
    return st.builds(
        Story,
        st.sampled_from(tuple(DIALECTS)),
        st.sampled_from(carriers),
        st.sampled_from(("provider", "local", "application")),
        acts.map(tuple),
    )


class Told(NamedTuple):
    """One thing the session told the server, and what was known when it did."""

    event: client.ClientEvent
    open: frozenset[str]
    """Answers of the conversation that the session was told of and that had not ended."""
    known: frozenset[str]
    limits: Mapping[str, int]
    """Samples of each item that can have been heard by then."""
    calls: tuple[str, ...]


class Scene:
    """A session by hand, the server opposite, and a watch on all that passes between them."""

    def __init__(self, story: Story) -> None:
        dialect = DIALECTS[story.dialect]
        turns = TurnDetection(authority=story.authority)
        if isinstance(dialect.check(SessionConfig(turn_detection=turns)), Failure):
            turns = replace(turns, mode="manual")
        config = {"turn_detection": turns, "report_input": False}
        plan = planned(dialect, story.carrier, **config)
        self.codec = OpenAICodec(dialect, story.carrier)
        self.session = Fold(self.codec, plan)
        self.far = Far(dialect, story.carrier)
        self.told = list[Told]()
        self.wires = list[Wire]()
        """What the server said."""
        self._known = set[str]()
        self._begun = set[str]()
        self._over = set[str]()
        self._sides = set[str]()
        self.received = dict[str, int]()
        """Bytes of each item."""
        self.track = 0
        """Bytes that came over a track."""
        self._acked = dict[str, int]()
        self._calls = list[str]()
        self._seen = 0
        self.session.link()
        self._listen()
        self.say("obey")
        for act in story.acts:
            self.act(*act)

    def say(self, move: str, a: int = 0, b: int = 0) -> None:
        """Let the server do something."""
        for wire in self.far.write(move, a, b):
            self.wires.append(wire)
            self._note(wire)
            self.session.receive(wire)
            self._listen()

    def act(self, name: str, a: int, b: int) -> None:
        """Let one thing happen."""
        if name == "take":
            self.session.take(1 + 3 * a)
        elif name == "play":
            self.session.drain()
            self.session.wait((b + 0.5) * TICK)
        elif name == "wait":
            self.session.wait((1, 2, 8, 160)[a] * TICK)
        elif name in _PUSHES:
            self.push(name, a, b)
        else:
            self.say(name, a, b)
        self._listen()

    def push(self, name: str, a: int, b: int) -> None:
        """Let the caller do something."""
        frame = self._frame(name, a, b)
        if isinstance(frame, Heard):
            limit = self.received.get(frame.item, 0) // 2
            before = self._acked.get(frame.item, 0)
            self._acked[frame.item] = max(before, min(limit, frame.samples))
        self.session.push(frame)

    def _frame(self, name: str, a: int, b: int) -> Frame:
        match name:
            case "ask":
                return CreateResponse()
            case "side":
                asked = RequestId(f"side{len(self.session.steps)}")
                self._sides.add(asked)
                return CreateResponse(request=asked, conversation="none")
            case "type":
                return Text("Hello", turn=("queue", "interrupt", "context", "queue")[a])
            case "cut in":
                return Interrupt("app" if a else "local")
            case "ack" if self.received:
                item = list(self.received)[-1 - a % len(self.received)]
                return Heard(ItemId(item), (b + 1) * SAMPLES - 7)
            case "answer" if self._calls:
                return ToolResult(CallId(self._calls[-1 - a % len(self._calls)]), "seen")
            case "update":
                return UpdateSession(replace(self.session.state.plan.config, instructions=f"{a}"))
            case _:
                return Audio(bytes(960))

    def close(self) -> None:
        """Take everything, then close."""
        self.session.drain()
        self.session.close()

    # --- the watch ----------------------------------------------------------------------------

    def _note(self, wire: Wire) -> None:
        if isinstance(wire, Media):
            self.track += len(wire.data)
            return
        try:
            event = server.decode(wire)
        except msgspec.DecodeError:
            return
        of = getattr(event, "response_id", None)
        self._known |= {of} if of else set()
        match event:
            case server.ResponseCreated():
                self._begun.add(event.response.id)
                kept = event.response.metadata
                if isinstance(kept, dict) and kept["request"] in self._sides:
                    self._over.add(event.response.id)
            case server.ResponseFinished():
                self._over.add(event.response.id)
            case server.AudioDelta():
                known = self.received.get(event.item_id, 0)
                self.received[event.item_id] = known + len(event.delta)
                self._begun.add(event.response_id)
            case server.ToolArguments():
                self._calls.append(event.call_id)
            case _:
                pass

    def _listen(self) -> None:
        """Hear what the session has sent since, in the order in which it did."""
        steps, self._seen = self.session.steps[self._seen :], len(self.session.steps)
        for step in steps:
            for one in step.events:
                if isinstance(one, ResponseDone) and not one.by_provider and one.response:
                    self._over.add(one.response)
            for wire in step.wires:
                if not isinstance(wire, Media):
                    self._hear(client.decode(wire))

    def _hear(self, event: client.ClientEvent) -> None:
        if not isinstance(event, client.Append):
            self.told.append(self._at(event))
            self.far.hear(event)

    def _at(self, event: client.ClientEvent) -> Told:
        taken = dict[str, int]()
        for returned in self.session.trace:
            one = returned.event
            if isinstance(one, AudioOutput):
                item = cast("str", one.item)
                taken[item] = taken.get(item, 0) + len(one.pcm) // 2
        limits = {
            item: min(received // 2, max(taken.get(item, 0), self._acked.get(item, 0)))
            for item, received in self.received.items()
        }
        return Told(
            event,
            open=frozenset(self._begun - self._over),
            known=frozenset(self._known | self._begun),
            limits=limits,
            calls=tuple(self._calls),
        )
