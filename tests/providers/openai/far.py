"""A server of the OpenAI family in a test's hands: it says what such a server says, when it is
told to, and answers what it hears.

Its grammar is the protocol's own: an answer begins once, has items with parts, and ends once,
whatever happens. `disorder` breaks it on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import UnsetType

from realtime_core.codec import Media, Wire
from realtime_openai import client_events as client
from realtime_openai import server_events as server
from realtime_openai.dialect import BETA, XAI, Dialect

__all__ = ("DISORDER", "MOVES", "SAMPLES", "Far", "spoken")

SAMPLES = 375
"""A tick of 1/64 s at 24 kHz."""

_OLD = {
    "conversation.item.added": "conversation.item.created",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
}

MOVES = (
    *["sound"] * 4,
    *["begin", "obey", "end"] * 2,
    *["words", "text", "call", "played", "speech", "silence", "heard"],
    *["refuse", "limits", "failed call"],
)
"""What it can do; what is frequent in life stands often."""

DISORDER = ("again", "late", "swap", "unknown", "broken", "end again", "joined")
"""What networks, later versions and faults do besides."""


Said = server.ServerEvent | Wire


def spoken(dialect: Dialect, event: server.ServerEvent) -> bytes:
    """Write an event in the words of a dialect."""
    wire = server.encode(event)
    if dialect.assistant_text == "text":
        name = str(type(event).__struct_config__.tag)
        wire = wire.replace(f'"{name}"'.encode(), f'"{_OLD.get(name, name)}"'.encode(), 1)
    if dialect == XAI and isinstance(event, server.ResponseFinished):
        fields = msgspec.json.decode(wire)
        fields["usage"] = fields["response"].pop("usage")
        if not isinstance(event.response.status_details, server.StatusDetails):
            fields["response"]["status_details"] = "unimplemented"
        wire = msgspec.json.encode(fields)
    return wire


class Answer:
    """One answer as its server knows it."""

    def __init__(self, id: str, *, side: bool) -> None:
        self.id = id
        self.side = side
        self.item: str | None = None
        """Of what sounds."""
        self.words = ""
        self.odd = False
        """Half a sample was sent."""
        self.cut: str | None = None
        """Why it is about to end."""
        self.plays = False


class Far:
    """The server's side of one connection."""

    def __init__(self, dialect: Dialect, carrier: Literal["socket", "call"] = "socket") -> None:
        self._dialect = dialect
        self._called = carrier == "call"
        self._made = 0
        self._asked: list[tuple[str, bool]] = []
        self._running: dict[str, Answer] = {}
        self._ended: list[Answer] = []
        self._unwritten: list[str] = []
        self._speaking: str | None = None
        self._acks: list[server.ServerEvent] = []
        self._said: list[Wire] = []
        self._held: list[Wire] = []
        self._swaps = False

    # --- what it hears ------------------------------------------------------------------------

    def hear(self, event: client.ClientEvent) -> None:
        """Take what a client says; what it answers comes with the move `obey`."""
        name = event.event_id if isinstance(event.event_id, str) else None
        match event:
            case client.UpdateSession():
                self._acks.append(server.SessionUpdated(session=event.session))
            case client.Create(event_id=str() as named, response=wish):
                side = isinstance(wish, client.ResponseWish) and wish.conversation == "none"
                self._asked.append((named.removeprefix("create "), side))
            case client.Cancel() if event.response_id in self._running:
                self._running[str(event.response_id)].cut = "client_cancelled"
            case client.Cancel(response_id=UnsetType()) if self._running:
                for answer in self._running.values():
                    answer.cut = "client_cancelled"
            case client.Cancel():
                self._fault("response_cancel_not_active", name)
            case client.ClearOutput():
                for answer in [*self._running.values(), *self._ended]:
                    self._clear(answer)
            case client.TruncateItem():
                item, end = event.item_id, event.audio_end_ms
                self._acks.append(server.ItemTruncated(item_id=item, audio_end_ms=end))
            case client.DeleteItem():
                self._acks.append(server.ItemDeleted(item_id=event.item_id))
            case client.CreateItem():
                self._acks.append(server.ItemAdded(item=self._item("message", "user")))
            case client.Commit():
                self._commit(self._name("u"))
            case _:
                pass

    def _fault(self, code: str, name: str | None) -> None:
        said = server.ErrorDetails(
            type="invalid_request_error", code=code, message=code, event_id=name
        )
        self._acks.append(server.Fault(error=said))

    def _clear(self, answer: Answer) -> None:
        if answer.plays:
            answer.plays = False
            self._acks.append(server.BufferCleared(response_id=answer.id))

    # --- what it says -------------------------------------------------------------------------

    def write(self, move: str, a: int = 0, b: int = 0) -> list[Wire]:
        """Give the messages of one move; the numbers choose among what there is."""
        said = self._disorder(move, a, b) if move in DISORDER else self._move(move, a, b)
        wires = [self._wire(event) for event in said]
        if self._swaps and len(wires) > 0:
            self._held, self._swaps = [*self._held, wires.pop(0)], False
        elif wires:
            wires, self._held = [*wires, *self._held], []
        self._said += wires
        return wires

    def _wire(self, said: Said) -> Wire:
        return spoken(self._dialect, said) if isinstance(said, server.ServerEvent) else said

    def _move(self, move: str, a: int, b: int) -> Iterable[Said]:
        match move:
            case "begin":
                return self._begin(a)
            case "obey":
                return self._obey()
            case "speech" | "silence" | "heard":
                return self._user(move, b)
            case "refuse":
                return self._refuse(a)
            case "limits":
                return [server.RateLimitsUpdated(rate_limits=(server.RateLimit("tokens", 9, 4),))]
            case "played":
                over = [one for one in self._ended if one.plays]
                for one in over:
                    one.plays = False
                return [server.BufferStopped(response_id=one.id) for one in over]
            case _:
                first = [] if self._running else self._begin(1)
                answers = list(self._running.values())
                return [*first, *self._output(move, answers[a % len(answers)], b)]

    def _begin(self, a: int) -> list[Said]:
        busy = any(not answer.side for answer in self._running.values())
        able = [one for one in self._asked if one[1] or not busy]
        if not able and (busy or not a):
            return []
        asked = able[0] if able else None
        if asked is not None:
            self._asked.remove(asked)
        answer = Answer(self._name("r"), side=asked is not None and asked[1])
        self._running[answer.id] = answer
        response = server.ResponseObject(answer.id, status="in_progress")
        if self._dialect.marks:
            kept = {"request": asked[0]} if asked is not None else None
            response = msgspec.structs.replace(response, metadata=kept)
        elif self._dialect == BETA:
            response = msgspec.structs.replace(response, metadata=None)
        return [server.ResponseCreated(response=response)]

    def _refuse(self, a: int) -> list[Said]:
        if self._asked:
            name, _ = self._asked.pop()
            code = "conversation_already_has_active_response"
            self._fault(code, f"create {name}" if a else None)
        return self._obey()

    def _obey(self) -> list[Said]:
        said: list[Said] = []
        for answer in [one for one in self._running.values() if one.cut]:
            said += self._end(answer, "cancelled", answer.cut)
        said += self._acks
        self._acks = []
        return said

    def _output(self, move: str, answer: Answer, b: int) -> list[Said]:
        match move:
            case "sound":
                return self._sound(answer, b)
            case "words":
                first, item = self._part(answer)
                word = f"word{self._made} "
                answer.words += word
                said = server.TranscriptDelta(response_id=answer.id, item_id=item, delta=word)
                return [*first, said]
            case "text":
                return self._text(answer)
            case "call" | "failed call":
                return self._call(answer, whole=move == "call")
            case _:
                status = ("completed", "completed", "incomplete", "failed")[b]
                return self._end(answer, status, None)

    def _text(self, answer: Answer) -> list[Said]:
        item = self._item("message", "assistant")
        return [
            server.OutputItemAdded(response_id=answer.id, item=item),
            server.TextDelta(response_id=answer.id, item_id=item.id, delta="text"),
            server.TextDone(response_id=answer.id, item_id=item.id, text="text"),
        ]

    def _part(self, answer: Answer) -> tuple[list[Said], str]:
        if answer.item is not None:
            return [], answer.item
        item = self._item("message", "assistant")
        answer.item = item.id
        part = server.Part(type="audio")
        return [
            server.OutputItemAdded(response_id=answer.id, item=item),
            server.ItemAdded(item=item),
            server.PartAdded(response_id=answer.id, item_id=item.id, part=part),
        ], item.id

    def _sound(self, answer: Answer, b: int) -> list[Said]:
        first, item = self._part(answer)
        pcm = bytes(2 * SAMPLES * (1, 2, 4, 1)[b])
        if self._called:
            if not answer.plays:
                answer.plays = True
                first.append(server.BufferStarted(response_id=answer.id))
            return [*first, Media("audio", pcm)]
        if b == 3:
            pcm = pcm[1:] if answer.odd else pcm[:-1]
            answer.odd = not answer.odd
        return [*first, server.AudioDelta(response_id=answer.id, item_id=item, delta=pcm)]

    def _call(self, answer: Answer, *, whole: bool) -> list[Said]:
        call, name = self._name("call"), "look"
        arguments, status = ("{}", "completed") if whole else ('{"pl', "incomplete")
        begun = self._item("function_call", "")
        begun = msgspec.structs.replace(begun, name=name, call_id=call)
        done = msgspec.structs.replace(begun, arguments=arguments, status=status)
        stated = server.ToolArguments(
            response_id=answer.id, item_id=begun.id, call_id=call, arguments=arguments
        )
        return [
            server.OutputItemAdded(response_id=answer.id, item=begun),
            stated,
            server.OutputItemDone(response_id=answer.id, item=done),
        ]

    def _end(self, answer: Answer, status: str, reason: str | None) -> list[Said]:
        said: list[Said] = []
        if answer.item is not None:
            part = server.Part(type="audio", transcript=answer.words)
            of, words = answer.item, answer.words
            said += [
                server.AudioDone(response_id=answer.id, item_id=of),
                server.TranscriptDone(response_id=answer.id, item_id=of, transcript=words),
                server.PartDone(response_id=answer.id, item_id=of, part=part),
            ]
        details = server.StatusDetails(type=status, reason=reason) if reason else None
        usage = server.Tokens(input_tokens=1, output_tokens=2)
        over = server.ResponseObject(answer.id, status=status, status_details=details, usage=usage)
        self._ended.append(self._running.pop(answer.id))
        return [*said, server.ResponseFinished(response=over)]

    def _user(self, move: str, b: int) -> list[Said]:
        if move == "speech" and self._speaking is None:
            self._speaking = self._name("u")
            for answer in [*self._running.values(), *self._ended]:
                answer.cut = "turn_detected"
                self._clear(answer)
            return [server.SpeechBegan(audio_start_ms=1, item_id=self._speaking)]
        if move == "silence" and self._speaking is not None:
            item, self._speaking = self._speaking, None
            self._commit(item)
            return [server.SpeechEnded(audio_end_ms=2, item_id=item), *self._obey()]
        if move == "heard" and self._unwritten:
            return self._written(self._unwritten[b % len(self._unwritten)], b)
        return []

    def _written(self, item: str, b: int) -> list[Said]:
        if b == 0 and self._dialect == XAI:
            so_far = server.UserSnapshot(item_id=item, transcript="so far")
            return [so_far, server.UserDone(item_id=item, transcript="so", status="in_progress")]
        if b == 0:
            return [server.UserDelta(item_id=item, delta="more ")]
        self._unwritten.remove(item)
        if b == 3:
            return [server.UserFailed(item_id=item)]
        return [server.UserDone(item_id=item, transcript="all " if b == 1 else "")]

    def _commit(self, item: str) -> None:
        self._unwritten.append(item)
        self._acks.append(server.Committed(item_id=item))

    def _item(self, kind: str, role: str) -> server.ItemObject:
        return server.ItemObject(id=self._name("i"), type=kind, role=role, status="in_progress")

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"{kind}{self._made}"

    def _disorder(self, move: str, a: int, b: int) -> list[Said]:
        late = self._ended[-1 - a % len(self._ended)] if self._ended else Answer("r?", side=False)
        match move:
            case "again" if self._said:
                return [self._said[-1 - (4 * a + b) % len(self._said)]]
            case "late":
                item = late.item or "i?"
                return [
                    server.AudioDelta(response_id=late.id, item_id=item, delta=bytes(2 * SAMPLES)),
                    server.TranscriptDone(response_id=late.id, item_id=item, transcript="late"),
                ]
            case "end again":
                over = server.ResponseObject(late.id, status="completed")
                return [server.ResponseFinished(response=over)]
            case "joined":
                answer = Answer(self._name("r"), side=False)
                self._ended.append(answer)
                return [*self._sound(answer, b)[b:]]
            case "unknown":
                return [b'{"type":"response.smile","event_id":"e","width":[1,{"a":null}]}']
            case "broken":
                return [b'{"type":"response.output_audio.delta","delta":"%%%"}']
            case _:
                self._swaps = True
                return []
