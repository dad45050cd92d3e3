"""A Live server in a test's hands: it says what such a server says, when it is told to, and answers
what it hears.

Its grammar is the protocol's own. There are no ids: a turn begins with its first output and ends
with `turnComplete`, whatever happens between. `DISORDER` breaks it on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from realtime_core.codec import Wire
from realtime_gemini import server
from realtime_gemini.client_messages import ClientContent, ClientMessage, RealtimeInput
from realtime_gemini.parts import Blob, Content, FunctionResponse, Part
from realtime_gemini.server.book import Book, Complaint, noted, open_calls
from realtime_gemini.server.desk import Style
from realtime_gemini.server_messages import (
    FunctionCall,
    GoAway,
    ResumptionUpdate,
    ServerContent,
    ServerMessage,
    ToolCall,
    ToolCallCancellation,
    Transcription,
    UsageMetadata,
    VoiceActivity,
)
from tests.providers.gemini.packing import Said, packed

__all__ = ("DISORDER", "MOVES", "SAMPLES", "Answer", "Far", "Said")

SAMPLES = 375
"""A tick of 1/64 s at 24 kHz."""

MOVES = (
    *["sound", "words", "end", "obey"] * 3,
    *["both", "many", "thought", "speech", "silence", "heard", "call"] * 2,
    *["calls", "generated", "usage", "empty", "handle", "written", "no handle", "burst", "burst"],
)
"""What it can do; what is frequent in life stands often."""

BURSTS = (
    *[
        ("words", "sound", "words", "call"),
        ("sound", "generated", "end"),
        ("heard", "sound", "end"),
    ],
    *[("words", "end", "heard", "words"), ("call", "end", "speech"), ("thought", "words", "sound")],
    *[("usage", "generated"), ("heard", "speech", "sound"), ("sound", "obey"), ("handle", "both")],
    *[("sound", "end", "handle"), ("speech", "end", "silence"), ("empty", "sound", "empty")],
    *[("heard", "both", "calls"), ("end", "speech", "obey"), ("no handle", "both", "end")],
)
"""What comes in one read, and from some servers in one message."""

DISORDER = ("again", "late", "unknown", "broken", "end again", "cut again", "void", "nameless")
"""What networks, later versions and faults do besides."""


class Answer:
    """One turn of the model, as its server knows it."""

    def __init__(self, cause: str) -> None:
        self.cause = cause
        """What it answers: the typed words, `spoken`, `result`, `more`, or `own`."""
        self.number = 0
        """Of the session: what its samples are."""
        self.words = ""
        self.bytes = 0
        self.settled = False
        """The session has given it up by itself."""
        self.cut = False
        """The client has begun another turn: this one is about to be cut."""
        self.told = False
        """It was cut."""
        self.made = False
        """All of it was generated."""
        self.awaits: set[str] = set()
        """Calls whose results it waits for."""
        self.tokens = 0
        """What it has cost, as far as that was told."""


class Far:
    """The server's side of one connection."""

    def __init__(self, conn: int, model: str, address: server.Address, style: int = 0) -> None:
        self.conn = conn
        self.book = Book(address, judged=True)
        self.faults: list[Complaint] = []
        """What the client did that the service does not take."""
        self.turn: Answer | None = None
        self.answers: list[Answer] = []
        self.pending: list[str] = []
        """What it is to answer."""
        self.aborted = 0
        """Answers that were cut before anything of them came."""
        self.on: bool = False
        """More turns of the exchange were announced."""
        self.handles: list[str] = []
        self.said: list[str] = []
        """What the user said, as far as it was told."""
        self._finishes = "2.5" in model
        """It finishes its turn before it takes typed words."""
        self._halves = model == "gemini-live-2.5-flash"
        """It ends its turn with the call."""
        self._goes_on = model.endswith("extended-thinking")
        """It may end a turn and say more by itself."""
        self._hears = model.startswith("gemini-3")
        self._style = Style(bool(style & 1), bool(style & 2), bool(style & 4))
        self._together = bool(style & 8)
        self._made = 0
        self._first = True
        self._voice = False
        self._spoken = 0
        self._wires: list[Wire] = []

    # --- what it hears ------------------------------------------------------------------------

    def hear(self, wire: Wire) -> ClientMessage:
        """Take what a client sends, and judge it as the service does."""
        message, told = server.hear(self.book, wire)
        assert message is not None, told.fault
        self.book = told.book
        if told.fault is not None:
            self.faults.append(told.fault)
        if message.client_content is not None:
            self._content(message.client_content)
        elif message.realtime_input is not None:
            self._input(message.realtime_input)
        elif message.tool_response is not None:
            for result in message.tool_response.function_responses or ():
                self._result(result)
        return message

    def _content(self, content: ClientContent) -> None:
        setup, first, self._first = self.book.setup, self._first, False
        if first and setup is not None and setup.history_config:
            return  # what was said before, and nothing else
        self._cut(typed=True)
        if content.turn_complete:
            parts = [part.text or "" for one in content.turns or () for part in one.parts or ()]
            self.pending.append(" ".join(parts))

    def _input(self, given: RealtimeInput) -> None:
        if given.text is not None:
            self._cut(typed=True)
            self.pending.append(given.text)
        if given.activity_start is not None:
            self._cut()
            self._voice, self._spoken = True, self._spoken + 1
        if given.activity_end is not None and self._voice:
            self._voice = False
            self.pending.append("spoken")

    def _cut(self, *, typed: bool = False) -> None:
        """Give up what is being generated, also if nothing of it has come.

        What the user said, and what functions gave, is answered along with what is typed.
        """
        along = {"result"} if self.book.wish.manual else {"result", "spoken"}
        self.pending = [one for one in self.pending if one not in along]
        busy = self.turn is None or not self.turn.awaits
        if typed and self._finishes and busy:
            return
        self.aborted += len(self.pending)
        self.pending.clear()
        if self.turn is not None:
            self.turn.cut = True

    def _result(self, result: FunctionResponse) -> None:
        turn, id = self.turn, result.id or ""
        if turn is not None and id in turn.awaits:
            turn.awaits.remove(id)
        elif result.scheduling == "INTERRUPT":
            self._cut()
            self.pending.append("result")
        elif result.scheduling != "SILENT":
            self.pending.append("result")

    # --- what it says -------------------------------------------------------------------------

    def welcome(self, before: Far | None = None) -> list[Wire]:
        """Say that the setup is complete; who takes up a session may still owe it results."""
        handle = self.book.wish.handle
        if before is not None and handle in before.handles:
            calls = before.book.calls
            self.book = self.book.with_calls({id: calls[id] for id in open_calls(before.book)})
            self.handles = list(before.handles)
        told = server.welcome(self.book, "session")
        self.book = told.book
        return self._written(told.messages)

    def write(self, move: str, a: int = 0, b: int = 0) -> list[Wire]:
        """Give the messages of one move; the numbers choose among what there is."""
        said: list[Said] = []
        for one in BURSTS[4 * a + b] if move == "burst" else (move,):
            more = self._disorder(one, a) if one in DISORDER else self._move(one, a, b)
            said += self._noted(more)
        wires = self._written(packed(said) if self._together else said)
        self._wires += wires
        return wires

    def _noted(self, said: Iterable[Said]) -> Iterable[Said]:
        for one in said:
            if isinstance(one, ServerMessage):
                self.book = noted(self.book, one)
            yield one

    def _written(self, said: Iterable[Said]) -> list[Wire]:
        return [
            wire
            for one in said
            for wire in (self._style.written(one) if isinstance(one, ServerMessage) else (one,))
        ]

    def _move(self, move: str, a: int, b: int) -> Iterable[Said]:
        match move:
            case "obey":
                return self._due()
            case "end":
                return self._end(b, tired=a == 3)
            case "speech" | "silence" | "heard":
                return self._user(move, b)
            case "handle":
                if open_calls(self.book):
                    return []
                self.handles.append(self._name("h"))
                return [_handle(self.handles[-1], resumable=True)]
            case "no handle":
                return [_handle("", resumable=False)]
            case "go away":
                return [ServerMessage(go_away=GoAway(("50s", "9.5s", "0s", None)[b]))]
            case "empty":
                return [(b"{}", b'{"serverContent":{}}', "{}", b'{"serverContent":null}')[b]]
            case _:
                return self._output(move, a, b)

    def _output(self, move: str, a: int, b: int) -> list[Said]:
        said = (
            self._due() if self.aborted or (a and self.turn is not None and self.turn.cut) else []
        )
        if self.turn is None and ((not self.pending and not a) or said):
            return said
        if self.turn is None and move in {"usage", "generated"}:
            return said
        turn = self.turn or Answer(self.pending.pop(0) if self.pending else "own")
        if turn.made or turn.told or turn.awaits:
            return said
        if self.turn is None:
            self.turn, turn.number = turn, self._number()
            self.answers.append(turn)
        return [*said, *self._of(turn, move, b)]

    def _of(self, turn: Answer, move: str, b: int) -> Sequence[Said]:
        match move:
            case "sound":
                return [_turn(self._sound(turn, b))]
            case "words":
                return [self._words(turn)]
            case "both":
                return [self._words(turn), _turn(self._sound(turn, b))]
            case "many":
                thought = Part(text=f"think{self._made} ", thought=True)
                return [_turn(thought, self._sound(turn, b), self._sound(turn, 0))]
            case "thought":
                return [_turn(Part(text=f"think{self._made} ", thought=True))]
            case "written":
                return [_turn(Part(text="text "))]
            case "call":
                return self._call(turn, 1, b)
            case "calls":
                return self._call(turn, 2 + b % 2, b)
            case "generated":
                turn.made = True
                return [_content(generation_complete=True)]
            case _:
                turn.tokens = turn.tokens or self._number()
                return [ServerMessage(usage_metadata=_usage(turn.tokens))]

    def _words(self, turn: Answer) -> ServerMessage:
        word = f"word{self._number()} "
        turn.words += word
        return _content(output_transcription=Transcription(word))

    def _sound(self, turn: Answer, b: int) -> Part:
        size = 2 * SAMPLES * (1, 2, 4, 1)[b] - (b == 3)  # some samples are split
        whole = turn.number.to_bytes(2, "little") * (size // 2 + 2)
        pcm = whole[turn.bytes % 2 :][:size]
        turn.bytes += size
        return Part(inline_data=Blob("audio/pcm;rate=24000", pcm))

    def _call(self, turn: Answer, count: int, b: int) -> list[Said]:
        names = [one.name for one in self.book.wish.functions]
        if not names or (self._finishes and self.pending):
            return []
        calls = [
            FunctionCall(names[(b + one) % len(names)], msgspec.Raw(b'{"at":1}'), self._name("fc"))
            for one in range(count)
        ]
        slow = {one.name for one in self.book.wish.functions if one.behavior == "NON_BLOCKING"}
        said: list[Said] = [ServerMessage(tool_call=ToolCall(tuple(calls)))]
        if self._halves:
            return [*said, *self._end(0)]
        turn.awaits |= {str(one.id) for one in calls if one.name not in slow}
        return said

    def _due(self) -> list[Said]:
        """Cut what the client has cut."""
        said: list[Said] = []
        turn = self.turn
        if turn is not None and (turn.cut or turn.told):
            said += [*self._interrupted(turn), *self._complete(turn)]
        while self.aborted and self.turn is None:
            self.aborted -= 1
            said += [_content(interrupted=True), _content(turn_complete=True)]
        return said

    def _interrupted(self, turn: Answer) -> list[Said]:
        if turn.told:
            return []
        turn.told = True
        void = open_calls(self.book) if turn.awaits else ()
        turn.awaits.clear()
        cut: list[Said] = [_content(interrupted=True)]
        if void:
            cut.append(ServerMessage(tool_call_cancellation=ToolCallCancellation(void)))
        return cut

    def _end(self, b: int, *, tired: bool = False) -> list[Said]:
        """End a turn; who is tired waits for no results."""
        turn = self.turn
        if turn is None or turn.cut or turn.told:
            return self._due()
        if turn.awaits and not tired:
            return []
        made = [] if turn.made or b == 1 else [_content(generation_complete=True)]
        return [*made, *self._complete(turn, b)]

    def _complete(self, turn: Answer, b: int = 0) -> list[Said]:
        self.turn = None
        told = not turn.tokens or b > 1
        turn.tokens = turn.tokens or self._number()
        usage = _usage(turn.tokens) if told else None
        on, self.on = self.on, b == 3 and self._goes_on
        if self.on:
            self.pending.insert(0, "more")
        over = ServerContent(
            turn_complete=True,
            turn_complete_reason="RESPONSE_REJECTED" if b == 2 else None,
            interaction_status="IN_PROGRESS" if self.on else "IDLE" if on else None,
        )
        if b == 1 and usage is not None:
            return [ServerMessage(usage_metadata=usage), ServerMessage(server_content=over)]
        return [ServerMessage(server_content=over, usage_metadata=usage)]

    # --- the user -----------------------------------------------------------------------------

    def _user(self, move: str, b: int) -> list[Said]:
        if move == "heard":
            return self._heard(b) if self._spoken else []
        if self.book.wish.manual or (move == "speech") == self._voice:
            return []
        self._voice = move == "speech"
        kind = "ACTIVITY_START" if self._voice else "ACTIVITY_END"
        said: list[Said] = []
        if self._hears:
            said.append(ServerMessage(voice_activity=VoiceActivity(kind, audio_offset="1.88s")))
        if not self._voice:
            self.pending.append("spoken")
            return said
        self._spoken += 1
        if not self.book.wish.interrupts:
            return said
        if self.turn is not None:
            return [*said, *self._interrupted(self.turn), *(self._due() if b else ())]
        self._cut()
        return [*said, *self._due()]

    def _heard(self, b: int) -> list[Said]:
        word = f"said{self._number()} "
        self.said.append(word)
        told = Transcription(word, finished=True if b == 3 else None)
        return [_content(input_transcription=told)]

    # --- the rest -----------------------------------------------------------------------------

    def _number(self) -> int:
        self._made += 1
        return 1_000 * (self.conn + 1) + self._made

    def _name(self, kind: str) -> str:
        return f"{kind}_{self._number()}"

    def _disorder(self, move: str, a: int) -> list[Said]:
        known = list(self.book.calls)
        match move:
            case "again" if self._wires:
                return [self._wires[-1 - a % len(self._wires)]]
            case "late":
                return [_turn(Part(inline_data=Blob("audio/pcm;rate=24000", bytes(2 * SAMPLES))))]
            case "end again":
                return [_content(turn_complete=True)]
            case "cut again":
                return [_content(interrupted=True)]
            case "void" if known:
                ids = (known[a % len(known)], "fc_none")
                return [ServerMessage(tool_call_cancellation=ToolCallCancellation(ids))]
            case "nameless":
                call = FunctionCall("look", msgspec.Raw(b"{}"), None)
                return [ServerMessage(tool_call=ToolCall((call, FunctionCall())))]
            case "unknown":
                return [b'{"smile":{"width":[1,{"a":null}]}}', b'{"serverContent":{"mood":"grim"}}']
            case _:
                return [
                    b'{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"data":"%%%"}}]}}}'
                ]


def _content(**given: Any) -> ServerMessage:
    return ServerMessage(server_content=ServerContent(**given))


def _turn(*parts: Part) -> ServerMessage:
    return _content(model_turn=Content(parts, "model"))


def _usage(tokens: int) -> UsageMetadata:
    return UsageMetadata(prompt_token_count=1, response_token_count=tokens)


def _handle(name: str, *, resumable: bool) -> ServerMessage:
    return ServerMessage(session_resumption_update=ResumptionUpdate(name, resumable=resumable))
